"""Arrivals have a book of their own: begun, turned and closed with what hides them."""

from __future__ import annotations

from rollout.analysis import evidence
from rollout.analysis.cursor import SETTLE_MS
from rollout.analysis.evidence import COPIES_GONE_INTERVALS, Book
from rollout.analysis.query import Shape
from rollout.analysis.sample import Series
from rollout.api.evidence import Arrivals, GateEvidence, RunEvidence
from tests.analysis.observed import (
    ERRORS,
    LATENCY,
    STEP_MS,
    TCP,
    absorb,
    bare,
    bucket,
    counts,
    ms,
    requests,
    series,
)

COPIES = Book(since_step=1, copies=True)
RETRIES = Book(since_step=0, copies=False)
AFTERWARDS = Book(since_step=2, copies=False)

Points = tuple[tuple[float, float], ...]


def arrived(*points: tuple[float, float], code: str = "200") -> Series:
    return series("v2", code, *points, pod="reviews-v2")


def answers(*found: Series, sent: Points = ((100, 50),)) -> evidence.Answers:
    return {**requests(series("v1", "200", *sent)), Shape.ARRIVALS: found}


def book_of(known: RunEvidence) -> Arrivals:
    assert known.arrivals is not None
    return known.arrivals


BEGUN = absorb(RunEvidence(), answers(arrived((101, 7))), book=COPIES)


def test_the_first_look_at_arrivals_counts_none_of_them() -> None:
    assert book_of(BEGUN).gates == {"errors": GateEvidence()}
    assert book_of(BEGUN).origin_ms == book_of(BEGUN).newest_ms == ms(101)


def test_arrivals_are_counted_for_their_gates_and_for_nothing_else() -> None:
    found = absorb(
        BEGUN, answers(arrived((101, 7), (111, 27)), arrived((111, 3), code="503")), book=COPIES
    )

    assert book_of(found).gates["errors"].canary == counts(23, 3)
    assert found.gates["errors"] == found.traffic == GateEvidence()
    assert found.canary_run == counts(0)
    assert evidence.observed_percent(found) is None
    assert found.newest_ms == ms(111)


def test_the_same_answer_twice_counts_once() -> None:
    twice = answers(arrived((101, 7), (111, 27)))
    once = absorb(BEGUN, twice, book=COPIES)

    assert absorb(once, twice, book=COPIES) is once
    assert RunEvidence.model_validate(once.model_dump(mode="json", by_alias=True)) == once


def test_durations_of_copies_are_counted_and_connections_are_not() -> None:
    def at(*, fast: float, every: float, end: float) -> evidence.Answers:
        return {
            Shape.ARRIVAL_DURATIONS: (
                bucket("v2", "250", (100, 0), (end, fast)),
                bucket("v2", "+Inf", (100, 0), (end, every)),
            )
        }

    begun = absorb(RunEvidence(), at(fast=0, every=0, end=100), LATENCY, TCP, book=COPIES)
    found = absorb(begun, at(fast=6, every=10, end=110), LATENCY, TCP, book=COPIES)

    assert book_of(found).gates.keys() == {"latency"}
    assert bare(book_of(found).gates["latency"]) == GateEvidence(
        canary=counts(10, 4), canary_bad_ms=ms(110)
    )


def test_without_an_answer_about_arrivals_the_book_stays_as_it_is() -> None:
    asked = requests(series("v1", "200", (100, 50), (110, 60)))

    assert absorb(RunEvidence(), asked, book=COPIES).arrivals is None
    assert absorb(BEGUN, asked, book=COPIES).arrivals == BEGUN.arrivals


def test_the_book_is_closed_when_nothing_is_hidden_any_more() -> None:
    assert absorb(BEGUN, answers(arrived((111, 27)))).arrivals is None


def test_a_new_step_turns_the_page_and_keeps_the_cursors() -> None:
    known = absorb(BEGUN, answers(arrived((101, 7), (111, 27))), book=COPIES)

    begun = evidence.begin_step(known, [ERRORS])

    assert bare(book_of(begun).gates["errors"]) == GateEvidence()
    assert book_of(begun).through == book_of(known).through
    assert evidence.begin_step(RunEvidence(), [ERRORS]).arrivals is None


def test_what_found_no_upstream_in_earlier_steps_is_remembered() -> None:
    begun = evidence.begin_step(RunEvidence(unattributed=3, unattributed_before=4), [ERRORS])

    assert (begun.unattributed, begun.unattributed_before) == (0, 7)


def test_after_mirroring_no_sample_that_may_hold_copies_is_counted() -> None:
    pause_ms = COPIES_GONE_INTERVALS * STEP_MS + SETTLE_MS
    points = [(101.0, 7.0), (111.0, 27.0)]
    begun = absorb(BEGUN, answers(arrived(*points)), book=AFTERWARDS)
    points += [(121.0, 50.0), (131.0, 51.0)]
    waiting = absorb(begun, answers(arrived(*points)), book=AFTERWARDS)
    points += [(141.0, 53.0)]
    counting = absorb(waiting, answers(arrived(*points)), book=AFTERWARDS)

    assert book_of(begun).origin_ms == ms(111) + pause_ms
    assert book_of(waiting).gates["errors"].canary == counts(0)
    assert book_of(counting).gates["errors"].canary == counts(2)


def test_mirroring_again_begins_a_book_anew_at_once() -> None:
    again = Book(since_step=3, copies=True)

    begun = absorb(BEGUN, answers(arrived((101, 7), (111, 27))), book=again)

    assert book_of(begun).gates["errors"].canary == counts(0)
    assert book_of(begun).origin_ms == ms(111)


def test_retries_are_counted_from_the_first_look_on() -> None:
    begun = absorb(RunEvidence(), answers(arrived((101, 7))), ERRORS, book=RETRIES)

    found = absorb(begun, answers(arrived((101, 7), (111, 9))), ERRORS, book=RETRIES)

    assert book_of(found).gates["errors"].canary == counts(2)


def test_the_next_look_waits_for_pods_too() -> None:
    seen = answers(arrived((101, 7), (105, 8)), sent=((100, 50), (111, 60)))

    known = absorb(BEGUN, seen, book=COPIES)

    assert evidence.next_sample_ms(known, step_ms=STEP_MS) == ms(115)
    assert evidence.oldest_live_ms(known, step_ms=STEP_MS) == ms(105)
