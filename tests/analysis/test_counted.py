"""Gates that count: what passes, what fails, and what they say."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.analysis.judge import Judge, counted
from rollout.analysis.verdict import Context, GateKind, GateQuestion, Share
from rollout.api.evidence import ArmCounts, Baseline, GateEvidence, Ledger, Verdict
from tests.analysis.observed import counts, of_counts

ERRORS = GateQuestion(name="errors", kind=GateKind.ERRORS, max_percent=1.0, min_requests=100)
RATIO = GateQuestion(name="errors", kind=GateKind.ERRORS, max_ratio=1.2, min_requests=100)
LATENCY = GateQuestion(name="latency", kind=GateKind.LATENCY, max_percent=1.0, edge_ms=500.0)
TCP = GateQuestion(name="tcp", kind=GateKind.TCP, max_percent=1.0)
EVEN = Baseline(dispersion_factor=1)
CONTEXT = Context(elapsed_seconds=60.0, weight_percent=10.0, newest_ms=9_000, baseline=EVEN)

NO_TRAFFIC = counts(0)
CALM = counts(13_210, 13)


def judged(
    gate: GateQuestion,
    canary: ArmCounts,
    stable: ArmCounts = CALM,
    *,
    before: ArmCounts = NO_TRAFFIC,
    context: Context = CONTEXT,
) -> tuple[Verdict, str]:
    judge: Judge = counted.judge
    verdict = judge(gate, of_counts(canary, stable, before), context=context)
    assert (verdict.failed_sample_ms is not None) == (verdict.verdict is Verdict.FAIL)
    return verdict.verdict, verdict.because


def test_a_canary_over_the_limit_fails_with_its_numbers() -> None:
    assert judged(ERRORS, counts(742, 60)) == (
        Verdict.FAIL,
        (
            "errors: 8.1 % of 742 canary requests failed, stable 0.098 % of 13,210; 83 times as"
            " often in this run (32 to 256 likely); the limit is 1 %; exceeded at 99 % confidence"
        ),
    )


def test_rates_are_told_with_few_digits_but_enough_to_see_them_above_the_limit() -> None:
    assert "errors: 1.04 % of 10,000 canary" in judged(ERRORS, counts(10_000, 104))[1]
    assert (
        "stable less than 0.001 % of 900,000;" in judged(ERRORS, counts(742), counts(900_000, 1))[1]
    )
    assert "errors: 12.3 % of" in judged(ERRORS, counts(1_000, 123))[1]


def test_the_failing_verdict_names_the_stamp_and_the_value() -> None:
    evidence = of_counts(counts(742, 60))

    verdict = counted.judge(ERRORS, evidence, context=CONTEXT)

    assert verdict.failed_sample_ms == 7_000
    assert verdict.value == pytest.approx(8.086, abs=1e-3)


def test_a_calm_canary_with_enough_requests_passes() -> None:
    assert judged(ERRORS, counts(742)) == (
        Verdict.PASS,
        "errors: 0 % of 742 canary requests failed, stable 0.098 % of 13,210; the limit is 1 %",
    )


def test_exactly_at_the_limit_passes() -> None:
    assert judged(ERRORS, counts(500, 5))[0] is Verdict.PASS


def test_three_bad_requests_of_three_fail_at_once() -> None:
    assert judged(ERRORS, counts(3, 3), NO_TRAFFIC) == (
        Verdict.FAIL,
        "errors: 100 % of 3 canary requests failed; the limit is 1 %; exceeded at 99 % confidence",
    )


def test_a_few_bad_requests_above_the_limit_are_neither_a_pass_nor_a_fail() -> None:
    assert judged(ERRORS, counts(100, 2), NO_TRAFFIC) == (
        Verdict.UNKNOWN,
        (
            "errors: 2 % of 100 canary requests failed; the limit is 1 %;"
            " too many for a pass, and too few to be sure"
        ),
    )
    assert judged(replace(RATIO, max_ratio=2.0), counts(100, 1), counts(9_999))[0] is (
        Verdict.UNKNOWN
    )


def test_scenario_72_too_little_traffic_is_unknown_and_says_how_long_it_needs() -> None:
    context = replace(CONTEXT, elapsed_seconds=8.2)

    assert judged(ERRORS, counts(41), context=context) == (
        Verdict.UNKNOWN,
        "errors: canary has 41 of 100 requests; needs about 12s more at this traffic",
    )


def test_how_long_it_needs_is_told_in_whole_seconds_and_never_too_short() -> None:
    _, said = judged(ERRORS, counts(99))

    assert said == "errors: canary has 99 of 100 requests; needs about 1s more at this traffic"


def test_without_any_traffic_nobody_can_say_how_long() -> None:
    assert judged(ERRORS, NO_TRAFFIC) == (
        Verdict.UNKNOWN,
        "errors: canary has 0 of 100 requests",
    )
    assert judged(ERRORS, counts(41), context=replace(CONTEXT, elapsed_seconds=0.0))[1] == (
        "errors: canary has 41 of 100 requests"
    )


def test_no_data_has_no_value() -> None:
    verdict = counted.judge(ERRORS, GateEvidence(), context=CONTEXT)

    assert verdict.value is None


def test_when_both_arms_exceed_the_limit_the_world_is_ill_and_it_holds() -> None:
    assert judged(ERRORS, counts(742, 60), counts(13_210, 661)) == (
        Verdict.UNKNOWN,
        (
            "errors: 8.1 % of 742 canary requests failed, stable 5 % of 13,210; 1.7 times as often"
            " in this run (0.92 to 2.6 likely); the limit is 1 %; both exceed it, so it holds"
        ),
    )


def test_a_brown_out_of_both_in_an_earlier_step_takes_nobody_back() -> None:
    ticks = ((1_000, 3_000, 27_000, 150, 1_350), (9_000, 750, 750, 1, 0))
    evidence = GateEvidence(
        canary=counts(750, 1), stable=counts(750), ledger=Ledger(open=ticks, begun_count=1)
    )

    verdict = counted.judge(ERRORS, evidence, context=CONTEXT)

    assert verdict.verdict is Verdict.PASS


@pytest.mark.parametrize("weight_percent", [10.0, 100.0])
def test_no_failure_at_all_may_be_asked_for(weight_percent: float) -> None:
    gate, context = (
        replace(ERRORS, max_percent=0.0),
        replace(CONTEXT, weight_percent=weight_percent),
    )

    assert judged(gate, counts(742, 3), counts(900), context=context)[0] is Verdict.FAIL
    assert judged(gate, counts(742, 2), counts(900), context=context)[0] is Verdict.UNKNOWN
    assert judged(gate, counts(742), counts(900), context=context)[0] is Verdict.PASS


def test_one_or_two_bad_stable_requests_do_not_excuse_the_canary() -> None:
    assert judged(ERRORS, counts(742, 60), counts(20, 2))[0] is Verdict.FAIL


def test_a_few_last_failures_of_stable_shield_no_canary_that_has_all_the_traffic() -> None:
    full = replace(CONTEXT, weight_percent=100)

    assert judged(ERRORS, counts(100_000, 50_000), counts(3, 3), context=full)[0] is Verdict.FAIL


def test_a_canary_much_worse_than_an_ill_stable_arm_fails_by_the_ratio() -> None:
    gate = replace(ERRORS, max_ratio=1.2)

    assert judged(gate, counts(742, 371), counts(13_210, 661)) == (
        Verdict.FAIL,
        (
            "errors: 50 % of 742 canary requests failed, stable 5 % of 13,210; 10 times as often in"
            " this run (7.3 to 13 likely); the limit is 1 % and 1.2 times stable; exceeded at 99 %"
            " confidence"
        ),
    )


def test_scenario_83_a_ratio_alone_is_enough() -> None:
    assert judged(RATIO, counts(1_000, 30), counts(10_000, 100))[0] is Verdict.FAIL
    assert judged(RATIO, counts(1_000, 12), counts(10_000, 100))[0] is Verdict.PASS


def test_no_bad_stable_request_is_not_infinitely_good() -> None:
    assert judged(RATIO, counts(10_000, 3), counts(999))[0] is Verdict.PASS
    assert judged(RATIO, counts(1_000, 3), counts(999))[0] is Verdict.PASS
    assert judged(RATIO, counts(1_000, 30), counts(999))[0] is Verdict.FAIL


def test_a_ratio_waits_for_the_stable_arm() -> None:
    assert judged(RATIO, counts(1_000, 5), counts(20)) == (
        Verdict.UNKNOWN,
        "errors: stable has 20 of 100 requests; needs about 4m more at this traffic",
    )
    assert judged(RATIO, counts(50), counts(20))[1] == (
        "errors: canary has 50 and stable has 20 of 100 requests;"
        " needs about 4m more at this traffic"
    )


def test_at_full_weight_the_stable_arms_earlier_steps_serve() -> None:
    full = replace(CONTEXT, weight_percent=100.0)
    gate = replace(RATIO, max_percent=1.0)

    failed = judged(gate, counts(4_000, 36), NO_TRAFFIC, before=counts(50_000, 50), context=full)
    passed = judged(gate, counts(1_000, 1), NO_TRAFFIC, before=counts(50_000, 50), context=full)

    assert failed == (
        Verdict.FAIL,
        (
            "errors: 0.9 % of 4,000 canary requests failed, stable 0.1 % of 50,000;"
            " the limit is 1 % and 1.2 times stable; exceeded at 99 % confidence"
        ),
    )
    assert passed[0] is Verdict.PASS


def test_a_run_from_before_there_were_ticks_is_judged_by_what_its_stable_arm_did() -> None:
    full = replace(CONTEXT, weight_percent=100.0)
    old = GateEvidence(canary=counts(9_000, 1_200), stable_before=counts(90_000, 90))

    assert counted.judge(RATIO, old, context=full).verdict is Verdict.FAIL


def test_at_full_weight_a_bound_in_percent_needs_no_stable_arm_and_a_ratio_alone_does() -> None:
    full = replace(CONTEXT, weight_percent=100.0)
    both = replace(ERRORS, max_ratio=1.2)

    assert judged(both, counts(742), NO_TRAFFIC, context=full)[0] is Verdict.PASS
    assert judged(both, counts(742), NO_TRAFFIC)[0] is Verdict.UNKNOWN
    assert judged(RATIO, counts(742), NO_TRAFFIC, context=full)[0] is Verdict.UNKNOWN


def test_at_full_weight_nobody_foretells_when_the_stable_arm_has_enough() -> None:
    full = replace(CONTEXT, weight_percent=100.0)

    assert judged(RATIO, counts(742), counts(20), context=full) == (
        Verdict.UNKNOWN,
        "errors: stable has 20 of 100 requests, and stable gets no more of them",
    )


@pytest.mark.parametrize(
    ("weight_percent", "canary", "stable", "incomparable"),
    [
        (100, counts(742), NO_TRAFFIC, True),
        (100, counts(742, 1), NO_TRAFFIC, True),
        (100, counts(742, 400), NO_TRAFFIC, False),
        (100, counts(742, 60), counts(20, 10), True),
        (100, counts(99), NO_TRAFFIC, False),
        (50, counts(742), NO_TRAFFIC, False),
    ],
)
def test_only_a_ratio_that_lacks_stable_requests_alone_is_incomparable_and_only_at_full_weight(
    weight_percent: float, canary: ArmCounts, stable: ArmCounts, incomparable: bool
) -> None:
    context = replace(CONTEXT, weight_percent=weight_percent)

    verdict = counted.judge(RATIO, of_counts(canary, stable), context=context)

    assert verdict.verdict is Verdict.UNKNOWN
    assert verdict.incomparable is incomparable


def test_a_sick_past_of_the_stable_arm_does_not_excuse_the_canary() -> None:
    verdict, _ = judged(ERRORS, counts(1_000, 90), NO_TRAFFIC, before=counts(9_000, 900))

    assert verdict is Verdict.FAIL


def test_scenario_170_requests_without_upstream_hold_the_run_and_are_told() -> None:
    context = replace(CONTEXT, unattributed=57)

    assert judged(ERRORS, counts(742), context=context) == (
        Verdict.UNKNOWN,
        (
            "errors: 57 requests found no upstream (UH, UO, NC or NR) and belong to no revision,"
            " beside 742 of the canary"
        ),
    )
    assert judged(RATIO, counts(742), context=context)[0] is Verdict.UNKNOWN
    assert judged(ERRORS, NO_TRAFFIC, context=context)[0] is Verdict.UNKNOWN


def test_scenario_181_what_only_the_canary_can_have_lost_fails_the_gate() -> None:
    share = Share(canary_count=10, stable_count=1_000)
    context = replace(CONTEXT, unattributed=100, share=share)

    assert judged(ERRORS, counts(10), context=context) == (
        Verdict.FAIL,
        (
            "errors: 90.9 % of 110 canary requests failed, stable 0.098 % of 13,210; the limit is"
            " 1 %; 100 of them found no upstream (UH or UO), as many as the canary lacks of its"
            " 10 %"
        ),
    )
    assert judged(RATIO, counts(10), context=context)[0] is Verdict.FAIL
    assert judged(TCP, counts(10), context=context)[0] is Verdict.FAIL


def test_what_stable_may_have_lost_holds_as_before() -> None:
    share = Share(canary_count=110, stable_count=900)
    context = replace(CONTEXT, unattributed=100, share=share)
    ill = replace(context, share=Share(canary_count=10, stable_count=1_000))

    assert judged(ERRORS, counts(110), context=context)[0] is Verdict.UNKNOWN
    assert judged(ERRORS, counts(10), counts(1_000, 90), context=ill)[0] is Verdict.UNKNOWN


def test_losses_of_the_canary_below_the_limit_are_let_pass() -> None:
    share = Share(canary_count=500, stable_count=9_000)
    context = replace(CONTEXT, unattributed=500, share=share)

    assert judged(replace(ERRORS, max_percent=60.0), counts(500), context=context)[0] is (
        Verdict.PASS
    )


@pytest.mark.parametrize("lost", [2, 5])
def test_a_few_requests_without_upstream_do_not_hold_a_busy_canary(lost: int) -> None:
    context = replace(CONTEXT, unattributed=lost)

    assert judged(ERRORS, counts(742), context=context)[0] is Verdict.PASS


def test_at_full_weight_what_found_no_upstream_is_the_canarys() -> None:
    full = replace(CONTEXT, weight_percent=100, unattributed=57)

    verdict = counted.judge(ERRORS, of_counts(counts(742)), context=full)

    assert verdict.verdict is Verdict.FAIL
    assert verdict.because == (
        "errors: 7.1 % of 799 canary requests failed; the limit is 1 %; exceeded at 99 % confidence"
    )
    assert verdict.failed_sample_ms == 9_000


def test_latency_says_which_bucket_edge_it_means() -> None:
    assert judged(LATENCY, counts(1_000, 20), counts(5_000, 50))[1] == (
        "latency: 2 % of 1,000 canary requests took longer than 500 ms, stable 1 % of 5,000;"
        " 2 times as often in this run (0.71 to 4.8 likely); the limit is 1 %; too many for a pass,"
        " and too few to be sure"
    )
    assert judged(replace(LATENCY, edge_ms=300.0), counts(1_000))[1].startswith(
        "latency: 0 % of 1,000 canary requests took longer than 250 ms"
        " (the bucket edge below 300 ms)"
    )


def test_a_body_that_moves_fails_a_latency_gate_at_the_edge_that_shows_it() -> None:
    gate = GateQuestion(name="slow", kind=GateKind.LATENCY, max_ratio=1.2, edge_ms=500.0)
    same = of_counts(counts(5_000, 10), counts(5_000, 10))
    moved = of_counts(counts(5_000, 3_500), counts(5_000, 2_500))

    alone = counted.judge(gate, same, context=CONTEXT)
    found = counted.judge(gate, same, context=CONTEXT, sides={100.0: moved})

    assert alone.verdict is Verdict.PASS
    assert found.verdict is Verdict.FAIL
    assert "70 % of 5,000 canary requests took longer than 100 ms, stable 50 %" in found.because


def test_latency_does_not_wait_for_requests_without_upstream() -> None:
    verdict, _ = judged(LATENCY, counts(1_000), context=replace(CONTEXT, unattributed=500))

    assert verdict is Verdict.PASS


def test_connections_are_called_connections() -> None:
    assert judged(TCP, counts(40, 8), counts(400))[1] == (
        "tcp: 20 % of 40 canary connections failed, stable 0 % of 400; the limit is 1 %;"
        " exceeded at 99 % confidence"
    )


def test_connections_opened_before_the_step_and_failed_in_it_are_at_most_all() -> None:
    assert judged(TCP, counts(0, 4), NO_TRAFFIC)[0:1] == (Verdict.FAIL,)
    assert "100 %" in judged(TCP, counts(1, 4), NO_TRAFFIC)[1]


def test_a_gate_without_bounds_is_unknown_and_never_passes() -> None:
    gate = replace(ERRORS, max_percent=None)

    assert judged(gate, counts(1_000)) == (Verdict.UNKNOWN, "errors: the gate has no bound")


ARM = st.integers(0, 10_000).flatmap(
    lambda requests: st.builds(ArmCounts, requests=st.just(requests), bad=st.integers(0, requests))
)


@given(ARM, ARM, ARM, st.integers(0, 100), st.sampled_from([1.0, 50.0, 100.0]))
def test_no_pass_without_enough_requests_and_no_fail_without_a_bad_one(
    canary: ArmCounts, stable: ArmCounts, before: ArmCounts, lost: int, weight: float
) -> None:
    gate = replace(ERRORS, max_ratio=1.2)
    context = Context(elapsed_seconds=10, weight_percent=weight, unattributed=lost)

    verdict, because = judged(gate, canary, stable, before=before, context=context)

    blamed = lost if weight == 100 else 0
    if verdict is Verdict.PASS:
        assert canary.requests + blamed >= gate.min_requests
        assert weight == 100 or stable.requests + before.requests >= gate.min_requests
    if verdict is Verdict.FAIL:
        assert canary.bad + blamed > 0
    assert because.startswith("errors: ")
