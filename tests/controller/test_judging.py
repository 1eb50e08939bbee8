"""Evidence between two decisions: counted once, kept with its step, doubted without fresh data."""

from __future__ import annotations

import asyncio

import pytest

from rollout.api.evidence import Verdict
from rollout.api.meta import DESTINATION_RULE, VIRTUAL_SERVICE, Manifest
from rollout.engine import plan as plans
from tests.stories import gray
from tests.stories.gray import Story
from tests.world.engine_world import spec_of

pytestmark = pytest.mark.looptime(noop_cycles=1)

PLAN = plans.resolve(spec_of(judge={"minRequests": 25}))


async def at_step(story: Story, step: int) -> None:
    await story.stable()
    story.want("v2")
    await story.until_step(step, within_seconds=60)


async def test_every_request_counts_once_however_often_somebody_looks() -> None:
    async with gray.told() as story:
        await at_step(story, 2)
        began = story.requests_of("v2")
        for number in range(30):
            await asyncio.sleep(0.2)
            story.edit(suspend=number % 2 == 0)
        story.edit(suspend=False)
        await story.until_step(3, within_seconds=30)
        counted = story.status().run
        assert counted is not None
        assert counted.evidence is not None

        true = story.requests_of("v2")
        assert true - began - 300 <= counted.evidence.canary_run.requests <= true


async def test_a_pass_without_fresh_data_is_doubted_and_a_failure_is_not() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        await asyncio.sleep(5)
        story.metrics.down = True
        await asyncio.sleep(70)

        gates = story.run().gates

        assert [gate.verdict for gate in gates] == [Verdict.UNKNOWN]
        assert "Prometheus" in gates[0].because


async def test_a_query_that_cannot_be_filled_in_holds_its_gate_and_says_why() -> None:
    """A stable revision's name that a spec cannot know: bare in a query it would be code."""
    promql = 'orders{rev="{{ canary }}"} / on() orders_{{ stable }}'
    gates = [{"name": "orders", "query": {"promql": promql, "max": 2}}]
    story = gray.furnished(gray.rollout(gates=gates))

    def rename(manifest: Manifest) -> None:
        for part in manifest["spec"].get("subsets", ()):
            part["name"] = part["name"].replace("v1", "v1-b")
        for leg in [leg for r in manifest["spec"].get("http", ()) for leg in r["route"]]:
            leg["destination"]["subset"] = leg["destination"]["subset"].replace("v1", "v1-b")

    for kind in (DESTINATION_RULE, VIRTUAL_SERVICE):
        story.cluster.edit(kind, gray.KEY, rename)
    story.edit(revision="v2")
    async with gray.running(gray.controller(story).run):
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(60)

        assert story.run().step == 1
        assert "uses {{ stable }} outside quotes" in story.status().message
