"""Wilson's interval: how far a share that was counted may be from the true one."""

from __future__ import annotations

import math

TWO_SIDED_95_DEVIATIONS = 1.959963984540054
UPPER_99_DEVIATIONS = 2.3263478740408408


def interval(
    hits: int, trials: int, *, deviations: float = TWO_SIDED_95_DEVIATIONS
) -> tuple[float, float]:
    """Lower and upper limit of a share; [0, 1] without trials."""
    if not trials:
        return 0.0, 1.0
    share, square = hits / trials, deviations**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    spread = share * (1 - share) / trials + square / (4 * trials**2)
    reach = deviations * math.sqrt(spread) / (1 + square / trials)
    low = 0.0 if not hits else max(0.0, middle - reach)
    high = 1.0 if hits == trials else min(1.0, middle + reach)
    return low, high


def upper_99(hits: int, trials: int) -> float:
    """The one-sided upper limit of a share at 99 %."""
    return interval(hits, trials, deviations=UPPER_99_DEVIATIONS)[1]
