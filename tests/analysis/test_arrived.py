"""Both views of a step: what callers got, and what arrived."""

from __future__ import annotations

from dataclasses import replace

from rollout.analysis.judge import arrived
from rollout.analysis.judge.budget import together
from rollout.analysis.verdict import Context, GateKind, GateQuestion
from rollout.api.evidence import (
    ArmCounts,
    Arrivals,
    Baseline,
    GateEvidence,
    Ledger,
    RunEvidence,
    Verdict,
)
from tests.analysis.observed import counts, of_counts

ERRORS = GateQuestion(name="errors", kind=GateKind.ERRORS, max_percent=1.0, min_requests=100)
LATENCY = GateQuestion(name="slow", kind=GateKind.LATENCY, max_percent=1.0, edge_ms=500.0)
TCP = GateQuestion(name="tcp", kind=GateKind.TCP, max_percent=1.0)
EVEN = Baseline(dispersion_factor=1)
MIRROR = Context(
    elapsed_seconds=60.0, weight_percent=0.0, mirrors=True, newest_ms=9_000, baseline=EVEN
)
RETRY = Context(
    elapsed_seconds=60.0, weight_percent=10.0, retries=True, newest_ms=9_000, baseline=EVEN
)

NONE = counts(0)
GOOD = counts(900)
CALM = counts(9_000, 3)


def evidence(
    *,
    sent: ArmCounts = NONE,
    arrived: ArmCounts | None = None,
    stable: ArmCounts = CALM,
    gate: str = "errors",
) -> RunEvidence:
    """What callers got of the canary, and what arrived there; None: nobody tells."""
    book = None
    if arrived is not None:
        seen = of_counts(arrived, stable)
        book = Arrivals(origin_ms=1, newest_ms=60_000, gates={gate: seen})
    return RunEvidence(gates={gate: of_counts(sent, CALM)}, arrivals=book)


def judged(
    known: RunEvidence, context: Context, gate: GateQuestion = ERRORS
) -> tuple[Verdict, str]:
    verdict = arrived.judge(gate, known, context=context)
    assert (verdict.failed_sample_ms is not None) == (verdict.verdict is Verdict.FAIL)
    return verdict.verdict, verdict.because


def test_scenario_182_good_copies_pass_though_nobody_was_answered_by_the_canary() -> None:
    assert judged(evidence(arrived=counts(742)), MIRROR) == (
        Verdict.PASS,
        "errors: 0 % of 742 canary copies failed, stable 0.033 % of 9,000; the limit is 1 %",
    )


def test_failing_copies_fail_the_gate() -> None:
    assert judged(evidence(arrived=counts(742, 60)), MIRROR) == (
        Verdict.FAIL,
        (
            "errors: 8.1 % of 742 canary copies failed, stable 0.033 % of 9,000; 243 times as"
            " often in this run; the limit is 1 %; exceeded at 99 % confidence"
        ),
    )


def test_real_requests_are_told_apart_from_copies() -> None:
    context = replace(MIRROR, weight_percent=5.0)

    assert judged(evidence(sent=counts(242), arrived=counts(742)), context) == (
        Verdict.PASS,
        (
            "errors: 0 % of 742 canary arrivals failed, stable 0.033 % of 9,000; the limit is 1 %"
            "; 500 of them were mirrored, 242 real"
        ),
    )


def test_copies_do_not_stand_in_for_real_requests_where_there_are_some() -> None:
    context = replace(MIRROR, weight_percent=5.0)

    assert judged(evidence(sent=counts(60), arrived=counts(742)), context) == (
        Verdict.UNKNOWN,
        "errors: canary has 60 of 100 requests; needs about 40s more at this traffic",
    )
    verdict, _ = judged(evidence(sent=counts(242, 20), arrived=counts(742)), context)
    assert verdict is Verdict.FAIL


def test_too_few_copies_hold() -> None:
    assert judged(evidence(arrived=counts(50)), MIRROR) == (
        Verdict.UNKNOWN,
        "errors: canary has 50 of 100 copies; needs about 1m more at this traffic",
    )


