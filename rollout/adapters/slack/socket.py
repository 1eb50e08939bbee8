"""Slack's Socket Mode: presses come over a WebSocket that we open, so no address of ours is needed.

A client of our own over aiohttp, because the library's (3.48) cannot do what presses need. It
closes the old socket before it opens the next, so presses in between fail. It may acknowledge over
another socket than the press came by. It dials a ticket that has been used or has expired again,
for ever. It dials without a pause when Slack answers each dial with ``too_many_websockets``, and
starts a task for each frame, however many there are. And with a wrong token its ``connect`` neither
returns nor raises.

Here each dial has a ticket of its own, a socket counts once it has said hello, the next one is
ready before an old one that was told to go is closed, failures wait longer each time, and an
acknowledgement goes where its press came from.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp

from rollout.adapters.slack.options import Options
from rollout.api import press
from rollout.api.chat import REASON_BLOCK, Handle, Press
from rollout.base.errors import BadInput, ChatRefused, Overloaded, RolloutError
from rollout.ports import Clock

ACK_SECONDS_MAX = 3.0
"""After that Slack has told the person that it failed."""

HANDLED_COUNT_MAX = 50
"""Presses under way at a time; people do not press faster, and programs shall not. What is beyond
is not acknowledged."""

BACK_OFF_SECONDS_MAX = 60.0
"""Between two sockets that fail at once."""

STEADY_SECONDS = 10.0
"""A socket that lived so long has not failed at once."""

LEAVING_SECONDS_MAX = 10.0
"""How long a socket that was told to go is still listened to: Slack warns so long ahead."""

CLOSE_SECONDS = 1.0
"""For the other side's goodbye."""

_BROKEN = (aiohttp.ClientError, OSError, TimeoutError)


@dataclass(slots=True, eq=False)
class _Link:
    """One socket.

    Attributes:
        socket: it.
        opened_seconds: when, on the monotonic clock.
        over: set once the next one is wanted.
        hello: set once it can be used.
    """

    socket: aiohttp.ClientWebSocketResponse
    opened_seconds: float
    over: asyncio.Event = field(default_factory=asyncio.Event)
    hello: asyncio.Event = field(default_factory=asyncio.Event)


