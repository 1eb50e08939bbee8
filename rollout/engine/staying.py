"""A run that stays where it is: what is said and put right meanwhile, and when to look again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from rollout.analysis.judge.ramp import GROWTH_FACTOR_MAX
from rollout.api.match import Match
from rollout.api.phase import Phase
from rollout.api.status import Run
from rollout.base.quantity import parse_duration
from rollout.engine import absence, approvals, ending, guards, hooking, ladder, propagation, words
from rollout.engine import plan as plans
from rollout.engine.commands import Orders
from rollout.engine.conclude import (
    Conclusion,
    State,
    calendar_time,
    clock_time,
    conclude,
    in_line,
    percent,
)
from rollout.engine.decision import Decision, Happening
from rollout.engine.hooking import Asked
from rollout.engine.ladder import Rung
from rollout.engine.observation import Observation
from rollout.engine.propagation import Known
from rollout.engine.ramping import Growth


def lacks_managed(o: Observation, run: Run) -> bool:
    """Whether managed routes belong to the run's step, and none stands."""
    if run.step == 0 or run.retreated or o.routing.managed:
        return False
    wanted = ending.weights(o, run, run.weight).managed
    # A copy is left out where the owned routes have all of it already.
    return wanted.match is not None or wanted.mirror_percent > 0


def hold(
    o: Observation,
    run: Run,
    orders: Orders,
    *,
    rung: Rung,
    known: Known,
    news: Happening | None = None,
) -> Decision:
    """Stay on the rung and say until when, or for what; ``known`` is of its weight."""
    look = None
    is_due = rung.due is not None and o.now >= rung.due and not rung.missing
    if known.is_hindered or (is_due and not known.is_over):
        reason = known.reason
        then = f"{_coming(run)} when proxies use it: {known.told}{_way_out(o, known)}"
        if known.is_hindered and news is None and o.status.reason != reason:
            news = Happening(
                type="Warning",
                reason=reason,
                message=f"{words.share(run)} {words.where(run)}; {then}",
            )
    elif rung.due is None and approvals.asked_at(run.plan, run.step) is not None:
        reason, then = words.APPROVAL, words.approval(o, run)
    elif rung.due is None:
        reason = "Paused"
        then = f"waits for `rollout promote {o.key.name}`"
    elif o.now < rung.due or not rung.missing:
        reason, look = "Holding", rung.due
        then = f"{_coming(run)} at {clock_time(rung.due, now=o.now)}" + (
            f" if {_gates(rung)}" if rung.missing else ""
        )
    else:
        reason = "WaitingForGates"
        then = f"{_coming(run)} when {_gates(rung)}: {_why(o, rung)}"
        if ladder.deadline(run) is None:
            then += f"; `rollout promote {o.key.name}` goes on without"
    return stay(
        o,
        run,
        orders,
        phase=rung.phase,
        reason=reason,
        message=f"{words.share(run)} {words.where(run)}; {then}{absence.told(o, run)}",
        look=look,
        known=known,
        news=news,
    )


def ramping(o: Observation, run: Run, orders: Orders, *, growth: Growth, known: Known) -> Decision:
    """Stay on the rung while evidence raises the weight."""
    return stay(
        o,
        run,
        orders,
        phase=Phase.PROGRESSING,
        reason="Ramping",
        message=f"{words.share(run)} {words.where(run)}; {growth.told}",
        look=growth.look,
        known=known,
    )


def guarding(o: Observation, run: Run, orders: Orders) -> Decision:
    """Stay before any traffic moves: the guard is being written, and has to settle."""
    at = o.now + timedelta(seconds=max(o.settle_seconds, ending.AGAIN_SECONDS))
    when = clock_time(at, now=o.now)
    told = f"{run.canary_revision} is ready; traffic moves at {when} if its guard stands by then"
    return stay(
        o,
        run,
        orders,
        phase=Phase.PREPARING,
        reason=propagation.SETTLING,
        message=told,
        look=at,
    )


def unsettled(o: Observation, run: Run, orders: Orders, *, known: Known) -> Decision:
    """Stay before any traffic moves, until proxies know where it would go."""
    if known.due is not None:
        at = clock_time(known.due, now=o.now)
        told = f"{run.canary_revision} is ready; traffic moves at {at}"
    else:
        told = f"{run.canary_revision} is ready; traffic moves when proxies know it: {known.told}"
        if known.is_hindered:
            told += f"; `rollout promote {o.key.name} --full` goes on without"
    return stay(
        o,
        run,
        orders,
        phase=Phase.PREPARING,
        reason=known.reason,
        message=told,
        look=known.due,
    )


def _way_out(o: Observation, known: Known) -> str:
    """What a person can do about proxies that are in the way."""
    name = o.key.name
    return f"; `rollout promote {name}` goes on without" if known.is_hindered else ""


