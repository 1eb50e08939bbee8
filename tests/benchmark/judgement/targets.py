"""What was promised, beside what was found."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmark.judgement import cells, foretold, golden, latency, wilson
from tests.benchmark.judgement.cells import Figures
from tests.benchmark.judgement.simulate import DEFAULT, SENSITIVE
from tests.benchmark.judgement.worlds import Event, Scraping

FALSE_ROLLBACK_RATIO = 0.01
FALSE_PROMOTE_RATIO = 0.05
PLAN_RATIOS = (0.7, 1.3)

THOUSAND, HUNDRED = "1000 rps 0.1 %", "100 rps 0.1 %"
GOLDEN_TESTS = Path(__file__).parents[2] / "analysis/test_judge_golden.py"

Known = Mapping[str, Figures]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One promise.

    Attributes:
        name: of what.
        target: what was promised.
        figure: what was found.
        interval: how far the figure may be from the truth.
        met: whether it holds.
    """

    name: str
    target: str
    figure: str
    interval: str
    met: bool

    def as_json(self) -> dict[str, Any]:
        """As the report has it."""
        return asdict(self)


def judged(known: Known) -> list[Target]:
    """All targets, in their order."""
    return [
        *_healthy(known),
        *_outage(known),
        *_five_times(known),
        *_two_times(known),
        *_little_traffic(known),
        *_proofs(known),
        *_foretold(known),
        *_golden(),
    ]


def gate(known: Known, cell: str, name: str = DEFAULT) -> Mapping[str, Any]:
    """One gate's figures in one cell."""
    found: Mapping[str, Any] = known[cell]["gates"][name]
    return found


def default_gate(cell: Figures) -> str:
    """The gate of ours that stands for the default in a cell."""
    if cell["name"] not in latency.CELLS:
        return DEFAULT
    return latency.WARM if latency.WARM in cell["gates"] else latency.FOUR_EDGES


def percent(share: float) -> str:
    """A share in percent with three digits at most."""
    return f"{100 * share:.3g} %"


def between(limits: Any) -> str:
    """An interval of a share."""
    return f"[{100 * limits[0]:.3g}, {100 * limits[1]:.3g}] %"


def _healthy(known: Known) -> Iterator[Target]:
    rows = [
        (cell["gates"][default_gate(cell)], cell["name"])
        for cell in known.values()
        if cell["isHealthy"] and "gates" in cell
    ]
    # The product counts at the callers; what pods count takes three times the evidence.
    at_pods = [row for row in rows if Scraping.POD_OFFSETS.value in row[1]]
    yield _at_most([row for row in rows if row not in at_pods], "1 false rollback, default")
    yield _at_most(at_pods, "1 the same, counted at the pods")


def _at_most(rows: Sequence[tuple[Mapping[str, Any], str]], name: str) -> Target:
    worst, cell = max(rows, key=lambda row: row[0]["rolledBackUpper99"])
    above = sum(one["rolledBackUpper99"] > FALSE_ROLLBACK_RATIO for one, _ in rows)
    most = f"worst {percent(worst['rolledBackRatio'])}, {cell}"
    return Target(
        name=name,
        target=f"99 % upper limit ≤ 1 % in each of {len(rows)} healthy cells",
        figure=f"{len(rows) - above} of {len(rows)}; {most}",
        interval=f"up to {percent(worst['rolledBackUpper99'])}",
        met=not above,
    )


def _outage(known: Known) -> Iterator[Target]:
    for words in ("outage", "85 % fail"):
        one = gate(known, f"ramp {words} {THOUSAND}")
        mean = one["failuresWithLagMean"]
        flagger = gate(known, f"{words} {THOUSAND}", "Flagger 99 %")["failuresMean"]
        slow = gate(known, f"{words} {THOUSAND}", "Kayenta, 20 points")["failuresMean"]
        rivals = f"Flagger {flagger / mean:,.0f}×, Kayenta {slow / mean:,.0f}×"
        yield Target(
            name=f"2 {words}, 1000 rps, ramp",
            target="≤ 40 failed requests, lag included",
            figure=f"{mean:.1f}; at 5 % {rivals}",
            interval=f"95 % of runs ≤ {one['failuresWithLagP95']:.0f}",
            met=mean <= 40 and one["rolledBackCount"] == one["runs"],
        )