class SocketMode:
    """Holds a socket, one that works, for as long as it is asked to.

    Args:
        open_url: gives an address that a socket can be opened at, once.
        session: what it is opened with.
        clock: what waiting goes through.
        random: spreads the dials of many controllers.

    Attributes:
        connections_count: how many sockets of the app Slack knew of when the newest said hello;
            more than the controllers hold are ghosts, and draw presses that nobody gets.
    """

    def __init__(
        self,
        open_url: Callable[[], Awaitable[str]],
        *,
        session: aiohttp.ClientSession,
        options: Options,
        clock: Clock,
        random: Random,
    ) -> None:
        self.connections_count = 0
        self._open_url = open_url
        self._session = session
        self._options = options
        self._clock = clock
        self._random = random
        self._handled_count = 0
        self._links: set[_Link] = set()

    @property
    def listening(self) -> bool:
        """Whether a socket is open that has said hello."""
        return any(link.hello.is_set() and not link.socket.closed for link in self._links)

    async def serve(self, handle: Handle) -> None:
        """Until cancelled, or refused for good."""
        async with asyncio.TaskGroup() as group:
            refused = await self._keep(handle, group)
        raise refused

    async def _keep(self, handle: Handle, group: asyncio.TaskGroup) -> ChatRefused:
        """One socket after the other."""
        failures = 0
        while True:
            wait_seconds = 0.0
            try:
                link = await self._dial()
            except ChatRefused as refused:
                return refused
            except Overloaded as busy:
                wait_seconds = busy.retry_after_seconds
            except (RolloutError, *_BROKEN):
                pass  # the API or the socket cannot be reached: the wait grows
            else:
                group.create_task(self._listen(link, handle, group))
                await link.over.wait()
                lived_seconds = self._clock.monotonic_seconds() - link.opened_seconds
                if link.hello.is_set() and lived_seconds >= STEADY_SECONDS:
                    failures = 0
                    continue
            failures += 1
            await self._clock.sleep(max(wait_seconds, self._back_off_seconds(failures)))

    def _back_off_seconds(self, failures: int) -> float:
        longest = self._options.back_off_seconds * 2.0 ** min(failures - 1, 10)
        return min(longest, BACK_OFF_SECONDS_MAX) * self._random.uniform(0.5, 1.0)

    async def _dial(self) -> _Link:
        url = await self._open_url()
        socket = await self._session.ws_connect(
            url,
            heartbeat=self._options.heartbeat_seconds,
            proxy=self._options.proxy or None,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
        )
        return _Link(socket, self._clock.monotonic_seconds())

    async def _listen(self, link: _Link, handle: Handle, group: asyncio.TaskGroup) -> None:
        """All frames of a socket, until it is closed, breaks, or has been told to go for long."""
        self._links.add(link)
        try:
            async with asyncio.timeout(self._options.hello_seconds) as limit:
                async for frame in link.socket:
                    if frame.type is not aiohttp.WSMsgType.TEXT:
                        continue
                    told = _document(frame.data)
                    match told.get("type"):
                        case "hello":
                            self._greeted(link, told)
                            limit.reschedule(None)
                        case "disconnect":
                            link.over.set()
                            now_seconds = asyncio.get_running_loop().time()
                            limit.reschedule(now_seconds + LEAVING_SECONDS_MAX)
                        case _:
                            pressed = await self._envelope(link, told)
                            if pressed is not None:
                                self._handle(handle, pressed, group)
        except _BROKEN:
            pass  # whoever keeps the sockets opens the next
        finally:
            link.over.set()
            self._links.discard(link)
            await link.socket.close()

    def _greeted(self, link: _Link, told: Mapping[str, Any]) -> None:
        link.hello.set()
        count = told.get("num_connections")
        self.connections_count = count if isinstance(count, int) else 0

    async def _envelope(self, link: _Link, told: Mapping[str, Any]) -> Press | None:
        """The press in an envelope; None: there is none, or it has been seen to."""
        name = told.get("envelope_id")
        if not isinstance(name, str):
            return None
        ack = _Ack(link, name, self._clock, accepts=told.get("accepts_response_payload") is True)
        try:
            interactive = told.get("type") == "interactive"
            pressed = press.read(told.get("payload"), ack=ack) if interactive else None
        except BadInput:
            return None  # no press of ours: the person sees that it failed
        if pressed is None:
            await ack()
        return pressed

    def _handle(self, handle: Handle, pressed: Press, group: asyncio.TaskGroup) -> None:
        if self._handled_count >= HANDLED_COUNT_MAX:
            return

        async def handled() -> None:
            try:
                await handle(pressed)
            finally:
                self._handled_count -= 1

        self._handled_count += 1
        group.create_task(handled())


class _Ack:
    """Acknowledges one envelope, over the socket that it came by."""

    def __init__(self, link: _Link, envelope: str, clock: Clock, *, accepts: bool) -> None:
        self._link = link
        self._envelope = envelope
        self._clock = clock
        self._accepts = accepts
        self._since_seconds = clock.monotonic_seconds()
        self._done = False

    async def __call__(self, problem: str = "") -> bool:
        if self._done:
            return True
        answer: dict[str, Any] = {"envelope_id": self._envelope}
        if problem and self._accepts:
            answer["payload"] = {"response_action": "errors", "errors": {REASON_BLOCK: problem}}
        try:
            await self._link.socket.send_str(json.dumps(answer))
        except _BROKEN:
            return False
        self._done = True
        return self._clock.monotonic_seconds() - self._since_seconds < ACK_SECONDS_MAX


def _document(text: str) -> Mapping[str, Any]:
    """A frame; what is none says nothing."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
