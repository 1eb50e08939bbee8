"""What a release will take: seconds until a regression is found, and until a proof stands.

R are requests a second, w the canary's share, p the stable revision's bad fraction, φ the
dispersion. Approximate all of them; each says how far it is off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rollout.analysis.judge.ratio import BETTER

POWER_90_DEVIATIONS = 1.2815515655446004
"""z of a power of 90 %."""

MIXTURE_COST_NATS = 1.0
"""c: what the grid of alternatives costs, in nats. 1 for plans (0.94 to 1.30 of simulated 90th
percentiles at shares up to 10 %), 2.3 as an upper estimate."""


def proof_speed(proven_ratio: float, *, share: float) -> float:
    """Evidence for a promotion per bad canary request that the stable rate predicts.

    μ_p(w) = ln(1 + w(ρ1-1))/w - ln ρ1. Domain: ρ1 > 1, 0 < w ≤ 1.
    """
    return math.log1p(share * (proven_ratio - 1)) / share - math.log(proven_ratio)


def efficiency(ratio: float, *, share: float) -> float:
    """What a share leaves of the evidence per failure, 1 as w → 0.

    η(w, r) = [w·r·ln r - (w·r + 1 - w)·ln(1 + w(r-1))]/(w·(r·ln r - r + 1)). Domain: r > 1,
    0 < w < 1.
    """
    kept = share * ratio * math.log(ratio)
    lost = (share * ratio + 1 - share) * math.log1p(share * (ratio - 1))
    return (kept - lost) / (share * (ratio * math.log(ratio) - ratio + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunt:
    """What a regression is looked for with.

    Attributes:
        requests_per_second: R, of both revisions together.
        share: w, the canary's, above 0 and at most 1.
        bad_ratio: p, the bad fraction that the canary is compared with: the stable revision's, or
            where it is ``alone`` a bound of its own.
        tolerance_ratio: ρ0, at least 1.
        false_rollback_ratio: α.
        dispersion_factor: φ.
        cost_nats: c.
        alone: against a bound there is no other arm whose chance would blur it: w → 0 in μ and s².
    """

    requests_per_second: float
    share: float
    bad_ratio: float
    tolerance_ratio: float = 1.0
    false_rollback_ratio: float = 0.01
    dispersion_factor: float = 1.0
    cost_nats: float = MIXTURE_COST_NATS
    alone: bool = False

    def dwell_seconds(self, ratio: float) -> float:
        """How long until a canary that fails ``ratio`` times as often is found with 90 % power.

        b = φ(ln(1/α) + c), l = ln(r/ρ0), d = ln(1+w(r-1)) - ln(1+w(ρ0-1)),
        μ = r·l - (r + (1-w)/w)·d, s² = φ·[r(l-d)² + ((1-w)/w)·d²],
        √n_b = (z·s + √(z²s² + 4μb))/(2μ), and n_b/(R·w·p) seconds. Infinite within the tolerance.
        """
        drift, variance = self._moments(ratio)
        if drift <= 0:
            return math.inf
        reach = POWER_90_DEVIATIONS * math.sqrt(variance)
        root = (reach + math.sqrt(reach**2 + 4 * drift * self._wanted_nats)) / (2 * drift)
        return root**2 / self._rate

    def mean_seconds(self, ratio: float) -> float:
        """How long until it is found, on average: b/μ/(R·w·p). Infinite within the tolerance."""
        drift, _ = self._moments(ratio)
        return self._wanted_nats / drift / self._rate if drift > 0 else math.inf

    @property
    def _wanted_nats(self) -> float:
        return self.dispersion_factor * (math.log(1 / self.false_rollback_ratio) + self.cost_nats)

    @property
    def _rate(self) -> float:
        return self.requests_per_second * self.share * self.bad_ratio

    def _moments(self, ratio: float) -> tuple[float, float]:
        """Drift and variance of the evidence per bad canary request that p predicts."""
        w, null, phi = self.share, self.tolerance_ratio, self.dispersion_factor
        if ratio <= null:
            return 0.0, 0.0
        gain = math.log(ratio / null)
        if self.alone:
            return ratio * gain - (ratio - null), phi * ratio * gain**2
        rest = (1 - w) / w
        cost = math.log1p(w * (ratio - 1)) - math.log1p(w * (null - 1))
        drift = ratio * gain - (ratio + rest) * cost
        return drift, phi * (ratio * (gain - cost) ** 2 + rest * cost**2)


def dwell_seconds(
    ratio: float,
    *,
    requests_per_second: float,
    share: float,
    bad_fraction: float,
    tolerance: float = 1.0,
    false_rollback: float = 0.01,
    dispersion: float = 1.0,
    mixture_cost_nats: float = MIXTURE_COST_NATS,
) -> float:
    """How long until a regression is found with 90 % power beside stable, see `Hunt`."""
    hunt = Hunt(
        requests_per_second=requests_per_second,
        share=share,
        bad_ratio=bad_fraction,
        tolerance_ratio=tolerance,
        false_rollback_ratio=false_rollback,
        dispersion_factor=dispersion,
        cost_nats=mixture_cost_nats,
    )
    return hunt.dwell_seconds(ratio)


def proof_seconds(
    *,
    proven_ratio: float,
    false_promote: float,
    log_evidence: float = 0.0,
    requests_per_second: float,
    share: float,
    bad_fraction: float,
    dispersion: float = 1.0,
) -> float | None:
    """How much longer a healthy canary needs to its proof: φ·max(0, ln(1/α') - ln E')/(R·w·p·μ_p).

    None where there is no traffic, no share or nothing bad to count. At the start within -14 to
    +7 % of simulated medians.
    """
    rate = requests_per_second * share * bad_fraction
    if rate <= 0:
        return None
    missing = max(0.0, math.log(1 / false_promote) - log_evidence)
    return dispersion * missing / (rate * proof_speed(proven_ratio, share=share))


def proof_alone_seconds(
    *,
    bound_ratio: float,
    false_promote: float,
    requests_per_second: float,
    share: float,
    bad_fraction: float,
    dispersion: float = 1.0,
) -> float | None:
    """How long a canary needs to prove that it stays below a bound p0 of its own.

    φ·ln(1/α')/(R·w·g) where g is what a request brings at p: the largest p·ln x + p0·(1 - x) over
    the factors x from 1/20 to 1/1.1 of `absolute.log_evidence_below`; without bad requests near p0.
    None where there is no traffic, no share, or p is too near to p0. Approximate: the mean.
    """
    gain = max(bad_fraction * step - bound_ratio * math.expm1(step) for step in BETTER)
    rate = requests_per_second * share * gain
    return dispersion * math.log(1 / false_promote) / rate if rate > 0 else None
