"""The adapter of the controller, pointed at the stand-in; and what it posts there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import Any

from rollout.adapters.clock import SystemClock
from rollout.adapters.slack import Options, SlackChat
from rollout.api.chat import Handle, Message, Press, Pressed, Spot
from tests.people.slackworld import APP_TOKEN, BOT_TOKEN, Slack

DEPLOYS = "C0DEPLOYS"


class Hands:
    """A clock that a test moves on; waiting really waits, a little."""

    def __init__(self) -> None:
        self.ahead_seconds = 0.0
        self.slept: list[float] = []
        self._real = SystemClock()

    def now(self) -> datetime:
        return self._real.now()

    def monotonic_seconds(self) -> float:
        return self._real.monotonic_seconds() + self.ahead_seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(min(seconds, 0.02))


def options_of(slack: Slack, **changes: Any) -> Options:
    found = Options(
        bot_token=BOT_TOKEN,
        app_token=APP_TOKEN,
        api_url=slack.base_url,
        hooks_url=f"{slack.address}/actions/",
        request_seconds=5.0,
        heartbeat_seconds=5.0,
        hello_seconds=5.0,
        back_off_seconds=0.02,
    )
    return replace(found, **changes)


@contextlib.asynccontextmanager
async def chatting(
    slack: Slack, *, clock: Hands | None = None, **changes: Any
) -> AsyncIterator[SlackChat]:
    chat = SlackChat(options_of(slack, **changes), clock=clock or Hands(), random=Random(1))
    try:
        yield chat
    finally:
        await chat.close()


@contextlib.asynccontextmanager
async def serving_presses(chat: SlackChat, handle: Handle) -> AsyncIterator[asyncio.Task[None]]:
    """The chat's socket, held while inside."""
    task = asyncio.ensure_future(chat.serve(handle))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def asking(*actions: str, text: str = "may it?", value: str = "v") -> Message:
    """A message with buttons."""
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": text}},
        {
            "type": "actions",
            "elements": [
                {
                    "type": "button",
                    "action_id": action,
                    "text": {"type": "plain_text", "text": action},
                    "value": value,
                }
                for action in actions
            ],
        },
    ]
    return Message(text=text, blocks=blocks if actions else blocks[:1])


async def heard(problem: str = "") -> bool:
    return not problem


def pressed(*, member: str = "U0ALICE", spot: Spot | None = None, **changes: Any) -> Press:
    """A press that nobody made."""
    found = Press(
        id="1",
        what=Pressed.BUTTON,
        member=member,
        action="yes",
        value="v",
        spot=spot,
        ack=heard,
    )
    return replace(found, **changes)


def acknowledging(seen: list[Press], then: Callable[[Press], Any] | None = None) -> Handle:
    """A handler that acknowledges everything."""

    async def handle(press: Press) -> None:
        seen.append(press)
        await press.ack()
        if then is not None:
            await then(press)

    return handle
