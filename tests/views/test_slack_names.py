"""Names of Slack's in a sentence become mentions, of those the run itself names and nobody else."""

from __future__ import annotations

import pytest

from rollout.api.status import Run
from rollout.views.slack_names import named
from tests.people.runs import LUNCH, STATES


def run_of(name: str) -> Run:
    run = STATES[name].run
    assert run is not None
    return run


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "by Slack user U0ALICE or Slack group S0MANAGERS",
            "by <@U0ALICE> or <!subteam^S0MANAGERS>",
        ),
        ("by Slack user U0EVE", "by Slack user U0EVE"),
        ("Slack group S0EVERYBODY, look", "Slack group S0EVERYBODY, look"),
        ("slack:U0BOB approved & went", "<@U0BOB> approved &amp; went"),
        ("slack:U0EVE said", "slack:U0EVE said"),
        ("<!channel> slack:U0ALICE", "&lt;!channel&gt; <@U0ALICE>"),
    ],
)
def test_approvers_and_those_who_have_spoken_are_mentioned(text: str, shown: str) -> None:
    assert named(text, run_of("approved"), length_max=500) == shown


def test_whose_doing_it_is_is_mentioned_without_a_run_too() -> None:
    assert named("slack:U0EVE said", None, length_max=500, by="slack:U0EVE") == "<@U0EVE> said"
    assert named("slack:U0EVE said", None, length_max=500, by="a@b.c") == "slack:U0EVE said"


@pytest.mark.parametrize("field", ["paused", "promoted_full"])
def test_whoever_commanded_the_run_is_mentioned(field: str) -> None:
    bare = run_of("preparing").model_copy(update={field: LUNCH})
    plan = bare.plan.model_copy(update={"strategy": type(bare.plan.strategy)()})
    run = bare.model_copy(update={"plan": plan})

    assert named("slack:U0BOB", run, length_max=500) == "<@U0BOB>"
    assert named("slack:U0ALICE", run, length_max=500) == "slack:U0ALICE"


def test_whoever_ended_the_run_is_mentioned() -> None:
    run = run_of("rejected").model_copy(update={"approvals": ()})

    assert named("slack:U0BOB", run, length_max=500) == "<@U0BOB>"


def test_a_name_that_is_cut_is_no_mention() -> None:
    assert named("by Slack user U0ALICE", run_of("approved"), length_max=18) == "by Slack user U0A…"
