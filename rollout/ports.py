"""What the loop may ask of the world; adapters answer, tests answer with fakes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol

from rollout.api.meta import Key, Kind, Manifest
from rollout.api.window import Opening

Patch = Sequence[Mapping[str, Any]] | Mapping[str, Any]
"""A JSON patch when it is a list of operations, a merge patch when it is an object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All objects of a kind at one moment.

    Attributes:
        items: the objects; ``kind`` and ``apiVersion`` may be missing from them.
        resource_version: where a watch may begin.
    """

    items: tuple[Manifest, ...]
    resource_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """One line of a watch.

    Attributes:
        type: what happened; a bookmark carries a resource version and nothing else.
        object: the object's new state; for ``DELETED`` its last one.
    """

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What came of a write.

    Attributes:
        object: the object as it stands now.
        warnings: sentences the server sent along (admission webhooks, unknown fields).
    """

    object: Manifest
    warnings: tuple[str, ...] = ()


class Cluster(Protocol):
    """The API server.

    Every call raises `Unreachable`, `Overloaded`, `Conflict`, `NotFound`, `Gone`, `Denied` or
    `BrokenAnswer` (``rollout.base.errors``), and nothing else for what the server or the network
    does.
    """

    async def list(self, kind: Kind, *, namespace: str = "") -> Listing:
        """All objects of a kind, read in pages of bounded size; an empty namespace means all."""
        ...

    def watch(
        self, kind: Kind, *, namespace: str = "", resource_version: str
    ) -> AsyncGenerator[WatchEvent, None]:
        """What happened after a resource version, bookmarks included, until the stream ends.

        Ends without an error when the server closes the stream; raises `Gone` when the version is
        too old, and `Unreachable` when the connection breaks or stays silent for too long. Close
        it (``contextlib.aclosing``) to let go of the connection.
        """
        ...

    async def get(self, kind: Kind, key: Key) -> Manifest:
        """One object as it stands now."""
        ...

    async def create(self, kind: Kind, manifest: Manifest) -> Written:
        """Create an object in the manifest's namespace. `Conflict` when it is already there."""
        ...

    async def replace(self, kind: Kind, manifest: Manifest) -> Written:
        """Put an object in place of the version named in it. `Conflict` when that one is stale."""
        ...

    async def patch(self, kind: Kind, key: Key, patch: Patch, *, subresource: str = "") -> Written:
        """Change an object. `Conflict` when the patch names a resource version that is stale."""
        ...

    async def delete(self, kind: Kind, key: Key) -> None:
        """Remove an object; that it is gone already is no error."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


class Metrics(Protocol):
    """Prometheus, or what speaks like it."""

    async def query(
        self, promql: str, *, time_seconds: float | None, timeout_seconds: float
    ) -> Mapping[str, Any]:
        """The whole answer document of an instant query at a time on the server's clock.

        ``None`` asks for the server's now. Raises `Unreachable`, `Overloaded`, `BrokenAnswer`, or
        `BadInput` when the server cannot read the query.
        """
        ...

    async def close(self) -> None:
        """Let go of threads and connections."""
        ...


class XdsType(StrEnum):
    """What istiod gives to proxies, by the short names that people know."""

    CDS = "CDS"
    """Clusters: the subsets."""
    EDS = "EDS"
    """Endpoints of clusters."""
    LDS = "LDS"
    """Listeners; with them routes of TCP and TLS."""
    RDS = "RDS"
    """Routes of HTTP."""


WORDS_LENGTH_MAX = 1000
"""Characters of a proxy's own words, which name all that it rejects; Envoy repeats whole resources
in some of its errors."""

AGE_ERROR_SECONDS = 1.0
"""istiod tells the times of its pushes, and its own, in whole seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nonces:
    """How a proxy stands to one type of configuration.

    Attributes:
        sent: names the newest answer that it was sent; empty: none.
        acked: names the newest answer that it has taken; empty: none.
        error: why it has rejected the newest, in its own words; empty: it has not.
        sent_age_seconds: how long ago istiod began the push that the newest answer is of, give or
            take `AGE_ERROR_SECONDS`; what changed later is not in it. None: istiod does not tell.
        acked_age_seconds: the same of the newest that it has taken.
    """

    sent: str
    acked: str
    error: str = ""
    sent_age_seconds: float | None = None
    acked_age_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy that is connected to istiod.

    Attributes:
        name: the proxy's, such as ``reviews-v1-5d4f.bookinfo``.
        nonces: how it stands to each type that it asks for.
    """

    name: str
    nonces: Mapping[XdsType, Nonces]


class Mesh(Protocol):
    """istiod, which knows what its proxies have been sent and have taken."""

    async def proxies(self) -> Sequence[Proxy]:
        """All proxies that are connected now, each once, whichever istiod they are connected to.

        Raises `Unreachable` or `BrokenAnswer` when even one istiod does not tell: its
        proxies would be missing.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Clock(Protocol):
    """Time."""

    def now(self) -> datetime:
        """The wall clock, in UTC; what statuses and people are told."""
        ...

    def monotonic_seconds(self) -> float:
        """A clock that never jumps; what timeouts are measured with."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; cancellation ends it."""
        ...


class Alarms(Protocol):
    """Wakes keys at a time; each key has at most one alarm."""

    def running(self, ring: Callable[[Key], None]) -> AbstractAsyncContextManager[None]:
        """While inside, alarms that are due call ``ring`` in the event loop, late ones at once."""
        ...

    def set(self, key: Key, at: datetime) -> None:
        """Wake a key at a time, instead of any earlier wish for this key."""
        ...

    def drop(self, key: Key) -> None:
        """Forget a key's alarm, if any."""
        ...


class Calendar(Protocol):
    """Cron and time zones."""

    def check(self, opening: Opening, *, at: str) -> None:
        """Raises `BadManifest` for an opening that never comes, or whose clock nobody knows.

        ``at`` is where it stands in its object, such as ``spec.windows.allow[0]``.
        """
        ...

    def opens_at(self, openings: Sequence[Opening], at: datetime) -> datetime | None:
        """The first moment from one on at which one of some openings is open.

        That moment itself when one is; else one with the time zone of the opening that comes first.
        None: none comes any more.
        """
        ...
