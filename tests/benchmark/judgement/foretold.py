"""What the product foretells, against what the simulation shows: dwells, and a back-test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from rollout.analysis import backtest
from rollout.analysis.backtest import Trial
from rollout.analysis.judge import planning
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.evidence import Baseline
from tests.benchmark.judgement import twin, worlds
from tests.benchmark.judgement.arrays import CHUNK_RUNS, Floats, Ticks, Whole, random_of
from tests.benchmark.judgement.cells import Figures, Size
from tests.benchmark.judgement.simulate import counted, known_before, parts, percentile
from tests.benchmark.judgement.twin import Setting
from tests.benchmark.judgement.worlds import World

TICKS_PER_DWELL = 100
"""The formula knows no ticks: these are fine enough not to matter."""

HORIZON_DWELLS = 4
RELEASE_SECONDS = 2400.0
BACK_TEST_SHARE = 1 / worlds.PODS_COUNT


@dataclass(frozen=True, slots=True, kw_only=True)
class DwellCell:
    """A regression at one weight; ``tolerance`` and ``false_rollback`` as the plan names them."""

    name: str
    requests_per_second: float
    share: float
    times: float
    tolerance: float
    false_rollback: float
    bad_ratio: float = 0.001

    @property
    def planned_seconds(self) -> float:
        """What `planning.dwell_seconds` says."""
        return planning.dwell_seconds(
            self.times,
            requests_per_second=self.requests_per_second,
            share=self.share,
            bad_fraction=self.bad_ratio,
            tolerance=self.tolerance,
            false_rollback=self.false_rollback,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BackTestCell:
    """The gate on one stable pod against the rest, beside the same gate on a healthy canary."""

    name: str
    world: World
    tempered: bool
    tolerance: float
    false_rollback: float


def _dwells() -> Iterator[DwellCell]:
    for tolerance, level in ((1.0, 0.05), (1.2, 0.01)):
        for rps, share in ((100, 0.1), (1000, 0.01), (1000, 0.05), (1000, 0.1), (1000, 0.5)):
            for times in (2, 5, 10):
                where = f"{rps} rps at {100 * share:g} %"
                yield DwellCell(
                    name=f"dwell {times}× {where}, above {tolerance:g}×, {level:g}",
                    requests_per_second=rps,
                    share=share,
                    times=times,
                    tolerance=tolerance,
                    false_rollback=level,
                )


DWELLS: Mapping[str, DwellCell] = {cell.name: cell for cell in _dwells()}

_BURSTY = World(requests_per_second=100, cluster_size_factor=5, tick_seconds=60)
BACK_TESTS: Mapping[str, BackTestCell] = {
    cell.name: cell
    for cell in (
        BackTestCell(
            name="back-test plain .05 clusters of 5 100 rps",
            world=_BURSTY,
            tempered=False,
            tolerance=1.0,
            false_rollback=0.05,
        ),
        BackTestCell(
            name="back-test default clusters of 5 100 rps",
            world=_BURSTY,
            tempered=True,
            tolerance=1.2,
            false_rollback=0.01,
        ),
        BackTestCell(
            name="back-test plain .05 pods differ by 0.5 1000 rps",
            world=World(noise_ratio=0.5, tick_seconds=60),
            tempered=False,
            tolerance=1.0,
            false_rollback=0.05,
        ),
    )
}


def simulate_dwell(cell: DwellCell, size: Size) -> Figures:
    """The plan's seconds beside the simulated 90th percentile."""
    planned = cell.planned_seconds
    tick_seconds = planned / TICKS_PER_DWELL
    world = World(
        requests_per_second=cell.requests_per_second,
        bad_ratio=cell.bad_ratio,
        tick_seconds=tick_seconds,
        worse_factor=cell.times,
    )
    found = []
    for chunk, runs in enumerate(parts(size.plan_runs)):
        schedule = ((cell.share, planned * HORIZON_DWELLS),)
        ticks = worlds.draw(world, schedule, runs, random_of(cell.name, chunk))
        setting = Setting(np.ones(runs), np.full(runs, cell.bad_ratio))
        found.append(_first(ticks, setting, cell.tolerance, cell.false_rollback))
    verdicts = np.concatenate(found)
    never = TICKS_PER_DWELL * HORIZON_DWELLS
    seconds: Floats = np.where(verdicts < never, (verdicts + 1) * tick_seconds, math.inf)
    simulated = percentile(seconds, 90)
    return {
        "name": cell.name,
        "way": "dwell",
        "isHealthy": False,
        "runs": size.plan_runs,
        "plannedSeconds": round(planned, 1),
        "simulatedSecondsP90": simulated,
        "plannedToSimulatedRatio": planned / simulated if simulated else None,
    }


def _first(ticks: Ticks, setting: Setting, tolerance: float, level: float) -> Whole:
    return twin.first_rollbacks(ticks, setting, tolerance, [level])[0]


def simulate_back_test(cell: BackTestCell, size: Size) -> Figures:
    """False rollbacks of healthy canaries, and of stable pods in the product's back-test."""
    hits = {"healthy": 0, "backTest": 0}
    runs_of = {"healthy": 4 * size.plan_runs, "backTest": size.plan_runs}
    for chunk, runs in enumerate(parts(runs_of["healthy"])):
        random = random_of(cell.name, chunk)
        known = known_before(cell.world, runs, random)
        phi = known.dispersion if cell.tempered else np.ones(runs)
        setting = replace(known, dispersion=phi)
        schedule = ((BACK_TEST_SHARE, RELEASE_SECONDS),)
        ticks = worlds.draw(cell.world, schedule, runs, random)
        verdicts = _first(ticks, setting, cell.tolerance, cell.false_rollback)
        hits["healthy"] += int((verdicts < ticks.bad.shape[1]).sum())
        left = runs_of["backTest"] - chunk * CHUNK_RUNS
        if left > 0:
            bad, requests = worlds.history(cell.world, runs, random, seconds=RELEASE_SECONDS)
            assert known.reference is not None
            for run in range(min(runs, left)):
                usual = known.reference[run]
                trial = _trial(cell, bad[run], requests[run], phi[run], usual)
                hits["backTest"] += trial.failed_minutes is not None
    return {
        "name": cell.name,
        "way": "back-test",
        "isHealthy": True,
        "runs": runs_of["backTest"],
        **counted("healthy", hits["healthy"], runs_of["healthy"]),
        **counted("backTest", hits["backTest"], runs_of["backTest"]),
    }


def _trial(
    cell: BackTestCell, bad: Floats, requests: Floats, phi: float, reference: float
) -> Trial:
    """The first trial of a stretch alone: others of the same stretch would not be independent."""
    length, pods_count = bad.shape
    pods = {
        f"pod-{pod}": {
            minute: (int(requests[minute, pod]), int(bad[minute, pod])) for minute in range(length)
        }
        for pod in range(pods_count)
    }
    gate = GateQuestion(
        name="errors",
        kind=GateKind.ERRORS,
        max_ratio=cell.tolerance,
        false_rollback_ratio=cell.false_rollback,
    )
    baseline = Baseline(dispersion_factor=float(phi), bad_ratios={"errors": float(reference)})
    return next(backtest.trials(pods, [gate], baseline, length_minutes=length))
