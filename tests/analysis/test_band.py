"""Which shares a weight explains."""

from __future__ import annotations

import math
import time

import pytest

from rollout.analysis.band import TAIL_RATIO, is_plausible


def tail(count: int, of_count: int, share: float) -> float:
    """The smaller tail, added up the long way."""

    def chance(k: int) -> float:
        return math.comb(of_count, k) * share**k * (1 - share) ** (of_count - k)

    below = sum(chance(k) for k in range(count + 1))
    above = sum(chance(k) for k in range(count, of_count + 1))
    return min(below, above)


@pytest.mark.parametrize("percent", [0.5, 5, 25, 50, 75, 99])
def test_it_is_the_exact_band_of_the_binomial_distribution(percent: float) -> None:
    for count in range(201):
        wanted = tail(count, 200, percent / 100) > TAIL_RATIO
        assert is_plausible(count, of_count=200, percent=percent) is wanted, count


@pytest.mark.parametrize(
    ("count", "percent", "plausible"),
    [(0, 0, True), (1, 0, False), (100, 100, True), (99, 100, False)],
)
def test_nothing_and_everything_leave_no_room(
    count: int, percent: float, *, plausible: bool
) -> None:
    assert is_plausible(count, of_count=100, percent=percent) is plausible


def test_no_requests_contradict_no_weight() -> None:
    assert is_plausible(0, of_count=0, percent=30)


@pytest.mark.parametrize(("deviations", "plausible"), [(3.8, True), (4.0, False)])
def test_of_many_requests_it_is_3_89_standard_deviations(
    deviations: float, *, plausible: bool
) -> None:
    n, share = 1_000_000, 0.2
    off = deviations * math.sqrt(n * share * (1 - share))

    for count in (round(n * share - off), round(n * share + off)):
        assert is_plausible(count, of_count=n, percent=20) is plausible


def test_a_billion_requests_take_no_time() -> None:
    begun = time.perf_counter()

    assert is_plausible(300_000_000, of_count=1_000_000_000, percent=30)

    assert time.perf_counter() - begun < 0.2
