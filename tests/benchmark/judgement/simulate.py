"""Runs a cell: all gates on the same ticks, and each gate's figures."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tests.benchmark.judgement import kayenta, ramp, rivals, twin, wilson, worlds
from tests.benchmark.judgement.arrays import CHUNK_RUNS, Floats, Ticks, Whole, random_of
from tests.benchmark.judgement.cells import SCHEDULES, Cell, Figures, Size, Way
from tests.benchmark.judgement.twin import Preset, Setting
from tests.benchmark.judgement.worlds import Scraping, Stream, World

MINUTE_SECONDS = 60
LAG_SECONDS = 15.0
"""L: what still reaches the canary after a verdict."""

CLIMB_SECONDS = 2400.0

DEFAULT = "ours, default"
SENSITIVE = "ours, sensitive"
PLAIN = "ours, plain .01"

PRESETS: Mapping[str, Preset] = {
    one.name: one
    for one in (
        Preset(name=DEFAULT, tempered=True, tolerance_ratio=1.2, false_rollback_ratio=0.01),
        Preset(name=SENSITIVE, tempered=True, tolerance_ratio=1.0, false_rollback_ratio=0.05),
        Preset(
            name="ours, default .05", tempered=True, tolerance_ratio=1.2, false_rollback_ratio=0.05
        ),
        Preset(
            name="ours, sensitive .01",
            tempered=True,
            tolerance_ratio=1.0,
            false_rollback_ratio=0.01,
        ),
        Preset(
            name="ours, plain .05", tempered=False, tolerance_ratio=1.0, false_rollback_ratio=0.05
        ),
        Preset(name=PLAIN, tempered=False, tolerance_ratio=1.0, false_rollback_ratio=0.01),
    )
}
CLIMBERS: Mapping[str, Preset] = {name: PRESETS[name] for name in (DEFAULT, SENSITIVE, PLAIN)}

KAYENTAS: Mapping[str, int] = {"Kayenta, 5 min": 5, "Kayenta, 20 points": 20}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one gate did in a chunk of runs; seconds are infinite where it never did.

    Attributes:
        rollback_seconds: from the beginning to the verdict.
        failures: the canary's, from the regression's beginning to the verdict or the horizon.
        failures_with_lag: likewise, until the verdict reaches the mesh.
        promote_seconds: to the proof; None for gates that have none.
        prove_seconds: to the proof on a ramp, which promotes after its least time at the top.
    """

    rollback_seconds: Floats
    failures: Floats
    failures_with_lag: Floats
    promote_seconds: Floats | None = None
    prove_seconds: Floats | None = None


def simulate(cell: Cell, size: Size) -> Figures:
    """All figures of a cell."""
    seen: dict[str, list[Seen]] = defaultdict(list)
    phis: list[Floats] = []
    runs = cell.runs(size)
    for chunk, part in enumerate(parts(runs)):
        is_last = chunk * CHUNK_RUNS >= size.other_runs
        run = _climb if cell.way is Way.RAMP else _step
        phi, found = run(cell, part, chunk, is_alone=is_last)
        phis.append(phi)
        for gate, one in found:
            seen[gate].append(one)
    onset = _onset_seconds(cell)
    return {
        "name": cell.name,
        "way": cell.way.value,
        "isHealthy": cell.world.is_healthy,
        "timesWorse": _times_worse(cell.world),
        "dispersionMedian": round(float(np.median(np.concatenate(phis))), 2),
        "gates": {gate: figures(all_, onset_seconds=onset) for gate, all_ in seen.items()},
    }


def parts(runs: int) -> list[int]:
    """Sizes of the chunks that make up so many runs."""
    return [min(CHUNK_RUNS, runs - begin) for begin in range(0, runs, CHUNK_RUNS)]


def _times_worse(world: World) -> float:
    if world.worse_ratio is None:
        return world.worse_factor
    return world.worse_ratio / world.bad_ratio


def _onset_seconds(cell: Cell) -> float:
    if cell.way is Way.RAMP:
        return cell.world.from_seconds
    return worlds.onset_tick(cell.world, SCHEDULES[cell.way]) * cell.world.tick_seconds


