"""The approximate interval for unbounded numbers."""

from __future__ import annotations

import math
import random
from statistics import fmean, pstdev

import pytest

from rollout.analysis.judge import asymptotic
from rollout.analysis.judge.asymptotic import Blocks


def after(values: list[float]) -> Blocks:
    blocks = Blocks()
    for value in values:
        blocks = blocks.with_block(value)
    return blocks


def test_its_radius_is_the_normal_mixture_as_the_confseq_package_has_it() -> None:
    found = 100 * asymptotic.unit_radius(100, miss_ratio=0.05, best_at=100)

    assert found == pytest.approx(30.35209, rel=1e-6)


def test_nothing_is_said_before_20_blocks() -> None:
    values = [float(i % 7) for i in range(20)]

    assert after(values[:19]).interval() is None
    low, high = after(values).interval() or (0, 0)
    assert low < fmean(values) < high


def test_mean_and_spread_are_those_of_the_blocks() -> None:
    dice = random.Random(7)
    values = [1e6 + dice.gauss(0, 3) for _ in range(200)]

    low, high = after(values).interval(miss_ratio=0.1, best_at=200) or (0, 0)

    radius = pstdev(values) * asymptotic.unit_radius(200, miss_ratio=0.1, best_at=200)
    assert (low + high) / 2 == pytest.approx(fmean(values), rel=1e-12)
    assert (high - low) / 2 == pytest.approx(radius, rel=1e-6)


def test_it_is_narrowest_about_where_it_was_told_to_be() -> None:
    narrow = asymptotic.unit_radius(50, miss_ratio=0.05, best_at=50)

    assert narrow < asymptotic.unit_radius(50, miss_ratio=0.05, best_at=5)
    assert narrow < asymptotic.unit_radius(50, miss_ratio=0.05, best_at=500)


def test_with_symmetric_blocks_it_seldom_ever_misses() -> None:
    def ever_misses(seed: int) -> bool:
        dice, blocks = random.Random(seed), Blocks()
        for _ in range(300):
            blocks = blocks.with_block(dice.gauss(0, 1))
            low, high = blocks.interval() or (-math.inf, math.inf)
            if not low <= 0 <= high:
                return True
        return False

    assert sum(ever_misses(seed) for seed in range(300)) <= 21  # 5 % are 15
