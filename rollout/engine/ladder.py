"""Which rung a run is on, whether it is done, and what is missing if not."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from rollout.api.evidence import GateVerdict, Verdict
from rollout.api.phase import Phase
from rollout.api.status import Run
from rollout.api.step import Step
from rollout.base.quantity import parse_duration
from rollout.engine import approvals
from rollout.engine import plan as plans


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """How a run stands to its present step.

    Attributes:
        phase: the phase that belongs to the step.
        due: when the step may end as far as time goes; None: only a person ends it.
        missing: names of gates that must pass first and have not.
        done: the step is over.
    """

    phase: Phase
    due: datetime | None
    missing: tuple[str, ...]
    done: bool


def read(
    run: Run,
    verdicts: tuple[GateVerdict, ...],
    *,
    now: datetime,
    settled_at: datetime | None,
    promoted: bool,
    blind: bool = False,
    excused: Collection[str] = frozenset(),
) -> Rung:
    """Where the run stands; ``promoted`` means that a person ends the step.

    A step takes at least until its weight has settled, so that what that does can be seen at all.
    While Prometheus is silent the run is ``blind``, and what was seen before excuses no gate.
    ``excused`` are the names of gates that the run goes on without.
    """
    phase, least_seconds, demanded = _demands(run)
    required = demanded.difference(excused)
    # At 100 percent the stable revision has no new number to compare with.
    excuses = run.weight >= plans.FULL_PERCENT and not blind
    missing = tuple(
        v.name
        for v in verdicts
        if v.name in required
        and v.verdict is not Verdict.PASS
        and not (excuses and v.verdict is Verdict.UNKNOWN and v.incomparable)
    )
    unseen = required - {v.name for v in verdicts}
    missing += tuple(sorted(unseen))
    if promoted:
        return Rung(phase=phase, due=now, missing=(), done=True)
    if least_seconds is None:
        return Rung(phase=phase, due=None, missing=missing, done=False)
    began, ramp = run.step_started_at, plans.ramp_at(run.plan, run.step)
    if ramp is not None:
        began = run.ramped_at or began
    due = began + timedelta(seconds=least_seconds)
    due = max(due, settled_at or due)
    grown = ramp is None or run.weight >= ramp.max_weight
    return Rung(phase=phase, due=due, missing=missing, done=now >= due and not missing and grown)


def _demands(run: Run) -> tuple[Phase, float | None, frozenset[str]]:
    """Phase of the present step, the least seconds it takes, and the gates that must pass.

    At 100 percent and in the bake they must too: no data is no good news there either. A pause
    needs none and a check those it names, unless the run ends with it. Nobody waits for a gate
    that the step can tell nothing of.
    """
    plan = run.plan
    steps, bake = plan.strategy.steps, parse_duration(plan.strategy.bake)
    if run.step > len(steps):
        return Phase.BAKING, bake, _lasting(run)
    asked = frozenset(gate.name for gate in plans.asked(plan, run.step))
    step = steps[run.step - 1]
    least = _least_seconds(step)
    ends = _lasting(run) if run.step == len(steps) and bake == 0 else frozenset()
    if step.approval is not None:
        is_given = approvals.is_given(run, run.step)
        return Phase.WAITING, 0.0 if is_given else None, ends if is_given else frozenset()
    if step.pause is not None:
        return Phase.WAITING, least, ends if least is not None else frozenset()
    full = run.weight >= plans.FULL_PERCENT
    required = asked & frozenset(step.check.gates) | ends if step.check is not None else asked
    return Phase.PROMOTING if full else Phase.PROGRESSING, least, required


def _lasting(run: Run) -> frozenset[str]:
    """The gates that must pass at the end: those that were not meant for earlier steps only."""
    last = len(run.plan.strategy.steps)
    return frozenset(
        g.name
        for g in run.plan.gates
        if g.mode == "Enforce" and (g.steps is None or last in g.steps)
    )


def _least_seconds(step: Step) -> float | None:
    if step.pause is not None:
        return None if step.pause.for_ is None else parse_duration(step.pause.for_)
    text = step.hold or (step.check and step.check.for_) or (step.ramp and step.ramp.min_hold)
    return parse_duration(text) if text else 0.0


def deadline(run: Run) -> datetime | None:
    """When the run must have reached 100 percent; None when it has: the rest is not counted.

    Nor is the time in which it may get no more. A run that has lost its 100 percent again has the
    same time anew to come back to it.
    """
    reached = run.step >= plans.full_step(run.plan)
    if (reached and not run.retreated) or run.closed_since is not None:
        return None
    since = run.step_started_at if reached else run.started_at
    closed = timedelta(milliseconds=run.closed_ms)
    return since + closed + timedelta(seconds=parse_duration(run.plan.strategy.max_duration))


def overdue(run: Run, *, now: datetime) -> bool:
    """Whether the deadline has passed."""
    limit = deadline(run)
    return limit is not None and now >= limit


def skips(run: Run) -> bool:
    """Whether somebody has sent the run to 100 percent, and it is not there.

    Who sent it before it lost its 100 percent did not know of that.
    """
    order = run.promoted_full
    if order is None:
        return False
    if run.step < plans.full_step(run.plan):
        return True
    return run.retreated and order.at >= run.step_started_at
