"""What is printed: every cell's figures, where rivals are better, and the targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.benchmark.judgement import cells, foretold, latency
from tests.benchmark.judgement.cells import Figures, Way
from tests.benchmark.judgement.simulate import CLIMBERS, DEFAULT, SENSITIVE
from tests.benchmark.judgement.targets import (
    Known,
    Target,
    between,
    default_gate,
    gate,
    healthy_twin,
    percent,
    rolled_back,
)

SHORT: Mapping[str, str] = {
    DEFAULT: "default",
    SENSITIVE: "sensitive",
    "ours, plain .05": "plain .05",
    "ours, plain .01": "plain .01",
    "Flagger 99 %": "Flagger 99",
    "Flagger 99.5 %": "Flagger 99.5",
    "Argo 99 %": "Argo 99",
    "relative PromQL": "relative",
    "Kayenta, 5 min": "Kayenta",
    "Kayenta, 20 points": "Kayenta 20",
    "peeked z": "peeked z",
    "burn rate, service": "burn service",
    "burn rate, canary": "burn canary",
}
BETTER_RATIO = 0.95
"""A rival is better where it costs less than this of what ours does, and more than chance."""

LEGEND = "share found, median delay, mean canary failures until the verdict or the horizon"


def rows(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of columns as wide as they need to be."""
    widths = [max(len(line[place]) for line in [header, *lines]) for place in range(len(header))]
    ruled = [header, ["-" * width for width in widths], *lines]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in ruled
    )


def text(known: Known, targets: Sequence[Target]) -> str:
    """The whole report."""
    return "\n\n".join(
        [
            *_false_rollbacks(known),
            *_regressions(known),
            *_climbs(known),
            *_latencies(known),
            *_plans(known),
            *_worse_than_rivals(known),
            *_dearer_ramps(known),
            "TARGETS",
            of_targets(targets),
        ]
    )


def of_targets(targets: Sequence[Target]) -> str:
    """The targets alone."""
    lines = [
        [one.name, one.target, one.figure, one.interval, "met" if one.met else "NOT MET"]
        for one in targets
    ]
    return rows(["target", "promised", "found", "interval", ""], lines)


def _chosen(known: Known, *, is_healthy: bool, ways: Sequence[Way]) -> list[Figures]:
    names = [name for name, cell in cells.CELLS.items() if cell.way in ways]
    found = [known[name] for name in names if name in known]
    return [cell for cell in found if cell["isHealthy"] is is_healthy]


def _false_rollbacks(known: Known) -> Iterator[str]:
    chosen = _chosen(known, is_healthy=True, ways=(Way.STEPS, Way.QUICK))
    if not chosen:
        return
    yield "FALSE ROLLBACK of healthy canaries; in brackets the default's upper limit at 99 %"
    lines = []
    for cell in chosen:
        all_ = cell["gates"]
        limit = percent(all_[DEFAULT]["rolledBackUpper99"])
        shares = [percent(all_[name]["rolledBackRatio"]) for name in SHORT]
        shares[0] = f"{shares[0]} ({limit})"
        lines.append(
            [cell["name"].removeprefix("healthy "), str(cell["dispersionMedian"]), *shares]
        )
    yield rows(["world", "φ̂", *SHORT.values()], lines)


def _regressions(known: Known) -> Iterator[str]:
    chosen = _chosen(known, is_healthy=False, ways=(Way.STEPS, Way.QUICK))
    if not chosen:
        return
    yield f"REGRESSIONS: {LEGEND}; P(proved < 2×)"
    lines = [
        [
            cell["name"],
            *(_brief(cell["gates"][name]) for name in SHORT),
            percent(cell["gates"][DEFAULT]["promotedRatio"]),
        ]
        for cell in chosen
    ]
    yield rows(["regression", *SHORT.values(), "< 2×"], lines)


def _brief(one: Mapping[str, Any]) -> str:
    """Share, delay and failures; neither a share of 1 nor the delay of less than a half."""
    share, median = one["rolledBackRatio"], one["delaySecondsMedian"]
    parts = [] if share == 1 else [f"{share:.2g}"]
    parts += [] if median is None else [f"{median:g} s"]
    mean = one["failuresMean"]
    return ", ".join([*parts, f"{mean:,.0f}" if mean >= 100 else f"{mean:.3g}"])


