"""What a run waits for people for: who may decide, who has, until when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rollout.api.evidence import Verdict
from rollout.api.phase import Phase
from rollout.api.status import Decided, Run
from rollout.engine import approvals
from rollout.views import sentences
from rollout.views.subject import Subject


def waits(subject: Subject) -> bool:
    """Whether nothing but a person's word lets the run go on."""
    run = subject.active
    if run is None or run.ending is not None or subject.status.phase is not Phase.WAITING:
        return False
    fails = any(gate.verdict is Verdict.FAIL for gate in run.gates)
    return run.paused is not None or fails or sentences.due_at(run) is None


def lines(run: Run, *, now: datetime) -> Iterator[str]:
    """The approval that is waited for, and what people said to approvals of this run."""
    asked = approvals.asked_at(run.plan, run.step)
    if asked is not None and run.ending is None and not approvals.is_given(run, run.step):
        missing = asked.quorum - approvals.given_count(run, run.step)
        count = "" if asked.quorum == 1 else f"{missing} more of "
        yield f"step {run.step} waits for {count}{approvals.people(asked.approvers)}"
        yield from _until(run, now=now, ends=asked.on_expiry == "Abort")
    yield from map(decided, run.approvals)


def _until(run: Run, *, now: datetime, ends: bool) -> Iterator[str]:
    expires = approvals.expires_at(run)
    if expires is None:
        return
    if expires > now:
        then = "goes back" if ends else "waits on, and is late"
        yield f"until {_moment(expires)}, for {sentences.span(now, expires)} more; then it {then}"
    else:
        yield f"late since {_moment(expires)}"


def decided(one: Decided) -> str:
    """What somebody said to a step."""
    via = f" ({one.via})" if one.via else ""
    reason = f": {' '.join(one.reason.split())}" if one.reason else ""
    said = f"step {one.step} was {one.verdict.lower()} by {one.by}{via}"
    return f"{said}, {_moment(one.at)}{reason}"


def _moment(moment: datetime) -> str:
    """Waits last for days, so the date stands there too."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
