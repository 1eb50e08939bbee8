"""The adapter against servers that behave, and against servers that do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from rollout.adapters import kubernetes
from rollout.adapters.kubernetes import ClusterAdapter, client
from rollout.api.meta import EVENT, LEASE, POD, ROLLOUT, VIRTUAL_SERVICE, Key, Kind
from rollout.base import errors
from rollout.ports import Cluster, WatchEvent
from rollout.sandbox.apiserver import serve

KEY = Key("shop", "checkout")
KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: here
clusters: [{{name: here, cluster: {{server: "{url}"}}}}]
users: [{{name: me, user: {user}}}]
contexts: [{{name: here, context: {{cluster: here, user: me}}}}]
"""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Requests(list[web.Request]):
    """What a server was asked, with the bodies."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[Any] = []


@asynccontextmanager
async def speaking_to(
    handler: Handler, path: Path, *, user: str = "{}", seen: list[tuple[Any, ...]] | None = None
) -> AsyncIterator[tuple[ClusterAdapter, Requests]]:
    """An adapter that is connected to a server which does as the handler says."""
    requests = Requests()

    async def serve_one(request: web.Request) -> web.StreamResponse:
        requests.append(request)
        body = await request.read()
        requests.bodies.append(orjson.loads(body) if body else None)
        return await handler(request)

    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{rest:.*}", serve_one)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    file = path / "kubeconfig"
    file.write_text(KUBECONFIG.format(url=f"http://127.0.0.1:{runner.addresses[0][1]}", user=user))
    cluster = await kubernetes.connect(
        file, random=Random(1), observe=lambda *told: None if seen is None else seen.append(told)
    )
    try:
        yield cluster, requests
    finally:
        await cluster.close()
        await runner.cleanup()


def answering(status: int, body: Any, headers: dict[str, str] | None = None) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        return web.Response(status=status, body=raw, headers=headers)

    return handler


def streaming(*lines: bytes, then: str = "end") -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for line in lines:
            await response.write(line)
        if then == "break":
            assert request.transport is not None
            request.transport.abort()
        if then == "silence":
            await asyncio.sleep(60)
        return response

    return handler


def event(kind: str, name: str = "a", **rest: Any) -> bytes:
    metadata = {"namespace": "shop", "name": name, "resourceVersion": "7"}
    return orjson.dumps({"type": kind, "object": {"metadata": metadata, **rest}}) + b"\n"


def status(code: int, message: str = "because", reason: str = "") -> dict[str, Any]:
    return {"kind": "Status", "code": code, "message": message, "reason": reason}


async def everything(cluster: Cluster, kind: Kind = ROLLOUT) -> list[WatchEvent]:
    return [it async for it in cluster.watch(kind, resource_version="5")]


# Against the sandbox's API server.


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[ClusterAdapter]:
    async with serve() as server:
        (tmp_path / "kubeconfig").write_text(server.kubeconfig_text())
        cluster = await kubernetes.connect(tmp_path / "kubeconfig")
        try:
            yield cluster
        finally:
            await cluster.close()


def lease(name: str = "a", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": name}, "spec": spec}


async def test_an_object_is_created_read_replaced_patched_and_deleted(
    sandbox: ClusterAdapter,
) -> None:
    key = Key("shop", "a")
    created = await sandbox.create(LEASE, lease(holderIdentity="x"))
    created.object["spec"]["holderIdentity"] = "y"
    replaced = await sandbox.replace(LEASE, created.object)
    merged = await sandbox.patch(LEASE, key, {"spec": {"leaseTransitions": 3}})
    operation = {"op": "replace", "path": "/spec/holderIdentity", "value": "z"}
    await sandbox.patch(LEASE, key, [operation])

    found = await sandbox.get(LEASE, key)
    await sandbox.delete(LEASE, key)
    await sandbox.delete(LEASE, key)

    assert replaced.object["spec"] == {"holderIdentity": "y"}
    assert merged.object["spec"] == {"holderIdentity": "y", "leaseTransitions": 3}
    assert found["spec"] == {"holderIdentity": "z", "leaseTransitions": 3}
    with pytest.raises(errors.NotFound):
        await sandbox.get(LEASE, key)


async def test_stale_and_doubled_writes_are_conflicts(sandbox: ClusterAdapter) -> None:
    first = (await sandbox.create(LEASE, lease(holderIdentity="x"))).object
    await sandbox.replace(LEASE, first)
    await sandbox.patch(LEASE, Key("shop", "a"), {"spec": {"holderIdentity": "y"}})
    stale = first["metadata"]["resourceVersion"]

    with pytest.raises(errors.Conflict):
        await sandbox.create(LEASE, lease())
    with pytest.raises(errors.Conflict):
        await sandbox.replace(LEASE, first)
    with pytest.raises(errors.Conflict):
        await sandbox.patch(
            LEASE, Key("shop", "a"), {"metadata": {"resourceVersion": stale}, "spec": {}}
        )


async def test_a_list_of_several_pages_is_whole(
    sandbox: ClusterAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE_COUNT", 3)
    for number in range(8):
        await sandbox.create(LEASE, lease(f"n{number}"))
    await sandbox.create(LEASE, {"metadata": {"namespace": "other", "name": "x"}, "spec": {}})

    whole = await sandbox.list(LEASE)
    shop = await sandbox.list(LEASE, namespace="shop")

    assert len(whole.items) == 9
    assert [item["metadata"]["name"] for item in shop.items] == [f"n{n}" for n in range(8)]
    assert int(whole.resource_version) > 0


async def test_a_watch_tells_what_followed_the_list(sandbox: ClusterAdapter) -> None:
    start = (await sandbox.list(LEASE)).resource_version
    await sandbox.create(LEASE, lease("a"))
    await sandbox.delete(LEASE, Key("shop", "a"))

    told = []
    stream = sandbox.watch(LEASE, resource_version=start)
    async for it in stream:
        told.append((it.type, it.object["metadata"]["name"]))
        if len(told) == 2:
            break
    await stream.aclose()

    assert told == [("ADDED", "a"), ("DELETED", "a")]


async def test_a_watch_from_too_long_ago_is_gone(sandbox: ClusterAdapter) -> None:
    with pytest.raises(errors.Gone):
        await anext(sandbox.watch(LEASE, resource_version="1"))


async def test_a_kind_that_the_server_does_not_have_is_not_found(sandbox: ClusterAdapter) -> None:
    with pytest.raises(errors.NotFound):
        await sandbox.list(VIRTUAL_SERVICE)
    with pytest.raises(errors.NotFound):
        await anext(sandbox.watch(VIRTUAL_SERVICE, resource_version="1"))


async def test_of_pods_only_metadata_is_asked(sandbox: ClusterAdapter) -> None:
    whole = Kind(group="", version="v1", plural="pods", kind="Pod")
    spec = {"containers": [{"name": "a", "image": "a"}]}
    await sandbox.create(whole, {"metadata": {"namespace": "shop", "name": "a"}, "spec": spec})

    listed = (await sandbox.list(POD)).items

    assert [item["metadata"]["name"] for item in listed] == ["a"]
    assert "spec" not in listed[0]


async def test_what_the_server_refuses_is_denied_in_its_own_words(
    sandbox: ClusterAdapter,
) -> None:
    with pytest.raises(errors.Denied, match=r"is invalid: metadata\.name") as caught:
        await sandbox.create(LEASE, lease("No Name"))

    assert caught.value.status_code == 422


# Against servers that misbehave.


@pytest.mark.parametrize(
    ("code", "headers", "body", "wanted"),
    [
        (400, {}, status(400), errors.Denied),
        (403, {}, status(403), errors.Denied),
        (404, {}, b"404 page not found", errors.NotFound),
        (405, {}, b"", errors.Denied),
        (408, {}, b"", errors.Unreachable),
        (409, {}, status(409), errors.Conflict),
        (410, {}, status(410), errors.Gone),
        (413, {}, status(413), errors.Denied),
        (422, {}, status(422), errors.Denied),
        (429, {"Retry-After": "3"}, status(429), errors.Overloaded),
        (429, {}, b"", errors.Overloaded),
        (500, {}, status(500, "etcdserver: request is too large"), errors.Denied),
        (500, {}, status(500, "etcdserver: leader changed"), errors.Unreachable),
        (502, {}, b"<html>", errors.Unreachable),
        (503, {}, status(503), errors.Unreachable),
        (503, {"Retry-After": "1"}, status(503), errors.Overloaded),
        (504, {"Retry-After": "1"}, status(504), errors.Overloaded),
        (302, {"Location": "http://127.0.0.1:1/"}, b"", errors.BrokenAnswer),
        (200, {}, b"<html>", errors.BrokenAnswer),
        (200, {}, [], errors.BrokenAnswer),
        (200, {}, {"items": []}, errors.BrokenAnswer),
    ],
)
async def test_every_status_becomes_one_of_our_errors(
    tmp_path: Path,
    code: int,
    headers: dict[str, str],
    body: Any,
    wanted: type[errors.RolloutError],
) -> None:
    async with speaking_to(answering(code, body, headers), tmp_path) as (cluster, _):
        with pytest.raises(wanted) as caught:
            await cluster.patch(ROLLOUT, KEY, {"spec": {}})

    if isinstance(caught.value, errors.Overloaded):
        assert caught.value.retry_after_seconds == float(headers.get("Retry-After", 0))
    if isinstance(caught.value, errors.Denied):
        assert caught.value.what == "Rollout shop/checkout"
        assert caught.value.message


async def test_a_server_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/a-secret-path"
    (tmp_path / "kubeconfig").write_text(KUBECONFIG.format(url=url, user="{}"))
    cluster = await kubernetes.connect(tmp_path / "kubeconfig")

    with pytest.raises(errors.Unreachable) as caught:
        await cluster.list(ROLLOUT)
    await cluster.close()

    assert str(caught.value) == (
        "the API server at http://127.0.0.1:1 cannot be reached: connection refused"
    )


async def test_a_server_that_never_answers_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_TIMEOUT", aiohttp.ClientTimeout(total=0.05))

    async def handler(_request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with speaking_to(handler, tmp_path) as (cluster, _):
        with pytest.raises(errors.Unreachable, match="no answer in time"):
            await cluster.get(ROLLOUT, KEY)


async def test_too_old_a_version_is_an_event_in_a_stream_that_began_well(tmp_path: Path) -> None:
    line = orjson.dumps({"type": "ERROR", "object": status(410, reason="Expired")}) + b"\n"
    async with speaking_to(streaming(line), tmp_path) as (cluster, _):
        with pytest.raises(errors.Gone):
            await everything(cluster)


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (status(429), errors.Overloaded),
        (status(500), errors.Unreachable),
        ({"reason": "Expired"}, errors.Gone),
        ({"code": "?"}, errors.Unreachable),
    ],
)
async def test_other_error_events_are_errors_by_their_code(
    tmp_path: Path, told: dict[str, Any], wanted: type[Exception]
) -> None:
    line = orjson.dumps({"type": "ERROR", "object": told}) + b"\n"
    async with speaking_to(streaming(line), tmp_path) as (cluster, _):
        with pytest.raises(wanted):
            await everything(cluster)


async def test_a_stream_that_is_closed_ends_and_one_that_breaks_is_unreachable(
    tmp_path: Path,
) -> None:
    async with speaking_to(streaming(event("ADDED")), tmp_path) as (cluster, _):
        told = await everything(cluster)
    broken = streaming(event("ADDED"), then="break")
    async with speaking_to(broken, tmp_path) as (cluster, _):
        with pytest.raises(errors.Unreachable):
            await everything(cluster)

    assert [it.type for it in told] == ["ADDED"]


async def test_a_stream_that_falls_silent_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts = {"watch": aiohttp.ClientTimeout(sock_read=0.05)}
    monkeypatch.setattr(client, "_TIMEOUTS", timeouts)
    silent = streaming(event("ADDED"), then="silence")
    async with speaking_to(silent, tmp_path) as (cluster, _):
        with pytest.raises(errors.Unreachable, match="no answer in time"):
            await everything(cluster)


@pytest.mark.parametrize(
    "line",
    [
        b"<html>\n",
        b"[]\n",
        b'{"type":"ADDED"}\n',
        b'{"type":"ADDED","object":{"metadata":{}}}\n',
        b'{"type":"DANCED","object":{"metadata":{"name":"a"}}}\n',
        b'{"type":"ADDED","object":{}}\n',
    ],
)
async def test_a_line_that_is_no_event_is_a_broken_answer(tmp_path: Path, line: bytes) -> None:
    async with speaking_to(streaming(line), tmp_path) as (cluster, _):
        with pytest.raises(errors.BrokenAnswer):
            await everything(cluster)


async def test_lines_may_be_long_and_come_in_pieces(tmp_path: Path) -> None:
    long = event("ADDED", text="x" * 6_000_000)
    lines = (b"\n", long[:10], long[10:], event("DELETED") + event("MODIFIED")[:5])
    async with speaking_to(streaming(*lines), tmp_path) as (cluster, _):
        told = await everything(cluster)

    assert [it.type for it in told] == ["ADDED", "DELETED"]
    assert len(told[0].object["text"]) == 6_000_000


async def test_a_line_without_end_is_a_broken_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LINE_BYTES_MAX", 1000)
    async with speaking_to(streaming(b"x" * 5000), tmp_path) as (cluster, _):
        with pytest.raises(errors.BrokenAnswer):
            await everything(cluster)


async def test_an_answer_or_a_list_without_end_is_a_broken_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "BODY_BYTES_MAX", 1000)
    monkeypatch.setattr(client, "PAGE_COUNT_MAX", 5)
    endless = {"metadata": {"continue": "more", "resourceVersion": "1"}, "items": []}

    async with speaking_to(answering(200, b"x" * 2000), tmp_path) as (cluster, _):
        with pytest.raises(errors.BrokenAnswer, match="without end"):
            await cluster.get(ROLLOUT, KEY)
    async with speaking_to(answering(200, endless), tmp_path) as (cluster, asked):
        with pytest.raises(errors.BrokenAnswer, match="does not end"):
            await cluster.list(ROLLOUT)

    assert len(asked) == 5


async def test_an_expired_continuation_makes_the_list_begin_again_in_one_piece(
    tmp_path: Path,
) -> None:
    async def handler(request: web.Request) -> web.Response:
        if "continue" in request.query:
            return web.json_response(status(410), status=410)
        more = "more" if "limit" in request.query else ""
        metadata = {"continue": more, "resourceVersion": "9"}
        return web.json_response({"metadata": metadata, "items": [{"metadata": {"name": "a"}}]})

    async with speaking_to(handler, tmp_path) as (cluster, asked):
        listing = await cluster.list(ROLLOUT)

    assert (len(listing.items), listing.resource_version, len(asked)) == (1, "9", 3)


async def test_a_request_says_who_writes_and_in_which_form(tmp_path: Path) -> None:
    answer = answering(200, {"metadata": {"name": "a"}}, {"Warning": '299 - "mind \\"this\\""'})
    async with speaking_to(answer, tmp_path) as (cluster, asked):
        created = await cluster.create(EVENT, {"metadata": {"namespace": "shop", "name": "e"}})
        await cluster.patch(ROLLOUT, KEY, ({"op": "test"},), subresource="status")
        await cluster.patch(ROLLOUT, KEY, {"a": None})
        await cluster.delete(ROLLOUT, KEY)

    post, json_patch, merge_patch, delete = asked
    assert post.path == "/api/v1/namespaces/shop/events"
    assert dict(post.query) == {"fieldManager": "rollout", "fieldValidation": "Strict"}
    assert (asked.bodies[0]["apiVersion"], asked.bodies[0]["kind"]) == ("v1", "Event")
    assert created.warnings == ('mind "this"',)
    assert json_patch.path.endswith("/namespaces/shop/rollouts/checkout/status")
    assert json_patch.content_type == "application/json-patch+json"
    assert (merge_patch.content_type, asked.bodies[2]) == (
        "application/merge-patch+json",
        {"a": None},
    )
    assert merge_patch.query["fieldManager"] == "rollout"
    assert (delete.method, asked.bodies[3]) == ("DELETE", {"propagationPolicy": "Background"})
    assert post.headers["User-Agent"] == "rollout"


async def test_a_watch_asks_for_bookmarks_and_an_end(tmp_path: Path) -> None:
    async with speaking_to(streaming(), tmp_path) as (cluster, asked):
        await everything(cluster, POD)

    query = asked[0].query
    assert (query["allowWatchBookmarks"], query["resourceVersion"]) == ("true", "5")
    assert 240 <= int(query["timeoutSeconds"]) <= 360
    assert "as=PartialObjectMetadata;" in asked[0].headers["Accept"]


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_a_name_that_no_object_can_have_is_not_found_without_asking(
    tmp_path: Path, name: str
) -> None:
    async with speaking_to(answering(200, {"metadata": {}}), tmp_path) as (cluster, asked):
        with pytest.raises(errors.NotFound):
            await cluster.get(ROLLOUT, Key("shop", name))

    assert not asked


async def test_what_people_type_as_a_name_stays_a_name(tmp_path: Path) -> None:
    async with speaking_to(answering(200, {"metadata": {}}), tmp_path) as (cluster, asked):
        await cluster.get(ROLLOUT, Key("shop", "../x?watch=true#"))

    assert asked[0].raw_path.endswith("/namespaces/shop/rollouts/..%2Fx%3Fwatch%3Dtrue%23")


async def test_work_waits_for_a_place_but_a_lease_does_not(tmp_path: Path) -> None:
    full, release = asyncio.Event(), asyncio.Event()
    under_way: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        under_way.append(request.path)
        if len(under_way) == client.REQUEST_COUNT_MAX:
            full.set()
        if "leases" not in request.path:
            await release.wait()
        return web.json_response({"metadata": {"name": "a"}})

    async with speaking_to(handler, tmp_path) as (cluster, _), asyncio.TaskGroup() as tasks:
        for _ in range(client.REQUEST_COUNT_MAX + 10):
            tasks.create_task(cluster.get(ROLLOUT, KEY))
        await full.wait()
        await cluster.get(LEASE, KEY)
        at_once = [path for path in under_way if "rollouts" in path]
        release.set()

    assert len(at_once) == client.REQUEST_COUNT_MAX


async def test_every_request_is_told_to_who_counts(tmp_path: Path) -> None:
    seen: list[tuple[Any, ...]] = []
    async with speaking_to(answering(404, b""), tmp_path, seen=seen) as (cluster, _):
        await cluster.delete(ROLLOUT, KEY)
    broken = streaming(then="break")
    async with speaking_to(broken, tmp_path, seen=seen) as (cluster, _):
        with pytest.raises(errors.Unreachable):
            await everything(cluster, POD)

    assert [told[:3] for told in seen] == [("delete", ROLLOUT, 404), ("watch", POD, 200)]
    assert all(told[3] >= 0 for told in seen)


async def test_a_proxy_of_the_environment_is_not_used_for_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    async with speaking_to(answering(200, {"metadata": {"name": "a"}}), tmp_path) as (cluster, _):
        found = await cluster.get(ROLLOUT, KEY)

    assert found["metadata"]["name"] == "a"


async def test_who_may_is_asked_in_the_namespace_of_the_rollout_with_the_groups(
    tmp_path: Path,
) -> None:
    said = {"metadata": {}, "status": {"allowed": False, "reason": "no"}}
    async with speaking_to(answering(201, said), tmp_path) as (cluster, requests):
        may = await cluster.may(user="alice", groups=["staff"], verb="abort", key=KEY)

    assert may is False
    assert requests[0].path == (
        "/apis/authorization.k8s.io/v1/namespaces/shop/localsubjectaccessreviews"
    )
    assert requests.bodies[0]["spec"] == {
        "user": "alice",
        "groups": ["staff"],
        "resourceAttributes": {
            "group": "rollout.dev",
            "resource": "rollouts",
            "verb": "abort",
            "namespace": "shop",
            "name": "checkout",
        },
    }


@pytest.mark.parametrize("status", [None, {}, {"allowed": "yes"}])
async def test_a_review_without_an_answer_is_broken_and_no_yes(
    tmp_path: Path, status: object
) -> None:
    said = {"metadata": {}, "status": status}
    async with speaking_to(answering(201, said), tmp_path) as (cluster, _):
        with pytest.raises(errors.BrokenAnswer, match="a review without an answer"):
            await cluster.may(user="alice", groups=(), verb="abort", key=KEY)