def _climbs(known: Known) -> Iterator[str]:
    for is_healthy, words in ((True, "healthy"), (False, "regressions")):
        chosen = _chosen(known, is_healthy=is_healthy, ways=(Way.RAMP,))
        if not chosen:
            continue
        yield f"RAMP, {words}: {LEGEND} (with lag); promoted, median time"
        lines = []
        for cell in chosen:
            line = [cell["name"].removeprefix("healthy ").removeprefix("ramp ")]
            for name in CLIMBERS:
                one = cell["gates"][name]
                seconds = one["promotedSecondsMedian"]
                proved = percent(one["promotedRatio"]) + (f", {seconds:g} s" if seconds else "")
                line += [f"{_brief(one)} ({one['failuresWithLagMean']:.3g})", proved]
            lines.append(line)
        header = [word for name in CLIMBERS for word in (SHORT[name], "promoted")]
        yield rows(["world", *header], lines)


def _latencies(known: Known) -> Iterator[str]:
    chosen = [known[name] for name in latency.CELLS if name in known]
    if not chosen:
        return
    yield "LATENCY, base p99 487 ms: share rolled back, median delay, slow canary requests"
    gates = dict.fromkeys(name for cell in chosen for name in cell["gates"] if name != latency.WARM)
    header = [name.removeprefix("ours, ") for name in gates]
    lines = [[cell["name"], *(_brief(cell["gates"][name]) for name in gates)] for cell in chosen]
    lines += [
        [f"{cell['name']}, warm-up left out", "", _brief(cell["gates"][latency.WARM])]
        + [""] * (len(gates) - 2)
        for cell in chosen
        if latency.WARM in cell["gates"]
    ]
    yield rows(["world", *header], lines)


def _plans(known: Known) -> Iterator[str]:
    chosen = [known[name] for name in foretold.DWELLS if name in known]
    if not chosen:
        return
    yield "PLAN: seconds to find a regression with 90 % power"
    lines = [
        [
            cell["name"],
            f"{cell['plannedSeconds']:g}",
            f"{cell['simulatedSecondsP90']:.1f}",
            f"{cell['plannedToSimulatedRatio']:.2f}",
        ]
        for cell in chosen
    ]
    yield rows(["regression", "planned", "simulated", "ratio"], lines)


def _worse_than_rivals(known: Known) -> Iterator[str]:
    lines = [line for cell in known.values() for line in _better(known, cell)]
    if lines:
        yield (
            "WHERE A RIVAL COSTS LESS than our default: mean canary failures until the verdict or"
            " the horizon, and what the rival does to healthy canaries of the same world"
        )
        yield rows(["regression", "rival", "its failures", "ours", "healthy rolled back"], lines)


def _better(known: Known, cell: Figures) -> Iterator[list[str]]:
    if cell["isHealthy"] or "gates" not in cell:
        return
    ours = cell["gates"][default_gate(cell)]["failuresMean"]
    name = cell["name"]
    healthy = healthy_twin(name)
    if name in latency.CELLS:
        healthy = f"healthy latency {' '.join(name.split()[-2:])}"
    for rival, one in cell["gates"].items():
        if not rival.startswith("ours") and one["failuresMean"] < BETTER_RATIO * ours:
            known_of = healthy if healthy in known else None
            told = rolled_back(known, known_of, rival) or "not simulated"
            yield [name, rival, f"{one['failuresMean']:.3g}", f"{ours:.3g}", told]


def _dearer_ramps(known: Known) -> Iterator[str]:
    lines = []
    for cell in _chosen(known, is_healthy=False, ways=(Way.RAMP,)):
        steps = cell["name"].removeprefix("ramp ")
        if steps not in known:
            continue
        ramp, fixed = (gate(known, name)["failuresWithLagMean"] for name in (cell["name"], steps))
        if fixed < BETTER_RATIO * ramp:
            lines.append([steps, f"{ramp:.3g}", f"{fixed:.3g}"])
    if lines:
        yield "WHERE THE RAMP COSTS MORE than fixed steps: mean canary failures, lag included"
        yield rows(["regression", "ramp", "5/10/25/50 %"], lines)


def of_cells(found: Sequence[Figures]) -> str:
    """Chosen cells in full, one gate a line."""
    return "\n\n".join(_in_full(cell) for cell in found)


def _in_full(cell: Figures) -> str:
    if "gates" not in cell:
        return "\n".join(f"{key}: {value}" for key, value in cell.items())
    lines = [
        [
            name,
            percent(one["rolledBackRatio"]),
            between(one["rolledBackInterval"]),
            str(one["delaySecondsMedian"]),
            str(one["delaySecondsP95"]),
            f"{one['failuresMean']:g}",
            f"{one['failuresWithLagMean']:g}",
            percent(one["promotedRatio"]) if "promotedRatio" in one else "",
            str(one.get("promotedSecondsMedian", "")),
        ]
        for name, one in cell["gates"].items()
    ]
    header = ["gate", "rolled back", "95 %", "median s", "p95 s", "failures", "with lag"]
    return f"{cell['name']} ({cell['way']})\n" + rows([*header, "proved", "median s"], lines)
