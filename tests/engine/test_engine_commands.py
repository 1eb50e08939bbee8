"""What people may command when, and what they are told."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.api.action import ActionOutcome, Verb
from rollout.api.phase import Phase
from rollout.api.status import MESSAGE_LENGTH_MAX
from rollout.engine.observation import GivenAction
from tests.world.engine_world import (
    FAIL,
    UNKNOWN,
    World,
    always,
    at_step,
    spec_of,
)

APPLIED, IGNORED, REFUSED = ActionOutcome.APPLIED, ActionOutcome.IGNORED, ActionOutcome.REFUSED

EVERY_VERB = [pytest.param(verb, id=verb.value) for verb in Verb]
IN_RUN = [pytest.param(verb, id=verb.value) for verb in Verb if verb is not Verb.RETRY]


def pausing() -> World:
    steps: list[dict[str, Any]] = [{"weight": 20, "hold": "10s"}, {"pause": {}}, {"weight": 60}]
    return World(spec=spec_of(strategy={"steps": steps})).settle().until_step(2)


@pytest.mark.parametrize("verb", EVERY_VERB)
def test_without_any_run_every_command_is_ignored(verb: Verb) -> None:
    world = World(spec=spec_of(revision="v1")).settle()

    answer = world.tell(verb, run="1", step=1)

    assert (answer.outcome, answer.message) == (IGNORED, "reviews has had no run yet")


@pytest.mark.parametrize("verb", EVERY_VERB)
def test_a_command_for_another_run_is_ignored_peers_90(verb: Verb) -> None:
    world = at_step(2)

    answer = world.tell(verb, run="7")

    assert (answer.outcome, answer.message) == (IGNORED, "run 7 is not the present one (1)")
    assert world.percent == 5
    assert world.run.paused is None


@pytest.mark.parametrize("verb", IN_RUN)
def test_a_command_for_a_run_that_is_over_is_ignored(verb: Verb) -> None:
    world = at_step(2).until(Phase.STABLE)

    answer = world.tell(verb)

    assert (answer.outcome, answer.message) == (IGNORED, "run 1 is over: Promoted")


@pytest.mark.parametrize("verb", IN_RUN)
def test_a_command_while_traffic_returns_is_ignored(verb: Verb) -> None:
    world = at_step(2)
    world.tell(Verb.ABORT)

    answer = world.tell(verb, actor="bob@example.com")

    assert answer.outcome is IGNORED
    assert answer.message == "run 1 is on its way back already: aborted by alice@example.com"


def test_a_command_that_cannot_be_read_is_refused_with_the_reason() -> None:
    world = at_step(2)
    problem = "spec.verb is 'Explode'; it should be Promote or Abort"
    world.waiting.append(GivenAction(name="odd", spec=None, problem=problem))

    world.settle()

    assert (world.answers["odd"].outcome, world.answers["odd"].message) == (REFUSED, problem)


@pytest.mark.parametrize("verb", [Verb.PROMOTE, Verb.RESUME])
def test_promote_and_resume_need_the_step_they_mean(verb: Verb) -> None:
    world = at_step(2)

    answer = world.tell(verb, step=None)

    assert answer.outcome is REFUSED
    assert answer.message == "names no step; the run is at step 2: set spec.step"


@pytest.mark.parametrize("verb", [Verb.PROMOTE, Verb.RESUME])
def test_promote_and_resume_of_a_step_that_has_passed_are_ignored(verb: Verb) -> None:
    world = at_step(3)

    answer = world.tell(verb, step=2)

    assert (answer.outcome, answer.message) == (IGNORED, "step 2 is not the present one (3)")
    assert world.run.step == 3


def test_promote_ends_a_hold_at_once() -> None:
    world = at_step(2)

    answer = world.tell(Verb.PROMOTE)

    assert (answer.outcome, answer.message) == (APPLIED, "step 2 ends")
    assert (world.run.step, world.percent) == (3, 25)


def test_promote_ends_a_pause() -> None:
    world = pausing()

    world.tell(Verb.PROMOTE)

    assert (world.run.step, world.percent) == (3, 60)


def test_promote_ends_an_unknown() -> None:
    world = at_step(2)
    world.says = always(UNKNOWN)
    world.after(300)

    world.tell(Verb.PROMOTE)

    assert (world.run.step, world.percent) == (3, 25)


def test_promote_ends_the_pause_of_a_person_and_the_step() -> None:
    world = at_step(2)
    world.tell(Verb.PAUSE, actor="bob@example.com")

    world.tell(Verb.PROMOTE)

    assert world.run.paused is None
    assert world.run.step == 3


def test_promote_ends_the_bake() -> None:
    world = at_step(6)

    world.tell(Verb.PROMOTE)

    assert world.phase == "Stable"


@pytest.mark.parametrize("verb", [Verb.PROMOTE, Verb.PROMOTE_FULL])
def test_nobody_promotes_past_a_failing_gate(verb: Verb) -> None:
    world = at_step(2, spec=spec_of(onFailure="Hold"))
    world.says = always(FAIL)

    answer = world.tell(verb)

    assert answer.outcome is REFUSED
    assert answer.message == "gate errors fails: errors says fail to 12 of 400 requests"
    assert (world.run.step, world.percent) == (2, 5)


@pytest.mark.parametrize("verb", [Verb.PROMOTE, Verb.PROMOTE_FULL])
def test_promote_is_ignored_when_that_very_look_takes_the_run_back(verb: Verb) -> None:
    world = at_step(2)
    world.says = always(FAIL)

    answer = world.tell(verb)

    assert answer.outcome is IGNORED
    assert answer.message.startswith("run 1 is taken back: errors says fail")
    assert world.percent == 0


@pytest.mark.parametrize("verb", [Verb.PROMOTE, Verb.PROMOTE_FULL])
def test_nobody_promotes_while_the_spec_is_suspended(verb: Verb) -> None:
    world = at_step(2)
    world.suspend(True).settle()

    answer = world.tell(verb)

    assert answer.outcome is REFUSED
    assert answer.message == "spec.suspend is true: nothing starts or increases until it is false"


def test_promote_is_refused_while_the_canary_is_not_ready() -> None:
    world = World().settle()

    answer = world.tell(Verb.PROMOTE)

    assert (answer.outcome, answer.message) == (REFUSED, "v2 is not ready to take traffic")


def test_promote_is_refused_when_something_is_missing_and_a_pause_stays() -> None:
    world = at_step(2)
    world.tell(Verb.PAUSE)
    world.ready["v2"] = 0

    answer = world.tell(Verb.PROMOTE)

    assert answer.outcome is REFUSED
    assert answer.message == "v2 has no ready endpoint; make pods with version=v2 ready"
    assert world.run.paused is not None
    assert world.run.step == 2


def test_two_promotes_of_one_step_pass_one_step_peers_92() -> None:
    world = at_step(2)
    first = world.give(Verb.PROMOTE)
    second = world.give(Verb.PROMOTE, actor="bob@example.com")

    world.settle()

    assert world.run.step == 3
    assert world.answers[first].outcome is APPLIED
    assert world.answers[second].outcome is IGNORED
    assert world.answers[second].message == "step 2 was ended by alice@example.com already"


def test_pause_keeps_the_weight_until_resume_and_is_told_once_peers_96() -> None:
    world = at_step(2)

    answer = world.tell(Verb.PAUSE, reason="looking\nat a graph.")

    assert (answer.outcome, answer.message) == (APPLIED, "stays at 5 % until resumed")
    told = len(world.happenings)
    world.after(1200)
    assert (world.run.step, world.phase) == (2, "Waiting")
    assert "paused by alice@example.com (looking at a graph) until `rollout resume" in world.message
    assert len(world.happenings) == told

    assert world.tell(Verb.RESUME).message == "goes on"
    assert world.run.step == 3


def test_who_paused_when_with_what_and_why_is_recorded_peers_93() -> None:
    world = at_step(2)

    world.tell(Verb.PAUSE, via="slack", reason="lunch")

    assert world.run.paused is not None
    assert world.run.paused.model_dump() == {
        "by": "alice@example.com",
        "via": "slack",
        "at": "2026-03-02T09:00:35.000Z",
        "reason": "lunch",
    }


def test_pause_twice_and_resume_twice_are_ignored_the_second_time() -> None:
    world = at_step(2)
    world.tell(Verb.PAUSE)

    again = world.tell(Verb.PAUSE, actor="bob@example.com")

    assert (again.outcome, again.message) == (IGNORED, "paused already by alice@example.com")
    world.tell(Verb.RESUME)
    assert world.tell(Verb.RESUME).message == "is not paused"


def test_paused_gates_go_on_judging_peers_95() -> None:
    world = at_step(2)
    world.tell(Verb.PAUSE)
    world.says = always(FAIL)

    world.settle()

    assert world.percent == 0
    assert world.run.paused is None


def test_paused_before_traffic_moves_nothing_moves() -> None:
    world = World().settle()

    answer = world.tell(Verb.PAUSE)
    world.after(600)

    assert answer.message == "stays at 0 % until resumed"
    assert world.on_stable
    world.tell(Verb.RESUME)
    assert world.percent == 1


def test_paused_in_the_bake_it_bakes_on_and_is_not_promoted_until_resumed() -> None:
    world = at_step(6)
    world.tell(Verb.PAUSE)
    assert world.phase == "Baking"

    world.after(600)

    assert world.phase == "Waiting"
    assert world.percent == 100
    world.tell(Verb.RESUME)
    assert world.phase == "Stable"


def test_pause_in_the_same_moment_as_promote_holds_the_step_that_was_reached() -> None:
    world = at_step(2)
    world.give(Verb.PROMOTE)
    name = world.give(Verb.PAUSE)

    world.settle().after(600)

    assert world.answers[name].message == "stays where it gets to until resumed"
    assert (world.run.step, world.percent) == (3, 25)
    assert world.phase == "Waiting"


def test_pause_in_the_same_moment_as_promote_of_the_bake_comes_too_late() -> None:
    world = at_step(6)
    world.give(Verb.PROMOTE)
    world.give(Verb.PAUSE)

    world.settle()

    assert world.phase == "Stable"


def test_promote_full_goes_to_100_percent_and_keeps_the_bake() -> None:
    world = at_step(1)

    answer = world.tell(Verb.PROMOTE_FULL)

    assert (answer.outcome, answer.message) == (APPLIED, "goes to 100 %; the bake follows")
    assert (world.run.step, world.percent) == (5, 100)
    world.until(Phase.STABLE)
    assert world.phases()[-3:] == ["Promoting", "Baking", "Stable"]
    assert world.ladder() == [(0, 0), (1, 1), (5, 100), (6, 100)]


def test_promote_full_while_preparing_is_remembered_until_the_canary_is_ready() -> None:
    world = World(ready={"v1": 2}).settle()

    answer = world.tell(Verb.PROMOTE_FULL)

    assert answer.outcome is APPLIED
    assert answer.message == (
        "goes to 100 %; the bake follows, as soon as this is mended: "
        "v2 has no ready endpoint; make pods with version=v2 ready"
    )
    assert world.on_stable
    world.ready["v2"] = 1
    world.settle().until_step(5)
    assert world.percent == 100


@pytest.mark.parametrize("seconds", [0, 5, 20])
def test_abort_after_promote_full_aborts_peers_67(seconds: float) -> None:
    world = World().settle()
    world.tell(Verb.PROMOTE_FULL)
    world.after(seconds)

    answer = world.tell(Verb.ABORT)

    assert answer.outcome is APPLIED
    assert world.on_stable
    world.until(Phase.ROLLED_BACK, within_seconds=10)


def test_abort_in_the_same_moment_beats_promote_full_which_is_told_so_peers_67() -> None:
    world = at_step(2)
    full = world.give(Verb.PROMOTE_FULL)
    wrong = world.give(Verb.RESUME, step=1)
    abort = world.give(Verb.ABORT, actor="bob@example.com")
    late = world.give(Verb.PAUSE)

    world.settle()

    assert world.percent == 0
    assert world.answers[abort].outcome is APPLIED
    assert world.answers[full].outcome is IGNORED
    assert world.answers[full].message == "bob@example.com aborted run 1"
    assert world.answers[wrong].message == "step 1 is not the present one (2)"
    assert world.answers[late].message == "run 1 was aborted by bob@example.com"


def test_promote_full_at_100_percent_or_twice_is_ignored() -> None:
    world = World(ready={"v1": 2}).settle()
    world.tell(Verb.PROMOTE_FULL)
    again = world.tell(Verb.PROMOTE_FULL, actor="bob@example.com")
    assert again.message == "alice@example.com has sent it to 100 % already"

    world.ready["v2"] = 1
    world.settle().until_step(5)

    again = world.tell(Verb.PROMOTE_FULL, actor="bob@example.com")
    assert again.message == "has come to 100 % already"


def test_promote_full_passes_a_pause_of_a_person_also_the_second_time() -> None:
    world = World(ready={"v1": 2}).settle()
    world.tell(Verb.PROMOTE_FULL)
    world.tell(Verb.PAUSE)
    world.ready["v2"] = 1
    world.settle().after(60)
    assert world.on_stable

    answer = world.tell(Verb.PROMOTE_FULL)

    assert answer.outcome is APPLIED
    assert world.percent == 100


def test_promote_full_passes_the_pause_of_the_same_moment() -> None:
    world = at_step(2)
    world.give(Verb.PROMOTE_FULL)
    world.give(Verb.PAUSE)

    world.settle().after(60)

    assert world.percent == 100
    assert world.phase == "Waiting"


@pytest.mark.parametrize("verb", [Verb.ABORT, Verb.PAUSE, Verb.PROMOTE_FULL])
@pytest.mark.parametrize("step", [0, 2])
def test_a_command_whose_answer_was_lost_is_answered_applied_and_acts_once_peers_91(
    verb: Verb, step: int
) -> None:
    world = at_step(step)
    name = world.give(verb)
    world.reconcile(lose="answers")
    weights = world.ladder()

    world.settle()

    assert world.answers[name].outcome is APPLIED
    assert world.answers[name].message == "is in effect already"
    assert world.ladder() == weights


def test_every_answer_and_every_recorded_reason_fits_into_a_status() -> None:
    world = at_step(2)
    name = world.give(Verb.ABORT, actor="a" * 253, reason="because " * 128)
    world.waiting.append(GivenAction(name="long", spec=None, problem="x" * 5000))

    world.settle()

    assert world.answers[name].outcome is APPLIED
    assert len(world.answers["long"].message) == MESSAGE_LENGTH_MAX
    assert world.run.ending is not None
    assert len(world.run.ending.because) == MESSAGE_LENGTH_MAX
    assert world.answers["long"].message.endswith("…")


def test_a_retry_of_the_present_run_and_an_odd_ending_are_told_in_whole_sentences() -> None:
    world = at_step(2).until(Phase.STABLE)
    world.status = world.status.model_copy(
        update={"run": world.run.model_copy(update={"ending": None})}
    )

    answer = world.tell(Verb.PAUSE)

    assert answer.message == "run 1 is over"


def test_suspended_at_100_percent_promote_ends_the_bake_since_nothing_increases() -> None:
    world = at_step(6).suspend(True)

    answer = world.tell(Verb.PROMOTE)

    assert answer.outcome == "Applied"
    assert world.phase == "Stable"
