"""Commands of people, read against the run they name: what they order, and what they are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from rollout.api.action import ActionOutcome, ActionSpec, Verb
from rollout.api.evidence import Verdict
from rollout.api.status import Command, Ending, Run
from rollout.engine import approvals, hooking, ladder
from rollout.engine import plan as plans
from rollout.engine.decision import Answer
from rollout.engine.observation import Observation

APPLIED, IGNORED, REFUSED = ActionOutcome.APPLIED, ActionOutcome.IGNORED, ActionOutcome.REFUSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What people want of the run, all commands taken together.

    Attributes:
        abort: take all traffic back.
        promote: end the present step.
        full: go to 100 percent.
        paused: who holds the run; None: nobody.
        retry: run the rejected revision again.
        rejected: who says no to the present step's approval.
        approved: who says yes to it.
        answers: what each command is told; what was applied is obeyed by this very decision.
    """

    abort: Command | None = None
    promote: Command | None = None
    full: Command | None = None
    paused: Command | None = None
    retry: Command | None = None
    rejected: Command | None = None
    approved: tuple[Command, ...] = ()
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a run stands before anybody is heard.

    Attributes:
        end: why it is taken back, if it is: then only Abort is obeyed.
        missing: what keeps traffic from the canary, in a sentence; empty: nothing.
    """

    end: Ending | None = None
    missing: str = ""


NOTHING_IN_THE_WAY = Standing()

IN_EFFECT = "is in effect already"
"""What is answered to somebody who says the same thing again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One command before the run it names."""

    o: Observation
    run: Run
    standing: Standing
    spec: ActionSpec
    command: Command


_Obeyed = tuple[Orders, ActionOutcome, str]


def read(o: Observation, standing: Standing = NOTHING_IN_THE_WAY) -> Orders:
    """All unanswered commands, oldest first; an Abort beats whatever came before it."""
    run = o.status.run
    orders = Orders(paused=run.paused if run else None)
    for action in o.actions:
        if action.spec is None:
            outcome, message = REFUSED, action.problem
        elif run is None:
            outcome, message = IGNORED, f"{o.key.name} has had no run yet"
        else:
            spec = action.spec
            command = Command(by=spec.actor, via=spec.via, at=o.now, reason=spec.reason)
            case = _Case(o=o, run=run, standing=standing, spec=spec, command=command)
            orders, outcome, message = _obey(case, orders)
        answer = Answer(action=action.name, outcome=outcome, message=message)
        orders = replace(orders, answers=(*orders.answers, answer))
    return orders


def all_ignored(o: Observation, why: str) -> tuple[Answer, ...]:
    """What everybody is told when no command matters any more."""
    return tuple(Answer(action=a.name, outcome=IGNORED, message=why) for a in o.actions)


def _obey(case: _Case, orders: Orders) -> _Obeyed:
    run, spec = case.run, case.spec
    if spec.run != run.id:
        return orders, IGNORED, f"run {spec.run} is not the present one ({run.id})"
    if _is_in_effect(case):
        return orders, APPLIED, IN_EFFECT
    over = "" if spec.verb is Verb.RETRY else _over(case, orders)
    if over:
        return orders, IGNORED, over
    return _OBEYED_BY[spec.verb](case, orders)


def _same(case: _Case, recorded: Command | None) -> bool:
    """Whether this was said before and stands in the status: perhaps its answer was lost."""
    said = case.command
    known = (recorded.by, recorded.via, recorded.reason) if recorded is not None else None
    return known == (said.by, said.via, said.reason)


def _is_in_effect(case: _Case) -> bool:
    """Whether what ends or passes a step was said before: perhaps its answer was lost."""
    run, spec = case.run, case.spec
    if spec.verb in {Verb.ABORT, Verb.REJECT} and run.ending is not None:
        return _same(case, run.ending.command)
    said = approvals.has_said(run, spec.step or 0, spec.actor, approves=True)
    return spec.verb is Verb.APPROVE and said and run.ended_at is None


def _over(case: _Case, orders: Orders) -> str:
    """Why it is too late for any command but Retry; empty when it is not."""
    run, end = case.run, case.standing.end
    if run.ended_at is not None:
        return f"run {run.id} is over" + (f": {run.ending.outcome}" if run.ending else "")
    if run.ending is not None:
        return f"run {run.id} is on its way back already: {run.ending.because}"
    if orders.abort is not None:
        return f"run {run.id} was aborted by {orders.abort.by}"
    if orders.rejected is not None and case.spec.verb is not Verb.ABORT:
        return f"step {run.step} was rejected by {orders.rejected.by}"
    if end is not None and case.spec.verb is not Verb.ABORT:
        return f"run {run.id} is taken back: {end.because}"
    return ""


def _abort(case: _Case, orders: Orders) -> _Obeyed:
    """Whoever was heard in the same moment is told that it came to nothing."""
    beaten = _beaten(orders, f"{case.command.by} aborted run {case.run.id}")
    orders = replace(orders, abort=case.command, answers=beaten)
    return orders, APPLIED, f"{case.run.canary_revision} loses all traffic"


def _beaten(orders: Orders, told: str) -> tuple[Answer, ...]:
    """What those are told who were heard in the same moment as somebody who ends the run."""
    return tuple(
        replace(a, outcome=IGNORED, message=told) if a.outcome is APPLIED else a
        for a in orders.answers
    )


def _pause(case: _Case, orders: Orders) -> _Obeyed:
    if _same(case, orders.paused):
        return orders, APPLIED, IN_EFFECT
    if orders.paused is not None:
        return orders, IGNORED, f"paused already by {orders.paused.by}"
    moves = orders.promote is not None or orders.full is not None
    where = "where it gets to" if moves else f"at {case.run.weight:g} %"
    return replace(orders, paused=case.command), APPLIED, f"stays {where} until resumed"


def _resume(case: _Case, orders: Orders) -> _Obeyed:
    late = _late(case)
    if late is not None:
        return orders, *late
    if orders.paused is None:
        return orders, IGNORED, "is not paused"
    return replace(orders, paused=None), APPLIED, "goes on"


def _late(case: _Case) -> tuple[ActionOutcome, str] | None:
    step, present = case.spec.step, case.run.step
    if step is None:
        return REFUSED, f"names no step; the run is at step {present}: set spec.step"
    if step != present:
        return IGNORED, f"step {step} is not the present one ({present})"
    return None


def _forbidden(case: _Case) -> str:
    """Why nobody may send the run on now; empty when they may."""
    failing = [v for v in case.o.verdicts if v.verdict is Verdict.FAIL]
    if failing:
        return f"gate {failing[0].name} fails: {failing[0].because}"
    if case.o.closed is not None and case.run.weight < plans.FULL_PERCENT:
        return case.o.closed.because
    said_no = hooking.refusal(case.run)
    if said_no:
        again = f"it is asked anew every {hooking.AGAIN_SECONDS:g} s"
        return f"{said_no}; {again}, and nobody passes it but by its yes"
    return ""


def _promote(case: _Case, orders: Orders) -> _Obeyed:
    run, missing = case.run, case.standing.missing
    late = _late(case)
    if late is not None:
        return orders, *late
    if orders.promote is not None:
        return orders, IGNORED, f"step {run.step} was ended by {orders.promote.by} already"
    forbidden = _forbidden(case) or _unapproved(case, orders)
    if forbidden:
        return orders, REFUSED, forbidden
    if missing or run.step == 0 or run.retreated:
        because = missing or f"{run.canary_revision} is not ready to take traffic"
        return orders, REFUSED, because
    message = f"step {run.step} ends{hooking.proviso(run, run.step + 1)}"
    return replace(orders, promote=case.command, paused=None), APPLIED, message


def _unapproved(case: _Case, orders: Orders) -> str:
    """That the present step waits for an approval, which nobody passes; empty: it does not."""
    run = case.run
    asked = approvals.asked_at(run.plan, run.step)
    if asked is None or _is_given(run, orders):
        return ""
    return f"step {run.step} waits for an approval: `rollout approve {case.o.key.name}`"


def _is_given(run: Run, orders: Orders) -> bool:
    """Whether enough people have approved the present step, those just heard among them."""
    for command in orders.approved:
        run = approvals.with_decision(run, run.step, command, approves=True)
    return approvals.is_given(run, run.step)


def _may_not_pass(case: _Case) -> str:
    """Why somebody may not go past the approvals that are ahead; empty: they may."""
    run, spec = case.run, case.spec
    ahead = approvals.ahead(run)
    if ahead and case.o.unverified:
        return case.o.unverified
    for step in ahead:
        asked = approvals.asked_at(run.plan, step)
        assert asked is not None, "it is one of those that ask"
        if not approvals.may(asked.approvers, spec):
            told = f"step {step} waits for an approval, and {spec.actor} is none of its approvers"
            return f"{told} ({approvals.people(asked.approvers)})"
        if not approvals.is_given(
            approvals.with_decision(run, step, case.command, approves=True), step
        ):
            return f"step {step} waits for {asked.quorum} people to approve, which one cannot pass"
    return ""


def _approve(case: _Case, orders: Orders) -> _Obeyed:
    """Yes to the approval that is the present step; heard also while the run is paused."""
    refused = _not_asked(case)
    if refused is not None:
        return orders, *refused
    run, command = case.run, case.command
    if command.by in {one.by for one in orders.approved}:
        return orders, APPLIED, IN_EFFECT
    if _is_given(run, orders):
        who = approvals.who_approved(run, run.step) or orders.approved[-1].by
        return orders, IGNORED, f"step {run.step} was approved by {who} already"
    orders = replace(orders, approved=(*orders.approved, command))
    for one in orders.approved:
        run = approvals.with_decision(run, run.step, one, approves=True)
    asked = approvals.asked_at(run.plan, run.step)
    assert asked is not None, "it was asked for"
    missing = asked.quorum - approvals.given_count(run, run.step)
    if missing > 0:
        return orders, APPLIED, f"step {run.step} is approved; {missing} more must approve"
    return orders, APPLIED, f"step {run.step} is approved"


def _reject(case: _Case, orders: Orders) -> _Obeyed:
    """No to the approval that is the present step: the run ends."""
    refused = _not_asked(case)
    if refused is not None:
        return orders, *refused
    if _is_given(case.run, replace(orders, approved=())):
        who = approvals.who_approved(case.run, case.run.step)
        told = f"step {case.run.step} was approved by {who} already"
        return orders, IGNORED, f"{told}: `rollout abort {case.o.key.name}` ends the run"
    beaten = _beaten(orders, f"{case.command.by} rejected step {case.run.step}")
    orders = replace(orders, rejected=case.command, answers=beaten)
    return orders, APPLIED, f"{case.run.canary_revision} loses all traffic"


def _not_asked(case: _Case) -> tuple[ActionOutcome, str] | None:
    """Why somebody is not heard on an approval; None: they are."""
    late = _late(case)
    if late is not None:
        return late
    run, spec = case.run, case.spec
    asked = approvals.asked_at(run.plan, run.step)
    if asked is None:
        return IGNORED, f"step {run.step} asks for no approval"
    if case.o.unverified:
        return REFUSED, case.o.unverified
    if not approvals.may(asked.approvers, spec):
        told = f"{spec.actor} is none of the approvers of step {run.step}"
        return REFUSED, f"{told}; those are {approvals.people(asked.approvers)}"
    return None


def _promote_full(case: _Case, orders: Orders) -> _Obeyed:
    """Also before any traffic moves: then it is remembered until the canary is ready."""
    run = case.run
    there = run.step >= plans.full_step(run.plan) and not run.retreated
    before = orders.full or (run.promoted_full if there or ladder.skips(run) else None)
    if _same(case, before) and orders.paused is None:
        return orders, APPLIED, IN_EFFECT
    if there:
        return orders, IGNORED, "has come to 100 % already"
    if before is not None and orders.paused is None:
        return orders, IGNORED, f"{before.by} has sent it to 100 % already"
    forbidden = _forbidden(case) or _may_not_pass(case)
    if forbidden:
        return orders, REFUSED, forbidden
    proviso = hooking.proviso(run, plans.full_step(run.plan))
    message = f"goes to 100 %{proviso}; the bake follows"
    if case.standing.missing:
        message += f", as soon as this is mended: {case.standing.missing}"
    return replace(orders, full=case.command, paused=None), APPLIED, message


def _retry(case: _Case, orders: Orders) -> _Obeyed:
    o, run = case.o, case.run
    if run.ended_at is None:
        return orders, IGNORED, f"run {run.id} is in progress"
    if not o.status.rejected_revision or o.revision != o.status.rejected_revision:
        return orders, IGNORED, "spec.revision is not one that was taken back"
    if orders.retry is not None:
        return orders, IGNORED, f"asked already by {orders.retry.by}"
    return replace(orders, retry=case.command), APPLIED, f"runs {o.revision} again"


_OBEYED_BY: Mapping[Verb, Callable[[_Case, Orders], _Obeyed]] = MappingProxyType(
    {
        Verb.ABORT: _abort,
        Verb.PAUSE: _pause,
        Verb.RESUME: _resume,
        Verb.PROMOTE: _promote,
        Verb.PROMOTE_FULL: _promote_full,
        Verb.RETRY: _retry,
        Verb.APPROVE: _approve,
        Verb.REJECT: _reject,
    }
)
