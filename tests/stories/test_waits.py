"""Stories of waits at 100 percent, where no deadline ends them and stable gets no request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rollout.api.action import Verb
from tests.stories import gray

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(60)]

RATIO: dict[str, Any] = {"name": "errors", "errorRate": {"maxRatio": 1.5}}


def ladder(gate: dict[str, Any], *steps: dict[str, Any], least: int = 100) -> Any:
    strategy = {"steps": list(steps), "bake": "10s", "maxDuration": "2h"}
    return gray.rollout(
        gates=[gate], judge={"minRequests": least, "provenRatio": "Off"}, strategy=strategy
    )


async def test_a_ratio_that_never_had_a_stable_request_to_compare_with_does_not_wait_for_ever() -> (
    None
):
    story = gray.furnished(ladder(RATIO, {"weight": 100}))
    story.requests_per_second = 5
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await asyncio.sleep(900)

        assert story.status().phase == "Stable"
        assert story.status().stable_revision == "v2"


async def test_a_run_sent_to_100_percent_early_does_not_wait_for_ever() -> None:
    steps = [{"weight": 5, "hold": "10s"}, {"weight": 100, "hold": "5s"}]
    async with gray.told(ladder(RATIO, *steps, least=500)) as story:
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=60)
        story.command(Verb.PROMOTE_FULL)
        await asyncio.sleep(900)

        assert story.status().stable_revision == "v2"


async def test_a_bad_canary_with_nothing_to_compare_with_is_not_promoted_and_promote_is_named() -> (
    None
):
    story = gray.furnished(ladder(RATIO, {"weight": 100}))
    story.fail("v2", 50)
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await asyncio.sleep(900)

        assert story.status().reason in {"WaitingForGates", "RolledBack"}
        assert story.status().stable_revision == "v1"
