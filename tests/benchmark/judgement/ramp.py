"""The ramp's twin: weights out of evidence, in many simulated runs at once.

A weight that is decided at the end of a tick is in force from the end of the next one on: the lag
of scrape, query and push is a tick. So is a rollback: the next tick still fails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tests.benchmark.judgement import twin
from tests.benchmark.judgement.arrays import Flags, Floats, Ticks, Whole
from tests.benchmark.judgement.twin import Preset, Setting
from tests.benchmark.judgement.worlds import Stream

HALVINGS_COUNT = 60
STIRLING_FROM = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a ramp may cost.

    Attributes:
        failures: B, failed requests that are acceptable within one reaction.
        reaction_seconds: Δ+L.
        share_min: least share.
        share_max: where it holds until the proof stands.
        growth_factor: most that a share may grow in a tick.
        hold_seconds: the least time at the top.
    """

    failures: float = 30.0
    reaction_seconds: float = 30.0
    share_min: float = 0.001
    share_max: float = 0.5
    growth_factor: float = 3.0
    hold_seconds: float = 60.0


def first_share(budget: Budget, requests_per_second: float) -> float:
    """The share with which a canary of which nothing is known begins."""
    share = budget.failures / (requests_per_second * budget.reaction_seconds)
    least = max(float(rounded(np.array(share))), budget.share_min)
    return min(least, budget.share_max)


def next_shares(now: Floats, budget: Budget, requests_per_second: float, excess: Floats) -> Floats:
    """The shares to follow; ``excess`` is what the canary may fail beyond stable, as a fraction."""
    allowed = allowed_shares(budget, requests_per_second, excess)
    grown = np.minimum(budget.share_max, np.minimum(allowed, now * budget.growth_factor))
    return np.maximum(now, np.where(grown < budget.share_max, rounded(grown), grown))


def allowed_shares(budget: Budget, requests_per_second: float, excess: Floats) -> Floats:
    """What the budget pays for, without any limit."""
    reaction = requests_per_second * budget.reaction_seconds
    found: Floats = budget.failures / (reaction * np.maximum(excess, 1e-9))
    return found


def rounded(share: Floats) -> Floats:
    """Down to tenths of a percent, whole ones from 10 % on."""
    parts = np.where(share >= 0.1, 100.0, 1000.0)
    return np.floor(share * parts + 1e-9) / parts


def log_gamma(x: Floats) -> Floats:
    """lnΓ for positive numbers, by Stirling's series above a shift."""
    shift, low = np.zeros_like(x), x.copy()
    while (small := low < STIRLING_FROM).any():
        shift = shift + np.where(small, np.log(low), 0.0)
        low = np.where(small, low + 1, low)
    inverse = 1 / low
    square = inverse * inverse
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
    found: Floats = (low - 0.5) * np.log(low) - low + 0.5 * math.log(2 * math.pi) + series - shift
    return found


def upper_limit(requests: Floats, bad: Floats, miss_ratio: float) -> Floats:
    """The upper limit of the bad fraction, a = b = ½, by halving between it and 1."""
    good = requests - bad
    mixed = log_gamma(bad + 0.5) + log_gamma(good + 0.5) - log_gamma(requests + 1)
    wanted = mixed - 2 * math.lgamma(0.5) - math.log(1 / miss_ratio)
    low, high = bad / np.maximum(requests, 1), np.ones_like(requests)
    for _ in range(HALVINGS_COUNT):
        middle = (low + high) / 2
        # Below the logarithm of a float's least distance to 1 the good ones decide nothing.
        seen = bad * np.log(np.maximum(middle, 1e-300)) + good * np.log1p(
            -np.minimum(middle, 1 - 1e-16)
        )
        is_possible = seen > wanted
        low, high = np.where(is_possible, middle, low), np.where(is_possible, high, middle)
    found: Floats = np.where((requests > 0) & (good > 0), low, 1.0)
    return found


def stable_ratio(requests: Floats, bad: Floats) -> Floats:
    """p̂_s."""
    return (bad + 0.5) / (requests + 1)


@dataclass(frozen=True, slots=True)
class Climbed:
    """How the runs ended; ticks are counted from 0, the number of ticks means never.

    The proof stands where it does so at the top; a promotion also waits for the least time there.
    """

    rollback_ticks: Whole
    prove_ticks: Whole
    promote_ticks: Whole
    failures: Floats
    failures_with_lag: Floats