def _coming(run: Run) -> str:
    if run.step > run.step_count:
        return "promoted"
    if run.step == run.step_count:
        return "the bake" if parse_duration(run.plan.strategy.bake) else "promoted"
    following = run.plan.strategy.steps[run.step]
    if following.weight is not None:
        return percent(following.weight)
    if following.ramp is not None:
        return f"a ramp to {percent(following.ramp.max_weight)}"
    if following.match is not None:
        return "a match" if following.match != Match() else "the end of the match"
    if following.mirror is not None:
        return f"copies of {percent(following.mirror)}"
    asked = "an approval" if following.approval is not None else "a check"
    return "a pause" if following.pause is not None else asked


def _gates(rung: Rung) -> str:
    names = " and ".join(rung.missing)
    return f"{names} pass" if len(rung.missing) > 1 else f"{names} passes"


def _why(o: Observation, rung: Rung) -> str:
    if o.metrics_problem:
        return o.metrics_problem
    told = [v.because for v in o.verdicts if v.name in rung.missing]
    return told[0] if told else "no sample has been seen yet"


def held(o: Observation, run: Run, orders: Orders) -> Decision:
    """Stay because a person says so, or nothing may increase now."""
    look = None
    if run.paused is not None:
        reason = in_line(run.paused.reason)
        told = f" ({reason})" if reason else ""
        message = (
            f"{words.share(run)} {words.where(run)}; paused by {run.paused.by}{told} until "
            f"`rollout resume {o.key.name}`; gates go on judging"
        )
        reason = "PausedByPerson"
    else:
        assert o.closed is not None, "it is held by somebody or something"
        message = f"{words.share(run)} {words.where(run)}; {o.closed.because}"
        reason, look = o.closed.reason, o.closed.until
    return stay(o, run, orders, phase=Phase.WAITING, reason=reason, message=message, look=look)


def unguarded(o: Observation, run: Run, orders: Orders, *, phase: Phase) -> Decision:
    """Stay for a moment because the guard is gone: it is put back before anything rises."""
    message = (
        f"stays at {percent(run.weight)} until {guards.told_missing(o, run)} is as spec.guard says"
    )
    look = o.now + timedelta(seconds=ending.AGAIN_SECONDS)
    return stay(o, run, orders, phase=phase, reason=guards.UNGUARDED, message=message, look=look)


def asking(o: Observation, run: Run, orders: Orders, *, step: int, asked: Asked) -> Decision:
    """Stay before a step until webhooks let it begin; who ended the last one is remembered."""
    phase, here = Phase.PREPARING, f"{run.canary_revision} is ready"
    if run.step > 0 and not run.retreated:
        run = run.model_copy(update={"sent_on": orders.promote})
        phase = ladder.read(run, (), now=o.now, settled_at=None, promoted=True).phase
        here = f"{words.share(run)} {words.where(run)}"
    then = _coming(run.model_copy(update={"step": step - 1}))
    reason, message = words.WEBHOOK, f"{here}; {then} when {hooking.listed(asked.names)}"
    if asked.said_no:
        phase, reason, at = Phase.WAITING, words.WEBHOOK_HOLDS, asked.again_at or o.now
        when = f"asked anew at {clock_time(at, now=o.now)}" if at > o.now else "asked anew"
        message = f"{here}; {asked.said_no}; {when}; `rollout abort {o.key.name}` goes back"
    elif asked.barred is not None:
        phase, reason = Phase.BLOCKED, asked.barred.reason
        message = f"{here}; {asked.barred.message}"
    look = asked.again_at if asked.again_at is not None and asked.again_at > o.now else None
    decision = stay(o, run, orders, phase=phase, reason=reason, message=message, look=look)
    return replace(decision, hooks=asked.calls)


def stuck(o: Observation, run: Run, orders: Orders, *, because: str, until: datetime) -> Decision:
    """Stay at the end of a run whose guard does not come off."""
    at = clock_time(until, now=o.now)
    message = f"{words.share(run)}; promoted when its guard is off, at {at} all the same: {because}"
    phase = Phase.BAKING if run.step > run.step_count else Phase.PROMOTING
    return stay(o, run, orders, phase=phase, reason="GuardStays", message=message, look=until)


def failing(o: Observation, run: Run, orders: Orders, *, because: str) -> Decision:
    """Stay because a gate fails, and a person shall say what comes of it."""
    message = (
        f"stays at {percent(run.weight)}, since onFailure is Hold: {because}; "
        f"`rollout abort {o.key.name}` goes back"
    )
    return stay(o, run, orders, phase=Phase.WAITING, reason="GateFails", message=message)


