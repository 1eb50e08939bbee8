"""A twin of the product's gate for many runs at once; tests tie both together.

Nothing of `rollout.analysis.judge` is imported here: the formulas are written a second time, so
that a slip in one of them shows as a difference.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tests.benchmark.judgement.arrays import Flags, Floats, Ticks, Whole, first

WORSE: Floats = np.linspace(math.log(1.25), math.log(200), 24)
BETTER: Floats = -np.linspace(math.log(1.1), math.log(20), 24)

VIEWS_MAX = 4
"""Steps whose own evidence goes on at a time."""

FINE_RATIO = 0.01
"""Bad requests below which a canary is fine by itself."""

BLOCK_MINUTES = (1, 5, 10, 20)
ASSUMED_FACTOR = 2.0
"""φ where fewer than `BAD_COUNT_MIN` bad requests in the hours before tell nothing else."""

BAD_COUNT_MIN = 10


class Road(enum.Enum):
    """What proves that a canary is well, besides that it fails less than ρ1 times as often."""

    RATIO = "nothing"
    PERCENT = "it fails less than 1 %"
    USUAL = "it fails less than ρ1 times what stable did in the hours before"

    def bounds(self, setting: Setting, preset: Preset) -> Floats:
        """The bound of each run."""
        if self is Road.USUAL and setting.reference is not None:
            return preset.proven_ratio * setting.reference
        return np.full_like(setting.dispersion, FINE_RATIO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What a user may have promised.

    Attributes:
        name: of the gate, as tables call it.
        tempered: whether φ is estimated from history; else it is 1.
        tolerance_ratio: ρ0.
        false_rollback_ratio: α.
        proven_ratio: ρ1.
        false_promote_ratio: α'.
        road: what proves it besides the ratio.
    """

    name: str
    tempered: bool
    tolerance_ratio: float
    false_rollback_ratio: float
    proven_ratio: float = 2.0
    false_promote_ratio: float = 0.05
    road: Road = Road.RATIO

    @property
    def rollback_nats(self) -> float:
        """Evidence at which the canary is taken back."""
        return math.log(1 / self.false_rollback_ratio)

    @property
    def promote_nats(self) -> float:
        """Evidence at which the gate passes."""
        return math.log(1 / self.false_promote_ratio)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is fixed before each run: its dispersion and the bad fraction of the hours before.

    Attributes:
        dispersion: φ of each run.
        reference: p_ref of each run; None: the run's own stable arm before the tick.
        begins: ticks, counted from 0, with which a step begins; the first is 0.
        calm_ticks: a tick is calm where it is by itself, and so many up to it are together.
    """

    dispersion: Floats
    reference: Floats | None
    begins: tuple[int, ...] = (0,)
    calm_ticks: int = 1

    def rows(self, chosen: Flags | Whole) -> Setting:
        """Some of the runs."""
        reference = None if self.reference is None else self.reference[chosen]
        return Setting(self.dispersion[chosen], reference, self.begins, self.calm_ticks)


def log_mean(logs: Floats) -> Floats:
    """Logarithm of the average of exp(x) over the last axis."""
    top = logs.max(axis=-1)
    total = np.exp(logs - top[..., None]).sum(axis=-1)
    found: Floats = top + np.log(total) - math.log(logs.shape[-1])
    return found


def gains(ticks: Ticks, null_ratio: float, steps: Floats) -> Floats:
    """What each tick adds to ℓ of each alternative: (runs, ticks, alternatives)."""
    share = ticks.share[..., None]
    cost = np.log1p(share * (null_ratio * np.exp(steps) - 1)) - np.log1p(share * (null_ratio - 1))
    found: Floats = ticks.canary_failures[..., None] * steps - ticks.bad[..., None] * cost
    return found


def calm(ticks: Ticks, setting: Setting) -> Flags:
    """Ticks with about as few bad requests as before the run."""
    if setting.reference is None:
        return _calm_by_itself(ticks, setting)
    found = np.ones(ticks.bad.shape, dtype=np.bool_)
    for length in {1, setting.calm_ticks}:
        usual = lately(ticks.requests, length) * setting.reference[:, None]
        found &= lately(ticks.bad, length) <= 3 * usual + 3 * setting.dispersion[:, None]
    return found


def _calm_by_itself(ticks: Ticks, setting: Setting) -> Flags:
    """What the stable arm had in the run's calm ticks stands in for the hours before."""
    runs, length = ticks.bad.shape
    found = np.zeros((runs, length), dtype=np.bool_)
    requests, bad = np.zeros(runs), np.zeros(runs)
    for tick in range(length):
        allowed = 3 * ticks.requests[:, tick] * (bad + 1) / (requests + 1)
        is_calm = ticks.bad[:, tick] <= allowed + 3 * setting.dispersion
        found[:, tick] = is_calm
        requests += np.where(is_calm, ticks.stable_requests[:, tick], 0.0)
        bad += np.where(is_calm, ticks.stable_failures[:, tick], 0.0)
    return found


