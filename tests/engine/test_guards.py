"""Stories of a run's guard: on before any traffic, kept while it acts, off when nobody needs it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from rollout.api.action import Verb
from rollout.api.phase import Outcome, Phase
from rollout.api.traffic import Problem
from tests.world.engine_world import FAIL, World, always, spec_of

EJECTS = {"consecutive5xxErrors": 3}
POOL = {"tcp": {"maxConnections": 1}}
GUARD = {"outlierDetection": EJECTS, "connectionPool": POOL}
BROKEN = Problem(reason="BrokenManifest", message="spec.subsets is 5; make it a list")


def world(**fields: Any) -> World:
    guard = fields.pop("guard", GUARD)
    return World(spec=spec_of(guard=guard), **fields)


def on(world: World, subset: str = "v2") -> dict[str, Any]:
    return dict(world.policies.get(subset, {}))


def at_step(step: int, **fields: Any) -> World:
    return world(**fields).settle().until_step(step)


def test_the_guard_stands_and_has_settled_before_the_first_weight() -> None:
    found = world().settle()
    assert on(found) == GUARD
    assert found.percent == 0
    written_at = found.now

    found.until_step(1)

    assert (found.now - written_at).total_seconds() >= found.settle_seconds
    assert found.percent == 1


def test_what_is_ours_is_on_record_before_it_is_written() -> None:
    found = world()

    found.reconcile(lose="status")
    found.reconcile()
    recorded = found.run.guarded

    assert recorded == ("outlierDetection", "connectionPool")
    assert on(found) == {}
    found.reconcile()
    assert on(found) == GUARD


def test_a_run_without_a_guard_touches_no_rule() -> None:
    found = world(guard={}).settle().until(Phase.STABLE)

    assert all(beat.decision.guard is None for beat in found.beats)
    assert found.run.guarded == ()


@pytest.mark.parametrize("own", [{"interval": "5s"}, EJECTS])
def test_a_policy_that_the_subset_has_of_its_own_is_kept_and_told(own: dict[str, Any]) -> None:
    found = world(policies={"v2": {"outlierDetection": own}}).settle()

    assert on(found) == {"outlierDetection": own, "connectionPool": POOL}
    (note,) = found.status.notes
    assert note.reason == "GuardNotNeeded"
    assert note.message == (
        "subset v2 in DestinationRule bookinfo/reviews has outlierDetection of its own; it is "
        "kept, and that of spec.guard is not written"
    )
    found.until(Phase.STABLE)
    assert on(found) == {"outlierDetection": own}
    assert found.status.notes == ()


def test_ports_with_settings_of_their_own_are_told_to_be_unguarded() -> None:
    settings = {"portLevelSettings": [{"port": {"number": 80}}]}
    found = world(policies={"v2": dict(settings)}).settle()

    assert [note.reason for note in found.status.notes] == ["GuardPassedBy"]
    assert on(found) == {**settings, **GUARD}


def test_promoted_the_guard_comes_off_with_the_last_word() -> None:
    found = at_step(5)
    assert on(found) == GUARD

    found.until(Phase.STABLE)

    assert found.status.stable_revision == "v2"
    assert on(found) == {}


def abort(found: World) -> None:
    found.tell(Verb.ABORT)


def fail(found: World) -> None:
    found.says = always(FAIL)
    found.after(1).settle()


def supersede(found: World) -> None:
    found.want("v3").settle()


def delete(found: World) -> None:
    found.deleting = True
    found.settle()


ENDINGS: list[Callable[[World], None]] = [abort, fail, supersede, delete]


@pytest.mark.parametrize("end", ENDINGS)
def test_taken_back_traffic_leaves_first_and_settles_then_the_guard_comes_off(
    end: Callable[[World], None],
) -> None:
    found = at_step(3)

    end(found)

    assert found.percent == 0
    assert on(found) == GUARD
    found.after(found.settle_seconds)
    assert on(found) == {}
    assert found.gone or found.status.history[0].revision == "v2"


@pytest.mark.parametrize("end", [abort, supersede, delete])
def test_taken_back_before_any_traffic_the_guard_comes_off_too(
    end: Callable[[World], None],
) -> None:
    found = world().settle()
    assert on(found) == GUARD

    end(found)
    found.after(found.settle_seconds)

    assert on(found) == {}
    assert found.gone or found.status.history[0].revision == "v2"


def test_a_canary_that_had_to_be_left_keeps_its_guard_and_returns_under_it() -> None:
    found = at_step(3)
    found.ready["v2"] = 0
    found.settle()
    assert on(found) == GUARD

    found.policies.clear()
    found.settle()
    assert on(found) == {}
    found.ready["v2"] = 1
    found.settle()

    assert on(found) == GUARD
    assert found.percent == 0
    found.after(found.settle_seconds)
    assert found.percent == 25


def test_somebody_who_takes_it_off_in_mid_run_is_told_and_it_is_put_back() -> None:
    found = at_step(2)

    del found.policies["v2"]["connectionPool"]
    found.after(15)

    assert on(found) == GUARD
    (told,) = found.told("PutBack")
    assert "connectionPool of subset v2 in DestinationRule bookinfo/reviews" in told.message
    assert found.percent == 5


def test_while_it_is_off_and_cannot_be_put_back_nothing_rises() -> None:
    found = at_step(2)
    found.policies.clear()
    found.rule_refusing = True

    found.after(600)

    assert found.phase == "Blocked"
    assert found.message.startswith("stays at 5 %: DestinationRule bookinfo/reviews: frozen")
    assert found.percent == 5
    found.rule_refusing = found.rule_refused = False
    found.settle().until_step(3)
    assert on(found) == GUARD


def test_a_weight_waits_for_a_guard_that_is_put_back_at_the_same_moment() -> None:
    found = at_step(2)
    end = found.run.step_started_at + timedelta(seconds=30)
    found.after((end - found.now).total_seconds() - 0.1)
    found.policies.clear()

    found.after(0.2)

    first, *_ = [beat for beat in found.beats if beat.now == end]
    assert first.decision.status.reason == "Unguarded"
    assert first.decision.weights is not None
    assert first.decision.weights.percent == 5
    assert on(found) == GUARD
    assert found.percent == 25


def test_a_person_who_promotes_does_not_wait_for_it() -> None:
    found = at_step(2)
    found.policies.clear()

    found.tell(Verb.PROMOTE)

    assert found.percent == 25
    assert on(found) == GUARD


@pytest.mark.parametrize("end", [abort, supersede])
def test_a_guard_that_may_not_be_taken_off_delays_an_ending_for_so_long_and_is_told(
    end: Callable[[World], None],
) -> None:
    found = at_step(3)
    found.rule_refusing = True
    end(found)
    found.after(100)
    assert found.phase == "RollingBack"
    assert found.percent == 0
    assert found.message == (
        "v2 has no traffic, but its guard stays: DestinationRule bookinfo/reviews: frozen"
    )

    found.after(600)

    assert found.status.history[0].revision == "v2"
    (told,) = found.told("GuardLeft")
    assert told.message == (
        "outlierDetection and connectionPool of the guard may still be on subset v2: "
        "DestinationRule bookinfo/reviews: frozen; then remove it there"
    )


def test_a_guard_that_may_be_taken_off_at_last_comes_off_and_nothing_is_told() -> None:
    found = at_step(3)
    found.rule_refusing = True
    abort(found)
    found.after(100)

    found.rule_refusing = found.rule_refused = False
    found.settle()

    assert on(found) == {}
    assert found.status.history[0].outcome is Outcome.ABORTED
    assert found.told("GuardLeft") == []


def test_a_guard_in_a_rule_that_nobody_can_read_delays_an_ending_for_so_long() -> None:
    found = at_step(3)
    found.rule_problems, subsets, found.subsets = (BROKEN,), found.subsets, {"v1": {}}
    abort(found)
    found.after(100)
    assert found.phase == "RollingBack"

    found.rule_problems, found.subsets = (), subsets
    found.settle()

    assert found.phase == "RolledBack"
    assert on(found) == {}


@pytest.mark.parametrize("end", [abort, delete])
def test_a_rule_that_is_gone_has_taken_the_guard_with_it(end: Callable[[World], None]) -> None:
    found = at_step(3)
    found.subsets = {}
    found.policies.clear()

    end(found)
    found.after(found.settle_seconds)

    assert found.gone or found.phase == "RolledBack"
    assert found.told("GuardLeft") == []


def test_deleted_with_a_guard_that_may_not_be_taken_off_it_goes_in_the_end_with_a_warning() -> None:
    found = at_step(3)
    found.rule_refusing = True
    delete(found)
    found.after(500)
    assert not found.gone

    found.after(110)

    assert found.gone
    told = found.told("Deleted")[-1]
    assert told.type == "Warning"
    assert told.message == "let go after 600 s, though v2 still has the guard of the run"


def test_deleted_without_any_route_left_the_guard_is_taken_off_and_it_goes() -> None:
    found = at_step(3)
    found.shares = {}

    delete(found)
    found.after(found.settle_seconds)

    assert found.gone
    assert on(found) == {}


def test_a_promotion_waits_for_its_guard_for_a_while_only_and_says_what_is_in_the_way() -> None:
    found = at_step(5)
    found.rule_refusing = True

    found.after(500)

    assert found.phase == "Baking"
    assert found.status.reason == "GuardStays"
    assert found.percent == 100
    assert found.run.ended_at is None

    found.until(Phase.STABLE, within_seconds=300)

    assert found.status.stable_revision == "v2"
    assert len(found.told("GuardLeft")) == 1
