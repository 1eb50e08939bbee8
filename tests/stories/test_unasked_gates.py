"""Gates that a step can tell nothing of are not asked of it, and are of the next one that can."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from rollout.api.evidence import Verdict
from rollout.api.meta import VIRTUAL_SERVICE, Manifest
from tests.stories import gray
from tests.stories.gray import Story
from tests.stories.pods import Pods
from tests.stories.test_hidden_requests import climbing
from tests.stories.test_managed_routes import HEADER

pytestmark = pytest.mark.looptime(noop_cycles=1)

GATES: list[dict[str, Any]] = [
    {"name": "errors", "errorRate": {"maxPercent": 1}},
    {"name": "tcp", "tcpFailures": {"maxPercent": 1}},
]
SHIFT: dict[str, Any] = {"weight": 50, "hold": "10s"}


def with_tcp(manifest: Manifest) -> None:
    legs = [
        {"destination": {"host": "reviews", "subset": v}, "weight": 100 if v == "v1" else 0}
        for v in gray.VERSIONS
    ]
    manifest["spec"]["tcp"] = [{"route": legs}]


def connect(story: Story, version: str, *, per_second: float, failing: float = 0.0) -> None:
    """Connections as callers' proxies count them, opened and closed again."""
    labels = {
        "reporter": "source",
        "destination_service": "reviews.shop.svc.cluster.local",
        "destination_workload": f"reviews-{version}",
        "instance": "client",
    }
    for end, flags, rate in (
        ("opened", "-", per_second),
        ("closed", "-", per_second - failing),
        ("closed", "UF", failing),
    ):
        story.metrics.counter(
            f"istio_tcp_connections_{end}_total", {**labels, "response_flags": flags}
        ).flow(rate)


@pytest.mark.parametrize(
    "first", [{"mirror": 50, "hold": "10s"}, {"match": HEADER, "hold": "10s"}], ids=str
)
async def test_connections_are_asked_for_once_a_weight_sends_some(
    first: Mapping[str, Any],
) -> None:
    story = gray.furnished(climbing(dict(first), SHIFT, gates=GATES))
    story.cluster.edit(VIRTUAL_SERVICE, gray.KEY, with_tcp)
    if "mirror" in first:
        Pods(story=story)
    story.matching_per_second = 20.0
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(5)
        story.edit(suspend=False)
        await asyncio.sleep(0.5)
        tcp = story.run().gates[1]
        await story.until_step(2, within_seconds=30)
        await asyncio.sleep(70)

        assert tcp.verdict is Verdict.UNKNOWN
        assert "asked again in the next step that gives the canary a weight" in tcp.because
        assert story.run().step == 2
        assert "canary has 0 of 10 connections" in story.status().message
        connect(story, "v2", per_second=20)
        await story.until_step(3, within_seconds=30)


async def test_connections_that_fail_in_a_mirror_step_roll_back_all_the_same() -> None:
    """Somebody's own route may send some: what nobody waits for is looked at for all that."""
    story = gray.furnished(climbing({"mirror": 50, "hold": "60s"}, SHIFT, gates=GATES))
    Pods(story=story)
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        connect(story, "v2", per_second=20, failing=10)
        await story.until_phase("RolledBack", within_seconds=30)

        assert "tcp" in story.status().history[0].because


async def test_a_step_that_ends_a_match_sends_nobody_and_waits_for_nobody() -> None:
    steps = ({"match": HEADER, "hold": "10s"}, {"match": {}, "hold": "70s"}, SHIFT)
    async with gray.told(climbing(*steps)) as story:
        story.matching_per_second = 20.0
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=30)
        await asyncio.sleep(65)
        (gate,) = story.run().gates
        await story.until_step(3, within_seconds=30)
        await story.stable("v2", within_seconds=60)

        assert gate.verdict is Verdict.UNKNOWN
        assert "asked again in the next step that sends the canary requests" in gate.because
