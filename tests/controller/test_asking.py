"""Asking Prometheus: bounded, counted, and never an exception."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from rollout.analysis import query
from rollout.analysis.sample import Missing, NoAnswer
from rollout.base.errors import BadInput, BrokenAnswer, Overloaded, RolloutError, Unreachable
from rollout.controller.asking import OWN_QUERIES_AT_ONCE_MAX, QUERIES_AT_ONCE_MAX, Asker
from rollout.controller.record import Record
from tests.world.clock import FakeClock
from tests.world.metrics import FakeMetrics, vector

pytestmark = pytest.mark.looptime(noop_cycles=1)


def slow() -> FakeMetrics:
    """A Prometheus that takes a second for each answer."""
    metrics = FakeMetrics(FakeClock())
    metrics.latency_seconds = 1
    metrics.script("slow", lambda _, at: vector([], at=at))
    return metrics


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_questions_are_asked_side_by_side_within_a_bound() -> None:
    hosts = [f"h{i}.shop.svc" for i in range(query.HOSTS_PER_QUERY_MAX * 6)]
    questions = query.requests(hosts, window_seconds=10)

    found = await Asker(slow(), Record()).series(questions)

    assert set(found.values()) == {()}
    assert len(found) == 6
    assert now() == pytest.approx(-(-6 // QUERIES_AT_ONCE_MAX), abs=0.01)


async def test_queries_of_users_leave_room_for_ours() -> None:
    asker = Asker(slow(), Record())

    async with asyncio.TaskGroup() as tasks:
        for i in range(8):
            tasks.create_task(asker.own(f"slow_{i}"))
        await asyncio.sleep(0.1)
        await asker.series(query.requests(["a.shop.svc"], window_seconds=10))
        ours = now()
    theirs = now()

    assert ours == pytest.approx(1.1, abs=0.01)
    assert theirs == pytest.approx(8 / OWN_QUERIES_AT_ONCE_MAX, abs=0.01)


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (Unreachable("Prometheus", why="connection refused"), "unreachable"),
        (Overloaded("Prometheus", retry_after_seconds=1), "overloaded"),
        (BadInput("up("), "refused"),
        (BrokenAnswer("Prometheus", why="it is no JSON"), "broken"),
    ],
)
async def test_what_goes_wrong_is_an_answer_with_a_sentence_and_counted(
    error: RolloutError, counted: str
) -> None:
    record, metrics = Record(), FakeMetrics(FakeClock())

    def fail(_: str, __: float) -> Mapping[str, Any]:
        raise error

    metrics.script("up", fail)

    answer = await Asker(metrics, record).own("up")

    assert isinstance(answer, NoAnswer)
    assert answer.reason is Missing.ERROR
    assert answer.sentence == str(error)
    sample = f'rollout_prometheus_queries_total{{outcome="{counted}",shape="custom"}} 1.0'
    assert sample in record.render().decode()
