"""The interval of ratios that the counts leave possible, valid at any time.

A(ρ) = Σ_k { Y_c·ln ρ - n·ln(1 + w(ρ-1)) } is kept on a fixed lattice ρ = 2^(i/8), i = -48 … 80,
since ℓ(r; ρ0) = A(r) - A(ρ0). The lower limit is the largest ρ0 of the lattice that is refuted at
level α/2 by the average over r = ρ0·2^(j/8), j = 3, 5 … 61; the upper one the smallest ρ1 refuted
by that over r = ρ1·2^(-j/8), j = 2, 4 … 34. Both averages are monotone in their null. Alternatives
off the lattice count as 0 and stay in the divisor, which is conservative. Simulated, an interval of
95 % ever misses the truth in 0.5 to 3.5 % of releases.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, replace

from rollout.analysis.judge.mixture import log_sum
from rollout.analysis.judge.ratio import Counts

LATTICE = tuple(2 ** (i / 8) for i in range(-48, 81))
"""Ratios from 1/64 to 1,024, eight to a doubling."""

_LOGS = tuple(i / 8 * math.log(2) for i in range(-48, 81))
_ABOVE = range(3, 62, 2)
_BELOW = range(2, 35, 2)


@dataclass(frozen=True, slots=True)
class Lattice:
    """What ticks have said of each ratio of the lattice; immutable.

    Attributes:
        logs: A(ρ), in the order of `LATTICE`.
    """

    logs: tuple[float, ...] = (0.0,) * len(LATTICE)

    def with_tick(self, tick: Counts) -> Lattice:
        """The lattice with one more tick; one without bad requests says nothing."""
        if not tick.requests or not tick.bad:
            return self
        share = tick.canary_requests / tick.requests
        logs = tuple(
            known + tick.canary_failures * log_ratio - tick.bad * math.log1p(share * (ratio - 1))
            for known, log_ratio, ratio in zip(self.logs, _LOGS, LATTICE, strict=True)
        )
        return replace(self, logs=logs)

    def interval(self, *, miss_ratio: float = 0.05, dispersion: float = 1.0) -> Interval:
        """The ratios that are not refuted, half of ``miss_ratio`` (0 to 1) on either side."""
        needed = math.log(2 / miss_ratio)
        places = range(len(LATTICE))
        # Both averages are monotone in their null: what is refuted lies at the two ends.
        low = bisect_left(
            places, x=True, key=lambda i: self._refutes(i, _ABOVE, 1, dispersion) < needed
        )
        high = bisect_left(
            places, x=True, key=lambda i: self._refutes(i, _BELOW, -1, dispersion) >= needed
        )
        return Interval(
            low_ratio=LATTICE[low - 1] if low > 0 else 0.0,
            high_ratio=LATTICE[high] if high < len(LATTICE) else math.inf,
        )

    def likeliest(self) -> float:
        """The ratio of the lattice that explains the ticks best, whatever the weights were.

        Sums over a run would mix ticks of little weight with others: an ill minute in which the
        canary had much traffic looks like an ill canary.
        """
        return LATTICE[max(range(len(LATTICE)), key=self.logs.__getitem__)]

    def _refutes(self, null: int, gaps: range, direction: int, dispersion: float) -> float:
        """Logarithm of E against the ratio at a place of the lattice."""
        places = (null + direction * gap for gap in gaps)
        logs = (
            (self.logs[place] - self.logs[null]) / dispersion
            for place in places
            if 0 <= place < len(LATTICE)
        )
        return log_sum(logs) - math.log(len(gaps))


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Ratios that are possible; ``high_ratio`` may be infinite, ``low_ratio`` 0."""

    low_ratio: float
    high_ratio: float
