"""What was seen long ago, before a restart, or of somebody else is no news, and promotes nobody."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from rollout.api.action import Verb
from tests.stories import gray
from tests.stories.gray import Story
from tests.world.metrics import matrix, vector

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(60)]


def stop_sampling(story: Story) -> None:
    for counter in story.counters.values():
        counter.vanish()


SILENCES: Mapping[str, Callable[[Story], None]] = {
    "hangs": lambda story: setattr(story.metrics, "latency_seconds", 60),
    "is down": lambda story: setattr(story.metrics, "down", True),
    "is empty": lambda story: story.metrics.script("istio_requests", lambda _, __: matrix([])),
    "samples nothing": stop_sampling,
}


async def fall_silent_in_the_bake(story: Story, how: str) -> None:
    """A bake whose time is up, and that waits for Prometheus."""
    await story.stable()
    story.want("v2")
    await story.until_phase("Baking", within_seconds=120)
    await asyncio.sleep(4)
    SILENCES[how](story)
    await asyncio.sleep(60)
    assert story.status().phase == "Baking", story.status().message


@pytest.mark.parametrize("how", SILENCES)
async def test_a_restart_promotes_nobody_on_what_was_seen_before_it(how: str) -> None:
    story = gray.furnished()
    async with gray.running(gray.controller(story).run):
        await fall_silent_in_the_bake(story, how)

    async with gray.running(gray.controller(story).run):
        await asyncio.sleep(60)

        assert story.status().phase == "Baking", story.status().message


async def test_a_restart_with_an_ignored_command_promotes_nobody_either() -> None:
    story = gray.furnished()
    async with gray.running(gray.controller(story).run):
        await fall_silent_in_the_bake(story, "is down")
    story.command(Verb.RESUME)

    async with gray.running(gray.controller(story).run):
        await asyncio.sleep(60)

        assert story.status().phase == "Baking", story.status().message


async def test_a_restart_beside_a_healthy_prometheus_goes_on_by_itself() -> None:
    story = gray.furnished()
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_phase("Baking", within_seconds=120)
        await asyncio.sleep(9)

    async with gray.running(gray.controller(story).run):
        await story.stable("v2", within_seconds=5)


class Turns:
    """A leadership that is lost once and won again."""

    def __init__(self) -> None:
        self.end, self.again = asyncio.Event(), asyncio.Event()

    async def run(self, while_leading: Callable[[int], Awaitable[None]]) -> None:
        async def lead(term: int) -> None:
            await while_leading(term)

        task = asyncio.get_running_loop().create_task(lead(1))
        await self.end.wait()
        task.cancel()
        await asyncio.wait([task])
        await self.again.wait()
        await lead(2)


async def test_a_lease_that_is_won_again_promotes_nobody_on_the_sight_of_an_earlier_term() -> None:
    story = gray.furnished()
    manager, turns = gray.controller(story), Turns()
    manager._leadership = turns
    async with gray.running(manager.run):
        await story.stable()
        story.want("v2")
        await story.until_phase("Baking", within_seconds=120)
        await asyncio.sleep(2)
        turns.end.set()
        await asyncio.sleep(0.5)
        story.metrics.down = True
        await asyncio.sleep(600)
        turns.again.set()
        await asyncio.sleep(30)

        assert story.status().phase == "Baking", story.status().message


@pytest.mark.parametrize(
    ("promql", "gate"),
    [
        ('good{rev="{{ canary }}"} >= good{rev="{{ stable }}"}', {"min": 0}),
        ('bad{rev="{{ canary }}"} / bad{rev="{{ stable }}"}', {"max": 1.5}),
        ('bad{rev="{{ revision }}"}', {"max": 1.5, "relativeTo": "stable"}),
    ],
    ids=["a filter that drops it", "infinitely worse", "a stable 0"],
)
async def test_a_canary_that_turns_bad_at_100_percent_is_not_excused_by_how_its_query_says_so(
    promql: str, gate: Mapping[str, Any]
) -> None:
    """Stable's number is there: a window that outlasts the step, or other callers."""
    query = {"name": "orders", "query": {"promql": promql, "decide": "Threshold", **gate}}
    async with gray.told(gray.rollout(gates=[query])) as story:
        is_bad = False

        def good(text: str, at: float) -> Mapping[str, Any]:
            has = {"v1": 1.0, "v2": 0.2 if is_bad else 1.0}
            one, other = (has[rev] for rev in re.findall(r'rev="(\w+)"', text))
            return vector([({}, one)] if one >= other else [], at=at)

        def bad(text: str, at: float) -> Mapping[str, Any]:
            has = {"v1": 0.0 if is_bad else 0.01, "v2": 0.5 if is_bad else 0.01}
            one, *others = (has[rev] for rev in re.findall(r'rev="(\w+)"', text))
            if others and not others[0]:
                return vector([({}, float("inf") if one else float("nan"))], at=at)
            return vector([({}, one / others[0] if others else one)], at=at)

        story.metrics.script("good", good)
        story.metrics.script("bad", bad)
        await story.stable()
        story.want("v2")
        await story.until_phase("Promoting", within_seconds=120)
        is_bad = True
        await asyncio.sleep(600)

        assert story.status().stable_revision == "v1", story.status().message


