"""How a ramp grows if everything goes as expected: foretold by its own formula, tick by tick."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rollout.analysis.judge import ramp as ramps
from rollout.api.step import Ramp
from rollout.engine.prospects import SCRAPE_SECONDS, Piece
from rollout.engine.ramping import FIRST_PERCENT_MIN, REACTION_SECONDS_MIN, REACTION_TICKS

TICKS_MAX = 2_000
"""More than 8 hours of ticks are not looked ahead: then the ramp is taken never to end."""


def pieces(
    ramp: Ramp,
    *,
    requests_per_second: float,
    bad_ratio: float,
    usual_ratio: float,
    miss_ratio: float,
    dispersion_factor: float,
) -> tuple[Piece, ...]:
    """What the canary has until it has the ramp's maximum, which is not among them.

    Counts are their means; a piece lasts a tick, and one that would last for ever is the last.

    Args:
        ramp: the ramp.
        requests_per_second: of both revisions, above 0.
        bad_ratio: the fraction of the canary's requests that is bad.
        usual_ratio: likewise of stable's.
        miss_ratio: α.
        dispersion_factor: φ.
    """
    reaction = max(REACTION_SECONDS_MIN, REACTION_TICKS * SCRAPE_SECONDS) * requests_per_second
    top = ramp.max_weight / 100
    share = ramps.allowed_ratio(
        budget_requests=ramp.risk_budget_requests, reaction_requests=reaction
    )
    share = max(share, FIRST_PERCENT_MIN / 100)
    found: list[Piece] = []
    canary = stable = 0.0
    while share < top and len(found) < TICKS_MAX:
        found.append(Piece(share=share, seconds=SCRAPE_SECONDS))
        requests = requests_per_second * SCRAPE_SECONDS
        canary, stable = canary + share * requests, stable + (1 - share) * requests
        seen = _seen(canary, stable, bad_ratio=bad_ratio, usual_ratio=usual_ratio)
        allowed = ramps.allowed_ratio(
            budget_requests=ramp.risk_budget_requests,
            reaction_requests=reaction,
            excess=ramps.excess_ratio(seen, miss_ratio=miss_ratio, dispersion=dispersion_factor),
        )
        share = max(share, min(allowed, ramps.GROWTH_FACTOR_MAX * share))
    if share < top:
        found.append(Piece(share=share, seconds=math.inf))
    return tuple(found)


def _seen(canary: float, stable: float, *, bad_ratio: float, usual_ratio: float) -> ramps.Seen:
    return ramps.Seen(
        canary_requests=round(canary),
        canary_failures=round(canary * bad_ratio),
        stable_requests=round(stable),
        stable_failures=round(stable * usual_ratio),
    )


def seconds(course: Sequence[Piece]) -> float:
    """How long it takes."""
    return sum(one.seconds for one in course)