def test_copies_that_nobody_counts_hold_and_say_what_would_help() -> None:
    for known in (evidence(), evidence(arrived=NONE, stable=NONE)):
        verdict, said = judged(known, MIRROR)

        assert verdict is Verdict.UNKNOWN
        assert "no proxy beside a pod has counted a request" in said
        assert "promote" in said


def test_requests_that_stable_lost_do_not_hold_a_mirror_step() -> None:
    context = replace(MIRROR, unattributed=5_000)

    assert judged(evidence(arrived=counts(742)), context)[0] is Verdict.PASS


def test_copies_of_a_while_ago_do_not_pass_now_but_fail_still() -> None:
    silent = replace(MIRROR, silent=True)

    assert judged(evidence(arrived=counts(742)), silent) == (
        Verdict.UNKNOWN,
        "errors: the proxies beside the pods have told nothing of mirrored requests for some time",
    )
    assert judged(evidence(arrived=counts(742, 60)), silent)[0] is Verdict.FAIL


def test_slow_copies_fail_a_latency_gate_and_slow_attempts_do_not() -> None:
    slow = evidence(sent=GOOD, arrived=counts(742, 60), gate="slow")

    verdict, said = judged(slow, MIRROR, LATENCY)

    assert verdict is Verdict.FAIL
    assert "8.1 % of 742 canary arrivals took longer than 500 ms" in said
    assert judged(slow, RETRY, LATENCY)[0] is Verdict.PASS


def test_connections_are_neither_mirrored_nor_sent_again() -> None:
    known = evidence(sent=GOOD, arrived=counts(742, 60), gate="tcp")

    for context in (MIRROR, RETRY):
        assert judged(known, context, TCP)[0] is Verdict.PASS


def test_a_run_that_hides_nothing_is_judged_by_what_callers_got() -> None:
    context = replace(RETRY, retries=False)

    assert judged(evidence(sent=GOOD, arrived=counts(742, 60)), context)[0] is Verdict.PASS


def test_scenario_171_attempts_that_fail_are_seen_though_every_answer_is_good() -> None:
    assert judged(evidence(sent=GOOD, arrived=counts(1_800, 900)), RETRY) == (
        Verdict.FAIL,
        (
            "errors: 50 % of 1,800 canary attempts failed, stable 0.033 % of 9,000; 1,500 times as"
            " often in this run; the limit is 1 %; exceeded at 99 % confidence;"
            " retries hide it from callers"
        ),
    )


def test_good_attempts_leave_the_answers_to_decide() -> None:
    passing, failing = evidence(sent=GOOD, arrived=GOOD), evidence(sent=counts(90, 9), arrived=GOOD)

    assert judged(passing, RETRY) == (
        Verdict.PASS,
        "errors: 0 % of 900 canary requests failed, stable 0.033 % of 9,000; the limit is 1 %",
    )
    assert judged(failing, RETRY)[0] is Verdict.FAIL


def test_attempts_are_waited_for_where_somebody_counts_them() -> None:
    assert judged(evidence(sent=GOOD, arrived=NONE), RETRY) == (
        Verdict.UNKNOWN,
        "errors: canary has 0 of 100 attempts",
    )
    silent = replace(RETRY, silent=True)
    assert judged(evidence(sent=GOOD, arrived=GOOD), silent)[0] is Verdict.UNKNOWN


def test_pods_without_sidecars_hold_nobody_up_for_ever() -> None:
    assert judged(evidence(sent=GOOD), RETRY) == (
        Verdict.PASS,
        (
            "errors: 0 % of 900 canary requests failed, stable 0.033 % of 9,000; the limit is 1 %"
            "; no proxy beside a pod tells of attempts, so retries may hide some that failed"
        ),
    )


def test_attempts_that_fail_at_both_revisions_alike_are_what_retries_are_for() -> None:
    flaky = counts(9_000, 450)

    assert judged(evidence(sent=GOOD, arrived=counts(900, 50), stable=flaky), RETRY)[0] is (
        Verdict.PASS
    )
    assert judged(evidence(sent=GOOD, arrived=counts(900, 450), stable=flaky), RETRY)[0] is (
        Verdict.FAIL
    )


