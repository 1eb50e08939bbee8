"""A ramp: the budget pays for what the canary may break, and evidence for what it gets."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from rollout.api.evidence import (
    ArmCounts,
    Baseline,
    GateEvidence,
    GateVerdict,
    RunEvidence,
    Verdict,
)
from rollout.api.phase import Phase
from rollout.api.status import Run
from rollout.engine import ramping
from rollout.engine.observation import Observation
from rollout.engine.ramping import Growth
from tests.world.engine_world import World, always, at_step, spec_of

TICK_MS = 15_000
STEPS = [{"ramp": {"maxWeight": 50, "riskBudgetRequests": 30}}, {"weight": 100}]


def evidence(
    canary: ArmCounts, stable: ArmCounts, *, seconds: float = 62.0, **fields: Any
) -> RunEvidence:
    """What came in so many seconds; the stable arm's in earlier steps."""
    return RunEvidence(
        tick_ms=TICK_MS,
        origin_ms=1_000,
        newest_ms=1_000 + round(1_000 * seconds),
        baseline=Baseline(dispersion_factor=1),
        canary_run=canary,
        traffic=GateEvidence(stable_before=stable),
        **fields,
    )


BUSY = evidence(ArmCounts(requests=5_000, bad=2), ArmCounts(requests=57_000, bad=58))
"""1,000 requests a second: the example of our notes, which comes to a weight of 49.95 %."""


def ramping_at(
    percent: float, *, seen: RunEvidence = BUSY, waited_seconds: float = 15.0, **fields: Any
) -> tuple[Observation, Run]:
    """A run on its ramp, and what is known there."""
    world = at_step(1, spec=spec_of(strategy={"steps": STEPS}))
    waits = GateVerdict(
        name="errors", verdict=Verdict.UNKNOWN, because="errors: more", growing=True
    )
    seen_all = {"evidence": seen, "verdicts": (waits,), **fields}
    o = replace(world.observe(), **seen_all)
    since = o.now - timedelta(seconds=waited_seconds)
    run = world.run.model_copy(update={"weight": percent, "ramped_at": since})
    return o, run


def grown(percent: float, **fields: Any) -> Growth:
    found = ramping.growth(*ramping_at(percent, **fields))
    assert found is not None
    return found


def test_the_first_weight_is_what_the_budget_pays_for_if_all_of_it_fails() -> None:
    o, run = ramping_at(0)

    assert ramping.first_percent(o, run, 1) == 0.1, "30 of 30,000 in the time of a reaction"


def test_where_nobody_knows_the_traffic_it_begins_with_one_percent() -> None:
    o, run = ramping_at(0, seen=RunEvidence())

    assert ramping.first_percent(o, run, 1) == 1


def test_past_hours_tell_the_traffic_before_any_is_seen() -> None:
    known = Baseline(dispersion_factor=1, requests_per_second=100)
    o, run = ramping_at(0, seen=RunEvidence(tick_ms=TICK_MS, baseline=known))

    assert ramping.first_percent(o, run, 1) == 1, "30 of 3,000"


def test_little_traffic_is_paid_for_at_once_up_to_the_maximum() -> None:
    slow = evidence(ArmCounts(), ArmCounts(requests=62))
    o, run = ramping_at(0, seen=slow)

    assert ramping.first_percent(o, run, 1) == 50


def test_the_weight_grows_to_what_the_evidence_allows() -> None:
    found = grown(20)

    assert found.percent == 49, "49.95 % in whole percents"
    assert found.told == (
        "grows to 50 % as its requests show that it may: at most 0.2 % more of its requests fail"
        " than of stable's, and 30 may"
    )


def test_no_tick_brings_more_than_three_times_as_much() -> None:
    assert grown(2).percent == 6
    assert grown(0.5).percent == 1.5


def test_a_ramp_never_falls() -> None:
    worse = evidence(ArmCounts(requests=5_000, bad=60), ArmCounts(requests=57_000, bad=58))

    assert grown(40, seen=worse).percent == 40


def test_each_growth_rests_on_a_tick_of_its_own() -> None:
    assert grown(20, waited_seconds=14.9).percent == 20


def test_bursts_count_by_clusters() -> None:
    bursty = BUSY.model_copy(update={"baseline": Baseline(dispersion_factor=4)})

    assert grown(20, seen=bursty).percent < 25


@pytest.mark.parametrize(
    "fields",
    [
        {"metrics_problem": "Prometheus is gone"},
        {"verdicts": ()},
        {
            "verdicts": (
                GateVerdict(name="errors", verdict=Verdict.UNKNOWN, because="both exceed it"),
            )
        },
    ],
    ids=["no metrics", "no verdict", "a gate that lacks more than traffic"],
)
def test_in_doubt_nothing_grows_and_the_doubt_is_told(fields: dict[str, Any]) -> None:
    found = grown(20, **fields)

    assert found.percent == 20
    assert "goes on towards 50 % when that is over: " in found.told


def test_few_ready_pods_get_no_more_than_they_carry() -> None:
    world = at_step(1, spec=spec_of(strategy={"steps": STEPS}))
    ready = {"v1": 10, "v2": 3}
    found = grown(20, ready=ready)

    assert world.run.canary_revision == "v2"
    assert found.percent == 30
    assert "its 3 ready pods carry no more than 30 %" in found.told


def test_at_its_maximum_and_in_other_steps_it_says_nothing() -> None:
    assert ramping.growth(*ramping_at(50)) is None
    other: World = at_step(1)
    assert ramping.growth(other.observe(), other.run) is None


def test_a_ramp_that_is_taken_back_is_remembered_with_the_weight_that_it_had_come_to() -> None:
    world = at_step(1, spec=spec_of(strategy={"steps": STEPS}))
    began = world.run.weight
    world.says = always(Verdict.FAIL)

    world.until(Phase.ROLLED_BACK)

    assert began > 0
    assert world.status.history[0].max_weight == began


def test_a_raise_that_a_kill_cut_short_is_undone_and_nobody_is_blamed_for_sure() -> None:
    """The route was written, the status was not; after the restart nothing new is known yet."""
    world = at_step(1, spec=spec_of(strategy={"steps": STEPS}))
    recorded = world.run.weight
    raised = Fraction(3 * round(recorded), 100)
    world.shares = {"v1": 1 - raised, "v2": raised}

    world.reconcile()

    assert world.percent == recorded
    assert "or a restart came before a raise" in world.told("PutBack")[0].message
