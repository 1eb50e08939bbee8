"""What a gate that compares with the stable revision decides on: several views, one error rate.

Rollback averages, with weights fixed at the start, evidence over all ticks, over calm ticks (so
that a brown-out of both arms hides no regression), and over what came since each step began (a
regression may appear late, or only under load):

    E = ½·[ ½·E_all + ½·E_calm ] + ½·Σ_k γ_k·E_from_step_k,    γ_k = 1/(number of steps)

A view that has not begun is 1, and at most `VIEWS_MAX` go on at a time: the oldest is stopped when
another begins, and keeps the value it has. Averages of e-values, stopped ones among them, are an
e-value under any dependence, so the false-rollback risk α holds for the whole run (exact for
independent requests looked at as ticks end; between the samples of one tick the canary's share in
it is not final, which makes it approximate). Promotion rests on calm ticks alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from rollout.analysis.judge import interval, ratio
from rollout.analysis.judge.interval import Interval, Lattice
from rollout.analysis.judge.mixture import log_mix, log_sum
from rollout.analysis.judge.ratio import Counts, RatioEvidence
from rollout.api.evidence import Verdict

WHOLE_RATIO_MIN = 99.5
"""From here on ratios are shown as whole numbers."""

VIEWS_MAX = 4
"""Steps whose own evidence goes on; each costs 24 numbers a gate."""

CALM_TICKS = 4
"""Ticks that must be calm together, the newest one among them: where a tick has few requests a
brown-out hides in each of them, and in a minute it does not."""

INTERVAL_MISS_RATIO = 0.05
"""Of the interval that is shown; it decides nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """What a user wants to be held.

    Attributes:
        tolerance_ratio: ρ0 ≥ 1: a canary that fails at most so many times as often is as good as
            stable.
        false_rollback_ratio: α, between 0 and 1: how often such a canary may be taken back.
        proven_ratio: ρ1 > ρ0: a promotion proves that the canary fails less than so many times as
            often.
        false_promote_ratio: α', between 0 and 1: how often a canary at ρ1 or worse may be promoted.
        dispersion_factor: φ ≥ 1, see `dispersion`.
    """

    tolerance_ratio: float = 1.2
    false_rollback_ratio: float = 0.01
    proven_ratio: float = 2.0
    false_promote_ratio: float = 0.05
    dispersion_factor: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GateEvidence:
    """All that a gate knows of a run; immutable, a few kB.

    Attributes:
        every: against the tolerance, from all ticks.
        calm: likewise, from calm ticks.
        since: likewise, from the ticks since the steps that began last, oldest first.
        steps_count: steps of the run, at least 1; fixed at its start.
        begun_count: how many of them have begun.
        stopped_e_nats: logarithm of the sum of E of the steps whose view was stopped; minus
            infinity: none was.
        proof: of the proven ratio, from calm ticks.
        lattice: for the interval, from all ticks.
        canary: requests and bad ones of the canary.
        stable: likewise of the stable revision.
        calm_stable: likewise, in calm ticks.
        recent: requests and bad ones of both in the last ticks, fewer than `CALM_TICKS`.
    """

    every: RatioEvidence
    calm: RatioEvidence
    since: tuple[RatioEvidence, ...]
    steps_count: int
    begun_count: int = 1
    stopped_e_nats: float = -math.inf
    proof: RatioEvidence
    lattice: Lattice = field(default_factory=Lattice)
    canary: tuple[int, int] = (0, 0)
    stable: tuple[int, int] = (0, 0)
    calm_stable: tuple[int, int] = (0, 0)
    recent: tuple[tuple[int, int], ...] = ()

    @property
    def usual_ratio(self) -> float:
        """The stable revision's bad fraction in calm ticks, (bad + 1)/(requests + 1): never 0."""
        requests, bad = self.calm_stable
        return (bad + 1) / (requests + 1)


def begin(promises: Promises, *, steps_count: int) -> GateEvidence:
    """What is known before a run's first tick: nothing. Its first step has begun."""
    fresh = ratio.against_tolerance(promises.tolerance_ratio)
    return GateEvidence(
        every=fresh,
        calm=fresh,
        since=(fresh,),
        steps_count=steps_count,
        proof=ratio.for_proof(promises.proven_ratio),
    )


def with_step(known: GateEvidence, promises: Promises) -> GateEvidence:
    """A step begins. Steps beyond those foreseen begin no view of their own."""
    if known.begun_count >= known.steps_count:
        return known
    since, stopped = known.since, known.stopped_e_nats
    if len(since) == VIEWS_MAX:
        oldest = since[0].log_evidence(dispersion=promises.dispersion_factor)
        since, stopped = since[1:], log_sum((stopped, oldest))
    return replace(
        known,
        since=(*since, replace(known.every, logs=())),
        begun_count=known.begun_count + 1,
        stopped_e_nats=stopped,
    )


