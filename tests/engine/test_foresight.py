"""A whole run foretold: how long its steps last, which gates can be told of, what it waits for."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from rollout.analysis.history import History
from rollout.api.reading import read_spec
from rollout.api.rollout import Plan
from rollout.engine import foresight
from rollout.engine import plan as plans
from rollout.engine.foretold import Foresight, Size

HISTORY = History(
    dispersion_factor=1.0,
    bad_ratio=0.001,
    slow_ratios={500.0: 0.004},
    slow_dispersion_factors={500.0: 7.0},
    why="errors come one by one",
)


def plan(**spec: Any) -> Plan:
    return plans.resolve(read_spec({"spec": {"host": "reviews", "revision": "v2", **spec}}))


def dwells(found: Foresight) -> list[float | None]:
    return [one.dwell_seconds for one in found.steps]


LADDER = {"steps": [{"weight": 10, "hold": "2m"}, {"pause": {}}, {"weight": 50, "hold": "5m"}]}
COMPARED = [{"name": "errors", "errorRate": {"maxRatio": 1.2, "maxPercent": 0.1}}]


def test_a_step_waits_for_the_first_block_of_a_query() -> None:
    refunds = {"name": "refunds", "query": {"promql": "sum(rate(x[5m]))", "max": 1}}
    ladder = {"steps": [{"weight": 10, "hold": "2m"}, {"weight": 50, "hold": "10m"}]}

    found = foresight.foresee(
        plan(strategy=ladder, gates=[refunds]), HISTORY, requests_per_second=10
    )

    first, second, _full = dwells(found)
    assert (first, second) == (330, 600)


def test_a_step_lasts_its_hold_and_the_last_one_below_100_until_the_proof_stands() -> None:
    found = foresight.foresee(
        plan(strategy=LADDER, gates=COMPARED), HISTORY, requests_per_second=10
    )

    first, pause, last, _full = dwells(found)
    gate = found.gates[0]
    assert (first, pause) == (120, None)
    assert last is not None
    assert last == gate.steps[3].proof_seconds
    assert last > 1_000
    assert found.total_seconds == pytest.approx(120 + last)
    assert [one.proves for one in found.steps] == [False, False, True, False]
    assert set(gate.steps) == {1, 2, 3}


def test_with_proven_ratio_off_nothing_is_waited_for_but_the_hold() -> None:
    found = foresight.foresee(
        plan(strategy=LADDER, gates=COMPARED, judge={"provenRatio": "Off"}),
        HISTORY,
        requests_per_second=10,
    )

    assert dwells(found)[:3] == [120, None, 300]
    assert not any(one.proves for one in found.steps)


def test_a_step_waits_for_as_many_requests_as_its_gates_want_of_each_revision() -> None:
    strategy = {"steps": [{"weight": 2}, {"weight": 99}]}
    found = foresight.foresee(
        plan(strategy=strategy, judge={"minRequests": 300, "provenRatio": "Off"}),
        HISTORY,
        requests_per_second=10,
    )

    assert dwells(found) == [pytest.approx(1_500), pytest.approx(3_000), pytest.approx(30)]


def test_slow_requests_have_a_rate_and_a_dispersion_of_their_own() -> None:
    gates = [{"name": "latency", "latency": {"quantilePercent": 99, "max": "800ms"}}]
    resolved = plan(gates=gates)

    found = foresight.foresee(resolved, HISTORY, requests_per_second=10)

    assert foresight.edges_ms(resolved) == (500.0,)
    gate = found.gates[0]
    assert (gate.edge_ms, gate.bad_ratio, gate.dispersion_factor) == (500.0, 0.004, 7.0)


def test_gates_that_the_past_does_not_tell_of_are_named() -> None:
    gates = [
        {"name": "slow", "latency": {"max": "100ms"}},
        {"name": "tcp", "tcpFailures": {"maxPercent": 1}},
        {"name": "orders", "query": {"promql": "up", "min": 1}},
    ]

    found = foresight.foresee(plan(gates=gates), HISTORY, requests_per_second=10)

    assert found.gates == []
    assert found.silent["slow"] == (
        "it is not known how many requests are usually slower than 100 ms"
    )
    assert set(found.silent) == {"slow", "tcp", "orders"}


def test_a_check_waits_for_the_proof_of_the_gates_that_it_names_only() -> None:
    strategy = {"steps": [{"weight": 50, "hold": "1m"}, {"check": {"gates": ["orders"]}}]}
    gates = [*COMPARED, {"name": "orders", "query": {"promql": "up", "min": 1}}]

    found = foresight.foresee(plan(strategy=strategy, gates=gates), HISTORY, requests_per_second=10)

    weight, check = (one.proof_seconds for one in found.gates[0].steps.values())
    assert weight is not None  # the last step that sends anything proves, and the check after it
    assert check is None
    assert [one.proves for one in found.steps] == [True, False, False]


def test_where_nothing_ever_failed_the_proof_is_against_the_gates_own_percentage() -> None:
    gates = [
        {"name": "errors", "errorRate": {"maxRatio": 1.2, "maxPercent": 0.5}},
        {"name": "slow", "latency": {"max": "500ms", "quantilePercent": 99, "maxRatio": 1.2}},
    ]
    spotless = replace(
        HISTORY, bad_ratio=1e-7, is_spotless=True, spotless_edges_ms=frozenset({500.0})
    )

    def proofs(history: History) -> list[float]:
        found = foresight.foresee(
            plan(strategy=LADDER, gates=gates), history, requests_per_second=10
        )
        return [one.steps[3].proof_seconds or math.nan for one in found.gates]

    assert proofs(spotless)[0] < 1_000  # 0.5 % at half of 10 requests a second
    assert proofs(replace(spotless, is_spotless=False))[0] > 1_000_000
    assert proofs(spotless)[1] != proofs(replace(spotless, spotless_edges_ms=frozenset()))[1]


def test_a_run_may_take_longer_than_it_is_given() -> None:
    found = foresight.foresee(
        plan(strategy={**LADDER, "maxDuration": "10m"}, gates=COMPARED),
        HISTORY,
        requests_per_second=10,
    )

    assert found.total_seconds > found.deadline_seconds == 600
    assert not math.isinf(found.total_seconds)


RAMP = {"steps": [{"ramp": {"maxWeight": 50, "riskBudgetRequests": 30, "minHold": "1m"}}]}


def test_a_ramp_grows_first_and_an_outage_costs_no_more_than_its_budget() -> None:
    found = foresight.foresee(
        plan(strategy=RAMP, gates=COMPARED), HISTORY, requests_per_second=1_000
    )

    ramp, _full = found.steps
    assert 60 <= ramp.grows_seconds <= 180
    proof = found.gates[0].steps[1].proof_seconds
    assert proof is not None
    assert ramp.dwell_seconds == pytest.approx(ramp.grows_seconds + max(60, proof))
    assert ramp.proves
    outage = found.gates[0].steps[1].costs[Size.OUTAGE]
    assert outage.is_found
    assert outage.failures_count < 30


def test_a_bad_canary_costs_less_on_a_ramp_than_on_a_fixed_step() -> None:
    def cost(strategy: dict[str, Any]) -> float:
        resolved = plan(strategy=strategy, gates=COMPARED)
        found = foresight.foresee(resolved, HISTORY, requests_per_second=1_000)
        return found.gates[0].steps[1].costs[Size.OUTAGE].failures_count

    assert cost(RAMP) * 10 < cost({"steps": [{"weight": 10, "hold": "5m"}]})
