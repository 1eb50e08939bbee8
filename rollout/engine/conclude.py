"""How a decision is put together: status, conditions, sentence, all from one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import Literal

from rollout.api.phase import ConditionType, Phase
from rollout.api.status import NOTES_MAX, Condition, Note, RolloutStatus, Run
from rollout.api.window import Closed
from rollout.base.quantity import print_percent
from rollout.engine import guards
from rollout.engine.decision import Answer, Decision, Guarding, Happening, Weights, cut
from rollout.engine.observation import Observation

_STALLED = frozenset({Phase.INVALID, Phase.ROLLED_BACK})
_AT_REST = frozenset({Phase.STABLE, Phase.ROLLED_BACK, Phase.INVALID, Phase.BLOCKED})

State = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What one branch of the engine found; `conclude` makes the decision of it.

    Attributes:
        status: the next status, its phase, reason, message and conditions not yet set.
        phase: where the Rollout is now.
        reason: why, in one CamelCase word.
        message: why, in a sentence without a full stop.
        weights: see `Decision`.
        guard: see `Decision`.
        finalizer: see `Decision`.
        answers: see `Decision`.
        news: the Event for what begins now; None: one is made when phase or reason change.
        happenings: Events besides that one.
        look_again_at: see `Decision`.
        traffic: the condition TrafficMatches; None leaves it out.
        closed: what keeps it from going on, if that does.
    """

    status: RolloutStatus
    phase: Phase
    reason: str
    message: str
    weights: Weights | None = None
    guard: Guarding | None = None
    finalizer: bool = False
    answers: tuple[Answer, ...] = ()
    news: Happening | None = None
    happenings: tuple[Happening, ...] = ()
    look_again_at: datetime | None = None
    traffic: tuple[State, str, str] | None = None
    closed: Closed | None = None


def conclude(o: Observation, c: Conclusion) -> Decision:
    """The decision: conditions and the Event of a new phase are added, times are kept."""
    message = cut(c.message)
    in_run = c.status.run is not None and c.status.run.ended_at is None
    status = c.status.model_copy(
        update={
            "observed_generation": o.generation,
            "phase": c.phase,
            "reason": c.reason,
            "message": message,
            "closed": c.closed,
            "notes": _notes(o, c.status.run) if c.status.run and in_run else (),
            "conditions": _conditions(o, c, message=message, in_run=in_run),
        }
    )
    news = c.news
    if news is None and (c.phase is not o.status.phase or c.reason != o.status.reason):
        bad = c.phase in _STALLED or c.phase in {Phase.BLOCKED, Phase.ROLLING_BACK}
        news = Happening(type="Warning" if bad else "Normal", reason=c.reason, message=message)
    told = [
        Happening(type="Warning", reason=note.reason, message=note.message)
        for note in status.notes
        if note not in o.status.notes
    ]
    happenings = (*c.happenings, *([] if news is None else [news]), *told)
    return Decision(
        status=status,
        weights=c.weights,
        guard=c.guard,
        finalizer=c.finalizer,
        answers=tuple(replace(answer, message=cut(answer.message)) for answer in c.answers),
        happenings=tuple(replace(one, message=cut(one.message)) for one in happenings),
        because=message,
        look_again_at=c.look_again_at,
    )


def _notes(o: Observation, run: Run) -> tuple[Note, ...]:
    found = dict.fromkeys((*o.routing.notes, *o.subsets.notes, *guards.notes(o, run)))
    notes = [Note(reason=note.reason, message=cut(note.message)) for note in found]
    return tuple(notes[:NOTES_MAX])


def _conditions(
    o: Observation, c: Conclusion, *, message: str, in_run: bool
) -> tuple[Condition, ...]:
    """In fixed order; Reconciling and Stalled are there only while true, as kstatus wants."""
    ready: State = "True" if c.phase is Phase.STABLE else "False"
    wanted: list[tuple[ConditionType, State, str, str]] = [
        (ConditionType.READY, ready, c.reason, message)
    ]
    if c.phase not in _AT_REST or in_run:
        wanted.append((ConditionType.RECONCILING, "True", c.reason, message))
    elif c.phase in _STALLED or (c.phase is Phase.BLOCKED and not in_run):
        wanted.append((ConditionType.STALLED, "True", c.reason, message))
    if c.traffic is not None:
        wanted.append((ConditionType.TRAFFIC_MATCHES, *c.traffic))
    if in_run:
        answered: State = "False" if o.metrics_problem else "True"
        reason = "NoAnswer" if o.metrics_problem else "Answered"
        wanted.append((ConditionType.METRICS_AVAILABLE, answered, reason, o.metrics_problem))
    before = {condition.type: condition for condition in o.status.conditions}
    return tuple(
        Condition(
            type=kind,
            status=state,
            reason=why,
            message=cut(text),
            last_transition_time=_since(before, kind, state, now=o.now),
            observed_generation=o.generation,
        )
        for kind, state, why, text in wanted
    )


def _since(
    before: Mapping[ConditionType, Condition], kind: ConditionType, state: State, *, now: datetime
) -> datetime:
    old = before.get(kind)
    return old.last_transition_time if old is not None and old.status == state else now


def clock_time(moment: datetime, *, now: datetime) -> str:
    """A time as people are told it, in UTC; with the date unless it is today's."""
    return f"{moment:%H:%M:%S} UTC" if moment.date() == now.date() else calendar_time(moment)


def calendar_time(moment: datetime) -> str:
    """A time that is still clear to those who read it days later."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def in_line(text: str) -> str:
    """What a person wrote, fit to stand within a sentence of ours."""
    return " ".join(text.split()).rstrip(".,;: ")


def percent(share: Fraction | float) -> str:
    """A share of 100 as people are told it."""
    return f"{print_percent(float(share))} %"
