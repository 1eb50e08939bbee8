"""Stories of a world that is incomplete, or in which writes get lost."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

import pytest

from rollout.api.action import ActionOutcome, Verb
from rollout.api.phase import Phase
from rollout.api.traffic import Problem
from tests.world.engine_world import FAIL, MORNING, PASS, WRITES, World, always, at_step, spec_of

APPLIED, IGNORED, REFUSED = ActionOutcome.APPLIED, ActionOutcome.IGNORED, ActionOutcome.REFUSED

LADDER = [(0, 0), (1, 1), (2, 5), (3, 25), (4, 50), (5, 100), (6, 100)]


# What is missing before traffic moves


def test_without_ready_endpoints_a_run_waits_and_one_line_says_for_what_peers_153() -> None:
    world = World(ready={"v1": 2})

    world.settle()

    assert world.phase == "Preparing"
    assert world.on_stable
    assert world.message == (
        "waits before any traffic moves: v2 has no ready endpoint; make pods with version=v2 "
        "ready; goes back for good at 10:00:00 UTC"
    )


def test_endpoints_that_become_ready_start_the_settle_time_at_that_moment_peers_154() -> None:
    world = World(ready={"v1": 2}).settle()
    world.now += timedelta(seconds=77)
    world.ready["v2"] = 1

    world.settle()

    assert world.look_again_at == MORNING + timedelta(seconds=82)
    world.until_step(1)
    assert world.now == MORNING + timedelta(seconds=82)


def test_endpoints_that_flap_start_the_settle_time_anew() -> None:
    world = World().settle()
    world.now += timedelta(seconds=4)
    world.ready["v2"] = 0
    world.settle()
    world.ready["v2"] = 1
    world.settle()

    world.after(4)

    assert world.run.step == 0
    world.until_step(1)
    assert world.now == MORNING + timedelta(seconds=9)


def test_pods_without_labels_are_still_told_in_a_whole_sentence() -> None:
    world = World(ready={"v1": 2}, subsets={"v1": {}, "v2": {}})

    world.settle()

    assert "make pods with its labels ready" in world.message


@pytest.mark.parametrize("what", ["routes", "destination rule", "subset", "arms"])
def test_what_vanishes_before_traffic_moves_blocks_and_the_run_goes_on_when_mended(
    what: str,
) -> None:
    world = World().settle()
    whole = dict(world.shares or {}), dict(world.subsets or {})
    if what == "routes":
        world.shares = {}
    if what == "destination rule":
        world.subsets = {}
    if what == "subset":
        del (world.subsets or {})["v2"]
    if what == "arms":
        world.arms_problem = Problem(reason="ArmsAlike", message="v1 and v2 look alike; part them")
    world.settle()

    assert world.phase == "Blocked"
    assert world.message.startswith("waits before any traffic moves: ")

    world.after(60)
    world.shares, world.subsets = whole
    world.arms_problem = None
    world.settle().until(Phase.STABLE)

    assert world.ladder() == LADDER


# What is missing while traffic is there


@pytest.mark.parametrize("step", [1, 4, 5, 6])
def test_a_canary_without_endpoints_loses_its_traffic_and_the_run_resumes_peers_68(
    step: int,
) -> None:
    world = at_step(step)
    weight = world.percent
    world.ready["v2"] = 0

    world.settle()

    assert world.phase == "Blocked"
    assert world.on_stable
    assert "all traffic is on v1 for now: v2 has no ready endpoint" in world.message
    assert world.run.retreated

    world.after(120)
    world.ready["v2"] = 2
    world.settle()
    assert world.phase == "Preparing"
    assert world.on_stable

    world.after(5)
    assert world.percent == weight
    assert world.run.step == step
    assert not world.run.retreated
    world.until(Phase.STABLE)


def test_a_subset_that_vanishes_loses_its_traffic_at_once_peers_3() -> None:
    world = at_step(3)
    del (world.subsets or {})["v2"]

    world.settle()

    assert world.on_stable
    assert "v2 is no subset of DestinationRule bookinfo/reviews; add it there" in world.message


def test_a_retreat_happens_even_when_something_else_is_wrong_as_well() -> None:
    world = at_step(3)
    world.ready["v2"] = 0
    world.arms_problem = Problem(reason="ArmsAlike", message="v1 and v2 look alike; part them")

    world.settle()

    assert world.on_stable
    assert world.status.reason == "NoReadyEndpoints"


def test_a_canary_and_a_stable_revision_without_endpoints_stay_where_they_are() -> None:
    world = at_step(3)
    world.ready = {}

    world.settle()

    assert world.percent == 25
    assert world.phase == "Blocked"
    assert world.message.startswith("stays at 25 %: v2 has no ready endpoint")


def test_a_destination_rule_that_vanishes_in_mid_run_holds_and_resumes_peers_29() -> None:
    world = at_step(3)
    subsets = world.subsets
    world.subsets = {}

    world.settle().after(60)

    assert world.percent == 25
    assert world.status.reason == "DestinationRuleMissing"

    world.subsets = subsets
    world.settle().until(Phase.STABLE)
    assert world.ladder() == LADDER


def test_a_virtual_service_that_vanishes_in_mid_run_holds_and_the_deadline_runs_on_peers_28() -> (
    None
):
    world = at_step(3)
    world.shares = {}

    world.settle().after(600)
    assert world.status.reason == "VirtualServiceMissing"
    assert world.condition("TrafficMatches") == {
        "status": "Unknown",
        "reason": "NoRoute",
        "message": "there is no route to look at",
    }
    assert "goes back for good at 10:00:00 UTC" in world.message

    world.after(3600)
    assert world.phase == "RollingBack"


def test_endpoints_that_flap_after_a_retreat_start_the_settle_time_anew() -> None:
    world = at_step(3)
    for ready in (0, 2, 0, 2):
        world.ready["v2"] = ready
        world.settle().after(4)

    assert world.on_stable
    world.after(1)
    assert world.percent == 25


def test_a_pause_of_a_person_outlives_a_retreat() -> None:
    world = at_step(3)
    world.tell(Verb.PAUSE)
    world.ready["v2"] = 0
    world.settle()
    world.ready["v2"] = 1

    world.settle().after(60)

    assert world.on_stable
    assert world.phase == "Waiting"
    assert "0 % of reviews goes to v2 (step 3 of 5); paused by alice@example.com" in world.message
    world.tell(Verb.RESUME)
    assert world.percent == 25


def test_degraded_stable_pods_do_not_keep_a_run_from_going_on_peers_62() -> None:
    world = at_step(3)
    world.ready["v1"] = 1

    world.settle().until(Phase.STABLE)

    assert world.ladder() == LADDER


# Writes that get lost


def story(world: World, *, lose: str | None, at: int) -> World:
    """A whole run in which the write ``lose`` of the decision number ``at`` never happens."""
    world.says = lambda _gate, _run, _elapsed: PASS
    for count in range(2000):
        if count == at and lose is not None:
            world.reconcile(lose=lose)
        else:
            world.reconcile()
        if world.status.phase is Phase.STABLE and world.look_again_at is None:
            return world.settle()
        if world.look_again_at is not None:
            world.now = max(world.now, world.look_again_at)
    raise AssertionError(world.message)


CALM = story(World(), lose=None, at=0)


@pytest.mark.parametrize("lose", WRITES)
@pytest.mark.parametrize("at", range(len(CALM.beats)))
def test_a_crash_between_any_two_writes_ends_as_if_nothing_had_been_peers_110(
    lose: str, at: int
) -> None:
    world = story(World(), lose=lose, at=at)

    assert world.ladder() == CALM.ladder()
    assert world.shares == CALM.shares
    assert world.status == CALM.status
    assert world.finalized == CALM.finalized
    assert world.told("PutBack") == []


@pytest.mark.parametrize("lose", WRITES)
@pytest.mark.parametrize("step", [0, 1, 5, 6])
def test_a_crash_while_aborting_is_no_special_case_peers_110(lose: str, step: int) -> None:
    world = at_step(step)
    world.give(Verb.ABORT)

    world.reconcile(lose=lose)
    world.settle().after(10)

    assert world.phase == "RolledBack"
    assert world.on_stable
    assert len(world.status.history) == 1
    assert world.status.history[0].by == "alice@example.com"
    assert not world.finalized


@pytest.mark.parametrize("lose", WRITES)
def test_a_crash_while_promoting_a_step_passes_one_step_and_not_two_peers_92(lose: str) -> None:
    world = at_step(2, says=always(PASS))
    world.give(Verb.PROMOTE)

    world.reconcile(lose=lose)
    world.settle()

    assert world.run.step == 3
    assert world.waiting == []


@pytest.mark.parametrize("lose", WRITES)
def test_a_crash_while_deleting_still_returns_traffic_and_lets_go(lose: str) -> None:
    world = at_step(3)
    world.deleting = True

    world.reconcile(lose=lose)
    world.settle().after(10)

    assert world.gone
    assert (world.shares or {})["v1"] == 1


def test_a_weight_written_and_not_recorded_is_not_called_somebody_elses_doing() -> None:
    world = at_step(3)
    world.now = world.run.step_started_at + timedelta(seconds=30)

    world.reconcile(lose="status")
    assert world.percent == 50
    assert world.run.weight == 25
    world.settle()

    assert world.run.step == 4
    assert world.told("PutBack") == []


def test_a_weight_written_and_not_recorded_goes_back_when_the_gate_fails_meanwhile() -> None:
    world = at_step(3)
    world.now = world.run.step_started_at + timedelta(seconds=30)
    world.reconcile(lose="status")
    world.says = always(FAIL)

    world.settle()

    assert world.on_stable
    assert world.phase == "RollingBack"


def test_the_first_weight_written_and_not_recorded_is_taken_back_by_abort() -> None:
    world = World().settle()
    world.now += timedelta(seconds=5)
    world.reconcile(lose="status")
    assert world.percent == 1

    world.tell(Verb.ABORT)

    assert world.on_stable
    world.after(4.9)
    assert world.phase == "RollingBack"
    world.after(0.1)
    assert world.phase == "RolledBack"


def test_an_uninstalled_controller_leaves_traffic_as_it_was_peers_141() -> None:
    world = at_step(4)

    world.now += timedelta(days=1)

    assert world.percent == 50


def test_a_hundred_rollouts_at_rest_start_nothing_after_an_upgrade_peers_48() -> None:
    world = World(spec=spec_of(revision="v1")).settle()
    writes = world.writes

    for _ in range(100):
        world.reconcile()

    assert world.writes == writes
    assert world.status.run is None


def test_time_without_a_route_does_not_count_for_the_step() -> None:
    world = at_step(2, says=always(PASS))
    shares = world.shares
    world.after(10)
    world.shares = {}
    world.reconcile()
    world.after(300)

    world.shares = shares
    world.reconcile()
    world.after(19)
    before = world.run.step
    world.after(2)

    assert before == 2
    assert world.run.step == 3
    assert len(world.told("StepBegan")) == 3


def test_time_in_which_traffic_kept_its_weight_counts_whatever_was_missing() -> None:
    world = at_step(2, says=always(PASS))
    world.after(10)
    world.arms_problem = Problem(reason="ArmsAlike", message="the pods look alike; label them")
    world.reconcile()
    world.after(60)

    world.arms_problem = None
    world.reconcile()
    world.after(1)

    assert world.run.step == 3


def test_a_failing_gate_is_still_held_after_the_canary_was_lost_and_came_back() -> None:
    world = at_step(3, spec=spec_of(onFailure="Hold"))
    world.says = always(FAIL)
    world.ready = {"v1": 2}
    world.reconcile()

    world.ready = {"v1": 2, "v2": 2}
    world.after(120)

    assert world.percent == 0
    assert world.status.reason == "GateFails"
    assert "`rollout abort reviews` goes back" in world.message


def test_a_run_that_lost_its_100_percent_until_the_deadline_goes_on_when_it_is_sent() -> None:
    world = at_step(6, spec=spec_of(strategy={"onDeadline": "Hold"}))
    world.ready = {"v1": 2}
    world.reconcile()
    world.after(2 * 3600)
    world.ready = {"v1": 2, "v2": 2}
    world.after(60)
    held = (world.status.reason, world.percent)

    answer = world.tell(Verb.PROMOTE_FULL)
    again = world.tell(Verb.PROMOTE_FULL)

    assert held == ("DeadlineHold", 0)
    assert answer.outcome == "Applied"
    assert again.outcome == "Applied"
    assert world.percent == 100
    world.until(Phase.STABLE)
    assert world.status.stable_revision == "v2"


def test_a_bake_whose_route_comes_and_goes_ends_when_it_had_its_time_all_the_same() -> None:
    world = at_step(6, says=always(PASS))
    shares = world.shares
    lost: dict[str, Fraction] = {}

    for _ in range(11):
        world.after(5)
        world.shares = lost
        world.reconcile()
        world.after(5)
        world.shares = shares
        world.reconcile()
    before = world.phase
    world.after(6)

    assert before == "Baking"
    assert world.phase == "Stable"
