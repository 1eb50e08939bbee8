"""The stand-in as a web server: Web API, response URLs, uploads, sockets, and its controls."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp
from aiohttp import web

from tests.people.slackworld import api, limits, presses
from tests.people.slackworld.faults import Fault, Faults, Planned
from tests.people.slackworld.presses import Delivered, Variety
from tests.people.slackworld.sockets import Sockets
from tests.people.slackworld.world import (
    RESPONSE_URL_SECONDS,
    RESPONSE_URL_USES,
    Call,
    Document,
    World,
)

NESTED = ("blocks", "metadata", "view", "files", "attachments")
"""Arguments that are JSON within a form or a query."""

PER_MINUTE = {"chat.update": 50, "conversations.history": 50, "conversations.replies": 50}
"""Calls a minute by method, for the whole workspace; others here have more than anybody needs."""

POSTS_SECONDS = 1.0

Done = Callable[[], Document]


class Slack:
    """A Slack that listens.

    Attributes:
        world: what there is in it.
        faults: what goes wrong.
        sockets: its Socket Mode.
        limited: whether it counts calls, as Slack does.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time, limited: bool = False) -> None:
        self.world = World(clock=clock)
        self.faults = Faults()
        self.sockets = Sockets(self.world)
        self.limited = limited
        self.address = ""
        self.presses: list[Delivered] = []
        self._api = api.Api(self.world, address=lambda: self.address)
        self._rates: dict[str, list[float]] = {}
        self._hanging = asyncio.Event()

    @property
    def base_url(self) -> str:
        return f"{self.address}/api/"

    def application(self) -> web.Application:
        app = web.Application(client_max_size=2**20)
        app.add_routes(
            [
                web.route("*", "/api/{method}", self._web_api),
                web.get("/link/", self.sockets.serve),
                web.post("/actions/{team}/{name}", self._response_url),
                web.post("/upload/{file}", self._upload),
            ]
        )
        return app

    # The Web API.

    async def _web_api(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        body = await request.read()
        arguments = await _arguments(request, body)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")

        def do() -> Document:
            return self._api.call(method, token if scheme == "Bearer" else "", arguments)

        planned = self.faults.strike(method)
        wait = self._wait_seconds(method, arguments)
        answer: web.StreamResponse
        if planned is not None:
            answer = await self._faulty(request, planned, do)
        elif wait > 0:
            answer = _ratelimited(wait)
        else:
            answer = web.json_response(do())
            known = self.world.tokens.get(token)
            if known is not None:
                answer.headers["x-oauth-scopes"] = ",".join(sorted(known.scopes))  # assumed
        self.world.calls.append(
            Call(
                method=method,
                verb=request.method,
                headers=dict(request.headers),
                body=body,
                arguments=arguments,
                answer=_told(answer),
                at=self.world.clock(),
            )
        )
        return answer

    def _wait_seconds(self, method: str, arguments: Mapping[str, Any]) -> float:
        """How long a call comes too early; 0: it may be made, and is counted."""
        if not self.limited:
            return 0.0
        key, most, within = method, PER_MINUTE.get(method, 10_000), 60.0
        if method == "chat.postMessage":
            key, most, within = f"{method}/{arguments.get('channel')}", 1, POSTS_SECONDS
        now = self.world.clock()
        recent = [at for at in self._rates.get(key, []) if now - at < within]
        if len(recent) >= most:
            return max(1.0, recent[0] + within - now)
        self._rates[key] = [*recent, now]
        return 0.0

    async def _faulty(self, request: web.Request, one: Planned, do: Done) -> web.StreamResponse:
        match one.fault:
            case Fault.RATELIMITED:
                return _ratelimited(one.seconds)
            case Fault.RATELIMITED_TEXT:
                return web.Response(
                    status=429, text="slow down", headers={"Retry-After": f"{one.seconds:.0f}"}
                )
            case Fault.STATUS_500:
                return web.json_response({"ok": False, "error": "internal_error"}, status=500)
            case Fault.HTML_503 | Fault.HTML_200:
                status = 503 if one.fault is Fault.HTML_503 else 200
                return web.Response(status=status, text="<html>", content_type="text/html")
            case Fault.CODE:
                return web.json_response({"ok": False, "error": one.code})
            case Fault.DROP_BEFORE | Fault.HANG_BEFORE:
                return await self._silent(request, one)
            case _:
                return await self._afterwards(request, one, do())

    async def _afterwards(
        self, request: web.Request, one: Planned, answer: Document
    ) -> web.StreamResponse:
        """It was done; what is told of it is another matter."""
        match one.fault:
            case Fault.INTERNAL_ERROR | Fault.FATAL_ERROR:
                return web.json_response({"ok": False, "error": one.fault.value})
            case Fault.BROKEN_JSON:
                return web.Response(text='{"ok": tr', content_type="application/json")
            case Fault.SLOW_BODY:
                return await self._slow(request, one, json.dumps(answer).encode())
            case _:
                return await self._silent(request, one)

    async def _silent(self, request: web.Request, one: Planned) -> web.Response:
        if one.fault in {Fault.HANG_BEFORE, Fault.HANG_AFTER}:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hanging.wait(), one.seconds)
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    async def _slow(self, request: web.Request, one: Planned, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for begin in range(0, len(body), 16):
                await response.write(body[begin : begin + 16])
                await asyncio.sleep(one.seconds / max(1, len(body) // 16))
        return response

    # Answers to presses, and files.

    async def _response_url(self, request: web.Request) -> web.Response:
        found = self.world.response_urls.get(request.match_info["name"])
        body = json.loads(await request.read())
        self.world.calls.append(
            Call(
                method="response_url",
                verb="POST",
                headers=dict(request.headers),
                body=b"",
                arguments=body,
                answer=None,
                at=self.world.clock(),
            )
        )
        planned = self.faults.strike("response_url")
        if planned is not None:
            return web.json_response({"ok": False, "error": planned.code or "fault"}, status=500)
        now = self.world.clock()
        expired = found is None or now - found.at > RESPONSE_URL_SECONDS
        if found is None or expired or found.uses >= RESPONSE_URL_USES:
            return web.json_response({"ok": False, "error": "expired_url"}, status=404)
        wrong, odd = limits.of_message(body["blocks"]) if body.get("blocks") else ([], [])
        if wrong:
            return web.json_response({"ok": False, "error": "invalid_blocks"}, status=400)
        self.world.warnings += odd
        found.uses += 1
        self._responded(found.channel, found.ts, found.user, body)
        return web.Response(text="ok")

    def _responded(self, channel: str, ts: str, user: str, body: Document) -> None:
        place = self.world.channels[channel]
        message: Document = {
            "type": "message",
            **{k: copy.deepcopy(v) for k, v in body.items() if k in {"text", "blocks"}},
        }
        if body.get("delete_original"):
            api.remove(place, ts)
        elif body.get("replace_original"):
            place.messages[ts].update(message)
        elif body.get("response_type") == "in_channel":
            stamp = self.world.stamp(place)
            place.messages[stamp] = {**message, "ts": stamp, "bot_id": "B0ROLLOUT"}
        else:
            stamp = self.world.stamp(place)
            place.ephemerals.append({**message, "ts": stamp, "to": user})

    async def _upload(self, request: web.Request) -> web.Response:
        upload = self.world.uploads.get(request.match_info["file"])
        body = await request.read()
        if upload is None or len(body) != upload.length:
            return web.Response(status=400, text="wrong length")
        upload.received = len(body)
        return web.Response(text=f"OK - {len(body)}")

    # What people do.

    async def press(
        self, *, channel: str, ts: str, action: str, user: str, variety: Variety = presses.PLAIN
    ) -> Delivered:
        """Somebody presses a button; gives how that went for them."""
        payload = presses.press(
            self.world,
            address=self.address,
            channel=channel,
            ts=ts,
            action=action,
            user=user,
            variety=variety,
        )
        return await self.deliver(payload)

    async def submit(
        self, view: str, *, reason: str | None = None, variety: Variety = presses.PLAIN
    ) -> Delivered:
        """Somebody fills in all inputs of a dialog with the same text, and sends it."""
        inputs = [b for b in self.world.views[view].document["blocks"] if b["type"] == "input"]
        values = {
            b["block_id"]: {} if reason is None else {b["element"]["action_id"]: reason}
            for b in inputs
        }
        payload = presses.submission(self.world, view=view, values=values, variety=variety)
        delivered = await self.deliver(payload)
        presses.settle(self.world, view=view, delivered=delivered)
        return delivered

    async def deliver(self, payload: Document) -> Delivered:
        """Over a socket, or by HTTP where the app has an address."""
        if self.world.request_url:
            delivered = await self._post(payload)
        else:
            if self.sockets.switches.twice:
                self.presses.append(await self.sockets.send(payload))
            delivered = await self.sockets.send(payload)
        self.presses.append(delivered)
        return delivered

    async def _post(self, payload: Document) -> Delivered:
        timestamp = int(self.world.clock())
        body, headers = presses.signed(
            payload, secret=self.world.signing_secret, timestamp=timestamp
        )
        return await self.post(body, headers, payload=payload)

    async def post(
        self, body: bytes, headers: Mapping[str, str], *, payload: Document | None = None
    ) -> Delivered:
        """Any request to the app's address, honest or not."""
        delivered = Delivered(payload=payload or {})
        timeout = aiohttp.ClientTimeout(total=self.sockets.ack_seconds)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self.world.request_url, data=body, headers=headers) as answer,
            ):
                text = await answer.text()
                delivered.status = answer.status
                delivered.result = "acknowledged" if answer.status == 200 else "refused"
                delivered.answer = json.loads(text) if text.startswith("{") else None
        except (TimeoutError, aiohttp.ClientError):
            delivered.result = "timeout"
        return delivered

    def let_go(self) -> None:
        """Whoever hangs is let go."""
        self._hanging.set()


@contextlib.asynccontextmanager
async def serving(
    *,
    clock: Callable[[], float] = time.time,
    limited: bool = False,
    host: str = "127.0.0.1",
    port: int = 0,
    extend: Callable[[Slack, web.Application], None] | None = None,
) -> AsyncIterator[Slack]:
    """A Slack that listens on the loopback while inside."""
    slack = Slack(clock=clock, limited=limited)
    app = slack.application()
    if extend is not None:
        extend(slack, app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        slack.address = f"http://{host}:{runner.addresses[0][1]}"
        yield slack
    finally:
        slack.let_go()
        for link in slack.sockets.live:
            slack.sockets.cut(link)
        await runner.cleanup()


async def _arguments(request: web.Request, body: bytes) -> Document:
    """From query, form and JSON alike."""
    found: Document = dict(request.query)
    if request.content_type == "application/json":
        found |= json.loads(body or b"{}")
    elif body:
        found |= {key: str(value) for key, value in (await request.post()).items()}
    for name in NESTED:
        if isinstance(found.get(name), str):
            with contextlib.suppress(ValueError):
                found[name] = json.loads(found[name])
    return found


def _ratelimited(seconds: float) -> web.Response:
    return web.json_response(
        {"ok": False, "error": "ratelimited"},
        status=429,
        headers={"Retry-After": str(max(1, round(seconds)))},
    )


def _told(answer: web.StreamResponse) -> Document | None:
    """The document that was answered; None: it was none."""
    if not isinstance(answer, web.Response) or answer.content_type != "application/json":
        return None
    with contextlib.suppress(ValueError):
        document: Document = json.loads(answer.text or "")
        return document
    return None
