"""The adapter before servers that speak, or do not speak, as istiod does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from rollout.adapters import istiod
from rollout.adapters.istiod import IstiodMesh
from rollout.base.errors import BrokenAnswer, RolloutError, Unreachable
from rollout.ports import WORDS_LENGTH_MAX, Nonces, Proxy, XdsType

FULL = {
    "CDS": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    "EDS": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    "LDS": "type.googleapis.com/envoy.config.listener.v3.Listener",
    "RDS": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
}
SENT_AT = "2026-11-28T08:05:41.411234567Z"


def entry(name: str = "client-1.shop", **types: tuple[str, str, str]) -> dict[str, Any]:
    """A proxy as istiod 1.31 tells of it: sent, acked and error by type."""
    resources = {
        FULL[kind]: {"sent": sent, "acked": acked, "sentTime": SENT_AT}
        | ({"lastError": error} if error else {})
        for kind, (sent, acked, error) in types.items()
    }
    return {"proxy": name, "proxy_type": "sidecar", "resources": resources}


@asynccontextmanager
async def serving(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], *, host: str = "127.0.0.1"
) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/debug/syncz", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, 0)
    await site.start()
    port: int = runner.addresses[0][1]
    try:
        yield port
    finally:
        await runner.cleanup()


def says(document: Any, *, status: int = 200) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=orjson.dumps(document))

    return answer


async def ask(
    port: int, *, token_file: Path | None = None, addresses: tuple[str, ...] = ()
) -> tuple[Proxy, ...]:
    async def resolve(host: str) -> tuple[str, ...]:
        assert host == "istiod"
        return addresses or ("127.0.0.1",)

    mesh = IstiodMesh(f"http://istiod:{port}", token_file=token_file, resolve=resolve)
    try:
        return await mesh.proxies()
    finally:
        await mesh.close()


async def refusal(
    port: int, *, token_file: Path | None = None, addresses: tuple[str, ...] = ()
) -> RolloutError:
    with pytest.raises(RolloutError) as caught:
        await ask(port, token_file=token_file, addresses=addresses)
    return caught.value


async def test_each_proxy_tells_what_it_was_sent_what_it_took_and_why_not() -> None:
    document = [
        entry(CDS=("a", "a", ""), EDS=("b", "b", ""), LDS=("c", "c", ""), RDS=("e", "d", "no\n")),
        {"proxy": "ztunnel-1.istio-system", "resources": {}},
    ]
    async with serving(says(document)) as port:
        found = await ask(port)

    assert found == (
        Proxy(
            name="client-1.shop",
            nonces={
                XdsType.CDS: Nonces(sent="a", acked="a"),
                XdsType.EDS: Nonces(sent="b", acked="b"),
                XdsType.LDS: Nonces(sent="c", acked="c"),
                XdsType.RDS: Nonces(sent="e", acked="d", error="no"),
            },
        ),
    )


async def test_the_age_of_a_push_is_told_by_the_clock_of_istiod() -> None:
    told: dict[str, Any] = {
        "RDS": ("2026-11-28T08:05:41Z/13b41e2c", "2026-11-28T09:04:41+01:00/1277ad20", ""),
        "CDS": ("2026-11-28/13", "2026-11-28T08:05:41/13", ""),
        "EDS": ("3", "yesterday/3", ""),
    }

    async def answer(_: web.Request) -> web.Response:
        date = {"Date": "Sat, 28 Nov 2026 08:05:44 GMT"}
        return web.Response(body=orjson.dumps([entry(**told)]), headers=date)

    async with serving(answer) as port:
        (found,) = await ask(port)

    ages = {k: (n.sent_age_seconds, n.acked_age_seconds) for k, n in found.nonces.items()}
    assert ages == {
        XdsType.RDS: (3.0, 63.0),
        XdsType.CDS: (None, None),
        XdsType.EDS: (None, None),
    }


@pytest.mark.parametrize("date", ["", "today", "Sat, 28 Nov 2026 08:05:44 -0000"])
async def test_an_istiod_that_does_not_tell_the_time_tells_no_ages(date: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        document = [entry(RDS=("2026-11-28T08:05:41Z/13b41e2c", "", ""))]
        return web.Response(body=orjson.dumps(document), headers={"Date": date})

    async with serving(answer) as port:
        (found,) = await ask(port)

    assert found.nonces[XdsType.RDS].sent_age_seconds is None


async def test_the_flat_fields_of_older_releases_are_read_too() -> None:
    flat = {"proxy": "gw-1.shop", "cluster_sent": "a", "cluster_acked": "a", "route_sent": "b"}
    async with serving(says([flat])) as port:
        (found,) = await ask(port)

    assert found.nonces == {
        XdsType.CDS: Nonces(sent="a", acked="a"),
        XdsType.RDS: Nonces(sent="b", acked=""),
    }


@pytest.mark.parametrize("document", [[], None])
async def test_an_istiod_without_proxies_has_none(document: object) -> None:
    async with serving(says(document)) as port:
        assert await ask(port) == ()


async def test_an_error_as_long_as_a_resource_is_cut() -> None:
    async with serving(says([entry(RDS=("b", "a", "x" * 10_000))])) as port:
        (found,) = await ask(port)

    assert len(found.nonces[XdsType.RDS].error) == WORDS_LENGTH_MAX


async def test_of_a_proxy_that_two_replicas_know_the_newest_connection_counts() -> None:
    old = entry(RDS=("old", "", ""))
    old["resources"][FULL["RDS"]]["sentTime"] = "2026-11-28T08:00:00Z"
    for document in ([old, entry(RDS=("new", "new", ""))], [entry(RDS=("new", "new", "")), old]):
        async with serving(says(document)) as port:
            (found,) = await ask(port)

        assert found.nonces[XdsType.RDS].sent == "new"


async def test_every_address_of_the_host_is_asked_and_one_that_is_silent_is_an_error() -> None:
    both = ("127.0.0.1", "127.0.0.2")
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        asked.append(request.transport.get_extra_info("sockname")[0])
        return web.Response(body=orjson.dumps([entry(f"{asked[-1]}.shop", CDS=("1", "1", ""))]))

    async with serving(answer) as port:
        error = await refusal(port, addresses=both)
    assert isinstance(error, Unreachable)
    assert "127.0.0.2" in str(error)

    asked.clear()
    async with serving(answer, host="0.0.0.0") as port:
        names = [one.name for one in await ask(port, addresses=both)]
    assert asked == ["127.0.0.1", "127.0.0.2"]
    assert names == ["127.0.0.1.shop", "127.0.0.2.shop"]


async def test_the_token_is_read_again_for_every_look_and_shown(tmp_path: Path) -> None:
    shown: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        shown.append(request.headers.get("Authorization", ""))
        return web.Response(body=b"[]")

    file = tmp_path / "token"
    async with serving(answer) as port:
        for token in ("first", "second\n"):
            file.write_text(token)
            await ask(port, token_file=file)
        await ask(port)

    assert shown == ["Bearer first", "Bearer second", ""]


async def test_without_the_token_file_nothing_is_asked_and_it_is_named(tmp_path: Path) -> None:
    async with serving(says([])) as port:
        error = await refusal(port, token_file=tmp_path / "absent")

    assert isinstance(error, Unreachable)
    assert str(tmp_path / "absent") in str(error)


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, "give --istiod-token-file a token with the audience istio-ca"),
        (403, "DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES"),
        (404, "ENABLE_DEBUG_ON_HTTP"),
    ],
)
async def test_a_refusal_says_what_to_do_about_it(status: int, remedy: str) -> None:
    async with serving(says([], status=status)) as port:
        error = await refusal(port)

    assert isinstance(error, BrokenAnswer)
    assert remedy in str(error)


@pytest.mark.parametrize("status", [302, 500, 503])
async def test_other_answers_are_those_of_a_server_that_is_not_there(status: int) -> None:
    async with serving(says([], status=status)) as port:
        error = await refusal(port)

    assert isinstance(error, Unreachable)
    assert f"status {status}" in str(error)


@pytest.mark.parametrize("document", ["text", {"a": 1}, [{"resources": {FULL["RDS"]: 1}}], [1]])
async def test_what_is_no_answer_of_istiod_is_a_broken_one(document: object) -> None:
    async with serving(says(document)) as port:
        assert isinstance(await refusal(port), BrokenAnswer)


async def test_text_that_is_no_json_is_a_broken_answer() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="<html>")

    async with serving(answer) as port:
        assert isinstance(await refusal(port), BrokenAnswer)


async def test_an_answer_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(istiod, "BODY_BYTES_MAX", 1000)
    async with serving(says([entry(f"p{i}.shop", CDS=("1", "1", "")) for i in range(50)])) as port:
        error = await refusal(port)

    assert isinstance(error, BrokenAnswer)
    assert "larger than 1,000 bytes" in str(error)


def readers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("istiod")]


async def test_answers_are_read_beside_the_loop_in_one_thread_that_ends_with_the_connection() -> (
    None
):
    async with serving(says([entry(CDS=("1", "1", ""))])) as port:
        mesh = IstiodMesh(f"http://127.0.0.1:{port}")
        for _ in range(3):
            await mesh.proxies()
        (reader,) = readers()

        await mesh.close()
        reader.join(timeout=1)

    assert not reader.is_alive()


async def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(istiod, "LOOK_SECONDS_MAX", 0.2)
    over = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    async with serving(answer) as port:
        error = await refusal(port)
        over.set()

    assert "no answer within 0.2 s" in str(error)


@pytest.mark.parametrize("host", ["istiod.invalid", "a" * 70, "istiod..svc"])
async def test_a_host_without_an_address_is_unreachable(host: str) -> None:
    mesh = IstiodMesh(f"http://{host}:15014")
    try:
        with pytest.raises(Unreachable, match="its name has no address"):
            await mesh.proxies()
    finally:
        await mesh.close()


async def test_an_address_may_be_a_name_and_one_that_cannot_be_asked_is_unreachable() -> None:
    async with serving(says([entry(CDS=("1", "1", ""))])) as port:
        assert len(await ask(port, addresses=("localhost",))) == 1

        assert isinstance(await refusal(port, addresses=("no name",)), Unreachable)
