"""Does the mesh send what was asked? It holds a run and blames no canary.

Each proxy draws a route's destination anew for every request, so that the canary's requests are a
binomial number of all of them. Compared are the requests of the newest ticks only, two stretches of
`STRETCH_TICKS`: what was still sent by another weight is forgotten, and nothing holds for ever.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from rollout.analysis.cursor import SETTLE_MS
from rollout.analysis.judge.mixture import log_beta
from rollout.api.evidence import RunEvidence, Split
from rollout.base.quantity import print_percent

PRIOR_WEIGHT = 100.0
"""k: how near to the weight the alternatives lie; larger finds smaller differences, later."""

SURE_NATS = math.log(10_000)
"""Evidence from which it is told: each stretch begins anew, so that one in 10,000 is wrong."""

MATERIAL_RATIO = 0.2
"""What is sure and smaller than this part of the smaller share is left alone: nobody is hurt."""

STRETCH_TICKS = 8
"""Ticks of a stretch: two minutes of the usual scrapes."""

SETTLING_TICKS = 4
"""Ticks, and `SETTLING_MS`, after a step's begin that do not count: proxies take the weight a while
after it was written, and a sample tells of the interval before it."""

SETTLING_MS = SETTLE_MS + 10_000


def log_evidence(
    canary: int, stable: int, *, share: float, prior_weight: float = PRIOR_WEIGHT
) -> float:
    """Log E against H0: each request went to the canary with probability ``share`` (0 to 1, open).

    Beta mixture, two-sided: lnB(kw+N_c, k(1-w)+N_s) - lnB(kw, k(1-w)) - N_c·ln w - N_s·ln(1-w).
    Exact for a constant share (Lindon and Malek, arXiv 2011.03567).
    """
    a, b = prior_weight * share, prior_weight * (1 - share)
    return (
        log_beta(a + canary, b + stable)
        - log_beta(a, b)
        - canary * math.log(share)
        - stable * math.log1p(-share)
    )


def begun(evidence: RunEvidence) -> Split:
    """Nothing is known as a step begins."""
    newest_ms = max(0, evidence.newest_ms - evidence.origin_ms)
    return Split(after_ms=newest_ms + SETTLING_TICKS * evidence.tick_ms + SETTLING_MS)


def counted(known: Split, ticks: Mapping[int, tuple[int, int, int, int]], *, tick_ms: int) -> Split:
    """What is known with more ticks: requests of canary and stable by the end of the tick.

    Ends are milliseconds after the origin. A late one counts in its own stretch, and in none when
    that is over for long.
    """
    for end_ms in sorted(ticks):
        if end_ms <= known.after_ms:
            continue
        stretch = (end_ms - known.after_ms - 1) // (STRETCH_TICKS * tick_ms)
        known = _with(_at(known, stretch), stretch, *ticks[end_ms][:2])
    return known


def _at(known: Split, stretch: int) -> Split:
    """The counts with a stretch as the present one, if it is newer."""
    if stretch <= known.stretch_index:
        return known
    follows = stretch == known.stretch_index + 1
    return Split(
        after_ms=known.after_ms,
        stretch_index=stretch,
        canary_before_count=known.canary_count if follows else 0,
        stable_before_count=known.stable_count if follows else 0,
    )


def _with(known: Split, stretch: int, canary: int, stable: int) -> Split:
    if stretch == known.stretch_index:
        update = {
            "canary_count": known.canary_count + canary,
            "stable_count": known.stable_count + stable,
        }
    elif stretch == known.stretch_index - 1:
        update = {
            "canary_before_count": known.canary_before_count + canary,
            "stable_before_count": known.stable_before_count + stable,
        }
    else:
        return known
    return known.model_copy(update=update)


def mismatch(evidence: RunEvidence, *, weight_percent: float) -> str:
    """That the canary gets another share than its weight, in a sentence; empty: it does not.

    ``weight_percent`` is above 0 and below 100. What has not been seen for two stretches is old.
    """
    known, tick_ms = evidence.split, max(1, evidence.tick_ms)
    counted_ms = known.after_ms + STRETCH_TICKS * tick_ms * (known.stretch_index + 1)
    old_ms = evidence.newest_ms - evidence.origin_ms - counted_ms
    if old_ms > STRETCH_TICKS * tick_ms:
        return ""
    share = weight_percent / 100
    canary, stable = (
        known.canary_count + known.canary_before_count,
        known.stable_count + known.stable_before_count,
    )
    total = canary + stable
    if not total or log_evidence(canary, stable, share=share) < SURE_NATS:
        return ""
    if abs(canary / total - share) <= MATERIAL_RATIO * min(share, 1 - share):
        return ""
    return (
        f"the mesh does not send what was asked: {print_percent(weight_percent)} % are to go to the"
        f" canary, and {canary:,} of the last {total:,} requests did"
        f" ({print_percent(100 * canary / total)} %); see whether every caller's proxy takes the"
        " VirtualService, and whether something else routes the host"
    )
