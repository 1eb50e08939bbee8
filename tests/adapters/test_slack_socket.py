"""Presses over a socket: acknowledged where they came from, none lost between two sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rollout.adapters.slack import SlackChat
from rollout.adapters.slack.socket import HANDLED_COUNT_MAX
from rollout.api import press
from rollout.api.chat import REASON_ACTION, REASON_BLOCK, Dialog, Press, Pressed, Spot
from rollout.base.errors import ChatRefused
from tests.people.chats import (
    DEPLOYS,
    Hands,
    acknowledging,
    asking,
    chatting,
    serving_presses,
)
from tests.people.slackclients import until
from tests.people.slackworld import APP_TOKEN, Delivered, Fault, Slack, Variety, serving


async def pressing(slack: Slack, chat: SlackChat, *, user: str = "U0ALICE") -> Delivered:
    spot = await chat.post(DEPLOYS, asking("rollout.approve", value="ask"), marker="1")
    return await slack.press(channel=DEPLOYS, ts=spot.ts, action="rollout.approve", user=user)


async def test_a_press_says_who_pressed_what_and_where() -> None:
    seen: list[Press] = []
    async with (
        serving() as slack,
        chatting(slack) as chat,
        serving_presses(chat, acknowledging(seen)),
    ):
        await until(lambda: chat.listening)
        done = await pressing(slack, chat)
        spot = Spot(channel=DEPLOYS, ts=done.payload["container"]["message_ts"])

    assert done.result == "acknowledged"
    assert (seen[0].what, seen[0].member, seen[0].spot) == (Pressed.BUTTON, "U0ALICE", spot)
    assert (seen[0].action, seen[0].value) == ("rollout.approve", "ask")
    assert slack.sockets.violations == []
    assert not chat.listening


async def test_a_press_that_is_handled_without_an_acknowledgement_fails_for_the_person() -> None:
    async def handle(_: Press) -> None:
        return

    async with serving() as slack, chatting(slack) as chat, serving_presses(chat, handle):
        slack.sockets.ack_seconds = 0.1
        await until(lambda: chat.listening)

        assert (await pressing(slack, chat)).result == "timeout"


async def test_a_handler_learns_that_its_acknowledgement_came_too_late() -> None:
    clock = Hands()
    told: list[bool] = []

    async def handle(one: Press) -> None:
        clock.ahead_seconds += 3.1
        told.append(await one.ack())

    async with (
        serving() as slack,
        chatting(slack, clock=clock) as chat,
        serving_presses(chat, handle),
    ):
        await until(lambda: chat.listening)
        await pressing(slack, chat)

    assert told == [False]


async def test_a_dialog_comes_back_with_its_reason_and_shows_what_is_wrong_with_it() -> None:
    view = {
        "type": "modal",
        "callback_id": "rollout.reject",
        "title": {"type": "plain_text", "text": "Why?"},
        "submit": {"type": "plain_text", "text": "Reject"},
        "private_metadata": press.note("ask", Spot(channel=DEPLOYS, ts="1.5"), thread="1.0"),
        "blocks": [
            {
                "type": "input",
                "block_id": REASON_BLOCK,
                "label": {"type": "plain_text", "text": "Reason"},
                "element": {"type": "plain_text_input", "action_id": REASON_ACTION},
            }
        ],
    }
    seen: list[Press] = []

    async def handle(one: Press) -> None:
        seen.append(one)
        if one.what is Pressed.BUTTON:
            await chat.open_dialog(one, Dialog(view=view))
        await one.ack("" if one.reason != "no" else "say more")

    async with serving() as slack, chatting(slack) as chat, serving_presses(chat, handle):
        await until(lambda: chat.listening)
        await pressing(slack, chat)
        opened = next(iter(slack.world.views))
        await slack.submit(opened, reason="no")
        held = slack.world.views[opened].errors
        await slack.submit(opened, reason="too\nslow")

    assert held == {REASON_BLOCK: "say more"}
    assert not slack.world.views[opened].open
    last = seen[-1]
    assert (last.what, last.action, last.value) == (Pressed.DIALOG, "rollout.reject", "ask")
    assert (last.reason, last.spot, last.thread) == (
        "too slow",
        Spot(channel=DEPLOYS, ts="1.5"),
        "1.0",
    )
    assert slack.sockets.violations == []


async def test_what_is_no_press_is_acknowledged_and_handled_by_nobody() -> None:
    seen: list[Press] = []
    async with (
        serving() as slack,
        chatting(slack) as chat,
        serving_presses(chat, acknowledging(seen)),
    ):
        await until(lambda: chat.listening)
        event = await slack.sockets.event({"type": "event_callback"}, attempts=1)
        closed = await slack.sockets.send({"type": "view_closed"})

    assert (event[0].result, closed.result, seen) == ("acknowledged", "acknowledged", [])


async def test_frames_that_are_nothing_of_slacks_do_no_harm() -> None:
    seen: list[Press] = []
    async with (
        serving() as slack,
        chatting(slack) as chat,
        serving_presses(chat, acknowledging(seen)),
    ):
        slack.sockets.ack_seconds = 0.1
        await until(lambda: chat.listening)
        for text in ("", "[]", "{", '{"type":"interactive","envelope_id":7}', "9" * 5000):
            await slack.sockets.raw(text)
        odd = await slack.sockets.send({"type": "block_actions", "actions": []})

        assert odd.result == "timeout"
        assert (await pressing(slack, chat)).result == "acknowledged"


@pytest.mark.parametrize(
    "variety",
    [
        Variety(grid=True),
        Variety(without=("message", "state", "team")),
        Variety(null=("channel", "response_url")),
    ],
)
async def test_payloads_that_lack_what_is_not_needed_are_understood(variety: Variety) -> None:
    seen: list[Press] = []
    async with (
        serving() as slack,
        chatting(slack) as chat,
        serving_presses(chat, acknowledging(seen)),
    ):
        await until(lambda: chat.listening)
        spot = await chat.post(DEPLOYS, asking("yes"), marker="1")
        await slack.press(
            channel=DEPLOYS, ts=spot.ts, action="yes", user="U0ALICE", variety=variety
        )

    assert (seen[0].member, seen[0].spot) == ("U0ALICE", spot)


@pytest.mark.parametrize("reason", ["warning", "refresh_requested", "link_disabled"])
async def test_the_next_socket_is_ready_before_one_that_is_told_to_go_is_closed(
    reason: str,
) -> None:
    seen: list[Press] = []
    async with (
        serving() as slack,
        chatting(slack) as chat,
        serving_presses(chat, acknowledging(seen)),
    ):
        await until(lambda: chat.listening)
        old = slack.sockets.live[0]
        await slack.sockets.disconnect(old, reason, close=False)
        results = {(await pressing(slack, chat)).result for _ in range(20)}
        await until(lambda: len(slack.sockets.live) == 2)
        await old.socket.close()
        await until(lambda: len(slack.sockets.live) == 1)
        results.add((await pressing(slack, chat)).result)

    assert results == {"acknowledged"}
    assert slack.sockets.violations == []
    assert slack.sockets.dials == 2


@pytest.mark.parametrize("how", ["close", "cut", "mute"])
async def test_a_socket_that_ends_in_any_way_is_followed_by_another(how: str) -> None:
    seen: list[Press] = []
    async with (
        serving() as slack,
        chatting(slack, heartbeat_seconds=0.5 if how == "mute" else 5.0) as chat,
        serving_presses(chat, acknowledging(seen)),
    ):
        await until(lambda: chat.listening)
        old = slack.sockets.live[0]
        if how == "close":
            await old.socket.close()
        elif how == "cut":
            slack.sockets.cut(old)
        else:
            slack.sockets.switches.mute = True
            await until(lambda: slack.sockets.dials >= 2)
            slack.sockets.switches.mute = False
        await until(lambda: any(link is not old for link in slack.sockets.live))
        await until(lambda: chat.listening and old not in slack.sockets.live)

        assert (await pressing(slack, chat)).result == "acknowledged"


async def test_a_ticket_that_was_refused_is_not_tried_again() -> None:
    seen: list[Press] = []
    async with (
        serving() as slack,
        chatting(slack) as chat,
    ):
        slack.sockets.switches.handshake_status = 408
        async with serving_presses(chat, acknowledging(seen)):
            await until(lambda: slack.sockets.dials >= 3)
            slack.sockets.switches.handshake_status = 0
            await until(lambda: chat.listening)

        opens = len(slack.world.called("apps.connections.open"))
        assert opens == slack.sockets.dials


@pytest.mark.parametrize("trouble", ["crowded", "no hello", "no API"])
async def test_sockets_that_fail_at_once_wait_longer_each_time(trouble: str) -> None:
    clock = Hands()
    seen: list[Press] = []
    async with (
        serving() as slack,
        chatting(slack, clock=clock, hello_seconds=0.03, back_off_seconds=1.0) as chat,
    ):
        slack.sockets.switches.crowded = trouble == "crowded"
        slack.sockets.switches.hello = trouble != "no hello"
        if trouble == "no API":
            slack.faults.plan("apps.connections.open", Fault.HTML_503, count=0)
        async with serving_presses(chat, acknowledging(seen)):
            await until(lambda: len(clock.slept) >= 8)

    assert all(2**n * 0.5 <= waited <= 2**n for n, waited in enumerate(clock.slept[:6]))
    assert max(clock.slept) <= 60
    assert not chat.listening


async def test_slack_is_left_alone_for_as_long_as_it_asks() -> None:
    clock = Hands()
    seen: list[Press] = []
    async with serving() as slack, chatting(slack, clock=clock) as chat:
        slack.faults.plan("apps.connections.open", Fault.RATELIMITED, seconds=42)
        async with serving_presses(chat, acknowledging(seen)):
            await until(lambda: bool(clock.slept))

    assert 41 < clock.slept[0] <= 42


async def test_a_token_that_opens_no_socket_ends_the_wait_for_presses() -> None:
    seen: list[Press] = []
    async with serving() as slack, chatting(slack) as chat:
        slack.world.tokens[APP_TOKEN].revoked = True

        with pytest.raises(ChatRefused, match="token_revoked"):
            await chat.serve(acknowledging(seen))


async def test_no_more_presses_are_taken_on_than_can_be_handled() -> None:
    release = asyncio.Event()
    count = 0

    async def handle(one: Press) -> None:
        nonlocal count
        count += 1
        await release.wait()
        await one.ack()

    async with serving() as slack, chatting(slack) as chat, serving_presses(chat, handle):
        slack.sockets.ack_seconds = 2.0
        await until(lambda: chat.listening)
        spot = await chat.post(DEPLOYS, asking("yes"), marker="1")
        under_way = [
            asyncio.ensure_future(
                slack.press(channel=DEPLOYS, ts=spot.ts, action="yes", user="U0ALICE")
            )
            for _ in range(HANDLED_COUNT_MAX + 5)
        ]
        await until(lambda: count == HANDLED_COUNT_MAX)
        await asyncio.sleep(0.05)
        release.set()
        results: list[Any] = [(await one).result for one in under_way]

    assert count == HANDLED_COUNT_MAX
    assert results.count("acknowledged") == HANDLED_COUNT_MAX


async def test_the_sockets_that_slack_knows_of_are_counted() -> None:
    seen: list[Press] = []
    async with (
        serving() as slack,
        chatting(slack) as chat,
        chatting(slack) as other,
        serving_presses(chat, acknowledging(seen)),
    ):
        await until(lambda: chat.listening)
        async with serving_presses(other, acknowledging(seen)):
            await until(lambda: other.listening)

            assert (chat.connections_count, other.connections_count) == (1, 2)