def stay(  # noqa: PLR0913 - one for each part of a decision
    o: Observation,
    run: Run,
    orders: Orders,
    *,
    phase: Phase,
    reason: str,
    message: str,
    look: datetime | None = None,
    known: Known | None = None,
    news: Happening | None = None,
) -> Decision:
    """The decision of a run that goes on, drift and times included.

    ``known`` is what is known of its weight, where that was asked already.
    """
    looks = [o.now + timedelta(seconds=parse_duration(run.plan.judge.max_interval))]
    if look is not None:
        looks.append(look)
    looks += [
        t
        for t in (ladder.deadline(run), absence.due(o, run), approvals.expires_at(run))
        if t is not None and t > o.now
    ]
    look_again_at = min(looks)
    before = o.status.run
    assert before is not None, "a run in progress has been written down"
    traffic, drift = _drift(o, run, before=before, known=known)
    run = run.model_copy(update={"look_again_at": look_again_at})
    return conclude(
        o,
        Conclusion(
            status=o.status.model_copy(update={"run": run}),
            phase=phase,
            reason=reason,
            message=message + _edited(o, run),
            weights=None if _unsure(o, run) else ending.weights(o, run, run.weight),
            guard=guards.wanted(o, run),
            finalizer=True,
            answers=orders.answers,
            news=news,
            happenings=(*drift, *_unguarded(o, run)),
            look_again_at=look_again_at,
            traffic=traffic,
            closed=o.closed if o.closed is not None and reason == o.closed.reason else None,
        ),
    )


def _unsure(o: Observation, run: Run) -> bool:
    """Whether routes that nobody gave us might get traffic of the canary: then none is touched.

    Such as those of a second VirtualService that somebody adds in mid-run. Taking the canary's
    traffic away does reach them all.
    """
    wanted = ending.weights(o, run, run.weight).managed
    gives = run.weight > 0 or wanted.match is not None or wanted.copies
    return gives and any(p.reason == "AmbiguousRoutes" for p in o.routing.problems)


def _drift(
    o: Observation, run: Run, *, before: Run, known: Known | None
) -> tuple[tuple[State, str, str], tuple[Happening, ...]]:
    """Whether routes are as we left them.

    Judged against what is decided *now*, then against what was written before: a crash between the
    two writes is not somebody else's doing.
    """
    where = ending.shares(o, run)
    ours = {run.weight, before.weight}
    foreign = sorted(share for share in where if all(abs(share - w) > SAME_PERCENT for w in ours))
    if not where:
        return ("Unknown", "NoRoute", "there is no route to look at"), ()
    removed = run.step == before.step and not before.retreated and lacks_managed(o, run)
    if not foreign and not removed:
        if run.step == 0 or run.retreated:
            return ("True", "AsWritten", propagation.written(o, run)), ()
        known = known or propagation.of_weight(o, run)
        return propagation.condition(o, run, known=known), ()
    found = "somebody else had removed the managed routes"
    if foreign:
        found = _blame(run, foreign[0])
    if o.routing.problems:
        return ("False", "Moved", f"{found}; it is put back when routes can be written"), ()
    as_it_was = f"to {percent(run.weight)} " if foreign else ""
    told = f"{found}; it was put back {as_it_was}at {calendar_time(o.now)}"
    event = Happening(type="Warning", reason="PutBack", message=told)
    return ("True", "PutBack", told), () if _was_put_back(o) else (event,)


def _blame(run: Run, foreign: float) -> str:
    """Whose a weight is that is not ours; on a ramp it may be a raise that a kill cut short."""
    found = f"somebody else had set the weight of {run.canary_revision} to {percent(foreign)}"
    if run.ramped_at is not None and run.weight < foreign <= GROWTH_FACTOR_MAX * run.weight:
        found += ", or a restart came before a raise to it was recorded"
    return found


def _unguarded(o: Observation, run: Run) -> tuple[Happening, ...]:
    """That somebody has touched the guard after it was written."""
    missing = guards.told_missing(o, run)
    if not missing or not guards.was_touched(o) or guards.wanted(o, run) is None:
        return ()
    told = f"somebody else had changed {missing}; it was put back at {calendar_time(o.now)}"
    return (Happening(type="Warning", reason="PutBack", message=told),)


def _was_put_back(o: Observation) -> bool:
    """Whether the last look found the same: then it has been told."""
    return any(condition.reason == "PutBack" for condition in o.status.conditions)


SAME_PERCENT = 1e-9
"""Percent: shares are exact fractions turned into floats; anything further apart is different."""


def _edited(o: Observation, run: Run) -> str:
    """What a person who has edited the spec in mid-run must know."""
    if o.spec is None and o.spec_problem:
        return f" (the edited spec is wrong and changes nothing in this run: {o.spec_problem})"
    if o.spec is not None and plans.resolve(o.spec) != run.plan:
        either = " or a policy" if o.policies or run.policies else ""
        return f" (the Rollout{either} was edited: that rules the next run)"
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


def past_deadline(o: Observation, run: Run, orders: Orders) -> Decision:
    """Stay because the run took too long and may not go back by itself."""
    full = " --full" if run.step == 0 or run.retreated else ""
    first = ""
    if approvals.asks(run, run.step):
        first = f"`rollout approve {o.key.name}` and then "
    message = (
        f"stays at {percent(run.weight)}, since onDeadline is Hold: not promoted within "
        f"maxDuration ({run.plan.strategy.max_duration}); {first}`rollout promote "
        f"{o.key.name}{full}` goes on, `rollout abort {o.key.name}` goes back"
    )
    return stay(o, run, orders, phase=Phase.WAITING, reason="DeadlineHold", message=message)
