"""Which shares of requests a weight explains: the band that holds 99.99 % of all samples.

Each proxy draws a destination for each request by itself, so the requests of one weight are
binomially distributed; for many of them the band is 3.89 standard deviations on either side.
"""

from __future__ import annotations

import math

TAIL_RATIO = 0.00005
"""What is left out on either side: a weight that is in force is doubted once in 10,000 looks."""

_NOTHING_RATIO = 1e-15
"""A term so much smaller than the sum adds nothing to it, nor do those beyond it."""


def is_plausible(count: int, *, of_count: int, percent: float) -> bool:
    """Whether so many of the requests are no surprise at a weight of so many percent.

    Exact: the tail on the count's own side of the middle is added up, term by term.
    """
    share = percent / 100
    if share <= 0 or share >= 1:
        return count == (of_count if share >= 1 else 0)
    if count > of_count * share:
        count, share = of_count - count, 1 - share
    log_ways = (
        math.lgamma(of_count + 1) - math.lgamma(count + 1) - math.lgamma(of_count - count + 1)
    )
    term = math.exp(log_ways + count * math.log(share) + (of_count - count) * math.log1p(-share))
    tail = term
    while count > 0 and term > tail * _NOTHING_RATIO and tail <= TAIL_RATIO:
        term *= count / (of_count - count + 1) * (1 - share) / share
        tail += term
        count -= 1
    return tail > TAIL_RATIO
