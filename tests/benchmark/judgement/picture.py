"""The picture: canary requests that fail until a regression is taken back, by gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from tests.benchmark.judgement.simulate import DEFAULT
from tests.benchmark.judgement.targets import Known

RAMP = "ours, ramp"
ALWAYS_RATIO = 0.995
"""Found oftener than this is found always, on a picture."""

INK, QUIET, LINE = "#222222", "#666666", "#dddddd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How a gate is drawn; colours are those of Okabe and Ito, shapes differ too."""

    label: str
    colour: str
    shape: str
    points: float = 44.0
    is_ours: bool = False


MARKS: Mapping[str, Mark] = {
    "Flagger 99 %": Mark(label="Flagger, 99 %", colour="#D55E00", shape="s"),
    "Argo 99 %": Mark(label="Argo Rollouts, 99 %", colour="#E69F00", shape="^", points=51),
    "Kayenta, 5 min": Mark(label="Kayenta, every 5 min", colour="#CC79A7", shape="v", points=51),
    "relative PromQL": Mark(
        label="1.2 × stable, in PromQL", colour="#009E73", shape="P", points=54
    ),
    "peeked z": Mark(label="z-test each minute", colour="#666666", shape="X", points=51),
    DEFAULT: Mark(
        label="rollout, fixed steps", colour="#56B4E9", shape="o", points=80, is_ours=True
    ),
    RAMP: Mark(label="rollout, ramp", colour="#0072B2", shape="D", points=68, is_ours=True),
}

WORSE: Sequence[tuple[str, str]] = (
    ("fails 2× as often", "2×"),
    ("5×", "5×"),
    ("50×", "50×"),
    ("85 % fail", "85 % fail"),
    ("outage", "outage"),
)
HEALTHY: Sequence[tuple[str, str]] = (
    ("nothing happens", "healthy 1000 rps 0.1 %"),
    ("both arms brown out, twice", "healthy brown-outs, added 1000 rps 0.1 %"),
    ("errors in clusters of 5", "healthy clusters of 5 1000 rps 0.1 %"),
    ("1 % of all fail, 10 rps", "healthy 10 rps 1 %"),
    ("no traffic", "healthy no traffic 0 rps 0.1 %"),
)


def draw(known: Known, path: Path) -> None:
    """Draws it as SVG; the same figures give the same bytes."""
    fonts = ["DejaVu Sans"]
    with mpl.rc_context({"svg.hashsalt": "judgement", "font.family": fonts, "font.size": 10}):
        figure = Figure(figsize=(9, 9.2), layout=None)
        top, bottom = figure.subplots(2, 1, height_ratios=(1.05, 1))
        figure.subplots_adjust(left=0.235, right=0.97, top=0.87, bottom=0.045, hspace=0.36)
        _failures(top, known)
        _false_rollbacks(bottom, known)
        _legend(figure)
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None, "Creator": None}
        figure.savefig(path, format=path.suffix.removeprefix("."), dpi=110, metadata=metadata)


def _failures(axes: Axes, known: Known) -> None:
    rows = [label for label, _ in WORSE]
    for place, (_, words) in enumerate(WORSE):
        name = f"{words} 1000 rps 0.1 %"
        found = dict(known[name]["gates"])
        found[RAMP] = known[f"ramp {name}"]["gates"][DEFAULT]
        for gate, mark in MARKS.items():
            one = found[gate]
            is_always = one["rolledBackRatio"] >= ALWAYS_RATIO
            _dot(axes, one["failuresWithLagMean"], place, mark, is_full=is_always)
    axes.set_xscale("log")
    axes.set_xlim(5, 40_000)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    _dress(axes, rows, "Failed canary requests until the rollback has arrived")


def _false_rollbacks(axes: Axes, known: Known) -> None:
    rows = [label for label, _ in HEALTHY]
    for place, (_, name) in enumerate(HEALTHY):
        for gate, mark in MARKS.items():
            if gate != RAMP:
                one = known[name]["gates"][gate]
                _dot(axes, 100 * one["rolledBackRatio"], place, mark, is_full=True)
    axes.set_xlim(-2, 102)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f} %"))
    _dress(axes, rows, "Healthy canaries that are rolled back within 40 minutes")


def _dot(axes: Axes, x: float, row: int, mark: Mark, *, is_full: bool) -> None:
    """A gate's mark, each in a lane of its own so that none hides another."""
    lane = list(MARKS.values()).index(mark) - (len(MARKS) - 1) / 2
    axes.scatter(
        [x],
        [row + 0.118 * lane],
        s=mark.points,
        marker=mark.shape,
        facecolors=mark.colour if is_full else "white",
        edgecolors=INK if mark.is_ours else mark.colour,
        linewidths=1.1 if mark.is_ours else 1.4,
        zorder=4 if mark.is_ours else 3,
        clip_on=False,
    )


def _dress(axes: Axes, rows: Sequence[str], title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11.5, fontweight="bold", color=INK, pad=8)
    axes.set_yticks(range(len(rows)), rows, color=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", colors=QUIET, length=3, which="major")
    axes.tick_params(axis="x", length=0, which="minor")
    axes.grid(axis="x", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    for row in range(len(rows) - 1):
        axes.axhline(row + 0.5, color=LINE, linewidth=0.8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)


def _legend(figure: Figure) -> None:
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=mark.shape,
            markersize=mark.points**0.5,
            markerfacecolor=mark.colour,
            markeredgecolor=INK if mark.is_ours else mark.colour,
            label=mark.label,
        )
        for mark in reversed(list(MARKS.values()))
    ]
    legend = figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.01, 0.99),
        ncols=4,
        frameon=False,
        handletextpad=0.4,
        columnspacing=1.6,
    )
    for words, mark in zip(legend.get_texts(), reversed(list(MARKS.values())), strict=True):
        words.set_fontweight("bold" if mark.is_ours else "normal")
        words.set_color(INK)
    figure.text(
        0.97,
        0.4605,
        "1,000 requests a second, 0.1 % of stable's fail; hollow: missed in some runs",
        color=QUIET,
        fontsize=8.5,
        ha="right",
    )
