"""Steps that match and mirror, and guards on routes: what stands in front of the owned routes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rollout.api.action import Verb
from rollout.api.guard import Retries
from rollout.api.match import Match, TextMatch
from rollout.api.phase import Phase
from rollout.engine import plan as plans
from tests.world.engine_world import FAIL, PASS, World, always, spec_of

CANARY = {"headers": {"x-canary": {"exact": "always"}}}
MATCH = Match(headers={"x-canary": TextMatch(exact="always")})
STEPS: list[dict[str, Any]] = [
    {"mirror": 10, "hold": "30s"},
    {"pause": {"for": "10s"}},
    {"match": CANARY, "hold": "30s"},
    {"weight": 5, "hold": "30s"},
    {"match": {}},
    {"weight": 50, "hold": "30s"},
]


def world(**fields: Any) -> World:
    strategy = {"steps": STEPS, "bake": "20s", "maxDuration": "1h"}
    found = World(spec=spec_of(revision="v1", strategy=strategy, **fields), says=always(PASS))
    return found.settle().want("v2").settle()


def at(world: World) -> tuple[float, Match | None, float]:
    """Weight, match and percent of copies as the last decision wants them."""
    wanted = world.beats[-1].decision.weights
    assert wanted is not None
    return wanted.percent, wanted.managed.match, wanted.managed.mirror_percent


def test_a_match_stands_beside_the_weights_until_it_is_ended_and_copies_until_the_next_weight() -> (
    None
):
    run = world()
    seen = []
    for step in range(1, 8):
        run.until_step(step)
        seen.append(at(run))

    assert seen == [
        (0, None, 10),
        (0, None, 10),
        (0, MATCH, 10),
        (5, MATCH, 0),
        (5, None, 0),
        (50, None, 0),
        (100, None, 0),
    ]


def test_nothing_stands_before_the_first_step_and_after_the_last() -> None:
    run = world()
    before = run.beats[-1].decision.weights
    assert before is not None
    assert not before.managed.copies

    run.until(Phase.STABLE)

    assert run.status.stable_revision == "v2"
    assert run.managed is not None
    assert (run.managed.match, run.managed.copies) == (None, False)


@pytest.mark.parametrize("step", [1, 3, 4])
def test_an_abort_takes_managed_routes_away_with_the_weights_and_ends_when_they_are_gone(
    step: int,
) -> None:
    run = world()
    run.until_step(step)

    run.give(Verb.ABORT)
    run.reconcile()

    assert at(run) == (0, None, 0)
    assert run.phase == Phase.ROLLING_BACK
    run.until(Phase.ROLLED_BACK)
    assert not run.observe().routing.managed


def test_a_way_back_is_not_over_while_a_managed_route_stands() -> None:
    run = world()
    run.until_step(3)
    run.refusing = True

    run.give(Verb.ABORT)
    run.reconcile()
    run.after(600)

    assert run.phase == Phase.ROLLING_BACK


def test_the_sentence_says_what_goes_to_the_canary_beside_the_weight() -> None:
    run = world()

    run.until_step(3)

    assert run.message.startswith(
        "0 % of reviews goes to v2, and what matches header x-canary, and copies of 10 % (step 3 "
    )
    assert "; 5 % at" in run.message


@pytest.mark.parametrize(
    ("step", "coming"), [(1, "a pause"), (2, "a match"), (3, "5 %"), (4, "the end of the match")]
)
def test_the_sentence_says_what_comes_next(step: int, coming: str) -> None:
    run = world()

    run.until_step(step)

    assert f"; {coming} at" in run.message


def test_gates_are_waited_for_in_a_step_that_matches_or_mirrors() -> None:
    run = world()
    run.says = always(FAIL)

    run.until(Phase.ROLLED_BACK)

    assert run.status.history[0].max_weight == 0


def test_managed_routes_that_somebody_removed_are_told_and_wanted_again() -> None:
    run = world()
    run.until_step(3)

    run.managed = None
    run.reconcile()

    assert [one.reason for one in run.happenings].count("PutBack") == 1
    assert at(run) == (0, MATCH, 10)
    condition = run.condition("TrafficMatches")
    assert condition is not None
    assert "somebody else had removed the managed routes" in condition["message"]


def test_a_canary_without_endpoints_has_no_managed_route_until_it_is_back() -> None:
    run = world()
    run.until_step(3)

    run.ready["v2"] = 0
    run.reconcile()
    away = at(run)
    run.ready["v2"] = 2
    run.after(30)

    assert away == (0, None, 0)
    assert at(run)[1] == MATCH
    assert run.run.step == 3


def test_a_match_is_not_taken_back_to_a_stable_revision_that_cannot_answer() -> None:
    run = world()
    run.until_step(3)
    run.ready["v1"] = 0
    run.says = always(FAIL)

    run.after(20)

    assert run.phase == Phase.BLOCKED
    assert at(run)[1] == MATCH


def test_guards_of_routes_stand_through_the_whole_run() -> None:
    run = world(guard={"timeout": "2s", "retries": {"attempts": 3, "retryOn": "5xx"}})

    for step in (1, 5, 7):
        run.until_step(step)
        wanted = run.beats[-1].decision.weights
        assert wanted is not None
        assert wanted.managed.timeout == "2s"
        assert wanted.managed.retries == Retries(attempts=3, retry_on="5xx")
    run.until(Phase.STABLE)

    assert run.managed is not None
    assert not run.managed.copies


def test_time_without_the_managed_routes_of_a_step_does_not_count_for_it() -> None:
    run = world()
    run.until_step(3)
    began = run.run.step_started_at
    run.managed, run.subsets, run.refusing = None, {}, True
    run.settle()

    run.after(20)
    run.refusing = False
    run.subsets = {name: {"version": name} for name in ("v1", "v2", "v3")}
    run.settle()

    assert run.run.step == 3
    assert run.run.step_started_at >= began + timedelta(seconds=15)


def test_a_managed_route_at_rest_is_told_and_left_alone() -> None:
    run = World(says=always(PASS), spec=spec_of(revision="v1")).settle()
    run.managed = plans.managed_at(world().run.plan, 3, owner="bookinfo/reviews")

    run.reconcile()

    assert run.phase == Phase.STABLE
    assert "rollout.dev/match, which somebody has put there while no run is on" in run.message
    condition = run.condition("TrafficMatches")
    assert condition is not None
    assert condition["reason"] == "ManagedRouteLeft"


def test_what_routes_must_be_fit_for_is_known_before_the_run() -> None:
    ever = plans.managed_ever(spec_of(strategy={"steps": STEPS}), owner="bookinfo/reviews")

    assert [(one.match, one.mirror_percent) for one in ever] == [
        (None, 10),
        (MATCH, 10),
        (MATCH, 0),
    ]
    assert plans.managed_ever(spec_of(), owner="bookinfo/reviews") == ()
