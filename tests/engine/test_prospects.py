"""What a gate finds, what that costs, and when its proof stands: foretold, and simulated."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from statistics import median, quantiles

import pytest

from rollout.analysis.judge import absolute, ratio
from rollout.analysis.judge.mixture import log_mix
from rollout.analysis.judge.ratio import Counts
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.engine import prospects
from rollout.engine.foretold import Size
from rollout.engine.prospects import Piece, Usual, steady

COMPARED = GateQuestion(name="errors", kind=GateKind.ERRORS, max_ratio=1.2, proven_ratio=2.0)
BOUND = GateQuestion(name="errors", kind=GateKind.ERRORS, max_percent=1, proven_ratio=2.0)


def usual(gate: GateQuestion = COMPARED, *, rps: float = 1_000, bad: float = 0.001) -> Usual:
    return Usual(
        gate=gate, edge_ms=None, bad_ratio=bad, dispersion_factor=1.0, requests_per_second=rps
    )


def test_a_longer_step_finds_smaller_regressions_but_none_within_the_tolerance() -> None:
    found = [
        prospects.in_step(usual(), steady(0.1, seconds)).found_ratio
        for seconds in (15.0, 60.0, 600.0, 6e4, math.inf)
    ]

    assert all(one is not None for one in found)
    ratios = [one for one in found if one is not None]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] == pytest.approx(1.2, abs=0.01)


def test_what_too_little_traffic_cannot_find_is_nothing() -> None:
    step = prospects.in_step(usual(rps=0.1), steady(0.01, 60))

    assert step.found_ratio is None
    assert not step.costs[Size.OUTAGE].is_found


def test_an_outage_costs_what_comes_before_the_reaction_and_a_small_regression_the_whole_step() -> (
    None
):
    step = prospects.in_step(usual(), steady(0.05, 60))

    # 50 requests a second fail for half a scrape of 15 seconds and 2 more.
    assert step.costs[Size.OUTAGE].failures_count == pytest.approx(50 * 9.5, rel=0.02)
    assert step.costs[Size.OUTAGE].is_found
    assert not step.costs[Size.DOUBLE].is_found
    assert step.costs[Size.DOUBLE].failures_count == pytest.approx(50 * 0.002 * 60)


def test_a_bound_in_percent_finds_nothing_below_it() -> None:
    step = prospects.in_step(usual(BOUND), steady(0.5, math.inf))

    assert step.found_ratio == pytest.approx(10, rel=0.01)
    assert not step.costs[Size.DOUBLE].is_found
    assert math.isinf(step.costs[Size.DOUBLE].failures_count)


def test_a_regression_beyond_an_outage_is_not_told() -> None:
    step = prospects.in_step(usual(bad=0.2), steady(0.5, 600))

    assert set(step.costs) == {Size.OUTAGE, Size.DOUBLE}


def test_a_bound_that_is_usually_exceeded_decides_nothing() -> None:
    step = prospects.in_step(usual(BOUND, bad=0.02), steady(0.5, math.inf))

    assert step.found_ratio is None


def test_a_gate_without_a_bound_finds_nothing() -> None:
    step = prospects.in_step(usual(replace(COMPARED, max_ratio=None)), steady(0.5, math.inf))

    assert step.found_ratio is None


def poisson(dice: random.Random, mean: float) -> int:
    count, waited = 0, dice.expovariate(mean)
    while waited < 1:
        count, waited = count + 1, waited + dice.expovariate(mean)
    return count


def test_nine_of_ten_simulated_releases_are_taken_back_within_about_the_foretold_time() -> None:
    """100 requests a second, 1 % bad, a tenth to a canary that fails five times as often."""
    known, needed = usual(rps=100, bad=0.01), math.log(2 / 0.01)
    took = []
    for seed in range(150):
        dice, evidence, ticks = random.Random(seed), ratio.against_tolerance(1.2), 0
        while evidence.log_evidence() < needed:
            ticks += 1
            evidence = evidence.with_tick(
                Counts(30, 270, min(30, poisson(dice, 1.5)), poisson(dice, 2.7))
            )
        took.append(3.0 * ticks)
    simulated = quantiles(took, n=10)[-1]

    def found(seconds: float) -> float:
        step = prospects.in_step(known, steady(0.1, seconds))
        return step.found_ratio or math.inf

    assert found(0.7 * simulated) > 5 > found(1.4 * simulated)


def simulated_proof_seconds(
    share: float, *, bad: float, tick_seconds: float, seeds: range = range(40)
) -> float:
    """The median until less than twice stable is proved by either way, at 1,000 requests a second.

    Stable's usual fraction is known from before.
    """
    took = []
    canary, stable = round(1_000 * tick_seconds * share), round(1_000 * tick_seconds * (1 - share))
    for seed in seeds:
        dice, compared, ticks, failures, nats = random.Random(seed), ratio.for_proof(2), 0, 0, 0.0
        while nats < math.log(1 / 0.05):
            ticks += 1
            counts = Counts(
                canary, stable, poisson(dice, canary * bad), poisson(dice, stable * bad)
            )
            compared = compared.with_tick(counts)
            failures += counts.canary_failures
            alone = absolute.log_evidence_below(
                requests=ticks * canary, bad=failures, bound=2 * bad
            )
            nats = log_mix([(0.5, compared.log_evidence()), (0.5, alone)])
        took.append(ticks * tick_seconds)
    return median(took)


@pytest.mark.parametrize(
    ("share", "bad", "tick_seconds"),
    [(0.01, 0.001, 40.0), (0.1, 0.001, 4.0), (0.5, 0.001, 1.0), (0.5, 0.05, 0.1)],
    ids=["1 %", "10 %", "half", "half, 5 % fail"],
)
def test_a_proof_comes_about_when_the_median_simulated_one_does(
    share: float, bad: float, tick_seconds: float
) -> None:
    foretold = prospects.proof_seconds(usual(bad=bad), share=share, before=())

    simulated = simulated_proof_seconds(share, bad=bad, tick_seconds=tick_seconds)

    assert foretold is not None
    # At small shares both ways bring the same, and the whole risk is theirs: that is left out.
    assert 0.8 < foretold / simulated < 1.6


def test_a_percentage_says_nothing_of_the_proof_where_it_is_known_what_usually_fails() -> None:
    loose = replace(BOUND, max_percent=50)

    known = [
        prospects.proof_seconds(usual(gate, bad=0.0001), share=0.1, before=())
        for gate in (BOUND, loose)
    ]

    assert known[0] == known[1]
    assert known[0] is not None
    assert known[0] > 600


@pytest.mark.parametrize(("percent", "bound"), [(0.2, 0.002), (None, 0.01), (100, 0.01)])
def test_where_nothing_ever_failed_the_proof_is_of_less_than_the_gates_percentage(
    percent: float | None, bound: float
) -> None:
    """A tenth of 1,000 requests a second, none of which fails."""
    spotless = replace(usual(replace(BOUND, max_percent=percent), bad=1e-9), is_spotless=True)
    foretold = prospects.proof_seconds(spotless, share=0.1, before=())

    requests = 0
    while absolute.log_evidence_below(requests=requests, bad=0, bound=bound) < math.log(2 / 0.05):
        requests += 10

    assert foretold == pytest.approx(requests / 100, rel=0.3)


def test_a_proof_comes_sooner_after_steps_that_brought_some() -> None:
    before = [Piece(share=0.25, seconds=30.0)]
    alone = prospects.proof_seconds(usual(), share=0.5, before=())
    later = prospects.proof_seconds(usual(), share=0.5, before=before)

    assert alone is not None
    assert later is not None
    # Canary requests count, at whatever share they came.
    assert alone - later == pytest.approx(30 * 0.25 / 0.5)


def test_at_a_small_share_the_ratio_proves_and_what_steps_before_brought_counts() -> None:
    few, before = usual(), [Piece(share=0.002, seconds=600.0)]
    alone = prospects.proof_seconds(few, share=0.001, before=())
    later = prospects.proof_seconds(few, share=0.001, before=before)

    assert alone is not None
    assert later is not None
    # φ·ln(2/α')/(R·w·p·μ_p) with μ_p(w) = ln(1 + w)/w - ln 2.
    speed, earlier = (math.log1p(w) / w - math.log(2) for w in (0.001, 0.002))
    assert alone == pytest.approx(math.log(40) / (0.001 * speed))
    # That of a bound is as quick within a per mille where stable gets nearly all.
    assert alone - later == pytest.approx(600 * 0.002 * earlier / (0.001 * speed), rel=2e-3)


def test_what_fails_often_is_to_be_proved_too() -> None:
    frequent = prospects.proof_seconds(usual(bad=0.2), share=0.5, before=())
    mostly = prospects.proof_seconds(usual(bad=0.98), share=0.5, before=())

    assert frequent is not None
    assert frequent > 0
    assert mostly is not None
    assert mostly < math.inf  # by the ratio: beside 98 % there is no bound to stay below


def test_where_nothing_is_to_be_proved_nothing_is_waited_for() -> None:
    off, watching = replace(COMPARED, proven_ratio=None), replace(COMPARED, advisory=True)

    assert prospects.proof_seconds(usual(off), share=0.5, before=()) is None
    assert prospects.proof_seconds(usual(watching), share=0.5, before=()) is None
