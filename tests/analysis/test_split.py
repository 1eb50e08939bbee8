"""The split check: whether the mesh sends what was asked."""

from __future__ import annotations

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from rollout.analysis.judge import split
from rollout.api.evidence import RunEvidence, Split

TICK_MS = 15_000
Ticks = dict[int, tuple[int, int, int, int]]


def step() -> Split:
    """A step that began when 100 s of the run were seen."""
    evidence = RunEvidence(origin_ms=1_000_000, newest_ms=1_100_000, tick_ms=TICK_MS)
    return split.begun(evidence)


def ticks(
    count: int, *, share: float, per_tick: int = 1500, begin: int = 0, seed: int = 1
) -> Ticks:
    draw = random.Random(seed)
    found: Ticks = {}
    for i in range(begin, begin + count):
        canary = sum(draw.random() < share for _ in range(per_tick))
        found[step().after_ms + (i + 1) * TICK_MS] = (canary, per_tick - canary, 0, 0)
    return found


def told(known: Split, percent: float = 5, *, later_ticks: int = 0) -> str:
    """What is told while the newest sample is of the stretch being counted, or later."""
    length = split.STRETCH_TICKS * (known.stretch_index + 1) + later_ticks
    evidence = RunEvidence(
        origin_ms=1_000_000,
        newest_ms=1_000_000 + known.after_ms + length * TICK_MS,
        tick_ms=TICK_MS,
        split=known,
    )
    return split.mismatch(evidence, weight_percent=percent)


def test_what_is_sent_as_asked_is_nothing_to_tell() -> None:
    known = split.counted(step(), ticks(16, share=0.05), tick_ms=TICK_MS)

    assert known.canary_count + known.stable_count == 8 * 1500
    assert told(known) == ""


def test_another_share_is_told_with_its_numbers_and_what_to_look_at() -> None:
    known = split.counted(step(), ticks(3, share=0.11), tick_ms=TICK_MS)

    canary = known.canary_count
    assert told(known) == (
        f"the mesh does not send what was asked: 5 % are to go to the canary, and {canary} of the"
        f" last 4,500 requests did ({100 * canary / 4500:.3g} %); see whether every caller's proxy"
        " takes the VirtualService, and whether something else routes the host"
    )


def test_a_canary_that_gets_nothing_of_its_weight_is_told() -> None:
    known = split.counted(step(), ticks(2, share=0.0), tick_ms=TICK_MS)

    assert "0 of the last 3,000 requests did (0 %)" in told(known)


def test_few_requests_prove_nothing() -> None:
    known = split.counted(step(), ticks(2, share=0.2, per_tick=10), tick_ms=TICK_MS)

    assert told(known) == ""


def test_what_is_sure_and_small_hurts_nobody() -> None:
    known = split.counted(step(), ticks(8, share=0.055, per_tick=20_000), tick_ms=TICK_MS)

    total = known.canary_count + known.stable_count
    nats = split.log_evidence(known.canary_count, total - known.canary_count, share=0.05)
    assert nats > split.SURE_NATS
    assert told(known) == ""


def test_what_was_sent_while_the_weight_was_being_taken_does_not_count() -> None:
    begun = step()
    early = {begun.after_ms - i * TICK_MS: (0, 1500, 0, 0) for i in range(4)}

    assert split.counted(begun, early, tick_ms=TICK_MS) == begun


def test_what_has_been_mended_is_forgotten_after_two_stretches() -> None:
    wrong = split.counted(step(), ticks(8, share=0.2), tick_ms=TICK_MS)
    assert told(wrong)

    later = split.counted(wrong, ticks(8, share=0.05, begin=8), tick_ms=TICK_MS)
    assert told(later)

    assert told(split.counted(later, ticks(1, share=0.05, begin=16), tick_ms=TICK_MS)) == ""


def test_where_no_requests_come_any_more_old_ones_are_forgotten_too() -> None:
    wrong = split.counted(step(), ticks(8, share=0.2), tick_ms=TICK_MS)

    assert told(wrong, later_ticks=8)
    assert told(wrong, later_ticks=9) == ""


def test_after_a_long_gap_only_the_newest_ticks_count() -> None:
    wrong = split.counted(step(), ticks(8, share=0.2), tick_ms=TICK_MS)

    known = split.counted(wrong, ticks(1, share=0.05, begin=40), tick_ms=TICK_MS)

    assert (known.canary_before_count, known.stable_before_count) == (0, 0)
    assert told(known) == ""


@given(st.lists(st.integers(0, 39), max_size=12), st.integers(0, 3))
def test_looking_often_counts_what_looking_once_counts(cuts: list[int], seed: int) -> None:
    every = ticks(40, share=0.05, per_tick=30, seed=seed)
    ends = sorted(every)
    known, seen = step(), 0
    for cut in [*sorted(cuts), 40]:
        piece = {end: every[end] for end in ends[seen:cut]}
        known, seen = split.counted(known, piece, tick_ms=TICK_MS), max(seen, cut)

    assert known == split.counted(step(), every, tick_ms=TICK_MS)


def test_of_500_steps_with_true_splits_hardly_one_is_ever_blamed_however_often_one_looks() -> None:
    """One stretch in 10,000 at most is told wrongly, and each step has four."""
    blamed = set()
    for seed in range(500):
        known = step()
        for end, row in ticks(32, share=0.1, per_tick=60, seed=seed).items():
            known = split.counted(known, {end: row}, tick_ms=TICK_MS)
            if told(known, 10):
                blamed.add(seed)
    assert len(blamed) <= 1


def test_the_formula_gives_1_where_nothing_was_seen() -> None:
    assert math.isclose(split.log_evidence(0, 0, share=0.3), 0.0, abs_tol=1e-12)
