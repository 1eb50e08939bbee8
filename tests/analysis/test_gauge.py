"""What the answers to people's own queries mean."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.analysis import gauge
from rollout.analysis.gauge import Told
from rollout.analysis.sample import Missing, NoAnswer
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.evidence import GateVerdict, Verdict

AT = 1_700_000_000.25


def judged(
    question: GateQuestion,
    about: Any,
    stable: Any = None,
    *,
    itself: Any = None,
    between: Any = None,
) -> GateVerdict:
    return gauge.judge(question, Told(about=about, stable=stable, itself=itself, between=between))


def gate(**changes: Any) -> GateQuestion:
    return GateQuestion(name="conversion", kind=GateKind.QUERY, **changes)


def vector(*values: str) -> dict[str, Any]:
    result = [{"metric": {"pod": str(n)}, "value": [AT, value]} for n, value in enumerate(values)]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def scalar(value: str) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "scalar", "result": [AT, value]}}


@pytest.mark.parametrize("document", [vector("0.95"), scalar("0.95"), vector("0.9"), vector("1.1")])
def test_one_number_within_its_bounds_passes(document: dict[str, Any]) -> None:
    verdict = judged(gate(min=0.9, max=1.1), document)

    assert verdict.verdict is Verdict.PASS
    assert verdict.failed_sample_ms is None


@pytest.mark.parametrize(
    ("bounds", "value", "sentence"),
    [
        ({"min": 0.9}, "0.899", "conversion: the query gave 0.899; allowed is at least 0.9"),
        ({"max": 1.5}, "2", "conversion: the query gave 2; allowed is at most 1.5"),
        (
            {"min": 1.0, "max": 1.5},
            "2",
            "conversion: the query gave 2; allowed is at least 1 and at most 1.5",
        ),
    ],
)
def test_one_number_outside_its_bounds_fails_with_the_stamp_it_stands_for(
    bounds: dict[str, float], value: str, sentence: str
) -> None:
    verdict = judged(gate(**bounds), vector(value))

    assert verdict.verdict is Verdict.FAIL
    assert verdict.because == sentence
    assert verdict.failed_sample_ms == 1_700_000_000_250
    assert verdict.value == float(value)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (vector(), "found nothing"),
        (vector("1", "2", "3"), "found 3 series where one is needed"),
        (vector("NaN"), "gave nan"),
        (vector("+Inf"), "gave inf"),
        (scalar("-Inf"), "gave -inf"),
        ({"status": "success", "data": {"resultType": "matrix", "result": []}}, "a matrix"),
        ({"status": "success", "data": {"resultType": "string", "result": [1, "x"]}}, "a string"),
        ({**vector("1"), "warnings": ["w"]}, "may be incomplete"),
        ({"status": "error", "errorType": "execution", "error": "too many"}, "too many"),
    ],
)
def test_scenarios_75_and_86_everything_but_one_number_is_unknown_and_says_what_it_was(
    document: dict[str, Any], said: str
) -> None:
    verdict = judged(gate(min=0.0), document)

    assert verdict.verdict is Verdict.UNKNOWN
    assert said in verdict.because
    assert verdict.value is None


@pytest.mark.parametrize(
    ("canary", "verdict"), [("9", Verdict.PASS), ("11", Verdict.PASS), ("8.9", Verdict.FAIL)]
)
def test_relative_to_stable_compares_the_ratio(canary: str, verdict: Verdict) -> None:
    found = judged(gate(min=0.9, relative_to_stable=True), vector(canary), vector("10"))

    assert found.verdict is verdict
    assert found.value == float(canary) / 10
    assert f"{canary}, {float(canary) / 10:g} times the stable revision's 10" in found.because


@pytest.mark.parametrize(
    ("canary", "stable", "said"),
    [
        (vector("7"), vector(), "about the stable revision: the query found nothing"),
        (vector("7"), None, "about the stable revision: Prometheus has not answered"),
        (vector("7"), vector("0"), "no ratio"),
        (vector("1e308"), vector("1e-300"), "too large"),
        (vector(), vector("1"), "the query found nothing"),
    ],
)
def test_without_a_ratio_a_relative_gate_is_unknown(
    canary: dict[str, Any], stable: dict[str, Any] | None, said: str
) -> None:
    verdict = judged(gate(min=0.9, relative_to_stable=True), canary, stable)

    assert verdict.verdict is Verdict.UNKNOWN
    assert said in verdict.because
    assert (verdict.value is None) == (canary == vector())


def test_a_gate_without_bounds_is_unknown_and_never_passes() -> None:
    verdict = judged(gate(), vector("1"))

    assert verdict.verdict is Verdict.UNKNOWN
    assert verdict.because == "conversion: the gate has no bound"


def test_a_long_sentence_of_prometheus_is_cut_not_refused() -> None:
    refused = NoAnswer(reason=Missing.ERROR, sentence="so " * 10_000)

    assert judged(gate(min=0.9), refused).because.startswith("conversion: so so")


ERROR = {"status": "error", "errorType": "bad_data", "error": "no"}
WARNED = {**vector("1"), "warnings": ["w"]}
MATRIX = {"status": "success", "data": {"resultType": "matrix", "result": []}}
NOBODY_CAN_TELL = [ERROR, {}, WARNED, MATRIX, vector("1", "2"), None]
"""Answers that are no number, and not because there is no traffic."""


@pytest.mark.parametrize("stable", [vector(), vector("NaN")])
def test_a_relative_gate_is_incomparable_where_stable_as_it_should_be_has_no_number(
    stable: dict[str, Any],
) -> None:
    assert judged(gate(max=2.0, relative_to_stable=True), vector("0.9"), stable).incomparable


@pytest.mark.parametrize(
    "stable", [*NOBODY_CAN_TELL, vector("1e-320"), vector("+Inf"), vector("0")]
)
def test_a_relative_gate_is_not_incomparable_where_nobody_can_tell(
    stable: dict[str, Any] | None,
) -> None:
    question = gate(max=2.0, relative_to_stable=True)

    verdict = judged(question, vector("0.9"), stable)

    assert verdict.verdict is Verdict.UNKNOWN
    assert not verdict.incomparable


@pytest.mark.parametrize("canary", [vector(), vector("NaN"), vector("+Inf"), *NOBODY_CAN_TELL[:-1]])
@pytest.mark.parametrize("stable", [vector(), vector("1"), None])
def test_a_relative_gate_that_lacks_the_canarys_number_is_never_incomparable(
    canary: dict[str, Any], stable: dict[str, Any] | None
) -> None:
    assert not judged(gate(max=2.0, relative_to_stable=True), canary, stable).incomparable


@pytest.mark.parametrize("found", [vector(), vector("NaN")])
@pytest.mark.parametrize("between", [vector(), vector("NaN")])
def test_a_query_that_compares_by_itself_lacks_stable_only_if_each_compared_with_itself_says_so(
    found: dict[str, Any], between: dict[str, Any]
) -> None:
    question = gate(max=2.0)

    assert judged(question, found, itself=vector("1"), between=between).incomparable
    for unclear in (*NOBODY_CAN_TELL, vector(), vector("NaN"), vector("+Inf")):
        assert not judged(question, found, itself=unclear, between=between).incomparable
    for unclear in (*NOBODY_CAN_TELL, vector("1"), vector("0"), vector("+Inf")):
        assert not judged(question, found, itself=vector("1"), between=unclear).incomparable


def test_infinitely_more_than_stable_is_bad_news_and_no_lack() -> None:
    verdict = judged(gate(max=2.0), vector("+Inf"), itself=vector("1"), between=vector("NaN"))

    assert verdict.verdict is Verdict.UNKNOWN
    assert not verdict.incomparable


@pytest.mark.parametrize("found", NOBODY_CAN_TELL[:-1])
def test_a_query_that_compares_by_itself_is_not_incomparable_where_nobody_can_tell(
    found: dict[str, Any],
) -> None:
    verdict = judged(gate(max=2.0), found, itself=vector("1"), between=vector())

    assert verdict.verdict is Verdict.UNKNOWN
    assert not verdict.incomparable
