"""Simulated worlds: what stable and canary get and fail, tick by tick, in many runs at once.

Requests come as a Poisson stream and fail independently unless the world says otherwise. Both arms
share what happens to the service; a regression multiplies the canary's bad fraction.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tests.benchmark.judgement.arrays import Flags, Floats, Ticks, Whole

PODS_COUNT = 10
STABLE_PODS_COUNT = 9
"""Beside one pod of the canary."""

PROXIES_COUNT = 3
"""Of clients, such as gateways."""

HISTORY_SECONDS = 4 * 3600
MINUTE_SECONDS = 60.0
"""The grid on which the product reads history."""

NOISE_MEMORY_SECONDS = 300.0
BROWN_OUT_SECONDS = 180.0
BROWN_OUTS_COUNT = 2
BROWN_OUT_RATIO = 0.05
STORM_RATIO = 0.1
STORM_TRAFFIC_FACTOR = 3.0
DAY_SECONDS = 86_400.0
GAP_RATIO = 0.03
"""How many ticks begin a gap."""

GAP_TICKS_MAX = 8
RESET_RATIO = 0.02


class Event(enum.Enum):
    """What happens to both arms alike."""

    NOTHING = "steady"
    DIURNAL = "diurnal"
    MULTIPLIED = "brown-outs, multiplied"
    ADDED = "brown-outs, added"
    STORM = "retry storm"


class Scraping(enum.Enum):
    """How counters are read."""

    WHOLE = "whole"
    PROXY_OFFSETS = "proxies' offsets"
    POD_OFFSETS = "pods' offsets"
    GAPS = "gaps"
    RESETS = "resets"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A service, what happens to it, and what is wrong with its canary.

    Attributes:
        requests_per_second: of both arms together.
        bad_ratio: what stable fails of its requests.
        tick_seconds: between two looks.
        event: what happens to both arms.
        scraping: how counters are read.
        cluster_size_factor: mean of the geometric number of bad requests that come together.
        noise_ratio: standard deviation of the logarithm of each pod's bad fraction.
        worse_factor: how many times as often the canary fails; 1 is healthy.
        worse_ratio: what the canary fails instead of a multiple; None: the multiple.
        from_seconds: when the regression begins.
        from_share: the canary's share from which on it shows.
    """

    requests_per_second: float = 1000.0
    bad_ratio: float = 0.001
    tick_seconds: float = 15.0
    event: Event = Event.NOTHING
    scraping: Scraping = Scraping.WHOLE
    cluster_size_factor: float = 1.0
    noise_ratio: float = 0.0
    worse_factor: float = 1.0
    worse_ratio: float | None = None
    from_seconds: float = 0.0
    from_share: float = 0.0

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong with the canary."""
        return self.worse_factor == 1 and self.worse_ratio is None


Schedule = Sequence[tuple[float, float]]
"""Shares of the canary, and for how many seconds each is held."""

FOUR_STEPS: Schedule = ((0.05, 600.0), (0.1, 600.0), (0.25, 600.0), (0.5, 600.0))
FIVE_MINUTES: Schedule = tuple((share, 60.0) for share in (0.1, 0.2, 0.3, 0.4, 0.5))


def shares(schedule: Schedule, tick_seconds: float) -> list[float]:
    """The configured share of each tick."""
    return [share for share, seconds in schedule for _ in range(round(seconds / tick_seconds))]


def begins(schedule: Schedule, tick_seconds: float) -> tuple[int, ...]:
    """The ticks with which steps begin, the first being 0."""
    lengths = [round(seconds / tick_seconds) for _, seconds in schedule]
    return tuple(sum(lengths[:place]) for place in range(len(lengths)))


def onset_tick(world: World, schedule: Schedule) -> int:
    """The tick with which the regression begins."""
    begun = round(world.from_seconds / world.tick_seconds)
    for tick, share in enumerate(shares(schedule, world.tick_seconds)):
        if tick >= begun and share >= world.from_share:
            return tick
    return 0


class Stream:
    """Draws a world's ticks one by one, so that weights may depend on what was seen."""

    def __init__(
        self, world: World, runs: int, random: np.random.Generator, horizon_seconds: float = 2400.0
    ) -> None:
        """Fixes what each run has: when its brown-outs are, how its pods stand."""
        self.world, self.runs, self._random = world, runs, random
        latest = max(0.0, horizon_seconds - BROWN_OUT_SECONDS)
        self._events = random.uniform(0, latest, (runs, BROWN_OUTS_COUNT))
        self._phase = random.uniform(0, 2 * math.pi, runs)
        self._noise = random.standard_normal((runs, PODS_COUNT))

    def tick(self, index: int, share: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Canary's and stable's requests, canary's and stable's bad ones, in each run."""
        world = self.world
        traffic, canary, stable = self.rates(index * world.tick_seconds, share)
        requests = traffic * world.tick_seconds
        canary_requests, canary_failures = self._arm(requests * share, canary)
        stable_requests, stable_failures = self._arm(requests * (1 - share), stable)
        return canary_requests, stable_requests, canary_failures, stable_failures

    def rates(self, now_seconds: float, share: Floats) -> tuple[Floats, Floats, Floats]:
        """Requests a second, and both arms' bad fractions, in each run at a time."""
        world = self.world
        traffic = np.full(self.runs, world.requests_per_second)
        times, added = np.ones(self.runs), np.zeros(self.runs)
        begun = now_seconds - self._events
        struck = (begun >= 0) & (begun < BROWN_OUT_SECONDS)
        if world.event is Event.DIURNAL:
            angle = 2 * math.pi * now_seconds / DAY_SECONDS + self._phase
            traffic = traffic * (1 + 0.5 * np.sin(angle))
        elif world.event is Event.MULTIPLIED:
            times = np.where(struck.any(axis=1), BROWN_OUT_RATIO / world.bad_ratio, 1.0)
        elif world.event is Event.ADDED:
            added = np.where(struck.any(axis=1), BROWN_OUT_RATIO, 0.0)
        elif world.event is Event.STORM:
            times = np.where(struck[:, 0], STORM_RATIO / world.bad_ratio, 1.0)
            traffic = np.where(struck[:, 0], STORM_TRAFFIC_FACTOR, 1.0) * traffic
        canary_noise, stable_noise = self._next_noise()
        basis = world.bad_ratio * times
        worse = self._worse(now_seconds, share, basis * canary_noise)
        return (
            traffic,
            np.minimum(1.0, worse + added),
            np.minimum(1.0, basis * stable_noise + added),
        )

    def _worse(self, now_seconds: float, share: Floats, healthy: Floats) -> Floats:
        world = self.world
        if now_seconds < world.from_seconds:
            return healthy
        bad = healthy * world.worse_factor
        if world.worse_ratio is not None:
            bad = np.maximum(healthy, world.worse_ratio)
        return np.where(share >= world.from_share, bad, healthy)

    def _next_noise(self) -> tuple[Floats | float, Floats | float]:
        deviation = self.world.noise_ratio
        if not deviation:
            return 1.0, 1.0
        factors = np.exp(deviation * self._noise - deviation**2 / 2)
        self._noise = next_noise(self._noise, self.world.tick_seconds, self._random)
        return factors[:, 0], factors[:, 1:].mean(axis=1)

    def _arm(self, mean: Floats, ratio: Floats) -> tuple[Floats, Floats]:
        return counted(self._random, mean, ratio, self.world.cluster_size_factor)


def next_noise(noise: Floats, seconds: float, random: np.random.Generator) -> Floats:
    """The next state of a noise of variance 1 that forgets within five minutes."""
    kept = math.exp(-seconds / NOISE_MEMORY_SECONDS)
    return kept * noise + math.sqrt(1 - kept**2) * random.standard_normal(noise.shape)


def counted(
    random: np.random.Generator, mean: Floats, ratio: Floats, cluster: float
) -> tuple[Floats, Floats]:
    """Requests and bad ones of an arm.

    A binomial number of a Poisson number is Poisson, and independent of the rest: independent
    failures need no further draw.
    """
    if cluster == 1:
        failures = random.poisson(mean * ratio)
        return (random.poisson(mean * (1 - ratio)) + failures).astype(float), failures.astype(float)
    requests = random.poisson(mean)
    bursts = random.poisson(mean * ratio / cluster)
    failures, struck = bursts.copy(), bursts > 0
    failures[struck] += random.negative_binomial(bursts[struck], 1 / cluster)
    return requests.astype(float), np.minimum(requests, failures).astype(float)


def draw(world: World, schedule: Schedule, runs: int, random: np.random.Generator) -> Ticks:
    """All ticks of a schedule."""
    if world.scraping in {Scraping.PROXY_OFFSETS, Scraping.POD_OFFSETS}:
        return _draw_with_offsets(world, schedule, runs, random)
    weights = shares(schedule, world.tick_seconds)
    stream = Stream(world, runs, random, len(weights) * world.tick_seconds)
    rows = [stream.tick(index, np.full(runs, share)) for index, share in enumerate(weights)]
    ticks = Ticks(*(np.stack(one, axis=1) for one in zip(*rows, strict=True)))
    if world.scraping is Scraping.GAPS:
        return _with_gaps(ticks, random)
    return _with_resets(ticks, random) if world.scraping is Scraping.RESETS else ticks


def _with_gaps(ticks: Ticks, random: np.random.Generator) -> Ticks:
    """Some scrapes fail for one to eight ticks; the next that succeeds brings all at once."""
    runs, length = ticks.bad.shape
    starts = random.random((runs, length)) < GAP_RATIO
    lengths = random.integers(1, GAP_TICKS_MAX + 1, (runs, length))
    left, failed = np.zeros(runs, dtype=np.int64), np.zeros((runs, length), dtype=np.bool_)
    for tick in range(length):
        left = np.maximum(left - 1, np.where(starts[:, tick], lengths[:, tick], 0))
        failed[:, tick] = left > 0
    return Ticks(*(_held_back(one, failed) for one in ticks.parts))


def _held_back(counts: Floats, failed: Flags) -> Floats:
    found, waiting = np.zeros_like(counts), np.zeros(counts.shape[0])
    for tick in range(counts.shape[1]):
        waiting = waiting + counts[:, tick]
        found[:, tick] = np.where(failed[:, tick], 0.0, waiting)
        waiting = np.where(failed[:, tick], waiting, 0.0)
    return found


def _with_resets(ticks: Ticks, random: np.random.Generator) -> Ticks:
    """A proxy restarts: what it had counted since the last scrape is lost, of one arm."""
    lost = [random.random(ticks.bad.shape) < RESET_RATIO for _ in range(2)]
    kept = [np.where(one, random.random(one.shape), 1.0) for one in lost]
    canary_bad = random.binomial(ticks.canary_failures.astype(int), kept[0])
    stable_bad = random.binomial(ticks.stable_failures.astype(int), kept[1])
    canary_good = random.binomial(
        (ticks.canary_requests - ticks.canary_failures).astype(int), kept[0]
    )
    stable_good = random.binomial(
        (ticks.stable_requests - ticks.stable_failures).astype(int), kept[1]
    )
    return Ticks(
        (canary_good + canary_bad).astype(float),
        (stable_good + stable_bad).astype(float),
        canary_bad.astype(float),
        stable_bad.astype(float),
    )


def _draw_with_offsets(
    world: World, schedule: Schedule, runs: int, random: np.random.Generator
) -> Ticks:
    """Each proxy is scraped at an offset of its own.

    Those of clients count both arms, which then cover the same seconds: what the product asks for.
    Those of pods count an arm each, which then do not.
    """
    step = round(world.tick_seconds)
    weights = np.array(shares(schedule, 1.0))
    stream = Stream(world, runs, random, len(weights))
    rows = [stream.rates(second, np.full(runs, share)) for second, share in enumerate(weights)]
    traffic, canary, stable = (np.stack(one, axis=1) for one in zip(*rows, strict=True))
    means = traffic * weights, traffic * (1 - weights)
    if world.scraping is Scraping.PROXY_OFFSETS:
        offsets = [random.integers(0, step, runs) for _ in range(PROXIES_COUNT)]
        canaries = [(one, means[0] / PROXIES_COUNT) for one in offsets]
        stables = [(one, means[1] / PROXIES_COUNT) for one in offsets]
    else:
        offsets = [random.integers(0, step, runs) for _ in range(PODS_COUNT)]
        canaries = [(offsets[0], means[0])]
        stables = [(one, means[1] / STABLE_PODS_COUNT) for one in offsets[1:]]
    counts = [_scraped(random, canaries, canary, step), _scraped(random, stables, stable, step)]
    return Ticks(counts[0][0], counts[1][0], counts[0][1], counts[1][1])


def _scraped(
    random: np.random.Generator, parts: Sequence[tuple[Whole, Floats]], ratio: Floats, step: int
) -> tuple[Floats, Floats]:
    """Requests and bad ones of an arm a tick, from parts with offsets and means a second."""
    runs, seconds = ratio.shape
    length = seconds // step
    sums = np.zeros((2, runs, length))
    for offsets, mean in parts:
        failures = random.poisson(mean * ratio)
        requests = random.poisson(mean * (1 - ratio)) + failures
        ends = np.minimum((np.arange(length + 1) * step)[None, :] + offsets[:, None], seconds)
        ends[:, 0] = 0
        for place, counts in enumerate((requests, failures)):
            known = np.concatenate([np.zeros((runs, 1)), np.cumsum(counts, axis=1)], axis=1)
            sums[place] += np.diff(np.take_along_axis(known, ends, axis=1), axis=1)
    return sums[0], sums[1]


def history(
    world: World,
    runs: int,
    random: np.random.Generator,
    *,
    seconds: float = HISTORY_SECONDS,
    step_seconds: float = MINUTE_SECONDS,
) -> tuple[Floats, Floats]:
    """Bad requests and requests of the stable pods in the hours before: (runs, steps, pods)."""
    length = round(seconds / step_seconds)
    shape = (runs, length, PODS_COUNT)
    ratio = np.full(shape, world.bad_ratio)
    if world.noise_ratio:
        noise = random.standard_normal((runs, PODS_COUNT))
        for step in range(length):
            noise = next_noise(noise, step_seconds, random)
            ratio[:, step] *= np.exp(world.noise_ratio * noise - world.noise_ratio**2 / 2)
    mean = np.full(shape, world.requests_per_second * step_seconds / PODS_COUNT)
    requests, bad = counted(random, mean, np.minimum(1.0, ratio), world.cluster_size_factor)
    return bad, requests
