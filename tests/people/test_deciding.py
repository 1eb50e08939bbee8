"""From the head message to a decision and back, with everything real but Slack itself."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from rollout.adapters.slack import SlackChat
from rollout.api.action import Verb
from rollout.api.chat import Press, Pressed, Standing
from rollout.base.errors import BadInput, RolloutError
from rollout.views import slack_answers, slack_ask
from rollout.views.slack_ask import Ask
from rollout.views.slack_head import head
from rollout.views.slack_reply import LOUD, reply
from tests.people.chats import DEPLOYS, Hands, asking, chatting, serving_presses
from tests.people.runs import STATES, subject
from tests.people.slackclients import until
from tests.people.slackworld import APP_TOKEN, BOT_TOKEN, Fault, Slack, buttons, serving
from tests.views.samples import NOW
from tests.views.test_slack_reply import WAITING

ROOT = Path(__file__).resolve().parents[2]
UID = "6f9c2f0e-5d0b-4c57-9d8e-2a7f2f7b3c11"


class Desk:
    """Does about presses what a controller would: asks who it is, asks why, keeps, answers.

    Attributes:
        kept: who asked for what, and why.
        now: the state that presses are compared with.
    """

    def __init__(self, chat: SlackChat) -> None:
        self.kept: list[tuple[str, Ask, str]] = []
        self.now = "approval"
        self._chat = chat

    async def handle(self, press: Press) -> None:
        try:
            ask = slack_ask.read(press.value)
        except BadInput as error:
            await press.ack()
            await self._chat.whisper(press, slack_answers.failed(None, because=str(error)))
            return
        run = STATES[self.now].run
        assert run is not None
        if (run.id, run.step) != (ask.run, ask.step):
            await press.ack()
            await self._chat.whisper(press, slack_answers.over(ask, STATES[self.now]))
        elif ask.verb is Verb.REJECT and press.what is Pressed.BUTTON:
            form = slack_answers.reason_dialog(ask, spot=press.spot, thread=press.thread)
            await self._chat.open_dialog(press, form)
            await press.ack()
        else:
            await self._decided(press, ask)

    async def _decided(self, press: Press, ask: Ask) -> None:
        member = await self._chat.who(press.member, groups=["S0MANAGERS"])
        if member.standing is not Standing.MEMBER:
            await press.ack()
            await self._chat.whisper(press, slack_answers.no_member(member.standing))
            return
        self.kept.append((member.email, ask, press.reason))
        await press.ack()
        await self._chat.whisper(press, slack_answers.taken(ask))


@contextlib.asynccontextmanager
async def deciding(
    clock: Hands | None = None,
) -> AsyncIterator[tuple[Slack, SlackChat, Desk, str]]:
    """A head that waits for approval; gives its ts."""
    async with serving() as slack, chatting(slack, clock=clock) as chat:
        desk = Desk(chat)
        async with serving_presses(chat, desk.handle):
            await until(lambda: chat.listening)
            message = head(subject("approval"), now=NOW, uid=UID)
            spot = await chat.post("#deploys", message, marker=f"{UID}/14")
            yield slack, chat, desk, spot.ts


def told(slack: Slack) -> list[tuple[str, str]]:
    return [(one["to"], one["text"]) for one in slack.world.channels[DEPLOYS].ephemerals]


async def test_an_approval_by_button_is_kept_with_the_email_of_the_presser() -> None:
    async with deciding() as (slack, _, desk, ts):
        done = await slack.press(channel=DEPLOYS, ts=ts, action="rollout.approve", user="U0ALICE")
        await until(lambda: bool(told(slack)))

        assert done.result == "acknowledged"
        [(email, ask, reason)] = desk.kept
        assert (email, ask.verb, ask.run, ask.step, ask.uid) == (
            "alice@example.com",
            Verb.APPROVE,
            "14",
            3,
            UID,
        )
        assert reason == ""
        assert told(slack) == [("U0ALICE", "✓ Approve of shop/reviews is noted: run 14, step 3.")]


async def test_a_rejection_asks_why_and_is_kept_with_the_reason() -> None:
    async with deciding() as (slack, _, desk, ts):
        await slack.press(channel=DEPLOYS, ts=ts, action="rollout.reject", user="U0BOB")
        [view] = slack.world.views
        done = await slack.submit(view, reason="carts are empty")
        await until(lambda: bool(told(slack)))

        assert done.result == "acknowledged"
        [(email, ask, reason)] = desk.kept
        assert (email, ask.verb, reason) == ("bob@example.com", Verb.REJECT, "carts are empty")
        assert told(slack)[0][0] == "U0BOB"
        assert slack.world.warnings == []


@pytest.mark.parametrize("user", ["U0GUEST", "U0OTHER", "U0ROBOT", "U0GONE"])
async def test_whoever_is_no_member_is_told_so_and_nothing_is_kept(user: str) -> None:
    async with deciding() as (slack, _, desk, ts):
        await slack.press(channel=DEPLOYS, ts=ts, action="rollout.approve", user=user)
        await until(lambda: bool(told(slack)))

        assert desk.kept == []
        assert "✗ You may not do that: " in told(slack)[0][1]


async def test_a_press_on_a_screen_that_shows_an_old_message_is_told_what_is_so_now() -> None:
    async with deciding() as (slack, chat, desk, ts):
        first = await slack.press(channel=DEPLOYS, ts=ts, action="rollout.approve", user="U0ALICE")
        desk.now = "approved"
        spot = await chat.post(
            "#deploys", asking(), marker=f"{UID}/14", since=datetime.now(UTC) - timedelta(hours=1)
        )
        await chat.update(spot, head(subject("approved"), now=NOW, uid=UID))
        shown = slack.world.channels[DEPLOYS].messages[ts]
        await slack.deliver({**first.payload, "response_url": ""})
        await until(lambda: len(told(slack)) == 2)

        assert spot.ts == ts
        assert buttons(shown) == ["rollout.promote", "rollout.pause", "rollout.abort"]
        assert len(desk.kept) == 1
        assert told(slack)[1] == (
            "U0ALICE",
            "• run 14 step 3 of shop/reviews is over; run 14 is at step 4 of 5 now.",
        )


async def test_a_button_of_another_program_is_not_obeyed() -> None:
    async with deciding() as (slack, chat, desk, _):
        spot = await chat.post(DEPLOYS, asking("rollout.approve", value="{}"), marker="x")
        await slack.press(channel=DEPLOYS, ts=spot.ts, action="rollout.approve", user="U0ALICE")
        await until(lambda: bool(told(slack)))

        assert desk.kept == []
        assert "none of ours" in told(slack)[0][1]


@pytest.mark.parametrize("name", STATES)
async def test_every_state_is_taken_as_it_is_and_replaces_the_one_before(name: str) -> None:
    async with deciding() as (slack, chat, _, ts):
        spot = await chat.post(
            DEPLOYS,
            asking(),
            marker=f"{UID}/14",
            since=datetime.now(UTC) - timedelta(hours=1),
        )
        await chat.update(spot, head(subject(name), now=NOW, uid=UID))

        shown = slack.world.channels[DEPLOYS].messages[ts]
        assert "blocks" in shown
        assert slack.world.warnings == []


async def test_a_telling_is_a_reply_that_the_channel_shows_when_somebody_must_act() -> None:
    async with deciding() as (slack, chat, _, ts):
        spot = await chat.post(
            DEPLOYS,
            reply(WAITING, run=STATES["approval"].run),
            marker=f"{UID}/telling/{WAITING.id}",
            thread=ts,
            broadcast=WAITING.news in LOUD,
        )

        shown = slack.world.channels[DEPLOYS].messages[spot.ts]
        assert (shown["subtype"], shown["thread_ts"]) == ("thread_broadcast", ts)


def shipped_scopes() -> set[str]:
    text = (ROOT / "manifests/slack/app.yaml").read_text(encoding="utf-8")
    return set(yaml.safe_load(text)["oauth_config"]["scopes"]["bot"])


async def everything(chat: SlackChat) -> None:
    """Every call that needs a scope."""
    since = datetime.now(UTC) - timedelta(hours=1)
    await chat.post("#public", asking("yes"), marker="0")
    spot = await chat.post("#deploys", asking("yes"), marker="1", since=since)
    await chat.post("#deploys", asking("yes"), marker="2", thread=spot.ts, since=since)
    await chat.update(spot, asking())
    assert (await chat.who("U0ALICE", groups=["S0MANAGERS"])).email


async def test_the_scopes_of_the_app_that_we_ship_are_enough() -> None:
    async with serving() as slack, chatting(slack) as chat:
        slack.world.tokens[BOT_TOKEN].scopes = shipped_scopes()
        await everything(chat)

        refused = [c.answer for c in slack.world.calls if c.answer and not c.answer["ok"]]
        assert refused == []


@pytest.mark.parametrize("scope", sorted(shipped_scopes() - {"groups:read", "groups:history"}))
async def test_none_of_the_scopes_of_the_app_that_we_ship_is_needless(scope: str) -> None:
    async with serving() as slack, chatting(slack) as chat:
        slack.world.tokens[BOT_TOKEN].scopes = shipped_scopes() - {scope}
        with contextlib.suppress(RolloutError, AssertionError):
            await everything(chat)

        answers = [call.answer for call in slack.world.calls if call.answer]
        silent = scope == "users:read.email"  # without it the e-mail is simply not told
        assert silent or any(not answer["ok"] for answer in answers)


async def test_no_token_no_text_and_no_address_of_an_answer_is_ever_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    clock = Hands()
    async with deciding(clock) as (slack, chat, _, ts):
        done = await slack.press(channel=DEPLOYS, ts=ts, action="rollout.approve", user="U0ALICE")
        await until(lambda: bool(told(slack)))
        for fault in Fault:
            spot = await chat.post(DEPLOYS, asking(), marker="1")
            slack.faults.plan("chat.update", fault, code="invalid_blocks", seconds=0.1, count=2)
            with contextlib.suppress(RolloutError):
                await chat.update(spot, asking(text="a secret"))
            slack.faults.clear()
            clock.ahead_seconds += 60

    assert len(slack.world.called("chat.update")) >= len(Fault)
    for secret in (BOT_TOKEN, APP_TOKEN, done.payload["response_url"], "a secret", "ticket="):
        assert secret not in caplog.text
