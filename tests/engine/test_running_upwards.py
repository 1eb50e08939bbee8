"""Stories of runs that go up the ladder, and of what keeps them from it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rollout.api.action import Verb
from rollout.api.phase import Outcome, Phase
from tests.world.engine_world import (
    FAIL,
    MORNING,
    PASS,
    UNKNOWN,
    World,
    always,
    at_step,
    passes_after,
    spec_of,
)

LADDER = [(0, 0), (1, 1), (2, 5), (3, 25), (4, 50), (5, 100), (6, 100)]


def seconds_of(world: World, step: int) -> float:
    """When a step began, in seconds since the morning."""
    for beat in world.beats:
        run = beat.decision.status.run
        if run is not None and run.step == step:
            return (run.step_started_at - MORNING).total_seconds()
    raise AssertionError(step)


def ladder_of(*steps: dict[str, Any], **fields: Any) -> World:
    return World(
        spec=spec_of(strategy={"steps": list(steps)} | fields.pop("strategy", {}), **fields)
    )


def test_a_healthy_canary_climbs_every_rung_bakes_and_becomes_stable() -> None:
    world = World().settle()

    world.until(Phase.STABLE)

    assert world.ladder() == LADDER
    assert world.phases() == ["Preparing", "Progressing", "Promoting", "Baking", "Stable"]
    assert world.status.stable_revision == "v2"
    assert world.percent == 100
    assert not world.finalized
    assert world.status.retirable == ("v1",)
    (past,) = world.status.history
    assert (past.outcome, past.revision, past.stable_revision) == ("Promoted", "v2", "v1")
    assert (past.steps, past.max_weight) == (5, 100)


def test_holds_are_kept_to_the_second_peers_50() -> None:
    world = World(says=passes_after(4)).settle()

    world.until(Phase.STABLE)

    began = [seconds_of(world, step) for step in range(1, 7)]
    assert began == [5, 35, 65, 95, 125, 130]
    assert world.run.ended_at == MORNING + timedelta(seconds=190)


def test_each_step_and_each_end_is_one_event_peers_105() -> None:
    world = World(says=passes_after(4)).settle()

    world.until(Phase.STABLE)

    reasons = [happening.reason for happening in world.happenings]
    assert reasons == ["Started", "Settling", *["StepBegan"] * 6, "Promoted"]


def test_no_traffic_moves_before_the_canary_has_been_ready_for_the_settle_time_peers_1() -> None:
    world = World().settle()

    world.after(4.9)

    assert world.phase == "Preparing"
    assert world.on_stable
    assert "09:00:05" in world.message


def test_our_finalizer_is_on_before_traffic_moves_and_off_at_the_end() -> None:
    world = World()

    world.settle()

    assert world.finalized
    assert world.on_stable

    world.until(Phase.STABLE)

    assert not world.finalized


def test_status_equals_the_data_plane_at_any_moment_peers_152() -> None:
    world = World().settle()

    while world.phase != "Stable":
        assert world.percent == world.run.weight
        assert world.run.look_again_at == world.look_again_at
        assert world.status.observed_generation == world.generation
        world.after(1)


def test_at_rest_nothing_is_written_and_nothing_waited_for_peers_6_and_33() -> None:
    world = World().settle().until(Phase.STABLE)
    writes, events = world.writes, len(world.happenings)

    for _ in range(5):
        world.now += timedelta(hours=7)
        world.settle()

    assert world.writes == writes
    assert len(world.happenings) == events
    assert world.look_again_at is None


def test_observed_weight_is_what_prometheus_saw() -> None:
    world = at_step(3)

    world.after(10).settle()

    assert world.run.observed_weight == 25
    assert world.run.evidence is not None
    assert world.run.evidence.traffic.canary.requests == 25


def test_a_new_step_starts_its_evidence_from_nothing() -> None:
    world = at_step(2)
    world.after(29)
    assert world.run.observed_weight is not None

    world.until_step(3)

    began = next(b.decision for b in world.beats if b.decision.status.run.step == 3)  # type: ignore[union-attr]
    assert began.status.run is not None
    assert began.status.run.evidence is not None
    assert began.status.run.evidence.traffic.canary.requests == 0
    assert began.status.run.observed_weight is None
    assert [gate.verdict for gate in began.status.run.gates] == [UNKNOWN]


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6])
def test_a_failing_gate_takes_the_run_back_at_the_next_look_in_any_step(step: int) -> None:
    world = at_step(step)
    world.says = always(FAIL)

    world.settle()

    assert world.phase == "RollingBack"
    assert world.percent == 0

    world.until(Phase.ROLLED_BACK)

    assert world.status.stable_revision == "v1"
    assert world.status.rejected_revision == "v2"
    assert world.run.ending is not None
    assert world.run.ending.gate == "errors"
    assert "errors says fail to 12 of 400 requests" in world.message
    assert world.status.history[0].steps == min(step, 5)


def test_a_rollback_gives_proxies_the_settle_time_before_it_is_called_done() -> None:
    world = at_step(3)
    world.says = always(FAIL)
    world.settle()

    world.after(4.9)
    assert world.phase == "RollingBack"

    world.after(0.1)
    assert world.phase == "RolledBack"
    assert not world.finalized
    writes = world.writes
    world.after(3600).settle()
    assert world.writes == writes


def test_the_failed_sample_is_kept_so_that_reaction_time_can_be_told() -> None:
    world = at_step(3)
    world.says = always(FAIL)

    world.settle()

    assert world.run.gates[0].failed_sample_at == world.now


def test_unknown_holds_for_ever_and_says_why_peers_72() -> None:
    world = World(
        spec=spec_of(judge={"maxInterval": "10m"}, strategy={"maxDuration": "100h"}),
        says=always(UNKNOWN),
    ).settle()

    world.after(99 * 3600)

    assert world.run.step == 1
    assert world.percent == 1
    assert world.status.reason == "WaitingForGates"
    assert "5 % when errors passes: errors says unknown to 12 of 400 requests" in world.message


def test_unknown_for_ever_is_ended_by_the_deadline_alone_peers_76() -> None:
    world = World(says=always(UNKNOWN)).settle()

    world.until(Phase.ROLLED_BACK)

    assert world.run.ending is not None
    assert world.run.ending.decided_at == MORNING + timedelta(hours=1)
    assert "not promoted within maxDuration (1h)" in world.message


def test_prometheus_down_holds_says_so_and_all_goes_on_afterwards_peers_76() -> None:
    world = at_step(2)
    world.metrics_problem = "Prometheus at prometheus:9090 cannot be reached: refused"
    world.settle()

    world.after(300)

    assert world.run.step == 2
    assert "cannot be reached: refused" in world.message
    assert world.condition("MetricsAvailable") == {
        "status": "False",
        "reason": "NoAnswer",
        "message": world.metrics_problem,
    }

    world.metrics_problem = ""
    world.until(Phase.STABLE)

    assert world.ladder() == LADDER


@pytest.mark.parametrize("phase", [Phase.PROMOTING, Phase.BAKING])
def test_prometheus_down_holds_at_100_percent_and_in_the_bake_too(phase: Phase) -> None:
    world = World().settle()
    world.until(phase)
    world.metrics_problem = "Prometheus at prometheus:9090 cannot be reached: refused"
    world.settle()

    world.after(1800)

    assert world.phase == phase
    assert world.percent == 100
    assert "when errors passes: Prometheus at prometheus:9090 cannot be reached" in world.message

    world.metrics_problem = ""
    world.until(Phase.STABLE)

    assert world.ladder() == LADDER


def test_a_pause_in_the_bake_is_what_is_told_when_its_time_is_over_and_nothing_is_seen() -> None:
    world = World().settle()
    world.until(Phase.BAKING)
    world.says = always(UNKNOWN)
    world.tell(Verb.PAUSE)

    world.after(1800)

    assert world.phase == "Waiting"
    assert "until `rollout resume reviews`" in world.message
    assert world.percent == 100


def test_waiting_for_gates_is_told_once_and_not_at_every_look_peers_96_and_155() -> None:
    world = at_step(2, says=lambda _gate, run, _elapsed: PASS if run.step < 2 else UNKNOWN)
    world.after(31)
    told = len(world.happenings)

    world.after(1800)

    assert world.status.reason == "WaitingForGates"
    assert len(world.happenings) == told


def test_a_step_without_hold_ends_when_its_gates_pass_but_not_before_the_settle_time() -> None:
    world = ladder_of({"weight": 10}, {"weight": 50})
    world.says = passes_after(0)
    world.settle()

    world.until(Phase.STABLE)

    assert [seconds_of(world, step) for step in (1, 2, 3, 4)] == [5, 10, 15, 20]
    assert [weight for _, weight in world.ladder()] == [0, 10, 50, 100, 100]


def test_a_run_ends_with_100_percent_whether_or_not_the_ladder_says_so() -> None:
    world = ladder_of({"weight": 10, "hold": "10s"}).settle()

    world.until(Phase.STABLE)

    assert world.run.step_count == 2
    assert world.percent == 100


def test_without_steps_a_run_goes_to_100_percent_and_bakes() -> None:
    world = ladder_of().settle()

    world.until(Phase.STABLE)

    assert world.ladder() == [(0, 0), (1, 100), (2, 100)]
    assert world.phases() == ["Preparing", "Promoting", "Baking", "Stable"]


def test_without_bake_the_last_step_ends_the_run() -> None:
    world = World(spec=spec_of(strategy={"bake": "0s"})).settle()

    world.until(Phase.STABLE)

    assert Phase.BAKING not in world.phases()
    assert world.status.history[0].outcome is Outcome.PROMOTED


def test_without_gates_time_alone_decides() -> None:
    world = World(spec=spec_of(gates=[]), says=always(FAIL)).settle()

    world.until(Phase.STABLE)

    assert world.ladder() == LADDER


def test_without_settle_time_gates_or_holds_steps_follow_one_by_one_and_none_is_skipped() -> None:
    world = ladder_of({"weight": 10}, {"weight": 50}, gates=[], strategy={"bake": "0s"})
    world.settle_seconds = 0

    world.settle()

    assert world.phase == "Stable"
    assert world.now == MORNING
    assert [weight for _, weight in world.ladder()] == [0, 10, 50, 100]


def test_fifty_steps_are_climbed_one_by_one() -> None:
    world = ladder_of(*[{"weight": 2 * n, "hold": "10s"} for n in range(1, 51)])
    world.says = passes_after(0)
    world.settle()

    world.until(Phase.STABLE)

    assert [step for step, _ in world.ladder()] == list(range(52))


def test_fractional_weights_are_written_as_they_are() -> None:
    world = ladder_of({"weight": 0.05, "hold": "10s"}, {"weight": 33.3, "hold": "10s"}).settle()

    world.until_step(1)
    assert world.percent == 0.05
    assert "0.05 % of reviews goes to v2" in world.message

    world.until_step(2)
    assert world.percent == 33.3
    assert world.condition("TrafficMatches") == {
        "status": "Unknown",
        "reason": "Settling",
        "message": "33.3 % is written in every owned route; proxies are given until 09:00:35 UTC",
    }


def test_a_first_step_of_a_pause_waits_with_no_traffic_for_promote() -> None:
    world = ladder_of({"pause": {}}, {"weight": 20, "hold": "10s"}).settle()

    world.after(600)

    assert world.phase == "Waiting"
    assert world.percent == 0
    assert "waits for `rollout promote reviews`" in world.message

    world.tell(Verb.PROMOTE)

    assert world.percent == 20


def test_a_pause_with_a_time_ends_by_itself_and_keeps_the_weight() -> None:
    world = ladder_of({"weight": 20, "hold": "15s"}, {"pause": {"for": "5m"}}).settle()

    world.until_step(2)
    assert world.phase == "Waiting"
    assert world.percent == 20
    assert "100 % at 09:05:20 UTC" in world.message

    world.until(Phase.STABLE)
    assert seconds_of(world, 3) - seconds_of(world, 2) == 300


def test_gates_go_on_judging_in_a_pause_peers_95() -> None:
    world = ladder_of({"weight": 20, "hold": "10s"}, {"pause": {}}).settle().until_step(2)
    world.says = always(FAIL)

    world.settle()

    assert world.percent == 0
    assert world.phase == "RollingBack"


def test_a_check_stays_at_the_weight_until_the_named_gates_pass() -> None:
    gates = [
        {"name": "errors", "errorRate": {"maxPercent": 1}, "steps": [1]},
        {"name": "slow", "latency": {"max": "500ms"}},
    ]
    world = ladder_of(
        {"weight": 20, "hold": "10s"},
        {"check": {"gates": ["errors"], "for": "20s"}},
        {"weight": 60, "hold": "10s"},
        gates=gates,
    )
    world.says = lambda gate, run, elapsed: (
        UNKNOWN if gate == "slow" and run.step == 2 else passes_after(25)(gate, run, elapsed)
    )
    world.settle().until_step(2)

    world.after(21)
    assert world.run.step == 2
    assert world.percent == 20
    assert "60 % when errors passes" in world.message

    world.until(Phase.STABLE)
    assert world.ladder()[2:4] == [(2, 20), (3, 60)]


def test_a_check_without_a_time_ends_as_soon_as_its_gates_pass() -> None:
    world = ladder_of({"weight": 20}, {"check": {"gates": ["errors"]}})
    world.says = passes_after(20)
    world.settle()

    world.until(Phase.STABLE)

    assert seconds_of(world, 3) - seconds_of(world, 2) == 20


def test_two_gates_that_are_missing_are_both_named() -> None:
    gates = [
        {"name": "errors", "errorRate": {"maxPercent": 1}},
        {"name": "slow", "latency": {"max": "500ms"}},
    ]
    world = World(spec=spec_of(gates=gates), says=always(UNKNOWN)).settle()

    world.after(60)

    assert "5 % when errors and slow pass: errors says" in world.message


def test_a_gate_with_steps_is_asked_only_there() -> None:
    gates = [{"name": "errors", "errorRate": {"maxPercent": 1}, "steps": [3]}]
    world = World(spec=spec_of(gates=gates)).settle()

    world.until_step(3)
    assert "if errors passes" in world.message

    world.until(Phase.STABLE)
    assert world.ladder() == LADDER


def test_pauses_after_100_percent_are_kept_and_no_second_100_is_added() -> None:
    world = ladder_of({"weight": 100}, {"pause": {"for": "1m"}}, {"check": {"gates": ["errors"]}})
    world.settle()

    world.until(Phase.STABLE)

    assert world.ladder() == [(0, 0), (1, 100), (2, 100), (3, 100), (4, 100)]
    assert world.phases() == ["Preparing", "Promoting", "Waiting", "Promoting", "Baking", "Stable"]


def test_a_message_says_what_comes_next() -> None:
    world = ladder_of(
        {"weight": 10, "hold": "10s"},
        {"pause": {"for": "10s"}},
        {"check": {"gates": ["errors"]}},
        {"weight": 100, "hold": "10s"},
        strategy={"bake": "0s"},
    )
    world.says = passes_after(6)
    world.settle()
    found: dict[int, str] = {}

    while world.phase != "Stable":
        found.setdefault(world.run.step, world.message.split("; ")[1])
        world.after(1)

    assert found == {
        0: found[0],
        1: "a pause at 09:00:15 UTC if errors passes",
        2: "a check at 09:00:25 UTC",
        3: "100 % at 09:00:30 UTC if errors passes",
        4: "promoted at 09:00:55 UTC if errors passes",
    }


def test_a_wait_without_a_deadline_names_promote() -> None:
    world = at_step(6)
    world.says = always(UNKNOWN)

    world.after(600)

    assert world.status.reason == "WaitingForGates"
    assert "`rollout promote reviews` goes on without" in world.message


def test_a_pause_as_the_last_step_is_not_promoted_from_while_prometheus_is_down() -> None:
    world = ladder_of({"weight": 100}, {"pause": {"for": "1m"}}, strategy={"bake": "0s"}).settle()
    world.until_step(2)
    world.metrics_problem = "Prometheus does not answer"

    world.after(600)
    held = world.phase
    world.metrics_problem = ""
    world.after(60)

    assert held == "Waiting"
    assert world.phase == "Stable"


@pytest.mark.parametrize("year", [1, 9999])
def test_a_far_time_of_a_lost_route_keeps_no_abort_from_being_obeyed(year: int) -> None:
    world = at_step(2, says=always(PASS))
    far = world.now.replace(year=year)
    run = world.run.model_copy(update={"unrouted_since": far})
    world.status = world.status.model_copy(update={"run": run})

    world.tell(Verb.ABORT)

    assert world.percent == 0


def test_an_abort_needs_no_endpoints_and_a_wait_for_them_says_which_are_not_read() -> None:
    world = at_step(2, says=always(PASS))
    world.unread = "the controller may not read Pod"
    world.ready = {}
    world.reconcile()
    told, held = world.message, world.percent

    world.tell(Verb.ABORT)

    assert "the controller may not read Pod" in told
    assert held > 0
    assert world.percent == 0
