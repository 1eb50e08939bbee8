"""The cells: every world with every way of release, how often each is run, and what comes out."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.benchmark.judgement.worlds import (
    FIVE_MINUTES,
    FOUR_STEPS,
    Event,
    Schedule,
    Scraping,
    World,
)

Figures = Mapping[str, Any]
"""What is found of a cell, as the report has it."""


class Way(enum.Enum):
    """How a canary is released."""

    STEPS = "5/10/25/50 % × 10 min"
    QUICK = "10 to 50 % × 1 min"
    RAMP = "ramp"


SCHEDULES: Mapping[Way, Schedule] = {Way.STEPS: FOUR_STEPS, Way.QUICK: FIVE_MINUTES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many runs of each kind of cell.

    Attributes:
        healthy_runs: of healthy canaries, judged by our default.
        bursty_runs: likewise, where errors come in bursts: the rates are nearer to α there.
        other_runs: of these, as many are judged by all other gates too.
        worse_runs: of regressions.
        least_worse_runs: of those at exactly 2×, where the proof errs as often as it may.
        plan_runs: for each time that is compared with the plan's.
    """

    healthy_runs: int
    bursty_runs: int
    other_runs: int
    worse_runs: int
    least_worse_runs: int
    plan_runs: int


REDUCED = Size(
    healthy_runs=1500,
    bursty_runs=8000,
    other_runs=500,
    worse_runs=400,
    least_worse_runs=2000,
    plan_runs=1000,
)
FULL = Size(
    healthy_runs=10_000,
    bursty_runs=20_000,
    other_runs=10_000,
    worse_runs=2000,
    least_worse_runs=5000,
    plan_runs=4000,
)

BURSTY_NOISE = 0.5
"""Pods that differ by as much are like errors that come in bursts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One world, one way of release.

    Attributes:
        name: by which it is seeded, kept and told.
        world: what happens.
        way: how it is released.
    """

    name: str
    world: World
    way: Way = Way.STEPS

    def runs(self, size: Size) -> int:
        """How often it is run."""
        world = self.world
        if not world.is_healthy:
            is_least = world.worse_ratio is None and world.worse_factor == 2
            return size.least_worse_runs if is_least else size.worse_runs
        is_bursty = world.cluster_size_factor > 1 or world.noise_ratio >= BURSTY_NOISE
        return size.bursty_runs if is_bursty else size.healthy_runs


def told(world: World) -> str:
    """A world's traffic and bad fraction."""
    return f"{world.requests_per_second:g} rps {100 * world.bad_ratio:g} %"


def _healthy() -> list[Cell]:
    worlds: list[tuple[str, World]] = []
    for rps in (1, 10, 100, 1000, 10_000):
        worlds += [("", World(requests_per_second=rps, bad_ratio=p)) for p in (1e-4, 1e-3, 1e-2)]
    for event in (Event.DIURNAL, Event.MULTIPLIED, Event.ADDED, Event.STORM):
        worlds += [
            (event.value, World(requests_per_second=rps, event=event)) for rps in (10, 100, 1000)
        ]
    for size in (2, 5, 20):
        worlds += [
            (f"clusters of {size}", World(requests_per_second=rps, cluster_size_factor=size))
            for rps in (100, 1000)
        ]
    for noise in (0.2, 0.5):
        worlds += [
            (f"pods differ by {noise:g}", World(requests_per_second=rps, noise_ratio=noise))
            for rps in (100, 1000)
        ]
    for scraping in (Scraping.GAPS, Scraping.RESETS):
        worlds += [
            (scraping.value, World(requests_per_second=rps, scraping=scraping))
            for rps in (100, 1000)
        ]
    added = World(event=Event.ADDED)
    for scraping in (Scraping.PROXY_OFFSETS, Scraping.POD_OFFSETS):
        worlds += [
            (
                f"{scraping.value}, brown-outs",
                replace(added, scraping=scraping, requests_per_second=rps),
            )
            for rps in (100, 1000)
        ]
    worlds += [
        (Event.ADDED.value, replace(added, requests_per_second=10, bad_ratio=0.01)),
        ("no traffic", World(requests_per_second=0)),
        ("ticks of 5 s", World(tick_seconds=5)),
        ("ticks of 5 s", World(tick_seconds=5, requests_per_second=100)),
    ]
    cells = [Cell(name=_name("healthy", words, world), world=world) for words, world in worlds]
    quick = [World(), World(requests_per_second=100), World(cluster_size_factor=5)]
    cells += [
        Cell(name=_name("healthy", "quick", world, burst=True), world=world, way=Way.QUICK)
        for world in quick
    ]
    return cells + [
        Cell(name=_name("healthy", f"ramp {words}", world), world=world, way=Way.RAMP)
        for words, world in _climbed()
    ]


