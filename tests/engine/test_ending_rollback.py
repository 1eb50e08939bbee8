"""Stories of runs that go back: abort, deadline, what is held, and a stable side that is ill."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction

import pytest

from rollout.api.action import ActionOutcome, Verb
from rollout.api.phase import Phase
from rollout.api.traffic import Problem
from tests.world.engine_world import (
    FAIL,
    MORNING,
    UNKNOWN,
    World,
    always,
    at_step,
    passes_after,
    spec_of,
)

APPLIED, IGNORED, REFUSED = ActionOutcome.APPLIED, ActionOutcome.IGNORED, ActionOutcome.REFUSED


def preparing() -> World:
    return World().settle()


def blocked_before_traffic() -> World:
    return World(ready={"v1": 2}).settle()


def held_before_traffic() -> World:
    world = World().settle()
    world.tell(Verb.PAUSE)
    return world.after(10)


def paused() -> World:
    world = at_step(2)
    world.tell(Verb.PAUSE)
    return world


def in_a_pause_step() -> World:
    steps = [{"weight": 20, "hold": "10s"}, {"pause": {}}]
    return World(spec=spec_of(strategy={"steps": steps})).settle().until_step(2)


def retreated() -> World:
    world = at_step(3)
    world.ready["v2"] = 0
    return world.settle()


def settling_again() -> World:
    world = retreated()
    world.ready["v2"] = 1
    return world.settle()


def without_routes() -> World:
    world = at_step(3)
    world.shares = {}
    return world.settle()


def past_its_deadline() -> World:
    strategy = {"onDeadline": "Hold", "maxDuration": "10s"}
    return World(spec=spec_of(strategy=strategy)).settle().after(60)


def failing_and_held() -> World:
    return World(spec=spec_of(onFailure="Hold"), says=always(FAIL)).settle().until_step(1).settle()


EVERYWHERE = [
    pytest.param(preparing, id="Preparing"),
    pytest.param(blocked_before_traffic, id="Preparing without endpoints"),
    pytest.param(held_before_traffic, id="Waiting before traffic"),
    pytest.param(lambda: at_step(1), id="Progressing"),
    pytest.param(lambda: at_step(4), id="Progressing at 50 percent"),
    pytest.param(in_a_pause_step, id="Waiting in a pause step"),
    pytest.param(paused, id="Waiting for a person"),
    pytest.param(past_its_deadline, id="Waiting past the deadline"),
    pytest.param(failing_and_held, id="Waiting on a failing gate"),
    pytest.param(lambda: at_step(5), id="Promoting"),
    pytest.param(lambda: at_step(6), id="Baking"),
    pytest.param(retreated, id="Blocked after a retreat"),
    pytest.param(settling_again, id="Preparing after a retreat"),
]


@pytest.mark.parametrize("arrange", EVERYWHERE)
def test_abort_takes_all_traffic_back_at_once_whatever_the_phase_peers_64(
    arrange: Callable[[], World],
) -> None:
    world = arrange()

    answer = world.tell(Verb.ABORT, reason="pager\nwent off.")

    assert answer.outcome is APPLIED
    assert answer.message == "v2 loses all traffic"
    assert world.percent == 0
    assert world.run.ending is not None
    assert world.run.ending.because == "aborted by alice@example.com: pager went off"

    world.until(Phase.ROLLED_BACK, within_seconds=10)

    assert world.on_stable
    assert not world.finalized
    assert world.status.history[0].outcome == "Aborted"
    assert world.status.history[0].by == "alice@example.com"
    assert "`rollout retry reviews` runs v2 again" in world.message


@pytest.mark.parametrize("arrange", EVERYWHERE)
def test_revision_set_back_to_stable_is_a_rollback_at_once_whatever_the_phase(
    arrange: Callable[[], World],
) -> None:
    world = arrange()

    world.want("v1").settle()

    assert world.percent == 0

    world.until(Phase.STABLE, within_seconds=10)

    assert world.on_stable
    assert world.status.history[0].outcome == "RolledBack"
    assert world.status.history[0].because == "spec.revision was set back to v1"
    assert not world.finalized


def test_a_revision_wanted_again_while_traffic_still_returns_runs_anew() -> None:
    world = at_step(2)
    world.want("v1").settle()
    world.after(1)

    world.want("v2").settle()
    world.after(60)

    assert world.status.history[0].because == "spec.revision was set back to v1"
    assert world.run.id == "2"
    assert world.run.canary_revision == "v2"
    assert world.phase == "Progressing"


@pytest.mark.parametrize("arrange", EVERYWHERE)
def test_another_revision_first_returns_traffic_then_starts_its_own_run(
    arrange: Callable[[], World],
) -> None:
    world = arrange()
    begun = len(world.beats)

    world.want("v3").settle()

    assert world.percent == 0

    while world.run.id == "1":
        world.after(1)

    later = [beat for beat in world.beats[begun:] if beat.decision.weights is not None]
    assert {beat.decision.weights.percent for beat in later if beat.decision.weights} == {0}
    assert world.on_stable
    assert world.status.history[0].outcome == "Superseded"
    assert (world.run.id, world.run.canary_revision, world.run.stable_revision) == ("2", "v3", "v1")


def test_abort_with_everything_broken_is_obeyed_and_done_when_routes_are_back_peers_28() -> None:
    world = at_step(3)
    world.shares, world.subsets, world.ready = {}, {}, {}
    world.metrics_problem = "Prometheus at prometheus:9090 cannot be reached: refused"
    world.suspend(True)

    answer = world.tell(Verb.ABORT)

    assert answer.outcome is APPLIED
    assert world.phase == "RollingBack"
    assert "in the way: VirtualService bookinfo/reviews does not exist" in world.message
    assert world.look_again_at is None

    world.shares = {"v1": Fraction(3, 4), "v2": Fraction(1, 4)}
    world.settle()
    assert world.on_stable
    world.until(Phase.ROLLED_BACK, within_seconds=10)


def test_abort_does_not_ask_whether_stable_is_ready_peers_63() -> None:
    world = at_step(3)
    world.ready = {"v2": 2}

    answer = world.tell(Verb.ABORT)

    assert answer.outcome is APPLIED
    assert world.percent == 0


def test_a_failing_gate_does_not_send_traffic_to_a_stable_revision_without_endpoints() -> None:
    world = at_step(3)
    world.ready["v1"] = 0
    world.says = always(FAIL)

    world.settle()

    assert world.phase == "Blocked"
    assert world.status.reason == "StableNotReady"
    assert world.percent == 25
    assert "v1 has no ready endpoint to go back to" in world.message
    assert "`rollout abort reviews` goes back all the same" in world.message

    world.ready["v1"] = 1
    world.settle()

    assert world.percent == 0
    assert world.phase == "RollingBack"


def test_blocked_without_stable_endpoints_only_abort_is_obeyed() -> None:
    world = at_step(3)
    world.ready["v1"] = 0
    world.want("v3").settle()

    for verb in (Verb.PROMOTE, Verb.PROMOTE_FULL, Verb.PAUSE, Verb.RESUME):
        answer = world.tell(verb)
        assert answer.outcome is IGNORED
        assert answer.message == "run 1 is taken back: v3 is wanted instead of v2"
    assert world.percent == 25

    assert world.tell(Verb.ABORT).outcome is APPLIED
    assert world.percent == 0


def test_a_rollback_under_way_goes_on_when_stable_loses_its_endpoints() -> None:
    world = at_step(3)
    world.says = always(FAIL)
    world.settle()

    world.ready["v1"] = 0
    world.until(Phase.ROLLED_BACK, within_seconds=10)

    assert world.on_stable


def test_the_deadline_takes_back_a_canary_that_never_becomes_ready_peers_61() -> None:
    world = World(ready={"v1": 2}).settle()

    world.until(Phase.ROLLED_BACK)

    assert world.now == MORNING + timedelta(hours=1)
    assert world.on_stable
    assert "not promoted within maxDuration (1h)" in world.message


def test_the_deadline_takes_back_a_run_that_has_retreated_peers_61() -> None:
    world = retreated()

    world.until(Phase.ROLLED_BACK)

    assert world.run.ending is not None
    assert world.run.ending.decided_at == MORNING + timedelta(hours=1)


def test_the_deadline_does_not_count_the_bake() -> None:
    strategy = {"maxDuration": "3m", "bake": "2h"}
    world = World(spec=spec_of(strategy=strategy)).settle()

    world.until(Phase.STABLE)

    assert world.status.stable_revision == "v2"


def test_the_deadline_does_not_count_what_comes_after_100_percent() -> None:
    strategy = {"maxDuration": "1m", "steps": [{"weight": 100, "hold": "5m"}, {"pause": {}}]}
    world = World(spec=spec_of(strategy=strategy)).settle()

    world.after(3600)

    assert world.phase == "Waiting"
    assert world.percent == 100


def test_a_run_that_lost_its_100_percent_has_the_same_time_again_then_goes_back() -> None:
    world = at_step(6)
    world.after(30)
    lost = world.now
    world.ready["v2"] = 0
    world.settle()
    assert world.percent == 0

    world.until(Phase.ROLLED_BACK)

    assert world.run.ending is not None
    assert world.run.ending.decided_at == lost + timedelta(hours=1)


def test_a_short_loss_in_a_bake_longer_than_the_deadline_does_not_end_the_run_peers_68() -> None:
    strategy = {"maxDuration": "3m", "bake": "2h"}
    world = World(spec=spec_of(strategy=strategy)).settle().until_step(6).after(3600)
    world.ready["v2"] = 0
    world.settle()
    assert world.percent == 0

    world.ready["v2"] = 2
    world.settle().until(Phase.BAKING)

    assert world.percent == 100
    world.until(Phase.STABLE)
    assert world.status.stable_revision == "v2"


def test_past_the_deadline_hold_stays_and_names_the_ways_out() -> None:
    world = World(
        spec=spec_of(strategy={"onDeadline": "Hold", "maxDuration": "50s"}),
    ).settle()

    world.after(600)

    assert world.ladder()[-1] == (2, 5)
    assert world.phase == "Waiting"
    assert world.status.reason == "DeadlineHold"
    assert "`rollout promote reviews` goes on, `rollout abort reviews` goes back" in world.message

    assert world.tell(Verb.PROMOTE).outcome is APPLIED
    assert world.percent == 25
    world.after(600)
    assert world.percent == 25

    world.tell(Verb.PROMOTE_FULL)
    assert world.percent == 100
    world.until(Phase.STABLE)


def test_past_the_deadline_hold_also_stays_before_any_traffic() -> None:
    world = past_its_deadline_before_traffic()

    world.ready["v2"] = 1
    world.settle().after(60)

    assert world.percent == 0
    assert world.status.reason == "DeadlineHold"
    assert "`rollout promote reviews --full` goes on" in world.message
    assert world.tell(Verb.PROMOTE).outcome is REFUSED

    assert world.tell(Verb.PROMOTE_FULL).outcome is APPLIED
    assert world.percent == 100


def past_its_deadline_before_traffic() -> World:
    strategy = {"onDeadline": "Hold", "maxDuration": "50s"}
    return World(spec=spec_of(strategy=strategy), ready={"v1": 2}).settle().after(60)


def test_a_stale_deadline_acts_once_after_a_restart_peers_118() -> None:
    world = at_step(2)
    world.says = always(UNKNOWN)
    world.now += timedelta(days=3)

    world.settle()

    assert world.phase == "RollingBack"
    taken = [b for b in world.beats if b.decision.status.phase is Phase.ROLLING_BACK]
    assert len(taken) <= 3
    world.until(Phase.ROLLED_BACK, within_seconds=10)
    assert len(world.told("RolledBack")) == 2


def test_a_hold_that_passed_long_ago_ends_once_and_the_next_step_takes_its_time_peers_118() -> None:
    world = at_step(2, spec=spec_of(strategy={"maxDuration": "200h"}))
    world.now += timedelta(days=3)

    world.settle()

    assert world.run.step == 3
    assert world.run.step_started_at == world.now
    world.after(29)
    assert world.run.step == 3


def test_a_restart_in_the_middle_of_a_hold_changes_nothing_peers_108() -> None:
    world = at_step(2, says=passes_after(0))
    due = world.run.step_started_at + timedelta(seconds=30)
    world.now += timedelta(seconds=17)

    world.settle()

    assert world.run.step == 2
    world.until_step(3)
    assert world.now == due


def test_on_failure_hold_stays_says_so_and_goes_on_when_the_gate_passes() -> None:
    world = World(
        spec=spec_of(onFailure="Hold"),
        says=lambda gate, run, elapsed: (
            FAIL if run.step == 2 and elapsed < 100 else passes_after(0)(gate, run, elapsed)
        ),
    ).settle()
    world.until_step(2).after(60)

    assert world.percent == 5
    assert world.phase == "Waiting"
    assert world.status.reason == "GateFails"
    assert "stays at 5 %, since onFailure is Hold: errors says fail" in world.message
    assert "`rollout abort reviews` goes back" in world.message

    world.until(Phase.STABLE)
    assert len(world.told("GateFails")) == 1


def test_on_failure_hold_still_ends_at_the_deadline() -> None:
    world = World(spec=spec_of(onFailure="Hold"), says=always(FAIL)).settle()

    world.until(Phase.ROLLED_BACK)

    assert "not promoted within maxDuration" in world.message


def test_a_rejected_revision_does_not_run_again_by_time_restart_or_other_edits_peers_48() -> None:
    world = at_step(2)
    world.tell(Verb.ABORT)
    world.until(Phase.ROLLED_BACK)
    assert world.spec is not None

    world.edit(world.spec.model_copy(update={"judge": spec_of().judge})).settle()
    world.now += timedelta(days=9)
    world.settle()

    assert world.phase == "RolledBack"
    assert world.run.id == "1"
    assert "since 2026-03-02 09:00 UTC" in world.message


def test_a_rejected_revision_runs_again_after_another_was_wanted() -> None:
    world = at_step(2)
    world.tell(Verb.ABORT)
    world.until(Phase.ROLLED_BACK)

    world.want("v1").settle()
    assert world.phase == "Stable"
    world.want("v2").settle()

    assert world.phase == "Preparing"
    assert world.run.id == "2"


def test_reverting_to_stable_after_a_failed_run_is_healthy_and_runs_nothing_peers_59() -> None:
    world = at_step(2)
    world.says = always(FAIL)
    world.settle().until(Phase.ROLLED_BACK)

    world.want("v1").settle()

    assert world.phase == "Stable"
    assert world.run.id == "1"
    ready = world.condition("Ready")
    assert ready is not None
    assert ready["status"] == "True"


def test_a_fix_after_a_failure_starts_at_nothing_and_live_traffic_stays_peers_57() -> None:
    world = at_step(4)
    world.says = always(FAIL)
    world.settle().until(Phase.ROLLED_BACK)

    world.want("v3").settle()

    assert world.run.canary_revision == "v3"
    assert world.on_stable
    assert world.status.rejected_revision == ""


def test_a_fix_is_still_new_when_that_very_write_is_lost_peers_55() -> None:
    world = at_step(4)
    world.says = always(FAIL)
    world.settle().until(Phase.ROLLED_BACK)

    world.want("v3").reconcile(lose="status")
    world.settle()

    assert world.run.canary_revision == "v3"


def test_a_revision_wanted_while_traffic_returns_is_not_forgotten() -> None:
    world = at_step(3)
    world.tell(Verb.ABORT)

    world.want("v3").settle().after(10)

    assert world.status.history[0].outcome == "Aborted"
    assert (world.run.id, world.run.canary_revision) == ("2", "v3")


def test_a_spec_that_breaks_while_traffic_returns_is_told_afterwards() -> None:
    world = at_step(3)
    world.tell(Verb.ABORT)

    world.edit(None, problem="spec.strategy.bake is 'soon'; use a duration such as 90s").settle()
    world.after(10)

    assert world.phase == "Invalid"
    assert world.on_stable


def test_traffic_somebody_moves_back_while_it_returns_is_taken_away_again() -> None:
    world = at_step(3)
    world.tell(Verb.ABORT)
    world.after(4)
    world.shares = {"v1": Fraction(1, 2), "v2": Fraction(1, 2)}

    world.settle()

    assert world.on_stable
    world.after(4.9)
    assert world.phase == "RollingBack"
    world.after(0.1)
    assert world.phase == "RolledBack"


def test_a_rollback_waits_with_a_reason_while_routes_refuse_to_be_written_peers_165() -> None:
    world = at_step(3)
    world.refusing = True
    world.route_problems = (Problem(reason="WriteDenied", message="admission webhook says no"),)
    world.tell(Verb.ABORT)

    world.after(600)

    assert world.phase == "RollingBack"
    assert "in the way: admission webhook says no" in world.message
    assert len(world.told("Aborted")) == 1

    world.refusing, world.route_problems = False, ()
    world.settle().until(Phase.ROLLED_BACK, within_seconds=20)


def test_a_route_that_holds_neither_of_the_pair_does_not_keep_a_run_from_ending() -> None:
    world = at_step(3)
    world.tell(Verb.ABORT)
    world.shares = {"v1": Fraction(0), "v2": Fraction(0)}

    world.settle().after(10)

    assert world.phase == "RolledBack"


def test_a_run_without_traffic_ends_though_stable_is_not_ready() -> None:
    world = World().settle()
    world.ready["v1"] = 0

    world.want("v1").settle()

    assert world.phase == "Stable"


def test_a_route_of_another_rollout_in_front_keeps_a_way_back_open_until_it_is_removed() -> None:
    world = at_step(2)
    world.route_problems = (
        Problem(
            reason="ManagedRouteInFront",
            message="VirtualService shop/reviews: route x belongs to Rollout shop/gone; remove it",
        ),
    )
    world.give(Verb.ABORT)
    world.after(60)

    assert world.phase == "RollingBack"
    assert "in the way: VirtualService shop/reviews: route x" in world.message
    assert world.on_stable

    world.route_problems = ()
    world.until(Phase.ROLLED_BACK, within_seconds=30)
