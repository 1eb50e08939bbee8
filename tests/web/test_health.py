"""/healthz, /readyz and /metrics, as a kubelet and a scraper see them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from rollout.web import health


@dataclass
class Loop:
    """What is examined, in any state."""

    leading: bool = False
    stuck: str = ""
    silent_seconds: float = 0.0
    filled: bool = True
    kinds: tuple[str, ...] = ()

    def unhealthy(self) -> str:
        return self.stuck

    def unheard_seconds(self) -> float:
        return self.silent_seconds

    def synced(self) -> bool:
        return self.filled

    def denied(self) -> tuple[str, ...]:
        return self.kinds


@asynccontextmanager
async def asking(loop: Loop, text: bytes = b"") -> AsyncIterator[Any]:
    """A function from a path to (status, content type, body)."""
    async with (
        health.serving(loop, lambda: text, host="127.0.0.1", port=0) as port,
        aiohttp.ClientSession() as session,
    ):

        async def ask(path: str) -> tuple[int, str, Any]:
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                kind = response.headers["Content-Type"]
                body = await (response.json() if "json" in kind else response.read())
                return response.status, kind, body

        yield ask


async def test_a_loop_that_moves_and_hears_the_api_server_is_healthy() -> None:
    async with asking(Loop(silent_seconds=60)) as ask:
        status, _, told = await ask("/healthz")

    assert (status, told) == (200, {"ok": True, "because": ""})


@pytest.mark.parametrize(
    ("loop", "because"),
    [
        (Loop(stuck="a reconcile has been under way for 120 s"), "under way for 120 s"),
        (Loop(silent_seconds=200), "the API server has said nothing for 200 s"),
    ],
)
async def test_a_stuck_loop_or_a_silent_api_server_is_not_healthy_and_says_why(
    loop: Loop, because: str
) -> None:
    async with asking(loop) as ask:
        status, _, told = await ask("/healthz")

    assert status == 503
    assert because in told["because"]


@pytest.mark.parametrize("leading", [True, False])
async def test_leader_and_warm_standby_are_ready(leading: bool) -> None:
    async with asking(Loop(leading=leading)) as ask:
        status, _, told = await ask("/readyz")

    assert (status, told["leading"]) == (200, leading)


async def test_with_empty_caches_nobody_is_ready() -> None:
    async with asking(Loop(filled=False)) as ask:
        status, _, told = await ask("/readyz")

    assert status == 503
    assert "caches" in told["because"]


async def test_metrics_are_served_in_the_text_format() -> None:
    async with asking(Loop(), b"rollout_leader 1.0\n") as ask:
        status, kind, body = await ask("/metrics")

    assert (status, body) == (200, b"rollout_leader 1.0\n")
    assert kind == "text/plain; version=0.0.4; charset=utf-8"


async def test_nothing_else_is_served() -> None:
    async with asking(Loop()) as ask:
        status, _, _ = await ask("/")

    assert status == 404


async def test_kinds_that_may_not_be_read_are_told_by_one_who_is_ready_all_the_same() -> None:
    async with asking(Loop(kinds=("Sidecar",))) as ask:
        status, _, told = await ask("/readyz")

    assert (status, told["denied"]) == (200, ["Sidecar"])