def _climbed() -> list[tuple[str, World]]:
    return [
        ("", World()),
        ("", World(requests_per_second=100)),
        ("", World(requests_per_second=10, bad_ratio=0.01)),
        (Event.ADDED.value, World(event=Event.ADDED)),
        (Event.ADDED.value, World(event=Event.ADDED, requests_per_second=100)),
        (Event.MULTIPLIED.value, World(event=Event.MULTIPLIED)),
        (Event.DIURNAL.value, World(event=Event.DIURNAL)),
        ("clusters of 5", World(cluster_size_factor=5)),
        ("clusters of 5", World(cluster_size_factor=5, requests_per_second=100)),
        ("pods differ by 0.5", World(noise_ratio=0.5)),
    ]


def _name(kind: str, words: str, world: World, *, burst: bool = False) -> str:
    parts = [kind, *words.split(), told(world)]
    if burst and world.cluster_size_factor > 1:
        parts.insert(-1, f"clusters of {world.cluster_size_factor:g}")
    return " ".join(parts)


FACTORS = {10: (5, 10, 50), 100: (1.5, 2, 5, 10, 50), 1000: (1.2, 1.5, 2, 5, 10, 50), 10_000: (2,)}
"""By requests a second: how many times as often canaries fail."""


def _worse() -> list[Cell]:
    thousand, hundred = World(), World(requests_per_second=100)
    ten = World(requests_per_second=10, bad_ratio=0.01)
    worse = [
        (f"{factor:g}×", World(requests_per_second=rps, worse_factor=factor))
        for rps, factors in FACTORS.items()
        for factor in factors
    ]
    worse += [one for world in (hundred, thousand) for one in _broken(world)]
    worse += [("2×", replace(ten, worse_factor=2))]
    for world in (thousand, hundred, ten):
        added = replace(world, event=Event.ADDED)
        worse += [(f"{n}× {Event.ADDED.value}", replace(added, worse_factor=n)) for n in (2, 10)]
    for world in (thousand, hundred):
        clustered = replace(world, worse_factor=5, cluster_size_factor=5)
        worse.append(("5× clusters of 5", clustered))
    worse.append(("5× pods differ by 0.5", replace(thousand, worse_factor=5, noise_ratio=0.5)))
    quick = [
        ("5×", replace(thousand, worse_factor=5)),
        ("outage", replace(thousand, worse_ratio=1)),
    ]
    return [
        *(Cell(name=f"{words} {told(world)}", world=world) for words, world in worse),
        *_worse_climbing(),
        *(
            Cell(name=f"quick {words} {told(world)}", world=world, way=Way.QUICK)
            for words, world in quick
        ),
    ]


def _broken(world: World) -> list[tuple[str, World]]:
    """Regressions that are no plain multiple."""
    return [
        ("outage", replace(world, worse_ratio=1.0)),
        ("85 % fail", replace(world, worse_ratio=0.85)),
        ("80 % fail", replace(world, worse_ratio=0.8)),
        ("20 % fail", replace(world, worse_ratio=0.2)),
        ("one endpoint of 2 %", replace(world, worse_ratio=0.02 + 0.98 * world.bad_ratio)),
        ("one pod of 4 at 20×", replace(world, worse_factor=(3 + 20) / 4)),
        ("5× after 20 min", replace(world, worse_factor=5, from_seconds=1200)),
        ("10× after 20 min", replace(world, worse_factor=10, from_seconds=1200)),
        ("outage after 20 min", replace(world, worse_ratio=1.0, from_seconds=1200)),
        ("5× from 25 %", replace(world, worse_factor=5, from_share=0.25)),
    ]


def _worse_climbing() -> list[Cell]:
    cells = []
    for rps, p in ((1000, 0.001), (100, 0.001), (10, 0.01)):
        world = World(requests_per_second=rps, bad_ratio=p)
        worse = [(f"{factor:g}×", replace(world, worse_factor=factor)) for factor in (2, 5, 50)]
        worse += [
            ("outage", replace(world, worse_ratio=1.0)),
            ("85 % fail", replace(world, worse_ratio=0.85)),
        ]
        if rps >= 100:
            worse.append(
                (f"2× {Event.ADDED.value}", replace(world, worse_factor=2, event=Event.ADDED))
            )
            worse.append(("5× from 25 %", replace(world, worse_factor=5, from_share=0.25)))
        cells += [
            Cell(name=f"ramp {words} {told(world)}", world=one, way=Way.RAMP)
            for words, one in worse
        ]
    return cells


CELLS: Mapping[str, Cell] = {cell.name: cell for cell in [*_healthy(), *_worse()]}
"""All of errors, by name; those of latency and of the plan stand in modules of their own."""


def healthy(world: World) -> World:
    """The same world with a canary that is well."""
    return replace(world, worse_factor=1.0, worse_ratio=None, from_seconds=0.0, from_share=0.0)
