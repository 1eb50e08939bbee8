"""A twin of the product's gate for many runs at once; tests tie both together.

Nothing of `rollout.analysis.judge` is imported here: the formulas are written a second time, so
that a slip in one of them shows as a difference.
"""

from __future__ import annotations

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
"""Bad requests below which a canary is fine by itself where none of stable's is known."""

FINE_RATIO_MAX = 0.99
CALM_TICKS = 4
"""So many up to a tick must be calm together, besides the tick by itself."""

OFFSET_FACTOR = 3.0
"""How many times the evidence is asked for where pods are scraped at offsets of their own."""

OFFSET_TICKS = 4
"""So many ticks are one there, which counts when it is over."""

BLOCK_MINUTES = (1, 5, 10, 20)
ASSUMED_FACTOR = 2.0
"""φ where fewer than `BAD_COUNT_MIN` bad requests in the hours before tell nothing else."""

BAD_COUNT_MIN = 10


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
    """

    name: str
    tempered: bool
    tolerance_ratio: float
    false_rollback_ratio: float
    proven_ratio: float = 2.0
    false_promote_ratio: float = 0.05

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
        spotless: runs of which no bad request is known from before; None: nothing is known.
    """

    dispersion: Floats
    reference: Floats | None
    begins: tuple[int, ...] = (0,)
    spotless: Flags | None = None

    def rows(self, chosen: Flags | Whole) -> Setting:
        """Some of the runs."""
        reference = None if self.reference is None else self.reference[chosen]
        spotless = None if self.spotless is None else self.spotless[chosen]
        return Setting(self.dispersion[chosen], reference, self.begins, spotless)


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


def is_calm(requests: Floats, bad: Floats, usual: Floats, dispersion: Floats) -> Flags:
    """Whether times have about as few bad requests as is usual."""
    found: Flags = bad <= 3 * requests * usual + 3 * dispersion
    return found


def calm(ticks: Ticks, setting: Setting) -> Flags:
    """Ticks with about as few bad requests as before the run, and so the last few together."""
    if setting.reference is None:
        return _calm_by_itself(ticks, setting)[0]
    found = np.ones(ticks.bad.shape, dtype=np.bool_)
    usual, phi = setting.reference[:, None], setting.dispersion[:, None]
    for length in (1, CALM_TICKS):
        found &= is_calm(lately(ticks.requests, length), lately(ticks.bad, length), usual, phi)
    return found


def _calm_by_itself(ticks: Ticks, setting: Setting) -> tuple[Flags, Floats]:
    """What the stable arm had in the run's calm ticks stands in for the hours before.

    Returns:
        Which ticks are calm, and stable's usual bad fraction after each.
    """
    found, usual = np.zeros(ticks.bad.shape, dtype=np.bool_), np.zeros(ticks.bad.shape)
    requests, bad = np.zeros(ticks.bad.shape[0]), np.zeros(ticks.bad.shape[0])
    minutes = lately(ticks.requests, CALM_TICKS), lately(ticks.bad, CALM_TICKS)
    for tick in range(ticks.bad.shape[1]):
        before = (bad + 1) / (requests + 1)
        found[:, tick] = np.logical_and(
            is_calm(ticks.requests[:, tick], ticks.bad[:, tick], before, setting.dispersion),
            is_calm(minutes[0][:, tick], minutes[1][:, tick], before, setting.dispersion),
        )
        requests += np.where(found[:, tick], ticks.stable_requests[:, tick], 0.0)
        bad += np.where(found[:, tick], ticks.stable_failures[:, tick], 0.0)
        usual[:, tick] = (bad + 1) / (requests + 1)
    return found, usual


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


def compared_nats(ticks: Ticks, setting: Setting, proven_ratio: float) -> Floats:
    """ln E' of the ratio after each tick; calm ticks alone count."""
    added = gains(ticks, proven_ratio, BETTER) / setting.dispersion[:, None, None]
    return log_mean(np.cumsum(np.where(calm(ticks, setting)[..., None], added, 0.0), axis=1))


def fine_ratios(ticks: Ticks, setting: Setting, proven_ratio: float) -> Floats:
    """The bound below which each run's canary is fine by itself, after each tick."""
    if setting.reference is None:
        usual = _calm_by_itself(ticks, setting)[1]
    else:
        usual = np.broadcast_to(setting.reference[:, None], ticks.bad.shape)
    return fine_ratio(usual, setting, np.cumsum(ticks.stable_failures, axis=1), proven_ratio)


def fine_ratio(usual: Floats, setting: Setting, stable_bad: Floats, proven_ratio: float) -> Floats:
    """ρ1 times what is usual; `FINE_RATIO` where no bad request of stable's is known at all."""
    bound = np.minimum(FINE_RATIO_MAX, proven_ratio * usual)
    if setting.reference is not None:
        spotless = setting.spotless
        if spotless is None:
            return bound
        return np.where(spotless[:, None] & (stable_bad == 0), FINE_RATIO, bound)
    return np.where(stable_bad == 0, FINE_RATIO, bound)


def promote_nats(ticks: Ticks, setting: Setting, proven_ratio: float) -> Floats:
    """ln E' of the promotion: half of it is the ratio's, half that of the canary by itself."""
    bounds = fine_ratios(ticks, setting, proven_ratio)
    alone = bound_nats(ticks, setting, bounds, BETTER)
    either: Floats = np.logaddexp(compared_nats(ticks, setting, proven_ratio), alone) - math.log(2)
    return either


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
    """ln E against a bound of the canary's own bad fraction, (runs, ticks), after each tick."""
    bad = np.cumsum(ticks.canary_failures, axis=1)[..., None]
    allowed = (bound_ratio * np.cumsum(ticks.canary_requests, axis=1))[..., None]
    logs = (bad * steps - allowed * np.expm1(steps)) / setting.dispersion[:, None, None]
    return log_mean(logs)


def first_promotes(ticks: Ticks, setting: Setting, preset: Preset) -> Whole:
    """The ticks at which the proof stands first, taken back before or not; ticks: never."""
    return first(promote_nats(ticks, setting, preset.proven_ratio) >= preset.promote_nats)


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
