"""Prometheus' answers, also the ones that are none."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.analysis import sample
from rollout.analysis.sample import Missing, NoAnswer, Series


def answer(result: Any, *, kind: str = "matrix", **extra: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": kind, "result": result}, **extra}


def reason_of(document: dict[str, Any]) -> Missing:
    found = sample.parse(document)
    assert isinstance(found, NoAnswer)
    assert found.sentence
    return found.reason


def test_stamps_become_whole_milliseconds_and_values_numbers() -> None:
    document = answer(
        [{"metric": {"pod": "a"}, "values": [[1700000018.003, "7"], [1700000033, "9e3"]]}]
    )

    found = sample.parse(document)

    assert found == (
        Series(metric={"pod": "a"}, samples=((1700000018003, 7.0), (1700000033000, 9000.0))),
    )


def test_an_empty_answer_is_an_answer_and_series_without_samples_are_left_out() -> None:
    assert sample.parse(answer([])) == ()
    assert sample.parse(answer([{"metric": {}, "values": []}])) == ()


def test_hints_do_not_spoil_an_answer() -> None:
    assert sample.parse(answer([], infos=["metric might not be a counter"])) == ()


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"status": "error", "errorType": "bad_data", "error": "parse error"}, Missing.ERROR),
        ({}, Missing.ERROR),
        (answer([], isPartial=True), Missing.PARTIAL),
        (answer([], warnings=["no store answered"]), Missing.WARNED),
        (answer([], warnings="no store answered"), Missing.WARNED),
        (answer([{"metric": {}, "histograms": [[1, {}]]}]), Missing.HISTOGRAM),
        (answer([{"metric": {}, "values": [[1, "NaN"]]}]), Missing.NUMBER),
        (answer([{"metric": {}, "values": [[1, "+Inf"]]}]), Missing.NUMBER),
        (answer([], kind="vector"), Missing.FORMAT),
        (answer([], kind="string"), Missing.FORMAT),
        (answer([{"metric": {}}]), Missing.FORMAT),
        (answer([{"metric": {}, "values": [["soon", "1"]]}]), Missing.FORMAT),
        (answer([{"metric": {}, "values": [[1, "many"]]}]), Missing.FORMAT),
        (answer([{"metric": 7, "values": [[1, "1"]]}]), Missing.FORMAT),
        (answer(["text"]), Missing.FORMAT),
        (answer(None), Missing.FORMAT),
        ({"status": "success"}, Missing.FORMAT),
        ({"status": "success", "data": "text"}, Missing.FORMAT),
    ],
)
def test_what_cannot_be_used_is_no_answer_with_a_reason(
    document: dict[str, Any], reason: Missing
) -> None:
    assert reason_of(document) is reason


def test_a_servers_own_words_are_repeated_in_bounds() -> None:
    found = sample.parse(answer([], warnings=["x" * 10_000]))

    assert isinstance(found, NoAnswer)
    assert len(found.sentence) < 300


def test_an_instant_answer_has_one_sample_per_series_and_may_be_no_number() -> None:
    vector = answer([{"metric": {"a": "b"}, "value": [12.5, "NaN"]}], kind="vector")
    scalar = answer([12.5, "3"], kind="scalar")

    found, number = sample.parse_instant(vector), sample.parse_instant(scalar)

    assert not isinstance(found, NoAnswer)
    assert found[0].metric == {"a": "b"}
    assert found[0].samples[0][0] == 12_500
    assert number == (Series(metric={}, samples=((12_500, 3.0),)),)


@pytest.mark.parametrize("kind", ["matrix", "string"])
def test_an_instant_answer_is_no_matrix_and_no_string(kind: str) -> None:
    found = sample.parse_instant(answer([], kind=kind))

    assert isinstance(found, NoAnswer)
    assert found.reason is Missing.FORMAT
    assert kind in found.sentence


def test_a_native_histogram_as_instant_value_is_no_answer() -> None:
    found = sample.parse_instant(answer([{"metric": {}, "histogram": [1, {}]}], kind="vector"))

    assert isinstance(found, NoAnswer)
    assert found.reason is Missing.HISTOGRAM


def test_the_newest_stamp_of_several_answers_is_the_newest_of_any() -> None:
    one = Series(metric={}, samples=((1, 1.0), (5, 1.0)))
    two = Series(metric={}, samples=((3, 1.0),))

    assert sample.newest_ms([(one, two), (), (two,)]) == 5
    assert sample.newest_ms([()]) == 0


def test_the_series_of_a_batch_are_told_apart_by_service() -> None:
    one = Series(metric={"destination_service": "a"}, samples=((1, 1.0),))
    two = Series(metric={"destination_service": "b"}, samples=((1, 1.0),))
    stray = Series(metric={}, samples=((1, 1.0),))

    found = sample.by_service([one, two, one, stray])

    assert found == {"a": [one, one], "b": [two], "": [stray]}


def test_the_scrape_interval_shows_in_the_stamps() -> None:
    regular = Series(metric={}, samples=((0, 1.0), (15_000, 1.0), (30_002, 1.0), (44_999, 1.0)))
    gappy = Series(metric={}, samples=((0, 1.0), (60_000, 1.0)))

    assert sample.spacing_ms([regular, gappy]) == 15_000
    assert sample.spacing_ms([Series(metric={}, samples=((0, 1.0),))]) is None
