"""The watch after 100 percent: seldom alarmed without reason, never by idleness, soon with one."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.analysis.judge.detector import Detector
from rollout.analysis.judge.ratio import WORSE

BOUND = 0.001
PER_TICK = 15_000


def poisson(dice: random.Random, mean: float) -> int:
    """Knuth's way: how many exponential waits fit into 1."""
    count, waited = 0, dice.expovariate(mean)
    while waited < 1:
        count, waited = count + 1, waited + dice.expovariate(mean)
    return count


def ticks_to_alarm(seed: int, *, times: float, limit: int, between: float = 2_000) -> int | None:
    dice, watch = random.Random(seed), Detector(bound_ratio=BOUND)
    for number in range(1, limit + 1):
        watch = watch.with_tick(requests=PER_TICK, bad=poisson(dice, times * BOUND * PER_TICK))
        if watch.is_alarmed(ticks_between_false_alarms=between):
            return number
    return None


def test_it_is_the_recursion_that_its_source_gives() -> None:
    seen = ((15_000, 20), (15_000, 12), (400, 3), (0, 0), (15_000, 31))
    sums = [0.0] * len(WORSE)
    for requests, bad in seen:
        begun = min(1.0, BOUND * requests)
        sums = [
            (known + begun)
            * math.exp(step) ** bad
            * math.exp(-BOUND * requests * (math.exp(step) - 1))
            for known, step in zip(sums, WORSE, strict=True)
        ]

    watch = Detector(bound_ratio=BOUND)
    for requests, bad in seen:
        watch = watch.with_tick(requests=requests, bad=bad)

    assert watch.log_evidence() == pytest.approx(math.log(sum(sums) / len(sums)), rel=1e-9)


def test_twice_the_allowed_errors_are_found_within_a_few_ticks_whenever_they_begin() -> None:
    delays = [ticks_to_alarm(seed, times=2, limit=50) for seed in range(100)]

    found = sorted(delay for delay in delays if delay is not None)
    assert len(found) == 100
    assert sum(found) / 100 < 4


def test_false_alarms_are_rarer_than_promised() -> None:
    """60 watches of 300 ticks are 18,000 ticks: at most 9 alarms are promised."""
    alarms = sum(ticks_to_alarm(seed, times=1, limit=300) is not None for seed in range(60))

    assert alarms <= 4


@pytest.mark.parametrize("requests", [0, 1, 20, 1_000, 100_000])
def test_an_idle_or_faultless_service_never_alarms(requests: int) -> None:
    watch = Detector(bound_ratio=BOUND)
    for _ in range(3_000):
        watch = watch.with_tick(requests=requests, bad=0)

    assert watch.log_evidence() < math.log(2)


@settings(max_examples=25)
@given(
    before=st.lists(st.tuples(st.integers(0, 9_999), st.integers(0, 30)), max_size=20),
    requests=st.integers(1, 999),
)
def test_at_the_bound_a_tick_adds_on_average_just_what_begins_with_it(
    before: list[tuple[int, int]], requests: int
) -> None:
    """E[M_t | past] = M_{t-1} + v_t, added up over all that a Poisson count can be."""
    watch = Detector(bound_ratio=BOUND)
    for n, bad in before:
        watch = watch.with_tick(requests=n, bad=bad)
    mean = BOUND * requests

    total = sum(
        math.exp(
            watch.with_tick(requests=requests, bad=y).log_evidence()
            + y * math.log(mean)
            - mean
            - math.lgamma(y + 1)
        )
        for y in range(400)  # an alternative of 200 sees 200 of them as likely
    )

    assert total == pytest.approx(math.exp(watch.log_evidence()) + min(1.0, mean), rel=1e-9)
