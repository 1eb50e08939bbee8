"""What is posted is shown once, whatever becomes of the answer; errors say whose fault they are."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rollout.adapters.slack import Options
from rollout.adapters.slack.client import PAGE_COUNT, PAGES_MAX
from rollout.api.chat import Dialog, Message, Spot
from rollout.base.errors import (
    BrokenAnswer,
    ChatRefused,
    Overloaded,
    RolloutError,
    Uncertain,
    Unreachable,
)
from rollout.ports import Workspace
from tests.people.chats import DEPLOYS, Hands, asking, chatting, pressed
from tests.people.slackworld import BOT_TOKEN, Fault, serving

HELLO = Message(text="hello")
LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


async def raised(call: Any) -> RolloutError:
    with pytest.raises(RolloutError) as caught:
        await call
    return caught.value


def test_importing_the_adapter_does_not_import_the_library() -> None:
    code = "import rollout.adapters.slack, sys; sys.exit('slack_sdk' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_a_message_is_posted_with_its_marker_and_without_previews() -> None:
    async with serving() as slack, chatting(slack) as chat:
        spot = await chat.post("#deploys", asking("yes"), marker="uid/1")

        kept = slack.world.channels[DEPLOYS].messages[spot.ts]
        call = slack.world.called("chat.postMessage")[0].arguments
        assert spot.channel == DEPLOYS
        assert kept["metadata"]["event_payload"] == {"marker": "uid/1"}
        assert (call["unfurl_links"], call["unfurl_media"]) == (False, False)


async def test_a_reply_stands_below_its_head_and_may_be_shown_in_the_channel_too() -> None:
    async with serving() as slack, chatting(slack) as chat:
        head = await chat.post(DEPLOYS, HELLO, marker="1")
        await chat.post(DEPLOYS, HELLO, marker="2", thread=head.ts)
        loud = await chat.post(DEPLOYS, HELLO, marker="3", thread=head.ts, broadcast=True)

        assert len(slack.world.thread(DEPLOYS, head.ts)) == 3
        assert slack.world.channels[DEPLOYS].messages[loud.ts]["subtype"] == "thread_broadcast"


async def test_an_update_replaces_text_and_blocks_and_can_be_said_again() -> None:
    async with serving() as slack, chatting(slack) as chat:
        spot = await chat.post(DEPLOYS, asking("yes"), marker="1")
        await chat.update(spot, Message(text="done"))
        await chat.update(spot, Message(text="done"))

        kept = slack.world.channels[DEPLOYS].messages[spot.ts]
        assert kept["text"] == "done"
        assert "blocks" not in kept
        assert kept["metadata"]["event_payload"] == {"marker": "1"}


AFTER = [
    Fault.DROP_AFTER,
    Fault.HANG_AFTER,
    Fault.BROKEN_JSON,
    Fault.INTERNAL_ERROR,
    Fault.FATAL_ERROR,
    Fault.SLOW_BODY,
]
SLOW = {Fault.HANG_AFTER, Fault.HANG_BEFORE, Fault.SLOW_BODY}
BEFORE = [
    Fault.DROP_BEFORE,
    Fault.HANG_BEFORE,
    Fault.STATUS_500,
    Fault.HTML_503,
    Fault.HTML_200,
]


@pytest.mark.parametrize("thread", [False, True], ids=["head", "reply"])
@pytest.mark.parametrize("fault", [*AFTER, *BEFORE])
async def test_a_post_whose_answer_is_lost_is_shown_once_when_it_is_asked_again(
    fault: Fault, thread: bool
) -> None:
    seconds = 0.5 if fault in SLOW else 5.0
    async with serving() as slack, chatting(slack, request_seconds=seconds) as chat:
        head = (await chat.post(DEPLOYS, HELLO, marker="head")).ts if thread else ""
        slack.faults.plan("chat.postMessage", fault, seconds=2)
        error = await raised(chat.post(DEPLOYS, HELLO, marker="m", thread=head))
        slack.faults.clear()
        slack.let_go()
        first = await chat.post(DEPLOYS, HELLO, marker="m", thread=head, since=LONG_AGO)
        second = await chat.post(DEPLOYS, HELLO, marker="m", thread=head, since=LONG_AGO)

        assert isinstance(error, Uncertain)
        assert first == second
        assert len(slack.world.channels[DEPLOYS].messages) == 1 + thread


async def test_a_message_is_found_by_the_name_of_its_channel_and_behind_many_others() -> None:
    async with serving() as slack, chatting(slack) as chat:
        spot = await chat.post("#deploys", HELLO, marker="m")
        channel = slack.world.channels[DEPLOYS]
        for number in range(450):
            slack.world.say(channel, "U0BOB", f"chatter {number}")
        async with chatting(slack) as restarted:
            again = await restarted.post("#deploys", HELLO, marker="m", since=LONG_AGO)

        assert again == spot
        assert len(slack.world.called("chat.postMessage")) == 1


async def test_a_message_too_far_back_to_be_found_is_shown_twice_rather_than_never() -> None:
    async with serving() as slack, chatting(slack) as chat:
        await chat.post(DEPLOYS, HELLO, marker="m")
        channel = slack.world.channels[DEPLOYS]
        for _ in range(PAGES_MAX * PAGE_COUNT):
            slack.world.say(channel, "U0BOB", "chatter")
        await chat.post(DEPLOYS, HELLO, marker="m", since=LONG_AGO)

        assert len(slack.world.called("conversations.history")) == PAGES_MAX
        assert len(slack.world.called("chat.postMessage")) == 2


async def test_a_marker_on_somebody_elses_message_is_not_ours() -> None:
    async with serving() as slack, chatting(slack) as chat:
        channel = slack.world.channels[DEPLOYS]
        ts = slack.world.say(channel, "U0ROBOT", "mine")
        channel.messages[ts] |= {
            "bot_id": "B0OTHER",
            "metadata": {"event_type": "rollout_message", "event_payload": {"marker": "m"}},
        }
        spot = await chat.post(DEPLOYS, HELLO, marker="m", since=LONG_AGO)

        assert spot.ts != ts


async def test_of_two_messages_with_one_marker_the_first_is_kept() -> None:
    async with serving() as slack, chatting(slack) as chat:
        first = await chat.post(DEPLOYS, HELLO, marker="m")
        await chat.post(DEPLOYS, HELLO, marker="m")

        assert await chat.post(DEPLOYS, HELLO, marker="m", since=LONG_AGO) == first


@pytest.mark.parametrize("scope", ["channels:history", "channels:read"])
async def test_where_we_may_not_read_it_is_posted_all_the_same(scope: str) -> None:
    async with serving() as slack, chatting(slack) as chat:
        slack.world.tokens[BOT_TOKEN].scopes.remove(scope)

        await chat.post("#deploys", HELLO, marker="m", since=LONG_AGO)

        assert len(slack.world.channels[DEPLOYS].messages) == 1


async def test_an_update_that_may_have_been_done_is_simply_asked_again() -> None:
    async with serving() as slack, chatting(slack) as chat:
        spot = await chat.post(DEPLOYS, HELLO, marker="m")
        for fault in (Fault.DROP_AFTER, Fault.INTERNAL_ERROR, Fault.HTML_503):
            slack.faults.plan("chat.update", fault)
            error = await raised(chat.update(spot, Message(text="b")))
            assert isinstance(error, Unreachable)
            slack.faults.clear()
        slack.faults.plan("chat.update", Fault.HTML_200)
        assert isinstance(await raised(chat.update(spot, Message(text="b"))), BrokenAnswer)


@pytest.mark.parametrize("fault", [Fault.RATELIMITED, Fault.RATELIMITED_TEXT])
async def test_a_method_that_is_to_be_left_alone_is_left_alone_and_others_are_not(
    fault: Fault,
) -> None:
    clock = Hands()
    async with serving() as slack, chatting(slack, clock=clock) as chat:
        spot = await chat.post(DEPLOYS, HELLO, marker="1")
        slack.faults.plan("chat.postMessage", fault, seconds=7)
        error = await raised(chat.post(DEPLOYS, HELLO, marker="2"))
        parked = await raised(chat.post(DEPLOYS, HELLO, marker="2"))
        await chat.update(spot, HELLO)
        clock.ahead_seconds += 7
        await chat.post(DEPLOYS, HELLO, marker="2")

    assert isinstance(error, Overloaded)
    assert error.retry_after_seconds == 7
    assert isinstance(parked, Overloaded)
    assert len(slack.world.called("chat.postMessage")) == 3


async def test_blocks_that_slack_does_not_take_are_shown_as_text_alone() -> None:
    message = Message(text="hello", blocks=[{"type": "marquee"}])
    async with serving() as slack, chatting(slack) as chat:
        spot = await chat.post(DEPLOYS, message, marker="1")
        await chat.update(spot, message)

        kept = slack.world.channels[DEPLOYS].messages[spot.ts]
        assert (kept["text"], kept.get("blocks")) == ("hello", None)


async def test_text_that_is_too_long_to_be_shown_is_the_messages_own_fault() -> None:
    async with serving() as slack, chatting(slack) as chat:
        spot = await chat.post(DEPLOYS, HELLO, marker="1")
        error = await raised(chat.update(spot, Message(text="x" * 4001)))

    assert isinstance(error, ChatRefused)
    assert (error.fault, error.code) == ("content", "msg_too_long")


async def test_a_head_that_is_gone_says_so() -> None:
    async with serving() as slack, chatting(slack) as chat:
        spot = await chat.post(DEPLOYS, HELLO, marker="1")
        del slack.world.channels[DEPLOYS].messages[spot.ts]
        error = await raised(chat.update(spot, HELLO))

    assert isinstance(error, ChatRefused)
    assert (error.fault, error.code) == ("gone", "message_not_found")


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        ("#nowhere", "name a channel that exists"),
        ("#secret", "invite the app"),
        ("#old", "not archived"),
    ],
)
async def test_a_channel_that_cannot_be_posted_in_is_the_operators_to_mend(
    channel: str, words: str
) -> None:
    async with serving() as slack, chatting(slack) as chat:
        error = await raised(chat.post(channel, HELLO, marker="1"))

    assert isinstance(error, ChatRefused)
    assert error.fault == "setup"
    assert words in str(error)
    assert channel in str(error)


async def test_a_scope_that_is_missing_is_named_as_the_remedy() -> None:
    async with serving() as slack, chatting(slack) as chat:
        slack.world.tokens[BOT_TOKEN].scopes = set()
        error = await raised(chat.post(DEPLOYS, HELLO, marker="1"))

    assert "add the scope chat:write to the app" in str(error)


async def test_a_revoked_token_is_the_operators_to_mend_and_is_in_no_sentence() -> None:
    async with serving() as slack, chatting(slack) as chat:
        slack.world.tokens[BOT_TOKEN].revoked = True
        error = await raised(chat.post(DEPLOYS, HELLO, marker="1"))

    assert isinstance(error, ChatRefused)
    assert error.code == "token_revoked"
    assert BOT_TOKEN not in str(error) + repr(error)


async def test_a_slack_that_is_not_there_cannot_be_reached() -> None:
    async with serving() as slack:
        pass
    async with chatting(slack) as chat:
        error = await raised(chat.post(DEPLOYS, HELLO, marker="1"))

    assert isinstance(error, Unreachable)


def test_tokens_are_not_printed_with_the_options() -> None:
    assert "xoxb" not in repr(Options(bot_token="xoxb-1", app_token="xapp-1"))


async def test_the_workspace_is_told_with_who_we_are_in_it() -> None:
    async with serving() as slack, chatting(slack) as chat:
        assert await chat.workspace() == Workspace(
            team="T0ACME",
            url="https://acme.slack.example/",
            bot="UROLLOUT",
            scopes=frozenset(slack.world.tokens[BOT_TOKEN].scopes),
        )


async def test_an_answer_to_a_press_is_seen_by_the_presser_alone() -> None:
    async with serving() as slack, chatting(slack) as chat:
        spot = await chat.post(DEPLOYS, asking("yes"), marker="1")
        done = await slack.press(channel=DEPLOYS, ts=spot.ts, action="yes", user="U0ALICE")
        url = done.payload["response_url"]
        await chat.whisper(pressed(spot=spot, answer_url=url), Message(text="done"))

        channel = slack.world.channels[DEPLOYS]
        assert [(one["to"], one["text"]) for one in channel.ephemerals] == [("U0ALICE", "done")]
        assert channel.messages[spot.ts]["text"] == "may it?"


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:1/actions/T/x", "expired"])
async def test_without_an_address_that_takes_answers_they_go_to_the_channel(url: str) -> None:
    async with serving() as slack, chatting(slack) as chat:
        spot = await chat.post(DEPLOYS, asking("yes"), marker="1")
        where = f"{slack.address}/actions/T/nothing" if url == "expired" else url
        await chat.whisper(
            pressed(spot=spot, answer_url=where, thread=spot.ts), Message(text="done")
        )

        told = slack.world.channels[DEPLOYS].ephemerals[0]
        assert (told["to"], told["thread_ts"]) == ("U0ALICE", spot.ts)


async def test_an_answer_is_sent_to_no_address_but_slacks() -> None:
    async with serving() as elsewhere, serving() as slack, chatting(slack) as chat:
        spot = await chat.post(DEPLOYS, asking("yes"), marker="1")
        path = elsewhere.world.response_url("U0ALICE", DEPLOYS, "1.0")
        await chat.whisper(
            pressed(spot=spot, answer_url=elsewhere.address + path), Message(text="done")
        )

        assert elsewhere.world.calls == []
        assert len(slack.world.channels[DEPLOYS].ephemerals) == 1


async def test_an_answer_that_can_go_nowhere_is_too_late() -> None:
    async with serving() as slack, chatting(slack) as chat:
        error = await raised(chat.whisper(pressed(), Message(text="done")))

    assert isinstance(error, ChatRefused)
    assert error.fault == "late"


async def test_a_dialog_is_opened_once_and_only_in_time() -> None:
    view = {"type": "modal", "title": {"type": "plain_text", "text": "Why?"}, "blocks": []}
    async with serving() as slack, chatting(slack) as chat:
        trigger = slack.world.trigger("U0ALICE")
        spot = Spot(channel=DEPLOYS, ts="1.0")
        await chat.open_dialog(pressed(spot=spot, trigger=trigger), Dialog(view=view))
        error = await raised(chat.open_dialog(pressed(trigger=trigger), Dialog(view=view)))

        assert len(slack.world.views) == 1
    assert isinstance(error, ChatRefused)
    assert error.fault == "late"