def with_tick(
    known: GateEvidence,
    tick: Counts,
    promises: Promises,
    *,
    reference_ratio: float | None = None,
    early_count: int = 0,
    is_shown: bool = True,
) -> GateEvidence:
    """One more tick.

    Args:
        known: what is known; it is not changed.
        tick: the counts.
        promises: whose dispersion the calm rule uses.
        reference_ratio: the stable revision's bad fraction in the hours before the run. None: that
            of this run's calm ticks before this one stands in for it, and the first one is taken
            for calm: a run that *begins* in a brown-out takes it for normal.
        early_count: steps, of those that began last, that begin only after this tick.
        is_shown: whether the interval is to be shown: it costs more than all the rest.
    """
    reference = known.usual_ratio if reference_ratio is None else reference_ratio
    recent = (*known.recent, (tick.requests, tick.bad))
    phi = promises.dispersion_factor
    calm = all(
        ratio.is_calm(requests, bad, reference_ratio=reference, dispersion=phi)
        for requests, bad in (recent[-1], _sum(*recent) if len(recent) > 1 else recent[0])
    )
    kept = len(known.since) - early_count
    stable = tick.stable_requests, tick.stable_failures
    added = known.every.increments(tick)
    return replace(
        known,
        every=known.every.plus(added),
        calm=known.calm.plus(added) if calm else known.calm,
        since=(*(one.plus(added) for one in known.since[:kept]), *known.since[kept:]),
        proof=known.proof.with_tick(tick) if calm else known.proof,
        lattice=known.lattice.with_tick(tick) if is_shown else known.lattice,
        canary=_sum(known.canary, (tick.canary_requests, tick.canary_failures)),
        stable=_sum(known.stable, stable),
        calm_stable=_sum(known.calm_stable, stable) if calm else known.calm_stable,
        recent=recent[1 - CALM_TICKS :],
    )


def _sum(*pairs: tuple[int, int]) -> tuple[int, int]:
    return sum(requests for requests, _ in pairs), sum(bad for _, bad in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the evidence says now.

    Attributes:
        rollback_nats: ln E; the canary is taken back at ln(1/α).
        promote_nats: ln E'; the gate passes at ln(1/α').
        verdict: FAIL, PASS or UNKNOWN.
    """

    rollback_nats: float
    promote_nats: float
    verdict: Verdict


def find(known: GateEvidence, promises: Promises) -> Finding:
    """The verdict: a failure comes first, then the proof; anything else is not known yet."""
    phi = promises.dispersion_factor
    share = 0.5 / known.steps_count
    rollback_nats = log_mix(
        [
            (0.25, known.every.log_evidence(dispersion=phi)),
            (0.25, known.calm.log_evidence(dispersion=phi)),
            *((share, one.log_evidence(dispersion=phi)) for one in known.since),
            (share, known.stopped_e_nats),
            (share * (known.steps_count - known.begun_count), 0.0),
        ]
    )
    promote_nats = known.proof.log_evidence(dispersion=phi)
    verdict = Verdict.UNKNOWN
    if rollback_nats >= math.log(1 / promises.false_rollback_ratio):
        verdict = Verdict.FAIL
    elif promote_nats >= math.log(1 / promises.false_promote_ratio):
        verdict = Verdict.PASS
    return Finding(rollback_nats=rollback_nats, promote_nats=promote_nats, verdict=verdict)


def possible_ratios(known: GateEvidence, promises: Promises) -> Interval:
    """The ratios that the counts leave possible, 95 % at any time; to show, not to decide."""
    return known.lattice.interval(
        miss_ratio=INTERVAL_MISS_RATIO, dispersion=promises.dispersion_factor
    )


def because(known: GateEvidence, promises: Promises, verdict: Verdict) -> str:
    """Why a verdict is what it is, in one sentence without a full stop."""
    requests, bad = known.canary
    counted = f"{bad:,} of {requests:,} canary requests were bad"
    if not bad and not known.stable[1]:
        return f"{counted}, and none of stable's: there is nothing to compare yet"
    possible = _shown(possible_ratios(known, promises))
    told = f"canary fails {_times(known)} as often as stable {possible} ({counted})"
    if verdict is Verdict.FAIL:
        return f"{told}; rollback at {100 * (1 - promises.false_rollback_ratio):g} % confidence"
    below = f"less than {promises.proven_ratio:g}×"
    if verdict is Verdict.PASS:
        return f"{told}; {below} at {100 * (1 - promises.false_promote_ratio):g} % confidence"
    return f"{told}; proved is neither more than {promises.tolerance_ratio:g}× nor {below}"


def _times(known: GateEvidence) -> str:
    requests, bad = known.canary
    stable_requests, stable_bad = known.stable
    if not requests or not stable_requests or not stable_bad:
        return "more than ever seen" if bad else "not known how many times"
    return f"{digits((bad / requests) / (stable_bad / stable_requests))}×"


def _shown(possible: interval.Interval) -> str:
    high = "∞" if math.isinf(possible.high_ratio) else digits(possible.high_ratio)
    return f"[{digits(possible.low_ratio)}, {high}]"


def digits(value: float) -> str:
    """A ratio to show: two digits, and no powers of ten."""
    return f"{value:,.0f}" if value >= WHOLE_RATIO_MIN else f"{value:.2g}"
