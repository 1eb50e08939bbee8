"""Stories of specs that people edit while a run is on."""

from __future__ import annotations

from datetime import timedelta

from rollout.api.phase import Phase
from tests.world.engine_world import FAIL, MORNING, World, always, at_step, spec_of


def test_a_spec_edited_in_mid_run_rules_the_next_run_and_says_so_peers_43_and_49() -> None:
    world = at_step(3)
    edited = spec_of(strategy={"steps": [{"weight": 90, "hold": "10s"}], "bake": "0s"})

    world.edit(edited).settle()

    assert world.run.step == 3
    assert world.percent == 25
    assert world.message.endswith("(the Rollout was edited: that rules the next run)")
    world.until(Phase.STABLE)
    assert [weight for _, weight in world.ladder()] == [0, 1, 5, 25, 50, 100, 100]

    world.want("v3").settle().until(Phase.STABLE)
    assert [weight for _, weight in world.ladder()][-4:] == [100, 0, 90, 100]


def test_a_spec_that_becomes_wrong_in_mid_run_changes_nothing_in_it_and_is_told() -> None:
    world = at_step(3)

    world.edit(None, problem="spec.gates[0] has no kind; give it one").settle()

    assert world.phase == "Progressing"
    assert (
        "the edited spec is wrong and changes nothing in this run: spec.gates[0]" in world.message
    )
    world.until(Phase.INVALID)
    assert world.status.stable_revision == "v2"
    assert world.percent == 100


def test_a_spec_that_cannot_be_read_at_all_does_not_end_a_run() -> None:
    world = at_step(3)
    world.edit(None, problem="spec.revision is missing; add it")
    world.revision = ""

    world.settle()

    assert world.run.ending is None
    assert world.percent == 25


def test_suspend_acts_at_once_in_mid_run_and_keeps_the_weight() -> None:
    world = at_step(3)

    world.suspend(True).settle().after(600)

    assert world.percent == 25
    assert world.phase == "Waiting"
    assert "spec.suspend is true: nothing starts or increases until it is false" in world.message
    told = len(world.happenings)
    world.after(600)
    assert len(world.happenings) == told

    world.suspend(False).settle()
    assert world.run.step == 4


def test_suspended_gates_go_on_judging_and_still_take_the_run_back() -> None:
    world = at_step(3)
    world.suspend(True).settle()
    world.says = always(FAIL)

    world.settle()

    assert world.percent == 0


def test_suspended_a_bake_still_ends_because_nothing_increases() -> None:
    world = at_step(6)

    world.suspend(True).settle().until(Phase.STABLE)

    assert world.status.stable_revision == "v2"


def test_a_day_later_times_carry_their_date() -> None:
    strategy = {"steps": [{"weight": 10, "hold": "30h"}], "maxDuration": "99h"}
    spec = spec_of(strategy=strategy, judge={"maxInterval": "30m"})
    world = World(spec=spec).settle()

    world.until_step(1)

    assert "100 % at 2026-03-03 15:00 UTC" in world.message
    world.after(28 * 3600)
    assert "100 % at 15:00:05 UTC" in world.message
    assert world.now == MORNING + timedelta(hours=28, seconds=5)
