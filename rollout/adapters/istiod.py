"""Asks istiod what its proxies have been sent and have taken: `/debug/syncz` of every replica.

Each replica knows only the proxies that are connected to itself, so all addresses of the host are
asked. Whoever asks from another pod needs a token of a service account with the audience
``istio-ca``, and the account's namespace must be istiod's own or be named in
``DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES`` of istiod (``pilot/pkg/xds/debug.go`` of Istio 1.31:
allowAuthenticatedOrLocalhost, AuthorizeDebugRequest).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from rollout.base.errors import BrokenAnswer, Unreachable
from rollout.ports import WORDS_LENGTH_MAX, Nonces, Proxy, XdsType

SYNCZ_PATH = "/debug/syncz"

LOOK_SECONDS_MAX = 2.0
"""For one look at all replicas: each answers in milliseconds, with thousands of proxies in 100."""

BODY_BYTES_MAX = 16 * 1024 * 1024
"""A proxy takes 1.7 kB: almost 10,000 of them at one replica, which is more than one can serve."""

CHUNK_BYTES = 256 * 1024

TOKEN_BYTES_MAX = 64 * 1024
"""A token has a few kB; anything longer is the wrong file."""

_TYPES: Mapping[XdsType, tuple[str, str]] = MappingProxyType(
    {
        XdsType.CDS: ("envoy.config.cluster.v3.Cluster", "cluster"),
        XdsType.EDS: ("envoy.config.endpoint.v3.ClusterLoadAssignment", "endpoint"),
        XdsType.LDS: ("envoy.config.listener.v3.Listener", "listener"),
        XdsType.RDS: ("envoy.config.route.v3.RouteConfiguration", "route"),
    }
)
"""Each type's name in ``resources``, and how the flat fields of older releases begin."""

Resolve = Callable[[str], Awaitable[Iterable[str]]]

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Connected:
    """A proxy as one replica knows it; the newest of several connections counts."""

    proxy: Proxy
    sent_at: datetime = field(default=_LONG_AGO)