class Climb:
    """Runs that climb: which of them still do, their weights, and what is known of each."""

    def __init__(self, stream: Stream, preset: Preset, setting: Setting, budget: Budget) -> None:
        """Everyone begins with the first share, which is in force for two ticks at least."""
        runs = stream.runs
        self.stream, self.preset, self.budget = stream, preset, budget
        self.setting = setting
        start = first_share(budget, stream.world.requests_per_second)
        self.now, self.coming = np.full(runs, start), np.full(runs, start)
        self.every, self.calm, self.proof = (np.zeros((runs, 24)) for _ in range(3))
        self.sums = [np.zeros(runs) for _ in range(4)]
        self.recent: list[tuple[Floats, Floats]] = []
        self.top_seconds = np.zeros(runs)

    def run(self, ticks: int) -> Climbed:
        """Climb until all have ended, or so many ticks have gone."""
        runs = self.stream.runs
        rollback, prove, promote = (np.full(runs, ticks) for _ in range(3))
        failures, lagging = np.zeros(runs), np.zeros(runs)
        climbing, dying = np.arange(runs), np.arange(0)
        for tick in range(ticks + 1):
            counts = self.stream.tick(tick, self.now)
            lagging[dying] += counts[2][dying]
            if tick == ticks or not climbing.size:
                break
            for sums in (failures, lagging):
                sums[climbing] += counts[2][climbing]
            self.remember(counts)
            failed, proved = self.judged(counts, climbing)
            is_over = proved & (self.top_seconds[climbing] >= self.budget.hold_seconds)
            dying, ended = climbing[failed], climbing[is_over & ~failed]
            rollback[dying], promote[ended] = tick, tick
            fresh = climbing[proved & ~failed]
            prove[fresh] = np.minimum(prove[fresh], tick)
            climbing = climbing[~failed & ~is_over]
            following = self.coming.copy()
            following[climbing] = self.following(climbing)
            self.now, self.coming = self.coming, following
        return Climbed(rollback, prove, promote, failures, lagging)

    def remember(self, counts: tuple[Floats, Floats, Floats, Floats]) -> None:
        """The last ticks of all runs must be calm together."""
        newest = counts[0] + counts[1], counts[2] + counts[3]
        self.recent = [*self.recent[1 - twin.CALM_TICKS :], newest]

    def judged(
        self, counts: tuple[Floats, Floats, Floats, Floats], rows: Whole
    ) -> tuple[Flags, Flags]:
        """Takes one more tick of some runs in; which fail now, whose proof stands at the top."""
        for known, more in zip(self.sums, counts, strict=True):
            known[rows] += more[rows]
        ticks = Ticks(*(one[rows, None] for one in counts))
        setting = self.setting.rows(rows)
        quiet = self._is_calm(setting, rows)[:, None]
        phi = setting.dispersion[:, None]
        bad = twin.gains(ticks, self.preset.tolerance_ratio, twin.WORSE)[:, 0] / phi
        good = twin.gains(ticks, self.preset.proven_ratio, twin.BETTER)[:, 0] / phi
        self.every[rows] += bad
        self.calm[rows] += np.where(quiet, bad, 0.0)
        self.proof[rows] += np.where(quiet, good, 0.0)
        # A ramp is one step: what came since it began is all there is.
        every = math.log(0.75) + twin.log_mean(self.every[rows])
        rollback = np.logaddexp(every, math.log(0.25) + twin.log_mean(self.calm[rows]))
        self.top_seconds[rows] += np.where(
            self.now[rows] >= self.budget.share_max - 1e-12, self.stream.world.tick_seconds, 0.0
        )
        proved = self._proof_nats(rows) >= self.preset.promote_nats
        return rollback >= self.preset.rollback_nats, proved & (self.top_seconds[rows] > 0)

    def _is_calm(self, setting: Setting, rows: Whole) -> Flags:
        """The newest tick by itself, and the last ones together."""
        assert setting.reference is not None
        found = np.ones(len(rows), dtype=np.bool_)
        for times in (self.recent[-1:], self.recent):
            requests, bad = (np.sum([one[part][rows] for one in times], axis=0) for part in (0, 1))
            found &= twin.is_calm(requests, bad, setting.reference, setting.dispersion)
        return found

    def _proof_nats(self, rows: Whole) -> Floats:
        setting = self.setting.rows(rows)
        assert setting.reference is not None
        usual, phi = setting.reference[:, None], setting.dispersion[:, None]
        stable_bad = self.sums[3][rows, None]
        fine = twin.fine_ratio(usual, setting, stable_bad, self.preset.proven_ratio)
        requests, bad = self.sums[0][rows, None], self.sums[2][rows, None]
        logs = bad * twin.BETTER - fine * requests * np.expm1(twin.BETTER)
        alone = twin.log_mean(logs / phi)
        either: Floats = np.logaddexp(twin.log_mean(self.proof[rows]), alone) - math.log(2)
        return either

    def following(self, rows: Whole) -> Floats:
        """The shares of some runs that are decided now."""
        canary, stable, canary_bad, stable_bad = (known[rows] for known in self.sums)
        # Bursts count by clusters.
        phi = self.setting.dispersion[rows]
        upper = upper_limit(canary / phi, canary_bad / phi, self.preset.false_rollback_ratio)
        excess = upper - stable_ratio(stable, stable_bad)
        traffic = self.stream.world.requests_per_second
        return next_shares(self.coming[rows], self.budget, traffic, excess)
