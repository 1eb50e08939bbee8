"""A run in progress: up the ladder, held, retreating, or on its way back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from rollout.analysis import evidence as evidences
from rollout.api.evidence import Verdict
from rollout.api.phase import Outcome, Phase
from rollout.api.status import Ending, Run
from rollout.base.quantity import parse_duration, print_duration
from rollout.engine import (
    absence,
    approvals,
    commands,
    ending,
    guards,
    hooking,
    ladder,
    propagation,
    questions,
    ramping,
    staying,
    words,
)
from rollout.engine import plan as plans
from rollout.engine.commands import Orders, Standing
from rollout.engine.conclude import clock_time, in_line, percent
from rollout.engine.decision import Decision, Happening
from rollout.engine.ladder import Rung
from rollout.engine.observation import Observation
from rollout.engine.propagation import Known


def in_run(o: Observation, run: Run) -> Decision:
    """What to do while a run is on: ends come first, then what is missing, then the ladder."""
    run = hooking.heard(o, run)
    missing = _missing(o, run)
    run = _not_hurried(o, _counting(o, run, hindered=missing is not None))
    standing = Standing(end=_end(o, run), missing=missing[1] if missing else "")
    orders = _remembered(o, run, commands.read(o, standing))
    run = run.model_copy(
        update={
            "paused": orders.paused,
            "promoted_full": orders.full or run.promoted_full,
            # Once it is decided that the run ends, the verdicts that decided it stay as they were.
            "gates": run.gates if run.ending else ending.gate_statuses(o.verdicts),
            "evidence": o.evidence or run.evidence,
            "observed_weight": staying.observed_weight(o, run),
        }
    )
    for command in orders.approved:
        run = approvals.with_decision(run, run.step, command, approves=True)
    if orders.rejected is not None:
        run = approvals.with_decision(run, run.step, orders.rejected, approves=False)
    end = run.ending or _aborted(o, orders) or _rejected(o, run, orders) or standing.end
    if end is not None and (run.ending is not None or _may_return(o, run, end)):
        run = run.model_copy(update={"ending": end})
        return ending.roll_back(o, run, answers=orders.answers)
    if end is not None:
        message = (
            f"{end.because}; but {run.stable_revision} has no ready endpoint to go back to: mend "
            f"it, or `rollout abort {o.key.name}` goes back all the same"
            f"{o.unread and '; '}{o.unread}"
        )
        return staying.stay(
            o, run, orders, phase=Phase.BLOCKED, reason="StableNotReady", message=message
        )
    if missing is not None:
        return _without(o, run, orders, reason=missing[0], message=missing[1])
    if run.step == 0 or run.retreated:
        return _prepare(o, run, orders)
    return _climb(o, run, orders)


def _remembered(o: Observation, run: Run, orders: Orders) -> Orders:
    """The orders, with that of who ended the step while webhooks had yet to say something."""
    closed = o.closed is not None and run.weight < plans.FULL_PERCENT
    stays = orders.promote is not None or orders.paused is not None or closed or run.retreated
    return orders if stays else replace(orders, promote=run.sent_on)


def _counting(o: Observation, run: Run, *, hindered: bool) -> Run:
    """The run, its step begun later by the time in which its routes could not have its weight."""
    if hindered and run.step > 0 and not run.retreated and not _as_written(o, run):
        return run.model_copy(update={"unrouted_since": run.unrouted_since or o.now})
    if run.unrouted_since is None:
        return run
    # Whatever times somebody wrote there: no step begins before it did, or after now.
    lost = o.now - max(run.unrouted_since, run.step_started_at)
    began = run.step_started_at + max(lost, timedelta())
    update = {"step_started_at": began, "unrouted_since": None}
    return run.model_copy(update={**update, "ramped_at": run.ramped_at and o.now})


def _not_hurried(o: Observation, run: Run) -> Run:
    """The run, the time in which it may get no more put aside: its deadline does not count it."""
    if o.closed is not None and run.weight < plans.FULL_PERCENT:
        return run.model_copy(update={"closed_since": run.closed_since or o.now})
    if run.closed_since is None:
        return run
    passed_ms = max(0, round(1000 * (o.now - run.closed_since).total_seconds()))
    return run.model_copy(update={"closed_since": None, "closed_ms": run.closed_ms + passed_ms})


def _as_written(o: Observation, run: Run) -> bool:
    routed = ending.shares(o, run)
    if staying.lacks_managed(o, run):
        return False
    return bool(routed) and all(abs(s - run.weight) <= staying.SAME_PERCENT for s in routed)


def _aborted(o: Observation, orders: Orders) -> Ending | None:
    if orders.abort is None:
        return None
    told = in_line(orders.abort.reason)
    because = f"aborted by {orders.abort.by}" + (f": {told}" if told else "")
    return ending.taken_back(Outcome.ABORTED, because, now=o.now, command=orders.abort)


def _rejected(o: Observation, run: Run, orders: Orders) -> Ending | None:
    command = orders.rejected
    if command is None:
        return None
    told = in_line(command.reason)
    because = f"step {run.step} was rejected by {command.by}" + (f": {told}" if told else "")
    return ending.taken_back(Outcome.ABORTED, because, now=o.now, command=command)


def _end(o: Observation, run: Run) -> Ending | None:
    """Why the run should be taken back by itself, the most important reason first."""
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
    found_wanting = absence.end(o, run) or _turned_down(o, run)
    if found_wanting is not None:
        return found_wanting
    expires = approvals.expires_at(run)
    asked = approvals.asked_at(run.plan, run.step)
    is_late = (
        expires is not None and o.now >= expires and not approvals.was_answered(o, run, by=expires)
    )
    if is_late and asked and asked.on_expiry == "Abort":
        because = f"nobody approved step {run.step} within {asked.expires_after}"
        if approvals.given_count(run, run.step):
            because = f"too few approved step {run.step} within {asked.expires_after}"
        return ending.taken_back(Outcome.ABORTED, because, now=o.now)
    strategy = run.plan.strategy
    if ladder.overdue(run, now=o.now) and strategy.on_deadline == "Rollback":
        because = f"not promoted within maxDuration ({strategy.max_duration})"
        return ending.taken_back(Outcome.ROLLED_BACK, because, now=o.now)
    return None


def _turned_down(o: Observation, run: Run) -> Ending | None:
    because = hooking.ends(run)
    return ending.taken_back(Outcome.ROLLED_BACK, because, now=o.now) if because else None


def _failing(o: Observation) -> tuple[str, str] | None:
    return next(
        ((v.name, v.because) for v in o.verdicts if v.verdict is Verdict.FAIL and not v.advisory),
        None,
    )


def _too_late(o: Observation, run: Run, orders: Orders) -> bool:
    """Whether the deadline holds the run; a person may send it on all the same."""
    sent = orders.promote is not None or ladder.skips(run)
    return ladder.overdue(run, now=o.now) and not sent


def _may_return(o: Observation, run: Run, end: Ending) -> bool:
    """Whether the stable revision can take the traffic; a person's abort is obeyed regardless."""
    sends = run.weight > 0 or plans.match_at(run.plan, run.step) is not None
    if end.command is not None or not sends:
        return True
    return _serves(o, run.stable_revision)


