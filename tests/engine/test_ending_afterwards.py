"""What a run that goes back leaves behind, and what follows it at once."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

from rollout.api.action import Verb
from rollout.engine.decision import Decision
from tests.world.engine_world import World, at_step, spec_of


def aborted() -> World:
    world = at_step(3)
    world.tell(Verb.ABORT)
    return world


def closing(world: World) -> Decision:
    """The decision that closes the run."""
    world.settle()
    assert world.look_again_at is not None
    world.now = world.look_again_at
    return world.reconcile()


def test_a_closed_run_is_not_looked_at_again() -> None:
    assert closing(aborted()).look_again_at is None


def test_another_revision_is_looked_at_as_soon_as_the_run_is_closed() -> None:
    world = aborted().want("v3")

    assert closing(world).look_again_at == world.now


def test_a_broken_spec_is_looked_at_as_soon_as_the_run_is_closed() -> None:
    world = aborted().edit(None, problem="spec.host is missing; add it")

    assert closing(world).look_again_at == world.now


def test_a_superseded_revision_that_is_wanted_again_runs_again() -> None:
    world = at_step(3).want("v3").settle()
    world.want("v2").settle()

    world.after(8)

    assert world.status.history[0].outcome == "Superseded"
    assert (world.run.id, world.run.canary_revision) == ("2", "v2")


def test_our_finalizer_is_put_on_again_while_traffic_returns() -> None:
    world = aborted()
    world.finalized = False

    world.settle()

    assert world.finalized
    world.after(10)
    assert not world.finalized


def test_traffic_that_was_already_moved_back_still_gets_its_phase() -> None:
    world = World(spec=spec_of(), settle_seconds=0)
    world.settle().until_step(2)
    world.shares = {"v1": Fraction(1), "v2": Fraction(0)}
    world.give(Verb.ABORT)

    decision = world.reconcile()

    assert decision.status.phase == "RollingBack"


def test_traffic_that_somebody_moves_after_a_rollback_is_not_said_to_be_on_stable() -> None:
    world = aborted().after(10)
    world.shares = {"v1": Fraction(0), "v2": Fraction(1)}

    world.settle()

    assert world.phase == "RolledBack"
    assert world.message == (
        "v2 was taken back: aborted by alice@example.com; but traffic was moved by somebody else: "
        "v2 100 %; it is left alone"
    )


def test_who_saw_that_all_traffic_is_back_stays_known_at_rest_until_somebody_moves_it() -> None:
    world = aborted().after(10)
    at_the_end = world.condition("TrafficMatches")

    world.now += timedelta(hours=1)
    writes = world.writes
    world.settle()

    assert at_the_end is not None
    assert at_the_end["reason"] == "Settled"
    assert world.condition("TrafficMatches") == at_the_end
    assert world.writes == writes

    world.shares = {"v1": Fraction(0), "v2": Fraction(1)}
    world.settle()
    world.shares = {"v1": Fraction(1), "v2": Fraction(0)}
    world.settle()

    found = world.condition("TrafficMatches")
    assert found is not None
    assert found["reason"] == "AllOnStable"
