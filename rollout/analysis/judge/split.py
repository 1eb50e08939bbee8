"""Does the mesh send what was asked? It holds a run and blames no canary."""

from __future__ import annotations

import math

from rollout.analysis.judge.mixture import log_beta

PRIOR_WEIGHT = 100.0
"""k: how near to the weight the alternatives lie; larger finds smaller differences, later."""


def log_evidence(
    canary: int, stable: int, *, share: float, prior_weight: float = PRIOR_WEIGHT
) -> float:
    """Log E against H0: each request went to the canary with probability ``share`` (0 to 1, open).

    Beta mixture, two-sided: lnB(kw+N_c, k(1-w)+N_s) - lnB(kw, k(1-w)) - N_c·ln w - N_s·ln(1-w).
    Exact for a constant share (Lindon and Malek, arXiv 2011.03567).
    """
    a, b = prior_weight * share, prior_weight * (1 - share)
    return (
        log_beta(a + canary, b + stable)
        - log_beta(a, b)
        - canary * math.log(share)
        - stable * math.log1p(-share)
    )
