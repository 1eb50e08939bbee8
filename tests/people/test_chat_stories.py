"""A gray release as people see it in Slack, in simulated time: what is told and what is pressed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from rollout.api.chat import Member, Standing
from rollout.api.meta import ROLLOUT, ROLLOUT_ACTION, Manifest
from rollout.base.errors import Overloaded, RolloutError, Uncertain, Unreachable
from rollout.controller.correspondence import Outlets
from tests.stories import gray
from tests.stories.gray import Story
from tests.world.chat import FakeChat, Shown

pytestmark = pytest.mark.looptime(noop_cycles=1)

ALICE, BOB = "U0ALICE", "U0BOB"

SHORT: dict[str, Any] = {
    "steps": [{"weight": 5, "hold": "10s"}, {"weight": 50, "hold": "10s"}, {"weight": 100}],
    "bake": "5s",
    "maxDuration": "12h",
}
ASKING: dict[str, Any] = {
    "steps": [
        {"weight": 5, "hold": "10s"},
        {"approval": {"approvers": {"users": ["alice@example.com"], "slackUsers": [BOB]}}},
        {"weight": 100},
    ],
    "bake": "5s",
    "maxDuration": "12h",
}


def rollout(strategy: dict[str, Any] = SHORT, **spec: Any) -> Manifest:
    return gray.rollout(strategy=strategy, notify={"slack": {"channel": "#deploys"}}, **spec)


@dataclass(kw_only=True)
class Office:
    """A story, and the chat in which people follow it."""

    story: Story
    chat: FakeChat

    def head(self) -> Shown:
        """The head of the newest thread."""
        return self.chat.heads()[-1]

    def replies(self) -> list[str]:
        """What the newest thread says, in the order in which it was told."""
        return [one.message.text for one in self.chat.thread(self.head().spot)]

    def whispered(self, member: str) -> list[str]:
        return [message.text for who, message in self.chat.whispers if who == member]


def office(manifest: Manifest) -> Office:
    story = gray.furnished(manifest)
    chat = FakeChat(story.clock)
    chat.members[ALICE] = Member(
        id=ALICE, name="alice", email="alice@example.com", standing=Standing.MEMBER
    )
    return Office(story=story, chat=chat)


@asynccontextmanager
async def working(place: Office) -> AsyncIterator[None]:
    outlets = Outlets(chat=place.chat, pressable=True, has_socket=True)
    async with gray.running(gray.controller(place.story, outlets=outlets).run):
        yield


@asynccontextmanager
async def told(manifest: Manifest) -> AsyncIterator[Office]:
    place = office(manifest)
    async with working(place):
        await place.story.stable()
        yield place


async def at_approval(place: Office) -> None:
    place.story.want("v2")
    await place.story.until_step(2, within_seconds=60)
    await asyncio.sleep(5)


def words(replies: list[str]) -> list[str]:
    """The first word or two of each, which say what happened."""
    return [reply.split(":", 1)[0] for reply in replies]


async def test_a_release_has_one_thread_with_each_thing_told_once_and_a_head_that_ends_well() -> (
    None
):
    async with told(rollout()) as place:
        place.story.want("v2")
        await place.story.stable("v2", within_seconds=120)
        await asyncio.sleep(5)

        assert len(place.chat.heads()) == 1
        assert words(place.replies()) == ["Started", *["Next step"] * 4, "Promoted"]
        assert "promoted" in place.head().message.text
        assert place.story.status().outbox == ()
        assert place.story.status().slack is not None
        assert len(place.head().versions) > 3


async def test_a_rollback_tells_why_and_the_head_says_what_can_be_done() -> None:
    async with told(rollout()) as place:
        place.story.want("v2")
        await place.story.until_step(2, within_seconds=60)
        place.story.fail("v2", 50)
        await place.story.until_phase("RolledBack", within_seconds=60)
        await asyncio.sleep(5)

        assert words(place.replies())[-2:] == ["Rolling back", "Rolled back"]
        assert any("errors" in reply for reply in place.replies()[-2:])
        assert place.head().button("rollout.retry")


async def test_an_approver_presses_approve_and_the_run_goes_on_in_their_name() -> None:
    async with told(rollout(ASKING)) as place:
        await at_approval(place)
        assert "waits for approval" in place.head().message.text

        assert await place.chat.press(place.head(), "rollout.approve", member=ALICE)
        await place.story.stable("v2", within_seconds=60)
        await asyncio.sleep(5)

        (decided,) = place.story.run().approvals
        assert (decided.by, decided.via) == ("alice@example.com", "slack")
        assert any("alice@example.com approved step 2 (slack)" in r for r in place.replies())
        assert "✓" in place.whispered(ALICE)[0]


async def test_who_is_named_by_slack_alone_may_approve_too() -> None:
    async with told(rollout(ASKING)) as place:
        await at_approval(place)

        assert await place.chat.press(place.head(), "rollout.approve", member=BOB)
        await place.story.stable("v2", within_seconds=60)

        assert place.story.run().approvals[0].by == f"slack:{BOB}"


async def test_a_stranger_who_presses_is_told_who_may_and_it_is_on_record() -> None:
    async with told(rollout(ASKING)) as place:
        await at_approval(place)

        assert await place.chat.press(place.head(), "rollout.approve", member="U0EVE")
        await asyncio.sleep(2)

        assert place.story.run().step == 2
        assert place.story.run().approvals == ()
        (told_alone,) = place.whispered("U0EVE")
        assert "none of the approvers of step 2" in told_alone
        (action,) = place.story.cluster.everything(ROLLOUT_ACTION).values()
        assert action["spec"]["actor"] == "slack:U0EVE"
        assert action["status"]["outcome"] == "Refused"


@pytest.mark.parametrize("standing", [Standing.GUEST, Standing.STRANGER, Standing.DELETED])
async def test_who_is_no_member_may_nothing(standing: Standing) -> None:
    async with told(rollout(ASKING)) as place:
        await at_approval(place)
        place.chat.members[BOB] = Member(id=BOB, name="bob", email="", standing=standing)

        await place.chat.press(place.head(), "rollout.approve", member=BOB)
        await asyncio.sleep(2)

        assert place.story.run().approvals == ()
        assert place.whispered(BOB)


async def test_an_abort_asks_why_and_takes_all_traffic_back() -> None:
    async with told(rollout()) as place:
        place.story.cluster.rights.add(("alice@example.com", "abort", gray.KEY))
        place.story.want("v2")
        await place.story.until_step(2, within_seconds=60)
        await asyncio.sleep(4)
        head = place.head()

        assert await place.chat.press(head, "rollout.abort", member=ALICE)
        ((_, dialog),) = place.chat.dialogs
        assert place.story.run().ending is None
        value = head.button("rollout.abort")
        assert await place.chat.submit(dialog, "it smells", member=ALICE, value=value)
        await place.story.until_phase("RolledBack", within_seconds=30)

        ending = place.story.run().ending
        assert ending is not None
        assert ending.because == "aborted by alice@example.com: it smells"


async def test_a_right_that_the_cluster_does_not_give_is_none_in_slack_either() -> None:
    async with told(rollout()) as place:
        place.story.want("v2")
        await place.story.until_step(1, within_seconds=60)
        await asyncio.sleep(4)

        await place.chat.press(place.head(), "rollout.pause", member=ALICE)
        await place.chat.press(place.head(), "rollout.pause", member=BOB)
        await asyncio.sleep(2)

        assert place.story.run().paused is None
        assert "alice@example.com has no right to promote" in place.whispered(ALICE)[0]
        assert "does not tell your e-mail address" in place.whispered(BOB)[0]


async def test_a_button_of_an_older_step_says_so_and_does_nothing() -> None:
    async with told(rollout(ASKING)) as place:
        await at_approval(place)
        head = place.head()
        value = head.button("rollout.approve")
        await place.chat.press(head, "rollout.approve", member=ALICE)
        await place.story.until_step(3, within_seconds=30)

        await place.chat.press(head, "rollout.approve", member=BOB, value=value)
        await asyncio.sleep(1)

        assert "is over" in place.whispered(BOB)[0]
        assert len(place.story.run().approvals) == 1


async def test_a_press_that_comes_twice_is_one_command() -> None:
    async with told(rollout(ASKING)) as place:
        await at_approval(place)
        head = place.head()
        value = head.button("rollout.approve")

        await asyncio.gather(
            place.chat.press(head, "rollout.approve", member=ALICE, value=value),
            place.chat.press(head, "rollout.approve", member=ALICE, value=value),
        )
        await place.story.stable("v2", within_seconds=60)

        assert len(place.story.run().approvals) == 1


async def test_slack_down_for_an_hour_loses_nothing_and_delays_no_one() -> None:
    async with told(rollout()) as place:
        down = Unreachable("Slack", why="connection refused")
        place.chat.fail("post", down, times=100_000)
        place.chat.fail("update", down, times=100_000)
        place.story.want("v2")
        await place.story.stable("v2", within_seconds=60)
        took = place.story.status().history[0]
        await asyncio.sleep(3600)
        assert place.chat.heads() == []

        place.chat.mend()
        await asyncio.sleep(120)

        assert (took.ended_at - took.started_at).total_seconds() < 40
        assert words(place.replies()) == ["Started", *["Next step"] * 4, "Promoted"]
        assert place.story.status().outbox == ()


ERRORS: dict[str, RolloutError] = {
    "unreachable": Unreachable("Slack", why="refused"),
    "overloaded": Overloaded("Slack", retry_after_seconds=7),
    "uncertain": Uncertain("Slack", what="a post", why="no answer"),
}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("error", ERRORS)
async def test_what_fails_now_and_then_is_told_once_and_in_order(
    error: str, *, after: bool
) -> None:
    if after and error != "uncertain":
        pytest.skip("only what is uncertain may have been done")
    place = office(rollout())
    for _ in range(4):
        place.chat.fail("post", ERRORS[error], after=after)
    async with working(place):
        await place.story.stable()
        place.story.want("v2")
        await place.story.stable("v2", within_seconds=120)
        await asyncio.sleep(60)

        assert len(place.chat.heads()) == 1
        assert words(place.replies()) == ["Started", *["Next step"] * 4, "Promoted"]


async def test_a_controller_that_is_killed_between_telling_and_writing_tells_nothing_twice() -> (
    None
):
    place = office(rollout(ASKING))
    async with working(place):
        await place.story.stable()
        place.story.want("v2")
        await place.story.until(lambda: len(place.chat.shown) >= 2, within_seconds=30)
    for _ in range(3):
        async with working(place):
            await asyncio.sleep(0.3)
    async with working(place):
        await place.story.until_step(2, within_seconds=60)
        await asyncio.sleep(20)

        assert len(place.chat.heads()) == 1
        assert words(place.replies()) == ["Started", "Next step", "Waiting"]


async def test_a_head_that_somebody_has_taken_away_is_posted_anew() -> None:
    async with told(rollout()) as place:
        place.story.want("v2")
        await place.story.until_step(1, within_seconds=30)
        await asyncio.sleep(2)
        place.chat.remove(place.head().spot)
        await place.story.stable("v2", within_seconds=120)
        await asyncio.sleep(10)

        assert len(place.chat.heads()) == 1
        assert words(place.replies())[-1] == "Promoted"


async def test_a_channel_that_is_not_there_is_told_in_the_status_and_keeps_nobody_waiting() -> None:
    manifest = rollout()
    manifest["spec"]["notify"] = {"slack": {"channel": "#nowhere"}}
    async with told(manifest) as place:
        place.story.want("v2")
        await place.story.until_step(2, within_seconds=60)
        await asyncio.sleep(2)

        notes = [note for note in place.story.status().notes if note.reason == "NotTold"]
        assert notes
        assert "channel_not_found" in notes[0].message
        await place.story.stable("v2", within_seconds=60)


async def test_the_next_run_has_its_own_thread_and_the_last_head_its_last_words() -> None:
    async with told(rollout()) as place:
        place.story.want("v2")
        await place.story.stable("v2", within_seconds=120)
        await asyncio.sleep(5)
        place.story.want("v3")
        await place.story.stable("v3", within_seconds=120)
        await asyncio.sleep(5)

        first, second = place.chat.heads()
        assert "v1" in first.message.text
        assert "v3" in second.message.text
        with pytest.raises(LookupError):
            first.button("rollout.retry")


async def test_where_nobody_is_to_be_told_nothing_is_asked_of_slack() -> None:
    async with told(gray.rollout(strategy=SHORT)) as place:
        place.story.want("v2")
        await place.story.stable("v2", within_seconds=120)

        assert [call for call, _ in place.chat.calls] == ["serve"]
        assert place.story.status().outbox == ()


async def test_a_channel_that_is_told_little_has_a_head_that_is_right_all_the_same() -> None:
    manifest = rollout()
    manifest["spec"]["notify"] = {"slack": {"channel": "#deploys", "news": ["RolledBack"]}}
    async with told(manifest) as place:
        place.story.want("v2")
        await place.story.until_step(1, within_seconds=30)
        await asyncio.sleep(5)
        assert len(place.chat.heads()) == 1

        await place.story.stable("v2", within_seconds=120)
        await asyncio.sleep(10)

        assert "promoted" in place.head().message.text
        assert place.replies() == []


async def test_another_channel_in_mid_run_gets_a_head_of_its_own_and_the_old_one_says_so() -> None:
    async with told(rollout(ASKING)) as place:
        place.chat.channels["#other"] = "C0OTHER"
        await at_approval(place)
        old = place.head()

        place.story.edit(notify={"slack": {"channel": "#other"}})
        await asyncio.sleep(20)

        assert "told in another channel" in old.message.text
        assert place.head().spot.channel == "C0OTHER"
        assert place.head().button("rollout.approve")


async def test_a_rollout_that_is_deleted_in_mid_run_leaves_no_head_that_says_it_goes_on() -> None:
    async with told(rollout(ASKING)) as place:
        await at_approval(place)
        place.story.cluster.remove(ROLLOUT, gray.KEY)
        await asyncio.sleep(60)

        assert "was deleted" in place.head().message.text
