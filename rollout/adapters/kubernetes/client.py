"""A ports.Cluster over raw HTTP requests: no models, bytes in and out, orjson between.

Building the generated models of a list costs eight times what decoding it to plain objects does
(kubernetes.md 7.1), and nothing here needs them.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from random import Random
from typing import Protocol
from urllib.parse import quote, urlencode

import aiohttp
import orjson
from yarl import URL

from rollout.adapters.kubernetes import answers, network, reviews
from rollout.adapters.kubernetes.answers import Answer
from rollout.api.meta import LEASE, LOCAL_ACCESS_REVIEW, Key, Kind, Manifest
from rollout.base import errors
from rollout.ports import Listing, Patch, WatchEvent, Written

FIELD_MANAGER = "rollout"

REQUEST_SECONDS = 10.0
"""For one request. A server that needs longer is in trouble, and we come back anyway."""

LIST_SECONDS = 30.0
"""For one page of a list: 500 large objects over a slow link."""

CONNECT_SECONDS = 5.0
"""For a connection, TLS included; one that takes longer will not come."""

PAGE_COUNT = 500
"""Objects a page, as kubectl asks: 2,000 objects of 5 kB in one page are 10 MB at once."""

PAGE_COUNT_MAX = 1_000
"""Pages a list: half a million objects, more than any cluster that we serve."""

STREAM_SECONDS = 300.0
"""How long the server keeps a watch open, give or take a fifth, so that streams end one by one."""

SILENCE_SECONDS_MAX = 90.0
"""Bookmarks come once a minute; a stream that says nothing for longer is dead."""

BODY_BYTES_MAX = 256 * 1024 * 1024
"""A page of 500 objects of half a megabyte each."""

LINE_BYTES_MAX = 16 * 1024 * 1024
"""etcd takes objects of 1.5 MiB; as JSON, with everything escaped, they are a few times that."""

READ_BUFFER_BYTES = 2 * 1024 * 1024
"""As kubernetes-asyncio has it: fewer wake-ups for large events and lists."""

REQUEST_COUNT_MAX = 20
"""Requests at once: beyond 20 one client gains nothing (kubernetes.md 8)."""

CONNECTION_COUNT_MAX = 100
"""Watches hold a connection each, beside the requests."""

Observe = Callable[[str, Kind, int, float], None]
"""Told of each request: verb, kind, HTTP status (0 when there was no answer), seconds."""

_JSON = "application/json"


class Login(Protocol):
    """Whom we speak to, and as whom.

    Attributes:
        base: the server's URL; it may have a path, below which everything is.
        tls: for https servers.
        proxy: the kubeconfig's own proxy, if it names one.
        server_name: the name in the server's certificate, if it is another than the host's.
    """

    base: str
    tls: ssl.SSLContext | None
    proxy: str | None
    server_name: str | None

    async def authorization(self) -> str | None:
        """The value of the header of that name, fresh; None when there is none."""

    async def renew(self) -> None:
        """The server did not know us (401): read the credentials anew."""


_METHODS = {
    "list": "GET",
    "watch": "GET",
    "get": "GET",
    "create": "POST",
    "replace": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
}
_TIMEOUTS = {
    "list": aiohttp.ClientTimeout(total=LIST_SECONDS, connect=CONNECT_SECONDS),
    "watch": aiohttp.ClientTimeout(connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS_MAX),
}
_TIMEOUT = aiohttp.ClientTimeout(total=REQUEST_SECONDS, connect=CONNECT_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """One request, before credentials.

    Attributes:
        verb: what it does, a key of ``_METHODS``.
        kind: to which kind.
        key: to which object, or to those of which namespace.
        subresource: to which part of it.
        params: the query.
        content_type: what the body is.
        body: bytes, or None.
    """

    verb: str
    kind: Kind
    key: Key
    subresource: str = ""
    params: Mapping[str, str]
    content_type: str = _JSON
    body: bytes | None = None

    @property
    def what(self) -> str:
        """How errors name its object."""
        return f"{self.kind} {self.key}" if self.key.name else str(self.kind)

    @property
    def accept(self) -> str:
        """As what the answer is wanted: metadata alone where that is enough."""
        if not self.kind.metadata_only or self.verb not in {"get", "list", "watch"}:
            return _JSON
        shape = "PartialObjectMetadataList" if self.verb == "list" else "PartialObjectMetadata"
        return f"{_JSON};as={shape};g=meta.k8s.io;v=v1,{_JSON}"

    def url(self, base: str) -> URL:
        """Where it goes. Names are quoted: people type them.

        Raises:
            NotFound: no object can have that name; an empty one would mean the whole list.
        """
        name = ""
        if self.verb not in {"list", "watch", "create"}:
            name = self.key.name
            if not name:
                raise errors.NotFound(self.what)
        if {name, self.key.namespace} & {".", ".."}:
            raise errors.NotFound(self.what)
        path = self.kind.path(
            namespace=quote(self.key.namespace, safe=""),
            name=quote(name, safe=""),
            subresource=self.subresource,
        )
        query = f"?{urlencode(self.params)}" if self.params else ""
        return URL(f"{base}{path}{query}", encoded=True)


class ClusterAdapter:
    """A ports.Cluster; made in a running event loop, and closed in it.

    Requests wait for one of `REQUEST_COUNT_MAX` places, watches do not. Leases have a place of
    their own, so that a burst of work cannot cost us the leadership.
    """

    def __init__(self, login: Login, *, user_agent: str, random: Random, observe: Observe) -> None:
        self._login = login
        self._server = f"the API server at {URL(login.base).origin()}"
        self._random = random
        self._observe = observe
        self._places = asyncio.Semaphore(REQUEST_COUNT_MAX)
        self._lease_place = asyncio.Semaphore(1)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTION_COUNT_MAX, ssl=login.tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": user_agent},
            read_bufsize=READ_BUFFER_BYTES,
            # A proxy of the environment is for the world outside this machine.
            trust_env=not network.is_loopback(URL(login.base).host or ""),
        )

    async def list(self, kind: Kind, *, namespace: str = "") -> Listing:
        """All objects of a kind, in pages of `PAGE_COUNT`.

        When a continuation has expired, the whole list is asked for at once, as client-go does.
        """
        try:
            return await self._pages(kind, namespace, limit=PAGE_COUNT)
        except errors.Gone:
            return await self._pages(kind, namespace, limit=0)

    async def watch(
        self, kind: Kind, *, namespace: str = "", resource_version: str
    ) -> AsyncGenerator[WatchEvent, None]:
        """What happened after a resource version, bookmarks included, until the stream ends."""
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(round(STREAM_SECONDS * self._random.uniform(0.8, 1.2))),
        }
        request = _Request(verb="watch", kind=kind, key=Key(namespace, ""), params=params)
        async with self._sent(request) as response:
            if response.status != 200:
                answer = await self._read(response)
                if answer.status == 401:
                    await self._login.renew()
                raise answers.refusal(answer, what=request.what, server=self._server)
            async for line in self._lines(response.content):
                yield answers.event(line, what=request.what, server=self._server)

    async def get(self, kind: Kind, key: Key) -> Manifest:
        """One object as it stands now."""
        answer = await self._ask(_Request(verb="get", kind=kind, key=key, params={}))
        return answers.manifest(answer.body, server=self._server)

    async def create(self, kind: Kind, manifest: Manifest, *, dry_run: bool = False) -> Written:
        """Create an object in the manifest's namespace; unknown fields are refused."""
        request = _Request(
            verb="create",
            kind=kind,
            key=_key(manifest),
            params={"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", **_dry(dry_run)},
            body=_encoded(kind, manifest),
        )
        return self._written(await self._ask(request))

    async def replace(self, kind: Kind, manifest: Manifest) -> Written:
        """Put an object in place of the version named in it."""
        request = _Request(
            verb="replace",
            kind=kind,
            key=_key(manifest),
            params={"fieldManager": FIELD_MANAGER},
            body=_encoded(kind, manifest),
        )
        return self._written(await self._ask(request))

    async def patch(
        self, kind: Kind, key: Key, patch: Patch, *, subresource: str = "", dry_run: bool = False
    ) -> Written:
        """Change an object by a JSON patch (a list) or a merge patch (an object)."""
        style = "merge" if isinstance(patch, Mapping) else "json"
        request = _Request(
            verb="patch",
            kind=kind,
            key=key,
            subresource=subresource,
            params={"fieldManager": FIELD_MANAGER, **_dry(dry_run)},
            content_type=f"application/{style}-patch+json",
            body=orjson.dumps(patch if isinstance(patch, Mapping) else [*patch]),
        )
        return self._written(await self._ask(request))

    async def delete(self, kind: Kind, key: Key) -> None:
        """Remove an object; what it owns is removed after it. That it is gone is no error."""
        body = orjson.dumps({"propagationPolicy": "Background"})
        try:
            await self._ask(_Request(verb="delete", kind=kind, key=key, params={}, body=body))
        except errors.NotFound:
            return

    async def may(self, *, user: str, groups: Sequence[str], verb: str, key: Key) -> bool:
        """Whether somebody may do something with a Rollout."""
        asked = reviews.question(user=user, groups=groups, verb=verb, key=key)
        answer = (await self.create(LOCAL_ACCESS_REVIEW, asked)).object
        return reviews.is_yes(answer, server=self._server)

    async def close(self) -> None:
        """Let go of all connections; watches under way break."""
        await self._session.close()

    async def _pages(self, kind: Kind, namespace: str, *, limit: int) -> Listing:
        items: list[Manifest] = []
        params = {"limit": str(limit)} if limit else {}
        for _ in range(PAGE_COUNT_MAX):
            request = _Request(verb="list", kind=kind, key=Key(namespace, ""), params=params)
            page = answers.manifest((await self._ask(request)).body, server=self._server)
            items.extend(page.get("items") or ())
            if not page["metadata"].get("continue"):
                version = str(page["metadata"].get("resourceVersion", ""))
                return Listing(items=tuple(items), resource_version=version)
            params = {"limit": str(PAGE_COUNT), "continue": page["metadata"]["continue"]}
        raise errors.BrokenAnswer(self._server, why=f"the list of {kind} does not end")

    async def _ask(self, request: _Request) -> Answer:
        """A good answer, or an error."""
        place = self._lease_place if request.kind == LEASE else self._places
        async with place:
            answer = await self._exchange(request)
            if answer.status == 401:
                # Nothing was done; the token may have been replaced a moment ago.
                with self._translated():
                    await self._login.renew()
                answer = await self._exchange(request)
        if not answer.is_good:
            raise answers.refusal(answer, what=request.what, server=self._server)
        return answer

    async def _exchange(self, request: _Request) -> Answer:
        async with self._sent(request) as response:
            return await self._read(response)

    @asynccontextmanager
    async def _sent(self, request: _Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a request, its head read; the network's errors become ours."""
        url = request.url(self._login.base)
        began, status = time.monotonic(), 0
        try:
            with self._translated():
                headers = {"Accept": request.accept, "Content-Type": request.content_type}
                if authorization := await self._login.authorization():
                    headers["Authorization"] = authorization
                async with self._session.request(
                    _METHODS[request.verb],
                    url,
                    data=request.body,
                    headers=headers,
                    timeout=_TIMEOUTS.get(request.verb, _TIMEOUT),
                    proxy=self._login.proxy,
                    server_hostname=self._login.server_name,
                    allow_redirects=False,
                ) as response:
                    status = response.status
                    yield response
        finally:
            self._observe(request.verb, request.kind, status, time.monotonic() - began)

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                raise errors.BrokenAnswer(self._server, why="an answer without end")
        return Answer(
            status=response.status,
            retry_after=response.headers.get("Retry-After", ""),
            warnings=tuple(response.headers.getall("Warning", ())),
            body=bytes(body),
        )

    async def _lines(self, content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
        """The complete lines of a stream; aiohttp's own reader refuses long ones."""
        pending = bytearray()
        async for chunk in content.iter_any():
            start = len(pending)
            pending += chunk
            while (end := pending.find(b"\n", start)) >= 0:
                if line := bytes(pending[:end]).strip():
                    yield line
                del pending[: end + 1]
                start = 0
            if len(pending) > LINE_BYTES_MAX:
                raise errors.BrokenAnswer(self._server, why="a line without end")

    def _written(self, answer: Answer) -> Written:
        return Written(
            object=answers.manifest(answer.body, server=self._server),
            warnings=answers.warnings(answer.warnings),
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Whatever the network does is that the server cannot be reached."""
        try:
            yield
        except (aiohttp.ClientError, OSError) as error:
            raise errors.Unreachable(self._server, why=network.why(error)) from error


def _key(manifest: Manifest) -> Key:
    metadata = manifest.get("metadata", {})
    return Key(metadata.get("namespace", ""), metadata.get("name", ""))


def _dry(dry_run: bool) -> dict[str, str]:  # noqa: FBT001 - one private use
    return {"dryRun": "All"} if dry_run else {}


def _encoded(kind: Kind, manifest: Manifest) -> bytes:
    return orjson.dumps({"apiVersion": kind.api_version, "kind": kind.kind, **manifest})
