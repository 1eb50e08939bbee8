"""The door for presses that Slack sends by HTTP, where no socket can be held.

Whoever is not Slack gets 401 and not a word. What comes in is the same `Press` as over a socket,
and its ``ack`` is the answer to the request, so it has to be given within three seconds; what
``handle`` does after that may take longer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from rollout.api import press
from rollout.api.chat import REASON_BLOCK, Handle
from rollout.base.errors import BadInput
from rollout.ports import Clock
from rollout.web.signature import Verifier

PATH = "/slack/interactivity"
"""The request URL of the app ends so."""

BODY_BYTES_MAX = 512 * 1024
"""The payload has the whole message in it, and percent signs make it three times as long."""

ACK_SECONDS_MAX = 3.0
"""After that Slack has told the person that it failed."""

ANSWER_SECONDS_MAX = 2.7
"""Reading and keeping a press may take so long; then the person is told that it failed."""

AFTERWARDS_SECONDS_MAX = 30.0
"""What is done about a press after it was acknowledged may take so long."""

HANDLED_COUNT_MAX = 50
"""Presses under way at a time."""


class Door:
    """Takes presses.

    Args:
        handle: what is done about a press.
        secrets: signing secrets of the app.
        clock: the time.
    """

    def __init__(self, handle: Handle, *, secrets: Sequence[str], clock: Clock) -> None:
        self._handle = handle
        self._verifier = Verifier(secrets)
        self._clock = clock
        self._handled_count = 0

    def application(self) -> web.Application:
        """The one route."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.add_routes([web.post(PATH, self.interactivity)])
        return app

    async def interactivity(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        if self._handled_count >= HANDLED_COUNT_MAX:
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        self._handled_count += 1
        ack = _Ack(request, self._clock)
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX) as limit:
                ack.limit = limit
                refusal = await self._taken(request, ack)
        except TimeoutError:
            refusal = HTTPStatus.SERVICE_UNAVAILABLE
        finally:
            self._handled_count -= 1
        return ack.response or web.Response(status=refusal)

    async def _taken(self, request: web.Request, ack: _Ack) -> HTTPStatus:
        """Handle what is in a request; gives the status where nobody has acknowledged it."""
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return HTTPStatus.UNAUTHORIZED
        genuine = self._verifier.accepts(
            timestamp=request.headers.get("X-Slack-Request-Timestamp", ""),
            signature=request.headers.get("X-Slack-Signature", ""),
            body=body,
            now_seconds=self._clock.now().timestamp(),
        )
        if not genuine:
            return HTTPStatus.UNAUTHORIZED
        try:
            pressed = press.read(_payload(body), ack=ack)
        except BadInput:
            return HTTPStatus.BAD_REQUEST
        if pressed is None:
            return HTTPStatus.OK
        await self._handle(pressed)
        return HTTPStatus.SERVICE_UNAVAILABLE


class _Ack:
    """Answers a request at once, while what it asked for goes on."""

    def __init__(self, request: web.Request, clock: Clock) -> None:
        self.response: web.Response | None = None
        self.limit: asyncio.Timeout | None = None
        self._request = request
        self._clock = clock
        self._since_seconds = clock.monotonic_seconds()

    async def __call__(self, problem: str = "") -> bool:
        if self.response is not None:
            return True
        self.response = web.Response(status=HTTPStatus.OK)
        if problem:
            told = {"response_action": "errors", "errors": {REASON_BLOCK: problem}}
            self.response = web.json_response(told)
        if self.limit is not None:
            self.limit.reschedule(asyncio.get_running_loop().time() + AFTERWARDS_SECONDS_MAX)
        try:
            await self.response.prepare(self._request)
            await self.response.write_eof()
        except OSError:
            return False
        return self._clock.monotonic_seconds() - self._since_seconds < ACK_SECONDS_MAX


@contextlib.asynccontextmanager
async def serving(
    handle: Handle, *, secrets: Sequence[str], clock: Clock, host: str, port: int
) -> AsyncIterator[int]:
    """The door, open while inside; gives the port."""
    app = Door(handle, secrets=secrets, clock=clock).application()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=AFTERWARDS_SECONDS_MAX)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _payload(body: bytes) -> Mapping[str, Any] | None:
    """The document in a form; of one that asks for no more than a sign of life, an empty one."""
    try:
        form = parse_qs(body.decode(), max_num_fields=10)
        if "ssl_check" in form:
            return {}
        document = json.loads(form["payload"][0])
    except (ValueError, KeyError, RecursionError) as error:
        problem = "a request of Slack's has no payload"
        raise BadInput(problem) from error
    return document if isinstance(document, dict) else None
