"""Reads what custom queries say, and judges by threshold: one number, or its ratio to stable's.

Only a single finite number is evidence. Nothing, several series, NaN and infinity are Unknown, each
with a sentence of its own; there is no default that could pass for good news.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollout.analysis import sample
from rollout.analysis.sample import NoAnswer
from rollout.analysis.verdict import GateQuestion
from rollout.api.evidence import SENTENCE_LENGTH_MAX, GateVerdict, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A number and the stamp it stands for, in milliseconds on Prometheus' clock."""

    value: float
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """There is no number.

    Attributes:
        sentence: why not, for people.
        natural: Prometheus answered as it should, and what was asked about has no number: what a
            revision without traffic looks like. An error, a warning or several series are not.
        answered: Prometheus has answered, whatever it was; another time it may say no more.
    """

    sentence: str
    natural: bool = False
    answered: bool = True


def read(document: Mapping[str, Any] | NoAnswer) -> Reading | Lack:
    """The one number of an instant query's answer (vector or scalar), or why there is none."""
    found = document if isinstance(document, NoAnswer) else sample.parse_instant(document)
    if isinstance(found, NoAnswer):
        return Lack(sentence=found.sentence, answered=False)
    if not found:
        return Lack(sentence="the query found nothing", natural=True)
    if len(found) > 1:
        told = f"the query found {len(found)} series where one is needed; aggregate them"
        return Lack(sentence=told)
    at_ms, value = found[0].samples[0]
    if not math.isfinite(value):
        told = f"the query gave {value}, which is no number to compare"
        return Lack(sentence=told, natural=math.isnan(value))
    return Reading(value=value, at_ms=at_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What Prometheus was asked about one gate, and what it answered.

    Attributes:
        about: the answer about the canary.
        stable: the answer to the same query about the stable revision, where the gate is relative.
        itself: the answer to the same query with the canary in the place of the stable revision. A
            number there shows that a query which compares by itself does not lack the canary's.
        between: the answer to the same query with the stable revision in the place of the canary.
            No number there shows that it lacks the stable one. A 0 is a number, and infinitely
            much is one: the worst.
    """

    about: Mapping[str, Any] | NoAnswer
    stable: Mapping[str, Any] | NoAnswer | None = None
    itself: Mapping[str, Any] | NoAnswer | None = None
    between: Mapping[str, Any] | NoAnswer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """The numbers of a query: the canary's and, where it is relative, the stable revision's."""

    canary: Reading
    stable: Reading | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Why there is nothing to compare.

    Attributes:
        sentence: for people.
        value: the canary's number, if that is there.
        dataless: Prometheus has no number about the canary.
        incomparable: it is proved that the canary has its number and the stable revision has none,
            because nothing goes to it: not because nobody could tell.
        answered: whether Prometheus has answered all that was asked.
    """

    sentence: str
    value: float | None = None
    dataless: bool = False
    incomparable: bool = False
    answered: bool = True


def numbers(gate: GateQuestion, told: Told) -> Numbers | Missing:
    """The numbers that a gate compares, or why there are none."""
    reading = read(told.about)
    if isinstance(reading, Lack):
        only = reading.natural and _is_stable_alone(told.itself, told.between)
        return Missing(
            sentence=reading.sentence,
            dataless=reading.natural and not only,
            incomparable=only,
            answered=reading.answered,
        )
    if not gate.relative_to_stable:
        return Numbers(canary=reading)
    base = read(told.stable) if told.stable is not None else NOT_YET
    if isinstance(base, Lack):
        return Missing(
            sentence=f"about the stable revision: {base.sentence}",
            value=reading.value,
            incomparable=base.natural,
            answered=base.answered,
        )
    return Numbers(canary=reading, stable=base)


NOT_YET = Lack(sentence="Prometheus has not answered the query yet", answered=False)


def judge(gate: GateQuestion, told: Told) -> GateVerdict:
    """The verdict of a query gate that a threshold decides; bounds are inclusive."""
    found = numbers(gate, told)
    if isinstance(found, Missing):
        unknown = _unknown(gate, found.sentence, value=found.value, incomparable=found.incomparable)
        return unknown.model_copy(update={"dataless": found.dataless})
    reading, base = found.canary, found.stable
    if base is None:
        return _compare(
            gate,
            reading.value,
            at_ms=reading.at_ms,
            told=f"the query gave {number(reading.value)}",
        )
    if base.value == 0:
        lack = "the stable revision's number is 0, so there is no ratio to it"
        return _unknown(gate, lack, value=reading.value)
    ratio = reading.value / base.value
    if not math.isfinite(ratio):
        lack = "the ratio to the stable revision is too large to compare"
        return _unknown(gate, lack, value=reading.value)
    said = (
        f"the query gave {number(reading.value)}, {number(ratio)} times the stable revision's"
        f" {number(base.value)}"
    )
    return _compare(gate, ratio, at_ms=reading.at_ms, told=said)


def _is_stable_alone(
    itself: Mapping[str, Any] | NoAnswer | None, between: Mapping[str, Any] | NoAnswer | None
) -> bool:
    """Whether a query that compares by itself is proved to lack nothing but the stable number."""
    if itself is None or between is None:
        return False
    theirs = read(between)
    return isinstance(read(itself), Reading) and isinstance(theirs, Lack) and theirs.natural


def _compare(gate: GateQuestion, value: float, *, at_ms: int, told: str) -> GateVerdict:
    low, high = gate.min, gate.max
    if low is None and high is None:
        return _unknown(gate, "the gate has no bound")
    fine = (low is None or value >= low) and (high is None or value <= high)
    return GateVerdict(
        name=gate.name,
        verdict=Verdict.PASS if fine else Verdict.FAIL,
        because=f"{gate.name}: {told}; {allowed(gate)}",
        failed_sample_ms=None if fine else at_ms,
        value=value,
    )


def allowed(gate: GateQuestion) -> str:
    """What a gate's number may be, in words."""
    bounds = [f"at least {number(gate.min)}"] if gate.min is not None else []
    bounds += [f"at most {number(gate.max)}"] if gate.max is not None else []
    return f"allowed is {' and '.join(bounds)}"


def number(value: float) -> str:
    """A number as people are told it."""
    return f"{value:.6g}"


def _unknown(
    gate: GateQuestion, sentence: str, *, value: float | None = None, incomparable: bool = False
) -> GateVerdict:
    return GateVerdict(
        name=gate.name,
        verdict=Verdict.UNKNOWN,
        because=f"{gate.name}: {sentence}"[:SENTENCE_LENGTH_MAX],
        value=value,
        incomparable=incomparable,
    )
