"""The demo's screen: acts, phase, weights over time, versions, gates, events, what happens next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rich import box
from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rollout.views import card, paint, sentences
from rollout.views.glyphs import Glyphs, sparkline
from rollout.views.subject import Subject

WIDTH, HEIGHT = 100, 32
"""The screen at its largest; on a larger terminal it does not grow."""

HEIGHT_MIN, WIDTH_MIN = 24, 80
"""Below this the screen is not worth drawing; plain lines say more."""

LINE_WIDTH = 72
"""Cells of the lines over time: one a second, which shows two acts of the demo."""

BAR_WIDTH = 60

FRAME_WIDTH = 18
"""What stands around a line over time: a border, a label, gaps."""

NUMBER_WIDTH = 8
"""The percent behind a bar."""

VERSIONS_WIDTH = 45
"""The table of versions; the gates take what is left."""

SMALL_STEP = 100.0
"""The top of the lines over time: all of the traffic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One release of the demo.

    Attributes:
        title: what it shows.
        stable: the revision it starts from.
        canary: the revision it brings.
        state: whether it is still to come, on, over as it should be, or over otherwise.
        result: how it ended, in a few words.
    """

    title: str
    stable: str
    canary: str
    state: Literal["ahead", "here", "done", "failed"] = "ahead"
    result: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """What callers get from one version.

    Attributes:
        name: the version; empty for answers of none (Envoy's own).
        role: stable, canary or empty.
        rate_hertz: answers a second, lately.
        requests: answers since the demo began.
        failures: failed ones among them.
        failing_percent: percent of the recent answers that failed; None: no recent answers.
    """

    name: str
    role: str
    rate_hertz: float
    requests: int
    failures: int
    failing_percent: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that the screen shows, at one moment.

    Attributes:
        now: the wall clock.
        elapsed_seconds: since the curtain rose.
        rate_hertz: requests a second that are sent.
        acts: the releases.
        subject: the Rollout; None before it is there.
        written_percent: percent of the traffic written for the canary.
        observed_percent: percent of the traffic that went there in the last seconds; None: unknown.
        written_line: the weight second by second, the newest last.
        observed_line: the share in traffic second by second, the newest last.
        versions: what callers get.
        log: what happened, the newest last.
        hint: what a person can try meanwhile.
    """

    now: datetime
    elapsed_seconds: float
    rate_hertz: float
    acts: Sequence[Act]
    subject: Subject | None
    written_percent: float
    observed_percent: float | None
    written_line: Sequence[float]
    observed_line: Sequence[float]
    versions: Sequence[VersionRow]
    log: Sequence[tuple[datetime, str]]
    hint: str


def screen(scene: Scene, *, width: int, height: int, glyphs: Glyphs) -> RenderableType:
    """The whole screen; with less height than `HEIGHT` the log is shorter, or not there."""
    middle = Layout(name="middle", size=max(5, 3 + len(scene.versions)))
    middle.split_row(Layout(_versions(scene), size=VERSIONS_WIDTH), Layout(_gates(scene)))
    parts = [
        Layout(_head(scene), size=1),
        Layout(_acts(scene, glyphs=glyphs), size=2 + len(scene.acts)),
        Layout(_state(scene, width=width, glyphs=glyphs), size=6),
        Layout(_weights(scene, width=width, glyphs=glyphs), size=6),
        middle,
    ]
    left = height - sum(part.size or 0 for part in parts)
    if left >= 3:
        parts.append(Layout(_log(scene, lines=left - 2), size=left))
    whole = Layout()
    whole.split_column(*parts)
    return whole


def _panel(content: RenderableType, title: str) -> Panel:
    return Panel(content, title=title, title_align="left", box=box.ROUNDED, border_style="dim")


def _head(scene: Scene) -> RenderableType:
    grid = Table.grid(expand=True)
    grid.add_column()
    grid.add_column(justify="right")
    rate = f"{scene.rate_hertz:,.0f} requests a second"
    clock = f"{int(scene.elapsed_seconds) // 60:02d}:{int(scene.elapsed_seconds) % 60:02d}"
    grid.add_row(
        Text.assemble((" rollout demo", "bold"), f"   {rate} through Envoy, judged by Prometheus"),
        Text(f"{clock} ", style="bold"),
    )
    return grid


_MARKS = {"ahead": " ", "here": ">", "done": "ok", "failed": "!!"}
_ACT_STYLES = {"ahead": "dim", "here": "bold", "done": "green", "failed": "bold red"}


def _acts(scene: Scene, *, glyphs: Glyphs) -> Panel:
    grid = Table.grid(padding=(0, 2), expand=True)
    for justify in ("right", "left", "left", "right"):
        grid.add_column(justify=justify, no_wrap=True, ratio=1 if justify == "left" else None)
    grid.columns[1].ratio = None
    for act in scene.acts:
        style = _ACT_STYLES[act.state]
        grid.add_row(
            Text(_MARKS[act.state], style=style),
            Text(f"{act.stable} {glyphs.arrow} {act.canary}", style=style),
            Text(act.title, style=style),
            Text(act.result, style=style),
        )
    return _panel(grid, "three releases")


def _state(scene: Scene, *, width: int, glyphs: Glyphs) -> Panel:
    subject = scene.subject
    if subject is None:
        return _panel(Text("the Rollout is not there yet"), "reviews")
    title = f"{subject.key}"
    run = subject.active
    first = Text.assemble(
        paint.phase(subject.status.phase), "  ", card.revisions(subject, glyphs=glyphs)
    )
    if run is not None:
        first.append("   ").append_text(card.ladder(run, glyphs=glyphs))
    message = sentences.sentence(subject.status.message)
    lines = [first, *_folded(message, lines=2, width=width - 4)]
    following = sentences.sentence(sentences.what_next(subject, now=scene.now))
    lines.append(_line(Text.assemble(("next  ", "bold"), following)))
    return _panel(Group(*lines), title)


def _folded(message: str, *, lines: int, width: int) -> list[Text]:
    """The message on exactly so many lines, cut where it is longer."""
    words, folded = message.split(), [""]
    for word in words:
        if len(folded[-1]) + len(word) + 1 > width and len(folded) < lines:
            folded.append("")
        folded[-1] = f"{folded[-1]} {word}".strip()
    folded += [""] * (lines - len(folded))
    return [_line(Text(text)) for text in folded]


def _line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _weights(scene: Scene, *, width: int, glyphs: Glyphs) -> Panel:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    line_width = min(LINE_WIDTH, width - FRAME_WIDTH)
    bar_width = min(BAR_WIDTH, line_width - NUMBER_WIDTH)
    observed = scene.observed_percent if scene.observed_percent is not None else 0.0
    rows = [
        ("written", card.weight_bar(scene.written_percent, width=bar_width, glyphs=glyphs)),
        ("in traffic", card.weight_bar(observed, width=bar_width, glyphs=glyphs)),
        ("written", _over_time(scene.written_line, width=line_width, glyphs=glyphs)),
        ("in traffic", _over_time(scene.observed_line, width=line_width, glyphs=glyphs)),
    ]
    for label, drawn in rows:
        grid.add_row(Text(label, style="dim"), drawn)
    return _panel(grid, f"share of the canary, now and over the last {line_width} seconds")


def _over_time(values: Sequence[float], *, width: int, glyphs: Glyphs) -> Text:
    line = sparkline(values, top=SMALL_STEP, width=width, glyphs=glyphs)
    return Text(line, style=paint.CANARY_COLOUR)


_ROLE_STYLES = {"stable": paint.STABLE_COLOUR, "canary": paint.CANARY_COLOUR}


def _versions(scene: Scene) -> Panel:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", expand=True)
    for title in ("version", ">/s", ">requests", ">failed", ">now"):
        justify: Literal["left", "right"] = "right" if title.startswith(">") else "left"
        table.add_column(title.removeprefix(">"), justify=justify, no_wrap=True)
    for row in scene.versions:
        failing = "-" if row.failing_percent is None else f"{row.failing_percent:.1f} %"
        table.add_row(
            Text(f"{row.name or 'none'} {row.role}", style=_ROLE_STYLES.get(row.role, "dim")),
            f"{row.rate_hertz:.0f}",
            f"{row.requests:,}",
            Text(f"{row.failures:,}", style="red" if row.failures else ""),
            Text(failing, style="bold red" if row.failing_percent else ""),
        )
    return _panel(table, "what callers get")


def _gates(scene: Scene) -> Panel:
    run = scene.subject.run if scene.subject is not None else None
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column()
    for gate in run.gates if run is not None else ():
        grid.add_row(Text(gate.name), paint.verdict(gate.verdict), Text(sentences.because(gate)))
    return _panel(grid, "gates")


def _log(scene: Scene, *, lines: int) -> Panel:
    told = [
        _line(Text.assemble((f"{at:%H:%M:%S}  ", "dim"), text)) for at, text in scene.log[-lines:]
    ]
    missing = lines - len(told)
    if missing > 0 and scene.hint:
        blanks = [Text() for _ in range(missing - 1)]
        told += [*blanks, _line(Text(scene.hint, style="dim"))]
    return _panel(Group(*told), "what happened")