def _five_times(known: Known) -> Iterator[Target]:
    cell = f"5× {THOUSAND}"
    one = gate(known, cell)
    yield Target(
        name="3 5× at 0.1 %, 1000 rps, default",
        target="always found, median ≤ 60 s and ≤ 15 failures",
        figure=f"{_found(one)}, {one['failuresMedian']:g} failures, mean {one['failuresMean']:.1f}",
        interval=between(one["rolledBackInterval"]),
        met=_is_found(one, 60) and one["failuresMedian"] <= 15,
    )
    counters = [
        gate(known, cell, name)["rolledBackCount"] for name in ("Flagger 99 %", "Argo 99 %")
    ]
    yield Target(
        name="3 the same, thresholds of 99 %",
        target="never found",
        figure=f"Flagger {counters[0]}, Argo {counters[1]} of {one['runs']}",
        interval=between(gate(known, cell, "Flagger 99 %")["rolledBackInterval"]),
        met=not any(counters),
    )


def _two_times(known: Known) -> Iterator[Target]:
    for name, limit in ((SENSITIVE, 360), (DEFAULT, 720)):
        one = gate(known, f"2× {THOUSAND}", name)
        yield Target(
            name=f"4 2×, 1000 rps, {name.removeprefix('ours, ')}",
            target=f"always found, median ≤ {limit // 60} min",
            figure=f"{_found(one)}, {one['failuresMean']:.0f} failures",
            interval=between(one["rolledBackInterval"]),
            met=_is_found(one, limit),
        )
    one = gate(known, f"2× {HUNDRED}", SENSITIVE)
    yield Target(
        name="4 2×, 100 rps, sensitive",
        target="≥ 90 % found within 40 min",
        figure=_found(one),
        interval=between(one["rolledBackInterval"]),
        met=one["rolledBackRatio"] >= 0.9,
    )


def _little_traffic(known: Known) -> Iterator[Target]:
    one = gate(known, "10× 10 rps 0.1 %")
    theirs = gate(known, "10× 10 rps 0.1 %", "Kayenta, 5 min")
    yield Target(
        name="5 10×, 10 rps, default",
        target="always found, median ≤ 16 min, ≤ 8 failures",
        figure=(
            f"{_found(one)}, {one['failuresMean']:.1f} failures "
            f"(Kayenta finds {percent(theirs['rolledBackRatio'])})"
        ),
        interval=between(one["rolledBackInterval"]),
        met=_is_found(one, 960) and one["failuresMean"] <= 8,
    )


def _proofs(known: Known) -> Iterator[Target]:
    for cell, limit in ((THOUSAND, 240), (HUNDRED, 1200)):
        one = gate(known, f"healthy ramp {cell}")
        after = f"after {_seconds(one['promotedSecondsMedian'])} with its minute at the top"
        promoted = f"{percent(one['promotedRatio'])} promoted, {after}"
        yield Target(
            name=f"6 healthy to a proved < 2×, {cell.split(' 0')[0]}, ramp",
            target=f"median ≤ {limit // 60} min",
            figure=f"{_seconds(one['provedSecondsMedian'])}; {promoted}",
            interval=between(one["promotedInterval"]),
            met=_is_soon(one["provedSecondsMedian"], limit),
        )
    worse = [cell for cell in known.values() if _is_twice_as_bad(cell)]
    added = [cell for cell in worse if cells.CELLS[cell["name"]].world.event is Event.ADDED]
    steady = [cell for cell in worse if cell not in added]
    yield _erring(steady, "6 P(promote | ≥ 2×)")
    yield _erring(added, "6 the same under additive brown-outs")


