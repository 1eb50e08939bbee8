"""Dividing weights: whole numbers, exact shares.

The pair of stable and canary shares what the pair had; all other weights of a route stay. With a
pair weight ``P`` and a canary percent ``p`` the canary gets ``P * p / 100``. When that is no whole
number, every weight of the route is multiplied by the smallest factor that makes it one: the
factor is the denominator of ``P * p / 100`` in lowest terms. Multiplying all weights changes no
share, so nobody else notices. Totals are kept when the factor is 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

TOTAL_MAX = 1_000_000
"""Largest total that a factor may lead to: a ten-thousandth of a percent, and far below the int32
in which Istio adds weights up. A total that people wrote themselves may be larger."""

EMPTY_TOTAL = 100
"""Total for a route in which nobody has a weight: there is no share and no habit to keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How a pair divides its weight.

    Attributes:
        stable: weight of the stable subset, after the factor.
        canary: weight of the canary subset, after the factor.
        factor: what every weight of the route is multiplied with, 1 when the total is fine enough.
    """

    stable: int
    canary: int
    factor: int


def share(total: int, percent: Decimal) -> Split:
    """Divide a pair's weight exactly; ``percent`` is the canary's, from 0 to 100.

    The total comes back multiplied by the factor, and not capped: that depends on the whole route.
    """
    assert total >= 0
    assert 0 <= percent <= 100
    canary = total * Fraction(percent) / 100
    factor = canary.denominator
    return Split(stable=total * factor - canary.numerator, canary=canary.numerator, factor=factor)


def spread(whole: int, parts: Sequence[int]) -> tuple[int, ...]:
    """Divide a weight in proportion to earlier ones, in whole numbers that sum to it exactly.

    Largest remainders get what is left over, earlier ones first.
    """
    exact = _proportional(Fraction(whole), parts)
    found = [math.floor(part) for part in exact]
    by_remainder = sorted(range(len(parts)), key=lambda at: found[at] - exact[at])
    for at in by_remainder[: whole - sum(found)]:
        found[at] += 1
    return tuple(found)


def reweigh(
    weights: Sequence[int], *, stable: Sequence[int], canary: Sequence[int], percent: Decimal
) -> tuple[int, ...] | None:
    """New weights of a whole route, of which ``stable`` and ``canary`` are the places of the pair.

    Several places of one subset keep their proportions exactly if a total up to `TOTAL_MAX` can
    express that, and to the nearest whole number if not; places without any weight get equal parts.
    The pair must have a weight, unless nobody has. None when no total up to `TOTAL_MAX` can express
    the percent.
    """
    total = sum(weights)
    pair = sum(weights[at] for at in (*stable, *canary)) if total else EMPTY_TOTAL
    assert stable
    assert canary
    assert pair > 0
    split = share(pair, percent)
    groups = ((stable, split.stable), (canary, split.canary))
    exact = [Fraction(weight) for weight in weights]
    coarse = [weight * split.factor for weight in weights]
    for places, weight in groups:
        parts = [weights[at] for at in places]
        fine = _proportional(Fraction(weight, split.factor), parts)
        for at, part, whole in zip(places, fine, spread(weight, parts), strict=True):
            exact[at], coarse[at] = part, whole
    finest = math.lcm(*(part.denominator for part in exact))
    if _fits(total or pair, finest):
        return tuple(int(part * finest) for part in exact)
    return tuple(coarse) if _fits(total or pair, split.factor) else None


def _fits(total: int, factor: int) -> bool:
    return factor == 1 or total * factor <= TOTAL_MAX


def _proportional(whole: Fraction, parts: Sequence[int]) -> list[Fraction]:
    old = sum(parts)
    return [whole * part / old if old else whole / len(parts) for part in parts]
