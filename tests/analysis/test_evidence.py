"""Looks add up: whenever somebody looks, the evidence is the same."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.analysis import evidence, query, verdict
from rollout.analysis.arm import Arms
from rollout.analysis.delta import Event
from rollout.analysis.judge import ledger
from rollout.analysis.query import Shape
from rollout.analysis.sample import Series
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.evidence import ArmCounts, Baseline, GateEvidence, RunEvidence
from tests.analysis import golden
from tests.analysis.observed import (
    ARMS,
    ERRORS,
    LATENCY,
    STEP_MS,
    TCP,
    absorb,
    bare,
    bucket,
    connections,
    counts,
    ms,
    requests,
    series,
)

MANY: dict[str, Any] = {"steps_count": 9, "proven_ratio": 2.0}
NOTHING = RunEvidence()
FIRST = absorb(NOTHING, requests(series("v1", "200", (100, 50)), series("v2", "200", (100, 5))))


def test_the_first_look_counts_nothing_and_sets_the_origin() -> None:
    assert FIRST.origin_ms == FIRST.newest_ms == ms(100)
    assert FIRST.gates == {"errors": GateEvidence()}
    assert list(FIRST.through.values()) == [0]


def test_an_answer_without_series_leaves_the_very_same_evidence() -> None:
    assert absorb(NOTHING, {}) is NOTHING
    assert absorb(FIRST, requests()) is FIRST


def test_what_came_after_the_first_look_is_counted_by_arm() -> None:
    found = absorb(
        FIRST,
        requests(
            series("v1", "200", (100, 50), (110, 80)),
            series("v1", "503", (110, 1)),
            series("v2", "200", (100, 5), (110, 9)),
        ),
    )

    assert bare(found.gates["errors"]) == GateEvidence(stable=counts(31, 1), canary=counts(4))
    assert found.traffic.stable == counts(31, 1)
    assert found.newest_ms == ms(110)


def test_the_first_errors_of_a_revision_count_because_its_proxy_was_seen_before() -> None:
    found = absorb(
        FIRST, requests(series("v1", "200", (100, 50), (110, 60)), series("v2", "500", (110, 2)))
    )

    assert found.gates["errors"].canary == counts(2, 2)
    assert found.gates["errors"].canary_bad_ms == ms(110)
    assert found.canary_run == counts(2, 2)


def test_the_same_answer_twice_changes_nothing() -> None:
    answers = requests(series("v1", "200", (100, 50), (110, 60), (120, 75)))

    once = absorb(FIRST, answers)

    assert once.gates["errors"].stable == counts(25)
    assert absorb(once, answers) is once


def test_an_answer_that_comes_late_changes_nothing() -> None:
    early = requests(series("v1", "200", (100, 50), (110, 60)))
    late = requests(series("v1", "200", (100, 50), (110, 60), (120, 75)))

    after = absorb(absorb(FIRST, early), late)

    assert absorb(after, early) == after


def test_a_sample_that_becomes_visible_late_is_counted_then() -> None:
    """Each proxy has a cursor of its own, so no settling time is needed for correctness."""
    fast, slow = {"pod": "fast"}, {"pod": "slow"}
    known = absorb(
        NOTHING,
        requests(series("v2", "200", (99, 1), **slow), series("v2", "200", (100, 1), **fast)),
    )
    ahead = absorb(
        known,
        requests(
            series("v2", "200", (99, 1), **slow), series("v2", "200", (100, 1), (110, 3), **fast)
        ),
    )

    caught_up = absorb(
        ahead,
        requests(
            series("v2", "200", (99, 1), (109, 8), **slow),
            series("v2", "200", (100, 1), (110, 3), **fast),
        ),
    )

    assert ahead.gates["errors"].canary == counts(2)
    assert caught_up.gates["errors"].canary == counts(9)


def test_a_question_without_answer_is_made_up_for_by_the_next_look() -> None:
    def durations(*points: tuple[float, float]) -> tuple[Series, ...]:
        fast = tuple((at, value / 2) for at, value in points)
        return bucket("v2", "+Inf", *points), bucket("v2", "250", *fast)

    gates = (ERRORS, LATENCY)
    known = absorb(
        NOTHING,
        {
            Shape.REQUESTS: (series("v2", "200", (100, 4)),),
            Shape.DURATIONS: durations((100, 4)),
        },
        *gates,
    )
    without = absorb(known, requests(series("v2", "200", (100, 4), (110, 8))), *gates)

    with_both = absorb(
        without,
        {
            Shape.REQUESTS: (series("v2", "200", (100, 4), (110, 8)),),
            Shape.DURATIONS: durations((100, 4), (110, 8)),
        },
        *gates,
    )

    assert without.gates["latency"].canary == counts(0)
    assert with_both.gates["errors"].canary == counts(4)
    assert with_both.gates["latency"].canary == counts(4, 2)


def test_a_step_begins_at_zero_and_keeps_cursors_and_what_the_stable_arm_did() -> None:
    known = absorb(
        FIRST,
        requests(
            series("v1", "200", (100, 50), (110, 80)),
            series("v2", "503", (110, 2)),
            series("", "503", (110, 3), response_flags="UH"),
        ),
    )

    begun = evidence.begin_step(known, [ERRORS])

    assert bare(begun.gates["errors"]) == GateEvidence(stable_before=counts(30))
    assert begun.traffic == GateEvidence(stable_before=counts(30))
    assert (known.unattributed, begun.unattributed) == (3, 0)
    assert (begun.through, begun.origin_ms) == (known.through, known.origin_ms)
    assert begun.canary_run == counts(2, 2)
    assert evidence.begin_step(begun, [ERRORS]).gates["errors"].stable_before == counts(30)


def test_scenario_172_a_client_that_left_is_neither_success_nor_failure() -> None:
    found = absorb(
        FIRST,
        requests(
            series("v2", "200", (100, 5), (110, 6)),
            series("v2", "0", (110, 40), response_flags="DC"),
            series("v2", "0", (110, 2), response_flags="UC"),
        ),
    )

    assert found.gates["errors"].canary == counts(3, 2)
    assert found.traffic.canary == counts(43, 2)


def test_scenario_74_grpc_errors_are_failures_though_http_says_200() -> None:
    found = absorb(
        FIRST,
        requests(
            series("v2", "200", (100, 5), (110, 6), grpc_response_status="0"),
            series("v2", "200", (110, 4), grpc_response_status="14"),
        ),
    )

    assert found.gates["errors"].canary.bad == 4


def test_scenario_73_a_canary_whose_every_request_fails_shows_it() -> None:
    found = absorb(
        FIRST, requests(series("v1", "200", (100, 50), (110, 60)), series("v2", "503", (110, 30)))
    )

    assert found.gates["errors"].canary == counts(30, 30)


def test_scenario_170_requests_without_upstream_belong_to_nobody_and_are_kept() -> None:
    lost = series("", "503", (110, 7), response_flags="UH")
    unrelated = series("v9", "503", (110, 7))

    found = absorb(FIRST, requests(series("v1", "200", (100, 50), (110, 60)), lost, unrelated))

    assert found.unattributed == 7
    assert found.gates["errors"].canary == counts(0)
    assert found.traffic.stable == counts(10)


def test_latency_counts_what_is_not_in_the_bucket_below_the_limit() -> None:
    """The limit of 300 ms moves to the edge at 250 ms, however the server spells it."""
    known = absorb(
        NOTHING,
        {Shape.DURATIONS: (bucket("v2", "250.0", (100, 7)), bucket("v2", "+Inf", (100, 8)))},
        LATENCY,
    )

    found = absorb(
        known,
        {
            Shape.DURATIONS: (
                bucket("v2", "250.0", (100, 7), (110, 10), (120, 20)),
                bucket("v2", "+Inf", (100, 8), (110, 13), (120, 23)),
                bucket("v2", "500", (100, 8), (110, 13), (120, 23)),
            )
        },
        LATENCY,
    )

    assert found.gates["latency"].canary == counts(15, 2)
    assert found.gates["latency"].canary_bad_ms == ms(110)
    assert found.traffic == GateEvidence()


@pytest.mark.parametrize(
    "odd",
    [
        (bucket("v2", "100", (100, 0)), bucket("v2", "+Inf", (100, 0), (110, 9))),
        (bucket("v2", "250", (100, 0), (110, 50)), bucket("v2", "+Inf", (100, 0), (110, 9))),
        (bucket("v2", "many", (100, 0), (110, 9)),),
        (
            bucket("v9", "250", (100, 0)),
            bucket("v9", "+Inf", (100, 0), (110, 9)),
        ),
        (
            bucket("v2", "250", (100, 0), code="0", response_flags="DC"),
            bucket("v2", "+Inf", (100, 0), (110, 9), code="0", response_flags="DC"),
        ),
    ],
    ids=["edge missing", "buckets do not nest", "no bucket", "another revision", "client gone"],
)
def test_histograms_that_say_nothing_about_the_edge_and_the_arms_are_left_out(
    odd: tuple[Series, ...],
) -> None:
    calm = (bucket("v1", "250", (100, 0), (110, 5)), bucket("v1", "+Inf", (100, 0), (110, 5)))
    known = absorb(NOTHING, {Shape.DURATIONS: (bucket("v1", "250", (100, 0)),)}, LATENCY)

    found = absorb(known, {Shape.DURATIONS: calm + odd}, LATENCY)

    assert bare(found.gates["latency"]) == GateEvidence(stable=counts(5))


def test_durations_that_no_gate_asked_for_are_passed_over() -> None:
    answers = {Shape.DURATIONS: (bucket("v2", "+Inf", (100, 0), (110, 9)),)}

    found = absorb(FIRST, answers, ERRORS)

    assert found.gates == FIRST.gates


def test_connections_count_when_opened_and_are_bad_when_closed_with_a_failure() -> None:
    known = absorb(NOTHING, {Shape.TCP: (connections("v1", "opened", (100, 1)),)}, TCP)

    found = absorb(
        known,
        {
            Shape.TCP: (
                connections("v1", "opened", (100, 1), (110, 11)),
                connections("v1", "closed", (110, 4)),
                connections("v2", "opened", (110, 3)),
                connections("v2", "opened", (110, 2), flags="UF,URX"),
                connections("v2", "closed", (110, 2), flags="UF,URX"),
                connections("", "opened", (110, 6), flags="UH"),
                connections("", "closed", (110, 6), flags="UH"),
            )
        },
        TCP,
    )

    assert bare(found.gates["tcp"]) == GateEvidence(
        stable=counts(10), canary=counts(5, 2), canary_bad_ms=ms(110)
    )
    assert found.traffic.canary == counts(5, 2)
    assert found.unattributed == 6


def test_a_query_gate_keeps_no_counts() -> None:
    gate = query_gate()

    assert absorb(NOTHING, requests(series("v1", "200", (100, 1))), gate).gates == {}


def query_gate() -> GateQuestion:
    return GateQuestion(name="conversion", kind=GateKind.QUERY, min=0.9)


def test_the_observed_weight_is_the_canarys_share_of_the_requests() -> None:
    traffic = GateEvidence(canary=ArmCounts(requests=118), stable=ArmCounts(requests=882))

    assert evidence.observed_percent(RunEvidence(traffic=traffic)) == pytest.approx(11.8)
    assert evidence.observed_percent(RunEvidence()) is None


def test_the_golden_samples_come_to_the_golden_sums_as_evidence() -> None:
    arms = Arms(label="destination_workload", stable="reviews-v1", canary="reviews-v2")
    origin = golden.at_ms(golden.THROUGH_SECONDS)
    known = RunEvidence(origin_ms=origin, newest_ms=origin)

    looked = evidence.look(
        known,
        {Shape.REQUESTS: golden.series(15)},
        arms=arms,
        gates=[ERRORS],
        step_ms=golden.STEP_SECONDS * 1000,
    )

    assert bare(looked.evidence.gates["errors"]) == GateEvidence(
        stable=counts(1302, 2), canary=counts(148, 7), canary_bad_ms=golden.at_ms(112)
    )
    assert [note.event for note in looked.notes].count(Event.RESET) == 3


def test_a_series_that_existed_long_ago_counts_from_its_return() -> None:
    looked = evidence.look(
        FIRST,
        requests(series("v1", "200", (100, 50), (110, 60)), series("v2", "500", (110, 90))),
        arms=ARMS,
        gates=[ERRORS],
        step_ms=STEP_MS,
        returned=lambda metric: metric["response_code"] == "500",
    )

    assert looked.evidence.gates["errors"].canary == counts(0)


def test_evidence_survives_the_status_and_goes_on_from_there() -> None:
    answers = requests(series("v1", "200", (100, 50), (110, 60), (120, 75)))
    stored = RunEvidence.model_validate_json(FIRST.model_dump_json())

    assert absorb(stored, answers) == absorb(FIRST, answers)


def test_the_next_window_begins_at_the_oldest_cursor_of_a_target_still_alive() -> None:
    known = RunEvidence(
        origin_ms=ms(100), newest_ms=ms(200), through={"a": 100_000, "b": 91_000, "dead": 5_000}
    )

    assert evidence.oldest_live_ms(known, step_ms=10_000) == ms(191)
    assert evidence.oldest_live_ms(NOTHING, step_ms=10_000) == 0


def test_the_next_look_is_due_when_the_first_target_is_scraped_again() -> None:
    known = RunEvidence(
        origin_ms=ms(100), newest_ms=ms(200), through={"a": 100_000, "b": 94_000, "dead": 5_000}
    )

    assert evidence.next_sample_ms(known, step_ms=10_000) == ms(204)
    assert evidence.next_sample_ms(NOTHING, step_ms=10_000) is None


def test_without_live_targets_the_next_sample_is_an_interval_away() -> None:
    known = RunEvidence(origin_ms=ms(100), newest_ms=ms(200), through={"dead": 5_000})

    assert evidence.next_sample_ms(known, step_ms=10_000) == ms(210)


def test_windows_of_the_evidence_reach_every_base() -> None:
    known = absorb(FIRST, requests(series("v1", "200", (100, 50), (110, 60))))

    window = query.window_seconds(
        through_ms=evidence.oldest_live_ms(known, step_ms=STEP_MS),
        until_ms=ms(121),
        interval_ms=STEP_MS,
    )

    assert window == 41


def test_the_evidence_of_a_run_with_every_kind_of_gate_fits_the_status() -> None:
    """16 KiB: errors, latency at four edges and tcp, each with all that ticks can leave behind."""
    slow = GateQuestion(name="slow", kind=GateKind.LATENCY, max_ratio=1.2, edge_ms=500, **MANY)
    asked = [
        GateQuestion(name="errors", kind=GateKind.ERRORS, max_ratio=1.2, **MANY),
        slow,
        *(verdict.beside(slow, edge) for edge in (250, 100, 50)),
        GateQuestion(name="tcp", kind=GateKind.TCP, max_percent=1, **MANY),
    ]
    ticks = {number * STEP_MS: (97, 903, number % 7, number % 11) for number in range(1, 90)}
    known = RunEvidence(
        tick_ms=STEP_MS, baseline=Baseline(), origin_ms=ms(100), newest_ms=ms(100) + 90 * STEP_MS
    )
    pages = {}
    for gate in asked:
        terms = ledger.terms_of(gate, known.baseline)
        book = ledger.gathered(None, ticks, tick_ms=STEP_MS)
        for step in range(1, 9):
            book = ledger.with_step(book, terms, newest_ms=step * 10 * STEP_MS)
            book = ledger.closed(book, terms, newest_ms=step * 11 * STEP_MS, tick_ms=STEP_MS)
        pages[gate.name] = GateEvidence(ledger=book)
    known = known.model_copy(update={"gates": pages})

    size_bytes = len(known.model_dump_json(by_alias=True, exclude_defaults=True))

    assert 8_000 < size_bytes < 16 * 1024
