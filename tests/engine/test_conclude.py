"""Conditions as Kubernetes tools read them, Events, and the words of times and shares."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from rollout.api.action import Verb
from rollout.api.phase import ConditionType, Phase
from rollout.api.traffic import Note
from rollout.engine.conclude import calendar_time, clock_time, in_line, percent
from tests.world.engine_world import MORNING, World, at_step, passes_after, spec_of


def true_conditions(world: World) -> list[str]:
    return [condition.type for condition in world.status.conditions if condition.status == "True"]


def test_in_a_run_it_is_reconciling_and_not_ready() -> None:
    world = at_step(2).after(16)

    assert true_conditions(world) == ["Reconciling", "TrafficMatches", "MetricsAvailable"]
    ready = world.condition("Ready")
    assert ready is not None
    assert (ready["status"], ready["message"]) == ("False", world.message)


def test_stable_it_is_ready_and_nothing_else() -> None:
    world = at_step(2).until(Phase.STABLE)

    assert true_conditions(world) == ["Ready", "TrafficMatches"]
    assert world.condition("Reconciling") is None
    assert world.condition("Stalled") is None
    assert world.condition("MetricsAvailable") is None


def test_rolled_back_it_is_stalled() -> None:
    world = at_step(2)
    world.tell(Verb.ABORT)

    world.until(Phase.ROLLED_BACK)

    assert true_conditions(world) == ["Stalled", "TrafficMatches"]


def test_an_invalid_spec_is_stalled() -> None:
    world = World(spec=None, spec_problem="spec.host is missing; add it", revision="v2").settle()

    assert true_conditions(world) == ["Stalled"]


def test_blocked_at_rest_is_stalled_and_blocked_in_a_run_is_reconciling() -> None:
    split = World(shares={"v1": Fraction(1, 2), "v2": Fraction(1, 2)}).settle()
    gone = at_step(3)
    gone.ready["v2"] = 0
    gone.settle()

    assert true_conditions(split) == ["Stalled"]
    assert true_conditions(gone)[0] == "Reconciling"


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    world = at_step(1)
    first = world.status.conditions[0]

    world.until_step(4)

    (ready, *_) = world.status.conditions
    assert ready.type is ConditionType.READY
    assert ready.last_transition_time == first.last_transition_time == MORNING
    assert ready.message != first.message

    world.until(Phase.STABLE)
    assert world.status.conditions[0].last_transition_time == world.run.ended_at


def test_conditions_speak_of_the_generation_that_was_seen() -> None:
    world = at_step(2)

    world.edit(spec_of(judge={"minRequests": 7})).settle()

    assert {condition.observed_generation for condition in world.status.conditions} == {2}


def test_bad_news_is_a_warning_and_good_news_is_not() -> None:
    world = at_step(2, says=passes_after(4))
    world.ready["v2"] = 0
    world.settle()
    world.ready["v2"] = 1
    world.settle().until(Phase.STABLE)

    kinds = {happening.reason: happening.type for happening in world.happenings}

    assert kinds == {
        "Started": "Normal",
        "Settling": "Normal",
        "StepBegan": "Normal",
        "NoReadyEndpoints": "Warning",
        "Promoted": "Normal",
    }


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        (MORNING + timedelta(hours=14), "23:00:00 UTC"),
        (MORNING + timedelta(hours=15), "2026-03-03 00:00 UTC"),
        (MORNING - timedelta(days=1), "2026-03-01 09:00 UTC"),
    ],
)
def test_a_time_has_a_date_unless_it_is_today(moment: datetime, told: str) -> None:
    assert clock_time(moment, now=MORNING) == told


def test_calendar_times_always_have_their_date() -> None:
    assert calendar_time(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02 03:04 UTC"


def test_shares_are_told_without_needless_digits() -> None:
    assert percent(Fraction(100, 3)) == "33.3 %"
    assert percent(5.0) == "5 %"


def test_what_a_person_wrote_stands_within_one_line() -> None:
    assert in_line(" too\n slow.\t ") == "too slow"
    assert in_line("\n") == ""
    assert in_line("why?") == "why?"


FAULT = Note(reason="FaultInjected", message="http route primary injects faults")


def test_what_is_worth_knowing_stands_in_the_status_while_the_run_goes_on() -> None:
    world = at_step(2)
    world.route_notes = (FAULT,)

    world.reconcile()

    assert [(note.reason, note.message) for note in world.status.notes] == [
        ("FaultInjected", "http route primary injects faults")
    ]
    world.until(Phase.STABLE)
    assert world.status.notes == ()


def test_it_is_told_once() -> None:
    world = at_step(2)
    world.route_notes = (FAULT,)

    world.reconcile()
    world.after(seconds=1)

    assert [told.reason for told in world.happenings].count("FaultInjected") == 1


def test_notes_have_a_limit() -> None:
    world = at_step(2)
    world.route_notes = tuple(Note(reason="FaultInjected", message=f"{n}") for n in range(20))

    world.reconcile()

    assert len(world.status.notes) == 8
