"""Evidence as e-values: averages over a grid of alternatives, kept as logarithms.

An e-value is a number that nobody can make large on average while the hypothesis holds, whatever
the looks, stops and restarts (Ville's inequality: it ever reaches 1/α with probability at most α).
One tick of a total outage at 1,000 requests a second multiplies it by e^2142, so only logarithms
are ever kept, added and compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

ALTERNATIVES_COUNT = 24
"""Alternatives in a grid: each costs at most ln 24, and between two of them little is lost."""


def spread(low: float, high: float) -> tuple[float, ...]:
    """Natural logarithms of `ALTERNATIVES_COUNT` factors from ``low`` to ``high``, evenly apart.

    Domain: both factors are positive. Either may be the larger one.
    """
    first, last = math.log(low), math.log(high)
    gap = (last - first) / (ALTERNATIVES_COUNT - 1)
    return tuple(first + gap * place for place in range(ALTERNATIVES_COUNT))


def log_sum(logs: Iterable[float]) -> float:
    """Logarithm of Σ exp(x), without leaving the logarithms; minus infinity for nothing."""
    found = tuple(logs)
    top = max(found, default=-math.inf)
    if math.isinf(top):
        return top
    return top + math.log(math.fsum(math.exp(one - top) for one in found))


def log_mean(logs: Sequence[float], *, dispersion: float = 1.0) -> float:
    """Logarithm of the average of exp(x/φ) over a grid.

    E-values averaged are an e-value (exact for φ = 1). Each exponent is divided by the dispersion
    φ ≥ 1 *before* it is averaged. That is exact where bad requests come in clusters of at most φ
    that land on one arm (Jensen), else approximate.
    """
    return log_sum(one / dispersion for one in logs) - math.log(len(logs))


def log_mix(parts: Iterable[tuple[float, float]]) -> float:
    """Logarithm of Σ v·E over pairs (weight v, ln E).

    An e-value if the weights were fixed at the start and sum to at most 1, under any dependence of
    the parts (exact).
    """
    return log_sum(math.log(weight) + log_e for weight, log_e in parts if weight > 0)


def log_beta(a: float, b: float) -> float:
    """Logarithm of the Beta function, for mixtures over a fraction. Domain: both are positive."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
