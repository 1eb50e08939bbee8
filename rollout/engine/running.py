"""A run in progress: up the ladder, held, retreating, or on its way back."""

from __future__ import annotations

from datetime import datetime, timedelta

from rollout.analysis import evidence as evidences
from rollout.api.evidence import Verdict
from rollout.api.phase import Outcome, Phase
from rollout.api.status import Ending, Run
from rollout.base.quantity import parse_duration, print_duration
from rollout.engine import commands, ending, ladder
from rollout.engine import plan as plans
from rollout.engine.commands import Orders
from rollout.engine.conclude import Conclusion, State, clock_time, conclude, percent
from rollout.engine.decision import Decision, Happening
from rollout.engine.ladder import Rung
from rollout.engine.observation import Observation


def in_run(o: Observation, run: Run) -> Decision:
    """What to do while a run is on: ends come first, then what is missing, then the ladder."""
    orders = commands.read(o)
    run = run.model_copy(
        update={
            "paused": orders.paused,
            "promoted_full": orders.full or run.promoted_full,
            "gates": ending.gate_statuses(o.verdicts),
            "evidence": o.evidence or run.evidence,
            "observed_weight": observed_weight(o, run),
        }
    )
    end = run.ending or _end(o, run, orders)
    if end is not None and (_may_return(o, run, end) or run.ending is not None):
        run = run.model_copy(update={"ending": end})
        return ending.roll_back(o, run, answers=orders.answers)
    if end is not None:
        message = (
            f"{end.because}; but {run.stable_revision} has no ready endpoint to go back to: mend "
            f"it, or `rollout abort {o.key.name}` goes back all the same"
        )
        return _stay(o, run, orders, phase=Phase.BLOCKED, reason="StableNotReady", message=message)
    missing = _missing(o, run)
    if missing is not None:
        return _without(o, run, orders, reason=missing[0], message=missing[1])
    if run.step == 0 or run.retreated:
        return _prepare(o, run, orders)
    return _climb(o, run, orders)


def _end(o: Observation, run: Run, orders: Orders) -> Ending | None:
    """Why the run should be taken back, the most important reason first."""
    if orders.abort is not None:
        told = f": {orders.abort.reason}" if orders.abort.reason else ""
        because = f"aborted by {orders.abort.by}{told}"
        return ending.taken_back(Outcome.ABORTED, because, now=o.now, command=orders.abort)
    if o.revision and o.revision == run.stable_revision:
        because = f"spec.revision was set back to {o.revision}"
        return ending.taken_back(Outcome.ROLLED_BACK, because, now=o.now)
    if o.revision and o.revision != run.canary_revision:
        because = f"{o.revision} is wanted instead of {run.canary_revision}"
        return ending.taken_back(Outcome.SUPERSEDED, because, now=o.now)
    failing = _failing(o)
    if failing and run.plan.on_failure == "Rollback":
        name, because = failing
        return ending.taken_back(Outcome.ROLLED_BACK, because, now=o.now, gate=name)
    strategy = run.plan.strategy
    if o.now >= _deadline(run) and strategy.on_deadline == "Rollback":
        because = f"not promoted within maxDuration ({strategy.max_duration})"
        return ending.taken_back(Outcome.ROLLED_BACK, because, now=o.now)
    return None


def _failing(o: Observation) -> tuple[str, str] | None:
    return next(((v.name, v.because) for v in o.verdicts if v.verdict is Verdict.FAIL), None)


def _deadline(run: Run) -> datetime:
    """When the run must have reached 100 percent; the bake is not counted."""
    if run.step > run.step_count:
        return datetime.max.replace(tzinfo=run.started_at.tzinfo)
    return run.started_at + timedelta(seconds=parse_duration(run.plan.strategy.max_duration))


def _may_return(o: Observation, run: Run, end: Ending) -> bool:
    """Whether the stable revision can take the traffic; a person's abort is obeyed regardless."""
    if end.outcome is Outcome.ABORTED or run.weight == 0:
        return True
    defined = run.stable_revision in o.subsets.subsets
    return defined and o.ready.get(run.stable_revision, 0) > 0


def _missing(o: Observation, run: Run) -> tuple[str, str] | None:
    """What keeps the canary from taking traffic: reason and sentence; None: nothing."""
    canary = run.canary_revision
    problems = (*o.subsets.problems, *o.routing.problems)
    if problems:
        return problems[0].reason, problems[0].message
    if canary not in o.subsets.subsets:
        where = o.subsets.destination_rule or "the DestinationRule"
        return "SubsetMissing", f"{canary} is no subset of DestinationRule {where}; add it there"
    if o.ready.get(canary, 0) == 0:
        labels = ", ".join(f"{k}={v}" for k, v in sorted(o.subsets.subsets[canary].items()))
        told = f"{canary} has no ready endpoint; make pods with {labels or 'its labels'} ready"
        return "NoReadyEndpoints", told
    if o.arms_problem is not None:
        return o.arms_problem.reason, o.arms_problem.message
    return None


