"""One Rollout on a card: where it is, the weights, the ladder, the gates, the last runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rollout.api.phase import Phase
from rollout.api.status import PastRun, Run
from rollout.views import asked, paint, sentences
from rollout.views.glyphs import Glyphs, bar
from rollout.views.subject import Subject

BAR_WIDTH = 40
"""Cells: 2.5 percent each, and with the words around it less than 80 columns."""

RECENT_MAX = 3
"""Runs on the card; ``history`` shows the others."""


def card(subject: Subject, *, now: datetime, glyphs: Glyphs) -> RenderableType:
    """The card, for a terminal of 80 columns or more."""
    rows = _grid()
    for label, value in _rows(subject, now=now, glyphs=glyphs):
        rows.add_row(Text(label, style="dim"), value)
    message = subject.status.message or "the controller has not answered yet; is it running?"
    return Group(
        _title(subject, glyphs=glyphs),
        Text(sentences.sentence(message)),
        Text(),
        rows,
    )


def matter(subject: Subject, run: Run, *, now: datetime, glyphs: Glyphs) -> RenderableType:
    """What somebody decides who says yes or no to the present step."""
    title = Text(f"{subject.key} {run.stable_revision} {glyphs.arrow} ", style="bold")
    title.append(f"{run.canary_revision}")
    title.append(f", run {run.id}, step {run.step} of {run.step_count}", style="not bold")
    rows = _grid()
    seen = (
        "" if run.observed_weight is None else f" ({sentences.percent(run.observed_weight)} seen)"
    )
    has = f"{sentences.percent(run.weight)} of the traffic{seen}"
    rows.add_row("  now", f"{has}, since {sentences.span(run.step_started_at, now)}")
    rows.add_row("  then", sentences.next_step(run))
    for number, line in enumerate(asked.lines(run, now=now)):
        rows.add_row("" if number else "  approval", line)
    if run.gates:
        rows.add_row("  gates", _gates(run))
    return Group(title, rows)


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    return grid


def _title(subject: Subject, *, glyphs: Glyphs) -> Text:
    title = Text(str(subject.key), style="bold")
    title.append("  ")
    title.append_text(paint.phase(subject.status.phase))
    title.append("  ")
    title.append(revisions(subject, glyphs=glyphs))
    return title


def revisions(subject: Subject, *, glyphs: Glyphs) -> str:
    """The revisions: from which to which while a run is on, else the stable one."""
    run = subject.active
    if run is not None:
        return f"{run.stable_revision} {glyphs.arrow} {run.canary_revision}"
    stable = subject.status.stable_revision
    if not stable or stable == subject.revision:
        return subject.revision
    return f"{stable} ({subject.revision} is wanted)"


_Rows = Iterator[tuple[str, RenderableType]]


def _rows(subject: Subject, *, now: datetime, glyphs: Glyphs) -> _Rows:
    run = subject.active
    if run is not None:
        yield from _of_run(run, glyphs=glyphs)
    if subject.policies:
        yield "policy", Text(sentences.join(subject.policies))
    if subject.status.closed is not None:
        yield "closed", Text(sentences.sentence(sentences.closed(subject.status.closed)))
    yield "next", Text(sentences.sentence(sentences.what_next(subject, now=now)))
    yield from _of_people(run, now=now)
    for note in sentences.notes(subject, now=now):
        yield "note", Text(sentences.sentence(note))
    shown = subject.run
    if shown is not None and shown.gates and (run or subject.status.phase is Phase.ROLLED_BACK):
        yield "gates", _gates(shown)
    if subject.status.history:
        yield "runs", _recent(subject.status.history[:RECENT_MAX], now=now)
    if subject.status.retirable:
        names = sentences.join(subject.status.retirable)
        yield "retirable", Text(f"{names}: no traffic any more, safe to remove")


def _of_people(run: Run | None, *, now: datetime) -> _Rows:
    told = "" if run is None else "\n".join(asked.lines(run, now=now))
    if told:
        yield "approval", Text(told)


def _of_run(run: Run, *, glyphs: Glyphs) -> _Rows:
    yield "written", weight_bar(run.weight, width=BAR_WIDTH, glyphs=glyphs)
    if run.observed_weight is not None:
        yield "observed", weight_bar(run.observed_weight, width=BAR_WIDTH, glyphs=glyphs)
    yield "ladder", ladder(run, glyphs=glyphs)


def weight_bar(percent: float, *, width: int, glyphs: Glyphs) -> Text:
    """A bar and the percent behind it."""
    drawn = Text(bar(percent, width=width, glyphs=glyphs), style=paint.CANARY_COLOUR)
    return drawn.append(f" {sentences.percent(percent):>6}", style="default")


def ladder(run: Run, *, glyphs: Glyphs) -> Text:
    """The ladder in one line, the present rung in brackets."""
    before, after = glyphs.here
    marked = {
        "done": lambda text: Text(f"{text} {glyphs.done}", style="green"),
        "here": lambda text: Text(f"{before}{text}{after}", style="bold"),
        "ahead": lambda text: Text(text, style="dim"),
    }
    drawn = [marked[rung.state](rung.text) for rung in sentences.rungs(run)]
    return Text(glyphs.link).join(drawn)


def _gates(run: Run) -> Table:
    grid = _grid()
    grid.add_column()
    for gate in run.gates:
        grid.add_row(Text(gate.name), paint.verdict(gate.verdict), Text(sentences.because(gate)))
    return grid


def _recent(history: tuple[PastRun, ...], *, now: datetime) -> Table:
    grid = _grid()
    grid.add_column(no_wrap=True)
    grid.add_column()
    for past in history:
        grid.add_row(
            Text(past.revision),
            paint.outcome(past.outcome),
            Text(f"{sentences.age(past.ended_at, now=now)} ago"),
            Text(past.because),
        )
    return grid
