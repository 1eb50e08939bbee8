"""Turns raw counters into increments: whole numbers, each with the stamp of its later sample.

The rules are those of section 2 of our Prometheus notes. Per series the base is the last sample at
or before the cursor; consecutive differences follow, and one that is negative is a reset, which
counts its new value. What a gap hid is booked where the gap ends, what a death took is lost, and a
series without a base counts from 0 only when it is proved to be new. Nothing is extrapolated, so
consecutive looks add up to one long look.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from itertools import pairwise
from typing import NamedTuple, TypeVar

from rollout.analysis import tick
from rollout.analysis.sample import Series

GAP_INTERVALS = 1.5
"""A difference over more than this many scrape intervals has hidden a scrape."""

_ISTIO = frozenset(
    {
        *("__name__", "le", "reporter", "request_protocol", "response_code", "response_flags"),
        *("grpc_response_status", "connection_security_policy"),
    }
)

_Name = TypeVar("_Name", bound=Hashable)


class Event(StrEnum):
    """What a series was seen to do beyond counting."""

    BIRTH = "birth"
    RETURNED = "returned"
    BASE_ONLY = "base only"
    RESET = "reset"
    GAP = "gap"


class Note(NamedTuple):
    """Something seen in a series: what, at which scrape target, at which stamp (milliseconds)."""

    event: Event
    target: str
    at_ms: int


class Span(NamedTuple):
    """The samples of a target that are to be counted: after ``through_ms``, up to ``until_ms``."""

    through_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one series counted in the span.

    Attributes:
        metric: its labels.
        increments: stamps in milliseconds with counts above 0, rising.
    """

    metric: Mapping[str, str]
    increments: tuple[tuple[int, int], ...]

    @property
    def total(self) -> int:
        """The sum of the increments."""
        return sum(count for _, count in self.increments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What came of a look at many series.

    Attributes:
        rows: the series that counted anything.
        newest_ms: per target the newest stamp that was looked at, in milliseconds.
        notes: births, resets, gaps and the like, for our own metrics.
    """

    rows: tuple[Row, ...]
    newest_ms: Mapping[str, int]
    notes: tuple[Note, ...]


def target_of(metric: Mapping[str, str]) -> str:
    """The scrape target of a series, as 8 hexadecimal digits over all labels that are not Istio's.

    All of them are needed: with ``instance`` alone a change of another label would look like the
    birth of a whole counter.
    """
    own = sorted(
        f"{name}\x00{value}"
        for name, value in metric.items()
        if name not in _ISTIO and not name.startswith(("destination_", "source_"))
    )
    return blake2b("\x01".join(own).encode(), digest_size=4).hexdigest()


def cut(
    series: Iterable[Series],
    *,
    span_of: Callable[[str], Span],
    step_ms: int,
    young: Collection[str] = frozenset(),
    returned: Callable[[Mapping[str, str]], bool] | None = None,
) -> Cut:
    """The increments of series in the spans of their targets.

    Args:
        series: the answer, with enough look-back that each series shows its base.
        span_of: what of a target is to be counted.
        step_ms: the scrape interval; decides only what is called a gap.
        young: targets known to be younger than their cursor, whose series all began at 0.
        returned: tells of a series without a base whether it existed long ago; then its first
            sample is only a base. Never asked where no birth is supposed.
    """
    groups = _by_target(series, span_of=span_of)
    rows: list[Row] = []
    notes: list[Note] = []
    newest_ms: dict[str, int] = {}
    for target, (span, members) in groups.items():
        first_ms = min(one.samples[0][0] for one, _ in members)
        newest_ms[target] = max(one.samples[stop - 1][0] for one, stop in members)
        for one, stop in members:
            begin = bisect_right(one.samples, span.through_ms, key=_stamp)
            if begin == stop:
                continue
            if begin:
                base = one.samples[begin - 1]
            else:
                proved = first_ms < one.samples[0][0] or target in young
                event = _beginning(one, proved=proved, returned=returned)
                notes.append(Note(event, target, one.samples[0][0]))
                base = (one.samples[0][0], 0.0) if event is Event.BIRTH else one.samples[0]
            counting = (base, *one.samples[begin:stop])
            notes.extend(_oddities(counting, target, step_ms=step_ms))
            increments = _increments(counting)
            if increments:
                rows.append(Row(metric=one.metric, increments=increments))
    return Cut(rows=tuple(rows), newest_ms=newest_ms, notes=tuple(notes))


def ticks(
    rows: Iterable[Row],
    *,
    key: Callable[[Mapping[str, str]], _Name | None],
    origin_ms: int,
    step_ms: int,
) -> dict[tuple[int, _Name], int]:
    """The increments of rows per tick (its end in milliseconds) and key; key None leaves a row out.

    Ticks lie on the grid of ``step_ms`` from ``origin_ms``, see `rollout.analysis.tick`.
    """
    return tick.gather(
        (
            (stamp_ms, name, count)
            for row in rows
            if (name := key(row.metric)) is not None
            for stamp_ms, count in row.increments
        ),
        origin_ms=origin_ms,
        step_ms=step_ms,
    )


def _by_target(
    series: Iterable[Series], *, span_of: Callable[[str], Span]
) -> dict[str, tuple[Span, list[tuple[Series, int]]]]:
    """Series with the number of samples that are not too new, by target; empty ones left out."""
    groups: dict[str, tuple[Span, list[tuple[Series, int]]]] = {}
    for one in series:
        target = target_of(one.metric)
        span, members = groups.get(target) or (span_of(target), [])
        stop = bisect_right(one.samples, span.until_ms, key=_stamp)
        if stop:
            members.append((one, stop))
            groups[target] = (span, members)
    return groups


def _stamp(sample: tuple[int, float]) -> int:
    return sample[0]


def _beginning(
    one: Series, *, proved: bool, returned: Callable[[Mapping[str, str]], bool] | None
) -> Event:
    """How to take the first sample of a series that shows no base."""
    if not proved:
        return Event.BASE_ONLY
    return Event.RETURNED if returned is not None and returned(one.metric) else Event.BIRTH


def _increments(samples: Sequence[tuple[int, float]]) -> tuple[tuple[int, int], ...]:
    """Differences above 0 of a base and what follows it; a reset counts its new value."""
    found = []
    earlier = int(samples[0][1])
    for stamp_ms, value in samples[1:]:
        later = int(value)
        count = later - earlier if later >= earlier else later
        if count:
            found.append((stamp_ms, count))
        earlier = later
    return tuple(found)


def _oddities(samples: Sequence[tuple[int, float]], target: str, *, step_ms: int) -> Iterator[Note]:
    """Resets and gaps among a base and what follows it."""
    for (earlier_ms, earlier), (later_ms, later) in pairwise(samples):
        if later < earlier:
            yield Note(Event.RESET, target, later_ms)
        if later_ms - earlier_ms > GAP_INTERVALS * step_ms:
            yield Note(Event.GAP, target, later_ms)
