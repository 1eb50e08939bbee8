"""The HTTP front: from requests to calls, from outcomes and refusals to responses."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import unquote

import orjson
from aiohttp import web
from aiohttp.web_request import BaseRequest

from rollout.sandbox.apiserver import (
    accounting,
    calls,
    discovery,
    protobuf,
    reads,
    refusals,
    renderings,
    reviews,
    scales,
    watches,
)
from rollout.sandbox.apiserver.calls import Call
from rollout.sandbox.apiserver.cluster import Cluster
from rollout.sandbox.apiserver.openapi import OpenApi
from rollout.sandbox.apiserver.refusals import Refusal
from rollout.sandbox.apiserver.store import Entry
from rollout.sandbox.apiserver.trees import Json, mapping
from rollout.sandbox.apiserver.writes import Outcome

FUTURE_WAIT_SECONDS = 3.0  # how long kube-apiserver waits for a version that is not there yet
_FUTURE_POLL_SECONDS = 0.05
GIT_VERSION = "v1.34.2-sandbox"

_VERSION = {
    "major": "1",
    "minor": "34",
    "gitVersion": GIT_VERSION,
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}
_HEALTH = frozenset({"/healthz", "/readyz", "/livez"})
_JSON_TYPE = "application/json"
_WARNING_LIMIT_COUNT = 20  # headers have bounds; kube-apiserver cuts long lists as well


@dataclass(slots=True)
class _Ledger:
    """What the account needs to know of one request."""

    verb: str
    resource: str
    in_bytes: int = 0


class Front:
    """Answers HTTP requests for a cluster, under a secret path prefix."""

    def __init__(self, cluster: Cluster, *, secret: str) -> None:
        self._cluster = cluster
        self._prefix = f"/{secret}" if secret else ""
        self._discovery = discovery.Discovery(cluster.registry)
        self._openapi = OpenApi(cluster.registry)
        self.account = accounting.Account()

    async def handle(self, request: BaseRequest) -> web.StreamResponse:
        """Answer one request; nothing but cancellation escapes."""
        agent = request.headers.get("User-Agent", "unknown").partition("/")[0]
        raw_path = request.rel_url.raw_path
        if not raw_path.startswith(self._prefix + "/"):
            return _page_not_found()
        path = raw_path[len(self._prefix) :]
        if "%" in path:
            path = unquote(path)
        ledger = _Ledger(verb=_VERBS.get(request.method, "other"), resource="server")
        try:
            response = await self._answer(request, path, agent=agent, ledger=ledger)
        except Refusal as refusal:
            response = _refused(refusal)
        except web.HTTPRequestEntityTooLarge:
            response = _refused(refusals.too_large())
        self._count(agent, ledger, response)
        return response

    def _count(self, agent: str, ledger: _Ledger, response: web.StreamResponse) -> None:
        if ledger.verb == "watch" and response.status == 200:
            return  # counted by the watch itself
        row = self.account.row(agent, ledger.verb, ledger.resource)
        row.requests_count += 1
        row.refused_count += response.status >= 400
        row.in_bytes += ledger.in_bytes
        if isinstance(response, web.Response) and isinstance(response.body, bytes):
            row.out_bytes += len(response.body)

    async def _answer(
        self, request: BaseRequest, path: str, *, agent: str, ledger: _Ledger
    ) -> web.StreamResponse:
        route = calls.route(path)
        if route is None:
            return self._plain(request, path)
        query = request.rel_url.query
        call = calls.call_of(
            self._cluster.registry, route, query=query, agent=agent, method=request.method
        )
        if call is None:
            return await self._review(request, route)
        suffix = f"/{call.subresource}" if call.subresource else ""
        ledger.resource = call.resource.label.resource + suffix
        if request.method == "GET":
            return await self._read(request, call, ledger)
        raw = await request.read()
        ledger.in_bytes = len(raw)
        if not call.name and request.method == "DELETE":
            ledger.verb = "deletecollection"
            return self._delete_all(call, raw)
        return self._write(request, call, raw)

    # --- what is no resource

    def _plain(self, request: BaseRequest, path: str) -> web.Response:
        bare = path.rstrip("/") or "/"
        if bare.startswith("/debug/"):
            return self._debug(request, bare)
        if request.method != "GET":
            return _page_not_found()
        if bare in _HEALTH:
            return web.Response(text="ok")
        if bare == "/version":
            return _json(_VERSION)
        if bare.startswith("/openapi/v3"):
            return self._published(bare)
        return self._discovered(request, bare)

    def _published(self, path: str) -> web.Response:
        name = path.removeprefix("/openapi/v3").lstrip("/")
        found = self._openapi.document(name) if name else self._openapi.index()
        return _page_not_found() if found is None else _body(found)

    def _discovered(self, request: BaseRequest, bare: str) -> web.Response:
        aggregated = "as=APIGroupDiscoveryList" in request.headers.get("Accept", "")
        document = self._discovery.document(bare, aggregated=aggregated)
        if document is None:
            return _page_not_found()
        body, tag, content_type = document
        return _document(request, body, tag=tag, content_type=content_type)

    def _debug(self, request: BaseRequest, path: str) -> web.Response:
        if path == "/debug/watches" and request.method == "GET":
            return _json({"watches": accounting.open_watches(self._cluster.watches.open)})
        if path == "/debug/requests" and request.method == "GET":
            return _json(self.account.report())
        if path == "/debug/requests" and request.method == "DELETE":
            self.account.reset()
            return _json({})
        return _page_not_found()

    async def _review(self, request: BaseRequest, route: calls.Route) -> web.Response:
        if request.method != "POST" or route.version != "v1" or route.name:
            return _page_not_found()
        raw = await request.read()
        is_json = request.content_type == _JSON_TYPE
        sent = calls.decoded_object(raw) if is_json else {}
        answer = reviews.answer(route.group, route.plural, sent)
        return _page_not_found() if answer is None else _json(answer, status=201)

    # --- reads

    async def _read(self, request: BaseRequest, call: Call, ledger: _Ledger) -> web.StreamResponse:
        form = renderings.wanted_form(request.headers.get("Accept", ""))
        if not call.name and watches.is_watch(call):
            ledger.verb = "watch"
            if form == renderings.PARTIAL_LIST:
                # As kube-apiserver does: it says yes, and breaks off at what it cannot show so.
                return web.Response(content_type=_JSON_TYPE)
            return await self._watch(request, call, form=form)
        form = renderings.fitting(form, is_list=not call.name)
        await self._reach(call)
        rendering = self._rendering(call, form)
        if not call.name:
            ledger.verb = "list"
            entries, metadata = reads.listed(self._cluster.store, call)
            return _body(rendering.many(entries, metadata))
        entry = self._cluster.store.get(call.resource.storage, call.namespace, call.name)
        if entry is None:
            raise refusals.not_found(call.resource.label, call.name)
        if call.subresource == "scale":
            return _json(scales.scale_of(call, entry))
        return _body(_alone(rendering, entry))

    def _rendering(self, call: Call, form: str) -> renderings.Rendering:
        return renderings.rendering(
            call.resource,
            call.version,
            form=form,
            include=call.query.get("includeObject", "Metadata"),
            now=self._cluster.now,
        )

    async def _reach(self, call: Call) -> None:
        """Wait for a version that is still to come, for as long as kube-apiserver does."""
        wanted = reads.version_of(call.query) or 0
        store = self._cluster.store
        if wanted <= store.version:
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + FUTURE_WAIT_SECONDS
        while wanted > store.version:
            if loop.time() >= deadline:
                raise refusals.from_the_future(wanted, store.version)
            await asyncio.sleep(_FUTURE_POLL_SECONDS)

    async def _watch(self, request: BaseRequest, call: Call, *, form: str) -> web.StreamResponse:
        watcher = self._cluster.watches.begin(call, self._rendering(call, form))
        self._count_watch(watcher)
        return await self._cluster.watches.stream(request, watcher)

    def _count_watch(self, watcher: watches.Watcher) -> None:
        key = (watcher.call.agent, "watch", accounting.resource_name(watcher))

        def sent(events_count: int, bytes_count: int) -> None:
            row = self.account.row(*key)  # looked up each time: the account may begin anew
            row.events_count += events_count
            row.out_bytes += bytes_count

        self.account.row(*key).requests_count += 1
        watcher.on_sent = sent

    # --- writes

    def _write(self, request: BaseRequest, call: Call, raw: bytes) -> web.Response:
        outcome = self._executed(request, call, raw)
        if request.method == "DELETE" and outcome.gone:
            return _json(_deleted(call, outcome.entry))
        if call.subresource == "scale":
            return _json(scales.scale_of(call, outcome.entry), status=outcome.code)
        form = renderings.fitting(
            renderings.wanted_form(request.headers.get("Accept", "")), is_list=False
        )
        body = _alone(self._rendering(call, form), outcome.entry)
        response = _body(body, status=outcome.code)
        for text in dict.fromkeys(call.warnings[:_WARNING_LIMIT_COUNT]):
            response.headers.add("Warning", _warning(text))
        return response

    def _executed(self, request: BaseRequest, call: Call, raw: bytes) -> Outcome:
        writer = self._cluster.writer
        media_type = request.content_type
        match request.method:
            case "POST" if not call.name:
                return writer.create(call, _object(media_type, raw), _duplicates(call, raw))
            case "PUT" if call.name:
                return writer.replace(call, _object(media_type, raw), _duplicates(call, raw))
            case "PATCH" if call.name:
                patch = calls.decoded(raw, yaml_allowed=media_type == calls.APPLY_PATCH)
                return writer.patch(call, media_type, patch)
            case "DELETE" if call.name:
                return writer.delete(call, _options(media_type, raw))
            case _:
                raise refusals.method_not_allowed()

    def _delete_all(self, call: Call, raw: bytes) -> web.Response:
        chosen = reads.selection(call)
        store = self._cluster.store
        entries = [
            entry
            for entry in store.entries(call.resource.storage, call.namespace)
            if chosen.fits(entry)
        ]
        options = _options(_JSON_TYPE, raw)
        for entry in entries:
            one = calls.Call(
                resource=call.resource,
                version=call.version,
                namespace=entry.namespace,
                name=entry.name,
                subresource="",
                query=call.query,
                agent=call.agent,
                method="DELETE",
            )
            if store.get(call.resource.storage, entry.namespace, entry.name) is not None:
                self._cluster.writer.delete(one, options)
        metadata = {"resourceVersion": str(store.version)}
        return _body(self._rendering(call, renderings.FULL).many(entries, metadata))


def _alone(rendering: renderings.Rendering, entry: Entry) -> bytes:
    return rendering.one(entry)


def _object(media_type: str, raw: bytes) -> Json:
    if media_type == protobuf.MEDIA_TYPE:
        return protobuf.decoded(raw)
    if media_type not in {_JSON_TYPE, "application/yaml", "application/octet-stream"}:
        raise refusals.unsupported_media(["application/json", "application/yaml"])
    return calls.decoded_object(raw, yaml_allowed=media_type == "application/yaml")


def _duplicates(call: Call, raw: bytes) -> list[str]:
    """Look for doubled keys only where the client said how it takes them: the look is slow."""
    asked = call.query.get("fieldValidation")
    return calls.duplicate_fields(raw) if asked in {calls.STRICT, calls.WARN} else []


def _options(media_type: str, raw: bytes) -> Json:
    if not raw.strip() or media_type not in {_JSON_TYPE, "application/octet-stream"}:
        return {}
    return calls.decoded_object(raw)


def _deleted(call: Call, entry: Entry) -> Json:
    details = {**call.resource.label.details(entry.name), "uid": entry.uid}
    status: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return {**status, "details": mapping(details)}


def _warning(text: str) -> str:
    plain = "".join(char if char.isprintable() else "?" for char in text)
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{quoted}"'


def _body(body: bytes, *, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, headers={"Content-Type": _JSON_TYPE})


def _json(value: Json, *, status: int = 200) -> web.Response:
    return _body(orjson.dumps(value), status=status)


def _document(request: BaseRequest, body: bytes, *, tag: str, content_type: str) -> web.Response:
    headers = {"Content-Type": content_type, "Vary": "Accept", "ETag": tag}
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, headers=headers)


def _page_not_found() -> web.Response:
    return web.Response(text="404 page not found\n", status=404)


def _refused(refusal: Refusal) -> web.Response:
    response = _json(refusal.body(), status=refusal.code)
    if refusal.retry_after_seconds:
        response.headers["Retry-After"] = str(refusal.retry_after_seconds)
    return response