def test_at_full_weight_a_missing_number_of_stables_hides_no_missing_attempts() -> None:
    full = replace(RETRY, weight_percent=100.0)
    gate = replace(ERRORS, max_ratio=2.0, max_percent=None)
    known = RunEvidence(
        gates={"errors": GateEvidence(canary=GOOD)},
        arrivals=Arrivals(gates={"errors": GateEvidence(canary=counts(3))}),
    )
    bare = known.model_copy(
        update={"arrivals": Arrivals(gates={"errors": GateEvidence(canary=GOOD)})}
    )

    lacking = arrived.judge(gate, known, context=full)
    excused = arrived.judge(gate, bare, context=full)

    assert "canary has 3" in lacking.because
    assert (lacking.verdict, lacking.incomparable) == (Verdict.UNKNOWN, False)
    assert (excused.verdict, excused.incomparable) == (Verdict.UNKNOWN, True)


def test_a_match_beside_copies_passes_on_requests_that_matched_and_not_on_copies() -> None:
    context = replace(MIRROR, matches=True)

    assert judged(evidence(arrived=counts(742)), context)[0] is Verdict.UNKNOWN
    assert judged(evidence(sent=counts(242), arrived=counts(742)), context)[0] is Verdict.PASS


def test_attempts_that_may_yet_be_told_are_waited_for() -> None:
    young = replace(RETRY, early=True)

    assert judged(evidence(sent=GOOD), young) == (
        Verdict.UNKNOWN,
        "errors: waits for what the proxies beside the pods tell of attempts",
    )
    assert judged(evidence(sent=GOOD), RETRY)[0] is Verdict.PASS
    assert judged(evidence(sent=GOOD, arrived=GOOD), young)[0] is Verdict.PASS
    assert judged(evidence(sent=counts(900, 90)), young)[0] is Verdict.FAIL


def test_the_last_attempts_of_a_stable_revision_that_goes_away_excuse_no_canary() -> None:
    full = replace(RETRY, weight_percent=100.0)
    known = evidence(sent=counts(10_000), arrived=counts(10_000, 500), stable=counts(4, 3))

    verdict = arrived.judge(ERRORS, known, context=full)

    assert verdict.verdict is Verdict.UNKNOWN
    assert not verdict.incomparable
    assert verdict.because.endswith("too few of stable's are left to compare, so it holds")
    assert judged(with_stable_before(known, counts(9_000, 9)), full)[0] is Verdict.FAIL


def with_stable_before(known: RunEvidence, before: ArmCounts) -> RunEvidence:
    assert known.arrivals is not None
    seen = known.arrivals.gates["errors"].model_copy(update={"stable_before": before})
    book = known.arrivals.model_copy(update={"gates": {"errors": seen}})
    return known.model_copy(update={"arrivals": book})


def test_a_stable_revision_whose_attempts_failed_as_often_all_along_is_a_measure_at_the_end() -> (
    None
):
    full = replace(RETRY, weight_percent=100.0)
    known = evidence(sent=counts(10_000), arrived=counts(10_000, 500), stable=counts(4))

    verdict, _ = judged(with_stable_before(known, counts(9_000, 450)), full)

    assert verdict is Verdict.PASS


def test_what_a_minute_of_attempts_that_goes_on_says_takes_nobody_back_by_any_way() -> None:
    """An onset that some pods' scrapes have seen, and others' have not yet, looks like it."""
    ticks = ((60_000, 900, 9_000, 90, 9),)
    gate = replace(ERRORS, max_percent=None, max_ratio=1.2)
    seen = GateEvidence(canary=counts(900, 90), stable=counts(9_000, 9), ledger=Ledger(open=ticks))
    book = Arrivals(origin_ms=1, newest_ms=30_000, gates={"errors": seen})
    sent = {"errors": of_counts(GOOD, CALM)}
    known = RunEvidence(tick_ms=15_000, gates=sent, arrivals=book)

    early = together([arrived.judge(gate, known, context=RETRY)], [gate])
    over = known.model_copy(update={"arrivals": book.model_copy(update={"newest_ms": 90_000})})
    late = together([arrived.judge(gate, over, context=RETRY)], [gate])

    assert early[0].verdict is Verdict.UNKNOWN
    assert late[0].verdict is Verdict.FAIL
