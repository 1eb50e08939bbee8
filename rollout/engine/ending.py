"""Taking a run back: traffic first, then the record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from rollout.api.evidence import GateVerdict
from rollout.api.phase import Outcome, Phase
from rollout.api.status import (
    HISTORY_MAX,
    Command,
    Ending,
    GateStatus,
    PastRun,
    RolloutStatus,
    Run,
)
from rollout.api.traffic import Problem
from rollout.engine import guards, propagation
from rollout.engine import plan as plans
from rollout.engine.conclude import Conclusion, State, conclude
from rollout.engine.decision import Answer, Decision, Guarding, Happening, Weights, cut
from rollout.engine.observation import Observation
from rollout.engine.propagation import Known

LET_GO_SECONDS = 600.0
"""How long a deleted Rollout tries to return traffic: a write that is refused for ever, or a route
that only a person can mend, must not keep an object or a namespace from going."""

AGAIN_SECONDS = 1.0
"""The least time between two tries to return traffic, also where proxies are given no time."""


def taken_back(
    outcome: Outcome, because: str, *, now: datetime, gate: str = "", command: Command | None = None
) -> Ending:
    """The decision that a run ends, to be kept in its status until it has."""
    return Ending(outcome=outcome, because=cut(because), decided_at=now, gate=gate, command=command)


def shares(o: Observation, run: Run) -> frozenset[float]:
    """The canary's percents in the owned routes as they stand; more than one when they differ."""
    return frozenset(
        float(100 * canary / pair)
        for route in o.routing.routes
        for canary, pair in [_pair(dict(route.shares), run)]
        if pair
    )


def _pair(by_subset: dict[str, Fraction], run: Run) -> tuple[Fraction, Fraction]:
    """What the canary has, and what it has together with the stable revision."""
    canary = by_subset.get(run.canary_revision, Fraction(0))
    return canary, canary + by_subset.get(run.stable_revision, Fraction(0))


def weights(o: Observation, run: Run, percent: float) -> Weights:
    """The desired weights of a run's pair, and the managed routes that belong to its step.

    Of a run that ends, or whose canary cannot answer, no managed route may stand.
    """
    sends = run.ending is None and not run.retreated
    managed = plans.managed_at(run.plan, run.step if sends else 0, owner=str(o.key))
    return Weights(
        host=run.plan.host,
        traffic=run.plan.traffic,
        stable=run.stable_revision,
        canary=run.canary_revision,
        percent=percent,
        managed=managed,
    )


def gate_statuses(verdicts: tuple[GateVerdict, ...]) -> tuple[GateStatus, ...]:
    """Verdicts as the status keeps them."""
    return tuple(
        GateStatus(
            name=v.name,
            verdict=v.verdict,
            because=v.because,
            failed_sample_at=None
            if v.failed_sample_ms is None
            else datetime.fromtimestamp(v.failed_sample_ms / 1000, tz=UTC),
        )
        for v in verdicts
    )


def roll_back(o: Observation, run: Run, *, answers: tuple[Answer, ...]) -> Decision:
    """Send all traffic to the stable revision, have proxies follow, then close the run.

    ``run.ending`` says how it ends. What is missing meanwhile delays the end and is told; the
    weights are written as soon as there is something to write them to.
    """
    ending = run.ending
    assert ending is not None, "a run is taken back for a reason"
    moved = any(share > 0 for share in shares(o, run)) or bool(o.routing.managed)
    under_way = o.status.phase is Phase.ROLLING_BACK
    untouched = run.step == 0 and not moved and not under_way and not guards.remains(o, run)
    moved = moved or _is_passed_by(o)
    since = run.settled_since if under_way and not moved and run.settled_since else o.now
    known = propagation.of_return(o, since=since)
    nowhere = not o.routing.routes and run.step > 0 and not o.deleting
    returned = under_way and known.is_over and not moved and not nowhere
    if untouched:
        return close(o, run, answers=answers)
    if returned and _may_close(o, run, since=since):
        return close(o, run, answers=answers, known=known)
    hindered = (moved or nowhere) and bool(o.routing.problems)
    # While traffic cannot return nothing settles; a time that moved on would be written each look.
    settled = None if hindered else since
    run = run.model_copy(
        update={
            "ending": ending.model_copy(update={"revived": _revived(o, run)}),
            "weight": 0.0,
            "retreated": False,
            "settled_since": settled,
            "paused": None,
        }
    )
    stuck = guards.in_the_way(o, run) if returned else None
    message = _told_back(run, ending, known, hindered=o.routing.problems[:hindered], stuck=stuck)
    look = None
    if not nowhere:
        due = o.now if hindered else propagation.return_due(o, known, since=since)
        least = o.settle_seconds if hindered else 0.0
        look = max(due, since + timedelta(seconds=max(least, AGAIN_SECONDS)))
    if stuck is not None:
        look = patience_ends_at(o, since=since)
    return conclude(
        o,
        Conclusion(
            status=o.status.model_copy(update={"run": _looking(run, look)}),
            phase=Phase.ROLLING_BACK,
            reason=str(ending.outcome) if stuck is None else "GuardStays",
            message=message,
            weights=weights(o, run, 0.0),
            guard=guards.off(run) if returned else None,
            finalizer=True,
            answers=answers,
            look_again_at=look,
            traffic=("True", "Returning", message),
        ),
    )


