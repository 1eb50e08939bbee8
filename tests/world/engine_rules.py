"""What must hold of every decision, whatever was observed; worlds and generators check it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta

from rollout.api.action import ActionOutcome, Verb
from rollout.api.evidence import Verdict
from rollout.api.phase import Outcome, Phase
from rollout.api.status import RolloutStatus, Run
from rollout.api.webhook import Webhook
from rollout.base.quantity import parse_duration
from rollout.engine import plan as plans
from rollout.engine.decide import decide
from rollout.engine.decision import Decision
from rollout.engine.observation import Observation
from rollout.engine.transitions import allowed

SENTENCE_MAX = 1024

_UGLY = re.compile(
    r"  |;;|::|,,|\.\.|\?\?| [;:,.)]|[;:,] ?[;:,.]|\( |\(\)|``|\bNone\b|\n|^[;:,. ]|[;:,. ]$"
)


def checked(o: Observation) -> Decision:
    """The decision on an observation, after all rules were found to hold."""
    decision = decide(o)
    assert decide(o) == decision, "the same observation gives the same decision"
    _check_words(decision)
    _check_status(o, decision)
    _check_times(o, decision)
    _check_answers(o, decision)
    _check_safety(o, decision)
    _check_guard(o, decision)
    _check_ladder(o, decision)
    _check_hooks(o, decision)
    return decision


def run_of(status: RolloutStatus) -> Run | None:
    """The run in progress."""
    return status.run if status.run is not None and status.run.ended_at is None else None


def serves(o: Observation, revision: str) -> bool:
    """Whether a request that is sent to a revision finds somebody."""
    return revision in o.subsets.subsets and o.ready.get(revision, 0) > 0


def is_sentence(text: str) -> bool:
    """Whether a text can be shown to people: no gaps where a name was missing, no doubled marks."""
    return bool(text) and len(text) <= SENTENCE_MAX and not _UGLY.search(text)


def _check_words(d: Decision) -> None:
    assert is_sentence(d.because), repr(d.because)
    for happening in d.happenings:
        assert is_sentence(happening.message), repr(happening.message)
        assert re.fullmatch(r"[A-Z][A-Za-z]+", happening.reason)
    for answer in d.answers:
        assert is_sentence(answer.message), repr(answer.message)


def _check_status(o: Observation, d: Decision) -> None:
    document = d.status.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert RolloutStatus.model_validate(json.loads(json.dumps(document))) == d.status
    assert allowed(o.status.phase, d.status.phase), f"{o.status.phase} -> {d.status.phase}"
    if o.deleting and d.status == o.status:
        return
    assert d.status.message == d.because
    assert d.status.observed_generation == o.generation
    kinds = [condition.type for condition in d.status.conditions]
    assert len(kinds) == len(set(kinds))
    run = run_of(d.status)
    if run is not None and d.weights is not None:
        assert run.weight == d.weights.percent, "the status equals what is written"
        assert run.look_again_at == d.look_again_at


def _check_times(o: Observation, d: Decision) -> None:
    if d.look_again_at is None:
        return
    assert d.look_again_at >= o.now
    if d.look_again_at == o.now:
        following = decide(replace(o, status=d.status, finalized=d.finalizer, actions=()))
        assert following.look_again_at != o.now or following.status != d.status, "a hot loop"
        assert following.status != d.status, "looking again at once must find something to do"


def _check_answers(o: Observation, d: Decision) -> None:
    assert [answer.action for answer in d.answers] == [action.name for action in o.actions]


def _check_safety(o: Observation, d: Decision) -> None:
    before, after = run_of(o.status), run_of(d.status)
    if before is None and after is None:
        assert d.weights is None, "at rest no route is touched"
        waits = o.closed is not None or o.turn is not None
        assert d.look_again_at is None or waits, "at rest nothing else is waited for"
        assert not d.finalizer
        return
    if d.weights is None:
        return
    run = after or before
    assert run is not None
    assert (d.weights.stable, d.weights.canary) == (run.stable_revision, run.canary_revision)
    ending = d.status.run.ending if d.status.run else None
    if ending is not None and ending.outcome is not Outcome.PROMOTED:
        assert d.weights.percent == 0, "a run that is taken back has no traffic"
        began = before is not None and before.ending is None
        willing = ending.outcome in {Outcome.ABORTED, Outcome.DELETED}
        if began and not willing and before is not None and before.weight > 0:
            assert serves(o, run.stable_revision), "nobody is sent to nothing"
    elif d.weights.percent > 0:
        assert serves(o, d.weights.canary) or not serves(o, d.weights.stable)
        assert d.finalizer or ending is not None, "the finalizer is on while traffic is moved"


def is_guarded(o: Observation, run: Run) -> bool:
    """Whether all that a run has to write on its canary's subset stands there."""
    known = o.subsets.policies.get(run.canary_revision)
    declared = run.plan.guard.policies()
    return all(known and known.fields.get(f) == declared.get(f) for f in run.guarded)


