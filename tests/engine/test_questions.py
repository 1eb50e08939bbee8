"""What a run asks of its gates."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.analysis.verdict import GateKind
from rollout.api.gate import ErrorRate, Gate, Judge, Latency, Query, TcpFailures
from rollout.engine import plan as plans
from rollout.engine import questions
from tests.world.engine_world import spec_of

PLAN = plans.resolve(spec_of(judge={"minRequests": 25}))


def test_error_rates_keep_both_bounds_and_the_least_requests() -> None:
    gate = Gate(name="e", error_rate=ErrorRate(max_percent=1.5, max_ratio=2))

    question = questions.of_gate(gate, PLAN)

    assert question.kind is GateKind.ERRORS
    assert (question.max_percent, question.max_ratio) == (1.5, 2)
    assert question.min_requests == 25


def test_a_latency_gate_bounds_the_share_that_is_slower() -> None:
    gate = Gate(name="l", latency=Latency(quantile_percent=99.9, max="250ms"))

    question = questions.of_gate(gate, PLAN)

    assert question.max_percent == 0.1
    assert question.edge_ms == 250


def test_a_latency_gate_of_one_millisecond_is_not_cut_to_none_peers_52() -> None:
    gate = Gate(name="l", latency=Latency(quantile_percent=50, max="1ms"))

    assert questions.of_gate(gate, PLAN).edge_ms == 1


def test_a_latency_gate_that_only_compares_has_an_edge_of_its_own() -> None:
    gate = Gate(name="l", latency=Latency(quantile_percent=99, max_ratio=1.5))

    question = questions.of_gate(gate, PLAN)

    assert question.max_percent is None
    assert question.edge_ms == 500
    assert questions.LATENCY_DEFAULT == "500ms"


def test_tcp_and_query_gates_ask_for_what_they_name() -> None:
    tcp = Gate(name="t", tcp_failures=TcpFailures(max_percent=1))
    own = Gate(name="q", query=Query(promql="x", min=1, relative_to="stable"))

    assert questions.of_gate(tcp, PLAN).kind is GateKind.TCP
    assert questions.of_gate(own, PLAN).relative_to_stable


def test_gates_that_decide_by_counts_share_the_risk_by_their_weights() -> None:
    errors = Gate(name="e", error_rate=ErrorRate(max_ratio=2), weight=3)
    slow = Gate(name="l", latency=Latency(max="1s"))
    tried = Gate(name="t", latency=Latency(max="2s"), mode="Observe", weight=9)
    own = Gate(name="q", query=Query(promql="x", min=1))
    plan = PLAN.model_copy(update={"gates": (errors, slow, tried, own)})

    found = {q.name: (q.risk_ratio, q.advisory) for q in questions.of_plan(plan)}

    assert found["e"] == (0.75, False)
    assert found["l"] == (0.25, False)
    assert found["t"] == (1, True), "what only observes takes nothing from the others"
    assert not found["q"][1]


def test_promises_are_asked_as_fractions_and_off_asks_for_no_proof() -> None:
    judge = Judge(false_rollback_percent=0.5, false_promote_percent=2, proven_ratio=3)
    gate = Gate(name="e", error_rate=ErrorRate(max_ratio=2))
    plan = PLAN.model_copy(update={"judge": judge})
    off = PLAN.model_copy(update={"judge": Judge(proven_ratio="Off")})

    question = questions.of_gate(gate, plan)

    assert question.false_rollback_ratio == pytest.approx(0.005)
    assert question.false_promote_ratio == pytest.approx(0.02)
    assert question.proven_ratio == 3
    assert questions.of_gate(gate, off).proven_ratio is None


def test_the_first_latency_gate_that_compares_does_so_at_four_edges() -> None:
    slow = Gate(name="slow", latency=Latency(max="300ms", max_ratio=1.3))
    other = Gate(name="other", latency=Latency(max="1s", max_ratio=1.3))
    plan = PLAN.model_copy(update={"gates": (slow, other)})

    found = questions.of_plan(plan)

    assert [q.name for q in found] == ["slow", "other", "slow@500", "slow@100", "slow@50"]
    assert [(q.beside, q.edge_ms, q.max_percent) for q in found[2:]] == [
        ("slow", 500, None),
        ("slow", 100, None),
        ("slow", 50, None),
    ]


@pytest.mark.parametrize(
    ("steps", "proving"),
    [
        ([{"weight": 5}, {"weight": 50}, {"weight": 100}], [2]),
        ([{"weight": 50}, {"pause": {}}, {"weight": 100}], [1]),
        ([{"weight": 50}, {"check": {"gates": ["errors"]}}, {"weight": 100}], [1, 2]),
        ([{"ramp": {"maxWeight": 10}}, {"weight": 50}, {"weight": 100}], [1, 2]),
        ([{"weight": 100}], []),
    ],
    ids=["the last below 100", "before a pause", "a check beside it", "each ramp", "nothing below"],
)
def test_the_last_step_that_sends_less_than_all_proves(
    steps: list[dict[str, Any]], proving: list[int]
) -> None:
    plan = plans.resolve(spec_of(strategy={"steps": steps}))

    assert [s for s in range(len(steps) + 1) if plans.proves(plan, s)] == proving
