"""Judges custom queries: one number between bounds, or the same number over the stable revision's.

Only a single finite number is evidence. Nothing, several series, NaN and infinity are Unknown, each
with a sentence of its own; there is no default that could pass for good news.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    """

    sentence: str
    natural: bool = False


def read(document: Mapping[str, Any] | NoAnswer) -> Reading | Lack:
    """The one number of an instant query's answer (vector or scalar), or why there is none."""
    found = document if isinstance(document, NoAnswer) else sample.parse_instant(document)
    if isinstance(found, NoAnswer):
        return Lack(sentence=found.sentence)
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


def judge(
    gate: GateQuestion,
    document: Mapping[str, Any] | NoAnswer,
    stable: Mapping[str, Any] | NoAnswer | None = None,
    *,
    itself: Mapping[str, Any] | NoAnswer | None = None,
    between: Mapping[str, Any] | NoAnswer | None = None,
) -> GateVerdict:
    """The verdict of a query gate; bounds are inclusive.

    Unknown is told to be incomparable only where it is proved that the canary has its number and
    the stable revision has none, because nothing goes to it: not because nobody could tell.

    Args:
        gate: the question.
        document: the answer about the canary.
        stable: the answer to the same query about the stable revision, where the gate is relative.
        itself: the answer to the same query with the canary in the place of the stable revision. A
            number there shows that a query which compares by itself does not lack the canary's.
        between: the answer to the same query with the stable revision in the place of the canary.
            No number there shows that it lacks the stable one. A 0 is a number, and infinitely
            much is one: the worst.
    """
    reading = read(document)
    if isinstance(reading, Lack):
        only = reading.natural and _is_stable_alone(itself, between)
        return _unknown(gate, reading.sentence, incomparable=only).model_copy(
            update={"dataless": True}
        )
    if not gate.relative_to_stable:
        return _compare(
            gate,
            reading.value,
            at_ms=reading.at_ms,
            told=f"the query gave {_number(reading.value)}",
        )
    base = _divisor(reading, stable)
    if isinstance(base, Lack):
        return _unknown(gate, base.sentence, value=reading.value, incomparable=base.natural)
    ratio = reading.value / base.value
    told = (
        f"the query gave {_number(reading.value)}, {_number(ratio)} times the stable revision's"
        f" {_number(base.value)}"
    )
    return _compare(gate, ratio, at_ms=reading.at_ms, told=told)


def _is_stable_alone(
    itself: Mapping[str, Any] | NoAnswer | None, between: Mapping[str, Any] | NoAnswer | None
) -> bool:
    """Whether a query that compares by itself is proved to lack nothing but the stable number."""
    if itself is None or between is None:
        return False
    theirs = read(between)
    return isinstance(read(itself), Reading) and isinstance(theirs, Lack) and theirs.natural


def _divisor(reading: Reading, stable: Mapping[str, Any] | NoAnswer | None) -> Reading | Lack:
    """The stable revision's number, or why there is no ratio to it."""
    if stable is None:
        return Lack(sentence="about the stable revision: Prometheus has not answered the query yet")
    base = read(stable)
    if isinstance(base, Lack):
        return replace(base, sentence=f"about the stable revision: {base.sentence}")
    if base.value == 0:
        told = "the stable revision's number is 0, so there is no ratio to it"
        return Lack(sentence=told)
    if not math.isfinite(reading.value / base.value):
        return Lack(sentence="the ratio to the stable revision is too large to compare")
    return base


def _compare(gate: GateQuestion, value: float, *, at_ms: int, told: str) -> GateVerdict:
    low, high = gate.min, gate.max
    if low is None and high is None:
        return _unknown(gate, "the gate has no bound")
    fine = (low is None or value >= low) and (high is None or value <= high)
    bounds = [f"at least {_number(low)}"] if low is not None else []
    bounds += [f"at most {_number(high)}"] if high is not None else []
    return GateVerdict(
        name=gate.name,
        verdict=Verdict.PASS if fine else Verdict.FAIL,
        because=f"{gate.name}: {told}; allowed is {' and '.join(bounds)}",
        failed_sample_ms=None if fine else at_ms,
        value=value,
    )


def _number(value: float) -> str:
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