def _check_guard(o: Observation, d: Decision) -> None:
    before, after = run_of(o.status), run_of(d.status)
    if before is not None and after is not None:
        assert after.guarded == before.guarded, "what is ours is decided once"
    if before is None:
        assert d.guard is None, "it is recorded before it is written"
        return
    if d.guard is None:
        return
    assert set(d.guard.policies) <= set(before.guarded), "what is not ours is left alone"
    assert d.guard.subset == before.canary_revision
    ending = d.status.run.ending if d.status.run else None
    promoted = ending is not None and ending.outcome is Outcome.PROMOTED
    if d.guard.is_on:
        assert ending is None
        assert not o.deleting
    elif not promoted:
        known = o.subsets.policies.get(before.canary_revision)
        stands = known is not None and any(field in known.fields for field in before.guarded)
        assert o.status.phase is Phase.ROLLING_BACK or not stands, "traffic leaves, then the guard"
        shares = [dict(route.shares).get(before.canary_revision) for route in o.routing.routes]
        assert not any(shares)


def _check_ladder(o: Observation, d: Decision) -> None:
    before, after = run_of(o.status), run_of(d.status)
    if before is None:
        assert after is None or after.step == 0, "a run begins before its first step"
        return
    if after is None:
        if d.status.phase is Phase.STABLE and d.status.stable_revision == before.canary_revision:
            assert before.step >= before.step_count
            assert before.weight == plans.FULL_PERCENT
        return
    assert after.id == before.id
    assert after.plan == before.plan
    assert after.started_at == before.started_at
    full = plans.full_step(after.plan)
    if after.step != before.step:
        jumps = after.promoted_full is not None and after.step == full
        assert after.step == before.step + 1 or jumps, "no rung is skipped"
    if after.weight > before.weight:
        _check_rise(o, d, before=before, after=after)


def _check_rise(o: Observation, d: Decision, *, before: Run, after: Run) -> None:
    assert o.closed is None, "nothing rises while it is closed"
    assert not o.deleting
    assert serves(o, after.canary_revision)
    assert not o.subsets.problems
    assert not o.routing.problems
    assert o.arms_problem is None
    asked = {gate.name for gate in plans.asked(before.plan, before.step)}
    _check_approvals(o, before, after)
    watching = {gate.name for gate in before.plan.gates if gate.mode == "Observe"}
    says = {v.name: v.verdict for v in o.verdicts if v.name not in watching}
    assert Verdict.FAIL not in says.values(), "nothing rises on a failing gate"
    if not _sent_by_person(o, d):
        assert is_guarded(o, before), "nothing rises without its guard"
    if _sent_by_person(o, d) or before.step == 0 or before.retreated:
        return
    assert after.paused is None
    assert _due(before) <= o.now, "the hold is kept to the end"
    step = before.plan.strategy.steps[before.step - 1]
    if step.pause is not None or step.approval is not None:
        return
    needed = (
        step.check.gates
        if step.check is not None
        else [g.name for g in before.plan.gates if g.steps is None or before.step in g.steps]
    )
    for name in needed:
        if name in asked and not _goes_without(o, after, name):
            assert says.get(name) is Verdict.PASS, "unknown holds"


