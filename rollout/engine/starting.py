"""At rest: adopting a service, being stable, and whether a run may start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction

from rollout.api.action import ActionOutcome
from rollout.api.evidence import RunEvidence
from rollout.api.phase import ConditionType, Phase
from rollout.api.reading import nearest
from rollout.api.rollout import RolloutSpec
from rollout.api.status import Command, Run, Waiting
from rollout.api.traffic import Problem
from rollout.api.window import Closed
from rollout.base.hosts import fqdn
from rollout.engine import commands, guards, hooking
from rollout.engine import plan as plans
from rollout.engine.conclude import Conclusion, State, calendar_time, conclude, percent
from rollout.engine.decision import Answer, Decision
from rollout.engine.observation import Observation
from rollout.engine.turns import Turn

RETIRABLE_MAX = 16
"""As many as the status takes."""

LINE_SECONDS = 1.0
"""How long a Rollout stands in the line before it may start: so long others have to see it there,
whoever looks after them, and those that were woken together come into their order."""


_KEEPS_WAITING = frozenset({Phase.BLOCKED, Phase.INVALID})
"""What must be mended first costs nobody the time that was waited before."""


def at_rest(o: Observation) -> Decision:
    """What to do when no run is on. Nothing is touched until a run starts."""
    orders = commands.read(o)
    if o.spec is None:
        answers = _refused(orders.answers, o.spec_problem)
        return _rest(o, Phase.INVALID, "InvalidSpec", o.spec_problem, answers=answers)
    spec = o.spec
    if not o.status.stable_revision or not _same_host(o, spec.host):
        return _adopt(o, spec, retry=orders.retry, answers=orders.answers)
    o = _with_status(o, host=spec.host)
    if o.status.rejected_revision and o.revision != o.status.rejected_revision:
        o = _with_status(o, rejected_revision="")
    if o.revision == o.status.stable_revision:
        return _stable(o, spec, answers=orders.answers)
    if o.revision == o.status.rejected_revision and orders.retry is None:
        return _rest(
            o, Phase.ROLLED_BACK, _kept_reason(o), _kept_message(o), answers=orders.answers
        )
    return _may_start(o, spec, retry=orders.retry, answers=orders.answers)


def _same_host(o: Observation, host: str) -> bool:
    """Whether a host is the one that was adopted; where none is on record, any is."""
    near, known = o.key.namespace, o.status.host
    return not known or fqdn(known, namespace=near) == fqdn(host, namespace=near)


def _may_start(
    o: Observation, spec: RolloutSpec, *, retry: Command | None, answers: tuple[Answer, ...]
) -> Decision:
    """Start a run, or say what is in the way."""
    in_the_way = obstacle(o, o.status.stable_revision, o.revision) or _split(o, spec)
    in_the_way = in_the_way or hooking.not_allowed(o, spec.webhooks)
    if in_the_way is not None:
        if retry is not None:
            answers = _refused(answers, in_the_way.message)
        return _rest(o, Phase.BLOCKED, in_the_way.reason, in_the_way.message, answers=answers)
    if o.closed is not None:
        if retry is not None:
            # Nobody is surprised by a run at a time that nobody chose: it is to be said again.
            answers = _refused(answers, o.closed.because)
            return _rest(o, Phase.ROLLED_BACK, _kept_reason(o), _kept_message(o), answers=answers)
        return _rest(
            o,
            Phase.PENDING,
            o.closed.reason,
            f"{o.revision} is wanted; {o.closed.because}",
            answers=answers,
            waiting=_waiting(o),
            closed=o.closed,
        )
    if o.turn is not None:
        return _in_line(o, spec, o.turn, answers=answers)
    return _start(o, spec, answers=answers)


def _in_line(
    o: Observation, spec: RolloutSpec, turn: Turn, *, answers: tuple[Answer, ...]
) -> Decision:
    """Start when it is the Rollout's turn, and it has stood in the line for all to see."""
    before = o.status.waiting
    since = before.in_line_since if before is not None else None
    free_at = (since or o.now) + timedelta(seconds=LINE_SECONDS)
    if turn.is_next and o.now >= free_at:
        return _start(o, spec, answers=answers)
    return _rest(
        # Who says Retry has what was turned down wait like any other.
        _with_status(o, rejected_revision=""),
        Phase.PENDING,
        "InLine",
        f"{o.revision} is wanted; {turn.told}",
        answers=answers,
        waiting=_waiting(o).model_copy(update={"in_line_since": since or o.now}),
        look=free_at if o.now < free_at else None,
    )


def _waiting(o: Observation) -> Waiting:
    """How long the Rollout has been waiting, whatever for; it stands in no line."""
    return Waiting(since=o.status.waiting.since if o.status.waiting is not None else o.now)


