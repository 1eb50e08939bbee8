"""Golden numbers, found by the twin: two implementations agree on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tests.benchmark.judgement import ramp, twin
from tests.benchmark.judgement.arrays import Floats, Ticks
from tests.benchmark.judgement.twin import Setting

EXACT_RATIO = 1e-9
PRINTED_RATIO = 1e-6
"""Relative; of numbers of which no more digits are known."""

RISING = ((750, 14_250, 4, 13), (760, 14_240, 3, 15), (1500, 13_500, 9, 12))
EVEN = ((7500, 7500, 7, 8),) * 4
OUTAGE = ((750, 14_250, 750, 14),)

Rows = Sequence[tuple[int, int, int, int]]


@dataclass(frozen=True, slots=True)
class Golden:
    """One number: what it is, what the twin finds, what it should be, how near."""

    what: str
    found: float
    wanted: float
    tolerance_ratio: float = EXACT_RATIO

    @property
    def is_met(self) -> bool:
        """Whether it is near enough."""
        return abs(self.found - self.wanted) <= self.tolerance_ratio * abs(self.wanted)


def of_one(rows: Rows) -> Ticks:
    """The ticks of a single run."""
    return Ticks(*(np.array([part], dtype=float) for part in zip(*rows, strict=True)))


def _grid(rows: Rows, *, null: float, steps: Floats, phi: float = 1.0) -> float:
    sums = twin.gains(of_one(rows), null, steps).sum(axis=1) / phi
    return float(twin.log_mean(sums)[0])


def _phi(length: int) -> float:
    bad = np.array([[[3, 0, 1], [0, 0, 0], [2, 5, 0], [1, 1, 1]]], dtype=float)
    requests = np.full_like(bad, 100)
    requests[0, 2] = (100, 120, 80)
    return float(twin.of_blocks(bad, requests, length)[0])


def _bound(bad: int) -> float:
    ticks = of_one(((20_000, 0, bad, 0),))
    return float(twin.bound_nats(ticks, Setting(np.ones(1), None), np.array([[0.001]]))[0, 0])


def _ramp() -> list[Golden]:
    budget = ramp.Budget()
    requests, bad = np.array([5000.0]), np.array([2.0])
    upper = ramp.upper_limit(requests, bad, 0.01)
    stable = ramp.stable_ratio(np.array([57_000.0]), np.array([58.0]))
    share = ramp.allowed_shares(budget, 1000.0, upper - stable)
    return [
        Golden("the ramp's first share", ramp.first_share(budget, 1000.0), 0.001),
        Golden("p_U of 2 of 5000", float(upper[0]), 0.003028279388, PRINTED_RATIO),
        Golden("p̂_s of 58 of 57000", float(stable[0]), 0.001026297784, PRINTED_RATIO),
        Golden("the ramp's next share", float(share[0]), 0.49950509, PRINTED_RATIO),
    ]


def found() -> list[Golden]:
    """All of them."""
    worse, better = twin.WORSE, twin.BETTER
    return [
        Golden(
            "rising, one alternative", _grid(RISING, null=1, steps=np.log([5.0])), 12.263879520822
        ),
        Golden("rising, ρ0 = 1", _grid(RISING, null=1, steps=worse), 10.380343029537),
        Golden("rising, ρ0 = 1.2", _grid(RISING, null=1.2, steps=worse), 8.229680058331),
        Golden("rising, φ = 2", _grid(RISING, null=1, steps=worse, phi=2), 4.568391457903),
        Golden("rising, both", _grid(RISING, null=1.2, steps=worse, phi=2), 3.491902959301),
        Golden("rising, proof of 2", _grid(RISING, null=2, steps=better), -3.712352079926),
        Golden("even, proof of 2", _grid(EVEN, null=2, steps=better), 3.516095341025),
        Golden("even, proof of 3", _grid(EVEN, null=3, steps=better), 9.425032808718),
        Golden("even, rollback", _grid(EVEN, null=1, steps=worse), -3.781686329696),
        Golden("outage, rollback", _grid(OUTAGE, null=1, steps=worse), 2142.048628534839),
        Golden("bound, 40 bad", _bound(40), 5.135162367191),
        Golden("bound, 20 bad", _bound(20), -3.550802975681),
        Golden("φ of single ticks", _phi(1), 1.190476190476),
        Golden("φ of two ticks", _phi(2), 1.587878787879),
        *_ramp(),
    ]
