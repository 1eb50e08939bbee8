"""Posts JSON to addresses that operators allow; one attempt, any 2xx is a yes."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from rollout.base.errors import HookRefused, Overloaded, Unreachable

TIMEOUT_SECONDS = 10.0
ANSWER_BYTES_MAX = 4096
"""How much of an answer is read: the begin of it is told to people."""

TOLD_LENGTH_MAX = 200

RETRY_AFTER_SECONDS = 5.0
"""Patience with a receiver that asks for it and does not say how much."""

IDEMPOTENCY_HEADER = "Idempotency-Key"
"""As the IETF draft ``httpapi-idempotency-key-header`` names it."""

_PATIENCE = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class HttpHooks:
    """A ports.Hooks; made inside the running loop, closed by its maker."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": "rollout"}
        )

    async def post(
        self,
        url: str,
        document: Mapping[str, Any],
        *,
        content_type: str,
        idempotency_key: str,
        timeout_seconds: float | None = None,
    ) -> None:
        """Post a document; see `ports.Hooks`."""
        shown = _shown(url)
        try:
            async with (
                asyncio.timeout(timeout_seconds or TIMEOUT_SECONDS),
                self._session.post(
                    url,
                    data=json.dumps(document).encode(),
                    headers={
                        "Content-Type": content_type,
                        IDEMPOTENCY_HEADER: f'"{idempotency_key}"',
                    },
                    allow_redirects=False,
                ) as answer,
            ):
                told = await answer.content.read(ANSWER_BYTES_MAX)
        except TimeoutError:
            why = f"no answer within {timeout_seconds or TIMEOUT_SECONDS:g} s"
            raise Unreachable(shown, why=why) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # What it says of itself may repeat the address, with all that is secret in it.
            why = str(error) if isinstance(error, aiohttp.ClientConnectorError) else ""
            raise Unreachable(shown, why=why or type(error).__name__) from None
        _check(url, answer, told)

    async def close(self) -> None:
        """Let go of connections."""
        await self._session.close()


def _check(url: str, answer: aiohttp.ClientResponse, told: bytes) -> None:
    shown = _shown(url)
    if 200 <= answer.status < 300:
        return
    if answer.status in _PATIENCE:
        raise Overloaded(shown, retry_after_seconds=_patience(answer.headers.get("Retry-After")))
    if answer.status >= 500:
        raise Unreachable(shown, why=f"it answered {answer.status}")
    text = " ".join(_without(url, told.decode("utf-8", "replace")).split())[:TOLD_LENGTH_MAX]
    raise HookRefused(shown, status_code=answer.status, told=text)


def _without(url: str, text: str) -> str:
    """What a server said, without the address that it may have repeated."""
    split = urlsplit(url)
    for part in (url, f"{split.path}?{split.query}", split.path, split.query):
        if len(part) > 1:
            text = text.replace(part, "…")
    return text


def _patience(header: str | None) -> float:
    """Seconds to wait; a date in place of them is not looked at."""
    try:
        seconds = float(header) if header else RETRY_AFTER_SECONDS
    except ValueError:
        return RETRY_AFTER_SECONDS
    return max(0.0, seconds) if math.isfinite(seconds) else RETRY_AFTER_SECONDS


def _shown(url: str) -> str:
    """An address as it may be told: secrets stand in its path, behind it, and before the @."""
    try:
        split = urlsplit(url)
        port = f":{split.port}" if split.port else ""
    except ValueError:
        return "an address that cannot be read"
    return f"{split.scheme}://{split.hostname}{port}"
