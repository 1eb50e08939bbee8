"""An API server in memory, with conflicts, finalizers, watches and misfortunes."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from rollout.api.meta import LOCAL_ACCESS_REVIEW, ROLLOUT, ROLLOUT_ACTION, Key, Kind, Manifest
from rollout.base import errors
from rollout.ports import Clock, Listing, Patch, WatchEvent, Written
from tests.world import store
from tests.world.faults import SERVER, Faults

BOOKMARK_SECONDS = 60.0
STREAM_SECONDS = 300.0
SILENCE_SECONDS_MAX = 90.0
HISTORY_COUNT_MAX = 10_000
RESOLUTION_SECONDS = 1e-5
"""What is due within this is due: simulated time comes in steps, and would never reach it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A write that took effect.

    Attributes:
        at: the wall clock.
        verb: create, replace, patch or delete.
        plural: which kind.
        key: which object.
        subresource: ``status`` or empty.
        changed: False when the object was as wanted already.
    """

    at: datetime
    verb: str
    plural: str
    key: Key
    subresource: str
    changed: bool


@dataclass(slots=True, kw_only=True, eq=False)
class _Stream:
    """A watch under way."""

    plural: str
    namespace: str
    waiting: list[tuple[float, int, WatchEvent]] = field(default_factory=list)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    ending: str = ""
    silent: bool = False
    last_due: float = 0.0


class FakeCluster:
    """A ports.Cluster of which a test owns both ends.

    Clients use the port's methods, which count, fail and take time as `faults` says. The test plays
    everyone else - people, kubelets, other controllers - with `put`, `edit`, `remove` and `peek`,
    which always work and at once.

    Attributes:
        faults: what goes wrong.
        requests: how often each (verb, plural) was asked, refused ones included.
        writes: what clients changed, the newest last.
        admit: when set, asked about every write by a client: (verb, kind, object) to the sentence
            of a refusal, or None.
        heard: when set, told of every change of an object, whoever made it.
        warnings: sentences sent along with every write.
        rights: who may do what with which Rollout: (user or group, verb, key).
        revision: the resource version of the newest write.
    """

    def __init__(self, clock: Clock, *, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.requests: Counter[tuple[str, str]] = Counter()
        self.writes: deque[Write] = deque(maxlen=HISTORY_COUNT_MAX)
        self.admit: Callable[[str, Kind, Manifest], str | None] | None = None
        self.heard: Callable[[Kind, Manifest], None] | None = None
        self.warnings: tuple[str, ...] = ()
        self.rights: set[tuple[str, str, Key]] = set()
        self.revision = 100
        self._clock = clock
        self._objects: dict[str, dict[Key, Manifest]] = {}
        self._history: dict[str, list[tuple[int, WatchEvent]]] = {}
        self._forgotten = 0
        self._absent: set[str] = set()
        self._with_status = {ROLLOUT.plural, ROLLOUT_ACTION.plural}
        self._streams: list[_Stream] = []
        self._numbers = count(1)

    # What the test does as everyone else.

    def put(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Create or replace an object whole, status included, without any precondition."""
        key = store.key_of(manifest)
        old = self._of(kind).get(key)
        if old is None:
            return self._born(kind, manifest)
        wanted = store.copy(manifest)
        wanted["metadata"].pop("resourceVersion", None)
        wanted["metadata"].pop("uid", None)
        wanted |= {"apiVersion": kind.api_version, "kind": kind.kind}
        return self._follow(kind, old, store.succeed(old, wanted, part=""))

    def edit(self, kind: Kind, key: Key, change: Callable[[Manifest], None]) -> Manifest:
        """Change an object in place, as a person would."""
        wanted = self.peek(kind, key)
        change(wanted)
        return self.put(kind, wanted)

    def remove(self, kind: Kind, key: Key) -> None:
        """Delete an object; finalizers hold it, as always."""
        self._delete(kind, key)

    def peek(self, kind: Kind, key: Key) -> Manifest:
        """A copy of an object as it stands; KeyError when there is none."""
        return store.copy(self._of(kind)[key])

    def version(self, kind: Kind, key: Key) -> str:
        """The resource version of an object as it stands; KeyError when there is none."""
        found: str = self._of(kind)[key]["metadata"]["resourceVersion"]
        return found

    def everything(self, kind: Kind) -> dict[Key, Manifest]:
        """Copies of all objects of a kind."""
        return {key: store.copy(manifest) for key, manifest in self._of(kind).items()}

    def uninstall(self, kind: Kind) -> None:
        """Take a kind's API away, objects and all, as when its CRD is deleted."""
        self._absent.add(kind.plural)
        self._objects.pop(kind.plural, None)
        self.end_watches(kind)

    def install(self, kind: Kind) -> None:
        """Serve a kind that was taken away."""
        self._absent.discard(kind.plural)

    def end_watches(self, kind: Kind | None = None) -> None:
        """Close streams cleanly, as the server does every few minutes."""
        self._end(kind, "end")

    def break_watches(self, kind: Kind | None = None) -> None:
        """Tear the connections of streams."""
        self._end(kind, "break")

    def silence_watches(self, kind: Kind | None = None) -> None:
        """Let streams stay open and say nothing, as while a server is being stopped."""
        for stream in self._streams_of(kind):
            stream.silent = True
            stream.stirred.set()

    def forget_history(self) -> None:
        """Compact: no watch may begin from before now."""
        self._forgotten = self.revision
        self._history.clear()

    # The port.

    async def list(self, kind: Kind, *, namespace: str = "") -> Listing:
        await self._arrive("list", kind)
        items = tuple(
            self._shown(kind, manifest)
            for key, manifest in sorted(self._of(kind).items())
            if namespace in {"", key.namespace}
        )
        self.faults.after("list", kind)
        return Listing(items=items, resource_version=str(self.revision))

    async def watch(
        self, kind: Kind, *, namespace: str = "", resource_version: str
    ) -> AsyncGenerator[WatchEvent, None]:
        await self._arrive("watch", kind)
        since = int(resource_version)
        if since < self._forgotten:
            raise errors.Gone(kind.kind)
        stream = _Stream(plural=kind.plural, namespace=namespace)
        for revision, event in self._history.get(kind.plural, []):
            if revision > since:
                self._send(stream, event)
        self._streams.append(stream)
        try:
            async for event in self._run(stream):
                yield WatchEvent(type=event.type, object=self._shown(kind, event.object))
        finally:
            self._streams.remove(stream)

    async def get(self, kind: Kind, key: Key) -> Manifest:
        await self._arrive("get", kind)
        found = self._shown(kind, self._found(kind, key))
        self.faults.after("get", kind)
        return found

    async def create(self, kind: Kind, manifest: Manifest, *, dry_run: bool = False) -> Written:
        await self._arrive("create", kind)
        wanted = store.copy(manifest)
        if generate := wanted["metadata"].get("generateName"):
            wanted["metadata"].setdefault("name", f"{generate}{next(self._numbers):05x}")
        key = store.key_of(wanted)
        if key in self._of(kind):
            raise errors.Conflict(_name(kind, key))
        self._judge("create", kind, wanted)
        if kind.plural in self._with_status:
            wanted.pop("status", None)
        if dry_run:
            return Written(object=wanted, warnings=self.warnings)
        return self._written("create", kind, self._born(kind, wanted), changed=True)

    async def replace(self, kind: Kind, manifest: Manifest) -> Written:
        await self._arrive("replace", kind)
        key = store.key_of(manifest)
        old = self._found(kind, key)
        if not manifest["metadata"].get("resourceVersion"):
            raise errors.Denied(_name(kind, key), status_code=422, message=store.UNVERSIONED)
        wanted = store.succeed(old, manifest, part=self._part(kind, ""))
        self._judge("replace", kind, wanted)
        following = self._follow(kind, old, wanted)
        return self._written("replace", kind, following, changed=following != old)

    async def patch(
        self, kind: Kind, key: Key, patch: Patch, *, subresource: str = "", dry_run: bool = False
    ) -> Written:
        await self._arrive("patch", kind)
        old = self._found(kind, key)
        part = self._part(kind, subresource)
        wanted = store.succeed(old, store.patched(old, patch), part=part)
        self._judge("patch", kind, wanted)
        if dry_run:
            return Written(object=wanted, warnings=self.warnings)
        following = self._follow(kind, old, wanted)
        changed = following != old
        return self._written("patch", kind, following, changed=changed, subresource=subresource)

    async def delete(self, kind: Kind, key: Key) -> None:
        await self._arrive("delete", kind)
        if key in self._of(kind):
            self._judge("delete", kind, self._of(kind)[key])
            self._note("delete", kind, key, changed=True)
            self._delete(kind, key)
        self.faults.after("delete", kind)

    async def may(self, *, user: str, groups: Sequence[str], verb: str, key: Key) -> bool:
        await self._arrive("create", LOCAL_ACCESS_REVIEW)
        self.faults.after("create", LOCAL_ACCESS_REVIEW)
        return any((who, verb, key) in self.rights for who in (user, *groups))

    async def close(self) -> None:
        self.end_watches()

    # How it works.

    async def _arrive(self, verb: str, kind: Kind) -> None:
        self.requests[verb, kind.plural] += 1
        await self.faults.before(verb, kind)
        if kind.plural in self._absent:
            raise errors.NotFound(kind.kind)

    def _of(self, kind: Kind) -> dict[Key, Manifest]:
        return self._objects.setdefault(kind.plural, {})

    def _found(self, kind: Kind, key: Key) -> Manifest:
        try:
            return self._of(kind)[key]
        except KeyError:
            raise errors.NotFound(_name(kind, key)) from None

    def _shown(self, kind: Kind, manifest: Manifest) -> Manifest:
        return store.copy(store.metadata_only(manifest) if kind.metadata_only else manifest)

    def _part(self, kind: Kind, subresource: str) -> str:
        if kind.plural not in self._with_status:
            return ""
        return subresource or "rest"

    def _judge(self, verb: str, kind: Kind, manifest: Manifest) -> None:
        refusal = self.admit(verb, kind, manifest) if self.admit else None
        if refusal is not None:
            name = _name(kind, store.key_of(manifest))
            raise errors.Denied(name, status_code=403, message=refusal)

    def _born(self, kind: Kind, manifest: Manifest) -> Manifest:
        uid = f"00000000-0000-4000-8000-{next(self._numbers):012d}"
        born = store.newborn(kind, manifest, uid=uid, now=self._clock.now())
        return self._commit(kind, "ADDED", born)

    def _follow(self, kind: Kind, old: Manifest, following: Manifest) -> Manifest:
        if following == old:
            return old
        metadata = following["metadata"]
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            return self._commit(kind, "DELETED", following)
        return self._commit(kind, "MODIFIED", following)

    def _delete(self, kind: Kind, key: Key) -> None:
        dying = store.copy(self._of(kind)[key])
        if not dying["metadata"].get("finalizers"):
            self._commit(kind, "DELETED", dying)
        elif "deletionTimestamp" not in dying["metadata"]:
            dying["metadata"]["deletionTimestamp"] = self._clock.now().isoformat()
            dying["metadata"]["generation"] += 1
            self._commit(kind, "MODIFIED", dying)

    def _commit(self, kind: Kind, change: str, manifest: Manifest) -> Manifest:
        self.revision += 1
        manifest["metadata"]["resourceVersion"] = str(self.revision)
        key = store.key_of(manifest)
        match change:
            case "DELETED":
                del self._of(kind)[key]
                event = WatchEvent(type="DELETED", object=manifest)
            case "ADDED":
                self._of(kind)[key] = manifest
                event = WatchEvent(type="ADDED", object=manifest)
            case _:
                self._of(kind)[key] = manifest
                event = WatchEvent(type="MODIFIED", object=manifest)
        history = self._history.setdefault(kind.plural, [])
        history.append((self.revision, event))
        for stream in self._streams:
            if stream.plural == kind.plural:
                self._send(stream, event)
        if self.heard:
            self.heard(kind, manifest)
        return manifest

    def _note(
        self, verb: str, kind: Kind, key: Key, *, changed: bool, subresource: str = ""
    ) -> None:
        self.writes.append(
            Write(
                at=self._clock.now(),
                verb=verb,
                plural=kind.plural,
                key=key,
                subresource=subresource,
                changed=changed,
            )
        )

    def _written(
        self, verb: str, kind: Kind, manifest: Manifest, *, changed: bool, subresource: str = ""
    ) -> Written:
        key = store.key_of(manifest)
        self._note(verb, kind, key, changed=changed, subresource=subresource)
        self.faults.after(verb, kind)
        return Written(object=store.copy(manifest), warnings=self.warnings)

    # Watches.

    def _streams_of(self, kind: Kind | None) -> Sequence[_Stream]:
        return [one for one in self._streams if kind is None or one.plural == kind.plural]

    def _end(self, kind: Kind | None, ending: str) -> None:
        for stream in self._streams_of(kind):
            stream.ending = ending
            stream.stirred.set()

    def _send(self, stream: _Stream, event: WatchEvent) -> None:
        if stream.namespace not in {"", store.key_of(event.object).namespace}:
            return
        now = self._clock.monotonic_seconds()
        for delay in self.faults.event_delays():
            due = now + delay
            if not self.faults.reorder_events:
                due = stream.last_due = max(due, stream.last_due)
            stream.waiting.append((due, next(self._numbers), event))
        stream.waiting.sort(key=lambda entry: entry[:2])
        stream.stirred.set()

    async def _run(self, stream: _Stream) -> AsyncGenerator[WatchEvent, None]:
        closing = self._clock.monotonic_seconds() + STREAM_SECONDS
        heard = self._clock.monotonic_seconds()
        while True:
            now = self._clock.monotonic_seconds() + RESOLUTION_SECONDS
            if stream.ending == "break":
                raise errors.Unreachable(SERVER, why="connection reset by peer")
            if stream.ending or now >= closing:
                return
            if stream.silent:
                await _wait(stream, SILENCE_SECONDS_MAX)
                if stream.ending:
                    continue
                raise errors.Unreachable(SERVER, why="nothing heard for 90 s")
            if stream.waiting and stream.waiting[0][0] <= now:
                heard = now
                yield stream.waiting.pop(0)[2]
            elif not stream.waiting and now >= heard + BOOKMARK_SECONDS:
                heard = now
                yield self._bookmark()
            else:
                due = stream.waiting[0][0] if stream.waiting else heard + BOOKMARK_SECONDS
                await _wait(stream, min(due, closing) - now + 2 * RESOLUTION_SECONDS)

    def _bookmark(self) -> WatchEvent:
        return WatchEvent(
            type="BOOKMARK", object={"metadata": {"resourceVersion": str(self.revision)}}
        )


def _name(kind: Kind, key: Key) -> str:
    return f"{kind} {key}"


async def _wait(stream: _Stream, seconds: float) -> None:
    """Until something stirs, or a time has passed."""
    stream.stirred.clear()
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await stream.stirred.wait()
    except TimeoutError:
        pass
