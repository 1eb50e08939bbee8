"""Counts the increments of a look for every gate, by arm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rollout.analysis import arm, delta, query, tick
from rollout.analysis.arm import Arms, Fate, Side
from rollout.analysis.query import Shape
from rollout.analysis.sample import Series
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.evidence import ArmCounts, GateEvidence

_Histogram = frozenset[tuple[str, str]]
"""The labels that the buckets of one histogram share."""


@dataclass(slots=True, kw_only=True)
class Sums:
    """What one gate counts during a look: by side, and by tick."""

    requests: dict[Side, int] = field(default_factory=dict)
    bad: dict[Side, int] = field(default_factory=dict)
    ticks: dict[int, list[int]] = field(default_factory=dict)
    canary_bad_ms: int = 0

    def add(self, side: Side, *, requests: int, bad: int, at_ms: int, tick_ms: int) -> None:
        """Counts some more.

        Args:
            side: whose they are.
            requests: how many.
            bad: how many of them were bad.
            at_ms: the stamp of their sample.
            tick_ms: the end of its tick.
        """
        self.requests[side] = self.requests.get(side, 0) + requests
        self.bad[side] = self.bad.get(side, 0) + bad
        place = _PLACES.get(side)
        if place is None:
            return
        tick = self.ticks.setdefault(tick_ms, [0, 0, 0, 0])
        tick[place] += requests
        tick[place + 2] += bad
        if bad and side is Side.CANARY:
            self.canary_bad_ms = max(self.canary_bad_ms, at_ms)

    @property
    def rows(self) -> Mapping[int, tuple[int, int, int, int]]:
        """Requests of the canary and of stable, and bad ones of both, by the end of the tick."""
        return {end: (a, b, c, d) for end, (a, b, c, d) in self.ticks.items()}

    @property
    def canary(self) -> ArmCounts:
        """What the canary did."""
        return self._arm(Side.CANARY)

    def added_to(self, gate: GateEvidence) -> GateEvidence:
        """A gate's evidence with these counts; the very same object when there are none."""
        if not self.requests:
            return gate
        return gate.model_copy(
            update={
                "canary": added(gate.canary, self.canary),
                "stable": added(gate.stable, self._arm(Side.STABLE)),
                "canary_bad_ms": max(gate.canary_bad_ms, self.canary_bad_ms),
            }
        )

    def _arm(self, side: Side) -> ArmCounts:
        return ArmCounts(requests=self.requests.get(side, 0), bad=self.bad.get(side, 0))


_PLACES = {Side.CANARY: 0, Side.STABLE: 1}
"""Where a side's requests stand in a tick; its bad ones stand two further."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Where ticks end: each ``tick_ms`` after the origin, all in milliseconds."""

    origin_ms: int
    tick_ms: int

    def end_ms(self, stamp_ms: int) -> int:
        """The end of a stamp's tick, in milliseconds after the origin."""
        return tick.end_ms(stamp_ms - self.origin_ms, origin_ms=0, step_ms=self.tick_ms)


