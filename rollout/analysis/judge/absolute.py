"""The canary against a bound of its own: at most so many of its requests may be bad.

p0 is the bound as a fraction above 0 and below 1, N and Y the canary's requests and bad ones, and
M = p0·ΣN those that the bound allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from rollout.analysis.judge.mixture import log_beta, log_mean
from rollout.analysis.judge.ratio import BETTER, WORSE

_BISECTIONS_COUNT = 200
"""More halvings than a float between 0 and 1 has digits."""


def log_evidence_above(*, requests: int, bad: int, bound: float, dispersion: float = 1.0) -> float:
    """Log E against H0: the canary's bad fraction never exceeds the bound.

    Average over r of exp(Y·ln r - M(r-1)), r from 1.25 to 200. Exact for independent requests at
    any fractions up to the bound, drifting ones too, since 1 + p(r-1) ≤ e^{p(r-1)}.
    """
    return _grid(WORSE, requests=requests, bad=bad, bound=bound, dispersion=dispersion)


def log_evidence_below(*, requests: int, bad: int, bound: float, dispersion: float = 1.0) -> float:
    """Log E against H0: the canary's bad fraction never falls below the bound.

    As above with r from 1/1.1 to 1/20; exact likewise.
    """
    return _grid(BETTER, requests=requests, bad=bad, bound=bound, dispersion=dispersion)


def _grid(
    steps: tuple[float, ...], *, requests: int, bad: int, bound: float, dispersion: float
) -> float:
    allowed = bound * requests
    logs = tuple(bad * step - allowed * math.expm1(step) for step in steps)
    return log_mean(logs, dispersion=dispersion)


def log_evidence_unequal(*, bad: int, allowed: float, shape: float = 1, rate: float = 1) -> float:
    """Log E against H0: the bad requests are Poisson with exactly ``allowed`` as their mean.

    Gamma(a, b) mixture: a·ln b + lnΓ(a+Y) + M - lnΓ(a) - (a+Y)·ln(b+M). Two-sided, so it is to show
    and not to gate: it is not valid for rates below the bound.
    """
    a, b = shape, rate
    return (
        a * math.log(b)
        + math.lgamma(a + bad)
        + allowed
        - math.lgamma(a)
        - (a + bad) * math.log(b + allowed)
    )


def limits(
    *, requests: float, bad: float, miss_ratio: float, best_at: int | None = None
) -> tuple[float, float]:
    """A confidence sequence for a constant bad fraction: the fractions that are not refuted.

    All p with lnB(a+S, b+n-S) - lnB(a, b) - S·ln p - (n-S)·ln(1-p) < ln(1/α), found by halving on
    either side of S/n; a = b = ½, or with ``best_at`` the prior of p itself that makes the sequence
    narrowest near so many requests: a = kp, b = k(1-p), k = max(``best_at``/K - 1, 0.001) with
    K = 2·ln(1/α) + ln(1 + 2·ln(1/α)). Exact for a constant fraction, approximate under drift. No
    bad request has the lower limit 0, only bad ones the upper limit 1, no request at all [0, 1].
    """
    if not requests:
        return 0.0, 1.0
    good = requests - bad
    weight = None if best_at is None else _prior_weight(best_at, miss_ratio)

    def is_possible(p: float) -> bool:
        a, b = (0.5, 0.5) if weight is None else (weight * p, weight * (1 - p))
        mixed = log_beta(a + bad, b + good) - log_beta(a, b)
        seen = (bad * math.log(p) if bad else 0.0) + (good * math.log1p(-p) if good else 0.0)
        return mixed - seen < -math.log(miss_ratio)

    middle = bad / requests
    low = 0.0 if not bad else _edge(0.0, middle, is_possible)
    high = 1.0 if not good else _edge(1.0, middle, is_possible)
    return low, high


def _prior_weight(best_at: int, miss_ratio: float) -> float:
    twice = 2 * math.log(1 / miss_ratio)
    return max(best_at / (twice + math.log1p(twice)) - 1, 0.001)


def _edge(outside: float, inside: float, is_possible: Callable[[float], bool]) -> float:
    for _ in range(_BISECTIONS_COUNT):
        middle = (outside + inside) / 2
        if middle in {outside, inside}:
            break
        if is_possible(middle):
            inside = middle
        else:
            outside = middle
    return inside