def _serves(o: Observation, revision: str) -> bool:
    """Whether traffic sent to a revision arrives anywhere."""
    return revision in o.subsets.subsets and o.ready.get(revision, 0) > 0


def _missing(o: Observation, run: Run) -> tuple[str, str] | None:
    """What keeps the canary from taking traffic: reason and sentence; None: nothing."""
    canary = run.canary_revision
    problems = [p for p in o.subsets.problems if not guards.is_harmless(run, p)]
    if problems:
        return problems[0].reason, problems[0].message
    if canary not in o.subsets.subsets:
        where = o.subsets.destination_rule or "the DestinationRule"
        return "SubsetMissing", f"{canary} is no subset of DestinationRule {where}; add it there"
    if o.ready.get(canary, 0) == 0:
        labels = ", ".join(f"{k}={v}" for k, v in sorted(o.subsets.subsets[canary].items()))
        told = f"{canary} has no ready endpoint; make pods with {labels or 'its labels'} ready"
        return "NoReadyEndpoints", f"{told}{o.unread and '; '}{o.unread}"
    if o.routing.problems:
        return o.routing.problems[0].reason, o.routing.problems[0].message
    if o.arms_problem is not None:
        return o.arms_problem.reason, o.arms_problem.message
    barred = hooking.not_allowed(o, run.plan.webhooks) if run.step == 0 else None
    return None if barred is None else (barred.reason, barred.message)


