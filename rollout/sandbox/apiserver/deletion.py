"""Deletion: finalizers, propagation to owned objects, and what a namespace or a CRD takes along."""

from __future__ import annotations

from collections.abc import Callable

from rollout.sandbox.apiserver import native
from rollout.sandbox.apiserver.kinds import Registry, StorageKey
from rollout.sandbox.apiserver.store import Entry, Store
from rollout.sandbox.apiserver.trees import Json, mapping, sequence

BACKGROUND, FOREGROUND, ORPHAN = "Background", "Foreground", "Orphan"
FOREGROUND_FINALIZER = "foregroundDeletion"
CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"

Place = tuple[StorageKey, str, str]


def finalizers(body: Json) -> list[str]:
    """Return an object's finalizers."""
    return sequence(body["metadata"].get("finalizers"))


class Deleter:
    """Deletes objects as kube-apiserver and its controllers together do."""

    def __init__(self, store: Store, registry: Registry, now_text: Callable[[], str]) -> None:
        self._store = store
        self._registry = registry
        self._now_text = now_text

    def delete(self, key: StorageKey, entry: Entry, policy: str = BACKGROUND) -> Entry | None:
        """Delete an object; return it when finalizers hold it back, None when it is gone."""
        held: list[str] = []
        if policy == ORPHAN:
            self._orphan(entry)
        if policy == FOREGROUND and self._store.owned.get(entry.uid):
            held.append(FOREGROUND_FINALIZER)
        if key == native.DEFINITIONS and self._empty_out(self._contents_of_definition(entry)):
            held.append(CLEANUP_FINALIZER)
        if key == native.NAMESPACES and self._empty_out(self._contents_of_namespace(entry.name)):
            return self._terminating_namespace(key, entry)
        entry = self._current(key, entry)
        remaining = [*finalizers(entry.body), *held]
        if not remaining:
            self._store.remove(key, entry)
            return None
        held_entry = self._marked(key, entry, remaining)
        if FOREGROUND_FINALIZER in held:
            self._delete_owned(entry.uid)
        return self._store.get(key, entry.namespace, entry.name) or held_entry

    def _current(self, key: StorageKey, entry: Entry) -> Entry:
        return self._store.get(key, entry.namespace, entry.name) or entry

    def _marked(self, key: StorageKey, entry: Entry, remaining: list[str]) -> Entry:
        metadata = entry.body["metadata"]
        if metadata.get("deletionTimestamp"):
            return entry
        marked = {
            **metadata,
            "deletionTimestamp": self._now_text(),
            "deletionGracePeriodSeconds": 0,
            "finalizers": list(dict.fromkeys(remaining)),
        }
        if "generation" in metadata:
            marked["generation"] = metadata["generation"] + 1
        return self._rewrite(key, entry, {**entry.body, "metadata": marked})

    def _rewrite(self, key: StorageKey, entry: Entry, body: Json) -> Entry:
        draft = self._store.draft(body, entry.applied)
        self._store.put(key, draft)
        return draft

    def _terminating_namespace(self, key: StorageKey, entry: Entry) -> Entry:
        status = {**mapping(entry.body.get("status")), "phase": "Terminating"}
        metadata = {**entry.body["metadata"], "deletionTimestamp": self._now_text()}
        if entry.body["metadata"].get("deletionTimestamp"):
            return entry
        return self._rewrite(key, entry, {**entry.body, "metadata": metadata, "status": status})

    def _orphan(self, entry: Entry) -> None:
        for place in sorted(self._store.owned.get(entry.uid, ())):
            self.strip_owners(place, {entry.uid})

    def strip_owners(self, place: Place, uids: set[str]) -> None:
        """Remove references to some owners from an object."""
        entry = self._store.get(*place)
        if entry is None:
            return
        metadata = dict(entry.body["metadata"])
        references = sequence(metadata.get("ownerReferences"))
        metadata["ownerReferences"] = [
            one for one in references if mapping(one).get("uid") not in uids
        ]
        if not metadata["ownerReferences"]:
            del metadata["ownerReferences"]
        self._rewrite(place[0], entry, {**entry.body, "metadata": metadata})

    def strip_finalizer(self, key: StorageKey, entry: Entry, finalizer: str) -> None:
        """Remove a finalizer; the object goes when it was the last one."""
        rest = [one for one in finalizers(entry.body) if one != finalizer]
        metadata = {**entry.body["metadata"], "finalizers": rest}
        if not rest:
            del metadata["finalizers"]
        if rest or not metadata.get("deletionTimestamp"):
            self._rewrite(key, entry, {**entry.body, "metadata": metadata})
        else:
            self._store.remove(key, entry)

    def _delete_owned(self, uid: str) -> None:
        for place in sorted(self._store.owned.get(uid, ())):
            child = self._store.get(*place)
            if child is not None:
                self.delete(place[0], child, FOREGROUND)

    def _contents_of_definition(self, entry: Entry) -> list[Place]:
        spec = mapping(entry.body.get("spec"))
        key = (str(spec.get("group")), str(mapping(spec.get("names")).get("plural")))
        return [(key, one.namespace, one.name) for one in self._store.entries(key)]

    def _contents_of_namespace(self, namespace: str) -> list[Place]:
        return [
            (key, namespace, one.name)
            for key in sorted(self._store.topics)
            for one in self._store.entries(key, namespace)
        ]

    def _empty_out(self, places: list[Place]) -> bool:
        """Delete objects; tell whether finalizers keep some of them."""
        for place in places:
            entry = self._store.get(*place)
            if entry is not None:
                self.delete(place[0], entry)
        return any(self._store.get(*place) is not None for place in places)

    def _may_go(self, namespace: Entry) -> bool:
        going = bool(namespace.body["metadata"].get("deletionTimestamp"))
        held = finalizers(namespace.body) or self._contents_of_namespace(namespace.name)
        return going and not held

    def release_containers(self, key: StorageKey, namespace: str) -> None:
        """Let a terminating namespace or CRD go when its last object has gone."""
        holder = self._store.get(native.NAMESPACES, "", namespace) if namespace else None
        if holder is not None and self._may_go(holder):
            self._store.remove(native.NAMESPACES, holder)
        resource = self._registry.resources.get(key)
        if resource is None or not resource.custom or self._store.topic(key).entries:
            return
        definition = self._store.get(native.DEFINITIONS, "", resource.label.resource)
        if definition is not None and definition.body["metadata"].get("deletionTimestamp"):
            self.strip_finalizer(native.DEFINITIONS, definition, CLEANUP_FINALIZER)
