"""Latency without quantiles: slow requests counted at the edges of Istio's histogram."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tests.benchmark.judgement import kayenta, twin, worlds
from tests.benchmark.judgement.arrays import (
    CHUNK_RUNS,
    Flags,
    Floats,
    Ticks,
    Whole,
    first,
    random_of,
)
from tests.benchmark.judgement.cells import Figures, Size
from tests.benchmark.judgement.simulate import DEFAULT, PRESETS, SENSITIVE, Seen, figures, parts
from tests.benchmark.judgement.simulate import known_before as known_of
from tests.benchmark.judgement.twin import Preset, Setting, Views
from tests.benchmark.judgement.worlds import FOUR_STEPS, World

EDGES_MS = (
    *(0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000),
    *(300_000, 600_000, 1_800_000, 3_600_000),
)
BOUND_MS = 500
JUDGED_MS = (500, 1000, 250, 100)
"""The bound, the next above, and those below, as the product keeps them."""

SPREAD = 0.7
"""Standard deviation of a latency's logarithm."""

P99_MS = 487.0
P99_DEVIATIONS = 2.3263478740408408
MEDIAN_MS = P99_MS / math.exp(SPREAD * P99_DEVIATIONS)
TICK_SECONDS = 15.0
MINUTE_TICKS = 4
FLAGGER_FAILURES_COUNT = 5
WARM_UP_SECONDS = 120.0
FOUR_EDGES = f"{DEFAULT}, four edges"
WARM = f"{DEFAULT}, four edges, 2 min of warm-up left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyCell:
    """A canary that is slower, or not.

    Attributes:
        name: by which it is seeded, kept and told.
        requests_per_second: of both arms.
        factor: what multiplies each latency of the canary.
        slow_ratio: the canary's requests that are slower besides.
        slow_factor: what multiplies these.
        slow_ms: what is added to these.
        cold_factor: what multiplies the canary's latencies while it is cold, for two minutes.
    """

    name: str
    requests_per_second: float = 100.0
    factor: float = 1.0
    slow_ratio: float = 0.0
    slow_factor: float = 1.0
    slow_ms: float = 0.0
    cold_factor: float = 1.0

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong that lasts."""
        return self.factor == 1 and not self.slow_ratio

    def runs(self, size: Size) -> int:
        """How often it is run."""
        return size.healthy_runs if self.is_healthy else size.worse_runs


def _cells() -> Iterator[LatencyCell]:
    yield LatencyCell(name="healthy latency 10 rps", requests_per_second=10)
    for rps in (100, 1000):
        yield LatencyCell(name=f"healthy latency {rps} rps", requests_per_second=rps)
        yield LatencyCell(
            name=f"healthy latency cold canary {rps} rps", requests_per_second=rps, cold_factor=3
        )
    for rps in (10, 100, 1000):
        yield LatencyCell(name=f"latency ×1.2 {rps} rps", requests_per_second=rps, factor=1.2)
        yield LatencyCell(name=f"latency ×1.5 {rps} rps", requests_per_second=rps, factor=1.5)
        yield LatencyCell(
            name=f"latency +1 s for 2 % {rps} rps",
            requests_per_second=rps,
            slow_ratio=0.02,
            slow_ms=1000,
        )
        yield LatencyCell(
            name=f"latency ×10 for 1 % {rps} rps",
            requests_per_second=rps,
            slow_ratio=0.01,
            slow_factor=10,
        )


CELLS: Mapping[str, LatencyCell] = {cell.name: cell for cell in _cells()}


def below(edge_ms: float, factor: float = 1.0, plus_ms: float = 0.0) -> float:
    """The share of requests that take at most so long."""
    if edge_ms <= plus_ms:
        return 0.0
    deviations = math.log((edge_ms - plus_ms) / (MEDIAN_MS * factor)) / SPREAD
    return 0.5 * math.erfc(-deviations / math.sqrt(2))


def shares_below(cell: LatencyCell, *, is_canary: bool, is_cold: bool = False) -> Floats:
    """The share of an arm's requests at or below each edge."""
    if not is_canary:
        return np.array([below(edge) for edge in EDGES_MS])
    factor = cell.factor * (cell.cold_factor if is_cold else 1.0)
    usual = np.array([below(edge, factor) for edge in EDGES_MS])
    slow = np.array([below(edge, factor * cell.slow_factor, cell.slow_ms) for edge in EDGES_MS])
    return (1 - cell.slow_ratio) * usual + cell.slow_ratio * slow


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests of each arm (runs, ticks), and those slower than each edge (…, edges)."""

    canary: Floats
    stable: Floats
    canary_slow: Floats
    stable_slow: Floats

    def at(self, edge: int) -> Ticks:
        """The counts of one edge: slow is bad."""
        return Ticks(
            self.canary, self.stable, self.canary_slow[..., edge], self.stable_slow[..., edge]
        )

    def without(self, ticks: int) -> Counted:
        """The first ticks are not judged."""
        parts_ = (self.canary, self.stable, self.canary_slow, self.stable_slow)
        copies = [one.copy() for one in parts_]
        for one in copies:
            one[:, :ticks] = 0.0
        return Counted(*copies)


def draw(cell: LatencyCell, runs: int, random: np.random.Generator) -> Counted:
    """All ticks of the four steps."""
    weights = np.array(worlds.shares(FOUR_STEPS, TICK_SECONDS))
    mean = cell.requests_per_second * TICK_SECONDS
    canary = random.poisson(np.broadcast_to(mean * weights, (runs, len(weights))))
    stable = random.poisson(np.broadcast_to(mean * (1 - weights), (runs, len(weights))))
    slow = _slow(random, canary, shares_below(cell, is_canary=True))
    cold = round(WARM_UP_SECONDS / TICK_SECONDS)
    if cell.cold_factor != 1:
        shares = shares_below(cell, is_canary=True, is_cold=True)
        slow[:, :cold] = _slow(random, canary[:, :cold], shares)
    stable_slow = _slow(random, stable, shares_below(cell, is_canary=False))
    return Counted(canary.astype(float), stable.astype(float), slow, stable_slow)


def _slow(random: np.random.Generator, requests: Whole, below_: Floats) -> Floats:
    between = np.diff(np.concatenate([[0.0], below_, [1.0]]))
    counts = random.multinomial(requests, between / between.sum())
    found: Floats = requests[..., None] - np.cumsum(counts, axis=-1)[..., :-1].astype(float)
    return found


def simulate(cell: LatencyCell, size: Size) -> Figures:
    """All figures of a cell."""
    seen: dict[str, list[Seen]] = defaultdict(list)
    phis = []
    for chunk, runs in enumerate(parts(cell.runs(size))):
        random = random_of(cell.name, chunk)
        slow = 1 - below(BOUND_MS)
        world = World(requests_per_second=cell.requests_per_second, bad_ratio=slow)
        phi = known_of(world, runs, random).dispersion
        phis.append(phi)
        is_alone = chunk * CHUNK_RUNS >= size.other_runs
        for gate, one in _judged(cell, draw(cell, runs, random), phi, is_alone=is_alone):
            seen[gate].append(one)
    return {
        "name": cell.name,
        "way": "latency",
        "isHealthy": cell.is_healthy,
        "timesWorse": 1.0,
        "dispersionMedian": round(float(np.median(np.concatenate(phis))), 2),
        "gates": {gate: figures(all_) for gate, all_ in seen.items()},
    }


def _judged(
    cell: LatencyCell, counted: Counted, phi: Floats, *, is_alone: bool
) -> Iterator[tuple[str, Seen]]:
    bound = counted.at(EDGES_MS.index(BOUND_MS))
    if cell.cold_factor != 1:
        warm = counted.without(round(WARM_UP_SECONDS / TICK_SECONDS))
        yield WARM, _seen(bound, four_edges(warm, phi, PRESETS[DEFAULT]))
    elif is_alone:
        yield FOUR_EDGES, _seen(bound, four_edges(counted, phi, PRESETS[DEFAULT]))
    if is_alone:
        return
    for name in (DEFAULT, SENSITIVE):
        preset = PRESETS[name]
        yield f"{name}, one edge", _seen(bound, _one_edge(counted, phi, preset))
        yield f"{name}, four edges", _seen(bound, four_edges(counted, phi, preset))
    p99 = (
        quantile(counted.canary_slow, counted.canary),
        quantile(counted.stable_slow, counted.stable),
    )
    failing = ~(p99[0] < BOUND_MS)
    minute = first(np.cumsum(failing, axis=1) >= FLAGGER_FAILURES_COUNT)
    yield "Flagger p99 < 500 ms", _seen(bound, _ticks(minute, failing))
    yield "Kayenta p99, 5 min", _seen(bound, _ticks(kayenta.series(*p99), failing))


def _setting(phi: Floats, edge: int) -> Setting:
    reference = np.full_like(phi, 1 - below(EDGES_MS[edge]))
    return Setting(phi, reference, worlds.begins(FOUR_STEPS, TICK_SECONDS))


def _one_edge(counted: Counted, phi: Floats, preset: Preset) -> Whole:
    edge = EDGES_MS.index(BOUND_MS)
    levels = [preset.false_rollback_ratio]
    return twin.first_rollbacks(
        counted.at(edge), _setting(phi, edge), preset.tolerance_ratio, levels
    )[0]


def four_edges(counted: Counted, phi: Floats, preset: Preset) -> Whole:
    """The average of E over edges; found only for runs that can reach the level at all."""
    places = [EDGES_MS.index(edge) for edge in JUDGED_MS]
    views: list[Views] = [
        twin.rollback_views(counted.at(place), _setting(phi, place), preset.tolerance_ratio)
        for place in places
    ]
    most = np.max([one.most() for one in views], axis=0)
    chosen: Flags = (most >= preset.rollback_nats).any(axis=1)
    runs, length = counted.canary.shape
    found = np.full(runs, length, dtype=np.int64)
    if chosen.any():
        nats = np.stack([one.rows(chosen).nats() for one in views], axis=-1)
        found[chosen] = first(twin.log_mean(nats) >= preset.rollback_nats)
    return found


def quantile(slow: Floats, requests: Floats, share: float = 0.99) -> Floats:
    """Each minute's quantile in ms as ``histogram_quantile`` interpolates it; NaN without data."""
    runs, ticks = requests.shape
    minutes = ticks // MINUTE_TICKS
    total = requests.reshape(runs, minutes, MINUTE_TICKS).sum(axis=2)[..., None]
    above = slow.reshape(runs, minutes, MINUTE_TICKS, -1).sum(axis=2)
    known = np.concatenate([np.zeros_like(total), total - above], axis=-1)
    rank = share * total
    place = np.clip((known < rank).sum(axis=-1), 1, len(EDGES_MS))[..., None]
    low, high = (np.take_along_axis(known, at, axis=-1) for at in (place - 1, place))
    edges = np.array([0.0, *EDGES_MS])
    part = np.divide(rank - low, high - low, out=np.ones_like(low), where=high > low)
    found = edges[place - 1] + (edges[place] - edges[place - 1]) * part
    return np.where(total > 0, found, np.nan)[..., 0]


def _ticks(minute: Whole, minutes: Flags) -> Whole:
    length = minutes.shape[1]
    return np.where(minute < length, (minute + 1) * MINUTE_TICKS - 1, length * MINUTE_TICKS)


def _seen(bound: Ticks, verdict: Whole) -> Seen:
    length = bound.bad.shape[1]
    sums = np.concatenate(
        [np.zeros((bound.bad.shape[0], 1)), np.cumsum(bound.canary_failures, axis=1)], axis=1
    )
    until = np.take_along_axis(sums, np.minimum(verdict + 1, length)[:, None], axis=1)[:, 0]
    late = np.take_along_axis(sums, np.minimum(verdict + 2, length)[:, None], axis=1)[:, 0]
    seconds = np.where(verdict < length, (verdict + 1) * TICK_SECONDS, math.inf)
    return Seen(rollback_seconds=seconds, failures=until, failures_with_lag=late)
