"""What a release will take: seconds until a regression is found, and until a proof stands.

R are requests a second, w the canary's share, p the stable revision's bad fraction, φ the
dispersion. Approximate all of them; each says how far it is off.
"""

from __future__ import annotations

import math

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
    """How long until a canary that fails ``ratio`` times as often is found with 90 % power.

    b = φ(ln(1/α) + c), l = ln(r/ρ0), d = ln(1+w(r-1)) - ln(1+w(ρ0-1)),
    μ = r·l - (r + (1-w)/w)·d, s² = φ·[r(l-d)² + ((1-w)/w)·d²],
    √n_b = (z·s + √(z²s² + 4μb))/(2μ), and n_b/(R·w·p) seconds. Domain: ratio > tolerance.
    """
    wanted = dispersion * (math.log(1 / false_rollback) + mixture_cost_nats)
    rest = (1 - share) / share
    gain = math.log(ratio / tolerance)
    cost = math.log1p(share * (ratio - 1)) - math.log1p(share * (tolerance - 1))
    drift = ratio * gain - (ratio + rest) * cost
    spread = math.sqrt(dispersion * (ratio * (gain - cost) ** 2 + rest * cost**2))
    reach = POWER_90_DEVIATIONS * spread
    root = (reach + math.sqrt(reach**2 + 4 * drift * wanted)) / (2 * drift)
    return root**2 / (requests_per_second * share * bad_fraction)


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
