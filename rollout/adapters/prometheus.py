"""Asks Prometheus, or what speaks like it, through the owner's client and its session.

The client is synchronous and convenient: it retries inside the call, drops the ``warnings`` field,
puts a POST's query into the URL and never times out. So the call itself is made here, on the
client's session, in one of a few threads, with a deadline, a bound on the body and no redirects.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import orjson
import prometheus_api_client

from rollout.base.errors import (
    BadInput,
    BadManifest,
    BrokenAnswer,
    Overloaded,
    RolloutError,
    Unreachable,
)

if TYPE_CHECKING:
    import requests

WORKERS = 4
"""Calls at once: the server's own limit is 20 and others ask it too."""

BODY_BYTES_MAX = 64 * 1024 * 1024
"""An answer of 30,000 series has 31 MB; twice that is a question gone wrong."""

ERROR_BYTES_MAX = 64 * 1024
"""Of an answer that is an error anyway, this much is read for the reason."""

CHUNK_BYTES = 256 * 1024
"""Read at once; the deadline and the bound are looked at in between."""

CONNECT_SECONDS_MAX = 3.0
"""A server in the same cluster accepts in milliseconds; one that does not will not in a minute."""

TOKEN_BYTES_MAX = 64 * 1024
"""A bearer token has a few kB; anything longer is the wrong file."""

CLOSE_SECONDS_MAX = 2.0
"""How long closing waits for calls under way; their threads end by their own timeouts."""

WORDS_LENGTH_MAX = 300
"""Characters of a server's own words that are repeated in an error."""

RETRY_AFTER_SECONDS_MAX = 300.0
"""Seconds; a server that asks for more is looked at again anyway."""

CAUSES_MAX = 8
"""Errors wrapped in each other that are unwrapped to find what the system said."""

