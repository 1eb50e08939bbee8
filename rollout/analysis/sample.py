"""Reads an answer of Prometheus into samples; that there is no usable answer is a value.

Stamps are whole milliseconds on Prometheus' clock: they differ from the scrape grid by a few of
them, and floats of them must not be compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import median_low
from typing import Any

WARNING_LENGTH_MAX = 200
"""Characters of a server's own words that we repeat in a sentence."""

SPACING_SERIES_MAX = 100
"""Series that are looked at to learn the scrape interval: more say nothing new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series of an answer.

    Attributes:
        metric: its labels, ``__name__`` among them.
        samples: stamps in milliseconds, rising, and values; never empty.
    """

    metric: Mapping[str, str]
    samples: tuple[tuple[int, float], ...]


class Missing(StrEnum):
    """Why an answer cannot be used."""

    ERROR = "Error"
    PARTIAL = "Partial"
    WARNED = "Warned"
    HISTOGRAM = "Histogram"
    NUMBER = "Number"
    FORMAT = "Format"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """There is no usable answer: neither good news nor bad.

    Attributes:
        reason: the kind of trouble, for metrics and tests.
        sentence: the same for people, with what the server said.
    """

    reason: Missing
    sentence: str


def parse(document: Mapping[str, Any]) -> tuple[Series, ...] | NoAnswer:
    """The series of an instant query with a range selector (``resultType`` matrix).

    An empty tuple means that the server knows no such series. Warnings and ``isPartial`` mean that
    something may be missing, so they are no answer; ``infos`` are hints and ignored.
    """
    return _parse(document, wanted=("matrix",))


def parse_instant(document: Mapping[str, Any]) -> tuple[Series, ...] | NoAnswer:
    """The series of a vector or scalar, each with one sample; values may be NaN or infinite."""
    return _parse(document, wanted=("vector", "scalar"))


def _parse(document: Mapping[str, Any], *, wanted: Sequence[str]) -> tuple[Series, ...] | NoAnswer:
    refusal = _refusal(document)
    if refusal is not None:
        return refusal
    try:
        data = document["data"]
        if data["resultType"] not in wanted:
            return NoAnswer(
                reason=Missing.FORMAT,
                sentence=f"Prometheus answered a {data['resultType']} instead of a {wanted[0]}",
            )
        if data["resultType"] == "scalar":
            return (Series(metric={}, samples=(_sample(data["result"]),)),)
        return _all_series(data["result"])
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        return NoAnswer(
            reason=Missing.FORMAT,
            sentence=f"Prometheus' answer is not in its own format ({type(error).__name__})",
        )


def _refusal(document: Mapping[str, Any]) -> NoAnswer | None:
    if document.get("status") != "success":
        kind, text = document.get("errorType", "no status"), document.get("error", "")
        return NoAnswer(
            reason=Missing.ERROR,
            sentence=f"Prometheus answered an error ({kind}): {_short(text)}",
        )
    if document.get("isPartial"):
        return NoAnswer(
            reason=Missing.PARTIAL,
            sentence="Prometheus' answer is partial: some of its storage did not answer",
        )
    warnings = document.get("warnings")
    if warnings:
        first = warnings[0] if isinstance(warnings, list) else warnings
        return NoAnswer(
            reason=Missing.WARNED,
            sentence=f"Prometheus' answer may be incomplete, it warns: {_short(first)}",
        )
    return None


def _all_series(result: Iterable[Mapping[str, Any]]) -> tuple[Series, ...] | NoAnswer:
    found = []
    for item in result:
        if "histograms" in item or "histogram" in item:
            return NoAnswer(
                reason=Missing.HISTOGRAM,
                sentence="Prometheus holds native histograms here; classic ones are needed",
            )
        if "value" in item:
            samples = [_sample(item["value"])]
        else:
            samples = [(round(stamp * 1000), float(text)) for stamp, text in item["values"]]
            if not all(math.isfinite(value) for _, value in samples):
                return NoAnswer(
                    reason=Missing.NUMBER,
                    sentence="Prometheus' answer has a counter that is no number",
                )
        if samples:
            found.append(Series(metric=dict(item["metric"]), samples=tuple(samples)))
    return tuple(found)


def _sample(pair: Sequence[Any]) -> tuple[int, float]:
    stamp, text = pair
    return round(stamp * 1000), float(text)


def _short(text: object) -> str:
    return str(text)[:WARNING_LENGTH_MAX]


def by_service(series: Iterable[Series]) -> dict[str, list[Series]]:
    """The series of an answer to a batch, sorted by the service (full host) they are about."""
    services: dict[str, list[Series]] = {}
    for one in series:
        services.setdefault(one.metric.get("destination_service", ""), []).append(one)
    return services


def newest_ms(answers: Iterable[Sequence[Series]]) -> int:
    """The newest stamp in any of several answers, in milliseconds; 0 when there is none."""
    return max((one.samples[-1][0] for series in answers for one in series), default=0)


def spacing_ms(series: Sequence[Series]) -> int | None:
    """The scrape interval as the stamps show it: the median of their gaps, in milliseconds.

    None when no series has two samples.
    """
    gaps = [
        later[0] - earlier[0]
        for one in series[:SPACING_SERIES_MAX]
        for earlier, later in pairwise(one.samples)
    ]
    return median_low(gaps) if gaps else None
