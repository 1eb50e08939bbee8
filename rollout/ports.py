"""What the loop may ask of the world; adapters answer, tests answer with fakes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol

from rollout.api.chat import Dialog, Handle, Member, Message, Press, Spot
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

    async def create(self, kind: Kind, manifest: Manifest, *, dry_run: bool = False) -> Written:
        """Create an object in the manifest's namespace. `Conflict` when it is already there.

        A dry run is judged by the server as any other, and leaves nothing behind.
        """
        ...

    async def replace(self, kind: Kind, manifest: Manifest) -> Written:
        """Put an object in place of the version named in it. `Conflict` when that one is stale."""
        ...

    async def patch(
        self, kind: Kind, key: Key, patch: Patch, *, subresource: str = "", dry_run: bool = False
    ) -> Written:
        """Change an object. `Conflict` when the patch names a resource version that is stale.

        A dry run is judged by the server as any other, and changes nothing.
        """
        ...

    async def delete(self, kind: Kind, key: Key) -> None:
        """Remove an object; that it is gone already is no error."""
        ...

    async def may(self, *, user: str, groups: Sequence[str], verb: str, key: Key) -> bool:
        """Whether somebody has the right to do something with a Rollout; RBAC's word counts.

        Args:
            user: the name, as the server would know it.
            groups: all that count: the server looks none up.
            verb: RBAC's: ``promote``, ``abort`` or ``approve``.
            key: the Rollout's, whether or not it is there.
        """
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Whom the chat takes us for.

    Attributes:
        team: the workspace's id.
        url: where it is.
        bot: the member id that our messages are from.
        scopes: what we may do, as far as the chat tells.
    """

    team: str
    url: str
    bot: str
    scopes: frozenset[str] = frozenset()


class Chat(Protocol):
    """Slack.

    Calls raise `Overloaded` (nothing was done; how long to wait), `Unreachable` (nothing was done,
    or it does no harm to ask again), `Uncertain` (it may have been done), `ChatRefused` (it will
    not be done, and whose fault that is) or `BrokenAnswer`, and nothing else for what the server
    or the network does.
    """

    async def serve(self, handle: Handle) -> None:
        """Hold a socket, and call ``handle`` for every press that comes over it, until cancelled.

        Several presses are handled at a time. A press is delivered at most once, except when it
        is delivered twice: what is made of one must bear repeating. One that ``handle`` does not
        acknowledge within three seconds has failed, as the person sees. `ChatRefused` when no
        press can come before an operator mends something. Presses that come by HTTP instead come
        through ``rollout.web.slack``, and are the same.
        """
        ...

    async def workspace(self) -> Workspace:
        """Whom the chat takes us for; to be asked once at the start, so that errors show early."""
        ...

    async def post(
        self,
        channel: str,
        message: Message,
        *,
        marker: str,
        thread: str = "",
        broadcast: bool = False,
        since: datetime | None = None,
    ) -> Spot:
        """Show a message in a channel, or in the thread below a message of it.

        ``channel`` is an id or a name; with a ``thread``, the id that its head's spot has. What
        cannot be shown with blocks is shown as text alone.

        ``marker`` names the message among all that we ever post, such as a Rollout's uid with the
        number of the telling. Slack forgets what it was asked when an answer is lost, so whoever
        may have asked before (after `Uncertain`, after a restart) gives in ``since`` the time
        before which it was surely not asked: then a message with the marker is looked for first,
        and if it is there, that is the answer. Where we may not read the channel nothing is looked
        for, and the message may be shown twice.
        """
        ...

    async def update(self, spot: Spot, message: Message) -> None:
        """Show something else in place of a message of ours; saying it twice is no harm.

        `ChatRefused` with the fault ``gone`` when there is nothing to change any more.
        """
        ...

    async def whisper(self, press: Press, message: Message) -> None:
        """Answer somebody who pressed, so that nobody else sees it, where they pressed it.

        It is shown once, to those who are looking; nothing that must arrive may be told so.
        """
        ...

    async def open_dialog(self, press: Press, dialog: Dialog) -> None:
        """Show a form to somebody who pressed a button, within three seconds of the press.

        The answer comes as another press, of the dialog.
        """
        ...

    async def who(self, member: str, *, groups: Collection[str] = ()) -> Member:
        """Who a member is, and which of these user groups they are in; a minute old at most.

        Raises where Slack does not say: then nobody knows whether somebody may do something.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Hooks(Protocol):
    """Addresses that are sent JSON by POST."""

    async def post(
        self,
        url: str,
        document: Mapping[str, Any],
        *,
        content_type: str,
        idempotency_key: str,
        timeout_seconds: float | None = None,
    ) -> None:
        """Post a document; any 2xx is taken for yes, and redirects are not followed.

        Raises `Overloaded` (429, 503), `Unreachable` (no answer in time, other 5xx), or
        `HookRefused`.
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