def _without(o: Observation, run: Run, orders: Orders, *, reason: str, message: str) -> Decision:
    """Something is missing: before traffic has moved wait; afterwards leave the canary at once."""
    if run.step == 0:
        run = run.model_copy(update={"settled_since": None})
        phase = Phase.PREPARING if reason == "NoReadyEndpoints" else Phase.BLOCKED
        told = f"waits before any traffic moves: {message}{_until(o, run)}"
        return staying.stay(o, run, orders, phase=phase, reason=reason, message=told)
    if not _serves(o, run.canary_revision) and _serves(o, run.stable_revision):
        since = run.step_started_at if run.retreated else o.now
        run = run.model_copy(
            update={
                "retreated": True,
                "settled_since": None,
                "unrouted_since": None,
                "weight": 0.0,
                "step_started_at": since,
            }
        )
        message = f"all traffic is on {run.stable_revision} for now: {message}{_until(o, run)}"
    else:
        message = f"stays at {percent(run.weight)}: {message}{_until(o, run)}"
    return staying.stay(o, run, orders, phase=Phase.BLOCKED, reason=reason, message=message)


def _until(o: Observation, run: Run) -> str:
    """What happens if nobody does anything."""
    deadline = ladder.deadline(run)
    if deadline is None or deadline <= o.now or run.plan.strategy.on_deadline == "Hold":
        return ""
    return f"; goes back for good at {clock_time(deadline, now=o.now)}"


def _prepare(o: Observation, run: Run, orders: Orders) -> Decision:
    """All is there; proxies must know of it, or have had time to, before traffic goes there."""
    since = guards.settled_since(o, run)
    run = run.model_copy(update={"settled_since": since})
    if since is None:
        return staying.unguarded(o, run, orders, phase=Phase.PREPARING)
    if not guards.stands(o, run):
        return staying.guarding(o, run, orders)
    known = propagation.of_subset(o, since=since, sent=ladder.skips(run))
    if not known.is_over and not _too_late(o, run, orders):
        return staying.unsettled(o, run, orders, known=known)
    failing = _failing(o)
    if failing is not None:
        return staying.failing(o, run, orders, because=failing[1])
    if _too_late(o, run, orders):
        return staying.past_deadline(o, run, orders)
    if run.paused is not None or o.closed is not None:
        return staying.held(o, run, orders)
    least = plans.full_step(run.plan) if ladder.skips(run) else 1
    return _enter(o, run, orders, step=max(run.step, least))


def _climb(o: Observation, run: Run, orders: Orders) -> Decision:
    """The ladder itself."""
    known = propagation.of_weight(o, run)
    rung = ladder.read(
        run,
        o.verdicts,
        now=o.now,
        settled_at=known.due,
        promoted=orders.promote is not None,
        blind=bool(o.metrics_problem),
        excused=absence.excused(o, run),
    )
    failing = _failing(o)
    if failing is not None:
        return staying.failing(o, run, orders, because=failing[1])
    if _too_late(o, run, orders):
        return staying.past_deadline(o, run, orders)
    sent = orders.promote is not None or orders.full is not None
    asks = approvals.asks(run, run.step)  # people may think while nothing may move
    closed = o.closed is not None and run.weight < plans.FULL_PERCENT and not asks
    held = (run.paused is not None or closed) and not sent
    if held and run.step <= run.step_count:
        return staying.held(o, run, orders)
    if held and run.paused is not None and rung.due is not None and o.now >= rung.due:
        # The bake is over as far as time goes: it is the pause that keeps it, whatever gates say.
        return staying.held(o, run, orders)
    if ladder.skips(run):
        return _enter(o, run, orders, step=plans.full_step(run.plan))
    return _go_on(o, run, orders, rung=rung, known=known)


