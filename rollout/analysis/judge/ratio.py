"""The main gate: how many times as often does the canary fail as the stable revision?

With p_c and p_s the true bad fractions, ρ = p_c/p_s is a *risk* ratio, never an odds ratio. Of
tick k: N = N_c + N_s requests, n = Y_c + Y_s bad ones, and w = N_c/N the share that the canary
really got. Against a null ratio ρ0 an alternative r has

    ℓ(r; ρ0) = Σ_k { Y_c·ln(r/ρ0) - n·[ ln(1 + w(r-1)) - ln(1 + w(ρ0-1)) ] }

Rollback, H0: ρ ≤ ρ0, averages over r from 1.25·ρ0 to 200·ρ0; promotion, H0: ρ ≥ ρ1, over r from
ρ1/1.1 to ρ1/20. Guarantee, exact for independent requests (φ = 1): either reaches ln(1/α) ever with
probability at most α while its H0 holds, however often it is looked at, whatever happens to
traffic, weights and the common rate of both arms. Proof: given the past, one tick's factor has mean
(1 + ρp((r/ρ0)e^{-c} - 1))^{N_c} · (1 + p(e^{-c} - 1))^{N_s} with e^{-c} = (1+w(ρ0-1))/(1+w(r-1));
1 + x ≤ e^x makes that at most 1, with a zero exponent at ρ = ρ0.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field
from functools import lru_cache

from rollout.analysis.judge.mixture import log_mean, spread

WORSE = spread(1.25, 200)
"""ln(r/ρ0) of the alternatives that mean a canary that fails oftener."""

BETTER = tuple(-one for one in spread(1.1, 20))
"""ln(r/ρ1) of the alternatives that mean a canary that is proved to fail less often."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What one tick had of both arms.

    Attributes:
        canary_requests: N_c, at least 0.
        stable_requests: N_s, at least 0.
        canary_failures: Y_c, bad ones among them.
        stable_failures: Y_s.
    """

    canary_requests: int
    stable_requests: int
    canary_failures: int
    stable_failures: int

    @property
    def requests(self) -> int:
        """N."""
        return self.canary_requests + self.stable_requests

    @property
    def bad(self) -> int:
        """Small n: bad requests of both arms."""
        return self.canary_failures + self.stable_failures


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioEvidence:
    """What ticks have said against a ratio, per alternative; immutable.

    Attributes:
        null_ratio: ρ0 or ρ1, above 0.
        steps: ln(r/null) of each alternative.
        logs: ℓ(r; null) of each.
    """

    null_ratio: float
    steps: tuple[float, ...]
    logs: tuple[float, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.logs:
            object.__setattr__(self, "logs", (0.0,) * len(self.steps))

    def with_tick(self, tick: Counts) -> RatioEvidence:
        """The evidence with one more tick; a tick without bad requests says nothing.

        Splitting ticks over any number of calls gives bit-equal results.
        """
        return self.plus(self.increments(tick))

    def increments(self, tick: Counts) -> tuple[float, ...]:
        """What a tick adds to each alternative, whatever was there before; empty: nothing."""
        bad = tick.bad
        if not bad or not tick.requests:
            return ()
        share, failures = tick.canary_requests / tick.requests, tick.canary_failures
        null = math.log1p(share * (self.null_ratio - 1))
        return tuple(
            failures * step - bad * (math.log1p(share * beyond) - null)
            for step, beyond in zip(self.steps, _beyond(self.null_ratio, self.steps), strict=True)
        )

    def plus(self, increments: tuple[float, ...]) -> RatioEvidence:
        """The evidence with `increments` of its own kind."""
        if not increments:
            return self
        logs = tuple(map(operator.add, self.logs, increments))
        return RatioEvidence(null_ratio=self.null_ratio, steps=self.steps, logs=logs)

    def log_evidence(self, *, dispersion: float = 1.0) -> float:
        """Logarithm of E, see `mixture.log_mean`; 0 before the first bad request."""
        if not any(self.logs):
            return 0.0
        return log_mean(self.logs, dispersion=dispersion)


@lru_cache(maxsize=64)
def _beyond(null_ratio: float, steps: tuple[float, ...]) -> tuple[float, ...]:
    """What each alternative has beyond 1."""
    return tuple(null_ratio * math.exp(step) - 1 for step in steps)


def against_tolerance(ratio: float) -> RatioEvidence:
    """Evidence for a rollback: that the canary fails more than ``ratio`` times as often."""
    return RatioEvidence(null_ratio=ratio, steps=WORSE)


def for_proof(ratio: float) -> RatioEvidence:
    """Evidence for a promotion: that the canary fails less than ``ratio`` times as often."""
    return RatioEvidence(null_ratio=ratio, steps=BETTER)


def is_calm(requests: int, bad: int, *, reference_ratio: float, dispersion: float = 1.0) -> bool:
    """Whether a time has about as few bad requests as the hours before the run had.

    n ≤ 3·N·p_ref + 3·φ. A dependency that fails adds the *same number* of bad requests to both
    arms and drags their ratio to 1, which looks like a proof that the canary is well: such times
    prove nothing. Selecting on the pooled total is harmless given the totals while bad requests are
    rare (approximate); selecting on the stable arm's alone would be biased.

    Args:
        requests: N, of both revisions.
        bad: n, bad ones among them.
        reference_ratio: p_ref, the stable revision's bad fraction, from before the tick.
        dispersion: φ ≥ 1.
    """
    return bad <= 3 * requests * reference_ratio + 3 * dispersion
