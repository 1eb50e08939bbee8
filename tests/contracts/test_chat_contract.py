"""What every ports.Chat does: the real one on the stand-in of Slack, and the fake, alike."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from rollout.api.chat import Dialog, Message, Press, Pressed, Spot, Standing
from rollout.base.errors import ChatRefused, Uncertain
from rollout.ports import Chat
from tests.people.chats import asking, chatting, heard
from tests.people.slackclients import until
from tests.people.slackworld import Fault, serving
from tests.world.chat import FakeChat
from tests.world.clock import FakeClock

HELLO = Message(text="hello")
LONG_AGO = datetime.now(UTC) - timedelta(hours=1)
VIEW = {"type": "modal", "title": {"type": "plain_text", "text": "Why?"}, "blocks": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A chat, and what people and accidents do to it.

    Attributes:
        chat: the port.
        lose: the answer of the next post is lost.
        remove: somebody takes a message away.
        press: somebody presses a button below a message; gives whether that went well.
        texts: what stands in the channel now, heads and replies.
        whispers: who was told what alone.
        listening: whether presses arrive.
    """

    chat: Chat
    lose: Callable[[], None]
    remove: Callable[[Spot], None]
    press: Callable[[Spot, str], Awaitable[bool]]
    texts: Callable[[], list[str]]
    whispers: Callable[[], list[tuple[str, str]]]
    listening: Callable[[], bool]


@contextlib.asynccontextmanager
async def real() -> AsyncIterator[World]:
    async with serving() as slack, chatting(slack) as chat:
        channel = slack.world.channels["C0DEPLOYS"]

        async def press(spot: Spot, action: str) -> bool:
            slack.sockets.ack_seconds = 1.0
            done = await slack.press(
                channel=spot.channel, ts=spot.ts, action=action, user="U0ALICE"
            )
            return done.result == "acknowledged"

        yield World(
            chat=chat,
            lose=lambda: slack.faults.plan("chat.postMessage", Fault.DROP_AFTER),
            remove=lambda spot: channel.messages.__delitem__(spot.ts),
            press=press,
            texts=lambda: [str(one["text"]) for one in channel.messages.values()],
            whispers=lambda: [(one["to"], one["text"]) for one in channel.ephemerals],
            listening=lambda: chat.listening,
        )


@contextlib.asynccontextmanager
async def fake() -> AsyncIterator[World]:
    chat = FakeChat(FakeClock())
    chat.groups["S0MANAGERS"] = {"U0ALICE"}
    known = await chat.who("U0ALICE")
    chat.members["U0ALICE"] = known.__class__(
        id="U0ALICE", name="alice", email="alice@example.com", standing=Standing.MEMBER
    )
    chat.calls.clear()
    lost = Uncertain("Slack", what="a post", why="the connection broke")
    yield World(
        chat=chat,
        lose=lambda: chat.fail("post", lost, after=True),
        remove=chat.remove,
        press=lambda spot, action: chat.press(chat.shown[spot], action, member="U0ALICE"),
        texts=lambda: [one.message.text for one in chat.shown.values()],
        whispers=lambda: [(to, message.text) for to, message in chat.whispers],
        listening=lambda: chat._handle is not None,
    )


