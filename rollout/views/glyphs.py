"""Bars, marks and sparklines, for terminals that know Unicode and for those that do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """The signs that views draw with.

    Attributes:
        parts: the last cell of a bar, from almost empty to full.
        rest: a cell of a bar that is not filled.
        levels: the heights of a sparkline, from nothing to everything.
        arrow: from the old to the new.
        done: a step that is over.
        here: the present step.
        link: between two steps.
    """

    parts: str
    rest: str
    levels: str
    arrow: str
    done: str
    here: tuple[str, str]
    link: str


UNICODE = Glyphs(
    parts="▏▎▍▌▋▊▉█",
    rest="·",
    levels=" ▁▂▃▄▅▆▇█",
    arrow="→",
    done="✓",
    here=("[", "]"),
    link=" ─ ",
)

ASCII = Glyphs(
    parts="#", rest=".", levels=" .:-=+*#", arrow="->", done="+", here=("[", "]"), link=" - "
)


def bar(percent: float, *, width: int, glyphs: Glyphs) -> str:
    """A bar of ``width`` cells, filled by ``percent``; anything above 0 shows at least a trace."""
    parts = glyphs.parts
    filled = round(min(max(percent, 0.0), 100.0) / 100 * width * len(parts))
    if percent > 0:
        filled = max(filled, 1)
    whole, part = divmod(filled, len(parts))
    drawn = parts[-1] * whole + (parts[part - 1] if part else "")
    return drawn + glyphs.rest * (width - len(drawn))


def sparkline(values: Sequence[float], *, top: float, width: int, glyphs: Glyphs) -> str:
    """The newest ``width`` values as heights below ``top``, right-aligned; small ones show."""
    levels = glyphs.levels
    drawn = ""
    for value in values[-width:]:
        level = round(min(max(value, 0.0), top) / top * (len(levels) - 1))
        drawn += levels[max(level, 1) if value > 0 else 0]
    return drawn.rjust(width)
