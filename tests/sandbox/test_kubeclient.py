"""The small client, and the pilot's copy of the world that it feeds."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from rollout.base.errors import BadManifest, Denied, Gone, NotFound, Unreachable
from rollout.sandbox.kubeclient import Access, KubeClient, access_from
from rollout.sandbox.pilot.__main__ import SOURCES, Mirror

PODS = next(source for source in SOURCES if source.kind == "Pod")


def pod(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": name, "resourceVersion": str(version)}}


def listing(*items: dict[str, Any], version: int, token: str = "") -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version), "continue": token}, "items": list(items)}


class Server:
    """An API server that answers from two scripts: one for lists and one for watches."""

    def __init__(self) -> None:
        self.lists: deque[Any] = deque()
        self.watches: deque[list[dict[str, Any]]] = deque()
        self.asked: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.query_string)
        if "watch" not in request.query:
            found = self.lists.popleft()
            status = found.get("code", 200)
            return web.Response(body=orjson.dumps(found), status=status)
        response = web.StreamResponse()
        await response.prepare(request)
        if not self.watches:
            with contextlib.suppress(ConnectionError):
                await asyncio.sleep(60)
            return response
        for event in self.watches.popleft():
            await response.write(orjson.dumps(event) + b"\n")
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def test_a_list_is_read_page_by_page(server: Server) -> None:
    server.lists += [
        listing(pod("a", 1), version=5, token="t"),
        listing(pod("b", 2), version=5),
    ]

    async with KubeClient(Access(url=server.url)) as client:
        items, version = await client.list("/api/v1/pods")

    assert [item["metadata"]["name"] for item in items] == ["a", "b"]
    assert version == "5"
    assert server.asked == ["limit=500", "limit=500&continue=t"]


@pytest.mark.parametrize(("code", "kind"), [(404, NotFound), (410, Gone), (403, Denied)])
async def test_a_refusal_is_told_by_its_kind(
    server: Server, code: int, kind: type[Exception]
) -> None:
    server.lists.append({"code": code, "message": "no"})

    async with KubeClient(Access(url=server.url)) as client:
        with pytest.raises(kind):
            await client.list("/api/v1/pods")


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    async with KubeClient(Access(url="http://127.0.0.1:1")) as client:
        with pytest.raises(Unreachable):
            await client.call("GET", "/")


async def test_an_error_within_a_watch_is_raised(server: Server) -> None:
    server.watches.append([{"type": "ERROR", "object": {"code": 410, "message": "too old"}}])

    async with KubeClient(Access(url=server.url)) as client:
        with pytest.raises(Gone):
            await anext(client.watch("/api/v1/pods", "5"))


async def follow_until(mirror: Mirror, names: set[str]) -> None:
    """Follow the pods until the mirror holds exactly these."""
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(mirror.follow(PODS))
        while {item["metadata"]["name"] for item in mirror.objects()} != names:
            await mirror.changed.wait()
            mirror.changed.clear()
        following.cancel()


async def test_the_mirror_follows_what_is_added_and_deleted(server: Server) -> None:
    server.lists.append(listing(pod("a", 1), version=1))
    server.watches.append(
        [
            {"type": "ADDED", "object": pod("b", 2)},
            {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "7"}}},
            {"type": "DELETED", "object": pod("a", 8)},
        ]
    )

    async with KubeClient(Access(url=server.url)) as client:
        await follow_until(Mirror(client), {"b"})

    assert "resourceVersion=1" in server.asked[1]


async def test_the_mirror_goes_on_from_a_bookmark_when_a_watch_ends(server: Server) -> None:
    server.lists.append(listing(version=1))
    server.watches.append(
        [{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "7"}}}],
    )
    server.watches.append([{"type": "ADDED", "object": pod("b", 8)}])

    async with KubeClient(Access(url=server.url)) as client:
        await follow_until(Mirror(client), {"b"})

    assert "resourceVersion=7" in server.asked[2]


async def test_the_mirror_lists_again_when_it_has_lost_its_place(server: Server) -> None:
    server.lists += [listing(pod("a", 1), version=1), listing(pod("c", 9), version=9)]
    server.watches.append([{"type": "ERROR", "object": {"code": 410, "message": "too old"}}])

    async with KubeClient(Access(url=server.url)) as client:
        await follow_until(Mirror(client), {"c"})

    assert len([query for query in server.asked if query.startswith("limit")]) == 2


def test_a_kubeconfig_gives_server_and_token(tmp_path: Path) -> None:
    file = tmp_path / "config"
    config = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1/secret/"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    file.write_bytes(orjson.dumps(config))

    access = access_from(file)

    assert access.url == "http://127.0.0.1:1/secret"
    assert access.headers == {"Authorization": "Bearer t"}


def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("{}")

    with pytest.raises(BadManifest, match="name a kubeconfig with a current context"):
        access_from(file)
