"""What a pipeline waits for: how the revision fares that was wanted when the waiting began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from rollout.api.evidence import Verdict
from rollout.api.phase import Outcome, Phase
from rollout.api.status import Run
from rollout.engine import approvals
from rollout.views import sentences
from rollout.views.subject import Subject

LINE_LENGTH_MAX = 80
"""Characters of a line of progress: what a log of a pipeline shows without folding."""


class Fate(StrEnum):
    """What became of the revision, as a word of a sentence."""

    PROMOTED = "is promoted"
    ROLLED_BACK = "was rolled back"
    ABORTED = "was aborted"
    SUPERSEDED = "was superseded"
    STUCK = "is stuck"
    UNDECIDED = "is not decided yet"


_FATES: Mapping[Outcome, Fate] = MappingProxyType(
    {
        Outcome.PROMOTED: Fate.PROMOTED,
        Outcome.ROLLED_BACK: Fate.ROLLED_BACK,
        Outcome.ABORTED: Fate.ABORTED,
        Outcome.SUPERSEDED: Fate.SUPERSEDED,
        Outcome.DELETED: Fate.ABORTED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """What is waited for.

    Attributes:
        revision: the revision that was wanted at the begin.
        run: the id of its run; empty until there is one.
    """

    revision: str
    run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How it ended.

    Attributes:
        fate: in a word.
        because: why, without a full stop.
    """

    fate: Fate
    because: str


def follow(awaited: Awaited, subject: Subject) -> Awaited:
    """The same, with the revision's run once it has begun.

    One that goes back for another revision is none that counts: the wanted one runs after it.
    """
    run = subject.active
    if awaited.run or run is None or run.canary_revision != awaited.revision:
        return awaited
    ending = run.ending
    if ending is not None and (ending.revived or ending.outcome is Outcome.SUPERSEDED):
        return awaited
    return replace(awaited, run=run.id)


def end(awaited: Awaited, subject: Subject) -> Told | None:
    """How the waiting ends; None: it goes on."""
    if awaited.run:
        return _of_run(awaited, subject)
    status, wanted = subject.status, awaited.revision
    if subject.revision != wanted:
        return Told(fate=Fate.SUPERSEDED, because=f"{subject.revision} is wanted instead")
    if subject.unseen:
        return None
    if status.phase is Phase.INVALID:
        return Told(fate=Fate.STUCK, because=status.message)
    return _at_rest(subject) if subject.active is None else None


def _at_rest(subject: Subject) -> Told | None:
    """How the wanted revision stands where no run is on; None: its run has yet to begin."""
    status, wanted = subject.status, subject.revision
    if status.phase is Phase.STABLE and status.stable_revision == wanted:
        return Told(fate=Fate.PROMOTED, because=status.message)
    if status.phase is not Phase.ROLLED_BACK or status.rejected_revision != wanted:
        return None
    past = next((past for past in status.history if past.revision == wanted), None)
    if past is None:
        return Told(fate=Fate.ROLLED_BACK, because=status.message)
    return Told(fate=_FATES[past.outcome], because=past.because)


def _of_run(awaited: Awaited, subject: Subject) -> Told | None:
    run = subject.active
    if run is not None and run.id == awaited.run:
        invalid = subject.status.phase is Phase.INVALID
        return Told(fate=Fate.STUCK, because=subject.status.message) if invalid else None
    past = next((past for past in subject.status.history if past.id == awaited.run), None)
    if past is None:
        return Told(fate=Fate.SUPERSEDED, because=f"run {awaited.run} is not on record any more")
    return Told(fate=_FATES[past.outcome], because=past.because)


def late(awaited: Awaited, subject: Subject) -> Told:
    """How it stands when nobody waits any longer.

    A run that is on its way back is decided, though its traffic has not returned.
    """
    run, status = subject.active, subject.status
    if run is not None and run.id == awaited.run and run.ending is not None:
        return Told(fate=_FATES[run.ending.outcome], because=run.ending.because)
    message = status.message or "the controller has not answered yet; is it running?"
    fate = Fate.STUCK if status.phase is Phase.BLOCKED else Fate.UNDECIDED
    return Told(fate=fate, because=message)


# Lines of progress.


def mark(subject: Subject) -> tuple[object, ...]:
    """What makes a new line: counts and spans, which change all the time, do not."""
    run, status = subject.active, subject.status
    common = (status.phase, status.reason, subject.unseen)
    if run is None:
        return (*common, subject.revision)
    failing = [gate.name for gate in run.gates if gate.verdict is Verdict.FAIL]
    told = (run.paused, run.ending, len(run.approvals))
    return (*common, run.id, run.step, round(run.weight / 5), failing, *told)


def line(subject: Subject, *, now: datetime) -> str:
    """Where it is, in one line."""
    run = subject.active
    share = sentences.percent(run.weight) if run is not None else "-"
    told = " ".join(_what(subject, run, now=now).split())
    text = f"{now:%H:%M:%S}  {subject.status.phase:<11}  {share:>6}  {told}"
    return text if len(text) <= LINE_LENGTH_MAX else f"{text[: LINE_LENGTH_MAX - 3]}..."


def _where(run: Run) -> str:
    if run.step == 0:
        return "before traffic:"
    return "bake:" if run.step > run.step_count else f"step {run.step}/{run.step_count}:"


def _what(subject: Subject, run: Run | None, *, now: datetime) -> str:
    status = subject.status
    if subject.unseen:
        return "the controller has yet to look at the edit"
    if run is None or status.phase in {Phase.BLOCKED, Phase.INVALID}:
        return status.message
    if run.ending is not None:
        return f"goes back: {run.ending.because}"
    where = _where(run)
    if run.paused is not None:
        return f"{where} paused by {run.paused.by}"
    failing = next((gate for gate in run.gates if gate.verdict is Verdict.FAIL), None)
    if failing is not None:
        return f"{where} gate {failing.name} fails: {sentences.because(failing)}"
    asked = approvals.asked_at(run.plan, run.step)
    if asked is not None and not approvals.is_given(run, run.step):
        given = f" ({approvals.given_count(run, run.step)} of {asked.quorum})"
        count = given if asked.quorum > 1 else ""
        return f"{where} asks{count} {approvals.people(asked.approvers)} to approve"
    return f"{where} {sentences.what_next(subject, now=now)}"