def known_before(world: World, runs: int, random: np.random.Generator) -> Setting:
    """φ̂ and p_ref of each run, from the hours before it; steps are not known here."""
    bad, requests = worlds.history(world, runs, random)
    totals = bad.sum(axis=(1, 2)), requests.sum(axis=(1, 2))
    phi = twin.dispersion(bad, requests)
    if world.scraping is Scraping.POD_OFFSETS:
        phi = twin.OFFSET_FACTOR * phi
    return Setting(phi, (totals[0] + 1) / (totals[1] + 1), spotless=totals[0] == 0)


def _step(
    cell: Cell, runs: int, chunk: int, *, is_alone: bool
) -> tuple[Floats, Iterator[tuple[str, Seen]]]:
    random = random_of(cell.name, chunk)
    schedule, world = SCHEDULES[cell.way], cell.world
    known = known_before(world, runs, random)
    ticks = worlds.draw(world, schedule, runs, random)
    setting = replace(known, begins=worlds.begins(schedule, world.tick_seconds))
    phi, onset = known.dispersion, worlds.onset_tick(world, schedule)
    if is_alone:
        return phi, _ours(world, ticks, setting, onset, (PRESETS[DEFAULT],))
    plain = replace(setting, dispersion=np.ones_like(phi))
    kinds = [(setting, True, 1.2), (setting, True, 1.0), (plain, False, 1.0)]
    found = [
        _ours(world, ticks, used, onset, _presets(tempered=tempered, tolerance_ratio=tolerance))
        for used, tempered, tolerance in kinds
    ]
    return phi, itertools.chain(*found, _rivals(world, ticks, onset))


def _presets(*, tempered: bool, tolerance_ratio: float) -> tuple[Preset, ...]:
    return tuple(
        one
        for one in PRESETS.values()
        if one.tempered is tempered and one.tolerance_ratio == tolerance_ratio
    )


