"""What a gate will find, and when its proof will stand, at a share and with what is usual.

Numbers are approximate, see `rollout.analysis.judge.planning`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from rollout.analysis.judge import planning
from rollout.analysis.judge.planning import Hunt
from rollout.analysis.judge.proof import FINE_PERCENT
from rollout.analysis.verdict import GateQuestion
from rollout.engine.foretold import Cost, GateStep, Size

SCRAPE_SECONDS = 15.0
"""Prometheus' usual scrape interval."""

LAG_SECONDS = 2.0
"""From a sample to traffic that flows back: a query, a look, a push."""

VIEWS_COUNT = 2
"""Parts of the evidence of a regression, at the worst: one over all ticks, one since its step."""

FINE_RATIO_MAX = 0.99
"""A canary that fails more is fine by nothing, however many are usual."""

WHOLE_PERCENT = 100

_HALVINGS_COUNT = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A time in which the canary has one share.

    Attributes:
        share: above 0 and below 1.
        seconds: how long; may be infinite.
    """

    share: float
    seconds: float


Course = Callable[[float], Sequence[Piece]]
"""The shares of a canary, by the fraction of its requests that is bad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """A gate, and what is usual for what it counts.

    Attributes:
        gate: what it asks.
        edge_ms: of latency the bucket edge that is looked at.
        bad_ratio: p, above 0 and at most 1.
        dispersion_factor: φ.
        requests_per_second: R.
        is_spotless: whether no bad request is known, so that p is only a limit.
    """

    gate: GateQuestion
    edge_ms: float | None
    bad_ratio: float
    dispersion_factor: float
    requests_per_second: float
    is_spotless: bool = False


def in_step(usual: Usual, course: Course) -> GateStep:
    """What the gate does in a step in which the canary has the shares of a course."""
    worst = 1 / usual.bad_ratio
    sizes = {Size.OUTAGE: worst, Size.TENFOLD: 10.0, Size.DOUBLE: 2.0}
    return GateStep(
        found_ratio=_found_ratio(usual, course, worst=worst),
        costs={
            size: _cost(usual, course(min(1.0, ratio * usual.bad_ratio)), ratio=ratio)
            for size, ratio in sizes.items()
            if ratio <= worst
        },
    )


def steady(share: float, seconds: float) -> Course:
    """One share all the time."""
    return lambda _bad_ratio: (Piece(share=share, seconds=seconds),)


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


def _cost(usual: Usual, pieces: Sequence[Piece], *, ratio: float) -> Cost:
    """Failed requests of a canary that fails so many times as often as is usual."""
    failing = usual.requests_per_second * min(1.0, ratio * usual.bad_ratio)
    failures, missing = 0.0, 1.0
    for piece in pieces:
        seconds = missing * _seconds(usual, piece, ratio, Hunt.mean_seconds)
        if seconds <= piece.seconds and seconds < math.inf:
            late = SCRAPE_SECONDS / 2 + LAG_SECONDS
            failures += failing * piece.share * (seconds + late)
            return Cost(failures_count=failures, is_found=True)
        failures += failing * piece.share * piece.seconds
        missing -= missing * piece.seconds / seconds if seconds < math.inf else 0.0
    return Cost(failures_count=failures, is_found=False)


def _seconds(
    usual: Usual, piece: Piece, ratio: float, of_hunt: Callable[[Hunt, float], float]
) -> float:
    """How long a regression takes to be found at a share, by the way that takes least."""
    hunts = _hunts(usual, piece.share)
    beside = ((one, ratio * usual.bad_ratio / one.bad_ratio) for one in hunts)
    return min((of_hunt(one, compared) for one, compared in beside), default=math.inf)


def _found_ratio(usual: Usual, course: Course, *, worst: float) -> float | None:
    """The smallest regression found with 90 % power; None: not even an outage.

    Over several pieces the parts of the time that each would take are added up.
    """

    def is_found(log_ratio: float) -> bool:
        ratio, found = math.exp(log_ratio), 0.0
        for piece in course(min(1.0, ratio * usual.bad_ratio)):
            seconds = _seconds(usual, piece, ratio, Hunt.dwell_seconds)
            found += piece.seconds / seconds if seconds < math.inf else 0.0
        return found >= 1

    low, high = 0.0, math.log(worst)
    if not is_found(high):
        return None
    for _ in range(_HALVINGS_COUNT):
        middle = (low + high) / 2
        low, high = (low, middle) if is_found(middle) else (middle, high)
    return math.exp(high)


def proof_seconds(usual: Usual, *, share: float, before: Sequence[Piece]) -> float | None:
    """How long the proof takes at a share, by the shorter of the two ways of `judge.proof`.

    Args:
        usual: the gate.
        share: above 0 and below 1.
        before: what the canary had until then: what that has brought counts.

    Returns:
        Infinite where it never comes; None where nothing is proved.
    """
    gate, phi = usual.gate, usual.dispersion_factor
    if gate.proven_ratio is None or gate.advisory:
        return None
    risk = gate.false_promote_ratio / 2  # the two ways share it
    rate = usual.requests_per_second * usual.bad_ratio / phi
    gained = sum(
        one.seconds * rate * one.share * planning.proof_speed(gate.proven_ratio, share=one.share)
        for one in before
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
    alone = planning.proof_alone_seconds(
        bound_ratio=_fine_ratio(usual, gate.proven_ratio),
        false_promote=risk,
        requests_per_second=usual.requests_per_second,
        share=share,
        bad_fraction=usual.bad_ratio,
        dispersion=phi,
    )
    if alone is not None:  # at each share alike, per request of the canary
        alone = max(0.0, alone - sum(one.share * one.seconds for one in before) / share)
    return min((one for one in (compared, alone) if one is not None), default=math.inf)


def _fine_ratio(usual: Usual, proven_ratio: float) -> float:
    """Below which a canary is fine by itself, as `judge.proof` has it."""
    if not usual.is_spotless:
        return min(FINE_RATIO_MAX, proven_ratio * usual.bad_ratio)
    asked = usual.gate.max_percent
    return (FINE_PERCENT if asked is None or asked >= WHOLE_PERCENT else asked) / WHOLE_PERCENT
