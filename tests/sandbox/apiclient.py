"""A plain client of any Kubernetes API server, for tests: no retries, no models."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

Json = dict[str, Any]

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

LINE_SECONDS = 5.0  # patience with one watch line


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server said."""

    code: int
    body: Json
    headers: Mapping[str, str]
    warnings: tuple[str, ...]
    text: str


class Watch:
    """An open watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self, *, seconds: float = LINE_SECONDS) -> Json:
        """Return the next line; an empty object when the stream has ended."""
        async with asyncio.timeout(seconds):
            line = await self.response.content.readline()
        found: Json = orjson.loads(line) if line else {}
        return found

    async def take(self, count: int, *, seconds: float = LINE_SECONDS) -> list[Json]:
        """Return the next lines, each within so many seconds."""
        return [await self.next(seconds=seconds) for _ in range(count)]


class Api:
    """An API server at `url`."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        media_type: str = "application/json",
        accept: str = "application/json",
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        **query: str,
    ) -> Answer:
        """Send one request; `params` are query parameters whose names are no identifiers."""
        encoded = orjson.dumps(body) if raw is None and body is not None else raw
        data = None if encoded is None else io.BytesIO(encoded)  # a large body may take a while
        given = {"Accept": accept, "Content-Type": media_type, **(headers or {})}
        async with self.session.request(
            method, self.url + path, data=data, headers=given, params={**query, **(params or {})}
        ) as response:
            content = await response.read()
            is_json = "json" in response.headers.get("Content-Type", "") and content
            return Answer(
                code=response.status,
                body=orjson.loads(content) if is_json else {},
                headers=response.headers,
                warnings=tuple(response.headers.getall("Warning", [])),
                text=content.decode(),
            )

    async def create(self, path: str, body: Json, **query: str) -> Json:
        """Create an object that must be accepted."""
        answer = await self.ask("POST", path, body, params=query)
        assert answer.code == 201, answer.text
        return answer.body

    async def merge(self, path: str, patch: Json, **query: str) -> Answer:
        """Send a merge patch."""
        return await self.ask("PATCH", path, patch, media_type=MERGE, params=query)

    async def get(
        self, path: str, *, params: Mapping[str, str] | None = None, **query: str
    ) -> Json:
        """Read something that must be there."""
        answer = await self.ask("GET", path, params={**query, **(params or {})})
        assert answer.code == 200, answer.text
        return answer.body

    @contextlib.asynccontextmanager
    async def watch(
        self,
        path: str,
        *,
        accept: str = "application/json",
        params: Mapping[str, str] | None = None,
        **query: str,
    ) -> AsyncIterator[Watch]:
        """Open a watch."""
        params = {"watch": "true", **query, **(params or {})}
        async with self.session.get(
            self.url + path, params=params, headers={"Accept": accept}
        ) as response:
            yield Watch(response)


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Api]:
    """Open a client."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(
        timeout=timeout, headers={"User-Agent": "tester/1"}, read_bufsize=2**21
    ) as session:
        yield Api(url, session)
