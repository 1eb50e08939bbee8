"""Several gates share one risk."""

from __future__ import annotations

import math

from rollout.analysis.judge.budget import together
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.evidence import GateVerdict, Verdict


def gate(name: str, *, part: float = 0.5, advisory: bool = False) -> GateQuestion:
    return GateQuestion(
        name=name, kind=GateKind.ERRORS, max_ratio=1.2, risk_ratio=part, advisory=advisory
    )


def says(name: str, log_e: float, verdict: Verdict = Verdict.UNKNOWN) -> GateVerdict:
    return GateVerdict(name=name, verdict=verdict, because=f"{name}: bad", nats=log_e)


def test_two_gates_that_nearly_fail_fail_together_and_the_worse_one_is_named() -> None:
    found = together([says("a", math.log(110)), says("b", math.log(120))], [gate("a"), gate("b")])

    assert [v.verdict for v in found] == [Verdict.UNKNOWN, Verdict.FAIL]
    assert found[1].because == "b: bad; together with the other gates that is enough to be sure"


def test_below_the_risk_everything_stays_as_it_is() -> None:
    verdicts = (says("a", math.log(110)), says("b", math.log(80)))

    assert together(verdicts, [gate("a"), gate("b")]) == verdicts


def test_a_gate_that_only_observes_adds_nothing() -> None:
    verdicts = (says("a", math.log(110)), says("b", math.log(10_000)))

    assert together(verdicts, [gate("a", part=1), gate("b", advisory=True)])[1] == verdicts[1]


def test_a_gate_that_is_not_judged_in_this_step_counts_as_saying_nothing() -> None:
    verdicts = (says("a", math.log(199.4)),)

    assert together(verdicts, [gate("a"), gate("b")])[0].verdict is Verdict.FAIL
    assert together((says("a", math.log(198)),), [gate("a"), gate("b")])[0].verdict is (
        Verdict.UNKNOWN
    )


def test_one_that_fails_by_itself_is_left_alone() -> None:
    verdicts = (says("a", 9, Verdict.FAIL), says("b", 9))

    assert together(verdicts, [gate("a"), gate("b")]) == verdicts
