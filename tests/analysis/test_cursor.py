"""Where counting stands, per target and question."""

from __future__ import annotations

from rollout.analysis import cursor
from rollout.analysis.evidence import Book
from rollout.analysis.query import Shape
from rollout.analysis.sample import Series
from rollout.api.evidence import COMMON, TARGETS_MAX, RunEvidence
from tests.analysis.observed import STEP_MS, absorb, counts, ms, requests, series

PODS = 200
REQUESTS = COMMON + Shape.REQUESTS
BOOK = Book(since_step=0, copies=False)


def crowd(*points: tuple[float, float]) -> dict[Shape, tuple[Series, ...]]:
    return requests(*(series("v2", "200", *points, pod=f"client-{n}") for n in range(PODS)))


def test_more_targets_than_cursors_share_one_and_the_status_stays_small() -> None:
    found = absorb(RunEvidence(), crowd((100, 1)))

    assert len(found.through) == TARGETS_MAX + 1
    assert found.through[REQUESTS] == 0


def test_targets_that_share_a_cursor_are_counted_an_interval_later_and_exactly_once() -> None:
    """The shared cursor stays a scrape interval and five seconds behind the newest stamp."""
    known = absorb(RunEvidence(), crowd((100, 1)))

    points = [(100.0, 1.0), (110.0, 3.0)]
    soon = absorb(known, crowd(*points))
    points += [(120.0, 6.0), (130.0, 6.0)]
    later = absorb(soon, crowd(*points))
    again = absorb(later, crowd(*points))

    assert soon.gates["errors"].canary == counts(TARGETS_MAX * 2)
    assert later.gates["errors"].canary == counts(TARGETS_MAX * 5 + (PODS - TARGETS_MAX) * 2)
    assert again == later
    end = absorb(later, crowd(*points, (150.0, 6.0)))
    assert end.gates["errors"].canary == counts(PODS * 5)
    assert end.through[REQUESTS] == ms(35)


def test_the_shared_cursor_goes_on_while_fewer_targets_are_seen() -> None:
    known = absorb(RunEvidence(), crowd((100, 1)))

    found = absorb(known, requests(series("v2", "200", (100, 1), (200, 5), pod="client-0")))

    assert found.through[REQUESTS] == ms(85)


def test_each_question_has_cursors_of_its_own() -> None:
    answers = requests(series("v1", "200", (100, 1)))
    series_seen = answers[Shape.REQUESTS]

    found = absorb(RunEvidence(), dict.fromkeys(Shape, series_seen), book=BOOK)

    assert found.arrivals is not None
    keys = [*found.through, *found.arrivals.through]
    assert (len(found.through), len(found.arrivals.through)) == (3, 2)
    assert len(set(keys)) == len(Shape)
    assert all(len(key) == 8 for key in keys)


def test_a_target_silent_for_longer_than_any_window_loses_its_cursor() -> None:
    known = absorb(RunEvidence(), requests(series("v1", "200", (100, 1), pod="gone")))
    hour = cursor.FORGET_MS / 1000

    kept = absorb(known, requests(series("v1", "200", (100 + hour, 1), pod="new")))
    forgotten = absorb(known, requests(series("v1", "200", (101 + hour, 1), pod="new")))

    assert len(kept.through) == 2
    assert len(forgotten.through) == 1


def test_an_empty_answer_to_a_question_moves_no_cursor() -> None:
    known = absorb(RunEvidence(), crowd((100, 1)))

    found = absorb(known, {Shape.REQUESTS: (), Shape.TCP: (series("v1", "200", (140, 1)),)})

    assert found.through[REQUESTS] == 0
    assert found.gates == known.gates
    assert found.newest_ms == ms(140)


def test_settling_is_an_interval_and_five_seconds() -> None:
    assert (STEP_MS, cursor.SETTLE_MS) == (10_000, 5_000)