def _is_passed_by(o: Observation) -> bool:
    """Whether a route of another Rollout stands in front: it may send the canary more than ours."""
    return any(problem.reason == "ManagedRouteInFront" for problem in o.routing.problems)


def _told_back(
    run: Run,
    ending: Ending,
    known: Known,
    *,
    hindered: tuple[Problem, ...],
    stuck: Problem | None,
) -> str:
    """What a run is doing that goes back, and what is in its way."""
    if stuck is not None:
        return f"{run.canary_revision} has no traffic, but its guard stays: {stuck.message}"
    message = f"all of {run.plan.host} goes back to {run.stable_revision}: {ending.because}"
    if hindered:
        return f"{message}; in the way: {hindered[0].message}"
    return f"{message}; {known.told}" if known.is_hindered else message


def _may_close(o: Observation, run: Run, *, since: datetime) -> bool:
    """Whether the guard can be taken off, or was waited for long enough."""
    return guards.in_the_way(o, run) is None or o.now >= patience_ends_at(o, since=since)


def patience_ends_at(o: Observation, *, since: datetime) -> datetime:
    """Until when an end, due since a moment, waits for a guard that does not come off."""
    patience = max(o.settle_seconds, AGAIN_SECONDS) + guards.PATIENCE_SECONDS
    return since + timedelta(seconds=patience)


def close(
    o: Observation, run: Run, *, answers: tuple[Answer, ...], known: Known | None = None
) -> Decision:
    """Write down how a run that gets no traffic any more has ended; and how that is known.

    Its guard comes off first.
    """
    ending = run.ending
    assert ending is not None, "a run is closed for a reason"
    if known is not None and known.is_hindered:
        # Kept with the run: proxies that were not waited for may still send it traffic.
        ending = ending.model_copy(update={"because": cut(f"{ending.because}; {known.told}")})
        run = run.model_copy(update={"ending": ending})
    status = closed(o.status, run, now=o.now)
    another = ending.outcome is Outcome.SUPERSEDED or _revived(o, run)
    status = status.model_copy(update={"rejected_revision": "" if another else run.canary_revision})
    host = run.plan.host
    if o.revision == run.stable_revision and ending.outcome is not Outcome.SUPERSEDED:
        phase, message = Phase.STABLE, f"all of {host} is on {run.stable_revision} again"
    elif another:
        phase, message = Phase.PENDING, f"all of {host} is on {run.stable_revision} again"
    else:
        phase = Phase.ROLLED_BACK
        message = f"all of {host} is on {run.stable_revision}: {ending.because}"
    stuck = guards.in_the_way(o, run)
    seen = known.told if known is not None else "none had moved"
    state: State = known.state if known is not None else "True"
    reason = known.reason if known is not None else "Returned"
    return conclude(
        o,
        Conclusion(
            status=status,
            phase=phase,
            reason=str(ending.outcome),
            message=message,
            guard=guards.off(run) if stuck is None else None,
            finalizer=False,
            answers=answers,
            happenings=() if stuck is None else (_left_behind(run, stuck),),
            look_again_at=o.now if _goes_on(o, phase, run.canary_revision) else None,
            traffic=(state, reason, f"0 % is written for {run.canary_revision}; {seen}"),
        ),
    )


def _left_behind(run: Run, stuck: Problem) -> Happening:
    told = (
        f"{' and '.join(run.guarded)} of the guard may still be on subset {run.canary_revision}: "
        f"{stuck.message}; then remove it there"
    )
    return Happening(type="Warning", reason="GuardLeft", message=told)


def _revived(o: Observation, run: Run) -> bool:
    """Whether the spec has wanted another revision since the run was given up.

    Then the canary is not turned down, should it be wanted again.
    """
    before = run.ending is not None and run.ending.revived
    return before or bool(o.revision and o.revision != run.canary_revision)


def _goes_on(o: Observation, phase: Phase, canary: str) -> bool:
    """Whether the next look, at rest, finds something to do that nothing else would tell of."""
    known = o.revision == canary or phase is Phase.STABLE
    return phase is Phase.PENDING or _was_edited(o) or not known


def _was_edited(o: Observation) -> bool:
    """Whether the spec has become unreadable, or another service's, since the run began."""
    run = o.status.run
    return o.spec is None or (run is not None and o.spec.host != run.plan.host)


