"""Webhooks that a run waits for: which are asked when, and what comes of what they say.

A run asks only once a step may begin as far as everything else goes, and keeps each newest answer
in its status: whoever takes over asks nothing twice that was answered, and asks what was not under
the same name. Nothing here is waited for by what takes traffic back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rollout.api.phase import Outcome
from rollout.api.rollout import Plan
from rollout.api.status import Run
from rollout.api.traffic import Problem
from rollout.api.webhook import INFORMING, HookPoint, HookResult, Webhook, is_allowed
from rollout.engine import plan as plans
from rollout.engine.decision import Decision, Happening, HookCall, cut
from rollout.engine.observation import Observation

AGAIN_SECONDS = 60.0
"""How long after a no that only holds a webhook is asked anew."""

NOT_ALLOWED = "WebhookNotAllowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What must still be said before a step may begin.

    Attributes:
        names: the webhooks that have not said yes.
        calls: those to ask now.
        said_no: a no that holds, in a sentence; empty: there is none.
        again_at: when that one is asked anew.
        barred: that one of their addresses may not be asked at all.
    """

    names: tuple[str, ...]
    calls: tuple[HookCall, ...]
    said_no: str = ""
    again_at: datetime | None = None
    barred: Problem | None = None


def heard(o: Observation, run: Run) -> Run:
    """The run, with what webhooks have said since; of each its newest answer stays."""
    known = {result.name: result for result in run.hooks}
    asked = {hook.name: hook for hook in run.plan.webhooks}
    for result in o.hooks:
        hook, old = asked.get(result.name), known.get(result.name)
        if hook is None or hook.point is not result.point:
            continue
        if run.ending is not None and hook.point not in INFORMING:
            continue
        if old is None or (old.step, old.round) < (result.step, result.round):
            known[result.name] = result
    hooks = tuple(known[name] for name in asked if name in known)
    return run if hooks == run.hooks else run.model_copy(update={"hooks": hooks})


def before(o: Observation, run: Run, step: int) -> Asked | None:
    """What keeps a step, counted from 1, from beginning; None: nothing."""
    left = [hook for hook in due(run, step) if not _is_settled(run, hook, step)]
    if not left:
        return None
    calls: list[HookCall] = []
    said_no, again_at = "", None
    for hook in left:
        result = _answer(run, hook, step)
        again = result.at + timedelta(seconds=AGAIN_SECONDS) if result is not None else o.now
        if result is not None and hook.failure == "Hold" and not said_no:
            said_no, again_at = told(result), again
        if (result is None or hook.failure == "Hold") and again <= o.now:
            number = result.round + 1 if result is not None else 1
            calls.append(HookCall(run=run.id, step=step, round=number, webhook=hook))
    names = tuple(hook.name for hook in left)
    barred = not_allowed(o, run.plan.webhooks, only=names)
    return Asked(
        names=names,
        calls=tuple(calls) if barred is None else (),
        said_no=said_no,
        again_at=again_at,
        barred=barred,
    )


def due(run: Run, step: int) -> tuple[Webhook, ...]:
    """The webhooks that must have said yes before a step, counted from 1, begins."""
    return tuple(hook for hook in run.plan.webhooks if _is_before(hook, run, step))


def _is_before(hook: Webhook, run: Run, step: int) -> bool:
    plan = run.plan
    if hook.point is HookPoint.BEFORE_FIRST_TRAFFIC:
        return _sends(plan, step) and not any(_sends(plan, s) for s in range(1, run.step + 1))
    if hook.point is HookPoint.BEFORE_STEP:
        named = hook.steps is None or step in hook.steps
        return named and step <= len(plan.strategy.steps)
    return hook.point is HookPoint.BEFORE_PROMOTION and step == plans.full_step(plan)


def _sends(plan: Plan, step: int) -> bool:
    """Whether the canary gets anything in a step."""
    shifts = plans.weight_at(plan, step) > 0
    return shifts or plans.match_at(plan, step) is not None or plans.mirror_at(plan, step) > 0


def _answer(run: Run, hook: Webhook, step: int) -> HookResult | None:
    return next((r for r in run.hooks if r.name == hook.name and r.step == step), None)


def _is_settled(run: Run, hook: Webhook, step: int) -> bool:
    result = _answer(run, hook, step)
    return result is not None and (result.passed or hook.failure == "Ignore")


