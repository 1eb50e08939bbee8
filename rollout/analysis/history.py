"""What the hours before a run say: how bursty errors are, how many are usual, how much traffic.

Stable pods run the same code, so what they differ by beyond chance is dispersion: the factor by
which a gate needs more evidence. Counters of each pod are read minute by minute. Whatever is not
sure to be an increment is left out: a sum that falls has lost a series or its process, so that
minute of that pod is dropped; a pod counts in a block only when it was seen through all of it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rollout.analysis import past, sample
from rollout.analysis.judge import dispersion
from rollout.analysis.past import Asked, Row
from rollout.analysis.sample import NoAnswer, Series

BLOCK_MINUTES = (1, 5, 10, 20)
"""Lengths of blocks: as `dispersion.BLOCK_TICKS`, save the shortest, which says least."""

ASSUMED_FACTOR = 2.0
"""Dispersion where too little is known: errors in pairs."""

PODS_MIN = 2
"""Stable pods: one alone differs from nobody."""

KNOWN_SECONDS_MIN = 3600
"""Of at least so many pods: with less, a slow noise passes for none."""

BAD_COUNT_MIN = 10
"""Bad requests: fewer may look independent by chance, so the factor does not fall below
`ASSUMED_FACTOR`."""

BURSTY_FACTOR_MIN = 1.05
"""From here on errors are called bursty."""

Document = Mapping[str, Any]
Minutes = Mapping[int, tuple[int, int]]
"""Minutes since 1970 to what each brought: requests and bad ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known of the stable revision before a run; fixed at its start.

    Attributes:
        dispersion_factor: φ ≥ 1 of failed requests.
        slow_dispersion_factors: φ of slow requests by bucket edge in milliseconds.
        bad_ratio: p_ref = (bad + 1)/(requests + 1), never 0. None: nothing is known.
        requests_per_second: what the stable revision got. None: nothing is known.
        slow_ratios: (slow + 1)/(requests + 1) by bucket edge in milliseconds.
        earlier_requests_per_second: of the whole service in the coming hour, by days ago.
        pods_count: stable pods that were seen.
        span_seconds: how much of the past was seen.
        why: the dispersion factor, in one sentence.
    """

    dispersion_factor: float = ASSUMED_FACTOR
    slow_dispersion_factors: Mapping[float, float] = field(default_factory=dict)
    bad_ratio: float | None = None
    requests_per_second: float | None = None
    slow_ratios: Mapping[float, float] = field(default_factory=dict)
    earlier_requests_per_second: Mapping[int, float] = field(default_factory=dict)
    pods_count: int = 0
    span_seconds: float = 0.0
    why: str = "nothing is known of the past: 2 times the evidence is asked for"

    @property
    def expected_requests_per_second(self) -> float | None:
        """Traffic of the coming hour: the median of earlier days, else that of the last hours."""
        if self.earlier_requests_per_second:
            return median(self.earlier_requests_per_second.values())
        return self.requests_per_second


def read(documents: Mapping[Asked, Document | NoAnswer]) -> History:
    """What answers to `past.questions` say; one that is missing or unusable costs only its part."""
    found = {asked: _parsed(asked, document) for asked, document in documents.items()}
    pods = _pods(_good(found, Asked.PODS))
    factor, why = _factor(pods, found.get(Asked.PODS), what="errors")
    base = {one.metric.get("asked"): one.samples[0][1] for one in _good(found, Asked.BASE)}
    requests, bad = base.get(Row.ALL, 0.0), base.get(Row.BAD, 0.0)
    seconds = 60 * base.get(Row.MINUTES, 0.0)
    if not requests:  # no caller's proxy tells: what the pods saw is nearly the same
        known = [counts for minutes in pods.values() for counts in minutes.values()]
        requests, bad = sum(q for q, _ in known), sum(y for _, y in known)
        seconds = 60 * len({minute for minutes in pods.values() for minute in minutes})
    buckets = _buckets(_good(found, Asked.POD_DURATIONS))
    return History(
        dispersion_factor=factor,
        slow_dispersion_factors={
            edge: _factor(slow, found[Asked.POD_DURATIONS], what="slow requests")[0]
            for edge, slow in buckets.items()
        },
        bad_ratio=(bad + 1) / (requests + 1) if requests else None,
        requests_per_second=requests / seconds if seconds and requests else None,
        slow_ratios=_slow_ratios(_good(found, Asked.DURATIONS)),
        earlier_requests_per_second={
            int(one.metric.get("asked", "0")): one.samples[0][1] / past.FORECAST_SECONDS
            for one in _good(found, Asked.EARLIER)
        },
        pods_count=len(pods),
        span_seconds=seconds,
        why=why,
    )


def pods(document: Document | NoAnswer) -> dict[str, Minutes] | NoAnswer:
    """What each pod did in each minute, by an answer to `Asked.PODS`."""
    found = _parsed(Asked.PODS, document)
    return found if isinstance(found, NoAnswer) else _pods(found)


def _parsed(asked: Asked, document: Document | NoAnswer) -> tuple[Series, ...] | NoAnswer:
    if isinstance(document, NoAnswer):
        return document
    on_grid = asked in {Asked.PODS, Asked.POD_DURATIONS}
    return sample.parse(document) if on_grid else _finite(sample.parse_instant(document))


def _finite(found: tuple[Series, ...] | NoAnswer) -> tuple[Series, ...] | NoAnswer:
    if isinstance(found, NoAnswer):
        return found
    return tuple(one for one in found if math.isfinite(one.samples[0][1]))


def _good(found: Mapping[Asked, tuple[Series, ...] | NoAnswer], asked: Asked) -> tuple[Series, ...]:
    answer = found.get(asked, ())
    return () if isinstance(answer, NoAnswer) else answer


def _pods(series: Sequence[Series]) -> dict[str, Minutes]:
    """Requests and bad ones of each pod, minute by minute."""
    counters: dict[str, dict[str, dict[int, float]]] = defaultdict(dict)
    for one in series:
        _add(counters[_pod(one)], one.metric.get("asked", ""), one)
    return {
        pod: dict(
            _increments(
                _sum(rows, Row.ANSWERED, Row.UNANSWERED),
                _sum(rows, Row.FAILED, Row.UNANSWERED, Row.GRPC_FAILED),
            )
        )
        for pod, rows in counters.items()
    }


def _sum(rows: Mapping[str, Mapping[int, float]], *names: Row) -> dict[int, float]:
    """Counters added up; one that is not there yet is 0."""
    total: dict[int, float] = {}
    for name in names:
        for minute, value in rows.get(name, {}).items():
            total[minute] = total.get(minute, 0.0) + value
    return total


def _buckets(series: Sequence[Series]) -> dict[float, dict[str, Minutes]]:
    """The same of slow requests, by edge: those in the last bucket and not up to the edge."""
    counters: dict[str, dict[str, dict[int, float]]] = defaultdict(dict)
    for one in series:
        _add(counters[_pod(one)], _edge(one), one)
    edges = {float(edge) for rows in counters.values() for edge in rows} - {math.inf}
    found: dict[float, dict[str, Minutes]] = {}
    for edge in sorted(edges):
        found[edge] = {}
        for pod, rows in counters.items():
            total, fast = rows.get(str(math.inf), {}), rows.get(str(edge), {})
            slow = {at: value - fast[at] for at, value in total.items() if at in fast}
            nested = {at: total[at] for at in slow}
            found[edge][pod] = dict(_increments(nested, slow))
    return found


def _pod(one: Series) -> str:
    """Its name; where the samples carry none, the scrape target."""
    return one.metric.get("pod", "") or one.metric.get("instance", "")


def _edge(one: Series) -> str:
    try:
        return str(float(one.metric.get("le", "")))
    except ValueError:
        return str(math.inf)


def _add(rows: dict[str, dict[int, float]], name: str, one: Series) -> None:
    """Adds a counter to those of its pod: a pod may be scraped at more than one port."""
    row = rows.setdefault(name, {})
    for at_ms, value in one.samples:
        minute = at_ms // (1000 * past.GRID_SECONDS)
        row[minute] = row.get(minute, 0.0) + value


def _increments(
    total: Mapping[int, float], bad: Mapping[int, float]
) -> Iterator[tuple[int, tuple[int, int]]]:
    """Differences of consecutive minutes; one that is no plain counting is left out.

    A counter of bad requests begins with the first of them, so before it is 0.
    """
    for minute, value in total.items():
        if minute - 1 not in total:
            continue
        requests = round(value - total[minute - 1])
        failed = round(bad.get(minute, 0.0) - bad.get(minute - 1, 0.0))
        if 0 <= failed <= requests:
            yield minute - 1, (requests, failed)


def _factor(
    pods: Mapping[str, Minutes], answer: tuple[Series, ...] | NoAnswer | None, *, what: str
) -> tuple[float, str]:
    """The dispersion factor, and why."""
    lack = answer.sentence if isinstance(answer, NoAnswer) else _lack(pods)
    known = [dispersion.of_pods(_blocks(pods, length)) for length in BLOCK_MINUTES]
    found = [one for one in known if one is not None]
    factor = max([1.0, *found])
    bad = sum(failed for minutes in pods.values() for _, failed in minutes.values())
    if not lack and bad < BAD_COUNT_MIN and factor <= ASSUMED_FACTOR:
        lack = f"only {bad} {what} in the history of the stable pods"
    if lack:
        return ASSUMED_FACTOR, f"{lack}: {ASSUMED_FACTOR:g} times the evidence is asked for"
    if factor < BURSTY_FACTOR_MIN:
        return factor, f"{what} come one by one: no more evidence than usual is needed"
    return factor, f"{what} are bursty: {factor:,.3g} times the evidence is needed"


def _lack(pods: Mapping[str, Minutes]) -> str:
    """What is missing to tell how bursty bad requests are; empty: nothing."""
    seen = Counter(minute for minutes in pods.values() for minute in minutes)
    if len(pods) < PODS_MIN:
        return f"fewer than {PODS_MIN} stable pods tell what they answered ({len(pods)})"
    if 60 * sum(count >= PODS_MIN for count in seen.values()) < KNOWN_SECONDS_MIN:
        return "less than an hour of history"
    return ""


def _blocks(pods: Mapping[str, Minutes], length: int) -> Iterator[list[tuple[int, int]]]:
    """Blocks of so many minutes, with the pods that were seen through all of each."""
    numbers = {minute // length for minutes in pods.values() for minute in minutes}
    for number in sorted(numbers):
        span = range(number * length, (number + 1) * length)
        whole = [minutes for minutes in pods.values() if all(m in minutes for m in span)]
        if len(whole) >= PODS_MIN:
            yield [(sum(one[m][0] for m in span), sum(one[m][1] for m in span)) for one in whole]


def _slow_ratios(series: Sequence[Series]) -> dict[float, float]:
    by_edge = {float(_edge(one)): one.samples[0][1] for one in series}
    total = by_edge.pop(math.inf, 0.0)
    if not total:
        return {}
    return {
        edge: (max(0.0, total - fast) + 1) / (total + 1) for edge, fast in sorted(by_edge.items())
    }
