"""Tables for the terminal: many Rollouts, and the past of one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rollout.api.status import PastRun
from rollout.views import card, paint, sentences
from rollout.views.glyphs import Glyphs
from rollout.views.subject import Subject


def rollouts(
    subjects: Sequence[Subject], *, namespaces: bool, now: datetime, glyphs: Glyphs
) -> RenderableType:
    """One line per Rollout; ``namespaces`` shows which namespace each is in."""
    table = _table("NAME", "PHASE", "REVISION", ">WEIGHT", ">AGE", "MESSAGE")
    for subject in subjects:
        run = subject.active
        name = str(subject.key) if namespaces else subject.key.name
        table.add_row(
            Text(name, style="bold"),
            paint.phase(subject.status.phase),
            card.revisions(subject, glyphs=glyphs),
            "-" if run is None else sentences.percent(run.weight),
            sentences.age(subject.created_at, now=now),
            Text(sentences.sentence(subject.status.message)),
        )
    return table


def history(subject: Subject, *, now: datetime, glyphs: Glyphs) -> RenderableType:
    """The runs that are over, the newest first, each with its reason in a line below."""
    table = _table("RUN", "REVISION", "OUTCOME", ">REACHED", ">FAILED", ">TOOK", "ENDED", "BY")
    for past in subject.status.history:
        table.add_row(*_past(past, now=now, glyphs=glyphs))
    because = [
        Text.assemble((f"{past.id}  ", "dim"), sentences.sentence(past.because))
        for past in subject.status.history
    ]
    return Group(table, Text(), *(Padding(line, (0, 0)) for line in because))


def _past(past: PastRun, *, now: datetime, glyphs: Glyphs) -> tuple[str | Text, ...]:
    return (
        past.id,
        f"{past.stable_revision} {glyphs.arrow} {past.revision}".strip(),
        paint.outcome(past.outcome),
        sentences.percent(past.max_weight),
        f"{past.canary_failures:,} of {past.canary_requests:,}",
        sentences.span(past.started_at, past.ended_at),
        f"{sentences.age(past.ended_at, now=now)} ago",
        past.by or "the controller",
    )


def _table(*columns: str) -> Table:
    """A table without lines; ``>`` before a title aligns to the right, the last column folds."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in columns:
        table.add_column(
            title.removeprefix(">"),
            justify="right" if title.startswith(">") else "left",
            no_wrap=title != columns[-1],
            overflow="fold",
        )
    return table