def _check_approvals(o: Observation, before: Run, after: Run) -> None:
    """Nobody comes past an approval but by those it names, or one of them who skips it."""
    for number in range(max(1, before.step), after.step):
        step = after.plan.strategy.steps[number - 1]
        if step.approval is None:
            continue
        said = [d for d in after.approvals if d.step == number and d.verdict == "Approved"]
        skipped = after.promoted_full is not None
        assert skipped or len({d.by for d in said}) >= step.approval.quorum, "people have approved"
        assert not o.unverified or before.approvals == after.approvals, "names were checked"


def _check_hooks(o: Observation, d: Decision) -> None:
    """Nothing passes a webhook that has not passed, but where its no is to be ignored."""
    before, after, run = run_of(o.status), run_of(d.status), d.status.run
    for call in d.hooks:
        assert run is not None
        assert call.run == run.id
        assert call.webhook in run.plan.webhooks
        # After a run nothing is left to block: who asks says no in the place of the address.
        allowed = run.ended_at is not None or call.webhook.url.startswith(o.hook_prefixes)
        assert allowed, "only what an operator allows"
        assert call.webhook.point.startswith("After") is (run.ended_at is not None)
        assert run.ended_at is not None or run.ending is None, "what takes back asks nobody"
    if before is None or after is None or after.ending is not None:
        return
    enters = after.step != before.step or (before.retreated and not after.retreated)
    if not enters:
        return
    for hook in after.plan.webhooks:
        if _stands_before(hook, before, after):
            said = {r.outcome for r in after.hooks if (r.name, r.step) == (hook.name, after.step)}
            assert said == {"Passed"} or (hook.failure == "Ignore" and said == {"Failed"})


def _stands_before(hook: Webhook, before: Run, after: Run) -> bool:
    steps, step = after.plan.strategy.steps, after.step
    if hook.point == "BeforeStep":
        return step <= len(steps) and step in (hook.steps or range(1, len(steps) + 1))
    if hook.point == "BeforePromotion":
        return step <= len(steps) and steps[step - 1].weight == plans.FULL_PERCENT
    sends = [i for i, s in enumerate(steps, 1) if s.weight or s.ramp or s.match or s.mirror]
    nothing_yet = not any(i <= before.step for i in sends)
    return hook.point == "BeforeFirstTraffic" and nothing_yet and any(i <= step for i in sends)


def _sent_by_person(o: Observation, d: Decision) -> bool:
    run = run_of(o.status)
    if run is not None and (run.promoted_full is not None or run.sent_on is not None):
        return True
    verbs = {a.name: a.spec.verb for a in o.actions if a.spec is not None}
    return any(
        answer.outcome is ActionOutcome.APPLIED
        and verbs.get(answer.action) in {Verb.PROMOTE, Verb.PROMOTE_FULL}
        for answer in d.answers
    )


def _goes_without(o: Observation, run: Run, name: str) -> bool:
    """Whether the plan says to go on without a gate that has lacked data for so long."""
    judge = run.plan.judge
    verdict = next((v for v in o.verdicts if v.name == name), None)
    since, then, deadline = (
        o.metrics_out_since,
        judge.on_metrics_outage,
        judge.metrics_outage_deadline,
    )
    if since is None and verdict is not None:
        since, then, deadline = verdict.dataless_since, judge.on_no_data, judge.no_data_deadline
    waited = since is not None and o.now - since >= timedelta(seconds=parse_duration(deadline))
    return then == "Continue" and waited


def _due(run: Run) -> datetime:
    step = run.plan.strategy.steps[run.step - 1]
    text = step.hold
    if step.pause is not None:
        assert step.pause.for_ is not None, "only a person ends a pause without a time"
        text = step.pause.for_
    elif step.check is not None:
        text = step.check.for_
    seconds = parse_duration(text) if text else 0.0
    return run.step_started_at.fromtimestamp(
        run.step_started_at.timestamp() + seconds, tz=run.step_started_at.tzinfo
    )
