"""Judges custom queries: one number between bounds, or the same number over the stable revision's.

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
from rollout.api.evidence import GateVerdict, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A number and the stamp it stands for, in milliseconds on Prometheus' clock."""

    value: float
    at_ms: int


def read(document: Mapping[str, Any]) -> Reading | str:
    """The one number of an instant query's answer (vector or scalar), or a sentence why not."""
    found = sample.parse_instant(document)
    if isinstance(found, NoAnswer):
        return found.sentence
    if not found:
        return "the query found nothing"
    if len(found) > 1:
        return f"the query found {len(found)} series where one is needed; aggregate them"
    at_ms, value = found[0].samples[0]
    if not math.isfinite(value):
        return f"the query gave {value}, which is no number to compare"
    return Reading(value=value, at_ms=at_ms)


def judge(
    gate: GateQuestion,
    document: Mapping[str, Any],
    stable: Mapping[str, Any] | None = None,
    *,
    canary_seen: bool = False,
) -> GateVerdict:
    """The verdict of a query gate; bounds are inclusive.

    Args:
        gate: the question.
        document: the answer about the canary.
        stable: the answer to the same query about the stable revision, where the gate is relative.
        canary_seen: requests of the canary have been counted in this step. A query that compares by
            itself, and finds nothing, then lacks the stable revision only.
    """
    reading = read(document)
    if isinstance(reading, str):
        return _unknown(gate, reading, incomparable=gate.names_stable and canary_seen)
    if not gate.relative_to_stable:
        return _compare(
            gate,
            reading.value,
            at_ms=reading.at_ms,
            told=f"the query gave {_number(reading.value)}",
        )
    base = _divisor(reading, stable)
    if isinstance(base, str):
        return _unknown(gate, base, value=reading.value, incomparable=True)
    ratio = reading.value / base.value
    told = (
        f"the query gave {_number(reading.value)}, {_number(ratio)} times the stable revision's"
        f" {_number(base.value)}"
    )
    return _compare(gate, ratio, at_ms=reading.at_ms, told=told)


def _divisor(reading: Reading, stable: Mapping[str, Any] | None) -> Reading | str:
    """The stable revision's number, or a sentence why there is no ratio to it."""
    base = read(stable) if stable is not None else "it was not asked"
    if isinstance(base, str):
        return f"about the stable revision: {base}"
    if base.value == 0:
        return "the stable revision's number is 0, so there is no ratio to it"
    if not math.isfinite(reading.value / base.value):
        return "the ratio to the stable revision is too large to compare"
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
        because=f"{gate.name}: {sentence}",
        value=value,
        incomparable=incomparable,
    )
