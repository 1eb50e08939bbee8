"""The store: objects in memory, one rising version counter, a bounded history for watches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

import orjson

from rollout.sandbox.apiserver import refusals
from rollout.sandbox.apiserver.kinds import StorageKey
from rollout.sandbox.apiserver.trees import Json, mapping, sequence

HISTORY_LIMIT_COUNT = 2_000  # events a watch may go back, per kind; then it gets 410
OBJECT_LIMIT_COUNT = 20_000  # objects per kind: beyond what one sandbox can mean
OBJECT_LIMIT_BYTES = 1_600 * 1024 - 1  # etcd takes 1,500 KiB and refuses 1,600 KiB

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"


class Entry:
    """One version of one object; never changed.

    Attributes:
        namespace: empty for cluster-scoped objects.
        name: its name.
        body: the object without apiVersion and kind, which depend on who asks.
        version: its resource version.
        applied: what each field manager applied last, by (manager, subresource).
    """

    __slots__ = ("_tail", "applied", "body", "name", "namespace", "rendered", "version")

    def __init__(self, body: Json, version: int, applied: dict[tuple[str, str], Json]) -> None:
        metadata = body["metadata"]
        self.namespace: str = metadata.get("namespace", "")
        self.name: str = metadata["name"]
        self.body = body
        self.version = version
        self.applied = applied
        self.rendered: dict[object, bytes] = {}
        self._tail: bytes | None = None

    @property
    def tail(self) -> bytes:
        """The body as JSON without its opening brace, encoded once."""
        if self._tail is None:
            self._tail = orjson.dumps(self.body)[1:]
        return self._tail

    @property
    def uid(self) -> str:
        """The object's uid."""
        return str(self.body["metadata"].get("uid", ""))


class Event:
    """One change of one object.

    Attributes:
        type: ADDED, MODIFIED or DELETED.
        entry: the object after the change; for DELETED its last state with a new version.
        previous: the object before the change, None for ADDED.
        lines: encoded watch lines by representation, shared among the watchers.
    """

    __slots__ = ("entry", "lines", "previous", "type")

    def __init__(self, type_: str, entry: Entry, previous: Entry | None) -> None:
        self.type = type_
        self.entry = entry
        self.previous = previous
        self.lines: dict[object, bytes] = {}


class Listener(Protocol):
    """Somebody who watches one kind."""

    def offer(self, event: Event) -> None:
        """Hear of a change; must neither block nor raise."""


class Topic:
    """The objects of one kind, their recent history and their watchers."""

    __slots__ = ("entries", "floor_version", "history", "listeners")

    def __init__(self, floor_version: int) -> None:
        self.entries: dict[tuple[str, str], Entry] = {}
        self.history: deque[Event] = deque()
        self.listeners: set[Listener] = set()
        self.floor_version = floor_version

    def since(self, version: int) -> list[Event] | None:
        """Return the events after `version`; None when the history does not go back that far."""
        if version < self.floor_version:
            return None
        found: list[Event] = []
        for event in reversed(self.history):
            if event.entry.version <= version:
                break
            found.append(event)
        found.reverse()
        return found

    def at(self, version: int) -> list[Entry] | None:
        """Return the objects as they were at `version`, in key order; None when that is gone."""
        events = self.since(version)
        if events is None:
            return None
        entries = dict(self.entries)
        for event in reversed(events):
            key = (event.entry.namespace, event.entry.name)
            if event.previous is None:
                entries.pop(key, None)
            else:
                entries[key] = event.previous
        return [entries[key] for key in sorted(entries)]

    def record(self, event: Event) -> None:
        """Keep an event and tell the watchers."""
        self.history.append(event)
        if len(self.history) > HISTORY_LIMIT_COUNT:
            self.floor_version = self.history.popleft().entry.version
        for listener in tuple(self.listeners):
            listener.offer(event)


