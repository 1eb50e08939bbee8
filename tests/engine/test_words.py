"""Parts of sentences about a run: what the canary gets, in which step, and whom it waits for."""

from __future__ import annotations

from rollout.api.match import Match, TextMatch
from rollout.engine import words
from tests.world.engine_world import at_step, spec_of


def test_the_share_and_the_step() -> None:
    run = at_step(2).run

    assert words.share(run) == "5 % of reviews goes to v2"
    assert words.where(run) == "(step 2 of 5)"


def test_after_the_last_step_there_is_no_number_to_tell() -> None:
    world = at_step(6)

    assert words.where(world.run) == "(all steps done)"


def test_a_match_is_told_by_the_names_of_what_it_compares() -> None:
    match = Match(headers={"x-canary": TextMatch(exact="always")}, cookies={})

    assert words.match_text(match) == "header x-canary"


def test_many_approvers_are_told_as_some_and_how_many_more() -> None:
    users = [f"user{number}" for number in range(8)]
    steps = [{"weight": 5}, {"approval": {"approvers": {"users": users}, "expiresAfter": "10m"}}]
    world = at_step(2, spec=spec_of(strategy={"steps": steps}))

    told = words.approval(world.observe(), world.run)

    assert "user0, user1, user2, user3, user4 or one of 3 more; goes back at " in told
    assert told.endswith(": `rollout approve reviews`")
