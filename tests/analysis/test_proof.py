"""What must be proved before a canary gets everything."""

from __future__ import annotations

from dataclasses import replace

from rollout.analysis.judge import counted
from rollout.analysis.verdict import Context, GateKind, GateQuestion
from rollout.api.evidence import ArmCounts, Baseline, GateEvidence, GateVerdict, Ledger, Verdict

GATE = GateQuestion(
    name="errors", kind=GateKind.ERRORS, max_ratio=1.2, proven_ratio=2.0, min_requests=100
)
EVEN = Baseline(dispersion_factor=1, bad_ratios={"errors": 0.01})
CONTEXT = Context(elapsed_seconds=60.0, weight_percent=50.0, proves=True, baseline=EVEN)

Row = tuple[int, int, int, int]
HEALTHY: Row = (7_500, 7_500, 75, 75)


def judged(
    *rows: Row, gate: GateQuestion = GATE, context: Context = CONTEXT, tick_ms: int = 15_000
) -> GateVerdict:
    """A verdict on ticks of the present step, all of them open."""
    canary = ArmCounts(requests=sum(r[0] for r in rows), bad=sum(r[2] for r in rows))
    stable = ArmCounts(requests=sum(r[1] for r in rows), bad=sum(r[3] for r in rows))
    ticks = tuple((tick_ms * number, *row) for number, row in enumerate(rows, 1))
    evidence = GateEvidence(canary=canary, stable=stable, ledger=Ledger(open=ticks))
    return counted.judge(gate, evidence, context=context)


def test_a_healthy_canary_passes_when_twice_as_many_errors_are_ruled_out() -> None:
    assert judged(HEALTHY).verdict is Verdict.PASS
    assert judged(HEALTHY).because.endswith("; less than 2 times stable at 95 % confidence")


def test_before_that_it_waits_and_says_for_how_long_and_may_have_more_traffic_meanwhile() -> None:
    found = judged((750, 750, 8, 8))

    assert found.verdict is Verdict.UNKNOWN
    assert found.growing
    assert "needs about " in found.because
    assert "more at this traffic to prove less than 2 times stable" in found.because


def test_in_steps_that_prove_nothing_the_same_canary_passes() -> None:
    context = replace(CONTEXT, proves=False)

    assert judged((750, 750, 8, 8), context=context).verdict is Verdict.PASS


def test_a_brown_out_of_both_proves_nothing_however_long_it_lasts() -> None:
    brown: Row = (7_500, 7_500, 1_575, 1_580)

    found = judged((750, 750, 8, 8), *[brown] * 20)

    assert found.verdict is Verdict.UNKNOWN
    assert (
        "both are bad far more often than usual: until that is over nothing is proved"
        in found.because
    )
    assert not found.growing, "nothing may grow meanwhile"


def test_where_nothing_is_ever_bad_the_canary_is_fine_by_itself() -> None:
    context = replace(CONTEXT, baseline=Baseline(dispersion_factor=1))

    found = judged((1_000, 1_000, 0, 0), context=context)

    assert found.verdict is Verdict.PASS
    assert found.because.endswith("; less than 1 % at 95 % confidence")
    assert judged((200, 200, 0, 0), context=context).verdict is Verdict.UNKNOWN


def test_where_much_is_usually_bad_twice_as_much_is_soon_ruled_out() -> None:
    usual = EVEN.model_copy(update={"bad_ratios": {"errors": 0.4}})

    found = judged((1_000, 1_000, 400, 400), context=replace(CONTEXT, baseline=usual))

    assert found.verdict is Verdict.PASS
    assert found.because.endswith("; less than 2 times stable at 95 % confidence")


def test_off_asks_for_no_proof() -> None:
    gate = replace(GATE, proven_ratio=None)

    assert judged((750, 750, 8, 8), gate=gate).verdict is Verdict.PASS


def test_twice_as_many_errors_are_no_proof_because_they_are_few() -> None:
    """0.2 % is below every percentage that anybody names, and still twice the usual."""
    usual = EVEN.model_copy(update={"bad_ratios": {"errors": 0.001}})
    gate = replace(GATE, max_percent=1.0, max_ratio=None)

    found = judged(
        *[(7_500, 7_500, 15, 7)] * 4, gate=gate, context=replace(CONTEXT, baseline=usual)
    )

    assert found.verdict is Verdict.UNKNOWN
    assert found.because.endswith("to prove less than 2 times stable") or "not proved" in (
        found.because
    )


def test_a_gates_own_percentage_proves_only_where_nothing_bad_of_stables_is_known() -> None:
    gate = replace(GATE, max_percent=0.5)
    never = EVEN.model_copy(update={"bad_ratios": {"errors": 1e-6}, "spotless": ("errors",)})
    context = replace(CONTEXT, baseline=never)

    assert judged((2_500, 2_500, 0, 0), gate=gate, context=context).because.endswith(
        "; less than 0.5 % at 95 % confidence"
    )
    assert judged((2_500, 2_500, 0, 1), gate=gate, context=context).verdict is Verdict.UNKNOWN


def test_a_brown_out_that_hides_in_each_tick_does_not_hide_in_a_minute() -> None:
    """150 requests a tick, 1 % usual: 7 bad ones are calm in one tick, and not in four."""
    brown: Row = (75, 75, 3, 4)
    calm: Row = (75, 75, 1, 1)

    hidden = judged(*[brown] * 60)
    open_one = judged(*[calm] * 60)

    assert "both are bad far more often than usual" in hidden.because
    assert open_one.verdict is Verdict.PASS