class Tally:
    """A look's increments, counted for all gates and for the traffic.

    Attributes:
        traffic: all requests and connections, by side.
        unattributed: requests and connections that found no upstream.
    """

    def __init__(self, *, arms: Arms, gates: Sequence[GateQuestion], grid: Grid) -> None:
        self._grid = grid
        self.traffic = Sums()
        self.unattributed = 0
        self._arms = arms
        self._sums = {gate.name: Sums() for gate in gates if gate.kind is not GateKind.QUERY}
        self._named = {
            kind: [self._sums[gate.name] for gate in gates if gate.kind is kind]
            for kind in (GateKind.ERRORS, GateKind.TCP)
        }
        self._by_edge: dict[float, list[Sums]] = {}
        for gate in gates:
            if gate.kind is GateKind.LATENCY and gate.edge_ms is not None:
                edge = query.edge_below(gate.edge_ms)
                self._by_edge.setdefault(edge, []).append(self._sums[gate.name])

    def add(self, shape: Shape, series: Sequence[Series], rows: Sequence[delta.Row]) -> None:
        """Counts the increments of one question; ``series`` are all its series, counting or not."""
        if shape in {Shape.DURATIONS, Shape.ARRIVAL_DURATIONS}:
            self._add_durations(series, rows)
            return
        add_row = self._add_connections if shape is Shape.TCP else self._add_requests
        for row in rows:
            side = arm.side_of(row.metric, self._arms)
            if side is not Side.OTHER:
                add_row(row, side)

    def gates(self, known: Mapping[str, GateEvidence]) -> dict[str, GateEvidence]:
        """The evidence of each gate with this look's counts added."""
        return {
            name: sums.added_to(known.get(name, GateEvidence()))
            for name, sums in self._sums.items()
        }

    def ticks(self, name: str) -> Mapping[int, tuple[int, int, int, int]]:
        """What a gate counted, by the end of the tick."""
        return self._sums[name].rows

    def _add_requests(self, row: delta.Row, side: Side) -> None:
        if side is Side.NOBODY:
            self.unattributed += row.total
            return
        fate = arm.request_fate(row.metric)
        for at_ms, count in row.increments:
            bad, tick_ms = count if fate is Fate.BAD else 0, self._grid.end_ms(at_ms)
            self.traffic.add(side, requests=count, bad=bad, at_ms=at_ms, tick_ms=tick_ms)
            if fate is not Fate.CLIENT_GONE:
                for sums in self._named[GateKind.ERRORS]:
                    sums.add(side, requests=count, bad=bad, at_ms=at_ms, tick_ms=tick_ms)

    def _add_connections(self, row: delta.Row, side: Side) -> None:
        """Every connection is opened once, a failed one too; only its close tells that it failed.

        So requests are the opened ones, long-lived ones among them, and bad are those closed with a
        failure flag. Envoy reports both at the close of a connection without peer metadata
        (``reportHelper`` in istio/proxy's ``istio_stats.cc``); ztunnel opens without flags.
        """
        opened = row.metric.get("__name__", "").endswith("_opened_total")
        failed = not opened and arm.connection_failed(row.metric)
        if side is Side.NOBODY:
            self.unattributed += row.total if failed else 0
            return
        for at_ms, count in row.increments:
            requests, bad = count if opened else 0, count if failed else 0
            tick_ms = self._grid.end_ms(at_ms)
            for sums in (self.traffic, *self._named[GateKind.TCP]):
                sums.add(side, requests=requests, bad=bad, at_ms=at_ms, tick_ms=tick_ms)

    def _add_durations(self, series: Sequence[Series], rows: Sequence[delta.Row]) -> None:
        """Slow are the requests in the last bucket that are not in the one up to the edge.

        A histogram that lacks the edge (other buckets were configured) says nothing.
        """
        if not self._by_edge:
            return
        buckets = [(_edge(row.metric), _histogram(row.metric), row) for row in rows]
        counts = {(edge, histogram): dict(row.increments) for edge, histogram, row in buckets}
        idle: set[tuple[float, _Histogram]] | None = None
        for le, histogram, row in buckets:
            side = arm.side_of(row.metric, self._arms)
            if le != math.inf or side not in {Side.CANARY, Side.STABLE}:
                continue
            if arm.request_fate(row.metric) is Fate.CLIENT_GONE:
                continue
            for edge, listeners in self._by_edge.items():
                fast = counts.get((edge, histogram))
                if fast is None:  # nothing was fast, or there is no such bucket
                    idle = idle or {(_edge(one.metric), _histogram(one.metric)) for one in series}
                    fast = {} if (edge, histogram) in idle else None
                if fast is not None:
                    self._add_slow(listeners, side, row=row, fast=fast)

    def _add_slow(
        self, listeners: Sequence[Sums], side: Side, *, row: delta.Row, fast: Mapping[int, int]
    ) -> None:
        """Counts a histogram's requests; one whose buckets do not nest is left out."""
        if row.total < sum(fast.values()):
            return
        counts = dict(row.increments)
        for at_ms in sorted({*counts, *fast}):
            count, tick_ms = counts.get(at_ms, 0), self._grid.end_ms(at_ms)
            bad = max(0, count - fast.get(at_ms, 0))
            for sums in listeners:
                sums.add(side, requests=count, bad=bad, at_ms=at_ms, tick_ms=tick_ms)


def added(one: ArmCounts, other: ArmCounts) -> ArmCounts:
    """The sum of two counts."""
    return ArmCounts(requests=one.requests + other.requests, bad=one.bad + other.bad)


def _edge(metric: Mapping[str, str]) -> float:
    """A bucket's upper edge in milliseconds, however it is spelt; NaN when it is no bucket."""
    try:
        return float(metric.get("le", "nan"))
    except ValueError:
        return math.nan


def _histogram(metric: Mapping[str, str]) -> _Histogram:
    return frozenset(pair for pair in metric.items() if pair[0] != "le")
