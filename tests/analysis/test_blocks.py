"""Custom queries judged by evidence: blocks of time, cut where nobody's looking can move them."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.analysis import blocks
from rollout.analysis.gauge import Told
from rollout.analysis.sample import Missing, NoAnswer
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.evidence import GateVerdict, RunEvidence, Verdict
from rollout.api.gate import Range

ORIGIN_MS = 1_700_000_000_000
BLOCK_MS = 60_000
STEP_MS = 15_000
SHARE = Range(low=0, high=1)
EMPTY: dict[str, Any] = {"status": "success", "data": {"resultType": "vector", "result": []}}


def gate(**changes: Any) -> GateQuestion:
    fields: dict[str, Any] = {"max": 0.2, "span": SHARE, "block_ms": BLOCK_MS, "steps_count": 5}
    return GateQuestion(name="share", kind=GateKind.QUERY, **(fields | changes))


def vector(value: float | str) -> dict[str, Any]:
    result = [{"metric": {}, "value": [ORIGIN_MS / 1000, str(value)]}]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def begun(question: GateQuestion) -> RunEvidence:
    evidence = RunEvidence(origin_ms=ORIGIN_MS, newest_ms=ORIGIN_MS + 1000, tick_ms=STEP_MS)
    return blocks.missing(evidence, (question,))


def later(evidence: RunEvidence, *, ms: int) -> RunEvidence:
    return evidence.model_copy(update={"newest_ms": evidence.newest_ms + ms})


def fed(
    evidence: RunEvidence, question: GateQuestion, canary: Any, stable: Any = None
) -> RunEvidence:
    """One more block, asked about when it is over."""
    evidence = later(evidence, ms=BLOCK_MS)
    end_ms = blocks.due_ms(evidence, question, step_ms=0)[0]
    about = canary if isinstance(canary, (dict, NoAnswer)) else vector(canary)
    base = stable if stable is None or isinstance(stable, dict) else vector(stable)
    return blocks.absorbed(evidence, question, Told(about=about, stable=base), end_ms=end_ms)


def after(question: GateQuestion, *numbers: Any) -> GateVerdict:
    evidence = begun(question)
    for number in numbers:
        pair = number if isinstance(number, tuple) else (number,)
        evidence = fed(evidence, question, *pair)
    return blocks.judge(question, evidence)


def test_a_block_is_asked_about_once_all_targets_have_told_of_it() -> None:
    question = gate()
    evidence = begun(question)
    end_ms = ORIGIN_MS + 1000 + BLOCK_MS

    early = later(evidence, ms=BLOCK_MS + STEP_MS - 1)
    assert blocks.due_ms(early, question, step_ms=STEP_MS) == ()
    over = later(evidence, ms=BLOCK_MS + STEP_MS)
    assert blocks.due_ms(over, question, step_ms=STEP_MS) == (end_ms,)


def test_who_looks_late_asks_about_the_same_blocks() -> None:
    question = gate()
    evidence = later(begun(question), ms=5 * BLOCK_MS)
    ends = blocks.due_ms(evidence, question, step_ms=0)
    for end_ms in ends:
        evidence = blocks.absorbed(evidence, question, Told(about=vector(0.1)), end_ms=end_ms)

    assert [end_ms - ORIGIN_MS - 1000 for end_ms in ends] == [
        60_000,
        120_000,
        180_000,
        240_000,
        300_000,
    ]
    assert blocks.due_ms(evidence, question, step_ms=0) == ()


def test_of_many_blocks_some_are_asked_about_at_once() -> None:
    question = gate()

    ends = blocks.due_ms(later(begun(question), ms=40 * BLOCK_MS), question, step_ms=0)

    assert len(ends) == blocks.AT_ONCE_COUNT_MAX


def test_blocks_of_more_than_an_hour_ago_are_let_go() -> None:
    question = gate()
    evidence = later(begun(question), ms=5 * 3_600_000)

    end_ms, *_ = blocks.due_ms(evidence, question, step_ms=0)

    assert end_ms == ORIGIN_MS + 1000 + 4 * 3_600_000


def test_within_its_bound_it_passes_and_says_what_it_saw() -> None:
    found = after(gate(), 0.1, 0.12, 0.08)

    assert found.verdict is Verdict.PASS
    assert found.because == (
        "share: the query gave 0.1 on average of 3 times 1m; allowed is at most 0.2"
    )
    assert found.value == pytest.approx(0.1)


def test_the_first_block_of_a_step_is_waited_for() -> None:
    question = gate()

    found = blocks.judge(question, later(begun(question), ms=20_000))

    assert found.verdict is Verdict.UNKNOWN
    assert found.because == "share: waits for its first 1m, 55s more"
    assert found.growing


def test_one_number_beyond_the_bound_holds_and_takes_nobody_back() -> None:
    found = after(gate(), 0.5)

    assert found.verdict is Verdict.UNKNOWN
    assert found.because == (
        "share: the query gave 0.5 over 1m; allowed is at most 0.2;"
        " too far for a pass, and not sure yet"
    )


def test_what_stays_beyond_the_bound_fails_with_its_stamp() -> None:
    question = gate()
    evidence = begun(question)
    count = 0
    while blocks.judge(question, evidence).verdict is not Verdict.FAIL:
        evidence, count = fed(evidence, question, 0.6), count + 1
        assert count < 15
    found = blocks.judge(question, evidence)

    assert count == 10
    assert "; exceeded at 99 % confidence" in found.because
    assert found.failed_sample_ms == evidence.newest_ms


def test_a_least_number_is_judged_alike() -> None:
    low = gate(max=None, min=0.9)

    assert after(low, 0.95, 0.93).verdict is Verdict.PASS
    assert after(low, *[0.3] * 12).verdict is Verdict.FAIL


def test_a_ratio_to_stable_needs_no_division() -> None:
    question = gate(max=1.5, relative_to_stable=True)

    assert after(question, (0.0, 0.0)).verdict is Verdict.PASS
    found = after(question, (0.1, 0.1), (0.14, 0.1))
    assert found.verdict is Verdict.PASS
    assert found.because == (
        "share: the query gave 0.12 on average of 2 times 1m, 1.2 times the stable revision's 0.1;"
        " allowed is at most 1.5"
    )
    assert after(question, *[(0.9, 0.1)] * 30).verdict is Verdict.FAIL


def test_numbers_without_a_range_hold_and_say_what_would_let_them_decide() -> None:
    draw = random.Random(3)
    numbers = [800 + draw.random() for _ in range(40)]

    found = after(gate(max=500.0, span=None), *numbers)

    assert found.verdict is Verdict.UNKNOWN
    assert found.because.endswith(
        "; exceeded at about 99 % confidence; without a range of its numbers a query takes no"
        " canary back: give query.range, or `decide: Threshold`"
    )
    assert after(gate(max=500.0, span=None), 400.0, 450.0).verdict is Verdict.PASS


@pytest.mark.parametrize("number", ["NaN", EMPTY])
def test_a_block_without_a_number_is_no_news_and_the_next_one_counts(number: Any) -> None:
    found = after(gate(), 0.1, number)
    assert found.verdict is Verdict.UNKNOWN
    assert found.dataless

    assert after(gate(), 0.1, number, 0.1).verdict is Verdict.PASS


def test_an_error_tells_nothing_of_the_block_which_is_asked_about_again() -> None:
    question = gate()
    evidence = begun(question)
    refused = NoAnswer(reason=Missing.ERROR, sentence="Prometheus is busy")
    failed = fed(evidence, question, refused)

    assert blocks.judge(question, failed).because == "share: Prometheus is busy"
    assert not blocks.judge(question, failed).dataless
    assert blocks.due_ms(failed, question, step_ms=0) == (ORIGIN_MS + 1000 + BLOCK_MS,)


def test_where_nothing_goes_to_stable_any_more_the_ratio_cannot_be_told() -> None:
    found = after(gate(max=1.5, relative_to_stable=True), (0.1, EMPTY))

    assert found.verdict is Verdict.UNKNOWN
    assert found.incomparable
    assert not found.dataless


def test_what_was_found_to_fail_stays_a_fail_when_no_more_numbers_come() -> None:
    found = after(gate(), *[0.9] * 20, EMPTY)

    assert found.verdict is Verdict.FAIL
    assert not found.dataless


def test_what_speaks_against_a_canary_is_not_forgotten_when_no_more_numbers_come() -> None:
    suspect = after(gate(), *[0.6] * 6)
    found = after(gate(), *[0.6] * 6, EMPTY)

    assert found.verdict is Verdict.UNKNOWN
    assert found.nats == suspect.nats > 0


@pytest.mark.parametrize("number", [1.5, 1000, 1e200, -0.1])
def test_a_number_beyond_its_range_counts_for_nothing_and_is_told(number: float) -> None:
    found = after(gate(), 0.1, number)

    assert found.verdict is Verdict.UNKNOWN
    assert found.because.endswith(", and query.range is 0 to 1")
    assert after(gate(), 0.1, number, 0.1).verdict is Verdict.PASS


def test_numbers_too_large_to_add_up_are_told() -> None:
    found = after(gate(span=None), 1e308, 1e308)

    assert "too large to add up" in found.because


def test_with_all_traffic_a_0_of_stable_is_no_measure() -> None:
    question = gate(max=1.2, relative_to_stable=True)
    evidence = later(begun(question), ms=BLOCK_MS)
    (end_ms,) = blocks.due_ms(evidence, question, step_ms=0)
    told = Told(about=vector(0.4), stable=vector(0))

    evidence = blocks.absorbed(evidence, question, told, end_ms=end_ms, is_full=True)

    found = blocks.judge(question, evidence)
    assert found.verdict is Verdict.UNKNOWN
    assert found.nats == 0
    assert "0 since nothing goes to it" in found.because


def test_old_numbers_are_no_pass() -> None:
    question = gate()
    evidence = later(fed(begun(question), question, 0.1), ms=4 * BLOCK_MS)

    found = blocks.judge(question, evidence)

    assert found.verdict is Verdict.UNKNOWN
    assert found.because == "share: the query has told nothing for 4m"


def test_a_step_begins_its_own_mean_and_keeps_what_was_found_before() -> None:
    question = gate()
    evidence = begun(question)
    for _ in range(5):
        evidence = fed(evidence, question, 0.5)
    alone = blocks.judge(question, evidence)

    evidence = evidence.model_copy(update={"blocks": blocks.begun(evidence, (question,))})
    assert blocks.judge(question, evidence).because == "share: waits for its first 1m, 1m15s more"
    evidence = fed(evidence, question, 0.5)
    kept = blocks.judge(question, evidence)

    assert kept.nats > alone.nats > 1
    assert "over 1m" in kept.because


def test_a_regression_in_a_late_step_is_found_by_the_step_alone() -> None:
    question = gate(steps_count=3)
    evidence = begun(question)
    for _ in range(200):
        evidence = fed(evidence, question, 0.05)
    evidence = evidence.model_copy(update={"blocks": blocks.begun(evidence, (question,))})
    count = 0
    while blocks.judge(question, evidence).verdict is not Verdict.FAIL:
        evidence, count = fed(evidence, question, 0.6), count + 1
        assert count < 20

    assert count <= 12


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 29))
def test_a_restart_between_any_two_blocks_changes_not_one_bit(
    numbers: list[float], at: int
) -> None:
    question = gate(min=0.05)
    straight = cut = begun(question)
    for i, number in enumerate(numbers):
        straight, cut = fed(straight, question, number), fed(cut, question, number)
        if i == at:
            cut = RunEvidence.model_validate_json(cut.model_dump_json(by_alias=True))

    assert cut == straight


def test_at_1_percent_risk_hardly_a_good_canary_in_300_fails_however_often_one_looks() -> None:
    """The mean lies on the bound itself: the worst that is still allowed."""
    question, failed = gate(), 0
    for seed in range(300):
        draw = random.Random(seed)
        evidence = begun(question)
        for number in range(60):
            if number % 15 == 14:
                turned = blocks.begun(evidence, (question,))
                evidence = evidence.model_copy(update={"blocks": turned})
            evidence = fed(evidence, question, 1.0 if draw.random() < 0.2 else 0.0)
            if blocks.judge(question, evidence).verdict is Verdict.FAIL:
                failed += 1
                break
    assert failed <= 8, "at 1 % three are expected at most, and 9 or more once in 300 times"


def test_the_state_of_a_gate_takes_little_room() -> None:
    question = gate(min=0.05)
    evidence = begun(question)
    for number in range(50):
        evidence = fed(evidence, question, number / 50)

    text = evidence.blocks["share"].model_dump_json(by_alias=True)
    assert len(text) < 600