@pytest.fixture(params=[real, fake], ids=["real", "fake"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with request.param() as found:
        yield found


@contextlib.asynccontextmanager
async def handling(world: World, handle: Callable[[Press], Awaitable[None]]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(world.chat.serve(handle))
    try:
        await until(world.listening)
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_post_is_answered_with_the_channels_id_also_where_it_was_named(
    world: World,
) -> None:
    spot = await world.chat.post("#deploys", HELLO, marker="1")

    assert spot.channel == "C0DEPLOYS"
    assert world.texts() == ["hello"]


async def test_a_post_whose_answer_was_lost_is_found_again_by_its_marker(world: World) -> None:
    head = await world.chat.post("C0DEPLOYS", Message(text="head"), marker="0")
    for thread in ("", head.ts):
        world.lose()
        with pytest.raises(Uncertain):
            await world.chat.post("C0DEPLOYS", HELLO, marker="1", thread=thread)
        await world.chat.post("C0DEPLOYS", HELLO, marker="1", thread=thread, since=LONG_AGO)

    assert world.texts() == ["head", "hello", "hello"]


async def test_a_post_that_is_said_to_be_the_first_is_not_looked_for(world: World) -> None:
    await world.chat.post("C0DEPLOYS", HELLO, marker="1")
    await world.chat.post("C0DEPLOYS", HELLO, marker="1")

    assert world.texts() == ["hello", "hello"]


async def test_a_post_in_a_channel_that_is_not_there_is_the_operators_to_mend(
    world: World,
) -> None:
    with pytest.raises(ChatRefused) as caught:
        await world.chat.post("#nowhere", HELLO, marker="1")

    assert (caught.value.code, caught.value.fault) == ("channel_not_found", "setup")


async def test_an_update_shows_something_else_and_one_of_nothing_says_so(world: World) -> None:
    spot = await world.chat.post("C0DEPLOYS", HELLO, marker="1")
    await world.chat.update(spot, Message(text="bye"))
    told = world.texts()
    world.remove(spot)
    with pytest.raises(ChatRefused) as caught:
        await world.chat.update(spot, HELLO)

    assert told == ["bye"]
    assert caught.value.fault == "gone"


async def test_a_press_arrives_with_its_value_and_can_be_answered_alone(world: World) -> None:
    seen: list[Press] = []

    async def handle(press: Press) -> None:
        seen.append(press)
        await press.ack()
        await world.chat.whisper(press, Message(text="noted"))

    spot = await world.chat.post("C0DEPLOYS", asking("rollout.approve", value="ask"), marker="1")
    async with handling(world, handle):
        done = await world.press(spot, "rollout.approve")
        await until(lambda: world.whispers() != [])

    assert done
    assert (seen[0].what, seen[0].member, seen[0].value) == (Pressed.BUTTON, "U0ALICE", "ask")
    assert seen[0].spot == spot
    assert world.whispers() == [("U0ALICE", "noted")]


async def test_a_press_that_nobody_acknowledges_has_failed(world: World) -> None:
    async def handle(_: Press) -> None:
        return

    spot = await world.chat.post("C0DEPLOYS", asking("yes"), marker="1")
    async with handling(world, handle):
        unheard = await world.press(spot, "yes")
    nobody = await world.press(spot, "yes")

    assert (unheard, nobody) == (False, False)


async def test_a_press_opens_one_form(world: World) -> None:
    refusals: list[ChatRefused] = []

    async def handle(press: Press) -> None:
        await world.chat.open_dialog(press, Dialog(view=VIEW))
        try:
            await world.chat.open_dialog(press, Dialog(view=VIEW))
        except ChatRefused as refused:
            refusals.append(refused)
        await press.ack()

    spot = await world.chat.post("C0DEPLOYS", asking("yes"), marker="1")
    async with handling(world, handle):
        assert await world.press(spot, "yes")

    assert [one.fault for one in refusals] == ["late"]


async def test_who_somebody_is_includes_the_groups_that_were_asked_for(world: World) -> None:
    found = await world.chat.who("U0ALICE", groups=["S0MANAGERS", "S0OTHERS"])

    assert (found.email, found.standing) == ("alice@example.com", Standing.MEMBER)
    assert found.groups == {"S0MANAGERS"}


async def test_an_acknowledgement_says_whether_it_was_heard(world: World) -> None:
    told: list[bool] = []

    async def handle(press: Press) -> None:
        told.append(await press.ack())

    spot = await world.chat.post("C0DEPLOYS", asking("yes"), marker="1")
    async with handling(world, handle):
        await world.press(spot, "yes")

    assert told == [True]
    assert await heard()