def lately(counts: Floats, length: int) -> Floats:
    """Sums of each tick and those before it, so many in all; fewer at the beginning."""
    sums = np.cumsum(counts, axis=1)
    before = np.zeros_like(sums)
    before[:, length:] = sums[:, :-length]
    return sums - before


@dataclass(frozen=True, slots=True)
class Views:
    """Sums of ℓ over φ, per alternative: over all ticks, and over calm ones."""

    every: Floats
    calm: Floats
    begins: tuple[int, ...]

    def since(self, step: int) -> Floats:
        """From one step on; 0 before it, which makes E 1. Only the last few go on."""
        begin = self.begins[step]
        before = self.every[:, begin - 1 : begin] if begin else 0.0
        found: Floats = self.every - before
        found[:, :begin] = 0.0
        if step + VIEWS_MAX < len(self.begins):
            stopped = self.begins[step + VIEWS_MAX]
            found[:, stopped:] = found[:, stopped - 1 : stopped]
        return found

    def most(self) -> Floats:
        """A bound that is quick to find: ln E of the whole never exceeds it."""
        found: Floats = np.maximum(self.every.max(axis=-1), self.calm.max(axis=-1))
        for step in range(1, len(self.begins)):
            found = np.maximum(found, self.since(step).max(axis=-1))
        return found

    def nats(self) -> Floats:
        """ln of ½[½ all + ½ calm] + ½ Σ since each step, all steps alike."""
        share = 0.5 / len(self.begins)
        parts = [0.25, 0.25] + [share] * len(self.begins)
        logs = [log_mean(self.every), log_mean(self.calm)]
        logs += [log_mean(self.since(step)) for step in range(len(self.begins))]
        weighted = np.stack(
            [math.log(part) + one for part, one in zip(parts, logs, strict=True)], axis=-1
        )
        found: Floats = log_mean(weighted) + math.log(len(parts))
        return found

    def rows(self, chosen: Flags) -> Views:
        """Some of the runs."""
        return Views(self.every[chosen], self.calm[chosen], self.begins)


def rollback_views(ticks: Ticks, setting: Setting, tolerance_ratio: float) -> Views:
    """The evidence against the tolerance after each tick."""
    added = gains(ticks, tolerance_ratio, WORSE) / setting.dispersion[:, None, None]
    quiet = np.where(calm(ticks, setting)[..., None], added, 0.0)
    return Views(np.cumsum(added, axis=1), np.cumsum(quiet, axis=1), setting.begins)


def rollback_nats(ticks: Ticks, setting: Setting, tolerance_ratio: float) -> Floats:
    """ln E of the rollback after each tick."""
    return rollback_views(ticks, setting, tolerance_ratio).nats()


