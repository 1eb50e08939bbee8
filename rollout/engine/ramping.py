"""The weight of a ramp: what the evidence allows, what the pods can carry, and when to look again.

The formula is that of `rollout.analysis.judge.ramp`; here are its floors and ceilings. Nothing
grows while a gate is unknown for any reason but traffic that is still to come.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from rollout.analysis.judge import ramp as ramps
from rollout.api.evidence import Baseline, RunEvidence, Verdict
from rollout.api.status import Run
from rollout.api.step import Ramp
from rollout.engine import plan as plans
from rollout.engine.conclude import percent
from rollout.engine.observation import Observation

FIRST_PERCENT_MIN = 0.1
"""The least weight: a thousandth is what a VirtualService can still say with weights of 1,000."""

UNKNOWN_TRAFFIC_PERCENT = 1.0
"""The first weight where nobody knows how much traffic there is."""

REACTION_TICKS = 2.0
"""Ticks from a failure to the routes without the canary: one until it is seen, one for the rest."""

REACTION_SECONDS_MIN = 2.0
"""The least of that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What a ramp does now.

    Attributes:
        percent: the weight that is allowed; never less than the present one.
        told: that in words that follow the present weight.
        look: when to decide again although nothing happens; None: the next sample comes first.
    """

    percent: float
    told: str
    look: datetime | None = None


def first_percent(o: Observation, run: Run, step: int) -> float:
    """The weight with which the ramp of a step begins: the budget pays for all of it failing."""
    ramp = plans.ramp_at(run.plan, step)
    assert ramp is not None, "asked for the step of a ramp"
    reaction = _reaction_requests(o, run)
    if not reaction:
        return min(ramp.max_weight, UNKNOWN_TRAFFIC_PERCENT)
    ratio = ramps.allowed_ratio(
        budget_requests=ramp.risk_budget_requests, reaction_requests=reaction
    )
    return _rounded(min(100 * ratio, _ceiling_percent(o, run, ramp)))


def growth(o: Observation, run: Run) -> Growth | None:
    """What the ramp of the present step does; None: the step is none, or has come to its end.

    At the maximum the ordinary rules of a step hold: a least time, and gates that pass.
    """
    ramp = plans.ramp_at(run.plan, run.step)
    if ramp is None or run.weight >= ramp.max_weight:
        return None
    top = percent(ramp.max_weight)
    doubts = _doubts(o, run)
    if doubts:
        return Growth(percent=run.weight, told=f"goes on towards {top} when that is over: {doubts}")
    wanted, told = _allowed(o, run, ramp)
    if run.ramped_at is not None and not _is_tick_later(o, run):
        wanted = run.weight
    grown = max(run.weight, min(wanted, ramps.GROWTH_FACTOR_MAX * run.weight))
    if grown < ramp.max_weight:
        grown = max(run.weight, _rounded(grown))
    return Growth(percent=grown, told=f"grows to {top} as its requests show that it may: {told}")


def _allowed(o: Observation, run: Run, ramp: Ramp) -> tuple[float, str]:
    """The weight that evidence and pods allow, in percent, and what keeps it there."""
    evidence, reaction = o.evidence or RunEvidence(), _reaction_requests(o, run)
    canary = evidence.canary_run
    if not reaction or not canary.requests:
        return run.weight, "the canary has had no request yet"
    stable, before = evidence.traffic.stable, evidence.traffic.stable_before
    requests = stable.requests + before.requests
    seen = ramps.Seen(
        canary_requests=canary.requests,
        canary_failures=canary.bad,
        stable_requests=requests,
        # Of connections more may fail than were opened since the run began.
        stable_failures=0 if stable.bad + before.bad > requests else stable.bad + before.bad,
    )
    miss_ratio = run.plan.judge.false_rollback_percent / 100
    dispersion = (evidence.baseline or Baseline()).dispersion_factor
    excess = ramps.excess_ratio(seen, miss_ratio=miss_ratio, dispersion=dispersion)
    ratio = ramps.allowed_ratio(
        budget_requests=ramp.risk_budget_requests, reaction_requests=reaction, excess=excess
    )
    carried = _ceiling_percent(o, run, ramp)
    if carried < min(100 * ratio, ramp.max_weight):
        ready = o.ready.get(run.canary_revision, 0)
        return carried, f"its {ready} ready pods carry no more than {percent(round(carried, 1))}"
    told = (
        f"at most {percent(float(f'{100 * excess:.2g}'))} more of its requests fail than of"
        f" stable's, and {ramp.risk_budget_requests:g} may"
    )
    return min(100 * ratio, ramp.max_weight), told


def _ceiling_percent(o: Observation, run: Run, ramp: Ramp) -> float:
    """What the canary's ready pods can carry if each takes as much as one of stable's does."""
    ready, stable = o.ready.get(run.canary_revision, 0), o.ready.get(run.stable_revision, 0)
    if not ready or not stable:
        return ramp.max_weight
    return min(ramp.max_weight, 100.0 * ready / stable)


def _reaction_requests(o: Observation, run: Run) -> float:
    """Requests of both revisions in the time that a reaction takes; 0: nobody knows."""
    evidence = o.evidence or run.evidence
    if evidence is None or not evidence.tick_ms:
        return 0.0
    seconds = max(REACTION_SECONDS_MIN, REACTION_TICKS * evidence.tick_ms / 1000)
    rate = _requests_per_second(evidence)
    return seconds * rate


def _requests_per_second(evidence: RunEvidence) -> float:
    """The traffic of this run, or where it has none yet that of the hours before."""
    passed_seconds = (evidence.newest_ms - evidence.origin_ms) / 1000
    traffic = evidence.traffic
    stable = traffic.stable.requests + traffic.stable_before.requests
    count = stable + evidence.canary_run.requests
    known = (evidence.baseline and evidence.baseline.requests_per_second) or 0.0
    return max(known, count / passed_seconds if passed_seconds > 0 else 0.0)


def _doubts(o: Observation, run: Run) -> str:
    """Why nothing may grow now; empty: it may."""
    if o.metrics_problem:
        return o.metrics_problem
    asked = {gate.name for gate in plans.asked(run.plan, run.step)}
    verdicts = [v for v in o.verdicts if v.name in asked]
    if len(verdicts) < len(asked):
        return "no sample has been seen yet"
    return next(
        (v.because for v in verdicts if v.verdict is not Verdict.PASS and not v.growing), ""
    )


def _is_tick_later(o: Observation, run: Run) -> bool:
    """Whether a whole tick has come since the weight was raised: each growth rests on new news.

    Samples of it, and not only the time: a Prometheus that shows nothing new is no news.
    """
    if o.evidence is None or o.evidence.newest_ms < run.ramped_ms + max(1, o.evidence.tick_ms):
        return False
    since = run.ramped_at or run.step_started_at
    return o.now >= since + timedelta(milliseconds=max(1_000, o.evidence.tick_ms))


def _rounded(value: float) -> float:
    """Down to what a VirtualService can say: tenths of a percent, whole ones from 10 on."""
    parts = 1.0 if value >= 10 else 10.0
    return max(FIRST_PERCENT_MIN, math.floor(value * parts + 1e-9) / parts)
