"""Socket Mode from Slack's side: tickets, hello, envelopes, and all the ways a socket ends."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from tests.people.slackworld.presses import Delivered
from tests.people.slackworld.world import APP, World

CONNECTIONS_MAX = 10
ACK_SECONDS = 3.0
HOST = "applink-1"


@dataclass(slots=True, eq=False)
class Link:
    """A connection, or the ghost of one."""

    id: int
    socket: web.WebSocketResponse
    request: web.Request
    ghost: bool = False


@dataclass(slots=True)
class Waiting:
    """An envelope that nobody has acknowledged yet."""

    link: Link
    accepts: bool
    heard: asyncio.Future[Any]


@dataclass(slots=True)
class Switches:
    """How the sockets misbehave."""

    hello: bool = True
    hello_delay_seconds: float = 0.0
    mute: bool = False
    """No pong is sent."""
    ghosts: bool = False
    """Closed connections stay registered and draw presses."""
    crowded: bool = False
    """Every connection is told that there are too many."""
    twice: bool = False
    """Each press is delivered twice, over any sockets."""
    handshake_status: int = 0
    """Refuse the handshake with this status."""


@dataclass(slots=True)
class Sockets:
    """All connections of the app."""

    world: World
    switches: Switches = field(default_factory=Switches)
    links: list[Link] = field(default_factory=list)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    dials: int = 0
    ack_seconds: float = ACK_SECONDS
    random: random.Random = field(default_factory=lambda: random.Random(7))

    @property
    def live(self) -> list[Link]:
        return [link for link in self.links if not link.ghost]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The handshake, and then the life of a connection."""
        self.dials += 1
        if self.switches.handshake_status:
            return web.Response(status=self.switches.handshake_status)
        if not self.world.take(request.query.get("ticket", "")):
            return web.Response(status=404, text="ticket expired")
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        link = Link(self.dials, socket, request)
        if self.switches.crowded or len(self.links) >= CONNECTIONS_MAX:
            await self.disconnect(link, "too_many_websockets")
            return socket
        self.links.append(link)
        try:
            await self._hello(link)
            async for frame in socket:
                await self._frame(link, frame.type, frame.data)
        finally:
            link.ghost = True
            if not self.switches.ghosts:
                self.links.remove(link)
        return socket

    async def _hello(self, link: Link) -> None:
        if not self.switches.hello:
            return
        await asyncio.sleep(self.switches.hello_delay_seconds)
        await self.say(
            link,
            {
                "type": "hello",
                "connection_info": {"app_id": APP},
                "num_connections": len(self.links),
                "debug_info": {"host": HOST, "approximate_connection_time": 18060},
            },
        )

    async def _frame(self, link: Link, kind: WSMsgType, data: Any) -> None:
        if kind is WSMsgType.PING and not self.switches.mute:
            await link.socket.pong(data)
        elif kind is WSMsgType.TEXT:
            self._acknowledged(link, data)

    def _acknowledged(self, link: Link, text: str) -> None:
        try:
            answer = json.loads(text)
            envelope = answer["envelope_id"]
        except (ValueError, KeyError, TypeError):
            self.violations.append("a frame that is no acknowledgement")
            return
        waiting = self.waiting.get(envelope)
        if waiting is None:
            known = "twice, or too late" if envelope in self.done else "of an unknown envelope"
            self.violations.append(f"an acknowledgement {known}")
            return
        if waiting.link is not link:
            self.violations.append("an acknowledgement over another socket")
        if "payload" in answer and not waiting.accepts:
            self.violations.append("a payload in an acknowledgement that takes none")
        if not waiting.heard.done():
            waiting.heard.set_result(answer.get("payload"))

    async def say(self, link: Link, frame: Mapping[str, Any]) -> None:
        await link.socket.send_str(json.dumps(frame))

    async def disconnect(self, link: Link, reason: str, *, close: bool = True) -> None:
        """Tell a connection to go; ``warning`` comes some seconds before the end."""
        await self.say(link, {"type": "disconnect", "reason": reason, "debug_info": {"host": HOST}})
        if close:
            await link.socket.close(code=WSCloseCode.GOING_AWAY)

    def cut(self, link: Link) -> None:
        """The wire is cut: no close frame."""
        if link.request.transport is not None:
            link.request.transport.abort()

    async def ping(self) -> None:
        for link in self.live:
            await link.socket.ping(b"from the server")

    async def raw(self, text: str) -> None:
        """Any text as a frame, to everybody."""
        for link in self.live:
            await link.socket.send_str(text)

    async def send(
        self,
        payload: Mapping[str, Any],
        *,
        kind: str = "interactive",
        accepts: bool = True,
    ) -> Delivered:
        """One envelope to one connection at random, and three seconds for its acknowledgement."""
        delivered = Delivered(payload=dict(payload), envelope=str(uuid.uuid4()))
        if not self.links:
            delivered.result = "no socket"
            return delivered
        link = self.random.choice(self.links)
        heard = asyncio.get_running_loop().create_future()
        self.waiting[delivered.envelope] = Waiting(link, accepts, heard)
        envelope = {
            "envelope_id": delivered.envelope,
            "type": kind,
            "payload": payload,
            "accepts_response_payload": accepts,
        }
        try:
            if not link.ghost:
                await self.say(link, envelope)
            delivered.answer = await asyncio.wait_for(heard, self.ack_seconds)
            delivered.result = "acknowledged"
        except (TimeoutError, ConnectionError):
            delivered.result = "timeout"
        finally:
            del self.waiting[delivered.envelope]
            self.done.add(delivered.envelope)
        return delivered

    async def event(self, payload: Mapping[str, Any], *, attempts: int = 4) -> list[Delivered]:
        """An event, which unlike a press is tried again three times, with a new envelope."""
        tried = []
        for attempt in range(attempts):
            more = {"retry_attempt": attempt, "retry_reason": "timeout" if attempt else ""}
            done = await self.send({**payload, **more}, kind="events_api", accepts=False)
            tried.append(done)
            if done.result == "acknowledged":
                break
        return tried
