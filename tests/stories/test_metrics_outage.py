"""Prometheus down, slow, empty or odd: the run holds, says so, and goes on by itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from rollout.api.action import Verb
from rollout.api.meta import ROLLOUT, Key, Manifest
from rollout.api.phase import ConditionType
from rollout.base.errors import BadInput, Unreachable
from tests.stories import gray
from tests.stories.gray import Story
from tests.world.metrics import SERVER, FakeMetrics, matrix, vector

pytestmark = pytest.mark.looptime(noop_cycles=1)

Answer = Callable[[str, float], Mapping[str, Any]]


def nothing(_: str, __: float) -> Mapping[str, Any]:
    return matrix([])


def warned(_: str, __: float) -> Mapping[str, Any]:
    return {**matrix([]), "warnings": ["PromQL warning: a store did not answer"]}


def partial(_: str, __: float) -> Mapping[str, Any]:
    return {**matrix([]), "isPartial": True}


def garbage(_: str, __: float) -> Mapping[str, Any]:
    return {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": 7}]}}


def not_numbers(_: str, at: float) -> Mapping[str, Any]:
    labels = {
        "__name__": "istio_requests_total",
        "reporter": "source",
        "destination_service": "reviews.shop.svc.cluster.local",
        "destination_workload": "reviews-v2",
        "response_code": "200",
    }
    answer: dict[str, Any] = dict(matrix([(labels, [(at, 1.0)])]))
    answer["data"]["result"][0]["values"] = [[at - 1, "NaN"], [at, "NaN"]]
    return answer


ODD: dict[str, Answer] = {
    "empty": nothing,
    "warned": warned,
    "partial": partial,
    "garbage": garbage,
    "not numbers": not_numbers,
}


async def begin(story: Story) -> None:
    await story.stable()
    story.want("v2")
    await story.until_step(1, within_seconds=30)
    await asyncio.sleep(3)


async def holds_and_says_so(story: Story) -> None:
    """Five minutes in which nothing moves, and everybody can see why."""
    await asyncio.sleep(20)
    condition = story.condition(ConditionType.METRICS_AVAILABLE)
    assert condition is not None
    assert condition.status == "False"
    assert "Prometheus" in condition.message
    await asyncio.sleep(280)
    assert story.status().phase == "Progressing"
    assert story.run().step == 1
    assert "Prometheus" in story.status().message
    assert story.events("RolledBack") == []


async def test_a_prometheus_that_is_down_for_minutes_holds_the_run_peers_76() -> None:
    async with gray.told() as story:
        await begin(story)

        story.metrics.down = True
        await holds_and_says_so(story)
        story.metrics.down = False
        await story.stable("v2", within_seconds=60)

        assert story.canary_weights() == [0, 5, 50, 100]


@pytest.mark.parametrize("phase", ["Promoting", "Baking"])
async def test_a_prometheus_that_is_down_holds_at_100_percent_and_in_the_bake(phase: str) -> None:
    async with gray.told() as story:
        await story.stable()
        story.want("v2")
        await story.until_phase(phase, within_seconds=120)

        story.metrics.down = True
        await asyncio.sleep(600)
        held = story.status()
        story.metrics.down = False
        await story.stable("v2", within_seconds=60)

        assert held.phase == phase
        assert "Prometheus" in held.message
        assert story.canary_weights() == [0, 5, 50, 100]


async def test_a_ladder_of_100_percent_alone_is_not_promoted_unseen() -> None:
    steps = [{"weight": 100}]
    async with gray.told(gray.rollout(strategy={"steps": steps, "bake": "5s"})) as story:
        await story.stable()
        story.metrics.down = True
        story.want("v2")
        await asyncio.sleep(600)
        held = story.status()

        story.metrics.down = False
        await story.stable("v2", within_seconds=60)

        assert held.phase == "Promoting"


async def test_a_finished_bake_is_not_promoted_unseen_after_a_restart() -> None:
    story = gray.furnished()
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_phase("Baking", within_seconds=120)
        story.metrics.down = True
        await asyncio.sleep(60)

    async with gray.running(gray.controller(story).run):
        await asyncio.sleep(60)
        restarted = story.status()
        story.metrics.down = False
        await story.stable("v2", within_seconds=60)

    assert restarted.phase == "Baking"


async def test_a_prometheus_that_hangs_holds_the_run_and_an_abort_does_not_wait_for_it() -> None:
    async with gray.told() as story:
        await begin(story)
        story.metrics.latency_seconds = 60
        await holds_and_says_so(story)

        said = story.command(Verb.ABORT)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=0.1)
        await story.until_phase("RolledBack", within_seconds=5)

        assert story.answer(said)["outcome"] == "Applied"


@pytest.mark.parametrize("name", ODD)
async def test_an_answer_that_says_nothing_is_no_good_news(name: str) -> None:
    async with gray.told() as story:
        await begin(story)

        story.metrics.script("istio_requests_total", ODD[name])
        await holds_and_says_so(story)
        story.metrics._scripts.clear()
        await story.stable("v2", within_seconds=60)

        assert story.canary_weights() == [0, 5, 50, 100]


async def test_a_service_nobody_calls_is_never_promoted_peers_72() -> None:
    story = gray.furnished()
    story.requests_per_second = 0
    story.flow()
    async with gray.running(gray.controller(story).run):
        await begin(story)
        await asyncio.sleep(120)

        assert story.run().step == 1
        assert story.status().reason == "WaitingForGates"


async def test_without_an_address_the_run_says_what_to_set() -> None:
    story = gray.furnished()
    async with gray.running(gray.controller(story, prometheus=False).run):
        await begin(story)
        await asyncio.sleep(60)

        assert story.run().step == 1
        assert "--prometheus" in story.status().message


async def test_samples_that_stop_coming_are_as_bad_as_no_answer() -> None:
    async with gray.told() as story:
        await begin(story)

        for counter in story.counters.values():
            counter.vanish()
        await holds_and_says_so(story)


async def test_a_prometheus_that_fails_every_other_time_does_not_flood_the_status() -> None:
    steps = [{"weight": 5, "hold": "5m"}]
    async with gray.told(gray.rollout(strategy={"steps": steps, "maxDuration": "1h"})) as story:
        await begin(story)
        before, refused = story.writes(ROLLOUT), False

        def fickle(_: str, at: float) -> Mapping[str, Any]:
            nonlocal refused
            refused = not refused
            return warned("", at) if refused else real(at)

        def real(at: float) -> Mapping[str, Any]:
            for counter in story.counters.values():
                counter.catch_up()
            rows = [
                (c.labels, [s for s in c.samples if s[0] > at - 10])
                for c in story.counters.values()
            ]
            return matrix(rows)

        story.metrics.script("istio_requests_total", fickle)
        await asyncio.sleep(120)

        assert story.writes(ROLLOUT) - before <= 14


async def test_an_outage_that_spans_a_failure_is_caught_up_with_and_judged() -> None:
    async with gray.told() as story:
        await begin(story)
        story.metrics.down = True
        await asyncio.sleep(5)
        story.fail("v2", 40)
        await asyncio.sleep(60)

        story.metrics.down = False
        await story.until_phase("RolledBack", within_seconds=15)

        assert story.run().ending is not None
        assert story.status().history[0].canary_failures > 0


def own_query(**bounds: Any) -> Manifest:
    gate = {
        "name": "orders",
        "query": {"promql": 'orders{rev="{{ revision }}"}', "decide": "Threshold", **bounds},
    }
    return gray.rollout(gates=[gate])


async def test_a_query_of_its_own_decides_alone() -> None:
    async with gray.told(own_query(min=0.9)) as story:
        story.metrics.script("orders", lambda _, at: vector([({}, 1.0)], at=at))
        await story.stable()

        story.want("v2")
        await story.stable("v2", within_seconds=120)


@pytest.mark.parametrize("rows", [[], [({"a": "1"}, 1.0), ({"a": "2"}, 1.0)], [({}, float("nan"))]])
async def test_a_query_without_one_number_holds_and_tells_why_peers_75(rows: Any) -> None:
    async with gray.told(own_query(min=0.9)) as story:
        story.metrics.script("orders", lambda _, at: vector(rows, at=at))
        await story.stable()

        story.want("v2")
        await asyncio.sleep(90)

        assert story.run().step == 1
        assert "orders" in story.status().message


async def test_an_answer_about_the_last_step_says_nothing_about_this_one() -> None:
    async with gray.told(own_query(min=0.9)) as story:
        story.metrics.script("orders", lambda _, at: vector([({}, 1.0)], at=at))
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=60)

        story.metrics.script("orders", lambda _, at: vector([], at=at))
        await asyncio.sleep(60)

        assert story.run().step == 2


BROKEN: Mapping[str, Any] = {"status": "error", "errorType": "execution", "error": "too many"}


@pytest.mark.parametrize(
    ("promql", "troubled"),
    [
        ('orders{rev="{{ revision }}"}', "stable"),
        ('orders{rev="{{ canary }}"} / orders{rev="{{ stable }}"}', "compared"),
        ('orders{rev="{{ canary }}"} / orders{rev="{{ stable }}"}', "itself"),
        ('orders{rev="{{ canary }}"} / orders{rev="{{ stable }}"}', "between"),
    ],
)
async def test_a_comparison_that_nobody_can_make_holds_at_100_percent_as_anywhere(
    promql: str, troubled: str
) -> None:
    """Without traffic stable has no number at 100 percent; an error there says nothing of that."""
    relative = {"relativeTo": "stable"} if troubled == "stable" else {}
    gate = {
        "name": "orders",
        "query": {"promql": promql, "decide": "Threshold", "max": 2, **relative},
    }
    async with gray.told(gray.rollout(gates=[gate])) as story:
        broken = False

        def orders(text: str, at: float) -> Mapping[str, Any]:
            about = {
                ("v1",): "stable",
                ("v2",): "canary",
                ("v2", "v1"): "compared",
                ("v2", "v2"): "itself",
                ("v1", "v1"): "between",
            }[tuple(re.findall(r'rev="(\w+)"', text))]
            if broken and about == troubled:
                return BROKEN
            if about in ("stable", "compared", "between") and story.weight("v2") == 100:
                return vector([], at=at)
            return vector([({}, 1.0)], at=at)

        story.metrics.script("orders", orders)
        await story.stable()
        story.want("v2")
        await story.until_phase("Promoting", within_seconds=120)

        broken = True
        await asyncio.sleep(600)
        held = story.status()
        broken = False
        await story.stable("v2", within_seconds=60)

        assert held.phase == "Promoting"
        assert "orders" in held.message


@pytest.mark.parametrize("canary", [True, False], ids=["canary answers", "nobody answers"])
async def test_a_query_that_compares_by_itself_ends_a_run_without_stable_only_if_the_canary_answers(
    canary: bool,
) -> None:
    promql = 'orders{rev="{{ canary }}"} / orders{rev="{{ stable }}"}'
    gate = {"name": "orders", "query": {"promql": promql, "decide": "Threshold", "max": 2}}
    async with gray.told(gray.rollout(gates=[gate])) as story:

        def orders(text: str, at: float) -> Mapping[str, Any]:
            full = story.weight("v2") == 100
            found = canary and "v1" not in text if full else True
            return vector([({}, 1.0)] if found else [], at=at)

        story.metrics.script("orders", orders)
        await story.stable()
        assert not any('rev="v2"} / orders{rev="v2"' in text for text in story.metrics.asked)
        story.want("v2")
        await story.until_step(3, within_seconds=120)
        await asyncio.sleep(300)

        assert story.status().phase == ("Stable" if canary else "Promoting")


async def test_a_query_that_prometheus_refuses_holds_and_says_what_prometheus_said() -> None:
    async with gray.told(own_query(min=0.9)) as story:

        def refused(text: str, _: float) -> Mapping[str, Any]:
            raise BadInput(text)

        story.metrics.script("orders", refused)
        await story.stable()
        story.want("v2")
        await asyncio.sleep(30)

        assert story.run().step == 1
        assert 'orders{rev="v2"}' in story.status().message


class SlowOrders:
    """A Prometheus that never gets done with one query."""

    def __init__(self, metrics: FakeMetrics) -> None:
        self._metrics = metrics

    async def query(
        self, promql: str, *, time_seconds: float | None, timeout_seconds: float
    ) -> Mapping[str, Any]:
        if "orders" in promql:
            await asyncio.sleep(timeout_seconds)
            raise Unreachable(SERVER, why="no answer in time")
        return await self._metrics.query(
            promql, time_seconds=time_seconds, timeout_seconds=timeout_seconds
        )

    async def close(self) -> None:
        """Nothing is held."""


async def test_a_slow_query_of_one_rollout_delays_no_other_peers_124() -> None:
    story = gray.furnished()
    gray.furnish(story.cluster, "ratings")
    slow = own_query(min=0.9)
    slow["metadata"]["name"] = "ratings"
    slow["spec"]["host"] = "ratings"
    story.cluster.put(ROLLOUT, slow)
    async with gray.running(gray.controller(story, metrics=SlowOrders(story.metrics)).run):
        await story.stable()
        story.cluster.edit(
            ROLLOUT, Key(gray.NAMESPACE, "ratings"), lambda m: m["spec"].update(revision="v2")
        )
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(7)

        began = story.clock.monotonic_seconds()
        story.fail("v2", 100)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=10)

        assert story.clock.monotonic_seconds() - began < 3
