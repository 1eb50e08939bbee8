"""Posting to addresses, against a real server on loopback that behaves in every way."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from rollout.adapters.hooks import (
    ANSWER_BYTES_MAX,
    RETRY_AFTER_SECONDS,
    TOLD_LENGTH_MAX,
    HttpHooks,
)
from rollout.base.errors import HookRefused, Overloaded, RolloutError, Unreachable

HUGE_BYTES = 64 * 1024 * 1024
SECRET = "hunter2-do-not-tell"


@dataclass(kw_only=True)
class Receiver:
    """What it got, and what it does."""

    hooks: HttpHooks
    base: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    got: list[web.Request] = field(default_factory=list)
    documents: list[Any] = field(default_factory=list)
    sent_bytes: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.got.append(request)
        self.documents.append(await request.json())
        match request.match_info.get("how", ""):
            case "hang":
                await asyncio.sleep(60)
            case "drop":
                assert request.transport is not None
                request.transport.abort()
            case "huge":
                return await self._huge(request)
            case "trickle":
                return await self._trickle(request)
            case _:
                pass
        return web.Response(status=self.status, text=self.text, headers=self.headers)

    async def _huge(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=self.status)
        await answer.prepare(request)
        try:
            while self.sent_bytes < HUGE_BYTES:
                await answer.write(b"x" * 65_536)
                self.sent_bytes += 65_536
        except ConnectionError:
            pass
        return answer

    async def _trickle(self, request: web.Request) -> web.StreamResponse:
        """Headers at once, and then a byte now and again: never an end."""
        answer = web.StreamResponse(status=self.status)
        await answer.prepare(request)
        try:
            for _ in range(600):
                await answer.write(b".")
                await asyncio.sleep(0.1)
        except ConnectionError:
            pass
        return answer

    async def post(self, path: str = "/ok", *, timeout_seconds: float | None = None) -> None:
        await self.hooks.post(
            self.base + path,
            {"news": "Started", "name": "née"},
            content_type="application/json",
            idempotency_key="uid/7",
            timeout_seconds=timeout_seconds,
        )

    async def error(self, path: str = "/ok", *, timeout_seconds: float = 5) -> RolloutError:
        with pytest.raises(RolloutError) as caught:
            await self.post(path, timeout_seconds=timeout_seconds)
        return caught.value


@asynccontextmanager
async def receiving(**fields: Any) -> AsyncIterator[Receiver]:
    hooks = HttpHooks()
    receiver = Receiver(hooks=hooks, **fields)
    app = web.Application()
    app.router.add_route("*", "/{how:[^?]*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.base = f"http://{host}:{port}"
    try:
        yield receiver
    finally:
        await hooks.close()
        await runner.cleanup()


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
async def test_any_2xx_is_a_yes_peers_98(status: int) -> None:
    async with receiving(status=status) as receiver:
        await receiver.post()

        (request,) = receiver.got
        assert request.method == "POST"
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["Idempotency-Key"] == '"uid/7"'
        assert receiver.documents == [{"news": "Started", "name": "née"}]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_no_and_is_not_followed(status: int) -> None:
    async with receiving(status=status, headers={"Location": "/elsewhere"}) as receiver:
        error = await receiver.error()

        assert isinstance(error, HookRefused)
        assert error.status_code == status
        assert [request.path for request in receiver.got] == ["/ok"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
async def test_a_4xx_is_a_no_with_the_begin_of_what_was_said(status: int) -> None:
    async with receiving(status=status, text=f"two\n tests  fail {'x' * 9000}") as receiver:
        error = await receiver.error()

        assert isinstance(error, HookRefused)
        assert str(error).startswith(f"{receiver.base} answered {status}: two tests fail xxx")
        assert len(error.told) == TOLD_LENGTH_MAX


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "17"}, 17),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "-5"}, 0),
        ({}, RETRY_AFTER_SECONDS),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, RETRY_AFTER_SECONDS),
        ({"Retry-After": "nan"}, RETRY_AFTER_SECONDS),
        ({"Retry-After": "inf"}, RETRY_AFTER_SECONDS),
    ],
)
async def test_who_asks_for_patience_says_how_much(
    status: int, headers: dict[str, str], seconds: float
) -> None:
    async with receiving(status=status, headers=headers) as receiver:
        error = await receiver.error()

        assert isinstance(error, Overloaded)
        assert error.retry_after_seconds == seconds


@pytest.mark.parametrize("status", [500, 502, 504, 599])
async def test_any_other_5xx_is_no_answer(status: int) -> None:
    async with receiving(status=status, text="a page of a proxy") as receiver:
        error = await receiver.error()

        assert isinstance(error, Unreachable)
        assert error.why == f"it answered {status}"


async def test_one_that_hangs_is_cut_at_its_timeout_peers_99() -> None:
    async with receiving() as receiver:
        began = asyncio.get_running_loop().time()
        error = await receiver.error("/hang", timeout_seconds=0.2)

        assert isinstance(error, Unreachable)
        assert error.why == "no answer within 0.2 s"
        assert asyncio.get_running_loop().time() - began < 2


async def test_an_answer_that_never_ends_is_cut_at_the_timeout_too() -> None:
    async with receiving(status=409) as receiver:
        error = await receiver.error("/trickle", timeout_seconds=0.5)

        assert isinstance(error, HookRefused | Unreachable)


async def test_a_dropped_connection_is_no_answer() -> None:
    async with receiving() as receiver:
        error = await receiver.error("/drop")

        assert isinstance(error, Unreachable)
        assert error.why == "ServerDisconnectedError"


async def test_nobody_at_home_is_no_answer() -> None:
    async with receiving() as receiver:
        receiver.base = "http://127.0.0.1:1"
        error = await receiver.error()

        assert isinstance(error, Unreachable)
        assert error.server == "http://127.0.0.1:1"


@pytest.mark.parametrize("status", [200, 400])
async def test_of_a_huge_answer_only_the_begin_is_read(status: int) -> None:
    async with receiving(status=status) as receiver:
        if status == 200:
            await receiver.post("/huge")
        else:
            error = await receiver.error("/huge")
            assert isinstance(error, HookRefused)
            assert len(error.told) == TOLD_LENGTH_MAX
        await asyncio.sleep(0.1)

        assert receiver.sent_bytes < HUGE_BYTES // 2
        assert ANSWER_BYTES_MAX < HUGE_BYTES


SECRETIVE = (f"/services/{SECRET}", f"/ok?token={SECRET}", f"/{SECRET}/drop")


@pytest.mark.parametrize("path", SECRETIVE)
@pytest.mark.parametrize("status", [302, 404, 429, 500])
async def test_what_is_secret_in_an_address_is_in_no_error(path: str, status: int) -> None:
    async with receiving(status=status, text=f"Cannot POST {path}") as receiver:
        error = await receiver.error(path)

        assert SECRET not in f"{error} {error!r} {error.__cause__!r}"
        assert receiver.base in str(error)


@pytest.mark.parametrize(
    "url",
    [
        f"http://ci:{SECRET}@127.0.0.1:1/x",
        f"http://127.0.0.1:99999/{SECRET}",
        f"http://[{SECRET}/x",
        f"http://bad host/{SECRET}",
        f"http://127.0.0.1:1/{SECRET}",
        f"http://nowhere.invalid/{SECRET}",
    ],
)
async def test_an_address_that_leads_nowhere_is_no_answer_and_keeps_its_secret(url: str) -> None:
    hooks = HttpHooks()
    try:
        with pytest.raises(Unreachable) as caught:
            await hooks.post(url, {}, content_type="application/json", idempotency_key="a")
    finally:
        await hooks.close()

    assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"


async def test_a_name_and_a_password_in_an_address_are_sent_as_such() -> None:
    async with receiving() as receiver:
        receiver.base = receiver.base.replace("http://", f"http://ci:{SECRET}@")
        await receiver.post()

        (request,) = receiver.got
        scheme, _, encoded = request.headers["Authorization"].partition(" ")
        assert (scheme, base64.b64decode(encoded).decode()) == ("Basic", f"ci:{SECRET}")


async def test_cookies_are_not_kept_and_connections_do_not_grow_peers_101() -> None:
    async with receiving(headers={"Set-Cookie": "a=b"}) as receiver:
        for _ in range(200):
            await receiver.post()

        assert all("Cookie" not in request.headers for request in receiver.got)
        peers = {
            request.transport.get_extra_info("peername")
            for request in receiver.got
            if request.transport
        }
        assert len(peers) <= 2