def _ours(
    world: World, ticks: Ticks, setting: Setting, onset: int, presets: Sequence[Preset]
) -> Iterator[tuple[str, Seen]]:
    """Presets that differ in α alone."""
    levels = [one.false_rollback_ratio for one in presets]
    length = twin.OFFSET_TICKS if world.scraping is Scraping.POD_OFFSETS else 1
    judged = ticks.merged(length)
    setting = replace(setting, begins=tuple(begin // length for begin in setting.begins))
    proved = _ends(twin.first_promotes(judged, setting, presets[0]), judged, ticks, length)
    verdicts = twin.first_rollbacks(judged, setting, presets[0].tolerance_ratio, levels)
    for preset, verdict in zip(presets, verdicts, strict=True):
        yield preset.name, _seen(world, ticks, _ends(verdict, judged, ticks, length), onset, proved)


def _ends(found: Whole, judged: Ticks, ticks: Ticks, length: int) -> Whole:
    """The last ticks of those that were judged together; as many as there are: never."""
    is_found = found < judged.bad.shape[1]
    return np.where(is_found, (found + 1) * length - 1, ticks.bad.shape[1])


def _rivals(world: World, ticks: Ticks, onset: int) -> Iterator[tuple[str, Seen]]:
    minute = round(MINUTE_SECONDS / world.tick_seconds)
    minutes = ticks.merged(minute)
    looks = {name: rival(minutes) for name, rival in rivals.RIVALS.items()}
    looks |= {name: kayenta.judged(minutes, points_min=p) for name, p in KAYENTAS.items()}
    for name, found in looks.items():
        yield name, _seen(world, ticks, _ends(found, minutes, ticks, minute), onset)


def _seen(
    world: World, ticks: Ticks, verdict: Whole, onset: int, promotes: Whole | None = None
) -> Seen:
    bad = ticks.canary_failures.copy()
    bad[:, :onset] = 0.0
    sums = np.concatenate([np.zeros((bad.shape[0], 1)), np.cumsum(bad, axis=1)], axis=1)
    lag = math.ceil(LAG_SECONDS / world.tick_seconds)
    length = bad.shape[1]
    ends = np.minimum(verdict + 1, length)[:, None]
    late = np.minimum(verdict + 1 + lag, length)[:, None]
    proved = None if promotes is None else _seconds(promotes, length, world.tick_seconds)
    return Seen(
        rollback_seconds=_seconds(verdict, length, world.tick_seconds),
        failures=np.take_along_axis(sums, ends, axis=1)[:, 0],
        failures_with_lag=np.take_along_axis(sums, late, axis=1)[:, 0],
        promote_seconds=proved,
    )


def _seconds(found: Whole, never: int, tick_seconds: float) -> Floats:
    return np.where(found < never, (found + 1) * tick_seconds, math.inf)


def _climb(
    cell: Cell, runs: int, chunk: int, *, is_alone: bool
) -> tuple[Floats, Iterator[tuple[str, Seen]]]:
    known = known_before(cell.world, runs, random_of(cell.name, chunk))
    names = [DEFAULT] if is_alone else list(CLIMBERS)
    return known.dispersion, (
        (name, _climbed(cell, runs, chunk, CLIMBERS[name], known)) for name in names
    )


def _climbed(cell: Cell, runs: int, chunk: int, preset: Preset, known: Setting) -> Seen:
    world = cell.world
    plain = replace(known, dispersion=np.ones_like(known.dispersion))
    setting = known if preset.tempered else plain
    stream = Stream(world, runs, random_of(f"{cell.name}, {preset.name}", chunk), CLIMB_SECONDS)
    ticks = round(CLIMB_SECONDS / world.tick_seconds)
    budget = ramp.Budget(reaction_seconds=world.tick_seconds + LAG_SECONDS)
    found = ramp.Climb(stream, preset, setting, budget).run(ticks)
    return Seen(
        rollback_seconds=_seconds(found.rollback_ticks, ticks, world.tick_seconds),
        failures=found.failures,
        failures_with_lag=found.failures_with_lag,
        promote_seconds=_seconds(found.promote_ticks, ticks, world.tick_seconds),
        prove_seconds=_seconds(found.prove_ticks, ticks, world.tick_seconds),
    )


def figures(seen: Sequence[Seen], *, onset_seconds: float = 0.0) -> Figures:
    """One gate's figures; times of a regression count from its beginning."""
    seconds = np.concatenate([one.rollback_seconds for one in seen]) - onset_seconds
    runs = len(seconds)
    is_early = seconds <= 0
    found = int(np.isfinite(seconds).sum()) - int(is_early.sum())
    delays = np.where(is_early, math.inf, seconds)
    failures = np.concatenate([one.failures for one in seen])
    lagging = np.concatenate([one.failures_with_lag for one in seen])
    shown: dict[str, object] = {
        "runs": runs,
        "early": int(is_early.sum()),
        **counted("rolledBack", found, runs),
        "rolledBackUpper99": wilson.upper_99(found, runs),
        "delaySecondsMedian": percentile(delays, 50),
        "delaySecondsP95": percentile(delays, 95),
        "failuresMean": round(float(failures.mean()), 2),
        "failuresMedian": percentile(failures, 50),
        "failuresWithLagMean": round(float(lagging.mean()), 2),
        "failuresWithLagP95": percentile(lagging, 95),
    }
    proofs = [one.prove_seconds for one in seen if one.prove_seconds is not None]
    if proofs:
        shown["provedSecondsMedian"] = percentile(np.concatenate(proofs), 50)
    promotes = [one.promote_seconds for one in seen if one.promote_seconds is not None]
    if promotes:
        promoted = np.concatenate(promotes)
        shown |= counted("promoted", int(np.isfinite(promoted).sum()), runs)
        shown["promotedSecondsMedian"] = percentile(promoted, 50)
        shown["promotedSecondsP95"] = percentile(promoted, 95)
    return shown


def counted(name: str, hits: int, runs: int) -> dict[str, object]:
    """A share and its 95 % interval, as the report names them."""
    low, high = wilson.interval(hits, runs)
    return {
        f"{name}Count": hits,
        f"{name}Ratio": hits / runs,
        f"{name}Interval": [round(low, 5), round(high, 5)],
    }


def percentile(values: Floats, percent: float) -> float | None:
    """The nearest-rank percentile; None where it never happens."""
    rank = max(1, math.ceil(percent / 100 * len(values)))
    found = float(np.sort(values)[rank - 1])
    return None if math.isinf(found) else found