def _refused(answers: tuple[Answer, ...], why: str) -> tuple[Answer, ...]:
    """A Retry that was heard cannot be granted; the others stand."""
    return tuple(
        Answer(action=a.action, outcome=ActionOutcome.REFUSED, message=why)
        if a.outcome is ActionOutcome.APPLIED
        else a
        for a in answers
    )


def obstacle(o: Observation, stable: str, canary: str) -> Problem | None:
    """What must be mended before traffic may move between two revisions; None: nothing."""
    for problem in (*o.subsets.problems, *o.routing.problems):
        if problem.reason != "DestinationMissing":
            return problem
    for revision in (canary, stable):
        if revision not in o.subsets.subsets:
            return _no_subset(o, revision)
    if o.routing.problems:
        return o.routing.problems[0]
    return o.arms_problem


def _no_subset(o: Observation, revision: str) -> Problem:
    known = sorted(o.subsets.subsets)
    near = nearest(revision, known)
    remedy = f"did you mean {near}?" if near else "add it there"
    where = o.subsets.destination_rule or "the DestinationRule"
    return Problem(
        reason="SubsetMissing",
        message=f"spec.revision: {revision} is no subset of DestinationRule {where}, "
        f"which has {', '.join(known) or 'none'}; {remedy}, or correct spec.revision",
    )


def _live(o: Observation) -> dict[str, Fraction]:
    """Subsets that get traffic in any owned route, with their greatest share."""
    live: dict[str, Fraction] = {}
    for route in o.routing.routes:
        for subset, share in route.shares:
            if share:
                live[subset] = max(share, live.get(subset, share))
    return live


def _split(o: Observation, spec: RolloutSpec) -> Problem | None:
    """A run starts only from a world in which the stable revision has all of the pair's traffic."""
    live = _live(o)
    stable = o.status.stable_revision
    if set(live) == {stable}:
        return None
    told = _told(live)
    return Problem(
        reason="TrafficSplit",
        message=f"traffic of {spec.host} is not all on {stable} but {told}; set the weight of "
        f"{stable} to the whole in the VirtualService, then the run to {o.revision} starts",
    )


def _told(live: dict[str, Fraction]) -> str:
    return ", ".join(f"{subset} {percent(100 * share)}" for subset, share in live.items()) or "none"


def _adopt(
    o: Observation, spec: RolloutSpec, *, retry: Command | None, answers: tuple[Answer, ...]
) -> Decision:
    """Take over a service that already takes traffic: nothing moves.

    What was stable, or turned down, of another host is kept until this one could be taken over: a
    misspelt host that is put right again has changed nothing.
    """
    problem = _unadoptable(o, spec)
    if problem is not None:
        if retry is not None:
            answers = _refused(answers, problem.message)
        return _rest(o, Phase.BLOCKED, problem.reason, problem.message, answers=answers)
    (stable,) = _live(o)
    o = _with_status(
        o, host=spec.host, stable_revision=stable, stable_since=o.now, rejected_revision=""
    )
    if spec.revision == stable:
        if retry is not None:
            answers = _refused(answers, f"all of {spec.host} is on {stable} already")
        return _stable(o, spec, answers=answers)
    return _may_start(o, spec, retry=retry, answers=answers)


def _unadoptable(o: Observation, spec: RolloutSpec) -> Problem | None:
    """Why no revision can be called stable; None: one can."""
    problems = (*o.subsets.problems, *o.routing.problems)
    if problems:
        return problems[0]
    live = _live(o)
    if len(live) == 1:
        return None
    if spec.revision not in o.subsets.subsets:
        return _no_subset(o, spec.revision)
    message = f"traffic of {spec.host} is split ({_told(live)}): {_ways_out(spec, live)}"
    return Problem(reason="TrafficSplit", message=message)


def _ways_out(spec: RolloutSpec, live: Mapping[str, Fraction]) -> str:
    """How a person makes one subset the stable one, so that there is something to start from."""
    others = " or ".join(subset for subset in live if subset != spec.revision)
    if not live:
        return "in the VirtualService give the subset that is stable the whole weight"
    starts = f"in the VirtualService give all to {others} and the run to {spec.revision} starts"
    if spec.revision not in live:
        return starts
    return f"{starts}, or all to {spec.revision} and it is stable at once"


def _stable(o: Observation, spec: RolloutSpec, *, answers: tuple[Answer, ...]) -> Decision:
    stable = o.status.stable_revision
    message = f"all of {spec.host} is on {stable}"
    if _moved(o):
        message = f"{stable} is the stable revision of {spec.host}; but {_moved(o)}"
    elif o.status.stable_since is not None:
        message += f" since {calendar_time(o.status.stable_since)}"
    reason = "Stable" if o.status.phase is not Phase.STABLE else o.status.reason or "Stable"
    if o.routing.problems:
        problem = o.routing.problems[0]
        message += f"; before another run: {problem.message}"
    return _rest(o, Phase.STABLE, reason, message, answers=answers)


