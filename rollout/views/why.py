"""Why a Rollout is where it is: because of what, until when, and what one can do about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rollout.api.evidence import Verdict
from rollout.api.phase import Phase
from rollout.api.status import Run
from rollout.api.webhook import HookResult
from rollout.engine import hooking
from rollout.views import asked, paint, sentences
from rollout.views.subject import Subject

_TAKEN_BACK = frozenset({Phase.ROLLING_BACK, Phase.ROLLED_BACK})


def why(subject: Subject, *, now: datetime) -> RenderableType:
    """The explanation, five to ten lines."""
    return Group(
        _state(subject),
        *(Text.assemble("  because ", reason) for reason in _reasons(subject)),
        *(
            Text(f"  note: {sentences.sentence(note)}")
            for note in sentences.notes(subject, now=now)
        ),
        Text.assemble(
            ("Next: ", "bold"), sentences.sentence(sentences.what_next(subject, now=now))
        ),
        Text("You can:", style="bold"),
        _commands(subject),
    )


def _state(subject: Subject) -> Text:
    message = subject.status.message or "the controller has not answered yet; is it running?"
    return Text.assemble(
        (subject.key.name, "bold"),
        " is ",
        paint.phase(subject.status.phase),
        f": {sentences.sentence(message)}",
    )


def _reasons(subject: Subject) -> Iterator[Text]:
    """What the present state rests on, the weightiest first."""
    run = subject.run if subject.active or subject.status.phase in _TAKEN_BACK else None
    if subject.unseen:
        yield Text("the newest edit has not been looked at yet; is the controller running?")
    if subject.asked_because and subject.revision:
        yield Text(f"{subject.revision} was asked for: {subject.asked_because}")
    yield from _ruled(subject)
    if run is None:
        return
    ending = run.ending
    if ending is not None and (ending.gate or ending.because not in subject.status.message):
        yield Text(_ending(run))
    if subject.active is not None and run.paused is not None:
        given = f" ({run.paused.reason})" if run.paused.reason else ""
        yield Text(f"{run.paused.by} paused it at {sentences.clock(run.paused.at)}{given}")
    if subject.active is not None:
        yield from (Text(asked.decided(one)) for one in run.approvals)
    yield from _gates(subject, run)
    yield from (Text(f"{hooking.told(said)}{_how_often(said)}") for said in run.hooks)
    baseline = run.evidence.baseline if run.evidence is not None else None
    if subject.active is not None and baseline is not None and baseline.because:
        yield Text(baseline.because)


def _ruled(subject: Subject) -> Iterator[Text]:
    """What policies and windows do about it."""
    if subject.status.closed is not None:
        yield Text(sentences.closed(subject.status.closed))
    if subject.policies:
        yield Text(f"its plan is ruled by {sentences.join(subject.policies)}")


def _how_often(said: HookResult) -> str:
    return f" (asked {said.attempts} times)" if said.attempts > 1 else ""


def _gates(subject: Subject, run: Run) -> Iterator[Text]:
    """What the gates say: all while a run goes on, only what failed once it is on its way back."""
    goes_on = subject.active is not None and run.ending is None
    observing = {gate.name for gate in run.plan.gates if gate.mode == "Observe"}
    for gate in sorted(run.gates, key=lambda g: g.verdict is not Verdict.FAIL):
        if goes_on or (gate.verdict is Verdict.FAIL and subject.status.phase in _TAKEN_BACK):
            said = Text(f"gate {gate.name} {'(observes only) ' if gate.name in observing else ''}")
            said.append(sentences.SAYS[gate.verdict], style=paint.VERDICTS[gate.verdict])
            yield said.append(f": {sentences.because(gate)}" if gate.because else "")


def _ending(run: Run) -> str:
    assert run.ending is not None
    at = sentences.clock(run.ending.decided_at)
    how = f"gate {run.ending.gate} failed" if run.ending.gate else run.ending.because
    return f"it was decided at {at} to go back to {run.stable_revision}: {how}"


def _commands(subject: Subject) -> Table:
    grid = Table.grid(padding=(0, 3))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for remedy in sentences.remedies(subject):
        grid.add_row(f"  {remedy.command}", Text(remedy.effect, style="dim"))
    return grid