_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_OURS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
_LATE_KINDS = frozenset({"timeout", "canceled", "unavailable"})
_OUR_KINDS = frozenset({"bad_data", "execution"})
_LATE_WORDS = ("context deadline exceeded", "context canceled", "query timed out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a back end wants to be spoken to.

    Attributes:
        parameters: sent with every query, such as ``partial_response=false`` and ``dedup=true``
            (Thanos) or ``deny_partial_response=1`` (VictoriaMetrics); Prometheus ignores them.
        headers: sent with every query, such as ``X-Scope-OrgID``.
        bearer_token_file: read again for every query, since tokens rotate. None: no token.
        ca_file: certificates to trust instead of the system's. None: the usual ones.
        body_bytes_max: the largest answer that is read.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    bearer_token_file: Path | None = None
    ca_file: Path | None = None
    body_bytes_max: int = BODY_BYTES_MAX


class PrometheusMetrics:
    """A ports.Metrics for one address; made inside the running loop, closed by its maker.

    Raises:
        BadManifest: when made with a file of certificates that is not there.
    """

    def __init__(self, url: str, *, options: Options | None = None) -> None:
        self._options = options or Options()
        self._server = f"Prometheus at {_without_user(url)}"
        self._session = _session(self._options)
        self._client = prometheus_api_client.PrometheusConnect(
            url.rstrip("/"), session=self._session, retry=0
        )
        _mount(self._session, self._client.url)
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="prometheus")
        self._free = asyncio.Semaphore(WORKERS)
        self._closed = False

    async def query(
        self, promql: str, *, time_seconds: float | None, timeout_seconds: float
    ) -> Mapping[str, Any]:
        """The whole answer document of an instant query, warnings and all.

        Waiting for a free thread counts against the timeout.

        Raises:
            Unreachable: no connection, no answer in time, or a gateway without its upstream.
            Overloaded: the server refused for now, or ran out of time itself.
            BadInput: the server cannot read the query, or it would touch too much.
            BrokenAnswer: the answer is no answer of Prometheus, or too large.
        """
        self._check_open()
        deadline = time.monotonic() + timeout_seconds
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._free.acquire()
                return await asyncio.wrap_future(self._submit(promql, time_seconds, deadline))
        except TimeoutError:
            why = f"no answer within {timeout_seconds:g} s"
            raise Unreachable(self._server, why=why) from None

    async def close(self) -> None:
        """Lets go of threads and connections; calls still under way get a moment to end."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                for _ in range(WORKERS):
                    await self._free.acquire()
        self._client.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _check_open(self) -> None:
        if self._closed:
            raise Unreachable(self._server, why="this connection was closed by us")

    def _submit(
        self, promql: str, time_seconds: float | None, deadline: float
    ) -> Future[Mapping[str, Any]]:
        """Gives a call to a free thread; the place is free again only when the thread is.

        Its caller may have left long before. A loop that is closed needs no places any more.
        """
        if self._closed:
            self._free.release()
            self._check_open()
        loop = asyncio.get_running_loop()

        def release(_call: Future[Mapping[str, Any]]) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._free.release)

        call = self._pool.submit(self._ask, promql, time_seconds, deadline)
        call.add_done_callback(release)
        return call

    def _ask(self, promql: str, time_seconds: float | None, deadline: float) -> Mapping[str, Any]:
        """One POST with a form body; runs in a thread and ends at the deadline, or soon after."""
        from requests import exceptions  # noqa: PLC0415 - slow to import, see _session
        from urllib3 import exceptions as transport  # noqa: PLC0415 - what requests does not wrap

        left_seconds = max(0.001, deadline - time.monotonic())
        form = {**self._options.parameters, "query": promql, "timeout": _duration(left_seconds)}
        if time_seconds is not None:
            form["time"] = f"{time_seconds:.3f}"
        try:
            with self._session.post(
                f"{self._client.url}/api/v1/query",
                data=form,
                headers=self._authorization(),
                timeout=(min(CONNECT_SECONDS_MAX, left_seconds), left_seconds),
                allow_redirects=False,
                stream=True,
            ) as response:
                return self._understand(response, deadline)
        except (exceptions.Timeout, transport.TimeoutError):
            raise Unreachable(self._server, why="no answer in time") from None
        except transport.DecodeError as error:
            raise BrokenAnswer(self._server, why="it cannot be unpacked") from error
        except (OSError, transport.HTTPError) as error:  # requests' own errors are OSErrors
            raise Unreachable(self._server, why=_reason(error)) from error

    def _authorization(self) -> dict[str, str]:
        file = self._options.bearer_token_file
        if file is None:
            return {}
        try:
            with file.open(encoding="ascii") as opened:
                token = opened.read(TOKEN_BYTES_MAX).strip()
        except (OSError, ValueError) as error:
            why = f"the token file {file} cannot be read ({type(error).__name__})"
            raise Unreachable(self._server, why=why) from error
        if not token or not token.isprintable() or " " in token:
            raise Unreachable(self._server, why=f"the token file {file} holds no token")
        return {"Authorization": f"Bearer {token}"}

    def _understand(self, response: requests.Response, deadline: float) -> Mapping[str, Any]:
        """The document of a success; anything else is raised."""
        status = response.status_code
        kind = response.headers.get("Content-Type", "of no type")
        if status != HTTPStatus.OK:
            words = b"".join(self._pieces(response, deadline, bytes_max=ERROR_BYTES_MAX))
            retry_after = response.headers.get("Retry-After", "")
            raise self._refusal(status, _error_document(words), retry_after=retry_after)
        if "json" not in kind:
            raise BrokenAnswer(
                self._server, why=f"it is {kind} and not JSON; that may be a login page"
            )
        bytes_max = self._options.body_bytes_max
        body = b"".join(self._pieces(response, deadline, bytes_max=bytes_max))
        if len(body) > bytes_max:
            why = f"it has more than {bytes_max:,} bytes; ask for less at once"
            raise BrokenAnswer(self._server, why=why)
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise BrokenAnswer(self._server, why=f"broken JSON ({error})") from error
        if not isinstance(document, dict):
            raise BrokenAnswer(self._server, why="its JSON is no object")
        if document.get("status") != "success":
            raise self._refusal(status, document, retry_after="")
        return document

    def _pieces(
        self, response: requests.Response, deadline: float, *, bytes_max: int
    ) -> Iterator[bytes]:
        """The body until it ends or exceeds a bound; each piece is what is there already.

        Waiting for whole pieces would let a server that drips hold the thread for hours.
        """
        count = 0
        while count <= bytes_max and (
            piece := response.raw.read1(CHUNK_BYTES, decode_content=True)
        ):
            count += len(piece)
            yield piece
            if time.monotonic() > deadline:
                raise Unreachable(self._server, why="the answer did not end in time")

    def _refusal(
        self, status: int, document: Mapping[str, Any], *, retry_after: str
    ) -> RolloutError:
        """The error for an answer without data, by its type and text; the status alone misleads."""
        words = " ".join(str(document.get("error", "")).split())[:WORDS_LENGTH_MAX]
        kind = str(document.get("errorType", f"HTTP {status}"))
        if status in _BUSY or kind in _LATE_KINDS or any(late in words for late in _LATE_WORDS):
            seconds = float(retry_after) if retry_after.isdecimal() else 0.0
            return Overloaded(
                self._server, retry_after_seconds=min(seconds, RETRY_AFTER_SECONDS_MAX)
            )
        if status in _OURS or kind in _OUR_KINDS:
            return BadInput(f"{self._server} cannot answer this query ({kind}): {words}")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Unreachable(self._server, why=f"HTTP {status}: {words}")
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            why = f"HTTP {status} leads elsewhere, and a redirect is not followed"
            return BrokenAnswer(self._server, why=why)
        return BrokenAnswer(self._server, why=f"HTTP {status} ({kind}): {words}")


def _error_document(body: bytes) -> Mapping[str, Any]:
    """An error as Prometheus writes it, or what a proxy in between wrote instead."""
    with contextlib.suppress(orjson.JSONDecodeError):
        document = orjson.loads(body)
        if isinstance(document, dict):
            return document
    return {"error": body[: 4 * WORDS_LENGTH_MAX].decode(errors="replace")}


def _session(options: Options) -> requests.Session:
    """A session that several threads may use: nothing about it changes after this.

    The import takes 0.1 s; the command line loads this module without talking to Prometheus.
    Proxies, passwords and certificates named in the environment are not looked at: the address and
    the options say all there is to know.
    """
    import requests  # noqa: PLC0415

    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    session.headers.update({"Accept": "application/json", "Accept-Encoding": "identity"})
    session.headers.update(options.headers)
    if options.ca_file is not None:
        if not options.ca_file.is_file():
            raise BadManifest(
                field="ca_file",
                problem=f"names {options.ca_file}, where no file is",
                remedy="name a file of PEM certificates",
            )
        session.verify = str(options.ca_file)
    return session


def _mount(session: requests.Session, url: str) -> None:
    """Puts an adapter of ours in place of the client's, whose pool and retries do not fit."""
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    session.mount(url, HTTPAdapter(pool_connections=1, pool_maxsize=WORKERS, max_retries=0))


def _without_user(url: str) -> str:
    """The address without user and password, which must not get into sentences."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")).rstrip(
        "/"
    )


def _duration(seconds: float) -> str:
    """A timeout as Prometheus reads it; milliseconds are its smallest unit."""
    return f"{max(1, int(seconds * 1000))}ms"


def _reason(error: BaseException) -> str:
    """Why a connection failed, in the system's words; the library's name objects and addresses."""
    cause: BaseException | None = error
    for _ in range(CAUSES_MAX):
        if cause is None:
            break
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