def _start(o: Observation, spec: RolloutSpec, *, answers: tuple[Answer, ...]) -> Decision:
    """Begin a run: recorded first, with our finalizer on, before anything is routed to it."""
    last = o.status.run
    plan = plans.resolve(spec)
    run = Run(
        id=str(int(last.id) + 1 if last and last.id.isdecimal() else 1),
        canary_revision=o.revision,
        stable_revision=o.status.stable_revision,
        step_count=len(plan.strategy.steps),
        started_at=o.now,
        step_started_at=o.now,
        look_again_at=o.now,
        plan=plan,
        policies=o.policies,
        guarded=guards.ours(o, plan, canary=o.revision),
        evidence=RunEvidence(),
    )
    message = (
        f"run {run.id} takes {spec.host} from {run.stable_revision} to {run.canary_revision} in "
        f"{run.step_count} steps; makes sure of {run.canary_revision} first"
    )
    status = o.status.model_copy(
        update={"run": run, "rejected_revision": "", "retirable": (), "waiting": None}
    )
    return conclude(
        o,
        Conclusion(
            status=status,
            phase=Phase.PREPARING,
            reason="Started",
            message=message,
            finalizer=True,
            answers=answers,
            look_again_at=o.now,
            traffic=("True", "NotMoved", "no traffic has moved yet"),
        ),
    )


def _rest(
    o: Observation,
    phase: Phase,
    reason: str,
    message: str,
    *,
    answers: tuple[Answer, ...],
    waiting: Waiting | None = None,
    closed: Closed | None = None,
    look: datetime | None = None,
) -> Decision:
    if waiting is None and o.status.waiting is not None and phase in _KEEPS_WAITING:
        waiting = _waiting(o)
    status = o.status.model_copy(update={"retirable": _retirable(o), "waiting": waiting})
    return conclude(
        o,
        Conclusion(
            status=status,
            phase=phase,
            reason=reason,
            message=message,
            answers=answers,
            look_again_at=look if closed is None else closed.until,
            traffic=_matches(o),
            closed=closed,
        ),
    )


def _matches(o: Observation) -> tuple[State, str, str] | None:
    """At rest we touch nothing; that traffic was moved is worth knowing all the same."""
    stable = o.status.stable_revision
    live = _live(o)
    if o.routing.managed and stable:
        return "False", "ManagedRouteLeft", _moved(o)
    if not stable or not live or (o.spec is not None and not _same_host(o, o.spec.host)):
        return None
    if set(live) == {stable}:
        # What the last run found of it, and by whom it was seen, stays: it is still so.
        known = next(
            (c for c in o.status.conditions if c.type is ConditionType.TRAFFIC_MATCHES), None
        )
        if known is not None and known.status == "True":
            return known.status, known.reason, known.message
        return "True", "AllOnStable", f"all traffic goes to {stable}"
    return "False", "MovedAtRest", _moved(o)


def _moved(o: Observation) -> str:
    """That traffic is not where the last run left it, in words; empty when it is."""
    live = _live(o)
    if o.routing.managed:
        left = o.routing.managed[0]
        return (
            f"VirtualService {left.virtual_service} has the managed route {left.route}, which "
            "somebody has put there while no run is on; remove it"
        )
    if not live or set(live) == {o.status.stable_revision}:
        return ""
    return f"traffic was moved by somebody else: {_told(live)}; it is left alone"


def _retirable(o: Observation) -> tuple[str, ...]:
    """Revisions of past runs that have no traffic, and that nobody wants."""
    kept = {o.status.stable_revision, o.revision}
    if o.spec is not None and not _same_host(o, o.spec.host):
        return ()
    runs = [run for run in o.status.history if not run.host or _same_host(o, run.host)]
    past = [r for run in runs for r in (run.revision, run.stable_revision)]
    live = _live(o)
    found = {r: None for r in past if r and r not in kept and r not in live}
    return tuple(r for r in found if r in o.subsets.subsets)[:RETIRABLE_MAX]


def _kept_reason(o: Observation) -> str:
    ending = o.status.run.ending if o.status.run else None
    return str(ending.outcome) if ending else o.status.reason or "RolledBack"


def _kept_message(o: Observation) -> str:
    run = o.status.run
    if run is None or run.ending is None:
        return f"all traffic is on {o.status.stable_revision}; {o.revision} was taken back before"
    since = f" since {calendar_time(run.ended_at)}" if run.ended_at else ""
    moved = _moved(o)
    if moved:
        return f"{run.canary_revision} was taken back: {run.ending.because}; but {moved}"
    return (
        f"all of {run.plan.host} is on {run.stable_revision}{since}: {run.ending.because}; "
        f"`rollout retry {o.key.name}` runs {run.canary_revision} again"
    )


def _with_status(o: Observation, **update: object) -> Observation:
    """The observation as it would be had the status these values already."""
    return replace(o, status=o.status.model_copy(update=update))
