"""Tells whose the requests were that found no upstream: nothing in their series does.

No healthy host (UH) and an overflowing pool (UO) are found before a host is chosen, so no label
names a revision, although the requests were meant for one. But the weights say how many each was
meant to get: who lost them got fewer than that, by as many, and the other one got its full share.
"""

from __future__ import annotations

import math

from rollout.analysis.verdict import Share

DEVIATIONS = 4
"""Standard deviations of a share by chance that prove nothing: beyond are 3 of 100,000 looks."""

SHARE_RATIO_MIN = 0.05
"""Part of the canary's share that proves nothing however many requests there are: proxies take a
weight at different moments, and some callers may have routes of their own."""


def of_canary(lost_count: int, *, weight_percent: float, share: Share | None) -> int:
    """How many of the requests without an upstream can only be the canary's; 0 in any doubt.

    What was lost at the rate of the run's earlier steps is left out. The rest is the canary's when
    it got less than its weight by more than chance and blur explain, by as many as were lost:
    then the stable revision has all of its own. Had the stable revision lost them, or callers whom
    the weights do not rule, the canary would have its share, or the numbers would not meet.
    """
    if share is None or not 0 < weight_percent < 100:
        return 0
    usual = 0
    if share.before_count:
        seen = share.canary_count + share.stable_count
        usual = math.ceil(seen * share.lost_before_count / share.before_count)
    excess = lost_count - usual
    if excess <= 0:
        return 0
    total, ratio = share.canary_count + share.stable_count + excess, weight_percent / 100
    expected = total * ratio
    by_chance = DEVIATIONS * math.sqrt(total * ratio * (1 - ratio))
    doubt = max(by_chance, expected * max(SHARE_RATIO_MIN, share.blur_ratio))
    missing = expected - share.canary_count
    return excess if missing > doubt and abs(missing - excess) <= doubt else 0
