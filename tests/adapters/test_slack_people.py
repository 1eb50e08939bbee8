"""Who somebody is: members of our own organisation have an e-mail and groups, others have not."""

from __future__ import annotations

import pytest

from rollout.api.chat import Member, Standing
from rollout.base.errors import ChatRefused, Unreachable
from tests.people.chats import Hands, chatting
from tests.people.slackworld import BOT_TOKEN, Fault, User, serving


async def test_a_member_has_an_email_and_those_of_the_groups_that_were_asked_for() -> None:
    async with serving() as slack, chatting(slack) as chat:
        slack.world.groups["S0OTHERS"] = ["U0BOB"]
        found = await chat.who("U0ALICE", groups=["S0MANAGERS", "S0OTHERS", "S0GONE"])

    assert found == Member(
        id="U0ALICE",
        name="alice",
        email="alice@example.com",
        standing=Standing.MEMBER,
        groups=frozenset({"S0MANAGERS"}),
    )


@pytest.mark.parametrize(
    ("user", "standing"),
    [
        ("U0GUEST", Standing.GUEST),
        ("U0GONE", Standing.DELETED),
        ("U0ROBOT", Standing.BOT),
        ("U0OTHER", Standing.STRANGER),
        ("W0CAROL", Standing.STRANGER),
    ],
)
async def test_whoever_is_no_member_has_no_email(user: str, standing: Standing) -> None:
    async with serving() as slack, chatting(slack) as chat:
        found = await chat.who(user)

    assert (found.standing, found.email) == (standing, "")


async def test_a_member_of_another_workspace_of_the_same_organisation_is_one() -> None:
    async with serving() as slack, chatting(slack) as chat:
        slack.world.enterprise = "E0ACME"
        found = await chat.who("W0CAROL")

    assert (found.standing, found.email) == (Standing.MEMBER, "carol@example.com")


async def test_an_email_that_nobody_has_confirmed_is_none() -> None:
    async with serving() as slack, chatting(slack) as chat:
        slack.world.add(User("U0NEW", "new", "ceo@example.com", email_confirmed=False))
        found = await chat.who("U0NEW")

    assert (found.standing, found.email) == (Standing.MEMBER, "")


async def test_without_the_scope_there_is_no_email() -> None:
    async with serving() as slack, chatting(slack) as chat:
        slack.world.tokens[BOT_TOKEN].scopes.remove("users:read.email")

        assert (await chat.who("U0ALICE")).email == ""


async def test_what_is_known_is_a_minute_old_at_most() -> None:
    clock = Hands()
    async with serving() as slack, chatting(slack, clock=clock) as chat:
        await chat.who("U0ALICE", groups=["S0MANAGERS"])
        slack.world.groups["S0MANAGERS"] = []
        clock.ahead_seconds += 50
        remembered = await chat.who("U0ALICE", groups=["S0MANAGERS"])
        clock.ahead_seconds += 11
        fresh = await chat.who("U0ALICE", groups=["S0MANAGERS"])

    assert remembered.groups == {"S0MANAGERS"}
    assert fresh.groups == frozenset()
    assert len(slack.world.called("usergroups.users.list")) == 2


async def test_where_slack_does_not_say_nobody_knows() -> None:
    clock = Hands()
    async with serving() as slack, chatting(slack, clock=clock) as chat:
        await chat.who("U0ALICE", groups=["S0MANAGERS"])
        clock.ahead_seconds += 61
        slack.faults.plan("usergroups.users.list", Fault.HTML_503)
        with pytest.raises(Unreachable):
            await chat.who("U0ALICE", groups=["S0MANAGERS"])
        slack.world.usergroups_on_plan = False
        with pytest.raises(ChatRefused, match="name members instead"):
            await chat.who("U0ALICE", groups=["S0MANAGERS"])


async def test_a_member_that_is_not_there_is_refused() -> None:
    async with serving() as slack, chatting(slack) as chat:
        with pytest.raises(ChatRefused, match="user_not_found"):
            await chat.who("U0NOBODY")
