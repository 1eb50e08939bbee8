"""Edges of the histogram of durations."""

from __future__ import annotations

import math
import random
from bisect import bisect_right

import pytest

from rollout.analysis import query
from rollout.analysis.judge import edges, ratio
from rollout.analysis.judge.ratio import Counts
from rollout.base.errors import BadManifest


@pytest.mark.parametrize(
    ("max_ms", "wanted"),
    [
        (500, (500, 1_000, 250, 100)),
        (800, (500, 1_000, 250, 100)),
        (1_000, (1_000, 2_500, 500, 250)),
        (5, (5, 10, 1, 0.5)),
        (0.5, (0.5, 1)),
        (3_600_000, (3_600_000, 1_800_000, 600_000, 300_000)),
    ],
)
def test_the_bounds_own_edge_the_next_above_and_those_below_are_kept(
    max_ms: float, wanted: tuple[float, ...]
) -> None:
    assert edges.kept(max_ms) == wanted


def test_a_bound_below_every_edge_is_refused() -> None:
    with pytest.raises(BadManifest, match="below the lowest bucket edge"):
        edges.kept(0.1)


def test_edges_weigh_alike_in_a_rollback_and_one_that_is_sure_is_enough() -> None:
    assert edges.log_rollback({500: math.log(400), 250: -math.inf}) == pytest.approx(math.log(200))
    assert edges.log_rollback({500: 2_142.0, 1_000: -5, 250: -5, 100: -5}) == pytest.approx(
        2_142 - math.log(4)
    )


def test_a_body_that_moves_is_found_sooner_with_all_edges_than_with_the_tail_alone() -> None:
    """10 requests a second, a tenth to the canary, which takes 1.5 times as long."""
    kept, dice = edges.kept(500), random.Random(8)
    known = dict.fromkeys(kept, ratio.against_tolerance(1.2))
    first: dict[str, int] = {}
    for tick in range(1, 400):
        slow = {edge: [0, 0] for edge in kept}
        for number in range(150):
            is_canary = number < 15
            took = dice.lognormvariate(math.log(100), 0.68) * (1.5 if is_canary else 1)
            for edge in kept:
                slow[edge][0 if is_canary else 1] += took > edge
        for edge, (canary, stable) in slow.items():
            known[edge] = known[edge].with_tick(Counts(15, 135, canary, stable))
        alone = known[500].log_evidence()
        together = edges.log_rollback({edge: one.log_evidence() for edge, one in known.items()})
        for name, log_e in (("alone", alone), ("together", together)):
            if log_e >= math.log(100):
                first.setdefault(name, tick)

    assert first["together"] < first["alone"]


def test_the_edge_above_finds_few_that_are_much_slower_sooner_than_those_below_alone() -> None:
    """50 requests a second, a tenth to the canary, of which 1 % take a second more."""
    kept, dice = edges.kept(500), random.Random(5)
    below = [edge for edge in query.EDGES_MS if edge <= 500][-4:]
    known = {edge: ratio.against_tolerance(1.2) for edge in {*kept, *below}}
    first: dict[str, int] = {}
    for tick in range(1, 400):
        slow = {edge: [0, 0] for edge in known}
        for number in range(750):
            is_canary = number < 75
            took = dice.lognormvariate(math.log(96), 0.7)
            took += 1_000 * (is_canary and dice.random() < 0.01)
            for edge in known:
                slow[edge][0 if is_canary else 1] += took > edge
        for edge, (canary, stable) in slow.items():
            known[edge] = known[edge].with_tick(Counts(75, 675, canary, stable))
        for name, judged in (("kept", kept), ("below", below)):
            found = edges.log_rollback({edge: known[edge].log_evidence() for edge in judged})
            if found >= math.log(100):
                first.setdefault(name, tick)
        if len(first) > 1:
            break

    assert first["kept"] < first["below"]


def test_a_quantile_lies_between_edges() -> None:
    # Of 10,000 requests 3 % are slower than 500 ms, 0.1 % slower than 1,000.
    slow = {250.0: 2_000, 500.0: 300, 1_000.0: 10, 2_500.0: 0}
    counts = {edge: (10_000, count) for edge, count in slow.items()}

    assert edges.quantile_interval_ms(counts, quantile_ratio=0.99) == (500, 1_000)
    assert edges.quantile_interval_ms(counts, quantile_ratio=0.5) == (0, 250)
    assert edges.quantile_interval_ms({250.0: (10, 1)}, quantile_ratio=0.99) == (0, None)


def test_the_interval_of_a_quantile_seldom_ever_misses() -> None:
    """99 % of all durations lie below 300 ms; 100 requests a look."""
    kept, z99 = (100.0, 250.0, 500.0, 1_000.0), 2.3263478740408408

    def ever_misses(seed: int) -> bool:
        dice = random.Random(seed)
        slow, requests = [0] * len(kept), 0
        for _ in range(20):
            requests += 100
            for _ in range(100):
                took = 300 * math.exp(0.6 * (dice.gauss(0, 1) - z99))
                for place in range(bisect_right(kept, took)):
                    slow[place] += 1
            counts = {edge: (requests, count) for edge, count in zip(kept, slow, strict=True)}
            low, high = edges.quantile_interval_ms(counts, quantile_ratio=0.99)
            if low > 300 or (high is not None and high < 300):
                return True
        return False

    assert sum(ever_misses(seed) for seed in range(60)) <= 3
