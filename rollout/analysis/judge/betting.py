"""Is a bounded number larger than it may be? For a user's query, which has no counts behind it.

Blocks x_k in [0, 1], at least as long as the query's own memory; H0: their mean is at most m. A
better who bets on "larger" before each block has, after it,

    log E += ln(1 + λ_k·(x_k - m)),    λ_k = clip((μ̂-m)/(σ̂² + (μ̂-m)²), 0, ½/m)

with mean μ̂ and variance σ̂² of the blocks before, and of one pseudo-block of mean ½ and variance ¼
(Waudby-Smith and Ramdas, arXiv 2010.09686). For canary minus stable, both in [0, 1], bet on
(d + 1)/2 against m = ½; to show that a number is *smaller*, bet on 1 - x against 1 - m.

Guarantee, exact: P(log E ever reaches ln(1/α)) ≤ α while each block's mean, given those before, is
at most m. Blocks shorter than the query's memory break it. Simulated at α = 0.05: 0.07 to 1.7 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

PRIOR_MEAN_RATIO = 0.5
PRIOR_VARIANCE_RATIO = 0.25
"""Of the pseudo-block that stands for the first bet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bets:
    """What blocks have said so far; immutable.

    Attributes:
        limit_ratio: m, above 0 and below 1.
        evidence_nats: ln E.
        blocks_count: blocks so far.
        total: their sum.
        squares: the sum of their squared distances from the mean known after each.
    """

    limit_ratio: float
    evidence_nats: float = 0.0
    blocks_count: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def stake(self) -> float:
        """λ of the next block, known before it; never so large that one block can take all."""
        count = self.blocks_count + 1
        lead = (PRIOR_MEAN_RATIO + self.total) / count - self.limit_ratio
        variance = (PRIOR_VARIANCE_RATIO + self.squares) / count
        if lead <= 0:
            return 0.0
        return min(lead / (variance + lead**2), 0.5 / self.limit_ratio)

    def with_block(self, value: float) -> Bets:
        """The bets after one more block; a value outside of [0, 1] counts as the nearer end."""
        value = min(1.0, max(0.0, value))
        total, count = self.total + value, self.blocks_count + 1
        mean = (PRIOR_MEAN_RATIO + total) / (count + 1)
        return replace(
            self,
            evidence_nats=self.evidence_nats + math.log1p(self.stake * (value - self.limit_ratio)),
            blocks_count=count,
            total=total,
            squares=self.squares + (value - mean) ** 2,
        )


def on_difference() -> Bets:
    """Bets that a number in [0, 1] is larger for the canary than for the stable revision."""
    return Bets(limit_ratio=0.5)


def difference(canary: float, stable: float) -> float:
    """The block for `on_difference`: (d + 1)/2."""
    return (canary - stable + 1) / 2