def _go_on(o: Observation, run: Run, orders: Orders, *, rung: Rung, known: Known) -> Decision:
    """Nothing is in the way: the next step when this one is over, more weight on a ramp."""
    sent = orders.promote is not None or orders.full is not None
    if rung.done and (sent or known.is_over):
        return _next(o, run, orders, rung=rung)
    growth = ramping.growth(o, run)
    if growth is not None:
        if growth.percent > run.weight and known.is_over and guards.stands(o, run):
            seen_ms = o.evidence.newest_ms if o.evidence is not None else 0
            run = run.model_copy(
                update={
                    "weight": growth.percent,
                    "ramped_at": o.now,
                    "ramped_weight": max(run.ramped_weight, growth.percent),
                    "ramped_ms": seen_ms,
                }
            )
            known = propagation.of_weight(o, run)
        return staying.ramping(o, run, orders, growth=growth, known=known)
    return staying.hold(o, run, orders, rung=rung, known=known)


def _next(o: Observation, run: Run, orders: Orders, *, rung: Rung) -> Decision:
    """The step is over: the next one, the bake, or the end."""
    rises = run.step < run.step_count and orders.promote is None
    if rises and not guards.stands(o, run):
        return staying.unguarded(o, run, orders, phase=rung.phase)
    baking = run.step > run.step_count
    bake = parse_duration(run.plan.strategy.bake)
    if not baking and (run.step < run.step_count or bake > 0):
        return _enter(o, run, orders, step=run.step + 1, proof=_proof(o, run, orders))
    stuck = guards.in_the_way(o, run)
    if stuck is not None:
        run = run.model_copy(update={"settled_since": run.settled_since or o.now})
        until = ending.patience_ends_at(o, since=run.settled_since or o.now)
        if o.now < until:
            return staying.stuck(o, run, orders, because=stuck.message, until=until)
    took = print_duration((o.now - run.started_at).total_seconds())
    return ending.promote(o, run, answers=orders.answers, because=f"promoted after {took}")


def _proof(o: Observation, run: Run, orders: Orders) -> str:
    """What was proved before the canary gets everything, for the Event; empty: nothing was."""
    if orders.promote is not None or not plans.proves(run.plan, run.step):
        return ""
    asked = {gate.name for gate in plans.asked(run.plan, run.step) if gate.query is None}
    return "; ".join(v.because for v in o.verdicts if v.name in asked)


def _enter(o: Observation, run: Run, orders: Orders, *, step: int, proof: str = "") -> Decision:
    """Begin a step: its weight is written, its evidence starts from nothing."""
    asked = hooking.before(o, run, step)
    if asked is not None:
        return staying.asking(o, run, orders, step=step, asked=asked)
    weight, is_ramp = plans.weight_at(run.plan, step), plans.ramp_at(run.plan, step) is not None
    if is_ramp:
        weight = max(run.weight, ramping.first_percent(o, run, step))
    evidence = None
    if run.evidence is not None:
        evidence = evidences.begin_step(
            run.evidence, questions.of_plan(run.plan), is_full=weight >= plans.FULL_PERCENT
        )
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
            "sent_on": None,
            "settled_since": None,
            "ramped_at": o.now if is_ramp else None,
            "ramped_weight": max(run.ramped_weight, weight) if is_ramp else 0.0,
            "ramped_ms": run.evidence.newest_ms if is_ramp and run.evidence is not None else 0,
            "unrouted_since": None,
            "closed_ms": 0 if weight >= plans.FULL_PERCENT else run.closed_ms,
            "evidence": evidence,
            "gates": gates,
            "observed_weight": None,
        }
    )
    known = propagation.of_weight(o, run)
    rung = ladder.read(run, (), now=o.now, settled_at=known.due, promoted=False)
    told = f"{words.share(run)} {words.where(run)}{proof and '; '}{proof}"
    news = Happening(type="Normal", reason="StepBegan", message=told)
    return staying.hold(o, run, orders, rung=rung, known=known, news=news)
