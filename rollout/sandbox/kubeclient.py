"""The little of a Kubernetes client that the sandbox's own parts need, over plain aiohttp."""

from __future__ import annotations

import base64
import contextlib
import ssl
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson
import yaml

from rollout.base.errors import BadManifest, Denied, Gone, NotFound, Unreachable

LINE_BYTES_MAX = 4 << 20
"""A watch line is one object; the API server takes none larger than 3 MB."""

PAGE_ITEMS = 500
"""Objects in one answer to a list, as kubectl asks."""

CALL_SECONDS_MAX = 10.0
"""For everything but a watch; the sandbox's API server answers in milliseconds."""

WATCH_SECONDS = 300
"""The server ends a watch after this; then it is begun again where it ended."""

QUIET_SECONDS_MAX = WATCH_SECONDS + 10.0
"""A watch that the server should have ended by now is dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the API server is and how it knows us.

    Attributes:
        url: without a slash at the end; may have a path, which then is the secret.
        tls: None for plain HTTP.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None


def access_from(kubeconfig: Path) -> Access:
    """The current context of a kubeconfig: server, CA and bearer token; nothing else is read.

    Raises:
        BadManifest: it is no kubeconfig.
        OSError: it cannot be read.
    """
    config = yaml.safe_load(kubeconfig.read_bytes())
    try:
        contexts = {item["name"]: item["context"] for item in config["contexts"]}
        context = contexts[config["current-context"]]
        clusters = {item["name"]: item["cluster"] for item in config["clusters"]}
        cluster = clusters[context["cluster"]]
        users = {item["name"]: item.get("user") or {} for item in config.get("users") or ()}
        user = users.get(context.get("user"), {})
        url = cluster["server"].rstrip("/")
    except (KeyError, TypeError, AttributeError) as error:
        problem = f"lacks {error}"
        remedy = "name a kubeconfig with a current context"
        raise BadManifest(
            subject=str(kubeconfig), field="file", problem=problem, remedy=remedy
        ) from error
    headers = {"Authorization": f"Bearer {user['token']}"} if user.get("token") else {}
    return Access(url=url, headers=headers, tls=_tls(url, cluster))


def _tls(url: str, cluster: Mapping[str, Any]) -> ssl.SSLContext | None:
    if not url.startswith("https:"):
        return None
    data = cluster.get("certificate-authority-data")
    context = ssl.create_default_context(
        cafile=cluster.get("certificate-authority"),
        cadata=base64.b64decode(data).decode() if data else None,
    )
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class KubeClient:
    """Calls by path; an async context manager."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._stack = contextlib.AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._access.tls or True)
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS_MAX)
        session = aiohttp.ClientSession(
            headers=self._access.headers, connector=connector, timeout=timeout
        )
        self._session = await self._stack.enter_async_context(session)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def call(
        self, method: str, path: str, *, body: object = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """One call and its JSON answer.

        Raises:
            NotFound: 404. Gone: 410. Denied: any other refusal. Unreachable: no answer.
        """
        assert self._session is not None, "use it as a context manager"
        data = None if body is None else orjson.dumps(body)
        try:
            async with self._session.request(
                method,
                self._access.url + path,
                data=data,
                headers={"Content-Type": content_type, "Accept": "application/json"},
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(error) from error
        if response.status >= 400:
            what = f"{method} {path}"
            raise _refusal(what, response.status, content)
        answer: dict[str, Any] = orjson.loads(content)
        return answer

    async def list(self, path: str) -> tuple[list[dict[str, Any]], str]:
        """All objects at ``path`` and the resource version to watch from. Raises as `call`."""
        items: list[dict[str, Any]] = []
        token = ""
        while True:
            page = await self.call("GET", f"{path}?limit={PAGE_ITEMS}{token}")
            items += page.get("items") or []
            meta = page["metadata"]
            if not meta.get("continue"):
                return items, meta["resourceVersion"]
            token = f"&continue={meta['continue']}"

    async def watch(self, path: str, resource_version: str) -> AsyncGenerator[dict[str, Any], None]:
        """Events after ``resource_version`` until the server ends the watch.

        Raises:
            Gone: that is too long ago; list again. Otherwise as `call`.
        """
        assert self._session is not None, "use it as a context manager"
        what = f"watching {path}"
        url = (
            f"{self._access.url}{path}?watch=1&allowWatchBookmarks=true"
            f"&timeoutSeconds={WATCH_SECONDS}&resourceVersion={resource_version}"
        )
        timeout = aiohttp.ClientTimeout(sock_connect=CALL_SECONDS_MAX, sock_read=QUIET_SECONDS_MAX)
        try:
            async with self._session.get(
                url, timeout=timeout, read_bufsize=LINE_BYTES_MAX
            ) as response:
                if response.status >= 400:
                    content = await response.read()
                    raise _refusal(what, response.status, content)
                async for line in response.content:
                    event: dict[str, Any] = orjson.loads(line)
                    if event["type"] == "ERROR":
                        code = event["object"].get("code", 500)
                        raise _refusal(what, code, orjson.dumps(event["object"]))
                    yield event
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(error) from error


def _unreachable(error: Exception) -> Unreachable:
    return Unreachable("the API server", why=str(error) or type(error).__name__)


def _refusal(what: str, status: int, content: bytes) -> NotFound | Gone | Denied:
    if status == 404:
        return NotFound(what)
    if status == 410:
        return Gone(what)
    try:
        message = orjson.loads(content).get("message") or ""
    except (orjson.JSONDecodeError, AttributeError):
        message = content[:200].decode("utf-8", "replace")
    return Denied(what, status_code=status, message=message)