def promote_nats(ticks: Ticks, setting: Setting, proven_ratio: float) -> Floats:
    """ln E' of the promotion after each tick; calm ticks alone count."""
    added = gains(ticks, proven_ratio, BETTER) / setting.dispersion[:, None, None]
    return log_mean(np.cumsum(np.where(calm(ticks, setting)[..., None], added, 0.0), axis=1))


def first_rollbacks(
    ticks: Ticks, setting: Setting, tolerance_ratio: float, levels: Sequence[float]
) -> list[Whole]:
    """The tick, counted from 0, at which each run is taken back, for each α; ticks: never.

    The logarithms of sums are found only for runs that can reach a level at all.
    """
    views = rollback_views(ticks, setting, tolerance_ratio)
    least = min(math.log(1 / level) for level in levels)
    chosen: Flags = np.asarray((views.most() >= least).any(axis=1))
    runs, length = ticks.bad.shape
    found = [np.full(runs, length, dtype=np.int64) for _ in levels]
    if chosen.any():
        nats = views.rows(chosen).nats()
        for place, level in zip(found, levels, strict=True):
            place[chosen] = first(nats >= math.log(1 / level))
    return found


def bound_nats(
    ticks: Ticks, setting: Setting, bound_ratio: Floats, steps: Floats = WORSE
) -> Floats:
    """ln E against a bound of the canary's own bad fraction in each run, after each tick."""
    bad = np.cumsum(ticks.canary_failures, axis=1)[..., None]
    allowed = bound_ratio[:, None, None] * np.cumsum(ticks.canary_requests, axis=1)[..., None]
    logs = (bad * steps - allowed * np.expm1(steps)) / setting.dispersion[:, None, None]
    return log_mean(logs)


def first_promotes(ticks: Ticks, setting: Setting, preset: Preset) -> tuple[Whole, ...]:
    """The ticks at which the proof stands first, taken back before or not; ticks: never.

    That of the ratio alone, then those by either road: half of the evidence is the ratio's, half
    says that the canary fails less than the bound of each `Road`.
    """
    compared = promote_nats(ticks, setting, preset.proven_ratio)
    found = [first(compared >= preset.promote_nats)]
    for road in (Road.PERCENT, Road.USUAL):
        bound = road.bounds(setting, preset)
        alone = bound_nats(ticks, setting, bound, BETTER)
        either = np.logaddexp(compared, alone) - math.log(2)
        found.append(first(either >= preset.promote_nats))
    return tuple(found)


def dispersion(bad: Floats, requests: Floats) -> Floats:
    """φ̂ of each run from its history, (runs, minutes, pods)."""
    found = np.stack([of_blocks(bad, requests, length) for length in BLOCK_MINUTES])
    factor = np.maximum(1.0, np.where(np.isnan(found), 1.0, found).max(axis=0))
    is_unknown = (bad.sum(axis=(1, 2)) < BAD_COUNT_MIN) & (factor <= ASSUMED_FACTOR)
    return np.where(is_unknown, ASSUMED_FACTOR, factor)


def of_blocks(bad: Floats, requests: Floats, length: int) -> Floats:
    """φ_b of each run; NaN where no block has a bad request."""
    runs, steps, pods = bad.shape
    blocks = steps // length
    shape = (runs, blocks, length, pods)
    y = bad[:, : blocks * length].reshape(shape).sum(axis=2)
    q = requests[:, : blocks * length].reshape(shape).sum(axis=2)
    whole, total = y.sum(axis=2, keepdims=True), q.sum(axis=2, keepdims=True)
    expected = whole * np.divide(q, total, out=np.zeros_like(q), where=total > 0)
    terms = np.divide((y - expected) ** 2, expected, out=np.zeros_like(y), where=expected > 0)
    freedom = ((q > 0).sum(axis=2) - 1) * (whole[..., 0] > 0)
    counted = freedom.sum(axis=1)
    found: Floats = np.divide(
        terms.sum(axis=(1, 2)), counted, out=np.full(runs, np.nan), where=counted > 0
    )
    return found
