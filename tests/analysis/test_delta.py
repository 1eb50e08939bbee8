"""From raw samples to increments: resets, births, gaps, deaths."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.analysis import delta
from rollout.analysis.delta import Cut, Event, Span
from rollout.analysis.sample import Series
from tests.analysis import golden

STEP_MS = 15_000


def cut_golden(
    through: float = golden.THROUGH_SECONDS,
    until: float = golden.UNTIL_SECONDS,
    *,
    young: frozenset[str] = frozenset(),
) -> Cut:
    span = Span(golden.at_ms(through), golden.at_ms(until))
    answer = golden.series(through - 45, until)
    return delta.cut(answer, span_of=lambda _: span, step_ms=STEP_MS, young=young)


def sums(cut: Cut) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for row in cut.rows:
        totals[golden.kind(row.metric)] += row.total
    return dict(totals)


def one(*samples: tuple[int, float], **labels: str) -> Series:
    return Series(metric={"__name__": "requests", **labels}, samples=samples)


def increments(
    *series: Series, through: int, until: int = 1_000, step: int = 10
) -> dict[str, tuple[tuple[int, int], ...]]:
    cut = delta.cut(series, span_of=lambda _: Span(through, until), step_ms=step)
    return {row.metric["response_code"]: row.increments for row in cut.rows}


def test_the_golden_samples_come_to_the_golden_ticks() -> None:
    cut = cut_golden()

    ticks = delta.ticks(
        cut.rows,
        key=golden.kind,
        origin_ms=golden.at_ms(golden.THROUGH_SECONDS),
        step_ms=STEP_MS,
    )

    assert ticks == {(golden.at_ms(end), name): n for (end, name), n in golden.TICKS.items()}
    assert sums(cut) == golden.SUMS


def test_the_golden_notes_are_two_births_three_gaps_three_resets_two_base_only() -> None:
    notes = Counter(note.event for note in cut_golden().notes)

    assert notes == {Event.BIRTH: 2, Event.GAP: 3, Event.RESET: 3, Event.BASE_ONLY: 2}


def test_a_target_known_to_be_young_counts_from_zero() -> None:
    young = frozenset({delta.target_of(golden.labels("e", "v1", "200"))})

    cut = cut_golden(young=young)

    assert sums(cut) == golden.SUMS_WITH_E_YOUNG
    assert Counter(note.event for note in cut.notes)[Event.BIRTH] == 4


@pytest.mark.parametrize("middle", range(61, 120))
def test_consecutive_windows_add_up_to_the_long_one_wherever_it_is_split(middle: int) -> None:
    parts = Counter(sums(cut_golden(60, middle))) + Counter(sums(cut_golden(middle, 120)))

    assert dict(parts) == golden.SUMS


def test_a_key_of_none_leaves_a_row_out_of_the_ticks() -> None:
    cut = cut_golden()

    ticks = delta.ticks(
        cut.rows,
        key=lambda metric: "d" if metric["pod"] == "d" else None,
        origin_ms=golden.at_ms(60),
        step_ms=STEP_MS,
    )

    assert ticks == {(golden.at_ms(75), "d"): 100, (golden.at_ms(90), "d"): 100}


def test_a_counter_that_falls_counts_its_new_value() -> None:
    counted = increments(one((0, 90.0), (10, 95.0), (20, 4.0), response_code="200"), through=0)

    assert counted == {"200": ((10, 5), (20, 4))}


def test_what_a_gap_hid_is_booked_where_the_gap_ends() -> None:
    counted = increments(one((0, 1.0), (50, 8.0), response_code="200"), through=0)

    assert counted == {"200": ((50, 7),)}


def test_the_first_error_of_a_target_seen_before_counts_in_full() -> None:
    healthy = one((0, 10.0), (10, 12.0), response_code="200", pod="a")
    failing = one((10, 3.0), response_code="500", pod="a")

    counted = increments(healthy, failing, through=0)

    assert counted == {"200": ((10, 2),), "500": ((10, 3),)}


def test_the_first_sample_of_a_target_never_seen_is_only_a_base() -> None:
    healthy = one((0, 10.0), (10, 12.0), response_code="200", pod="a")
    stranger = one((10, 300.0), (20, 301.0), response_code="500", pod="b")

    counted = increments(healthy, stranger, through=0)

    assert counted == {"200": ((10, 2),), "500": ((20, 1),)}


def test_a_label_that_changes_makes_another_target_and_no_giant_birth() -> None:
    before = one((0, 500.0), (10, 501.0), response_code="200", pod="a", node="n1")
    after = one((20, 502.0), response_code="500", pod="a", node="n2")

    counted = increments(before, after, through=0)

    assert counted == {"200": ((10, 1),)}


def test_a_series_that_existed_long_ago_is_no_birth() -> None:
    healthy = one((0, 10.0), (10, 12.0), response_code="200")
    returned = one((10, 500.0), (20, 501.0), response_code="500")

    cut = delta.cut(
        (healthy, returned),
        span_of=lambda _: Span(0, 100),
        step_ms=10,
        returned=lambda metric: metric["response_code"] == "500",
    )

    assert [row.total for row in cut.rows] == [2, 1]
    assert [note.event for note in cut.notes] == [Event.RETURNED]


def test_samples_later_than_the_span_are_left_for_the_next_look() -> None:
    series = one((0, 1.0), (10, 2.0), (20, 3.0), response_code="200")
    later = one((20, 9.0), response_code="500")

    cut = delta.cut((series, later), span_of=lambda _: Span(0, 15), step_ms=10)

    assert [row.increments for row in cut.rows] == [((10, 1),)]
    assert set(cut.newest_ms.values()) == {10}


def test_a_target_is_all_labels_that_are_not_istios() -> None:
    series = golden.labels("a", "v1", "200")

    target = delta.target_of(series)

    assert len(target) == 8
    assert int(target, 16) >= 0
    assert target == delta.target_of(golden.labels("a", "v2", "503"))
    assert target != delta.target_of(golden.labels("b", "v1", "200"))
    assert target != delta.target_of({**series, "node": "n1"})


COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=30)


@given(COUNTS, st.sets(st.integers(1, 30)), st.integers(1, 30))
def test_between_resets_the_sum_is_what_was_counted_since_each_start(
    counts: list[int], resets: set[int], middle: int
) -> None:
    """A restart loses what was counted since the last scrape; here it happens just after one."""
    value, samples = 1_000.0, [(0, 1_000.0)]
    for index, count in enumerate(counts, start=1):
        restarts = index in resets and count < value
        value = count if restarts else value + count
        samples.append((index * 10, value))
    series = one(*samples, response_code="200")

    def total(through: int, until: int) -> int:
        cut = delta.cut([series], span_of=lambda _: Span(through, until), step_ms=10)
        return sum(row.total for row in cut.rows)

    assert total(0, 1_000) == sum(counts)
    assert total(0, middle * 10) + total(middle * 10, 1_000) == sum(counts)