def promote(o: Observation, run: Run, *, answers: tuple[Answer, ...], because: str) -> Decision:
    """Make the canary the stable revision; what somebody moved in the last moment is put right."""
    run = run.model_copy(update={"ending": taken_back(Outcome.PROMOTED, because, now=o.now)})
    status = closed(o.status, run, now=o.now).model_copy(
        update={
            "stable_revision": run.canary_revision,
            "stable_since": o.now,
            "rejected_revision": "",
            "retirable": (run.stable_revision,),
        }
    )
    message = f"all of {run.plan.host} is on {run.canary_revision}: {because}"
    stuck = guards.in_the_way(o, run)
    return conclude(
        o,
        Conclusion(
            status=status,
            phase=Phase.STABLE,
            reason=str(Outcome.PROMOTED),
            message=message,
            weights=weights(o, run, run.weight),
            guard=guards.off(run) if stuck is None else None,
            finalizer=False,
            answers=answers,
            happenings=() if stuck is None else (_left_behind(run, stuck),),
            look_again_at=o.now if _was_edited(o) else None,
            traffic=("True", "Promoted", message),
        ),
    )


def closed(status: RolloutStatus, run: Run, *, now: datetime) -> RolloutStatus:
    """A status whose run is over and remembered."""
    ending = run.ending
    assert ending is not None, "a run ends somehow"
    seen = run.evidence.canary_run if run.evidence else None
    past = PastRun(
        id=run.id,
        revision=run.canary_revision,
        stable_revision=run.stable_revision,
        host=run.plan.host,
        outcome=ending.outcome,
        because=ending.because,
        started_at=run.started_at,
        ended_at=now,
        steps=min(run.step, run.step_count),
        max_weight=max_weight(run),
        canary_requests=seen.requests if seen else 0,
        canary_failures=seen.bad if seen else 0,
        by=ending.command.by if ending.command else "",
    )
    over = run.model_copy(
        update={
            "ended_at": now,
            "look_again_at": None,
            "evidence": None,
            "paused": None,
            "retreated": False,
            "settled_since": None,
            "ramped_at": None,
            "unrouted_since": None,
        }
    )
    history = (past, *status.history)[:HISTORY_MAX]
    return status.model_copy(update={"run": over, "history": history})


def max_weight(run: Run) -> float:
    """The greatest weight the ladder had up to the step reached."""
    reached = run.plan.strategy.steps[: run.step]
    named = [s.top_weight for s in reached if s.top_weight is not None]
    if run.ramped_at is not None:
        named[-1:] = [run.ramped_weight]
    return max(named, default=0.0)


def let_go(o: Observation, *, answers: tuple[Answer, ...] = ()) -> Decision:
    """A Rollout that is being deleted: a run is taken back first, at rest nothing changes."""
    run = o.status.run
    if not o.finalized or run is None or run.ended_at is not None:
        return _gone(o, answers, "let go: no traffic is ours")
    if not o.routing.routes and not o.routing.managed and not guards.remains(o, run):
        return _gone(o, answers, "let go: no traffic is ours")
    if run.ending is None or run.ending.outcome is not Outcome.DELETED:
        why = f"Rollout {o.key.name} was deleted"
        run = run.model_copy(update={"ending": taken_back(Outcome.DELETED, why, now=o.now)})
    decided = roll_back(o, run, answers=answers)
    assert run.ending is not None, "just written"
    is_late = o.now >= run.ending.decided_at + timedelta(seconds=LET_GO_SECONDS)
    is_stuck = guards.in_the_way(o, run) is not None
    if is_late and (is_stuck or decided.status.phase is Phase.ROLLING_BACK):
        moved = any(share > 0 for share in shares(o, run))
        has = "still has the guard of the run" if is_stuck and not moved else "still has traffic"
        left = f"let go after {LET_GO_SECONDS:g} s, though {run.canary_revision} {has}"
        return _gone(o, answers, left, bad=True)
    if decided.status.phase is not Phase.ROLLING_BACK:
        told = f"let go: all of {run.plan.host} is on {run.stable_revision}"
        return _gone(o, answers, told, guard=decided.guard)
    return decided


def _gone(
    o: Observation,
    answers: tuple[Answer, ...],
    message: str,
    *,
    guard: Guarding | None = None,
    bad: bool = False,
) -> Decision:
    """Our finalizer comes off; nothing else is written of what is about to vanish."""
    told = Happening(type="Warning" if bad else "Normal", reason="Deleted", message=message)
    return Decision(
        status=o.status,
        weights=None,
        guard=guard,
        finalizer=False,
        answers=answers,
        happenings=(told,) if o.finalized else (),
        because=message,
        look_again_at=None,
    )


def _looking(run: Run, look: datetime | None) -> Run:
    return run.model_copy(update={"look_again_at": look})
