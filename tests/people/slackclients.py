"""Slack's own client library, pointed at the stand-in."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.people.slackworld import BOT_TOKEN, Slack

LOG = logging.getLogger("slack-sdk of the tests")
LOG.setLevel(logging.CRITICAL)


@contextlib.asynccontextmanager
async def client_of(
    slack: Slack, *, token: str = BOT_TOKEN, seconds: float = 5.0
) -> AsyncIterator[AsyncWebClient]:
    """A client with one session and no retries."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        client = AsyncWebClient(
            token, base_url=slack.base_url, session=session, retry_handlers=[], logger=LOG
        )
        client.proxy = None
        yield client


async def refusal(call: Any) -> dict[str, Any]:
    """The answer of a call that is refused."""
    try:
        await call
    except SlackApiError as error:
        answer: dict[str, Any] = error.response.data
        return answer
    message = "it was not refused"
    raise AssertionError(message)


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def button(action: str, *, value: str = "v", **more: Any) -> dict[str, Any]:
    text = {"type": "plain_text", "text": action}
    return {"type": "button", "action_id": action, "text": text, "value": value, **more}


def buttons(*actions: str) -> dict[str, Any]:
    return {"type": "actions", "elements": [button(action) for action in actions]}


async def until(condition: Callable[[], bool], *, seconds: float = 8.0) -> None:
    """Wait for what others bring about."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.005)