class SlowOrders:
    """Own queries take as long as they may from some moment on, and then have bad news."""

    def __init__(self, story: Story) -> None:
        self.story, self.is_slow = story, False

    async def query(
        self, promql: str, *, time_seconds: float | None, timeout_seconds: float
    ) -> Mapping[str, Any]:
        if "orders" in promql and self.is_slow:
            await asyncio.sleep(4.9)
            return vector([({}, 0.1)], at=self.story.clock.now().timestamp())
        return await self.story.metrics.query(
            promql, time_seconds=time_seconds, timeout_seconds=timeout_seconds
        )

    async def close(self) -> None:
        return


async def test_answers_from_before_many_slow_queries_promote_nobody() -> None:
    gates = [
        {
            "name": f"q{i}",
            "query": {
                "promql": f'orders{{rev="{{{{ revision }}}}",q="{i}"}}',
                "min": 0.9,
                "decide": "Threshold",
            },
        }
        for i in range(16)
    ]
    strategy = {"steps": [{"weight": 100, "hold": "5s"}], "bake": "30s"}
    story = gray.furnished(gray.rollout(gates=gates, strategy=strategy))
    slow = SlowOrders(story)
    story.metrics.script("orders", lambda _, at: vector([({}, 1.0)], at=at))
    async with gray.running(gray.controller(story, metrics=slow).run):
        await story.stable()
        story.want("v2")
        await story.until_phase("Baking", within_seconds=60)
        await asyncio.sleep(2)
        slow.is_slow = True
        await asyncio.sleep(200)

        assert story.status().stable_revision == "v1", story.status().message
        assert story.status().phase == "RolledBack"


async def test_a_histogram_that_stops_while_requests_go_on_is_no_good_news() -> None:
    gate = {"name": "slow", "latency": {"quantilePercent": 99, "max": "500ms"}}
    strategy = {"steps": [{"weight": 50, "hold": "5s"}, {"weight": 100}], "bake": "5m"}
    story = gray.furnished(gray.rollout(gates=[gate], strategy=strategy))
    labels = {
        "reporter": "source",
        "destination_service": "reviews.shop.svc.cluster.local",
        "response_code": "200",
        "instance": "client",
    }
    buckets = [
        story.metrics.counter(
            "istio_request_duration_milliseconds_bucket",
            {**labels, "destination_workload": f"reviews-{version}", "le": le},
            per_second=50,
        )
        for version in gray.VERSIONS
        for le in ("500", "+Inf")
    ]
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_phase("Baking", within_seconds=60)
        await asyncio.sleep(10)
        for bucket in buckets:
            bucket.vanish()
        await asyncio.sleep(600)

        assert story.status().stable_revision == "v1", story.status().message


async def test_series_of_the_canary_that_stop_while_those_of_stable_go_on_are_no_good_news() -> (
    None
):
    strategy = {"steps": [{"weight": 50, "hold": "5m"}], "bake": "10s"}
    async with gray.told(gray.rollout(strategy=strategy)) as story:
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=60)
        await asyncio.sleep(10)
        for (version, _), counter in story.counters.items():
            if version == "v2":
                counter.vanish()
        await asyncio.sleep(600)

        assert story.run().step == 1, story.status().message
        assert "no new sample about v2" in story.status().message
