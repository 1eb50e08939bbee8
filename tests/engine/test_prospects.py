"""What a gate finds, what that costs, and when its proof stands: foretold, and simulated."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from statistics import quantiles

import pytest

from rollout.analysis.judge import absolute, ratio
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


def test_a_proof_by_the_percentage_comes_when_a_simulated_one_does() -> None:
    """A tenth of 1,000 requests a second, .1 % bad, to prove that it is less than 1 %."""
    foretold = prospects.proof_seconds(usual(BOUND), share=0.1, before=())
    assert foretold is not None

    requests = 0
    while absolute.log_evidence_below(
        requests=requests, bad=round(requests / 1_000), bound=0.01
    ) < math.log(2 / 0.05):
        requests += 10

    assert foretold == pytest.approx(requests / 100, rel=0.3)


def test_a_proof_by_the_ratio_comes_sooner_after_steps_that_brought_some() -> None:
    gate = replace(COMPARED, max_percent=0.1)  # as many as are usual, so only the ratio can prove
    alone = prospects.proof_seconds(usual(gate), share=0.5, before=())
    later = prospects.proof_seconds(
        usual(gate), share=0.5, before=[Piece(share=0.25, seconds=30.0)]
    )

    assert alone is not None
    assert later is not None
    # φ·ln(2/α')/(R·w·p·μ_p) with μ_p(½) = 2·ln 1.5 - ln 2, and of a quarter 4·ln 1.25 - ln 2.
    speed, before = 2 * math.log(1.5) - math.log(2), 4 * math.log(1.25) - math.log(2)
    assert alone == pytest.approx(math.log(40) / (0.5 * speed))
    assert alone - later == pytest.approx(30 * 0.25 * before / (0.5 * speed))


def test_where_nothing_is_to_be_proved_nothing_is_waited_for() -> None:
    off, watching = replace(COMPARED, proven_ratio=None), replace(COMPARED, advisory=True)

    assert prospects.proof_seconds(usual(off), share=0.5, before=()) is None
    assert prospects.proof_seconds(usual(watching), share=0.5, before=()) is None
    assert prospects.proof_seconds(usual(bad=0.2), share=0.5, before=()) == 0
