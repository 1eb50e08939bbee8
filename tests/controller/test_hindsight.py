"""What was usual before a run is asked once, and nobody waits for long."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from rollout.analysis.arm import Arms
from rollout.analysis.history import History
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.evidence import Baseline
from rollout.api.meta import Key
from rollout.controller.hindsight import PATIENCE_SECONDS, Hindsight, of_history
from rollout.controller.record import Record
from rollout.ports import Metrics
from tests.world.clock import FakeClock
from tests.world.metrics import FakeMetrics

pytestmark = pytest.mark.looptime(noop_cycles=1)

KEY = Key("shop", "reviews")
ARMS = Arms(label="destination_workload", stable="reviews-v1", canary="reviews-v2")
ERRORS = GateQuestion(name="errors", kind=GateKind.ERRORS, max_ratio=1.2)
SLOW = GateQuestion(name="slow", kind=GateKind.LATENCY, max_ratio=1.2, edge_ms=300)
ORDERS = GateQuestion(name="orders", kind=GateKind.QUERY, promql="1", min=0)


class Asking:
    """A hindsight, and the keys it has rung."""

    def __init__(self, metrics: Metrics | None, clock: FakeClock) -> None:
        self.clock = clock
        self.rung: list[Key] = []
        self.hindsight = Hindsight(metrics, self.rung.append, Record())

    def baseline(self, *gates: GateQuestion, run: str = "1") -> Baseline | None:
        host = "reviews.shop.svc.cluster.local"
        return self.hindsight.baseline(
            KEY, run, host=host, arms=ARMS, gates=gates, now=self.clock.now()
        )


async def test_it_is_asked_once_a_run_and_the_key_is_rung() -> None:
    clock = FakeClock()
    metrics = FakeMetrics(clock)
    asking = Asking(metrics, clock)
    working = asyncio.get_running_loop().create_task(asking.hindsight.run())
    try:
        assert asking.baseline(ERRORS) is None
        await asyncio.sleep(1)
        found, asked = asking.baseline(ERRORS), len(metrics.asked)
        await asyncio.sleep(1)

        assert found is not None
        assert found.dispersion_factor == 2, "this Prometheus cannot read such questions"
        assert "2 times the evidence is asked for" in found.because
        assert asking.rung == [KEY]
        assert asking.baseline(ERRORS) == found
        assert len(metrics.asked) == asked > 0
        assert asking.baseline(ERRORS, run="2") is None, "another run asks anew"
    finally:
        working.cancel()
        await asyncio.wait([working])


async def test_a_prometheus_that_does_not_tell_is_not_waited_for() -> None:
    asking = Asking(FakeMetrics(FakeClock()), clock := FakeClock())
    began = clock.now()

    assert asking.baseline(ERRORS) is None
    await asyncio.sleep(PATIENCE_SECONDS)
    found = asking.baseline(ERRORS)

    assert clock.now() - began >= timedelta(seconds=PATIENCE_SECONDS)
    assert found is not None
    assert "has not told of the past within 10 s" in found.because


async def test_without_an_address_or_a_gate_that_counts_nothing_is_asked() -> None:
    clock = FakeClock()
    metrics = FakeMetrics(clock)

    nowhere = Asking(None, clock).baseline(ERRORS)
    queries = Asking(metrics, clock).baseline(ORDERS)

    assert nowhere is not None
    assert queries is not None
    assert "no Prometheus address" in nowhere.because
    assert not metrics.asked


async def test_each_gate_has_what_is_known_of_it() -> None:
    known = History(
        dispersion_factor=3,
        slow_dispersion_factors={250.0: 5.0},
        bad_ratio=0.001,
        slow_ratios={250.0: 0.02},
        spotless_edges_ms=frozenset({250.0}),
        requests_per_second=80,
        why="errors are bursty",
    )

    found = of_history(known, [ERRORS, SLOW, ORDERS])

    assert (found.dispersion_factor, found.dispersion_factors) == (3, {"slow": 5.0})
    assert found.bad_ratios == {"errors": 0.001, "slow": 0.02}
    assert found.spotless == ("slow",)
    assert (found.requests_per_second, found.because) == (80, "errors are bursty")