def _without(o: Observation, run: Run, orders: Orders, *, reason: str, message: str) -> Decision:
    """Something is missing: before traffic has moved wait; afterwards leave the canary at once."""
    until = f"; until {clock_time(_deadline(run))}" if run.step <= run.step_count else ""
    if run.step == 0:
        run = run.model_copy(update={"settled_since": None})
        phase = Phase.PREPARING if reason == "NoReadyEndpoints" else Phase.BLOCKED
        told = f"waits before any traffic moves: {message}{until}"
        return _stay(o, run, orders, phase=phase, reason=reason, message=told)
    gone = reason in {"NoReadyEndpoints", "SubsetMissing"}
    if gone and o.ready.get(run.stable_revision, 0) > 0:
        run = run.model_copy(update={"retreated": True, "settled_since": None, "weight": 0.0})
        message = f"all traffic is on {run.stable_revision} for now: {message}{until}"
    return _stay(o, run, orders, phase=Phase.BLOCKED, reason=reason, message=message)


def _prepare(o: Observation, run: Run, orders: Orders) -> Decision:
    """All is there; it must have been there for the settle time before traffic goes there."""
    since = run.settled_since or o.now
    run = run.model_copy(update={"settled_since": since})
    ready_at = since + timedelta(seconds=o.settle_seconds)
    if o.now < ready_at:
        told = f"{run.canary_revision} is ready; traffic moves at {clock_time(ready_at)}"
        return _stay(
            o, run, orders, phase=Phase.PREPARING, reason="Settling", message=told, look=ready_at
        )
    if run.paused is not None or o.suspended:
        return _held(o, run, orders)
    return _enter(o, run, orders, step=max(run.step, 1))


def _climb(o: Observation, run: Run, orders: Orders) -> Decision:
    """The ladder itself."""
    rung = ladder.read(
        run,
        o.verdicts,
        now=o.now,
        settle_seconds=o.settle_seconds,
        promoted=orders.promote is not None,
    )
    failing = _failing(o)
    if failing is not None:
        message = f"stays at {percent(run.weight)}: {failing[1]}; onFailure is Hold"
        return _stay(o, run, orders, phase=Phase.WAITING, reason="GateFails", message=message)
    full = run.promoted_full is not None and run.step < plans.full_step(run.plan)
    if o.now >= _deadline(run) and orders.promote is None and not full:
        message = f"stays at {percent(run.weight)}: maxDuration has passed; onDeadline is Hold"
        return _stay(o, run, orders, phase=Phase.WAITING, reason="DeadlineHold", message=message)
    if (run.paused is not None or o.suspended) and not run.step > run.step_count:
        return _held(o, run, orders)
    if full:
        return _enter(o, run, orders, step=plans.full_step(run.plan))
    if rung.done:
        return _next(o, run, orders)
    return _hold(o, run, orders, rung=rung)


def _next(o: Observation, run: Run, orders: Orders) -> Decision:
    """The step is over: the next one, the bake, or the end."""
    baking = run.step > run.step_count
    bake = parse_duration(run.plan.strategy.bake)
    if not baking and (run.step < run.step_count or bake > 0):
        return _enter(o, run, orders, step=run.step + 1)
    if run.paused is not None:
        return _held(o, run, orders)
    took = print_duration((o.now - run.started_at).total_seconds())
    return ending.promote(o, run, answers=orders.answers, because=f"promoted after {took}")


def _enter(o: Observation, run: Run, orders: Orders, *, step: int) -> Decision:
    """Begin a step: its weight is written, its evidence starts from nothing."""
    weight = plans.weight_at(run.plan, step)
    evidence = evidences.begin_step(run.evidence) if run.evidence else None
    gates = tuple(
        g.model_copy(
            update={
                "verdict": Verdict.UNKNOWN,
                "because": "the step has just begun",
                "failed_sample_at": None,
            }
        )
        for g in run.gates
    )
    run = run.model_copy(
        update={
            "step": step,
            "weight": weight,
            "step_started_at": o.now,
            "retreated": False,
            "settled_since": None,
            "evidence": evidence,
            "gates": gates,
            "observed_weight": None,
        }
    )
    rung = ladder.read(run, (), now=o.now, settle_seconds=o.settle_seconds, promoted=False)
    told = f"{percent(weight)} of {run.plan.host} goes to {run.canary_revision} {_where(run)}"
    happening = Happening(type="Normal", reason="StepBegan", message=told)
    return _hold(o, run, orders, rung=rung, happenings=(happening,))


def _where(run: Run) -> str:
    if run.step > run.step_count:
        return "(all steps done)"
    return f"(step {run.step} of {run.step_count})"


