"""Queries that users wrote, and runs that nothing has been heard of yet."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rollout.analysis.query import ARRIVED, Shape
from rollout.analysis.sample import NoAnswer
from rollout.api.meta import Key
from rollout.controller.record import Record
from rollout.controller.sight import Own, Wish
from rollout.controller.telescope import FIRST_SIGHT_SECONDS, Telescope
from tests.stories.gray import running
from tests.world.clock import FakeClock
from tests.world.metrics import FakeMetrics, vector

pytestmark = pytest.mark.looptime(noop_cycles=1)

A, B = Key("shop", "a"), Key("shop", "b")


def wish(**given: Any) -> Wish:
    return Wish(host="a.shop.svc.cluster.local", **given)


class Bench:
    """A telescope, its Prometheus, and what was rung."""

    def __init__(self, *, prometheus: bool = True) -> None:
        clock = FakeClock()
        self.rung: list[Key] = []
        self.metrics = FakeMetrics(clock, scrape_seconds=1)
        self.metrics.script("orders", lambda _, at: vector([({}, 1.0)], at=at))
        self.telescope = Telescope(
            self.metrics if prometheus else None,
            clock,
            self.rung.append,
            Record(),
            interval_seconds=1,
        )

    def asked(self, word: str) -> int:
        return sum(word in text for text in self.metrics.asked)


async def test_the_same_query_of_two_runs_is_asked_once() -> None:
    bench = Bench()
    async with running(bench.telescope.run):
        for key in (A, B):
            bench.telescope.want(key, wish(queries={"own": Own(text="orders")}))
        await asyncio.sleep(0.1)

        assert bench.asked("orders") == 1
        assert set(bench.rung) == {A, B}
        assert set(bench.telescope.seen(A).documents) == {"own"}


async def test_own_queries_are_asked_once_an_interval_though_samples_fail_to_come() -> None:
    bench = Bench()
    async with running(bench.telescope.run):
        bench.telescope.want(A, wish(queries={"own": Own(text="orders")}))
        await asyncio.sleep(10)

        assert 5 <= bench.asked("orders") <= 12


async def test_a_query_under_way_is_not_asked_again() -> None:
    bench = Bench()
    bench.metrics.latency_seconds = 4
    async with running(bench.telescope.run):
        bench.telescope.want(A, wish(queries={"own": Own(text="orders")}))
        await asyncio.sleep(7.9)

        assert bench.asked("orders") == 1


async def test_answers_about_another_step_are_dropped() -> None:
    bench = Bench()
    async with running(bench.telescope.run):
        bench.telescope.want(A, wish(queries={"own": Own(text="orders")}, about=("1", 1)))
        await asyncio.sleep(0.1)
        before = bench.telescope.seen(A).documents
        bench.metrics.latency_seconds = 2
        bench.telescope.want(A, wish(queries={"own": Own(text="orders")}, about=("1", 2)))

        assert before
        assert bench.telescope.seen(A).documents == {}


async def test_an_answer_that_fails_takes_the_last_one_away() -> None:
    bench = Bench()
    async with running(bench.telescope.run):
        bench.telescope.want(A, wish(queries={"own": Own(text="orders")}))
        await asyncio.sleep(0.1)
        bench.metrics.down = True
        await asyncio.sleep(3)

        assert isinstance(bench.telescope.seen(A).documents["own"], NoAnswer)
        assert bench.telescope.seen(A).problem


async def test_a_run_is_in_the_dark_until_the_first_answer_whatever_it_is() -> None:
    bench = Bench()
    dark = bench.telescope.is_blind(A)
    async with running(bench.telescope.run):
        bench.telescope.want(A, wish())
        at_first = bench.telescope.is_blind(A)
        await asyncio.sleep(0.1)

        assert dark
        assert at_first
        assert not bench.telescope.is_blind(A)
        assert bench.rung == [A]


async def test_the_dark_is_not_waited_out_for_long() -> None:
    bench = Bench()
    bench.metrics.latency_seconds = 60
    async with running(bench.telescope.run):
        bench.telescope.want(A, wish())
        await asyncio.sleep(FIRST_SIGHT_SECONDS - 0.1)
        early = bench.telescope.is_blind(A)
        await asyncio.sleep(0.2)

        assert early
        assert not bench.telescope.is_blind(A)


async def test_without_an_address_nothing_is_waited_for() -> None:
    bench = Bench(prometheus=False)
    bench.telescope.want(A, wish())

    assert not bench.telescope.is_blind(A)
    assert "--prometheus" in bench.telescope.seen(A).problem


async def test_arrivals_are_asked_for_where_they_are_wanted_and_callers_may_fall_silent() -> None:
    bench = Bench()
    labels = {"destination_service": "a.shop.svc.cluster.local", "pod": "a"}
    name = "istio_requests_total"
    caller = bench.metrics.counter(name, {**labels, "reporter": "source"}, per_second=1)
    bench.metrics.counter(name, {**labels, "reporter": "destination"}, per_second=1)
    async with running(bench.telescope.run):
        bench.telescope.want(A, wish(arrivals=True, arrival_edges_ms=(250.0,)))
        await asyncio.sleep(3)
        before = bench.telescope.seen(A)
        caller.vanish()
        await asyncio.sleep(10)
        after = bench.telescope.seen(A)

    assert set(before.answers) == {Shape.REQUESTS, *ARRIVED}
    assert before.answers[Shape.ARRIVALS]
    assert before.problem == ""
    assert "no new sample" in after.problem


async def test_what_is_forgotten_is_asked_for_no_more() -> None:
    bench = Bench()
    async with running(bench.telescope.run):
        bench.telescope.want(A, wish(queries={"own": Own(text="orders")}))
        await asyncio.sleep(3)
        bench.telescope.forget(A)
        before = len(bench.metrics.asked)
        await asyncio.sleep(60)

        assert len(bench.metrics.asked) == before