class Store:
    """All objects.

    Attributes:
        version: the resource version of the last change.
        topics: by storage key.
        owned: keys of the objects that name an owner, by the owner's uid.
        uids: where each object is, by uid.
        after_change: called after each change, for garbage collection and the like.
    """

    def __init__(self, first_version: int) -> None:
        self.version = first_version
        self.topics: dict[StorageKey, Topic] = {}
        self.owned: dict[str, set[tuple[StorageKey, str, str]]] = {}
        self.uids: dict[str, tuple[StorageKey, str, str]] = {}
        self.after_change: list[Callable[[StorageKey, Event], None]] = []
        self._first_version = first_version

    def topic(self, key: StorageKey) -> Topic:
        """Return the topic of a kind; an unknown one is new and empty."""
        found = self.topics.get(key)
        if found is None:
            found = self.topics[key] = Topic(self._first_version)
        return found

    def get(self, key: StorageKey, namespace: str, name: str) -> Entry | None:
        """Return an object."""
        return self.topic(key).entries.get((namespace, name))

    def entries(self, key: StorageKey, namespace: str = "") -> list[Entry]:
        """Return the objects of a kind (in one namespace, if given) in key order."""
        entries = self.topic(key).entries
        if not namespace:
            return [entries[where] for where in sorted(entries)]
        return [entries[where] for where in sorted(entries) if where[0] == namespace]

    def draft(self, body: Json, applied: dict[tuple[str, str], Json]) -> Entry:
        """Return the entry that `put` would keep, without keeping it.

        Raises:
            Refusal: 500, the object is too large.
        """
        version = self.version + 1
        metadata = {**body["metadata"], "resourceVersion": str(version)}
        entry = Entry({**body, "metadata": metadata}, version, applied)
        if len(entry.tail) > OBJECT_LIMIT_BYTES:
            message = "etcdserver: request is too large"
            raise refusals.storage_failure(message)
        return entry

    def put(self, key: StorageKey, entry: Entry) -> None:
        """Keep a drafted entry, as a new object or as the new version of an old one.

        Raises:
            Refusal: 500, there are too many objects.
        """
        topic = self.topic(key)
        where = (entry.namespace, entry.name)
        previous = topic.entries.get(where)
        if previous is None and len(topic.entries) >= OBJECT_LIMIT_COUNT:
            message = "etcdserver: mvcc: database space exceeded"
            raise refusals.storage_failure(message)
        assert entry.version == self.version + 1, "drafts are kept at once or not at all"
        self.version = entry.version
        topic.entries[where] = entry
        self._index(key, entry, previous)
        event = Event(ADDED if previous is None else MODIFIED, entry, previous)
        self._tell(key, topic, event)

    def remove(self, key: StorageKey, entry: Entry, last_body: Json | None = None) -> Entry:
        """Forget an object; return its last state (`last_body`, if given) with a new version."""
        topic = self.topic(key)
        last = self.draft(last_body or entry.body, entry.applied)
        self.version = last.version
        del topic.entries[entry.namespace, entry.name]
        self._unindex(key, entry)
        self._tell(key, topic, Event(DELETED, last, entry))
        return last

    def _tell(self, key: StorageKey, topic: Topic, event: Event) -> None:
        topic.record(event)
        for hear in self.after_change:
            hear(key, event)

    def _index(self, key: StorageKey, entry: Entry, previous: Entry | None) -> None:
        if previous is not None:
            metadata, before = entry.body["metadata"], previous.body["metadata"]
            if metadata.get("ownerReferences") is before.get("ownerReferences"):
                return
            self._unindex(key, previous)
        place = (key, entry.namespace, entry.name)
        self.uids[entry.uid] = place
        for uid in owner_uids(entry.body):
            self.owned.setdefault(uid, set()).add(place)

    def _unindex(self, key: StorageKey, entry: Entry) -> None:
        place = (key, entry.namespace, entry.name)
        self.uids.pop(entry.uid, None)
        for uid in owner_uids(entry.body):
            places = self.owned.get(uid, set())
            places.discard(place)
            if not places:
                self.owned.pop(uid, None)


def owner_uids(body: Json) -> Iterable[str]:
    """Return the uids of an object's owners."""
    references = sequence(mapping(body.get("metadata")).get("ownerReferences"))
    return [str(mapping(reference).get("uid", "")) for reference in references]
