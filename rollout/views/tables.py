"""Tables for the terminal: many Rollouts, and the past of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from rollout.api.status import PastRun
from rollout.views import card, paint, sentences
from rollout.views.glyphs import Glyphs
from rollout.views.subject import Subject

GAP = "  "
"""Between two columns."""

BELOW = (0, 0, 0, 4)
"""How far the sentence under a row is moved in."""


def rollouts(
    subjects: Sequence[Subject],
    *,
    namespaces: bool,
    one_line: bool,
    now: datetime,
    glyphs: Glyphs,
) -> RenderableType:
    """Rollouts with their sentences.

    Args:
        subjects: what to show.
        namespaces: whether to show which namespace each is in.
        one_line: sentences go into a last column, for tools that read lines; else under each row.
        now: the wall clock.
        glyphs: what the terminal can show.
    """
    titles = ["NAME", "PHASE", "REVISION", ">WEIGHT", ">AGE"]
    rows = [
        _rollout(subject, namespaces=namespaces, now=now, glyphs=glyphs) for subject in subjects
    ]
    told = [Text(sentences.sentence(subject.status.message)) for subject in subjects]
    if one_line:
        whole = [[*row, sentence] for row, sentence in zip(rows, told, strict=True)]
        return Group(*aligned([*titles, "MESSAGE"], whole))
    return Group(*_interleaved(aligned(titles, rows), told))


def _rollout(subject: Subject, *, namespaces: bool, now: datetime, glyphs: Glyphs) -> list[Text]:
    run = subject.active
    return [
        Text(str(subject.key) if namespaces else subject.key.name, style="bold"),
        paint.phase(subject.status.phase),
        Text(card.revisions(subject, glyphs=glyphs)),
        Text("-" if run is None else sentences.percent(run.weight)),
        Text(sentences.age(subject.created_at, now=now)),
    ]


def history(subject: Subject, *, now: datetime, glyphs: Glyphs) -> RenderableType:
    """The runs that are over, the newest first, each with its reason under it."""
    titles = [">RUN", "REVISION", "OUTCOME", ">REACHED", ">FAILED", ">TOOK", "ENDED", "BY"]
    rows = [_past(past, now=now, glyphs=glyphs) for past in subject.status.history]
    told = [Text(sentences.sentence(past.because)) for past in subject.status.history]
    return Group(*_interleaved(aligned(titles, rows), told))


def _past(past: PastRun, *, now: datetime, glyphs: Glyphs) -> list[Text]:
    return [
        Text(past.id),
        Text(f"{past.stable_revision} {glyphs.arrow} {past.revision}".strip(), style="bold"),
        paint.outcome(past.outcome),
        Text(sentences.percent(past.max_weight)),
        Text(f"{past.canary_failures:,} of {past.canary_requests:,}"),
        Text(sentences.span(past.started_at, past.ended_at)),
        Text(f"{sentences.age(past.ended_at, now=now)} ago"),
        Text(past.by or "the controller"),
    ]


def _interleaved(lines: Sequence[Text], told: Sequence[Text]) -> Iterator[RenderableType]:
    """The title, then each row with its sentence below."""
    yield lines[0]
    for row, sentence in zip(lines[1:], told, strict=True):
        yield row
        if sentence.plain:
            yield Padding(sentence, BELOW)


def aligned(titles: Sequence[str], rows: Sequence[Sequence[Text]]) -> list[Text]:
    """Lines of equally wide columns, titles first; ``>`` before a title aligns to the right.

    Rich's own tables fold or cut what is too wide; a line here stays whole whatever the terminal.
    """
    names = [Text(title.removeprefix(">"), style="dim") for title in titles]
    table = [names, *rows]
    widths = [max(row[i].cell_len for row in table) for i in range(len(titles))]
    lines = []
    for row in table:
        cells = [cell.copy() for cell in row]
        for title, cell, width in zip(titles, cells, widths, strict=True):
            cell.align("right" if title.startswith(">") else "left", width)
        line = Text(GAP, no_wrap=True, overflow="ignore").join(cells)
        line.no_wrap, line.overflow = True, "ignore"
        line.rstrip()
        lines.append(line)
    return lines
