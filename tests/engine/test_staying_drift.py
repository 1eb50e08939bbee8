"""Stories of weights that somebody else changes in mid-run."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

from rollout.api.action import Verb
from rollout.api.traffic import Problem
from tests.world.engine_world import at_step


def test_weights_that_somebody_changes_in_mid_run_are_put_back_and_told_once_peers_21() -> None:
    world = at_step(3)
    world.shares = {"v1": Fraction(1, 10), "v2": Fraction(9, 10)}

    world.reconcile()

    told = (
        "somebody else had set the weight of v2 to 90 %; it was put back to 25 % at "
        "2026-03-02 09:01 UTC"
    )
    assert world.percent == 25
    assert world.condition("TrafficMatches") == {
        "status": "True",
        "reason": "PutBack",
        "message": told,
    }
    assert [happening.message for happening in world.told("PutBack")] == [told]
    assert world.told("PutBack")[0].type == "Warning"

    world.settle().after(10)
    assert len(world.told("PutBack")) == 1
    assert world.run.step == 3
    assert world.run.id == "1"


def test_weights_that_cannot_be_put_back_are_not_said_to_have_been() -> None:
    world = at_step(3)
    world.shares = {"v1": Fraction(1, 10), "v2": Fraction(9, 10)}
    world.route_problems = (Problem(reason="WriteDenied", message="admission webhook says no"),)

    world.settle().after(60)

    assert world.condition("TrafficMatches") == {
        "status": "False",
        "reason": "Moved",
        "message": "somebody else had set the weight of v2 to 90 %; it is put back when routes can "
        "be written",
    }
    assert world.told("PutBack") == []
    assert len(world.told("WriteDenied")) == 1


def test_weights_that_stay_moved_are_told_once_and_not_at_every_look() -> None:
    world = at_step(3)
    world.shares = {"v1": Fraction(1, 10), "v2": Fraction(9, 10)}
    world.refusing = True

    world.settle().after(20)

    assert len(world.told("PutBack")) == 1


def test_weights_that_somebody_changes_in_the_very_last_moment_are_put_right() -> None:
    world = at_step(6)
    world.now = world.run.step_started_at + timedelta(seconds=60)
    world.shares = {"v1": Fraction(1, 2), "v2": Fraction(1, 2)}

    world.settle()

    assert world.phase == "Stable"
    assert world.percent == 100


def test_a_route_with_a_foreign_share_counts_by_the_pair_alone_peers_12() -> None:
    world = at_step(3)
    world.shares = {"v1": Fraction(3, 5), "v2": Fraction(1, 5), "old": Fraction(1, 5)}

    world.settle()

    assert world.told("PutBack") == []
    assert world.shares["old"] == Fraction(1, 5)


def test_routes_of_which_nobody_knows_whether_they_are_meant_get_nothing_of_the_canary() -> None:
    world = at_step(3)
    told = "host reviews is routed by other, reviews; name there which of them to shift"
    world.route_problems = (Problem(reason="AmbiguousRoutes", message=told),)

    held = world.reconcile()

    assert held.weights is None
    assert held.status.phase == "Blocked"

    world.tell(Verb.ABORT)
    back = world.reconcile()

    assert back.weights is not None
    assert back.weights.percent == 0
