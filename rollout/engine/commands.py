"""Commands of people, read against the run they name: what they order, and what they are told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from rollout.api.action import ActionOutcome, ActionSpec, Verb
from rollout.api.evidence import Verdict
from rollout.api.status import Command, Run
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
        answers: what each command is told.
    """

    abort: Command | None = None
    promote: Command | None = None
    full: Command | None = None
    paused: Command | None = None
    retry: Command | None = None
    answers: tuple[Answer, ...] = ()


def read(o: Observation) -> Orders:
    """All unanswered commands, oldest first; an Abort beats whatever came before it."""
    run = o.status.run
    orders = Orders(paused=run.paused if run else None)
    for action in o.actions:
        if action.spec is None:
            outcome, message = REFUSED, action.problem
        else:
            command = Command(
                by=action.spec.actor, via=action.spec.via, at=o.now, reason=action.spec.reason
            )
            orders, outcome, message = _obey(o, orders, action.spec, command=command)
        answer = Answer(action=action.name, outcome=outcome, message=message)
        orders = replace(orders, answers=(*orders.answers, answer))
    return orders


_Obeyed = tuple[Orders, ActionOutcome, str]


def _obey(o: Observation, orders: Orders, spec: ActionSpec, *, command: Command) -> _Obeyed:
    run = o.status.run
    if run is None:
        return orders, IGNORED, f"{o.key.name} has had no run yet"
    if spec.run != run.id:
        return orders, IGNORED, f"run {spec.run} is not the present one ({run.id})"
    if spec.verb is Verb.RETRY:
        return _retry(o, orders, run, command=command)
    if run.ended_at is not None and run.ending is not None:
        return orders, IGNORED, f"run {run.id} is over: {run.ending.outcome}"
    if run.ending is not None:
        return orders, IGNORED, f"run {run.id} is on its way back already: {run.ending.because}"
    if orders.abort is not None:
        return orders, IGNORED, f"run {run.id} was aborted by {orders.abort.by}"
    return _in_run(o, orders, spec, run=run, command=command)


def _in_run(
    o: Observation, orders: Orders, spec: ActionSpec, *, run: Run, command: Command
) -> _Obeyed:
    match spec.verb:
        case Verb.ABORT:
            message = f"{run.canary_revision} loses all traffic"
            return replace(orders, abort=command), APPLIED, message
        case Verb.PAUSE:
            return _pause(orders, run, command=command)
        case Verb.RESUME:
            return _resume(orders, spec, run)
        case Verb.PROMOTE | Verb.PROMOTE_FULL:
            return _promote(o, orders, spec, run=run, command=command)
        case Verb.RETRY:
            raise AssertionError  # read before
    assert_never(spec.verb)


def _pause(orders: Orders, run: Run, *, command: Command) -> _Obeyed:
    if orders.paused is not None:
        return orders, IGNORED, f"paused already by {orders.paused.by}"
    return replace(orders, paused=command), APPLIED, f"stays at {run.weight:g} % until resumed"


def _resume(orders: Orders, spec: ActionSpec, run: Run) -> _Obeyed:
    late = _late(spec, run)
    if late is not None:
        return orders, *late
    if orders.paused is None:
        return orders, IGNORED, "is not paused"
    return replace(orders, paused=None), APPLIED, "goes on"


def _late(spec: ActionSpec, run: Run) -> tuple[ActionOutcome, str] | None:
    if spec.step is None:
        return REFUSED, f"names no step; the run is at step {run.step}: set spec.step"
    if spec.step != run.step:
        return IGNORED, f"step {spec.step} is not the present one ({run.step})"
    return None


def _promote(
    o: Observation, orders: Orders, spec: ActionSpec, *, run: Run, command: Command
) -> _Obeyed:
    failing = [v for v in o.verdicts if v.verdict is Verdict.FAIL]
    if failing:
        return orders, REFUSED, f"gate {failing[0].name} fails: {failing[0].because}"
    if o.suspended:
        return orders, REFUSED, "spec.suspend is true: nothing increases until it is false"
    if spec.verb is Verb.PROMOTE_FULL:
        if run.step >= plans.full_step(run.plan):
            return orders, IGNORED, "has 100 % already"
        message = "goes to 100 %; the bake follows"
        return replace(orders, full=command, paused=None), APPLIED, message
    late = _late(spec, run)
    if late is not None:
        return orders, *late
    if run.step == 0 or run.retreated:
        return orders, REFUSED, f"{run.canary_revision} is not ready to take traffic"
    return replace(orders, promote=command, paused=None), APPLIED, f"step {run.step} ends"


def _retry(o: Observation, orders: Orders, run: Run, *, command: Command) -> _Obeyed:
    if run.ended_at is None:
        return orders, IGNORED, f"run {run.id} is in progress"
    if not o.status.rejected_revision or o.revision != o.status.rejected_revision:
        return orders, IGNORED, "spec.revision is not one that was taken back"
    if orders.retry is not None:
        return orders, IGNORED, f"asked already by {orders.retry.by}"
    return replace(orders, retry=command), APPLIED, f"runs {o.revision} again"
