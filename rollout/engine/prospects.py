"""What a gate will find, and when its proof will stand, at a share and with what is usual.

Numbers are approximate, see `rollout.analysis.judge.planning`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rollout.analysis.judge import planning
from rollout.analysis.judge.planning import Hunt
from rollout.analysis.judge.proof import FINE_PERCENT, RARE_RATIO_MAX
from rollout.analysis.verdict import GateQuestion
from rollout.engine.foretold import Cost, GateStep, Size

SCRAPE_SECONDS = 15.0
"""Prometheus' usual scrape interval."""

LAG_SECONDS = 2.0
"""From a sample to traffic that flows back: a query, a look, a push."""

VIEWS_COUNT = 2
"""Parts of the evidence of a regression, at the worst: one over all ticks, one since its step."""

_HALVINGS_COUNT = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """A gate, and what is usual for what it counts.

    Attributes:
        gate: what it asks.
        edge_ms: of latency the bucket edge that is looked at.
        bad_ratio: p, above 0 and at most 1.
        dispersion_factor: φ.
        requests_per_second: R.
    """

    gate: GateQuestion
    edge_ms: float | None
    bad_ratio: float
    dispersion_factor: float
    requests_per_second: float


def in_step(usual: Usual, *, share: float, lasts_seconds: float) -> GateStep:
    """What the gate does in a step with a share above 0 and below 1 that lasts so long."""
    hunts = tuple(_hunts(usual, share))
    worst = 1 / usual.bad_ratio
    sizes = {Size.OUTAGE: worst, Size.TENFOLD: 10.0, Size.DOUBLE: 2.0}
    return GateStep(
        found_ratio=_found_ratio(usual, hunts, lasts_seconds, worst=worst),
        costs={
            size: _cost(usual, hunts, lasts_seconds, ratio=ratio, share=share)
            for size, ratio in sizes.items()
            if ratio <= worst
        },
    )


def _hunts(usual: Usual, share: float) -> Iterator[Hunt]:
    """The ways to look for a regression: beside stable, and by a bound that is not usual already.

    They and the views of each share the gate's part of the risk.
    """
    gate = usual.gate
    ways = (gate.max_ratio is not None) + (gate.max_percent is not None)
    if not ways:
        return
    hunt = Hunt(
        requests_per_second=usual.requests_per_second,
        share=share,
        bad_ratio=usual.bad_ratio,
        tolerance_ratio=gate.max_ratio or 1.0,
        false_rollback_ratio=gate.false_rollback_ratio * gate.risk_ratio / (ways * VIEWS_COUNT),
        dispersion_factor=usual.dispersion_factor,
    )
    if gate.max_ratio is not None:
        yield hunt
    if gate.max_percent and 100 * usual.bad_ratio <= gate.max_percent < 100:
        yield replace(hunt, bad_ratio=gate.max_percent / 100, tolerance_ratio=1.0, alone=True)


def _cost(
    usual: Usual, hunts: Sequence[Hunt], lasts_seconds: float, *, ratio: float, share: float
) -> Cost:
    """Failed requests of a canary that fails so many times as often as is usual."""
    failing = usual.requests_per_second * share * min(1.0, ratio * usual.bad_ratio)
    seconds = min((one.mean_seconds(_beside(usual, one, ratio)) for one in hunts), default=math.inf)
    if seconds > lasts_seconds or math.isinf(seconds):
        return Cost(failures_count=failing * lasts_seconds, is_found=False)
    late = SCRAPE_SECONDS / 2 + LAG_SECONDS
    return Cost(failures_count=failing * (seconds + late), is_found=True)


def _beside(usual: Usual, hunt: Hunt, ratio: float) -> float:
    """A ratio to what is usual as one to what the hunt compares with."""
    return ratio * usual.bad_ratio / hunt.bad_ratio


def _found_ratio(
    usual: Usual, hunts: Sequence[Hunt], lasts_seconds: float, *, worst: float
) -> float | None:
    """The smallest regression found with 90 % power; None: not even an outage."""

    def is_found(log_ratio: float) -> bool:
        ratios = ((one, _beside(usual, one, math.exp(log_ratio))) for one in hunts)
        seconds = min((one.dwell_seconds(ratio) for one, ratio in ratios), default=math.inf)
        return seconds < math.inf and seconds <= lasts_seconds

    low, high = 0.0, math.log(worst)
    if not is_found(high):
        return None
    for _ in range(_HALVINGS_COUNT):
        middle = (low + high) / 2
        low, high = (low, middle) if is_found(middle) else (middle, high)
    return math.exp(high)


def proof_seconds(
    usual: Usual, *, share: float, before: Sequence[tuple[float, float]]
) -> float | None:
    """How long the proof takes at a share, by the shorter of the two ways of `judge.proof`.

    Args:
        usual: the gate.
        share: above 0 and below 1.
        before: shares of earlier steps, and how many seconds each lasts: what they have brought
            counts.

    Returns:
        Infinite where it never comes; None where nothing is proved.
    """
    gate, phi = usual.gate, usual.dispersion_factor
    if gate.proven_ratio is None or gate.advisory:
        return None
    if usual.bad_ratio > RARE_RATIO_MAX:
        return 0.0  # so many are always bad that nothing is asked
    risk = gate.false_promote_ratio / 2  # the two ways share it
    rate = usual.requests_per_second * usual.bad_ratio / phi
    gained = sum(
        seconds * rate * one * planning.proof_speed(gate.proven_ratio, share=one)
        for one, seconds in before
    )
    compared = planning.proof_seconds(
        proven_ratio=gate.proven_ratio,
        false_promote=risk,
        log_evidence=gained,
        requests_per_second=usual.requests_per_second,
        share=share,
        bad_fraction=usual.bad_ratio,
        dispersion=phi,
    )
    asked = gate.max_percent
    alone = planning.proof_alone_seconds(
        bound_ratio=(FINE_PERCENT if asked is None or asked >= 100 else asked) / 100,
        false_promote=risk,
        requests_per_second=usual.requests_per_second,
        share=share,
        bad_fraction=usual.bad_ratio,
        dispersion=phi,
    )
    if alone is not None:  # at each share alike, per request of the canary
        alone = max(0.0, alone - sum(one * seconds for one, seconds in before) / share)
    return min((one for one in (compared, alone) if one is not None), default=math.inf)
