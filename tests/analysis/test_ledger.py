"""Evidence between looks: whatever the looks were, the bits are those of one look."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.analysis.judge import ledger, ratio_gate
from rollout.analysis.judge.ledger import Terms
from rollout.analysis.judge.numbers import pack, unpack
from rollout.analysis.judge.ratio import Counts
from rollout.analysis.judge.ratio_gate import Promises
from rollout.api.evidence import Ledger

TICK_MS = 15_000
TERMS = Terms(promises=Promises(dispersion_factor=2.0), steps_count=6, reference_ratio=0.001)

Row = tuple[int, int, int, int]
ROWS = st.lists(
    st.tuples(st.integers(0, 900), st.integers(0, 9_000), st.integers(0, 9), st.integers(0, 9)),
    min_size=1,
    max_size=12,
)


def gone_through(rows: list[Row], cuts: list[int], *, steps_at: tuple[int, ...] = ()) -> Ledger:
    """Rows a tick each, looked at after each of some of them, and at the end."""
    known = ledger.with_step(None, TERMS, newest_ms=0)
    pending: dict[int, Row] = {}
    for number, row in enumerate(rows, 1):
        pending[number * TICK_MS] = row
        if number in steps_at or number in cuts or number == len(rows):
            known = ledger.gathered(known, pending, tick_ms=TICK_MS)
            known = ledger.closed(known, TERMS, newest_ms=number * TICK_MS, tick_ms=TICK_MS)
            known = Ledger.model_validate_json(known.model_dump_json(by_alias=True))
            pending = {}
        if number in steps_at:
            known = ledger.with_step(known, TERMS, newest_ms=number * TICK_MS)
    return known


@given(ROWS, st.lists(st.integers(1, 12)), st.integers(1, 12))
def test_looks_and_restarts_change_no_bit(rows: list[Row], cuts: list[int], step: int) -> None:
    assert gone_through(rows, cuts, steps_at=(step,)) == gone_through(rows, [], steps_at=(step,))


@given(ROWS)
def test_what_is_known_now_is_what_a_gate_knows_that_had_all_ticks_at_once(rows: list[Row]) -> None:
    known = ledger.now(gone_through(rows, []), TERMS)

    straight = ratio_gate.begin(TERMS.promises, steps_count=6)
    for row in rows:
        straight = ratio_gate.with_tick(
            straight, Counts(*row), TERMS.promises, reference_ratio=0.001
        )

    assert replace(known, lattice=straight.lattice) == straight
    assert ledger.lattice(gone_through(rows, [])) == straight.lattice


def test_a_tick_stays_open_until_no_sample_is_expected_for_it_any_more() -> None:
    known = ledger.gathered(None, {TICK_MS: (10, 90, 1, 0)}, tick_ms=TICK_MS)

    early = ledger.closed(known, TERMS, newest_ms=2 * TICK_MS + 4_999, tick_ms=TICK_MS)
    late = ledger.closed(known, TERMS, newest_ms=2 * TICK_MS + 5_000, tick_ms=TICK_MS)

    assert early is known
    assert (late.open, late.closed_ms, late.canary.requests) == ((), TICK_MS, 10)


def test_a_sample_that_is_later_than_that_is_counted_in_the_oldest_open_tick() -> None:
    known = ledger.gathered(None, {TICK_MS: (10, 90, 1, 0)}, tick_ms=TICK_MS)
    known = ledger.closed(known, TERMS, newest_ms=4 * TICK_MS, tick_ms=TICK_MS)

    known = ledger.gathered(known, {TICK_MS: (5, 5, 0, 1)}, tick_ms=TICK_MS)

    assert known.open == ((2 * TICK_MS, 5, 5, 0, 1),)


def test_a_step_has_the_ticks_that_end_after_it_began() -> None:
    known = ledger.with_step(None, TERMS, newest_ms=0)
    known = ledger.gathered(known, {TICK_MS: (10, 90, 9, 0)}, tick_ms=TICK_MS)
    known = ledger.with_step(known, TERMS, newest_ms=TICK_MS)
    known = ledger.gathered(known, {2 * TICK_MS: (10, 90, 1, 0)}, tick_ms=TICK_MS)

    first, second = ledger.now(known, TERMS).since

    one = ratio_gate.begin(TERMS.promises, steps_count=6).every.with_tick(Counts(10, 90, 1, 0))
    assert second == one
    assert first.log_evidence() > second.log_evidence()


def test_views_of_old_steps_are_stopped_and_keep_their_value_in_a_bounded_status() -> None:
    rows: list[Row] = [(100, 900, 9, 1)] * 40
    known = gone_through(rows, [], steps_at=(2, 4, 6, 8, 10))

    assert len(known.views) == ratio_gate.VIEWS_MAX
    assert known.begun_count == TERMS.steps_count
    assert known.stopped_nats is not None
    assert len(known.model_dump_json(by_alias=True)) < 4_096


def test_numbers_keep_every_bit_and_what_is_no_list_of_them_is_nothing_known() -> None:
    numbers = (0.1, -2142.048628534839, 1e-300, math.pi)

    assert unpack(pack(numbers), count=4) == numbers
    assert pack((0.0, 0.0)) == ""
    assert unpack("", count=2) == (0.0, 0.0)
    for broken in ("A", "!!!!", pack(numbers)[:-4], pack((math.inf, 1.0))):
        assert unpack(broken, count=2) == (0.0, 0.0)


@pytest.mark.parametrize("newest_ms", [0, 10**9])
def test_no_number_of_open_ticks_outgrows_the_status(newest_ms: int) -> None:
    ticks = {number * TICK_MS: (1, 1, 0, 0) for number in range(1, 200)}

    known = ledger.gathered(None, ticks, tick_ms=TICK_MS)
    known = ledger.closed(known, TERMS, newest_ms=newest_ms, tick_ms=TICK_MS)

    assert len(known.open) <= 64
    assert Ledger.model_validate_json(known.model_dump_json(by_alias=True)) == known