def _hold(
    o: Observation,
    run: Run,
    orders: Orders,
    *,
    rung: Rung,
    happenings: tuple[Happening, ...] = (),
) -> Decision:
    """Stay on the rung and say until when, or for what."""
    share = f"{percent(run.weight)} of {run.plan.host} goes to {run.canary_revision}"
    late = rung.due is None or o.now >= rung.due
    if rung.due is None:
        reason = "Paused"
        then = f"waits for `rollout promote {o.key.name}`"
    elif not late:
        reason = "Holding"
        then = f"{_coming(run)} at {clock_time(rung.due)}" + (
            f" if {_gates(rung)}" if rung.missing else ""
        )
    else:
        reason = "WaitingForGates"
        then = f"{_coming(run)} when {_gates(rung)}: {_why(o, rung)}"
    return _stay(
        o,
        run,
        orders,
        phase=rung.phase,
        reason=reason,
        message=f"{share} {_where(run)}; {then}",
        look=None if late else rung.due,
        happenings=happenings,
    )


def _coming(run: Run) -> str:
    if run.step > run.step_count:
        return "promoted"
    if run.step == run.step_count:
        return "then it bakes" if parse_duration(run.plan.strategy.bake) else "promoted"
    following = run.plan.strategy.steps[run.step]
    if following.weight is not None:
        return percent(following.weight)
    return "a pause" if following.pause is not None else "a check"


def _gates(rung: Rung) -> str:
    names = " and ".join(rung.missing)
    return f"{names} pass" if len(rung.missing) > 1 else f"{names} passes"


def _why(o: Observation, rung: Rung) -> str:
    if o.metrics_problem:
        return o.metrics_problem
    told = [v.because for v in o.verdicts if v.name in rung.missing]
    return told[0] if told else "no sample has been seen yet"


def _held(o: Observation, run: Run, orders: Orders) -> Decision:
    share = f"{percent(run.weight)} of {run.plan.host} goes to {run.canary_revision}"
    if run.paused is not None:
        told = f" ({run.paused.reason})" if run.paused.reason else ""
        message = (
            f"{share} {_where(run)}; paused by {run.paused.by}{told} until "
            f"`rollout resume {o.key.name}`; gates go on judging"
        )
        reason = "PausedByPerson"
    else:
        message = f"{share} {_where(run)}; spec.suspend is true: no increase until it is false"
        reason = "Suspended"
    return _stay(o, run, orders, phase=Phase.WAITING, reason=reason, message=message)


def _stay(
    o: Observation,
    run: Run,
    orders: Orders,
    *,
    phase: Phase,
    reason: str,
    message: str,
    look: datetime | None = None,
    happenings: tuple[Happening, ...] = (),
) -> Decision:
    """The decision of a run that goes on, drift and times included."""
    looks = [o.now + timedelta(seconds=parse_duration(run.plan.judge.max_interval))]
    deadline = _deadline(run)
    looks += [moment for moment in (look, deadline) if moment is not None and moment > o.now]
    look_again_at = min(looks)
    before = o.status.run
    assert before is not None, "a run in progress has been written down"
    traffic, drift = _drift(o, run, before=before)
    run = run.model_copy(update={"look_again_at": look_again_at})
    return conclude(
        o,
        Conclusion(
            status=o.status.model_copy(update={"run": run}),
            phase=phase,
            reason=reason,
            message=message + _edited(o, run),
            weights=ending.weights(run, run.weight),
            finalizer=True,
            answers=orders.answers,
            happenings=(*happenings, *drift),
            look_again_at=look_again_at,
            traffic=traffic,
        ),
    )


def _drift(
    o: Observation, run: Run, *, before: Run
) -> tuple[tuple[State, str, str], tuple[Happening, ...]]:
    """Whether routes are as we left them.

    Judged against what is decided *now*, then against what was written before: a crash between the
    two writes is not somebody else's doing.
    """
    where = ending.shares(o, run)
    ours = {run.weight, before.weight}
    foreign = sorted(share for share in where if all(abs(share - w) > _SAME for w in ours))
    if not where:
        return ("Unknown", "NoRoute", "there is no route to look at"), ()
    if not foreign:
        return ("True", "AsWritten", f"{percent(run.weight)} is written in every owned route"), ()
    told = (
        f"somebody else had set the weight of {run.canary_revision} to {percent(foreign[0])}; "
        f"it was put back to {percent(run.weight)} at {clock_time(o.now)}"
    )
    return ("True", "PutBack", told), (Happening(type="Warning", reason="PutBack", message=told),)


_SAME = 1e-9
"""Percent: shares are exact fractions turned into floats; anything further apart is different."""


def _edited(o: Observation, run: Run) -> str:
    """What a person who has edited the spec in mid-run must know."""
    if o.spec is None and o.spec_problem:
        return f" (the edited spec is wrong and changes nothing in this run: {o.spec_problem})"
    if o.spec is not None and plans.resolve(o.spec) != run.plan:
        return " (the Rollout was edited: that rules the next run)"
    return ""


def observed_weight(o: Observation, run: Run) -> float | None:
    """Percent of the counted requests of this step that the canary got; None without requests."""
    found = o.evidence
    if found is None:
        return run.observed_weight
    canary, stable = found.traffic.canary.requests, found.traffic.stable.requests
    if canary + stable == 0:
        return None
    return round(100 * canary / (canary + stable), 2)
