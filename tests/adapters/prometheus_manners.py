"""A server on loopback whose manners a test decides."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from aiohttp import web

GOOD = {"status": "success", "data": {"resultType": "vector", "result": []}}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Server:
    """What a server was asked, and how it answers.

    Attributes:
        manners: answers the next requests.
        asked: the forms received, as (method, path with query, headers, body).
    """

    manners: Handler
    url: str = ""
    asked: list[tuple[str, str, dict[str, str], dict[str, list[str]]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        form = parse_qs(await request.text())
        self.asked.append((request.method, request.path_qs, dict(request.headers), form))
        return await self.manners(request)


async def well(_: web.Request) -> web.StreamResponse:
    return web.json_response(GOOD)


def answers(
    body: str | bytes, *, status: int = 200, kind: str = "application/json", **headers: str
) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        raw = body.encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(body=raw, status=status, headers={"Content-Type": kind, **named})

    return handler


def error(kind: str, text: str, *, status: int, **headers: str) -> Handler:
    body = f'{{"status":"error","errorType":"{kind}","error":"{text}"}}'
    return answers(body, status=status, **headers)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    folder.mkdir()
    cert, key = folder / "cert.pem", folder / "key.pem"
    argv = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    more = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([*argv.split(), *more, *files], check=True, capture_output=True)
    return cert, key


def no_thread_is_left() -> bool:
    return not any(one.name.startswith("prometheus") for one in threading.enumerate())


async def until(condition: Callable[[], bool]) -> None:
    """Threads set no asyncio.Event, so look again and again; the test's timeout bounds it."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
