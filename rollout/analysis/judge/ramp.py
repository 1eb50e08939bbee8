"""How much traffic a canary may have, so that a bad one costs no more than a budget.

B is how many requests may fail within one reaction interval, Δ + L seconds from a failure to the
routes without the canary, and R all requests a second. Before anything is known every request to
the canary may fail: the first weight is B/(R(Δ+L)). After N_c requests with Y_c bad ones at most a
fraction p_U of them is bad, with confidence 1 - α whenever one looks, and stable has
p_s = (Y_s + ½)/(N_s + 1) of its own, so

    w = B / (R·(Δ+L)·max(p_U - p_s, 1e-9))

With few bad requests p_U falls as 1/N_c, and the weight grows exponentially: dwell is earned, not
configured. Guarantee (approximate: constant rates since the start, p_s and R taken for true): with
probability 1 - α no interval expects more than B excess failures of a canary that is bad from its
start. A regression that begins later, at weight w, costs R·w·p_c·(Δ+L) before the reaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from rollout.analysis.judge import absolute

EXCESS_RATIO_MIN = 1e-9
"""The smallest excess that is divided by."""

GROWTH_FACTOR_MAX = 3.0
"""How many times as much the canary may have from one tick to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of both revisions since the run began.

    Attributes:
        canary_requests: N_c.
        canary_failures: Y_c.
        stable_requests: N_s.
        stable_failures: Y_s.
    """

    canary_requests: int
    canary_failures: int
    stable_requests: int
    stable_failures: int


def excess_ratio(seen: Seen, *, miss_ratio: float, dispersion: float = 1.0) -> float:
    """How much larger the canary's bad fraction may be than stable's: p_U - p_s, never 0.

    Bursts count by clusters: counts are divided by the dispersion φ ≥ 1 before the limit is taken.
    """
    high = absolute.limits(
        requests=seen.canary_requests / dispersion,
        bad=min(seen.canary_failures, seen.canary_requests) / dispersion,
        miss_ratio=miss_ratio,
    )[1]
    usual = (seen.stable_failures + 0.5) / (seen.stable_requests + 1)
    return max(high - usual, EXCESS_RATIO_MIN)


def allowed_ratio(
    *, budget_requests: float, reaction_requests: float, excess: float = 1.0
) -> float:
    """The weight that the budget pays for, as a fraction that may be more than 1.

    Args:
        budget_requests: B.
        reaction_requests: R·(Δ+L), above 0.
        excess: see `excess_ratio`; 1 before anything is known, when every request may fail.
    """
    return budget_requests / (reaction_requests * excess)
