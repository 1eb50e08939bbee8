"""Stories of Rollouts that are deleted, at rest and in mid-run."""

from __future__ import annotations

import pytest

from rollout.api.action import Verb
from rollout.api.phase import Phase
from tests.world.engine_world import World, at_step, spec_of


def at_rest() -> World:
    """A service whose stable revision v1 is wanted."""
    return World(spec=spec_of(revision="v1")).settle()


def test_deleted_at_rest_nothing_is_touched_and_nothing_keeps_it_peers_140() -> None:
    world = World().settle().until(Phase.STABLE)
    shares = dict(world.shares or {})
    world.deleting = True

    world.settle()

    assert world.gone
    assert world.shares == shares


@pytest.mark.parametrize("step", [0, 1, 4, 5, 6])
def test_deleted_in_mid_run_traffic_returns_before_it_is_let_go_peers_140(step: int) -> None:
    world = at_step(step)
    world.deleting = True

    world.settle()
    assert world.on_stable
    world.after(5)

    assert world.gone
    assert world.told("Deleted")[-1].message == "let go: all of reviews is on v1"


def test_deleted_while_it_rolls_back_the_rollback_is_finished_first() -> None:
    world = at_step(3)
    world.tell(Verb.ABORT)
    world.after(2)
    world.deleting = True
    name = world.give(Verb.PROMOTE)

    world.settle()
    assert not world.gone
    world.after(3)

    assert world.gone
    assert world.answers[name].message == "Rollout reviews is being deleted"


def test_deleted_without_any_route_left_it_goes_at_once() -> None:
    world = at_step(3)
    world.shares = {}
    world.deleting = True

    world.settle()

    assert world.gone
    assert world.told("Deleted")[-1].message == "let go: no traffic is ours"


def test_deleted_with_routes_that_refuse_every_write_it_goes_in_the_end_with_a_warning() -> None:
    world = at_step(3)
    world.refusing = True
    world.deleting = True

    world.settle().after(599)
    assert not world.gone
    world.after(10)

    assert world.gone
    told = world.told("Deleted")[-1]
    assert told.type == "Warning"
    assert told.message == "let go after 600 s, though v2 still has traffic"


def test_deleted_without_our_finalizer_nothing_is_told() -> None:
    world = at_rest()
    world.deleting = True

    world.settle()

    assert world.gone
    assert world.told("Deleted") == []