def _is_twice_as_bad(cell: Figures) -> bool:
    """From the beginning: one that becomes worse later was rightly proved well before."""
    if cell["name"] not in cells.CELLS or cell["timesWorse"] < 2:
        return False
    world = cells.CELLS[cell["name"]].world
    return not world.from_seconds and not world.from_share


def _erring(among: Sequence[Figures], told: str) -> Target:
    """The cell in which a proof errs most."""
    rows = [(cell["gates"][DEFAULT], cell["name"]) for cell in among]
    one, worst = max(rows, key=lambda row: row[0]["promotedRatio"])
    return Target(
        name=told,
        target=f"≤ 5 % in each of {len(rows)} cells",
        figure=f"{percent(one['promotedRatio'])} at most, {worst}",
        interval=between(one["promotedInterval"]),
        met=one["promotedRatio"] <= FALSE_PROMOTE_RATIO,
    )


def _foretold(known: Known) -> Iterator[Target]:
    ratios = [(known[name]["plannedToSimulatedRatio"], name) for name in foretold.DWELLS]
    low, high = min(ratios), max(ratios)
    inside = sum(PLAN_RATIOS[0] <= ratio <= PLAN_RATIOS[1] for ratio, _ in ratios)
    yield Target(
        name="7 plan against simulated 90th percentiles",
        target=f"within ±30 % in each of {len(ratios)} cases",
        figure=f"{inside} of {len(ratios)}, {low[0]:.2f} to {high[0]:.2f}; highest {high[1]}",
        interval="-",
        met=inside == len(ratios),
    )
    for name in foretold.BACK_TESTS:
        one = known[name]
        ours, theirs = one["backTestInterval"], one["healthyInterval"]
        yield Target(
            name=f"7 {name}",
            target=f"the rate of healthy canaries, {percent(one['healthyRatio'])}",
            figure=percent(one["backTestRatio"]),
            interval=f"{between(ours)} against {between(theirs)}",
            met=ours[0] <= theirs[1] and theirs[0] <= ours[1],
        )


def _golden() -> Iterator[Target]:
    numbers = golden.found()
    met = sum(one.is_met for one in numbers)
    yield Target(
        name="8 golden numbers, twin",
        target=f"all {len(numbers)}",
        figure=f"{met} of {len(numbers)}",
        interval="relative 1e-9, ramp 1e-6",
        met=met == len(numbers),
    )
    asked = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(GOLDEN_TESTS)]
    root = GOLDEN_TESTS.parents[2]
    done = subprocess.run(asked, check=False, capture_output=True, text=True, cwd=root)
    yield Target(
        name="8 golden numbers, product",
        target="its tests pass",
        figure=(done.stdout.strip().splitlines() or ["no output"])[-1].strip("= "),
        interval="relative 1e-9, printed ones 1e-6",
        met=done.returncode == 0,
    )


def _is_found(one: Mapping[str, Any], limit_seconds: float) -> bool:
    is_soon = _is_soon(one["delaySecondsMedian"], limit_seconds)
    return is_soon and one["rolledBackCount"] == one["runs"]


def _is_soon(seconds: float | None, limit_seconds: float) -> bool:
    return seconds is not None and seconds <= limit_seconds


def _found(one: Mapping[str, Any]) -> str:
    return f"{percent(one['rolledBackRatio'])} found, median {_seconds(one['delaySecondsMedian'])}"


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:g} s"


def healthy_twin(name: str) -> str | None:
    """The healthy cell of the same world and way as a regression's, if there is one."""
    if name not in cells.CELLS:
        return None
    one = cells.CELLS[name]
    wanted = cells.healthy(one.world)
    for other in cells.CELLS.values():
        if other.world == wanted and other.way is one.way:
            return other.name
    return None


def rolled_back(known: Known, cell: str | None, name: str) -> str:
    """What a gate does to healthy releases, with its interval; empty where it is not known."""
    if cell is None or name not in known[cell]["gates"]:
        return ""
    one = gate(known, cell, name)
    low, high = wilson.interval(one["rolledBackCount"], one["runs"])
    return f"{percent(one['rolledBackRatio'])} {between((low, high))}"
