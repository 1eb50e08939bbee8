"""A canary of which nothing is told, and a mesh that does not send what was asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rollout.api.meta import VIRTUAL_SERVICE, Manifest
from tests.stories import gray
from tests.stories.gray import KEY, Story
from tests.world.metrics import vector

pytestmark = pytest.mark.looptime(noop_cycles=1)

LONG: dict[str, Any] = {
    "steps": [{"weight": 20, "hold": "60s"}, {"weight": 100, "hold": "5s"}],
    "bake": "5s",
    "maxDuration": "1h",
}


def judged(**judge: str) -> Manifest:
    fields = {"minRequests": 10, "provenRatio": "Off", **judge}
    return gray.rollout(strategy=LONG, judge=fields)


async def begin(story: Story) -> None:
    await story.stable()
    story.want("v2")
    await story.until_step(1, within_seconds=30)
    await asyncio.sleep(3)


def stranger(story: Story, version: str, *, per_second: float) -> Any:
    """A caller whose proxy knows nothing of the weights."""
    counter = story.metrics.counter(
        "istio_requests_total",
        {
            "reporter": "source",
            "destination_service": "reviews.shop.svc.cluster.local",
            "destination_workload": f"reviews-{version}",
            "response_code": "200",
            "response_flags": "-",
            "instance": "stranger",
        },
    )
    counter.flow(per_second)
    return counter


async def test_a_canary_that_gets_another_share_than_asked_is_held_and_told_and_goes_on_after() -> (
    None
):
    async with gray.told(judged()) as story:
        await begin(story)
        other = stranger(story, "v1", per_second=100)
        await asyncio.sleep(300)

        assert story.run().step == 1
        told = story.status().message
        assert "the mesh does not send what was asked: 20 % are to go to the canary" in told
        assert story.run().ending is None

        other.flow(0)
        await story.stable("v2", within_seconds=60)


async def test_where_other_routes_send_to_the_host_too_another_share_is_no_wonder() -> None:
    def add_route(manifest: Manifest) -> None:
        everything = {"destination": {"host": "reviews", "subset": "v1"}}
        one = {"name": "admin", "match": [{"uri": {"prefix": "/admin"}}], "route": [everything]}
        manifest["spec"]["http"].insert(0, one)

    async with gray.told(judged()) as story:
        await story.stable()
        story.cluster.edit(VIRTUAL_SERVICE, KEY, add_route)
        stranger(story, "v1", per_second=100)
        story.want("v2")

        await story.stable("v2", within_seconds=120)


async def test_a_canary_without_requests_goes_back_where_that_was_asked_for() -> None:
    async with gray.told(judged(onNoData="Rollback", noDataDeadline="40s")) as story:
        await story.stable()
        story.requests_per_second = 0
        story.flow()
        story.want("v2")
        await story.until_step(1, within_seconds=30)

        await story.until_phase("RolledBack", within_seconds=60)

        assert "no data for 40s, and judge.onNoData is Rollback" in story.status().message
        assert story.weight("v1") == 100


async def test_a_canary_without_requests_goes_on_where_that_was_asked_for() -> None:
    async with gray.told(judged(onNoData="Continue", noDataDeadline="70s")) as story:
        await story.stable()
        story.requests_per_second = 0
        story.flow()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(65)
        assert story.run().step == 1

        await story.stable("v2", within_seconds=200)


async def test_a_prometheus_that_is_gone_is_another_matter_than_a_canary_without_data() -> None:
    spec = judged(onNoData="Continue", noDataDeadline="30s", onMetricsOutage="Rollback")
    async with gray.told(spec) as story:
        await begin(story)
        story.metrics.down = True
        await asyncio.sleep(280)
        assert story.run().step == 1
        assert story.run().ending is None

        await story.until_phase("RolledBack", within_seconds=60)

        assert "no data for 5m, and judge.onMetricsOutage is Rollback" in story.status().message


async def test_the_time_in_which_nobody_looked_is_no_time_without_data() -> None:
    story = gray.furnished(judged(onNoData="Rollback", noDataDeadline="1m"))
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(20)
    await asyncio.sleep(300)

    async with gray.running(gray.controller(story).run):
        await story.stable("v2", within_seconds=120)


async def test_a_gate_that_will_never_have_data_excuses_no_other_one() -> None:
    steps = [{"weight": 5, "hold": "10s"}, {"weight": 25}, {"weight": 50}, {"weight": 100}]
    gates = [
        {"name": "errors", "errorRate": {"maxPercent": 1}},
        {"name": "tcp", "tcpFailures": {"maxPercent": 1}},
    ]
    judge = {
        "minRequests": 10,
        "provenRatio": "Off",
        "onNoData": "Continue",
        "noDataDeadline": "1m",
    }
    strategy = {"steps": steps, "bake": "5s", "maxDuration": "1h"}
    async with gray.told(gray.rollout(strategy=strategy, gates=gates, judge=judge)) as story:
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=120)
        story.fail("v2", 100)

        await story.until_phase("RolledBack", within_seconds=60)

        assert max(story.canary_weights()) == 25


async def test_a_canary_whose_pods_are_away_is_not_judged_by_what_it_does_not_do() -> None:
    query = {
        "promql": 'orders{rev="{{ revision }}"}',
        "min": 0.5,
        "range": {"low": 0, "high": 1},
        "block": "10s",
    }
    strategy = {"steps": [{"weight": 20, "hold": "10s"}, {"weight": 100}], "bake": "5s"}
    gates = [{"name": "orders", "query": query}]
    async with gray.told(gray.rollout(strategy=strategy, gates=gates)) as story:
        numbers = {"v2": 0.8}
        story.metrics.script("orders", lambda _, at: vector([({}, numbers["v2"])], at=at))
        await begin(story)
        story.set_ready("v2", ready=False)
        numbers["v2"] = 0.0
        await asyncio.sleep(300)
        assert story.run().ending is None

        story.set_ready("v2", ready=True)
        numbers["v2"] = 0.8
        await story.stable("v2", within_seconds=120)
