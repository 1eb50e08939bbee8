"""What people are told of a decision: messages that are written down with it, in the outbox.

They are found by comparing the status before and after, so that no branch of the engine can forget
one; a decision that is made twice, since its status was never written, tells the same twice over,
under the same numbers. Who has been told is ticked off by the next decision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from rollout.api.action import ActionOutcome, Verb
from rollout.api.notify import OUTBOX_MAX, News, Sink, Telling
from rollout.api.phase import Outcome, Phase
from rollout.api.status import RolloutStatus, Run
from rollout.engine.commands import IN_EFFECT
from rollout.engine.conclude import in_line
from rollout.engine.decision import Decision
from rollout.engine.observation import Observation

MESSAGE_LENGTH_MAX = 400
"""Characters of a message: many wait in a status that has 32 KiB."""

OUTBOX_LENGTH_MAX = 4_000
"""Characters of all messages that wait."""

_ENDED: Mapping[Outcome, News] = MappingProxyType(
    {
        Outcome.PROMOTED: News.PROMOTED,
        Outcome.ROLLED_BACK: News.ROLLED_BACK,
        Outcome.ABORTED: News.ABORTED,
        Outcome.SUPERSEDED: News.SUPERSEDED,
        Outcome.DELETED: News.ABORTED,
    }
)

_SAID: Mapping[Verb, tuple[News, str]] = MappingProxyType(
    {
        Verb.APPROVE: (News.APPROVED, "approved step {step}"),
        Verb.REJECT: (News.REJECTED, "rejected step {step}"),
        Verb.PROMOTE: (News.COMMANDED, "ended step {step}"),
        Verb.PROMOTE_FULL: (News.COMMANDED, "sent the run to 100 %"),
        Verb.PAUSE: (News.COMMANDED, "paused the run"),
        Verb.RESUME: (News.COMMANDED, "resumed the run"),
        Verb.ABORT: (News.COMMANDED, "aborted the run"),
        Verb.RETRY: (News.COMMANDED, "asked for another run"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """Something to tell.

    Attributes:
        news: what happened.
        message: the same in a sentence.
        by: whose doing it is; empty: nobody's.
    """

    news: News
    message: str
    by: str = ""


def told(o: Observation, decision: Decision) -> Decision:
    """The decision, with what is to be told in the outbox, and what was told out of it."""
    before, after = o.status, decision.status
    outbox = _ticked(o, after)
    number = after.told
    for said in _all(o, decision):
        still = tuple(sink for sink, on in o.post.sinks.items() if on is None or said.news in on)
        if still:
            number += 1
            outbox = (*outbox, _telling(o, after, said, number=number, still=still))
    outbox = _fitting(outbox)
    thread = o.post.thread if o.post.thread is not None else after.slack
    if (outbox, number, thread) == (before.outbox, before.told, before.slack):
        return decision
    status = after.model_copy(update={"outbox": outbox, "told": number, "slack": thread})
    return replace(decision, status=status)


def _telling(
    o: Observation, status: RolloutStatus, said: _Said, *, number: int, still: tuple[Sink, ...]
) -> Telling:
    run = status.run
    assert run is not None, "only runs are told of"
    return Telling(
        id=number,
        news=said.news,
        run=run.id,
        revision=run.canary_revision,
        step=run.step,
        weight=run.weight,
        at=o.now,
        message=_short(said.message),
        by=said.by,
        still=still,
    )


def _ticked(o: Observation, status: RolloutStatus) -> tuple[Telling, ...]:
    """The outbox without those whom everybody has been told, or nobody wants to be."""
    found = []
    for telling in status.outbox:
        still = tuple(
            sink
            for sink in telling.still
            if sink in o.post.sinks and (telling.id, sink) not in o.post.delivered
        )
        if still:
            found.append(telling.model_copy(update={"still": still}))
    return tuple(found)


def _fitting(outbox: tuple[Telling, ...]) -> tuple[Telling, ...]:
    """As many as there is room for; the oldest two become one, again and again."""
    while len(outbox) > 1 and (
        len(outbox) > OUTBOX_MAX or sum(len(one.message) for one in outbox) > OUTBOX_LENGTH_MAX
    ):
        outbox = (_merged(outbox[0], outbox[1]), *outbox[2:])
    return outbox


def _merged(older: Telling, newer: Telling) -> Telling:
    """One message in place of two, for all who have not been told either."""
    count = 1 + _count_of(older)
    still = tuple(sink for sink in Sink if sink in {*older.still, *newer.still})
    message = f"{count} earlier messages did not fit; the newest of them: {newer.message}"
    return newer.model_copy(
        update={"news": News.MISSED, "message": _short(message), "still": still}
    )


def _count_of(telling: Telling) -> int:
    """How many messages one stands for."""
    first = telling.message.split(" ", 1)[0]
    return int(first) if telling.news is News.MISSED and first.isdecimal() else 1


def _all(o: Observation, decision: Decision) -> Iterator[_Said]:
    """All that is worth a message, in the order in which people would tell it."""
    before, after = o.status.run, decision.status.run
    if after is None:
        return
    yield from _by_people(o, decision, before or after)
    is_new = before is None or before.id != after.id
    if is_new:
        yield _Said(news=News.STARTED, message=decision.because)
        before = None
    if after.ending is not None and after.ended_at is None:
        if before is None or before.ending is None:
            command = after.ending.command
            by = command.by if command is not None else ""
            yield _Said(news=News.ROLLING_BACK, message=decision.because, by=by)
    elif after.ended_at is not None:
        if before is not None and before.ended_at is None:
            yield _end(decision, after)
    elif before is not None:
        yield from _on_the_way(o, decision, before, after)


def _by_people(o: Observation, decision: Decision, run: Run) -> Iterator[_Said]:
    """What people said that was obeyed just now."""
    specs = {action.name: action.spec for action in o.actions}
    for answer in decision.answers:
        spec = specs.get(answer.action)
        obeyed = answer.outcome is ActionOutcome.APPLIED and answer.message != IN_EFFECT
        if spec is None or not obeyed:
            continue
        news, text = _SAID[spec.verb]
        reason = in_line(spec.reason)
        said = text.format(step=spec.step if spec.step is not None else run.step)
        via = f" ({spec.via})" if spec.via else ""
        message = f"{spec.actor} {said}{via}" + (f": {reason}" if reason else "")
        yield _Said(news=news, message=message, by=spec.actor)


def _end(decision: Decision, run: Run) -> _Said:
    if run.ending is None:
        return _Said(news=News.PROMOTED, message=decision.because)
    by = run.ending.command.by if run.ending.command is not None else ""
    return _Said(news=_ENDED[run.ending.outcome], message=decision.because, by=by)


def _on_the_way(o: Observation, decision: Decision, before: Run, after: Run) -> Iterator[_Said]:
    """Steps, waits and what is in the way of a run that goes on."""
    status, was = decision.status, o.status
    waits = status.phase is Phase.WAITING
    if after.step != before.step and after.step > 0:
        yield _Said(news=News.WAITING if waits else News.STEP_BEGAN, message=decision.because)
    elif (status.phase, status.reason) == (was.phase, was.reason):
        return
    elif waits and after.paused == before.paused:
        yield _Said(news=News.WAITING, message=decision.because)
    elif status.phase is Phase.BLOCKED and was.phase is not Phase.BLOCKED:
        yield _Said(news=News.BLOCKED, message=decision.because)


def _short(text: str) -> str:
    return text if len(text) <= MESSAGE_LENGTH_MAX else f"{text[: MESSAGE_LENGTH_MAX - 1]}…"
