"""What a run does that lacks data, as ``judge`` says; without a word of it, it waits."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.api.phase import Outcome, Phase
from rollout.engine import absence
from tests.world.engine_world import FAIL, World, always, at_step, spec_of

OUT = "Prometheus at prometheus:9090 cannot be reached: refused"


def run_with(**judge: Any) -> World:
    return at_step(2, spec=spec_of(judge={"maxInterval": "15s", **judge}))


def lose(world: World, kind: str) -> None:
    world.lost_at = world.now
    if kind == "data":
        world.dataless = True
    else:
        world.metrics_problem = OUT
    world.settle()


def find_again(world: World) -> None:
    world.dataless, world.metrics_problem = False, ""
    world.settle()


KINDS = {
    "data": ("onNoData", "noDataDeadline"),
    "metrics": ("onMetricsOutage", "metricsOutageDeadline"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_by_default_it_waits(kind: str) -> None:
    world = run_with()
    lose(world, kind)

    world.after(1800)

    assert (world.run.step, world.percent) == (2, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_back_when_the_deadline_has_passed_to_the_second(kind: str) -> None:
    then, deadline = KINDS[kind]
    world = run_with(**{then: "Rollback", deadline: "7m"})
    world.after(31 - 15)
    lose(world, kind)
    lost = world.now
    world.after(30)
    assert "; goes back at " in world.message
    assert "if no data comes" in world.message

    world.until(Phase.ROLLED_BACK)

    assert world.run.ending is not None
    assert world.run.ending.outcome is Outcome.ROLLED_BACK
    assert (world.run.ending.decided_at - lost).total_seconds() == 420
    assert f"no data for 7m, and judge.{then} is Rollback: " in world.message
    assert world.on_stable


@pytest.mark.parametrize("kind", KINDS)
def test_data_that_come_back_in_time_end_the_matter(kind: str) -> None:
    then, deadline = KINDS[kind]
    world = run_with(**{then: "Rollback", deadline: "7m"})
    lose(world, kind)
    world.after(400)
    find_again(world)
    lose(world, kind)
    world.after(400)
    assert world.run.ending is None
    find_again(world)

    world.until(Phase.STABLE)

    assert world.status.stable_revision == "v2"


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_without_where_that_was_asked_for_and_says_so(kind: str) -> None:
    then, deadline = KINDS[kind]
    world = run_with(**{then: "Continue", deadline: "3m"})
    lose(world, kind)
    lost = world.now
    world.after(179)
    assert world.run.step == 2

    world.until_step(3)

    assert (world.now - lost).total_seconds() == 180
    world.until(Phase.STABLE)
    assert world.status.stable_revision == "v2"


def test_a_gate_that_fails_is_obeyed_whatever_else_is_missing() -> None:
    world = run_with(onNoData="Continue", noDataDeadline="1s")
    lose(world, "data")
    world.says = always(FAIL)

    world.until(Phase.ROLLED_BACK)

    assert world.on_stable


def test_a_silent_prometheus_is_not_taken_for_a_canary_without_data() -> None:
    world = run_with(onNoData="Rollback", noDataDeadline="1m")
    world.dataless = True
    lose(world, "metrics")

    world.after(1200)

    assert world.run.ending is None


def test_gates_that_only_observe_are_not_waited_for() -> None:
    world = at_step(
        2,
        spec=spec_of(
            judge={"maxInterval": "15s", "onNoData": "Rollback", "noDataDeadline": "1m"},
            gates=[{"name": "errors", "mode": "Observe", "errorRate": {"maxPercent": 1}}],
        ),
    )
    world.dataless = True
    world.settle()

    world.until(Phase.STABLE)

    assert world.status.stable_revision == "v2"


def test_each_step_waits_for_its_own_data_however_long_the_last_one_had_none() -> None:
    world = run_with(onNoData="Continue", noDataDeadline="3m")
    lose(world, "data")
    world.until_step(3)
    began = world.now

    world.until_step(4)

    assert (world.now - began).total_seconds() == 180
    assert absence.due(world.observe(), world.run) is not None


def test_a_retreat_is_no_lack_of_data() -> None:
    world = run_with(onNoData="Rollback", noDataDeadline="2m")
    world.dataless, world.lost_at = True, world.now
    world.ready = {"v1": 2, "v2": 0}
    world.settle()

    world.after(1200)

    assert world.run.retreated
    assert world.run.ending is None