def failing(run: Run) -> Iterator[tuple[Webhook, HookResult]]:
    """Those that have said no to what is ahead, in their order."""
    by_name = {result.name: result for result in run.hooks}
    for hook in run.plan.webhooks:
        result = by_name.get(hook.name)
        if result is None or result.passed or hook.failure == "Ignore":
            continue
        if result.step > run.step and hook.point not in INFORMING:
            yield hook, result


def ends(run: Run) -> str:
    """Why a webhook has the run taken back, in a sentence; empty: none has."""
    return next((told(r) for hook, r in failing(run) if hook.failure == "Rollback"), "")


def refusal(run: Run) -> str:
    """The no that nobody passes, in a sentence; empty: there is none."""
    return next((told(result) for _, result in failing(run)), "")


def proviso(run: Run, step: int) -> str:
    """What has to be said before a step may begin, to end a sentence with; empty: nothing."""
    left = [hook.name for hook in due(run, step) if not _is_settled(run, hook, step)]
    return f" once {listed(left)}" if left else ""


def listed(names: Sequence[str]) -> str:
    """That webhooks pass, in words."""
    if len(names) == 1:
        return f"webhook {names[0]} passes"
    return f"webhooks {', '.join(names[:-1])} and {names[-1]} pass"


def told(result: HookResult) -> str:
    """What a webhook has said, in a sentence."""
    if result.passed:
        return f"webhook {result.name} passed {where(result)}"
    return f"webhook {result.name} failed {where(result)}: {result.because or 'it said no'}"


def where(result: HookResult) -> str:
    """When a webhook was asked, in words."""
    if result.point in INFORMING:
        was = "promotion" if result.point is HookPoint.AFTER_PROMOTION else "rollback"
        return f"after the {was}"
    if result.point is HookPoint.BEFORE_FIRST_TRAFFIC:
        return "before any traffic"
    if result.point is HookPoint.BEFORE_PROMOTION:
        return "before 100 %"
    return f"before step {result.step}"


def not_allowed(
    o: Observation, webhooks: Sequence[Webhook], *, only: Collection[str] | None = None
) -> Problem | None:
    """That an address may not be asked at all; None: all may. The address is not repeated.

    ``only`` are the names of those that matter; None: all do.
    """
    for i, hook in enumerate(webhooks):
        matters = only is None or hook.name in only
        if matters and not is_allowed(hook.url, o.hook_prefixes):
            field = f"spec.webhooks[{i}].url"
            remedy = "let an operator add how it begins to ROLLOUT_HOOKS, or remove it"
            message = f"{field} ({hook.name}) is no address we may post to; {remedy}"
            return Problem(reason=NOT_ALLOWED, message=message)
    return None


def afterwards(o: Observation, decision: Decision) -> Decision:
    """The decision, with what a run's end has webhooks told, and with Events of all they said."""
    run, was = decision.status.run, o.status.run
    if run is None or o.deleting:
        return decision
    calls = decision.hooks
    if run.ended_at is not None and was is not None and was.id == run.id:
        run = heard(o, run)
        calls = _at_the_end(run)
    old = was.hooks if was is not None and was.id == run.id else ()
    known = {_said(result) for result in old}
    news = tuple(_happening(result) for result in run.hooks if _said(result) not in known)
    status = decision.status
    if run is not status.run:
        status = status.model_copy(update={"run": run})
    happenings = (*decision.happenings, *news)
    return replace(decision, status=status, happenings=happenings, hooks=calls)


def _said(result: HookResult) -> tuple[object, ...]:
    """What of an answer is news: the same no, a minute later, is none."""
    return result.name, result.step, result.outcome, result.because


def _at_the_end(run: Run) -> tuple[HookCall, ...]:
    promoted = run.ending is not None and run.ending.outcome is Outcome.PROMOTED
    point = HookPoint.AFTER_PROMOTION if promoted else HookPoint.AFTER_ROLLBACK
    return tuple(
        HookCall(run=run.id, step=run.step, round=1, webhook=hook)
        for hook in run.plan.webhooks
        if hook.point is point and _answer(run, hook, run.step) is None
    )


def _happening(result: HookResult) -> Happening:
    message = cut(told(result))
    if result.passed:
        return Happening(type="Normal", reason="WebhookPassed", message=message)
    return Happening(type="Warning", reason="WebhookFailed", message=message)