class IstiodMesh:
    """A ports.Mesh; made inside the running loop, closed by its maker.

    Args:
        address: such as ``http://istiod.istio-system:15014``.
        token_file: read again for every look, since tokens rotate. None: no token.
        resolve: gives all addresses of a host; raises OSError when it has none.
    """

    def __init__(
        self, address: str, *, token_file: Path | None = None, resolve: Resolve | None = None
    ) -> None:
        split = urlsplit(address)
        self._scheme, self._host = split.scheme, split.hostname or ""
        self._port = split.port or (443 if split.scheme == "https" else 80)
        self._server = f"istiod at {split.scheme}://{self._host}:{self._port}"
        self._token_file = token_file
        self._resolve = resolve or all_addresses
        self._loop = asyncio.get_running_loop()
        # Thousands of proxies take a part of a second to read, in which the loop has more to do.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="istiod")
        self._session = aiohttp.ClientSession(
            # Names are resolved here, since all of a name's addresses are asked.
            connector=aiohttp.TCPConnector(use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def proxies(self) -> tuple[Proxy, ...]:
        """All proxies of all replicas.

        Raises:
            Unreachable: a replica did not answer in time, or the host has no address.
            BrokenAnswer: a replica refuses to tell, or its answer is too large or no istiod's.
        """
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                addresses = await self._addresses()
                found = [await self._ask(address) for address in addresses]
        except TimeoutError:
            why = f"no answer within {LOOK_SECONDS_MAX:g} s"
            raise Unreachable(self._server, why=why) from None
        known: dict[str, _Connected] = {}
        for one in (one for replica in found for one in replica):
            before = known.get(one.proxy.name)
            # A proxy that has just moved is still known where it came from.
            if before is None or before.sent_at <= one.sent_at:
                known[one.proxy.name] = one
        return tuple(one.proxy for one in known.values())

    async def close(self) -> None:
        """Let go of connections, and of the thread."""
        await self._session.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _addresses(self) -> list[str]:
        """All addresses of the host, each once."""
        try:
            return sorted(set(await self._resolve(self._host)))
        except (OSError, UnicodeError) as error:  # a part of a name may be empty or too long
            raise Unreachable(self._server, why=f"its name has no address: {error}") from error

    async def _ask(self, address: str) -> list[_Connected]:
        host = f"[{address}]" if ":" in address else address
        url = f"{self._scheme}://{host}:{self._port}{SYNCZ_PATH}"
        name = self._host if self._scheme == "https" else None
        try:
            async with self._session.get(
                url,
                headers={"Host": f"{self._host}:{self._port}", **self._authorization()},
                allow_redirects=False,
                server_hostname=name,
            ) as answer:
                if answer.status != HTTPStatus.OK:
                    raise self._refusal(answer.status)
                told_at = _header_moment(answer.headers.get("Date", ""))
                body = await self._body(answer)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = f"{address}: {str(error) or type(error).__name__}"
            raise Unreachable(self._server, why=why) from error
        try:
            return await self._loop.run_in_executor(self._pool, _parse, body, told_at)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BrokenAnswer(self._server, why=f"not the JSON of {SYNCZ_PATH}") from error

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                raise BrokenAnswer(self._server, why=f"it is larger than {BODY_BYTES_MAX:,} bytes")
        return bytes(body)

    def _authorization(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            with self._token_file.open("rb") as file:
                token = file.read(TOKEN_BYTES_MAX).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unreachable(self._server, why=f"no token to show: {error}") from error
        return {"Authorization": f"Bearer {token}"}

    def _refusal(self, status_code: int) -> BrokenAnswer | Unreachable:
        """What is in the way, with the remedy where we know one."""
        remedy = _REMEDIES.get(status_code)
        if remedy is None:
            return Unreachable(self._server, why=f"it answered with status {status_code}")
        return BrokenAnswer(self._server, why=f"status {status_code}; {remedy}")


_REMEDIES: Mapping[int, str] = MappingProxyType(
    {
        HTTPStatus.UNAUTHORIZED: "give --istiod-token-file a token with the audience istio-ca",
        HTTPStatus.FORBIDDEN: (
            "name the controller's namespace in istiod's DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES"
        ),
        HTTPStatus.NOT_FOUND: "set ENABLE_DEBUG_ON_HTTP of istiod to true",
    }
)
"""What to do about an answer that is none."""


async def all_addresses(host: str) -> list[str]:
    """As the system's resolver knows them. Raises `OSError` when there is none."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return sorted({str(info[4][0]) for info in found})


def _parse(body: bytes, told_at: datetime | None) -> list[_Connected]:
    """The proxies of an answer; runs in a thread."""
    return list(_read(orjson.loads(body), told_at=told_at))


def _read(
    document: list[dict[str, Any]] | None, *, told_at: datetime | None
) -> Iterator[_Connected]:
    """The proxies of an answer; those without a type that we know are left out."""
    for entry in document or ():
        resources: Mapping[str, Any] = entry.get("resources") or {}
        nonces: dict[XdsType, Nonces] = {}
        sent_at = _LONG_AGO
        for kind, (full, flat) in _TYPES.items():
            known = resources.get(f"type.googleapis.com/{full}")
            if known is not None:
                error = " ".join(str(known.get("lastError", "")).split())
                read = Nonces(
                    sent=str(known.get("sent", "")),
                    acked=str(known.get("acked", "")),
                    error=error[:WORDS_LENGTH_MAX],
                )
                sent_at = max(sent_at, _moment(known.get("sentTime")))
            else:
                read = Nonces(
                    sent=str(entry.get(f"{flat}_sent", "")),
                    acked=str(entry.get(f"{flat}_acked", "")),
                )
            if read.sent:
                nonces[kind] = _dated(read, told_at=told_at)
        if nonces:
            yield _Connected(proxy=Proxy(name=str(entry["proxy"]), nonces=nonces), sent_at=sent_at)


def _dated(nonces: Nonces, *, told_at: datetime | None) -> Nonces:
    """The same with the ages of their pushes, by istiod's clock alone."""
    return replace(
        nonces,
        sent_age_seconds=_age_seconds(nonces.sent, told_at=told_at),
        acked_age_seconds=_age_seconds(nonces.acked, told_at=told_at),
    )


def _age_seconds(nonce: str, *, told_at: datetime | None) -> float | None:
    """How long ago the push of a nonce began: its number and time are what the nonce begins with.

    That is nowhere promised (``pilot/pkg/xds/discovery.go``: nonce, NextVersion): one that is made
    otherwise has no age.
    """
    began, slash, _ = nonce.partition("/")
    if told_at is None or not slash:
        return None
    try:
        moment = datetime.fromisoformat(began)
    except ValueError:
        return None
    return (told_at - moment).total_seconds() if moment.tzinfo is not None else None


def _header_moment(text: str) -> datetime | None:
    """What an answer's header says of the server's clock; None where it says nothing of use."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else None


def _moment(text: object) -> datetime:
    """When something was sent; long ago where that is not said."""
    if not isinstance(text, str):
        return _LONG_AGO
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else _LONG_AGO
