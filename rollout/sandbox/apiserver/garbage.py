"""Garbage collection: objects go when their last owner goes, soon after and in the background."""

from __future__ import annotations

from collections.abc import Callable

from rollout.sandbox.apiserver.deletion import FOREGROUND_FINALIZER, Deleter, Place, finalizers
from rollout.sandbox.apiserver.kinds import StorageKey
from rollout.sandbox.apiserver.store import DELETED, Event, Store, owner_uids


class Collector:
    """Follows every change and deletes what nobody owns any more.

    An owner that never existed counts as gone, as it does for kube-controller-manager.
    """

    def __init__(
        self, store: Store, deleter: Deleter, *, schedule: Callable[[Callable[[], None]], object]
    ) -> None:
        """Collect garbage of `store`.

        Args:
            store: its `after_change` gets our ear.
            deleter: deletes for us.
            schedule: runs a function soon, but not inside the change that called for it.
        """
        self._store = store
        self._deleter = deleter
        self._schedule = schedule
        self._suspects: dict[Place, None] = {}
        self._bereft: dict[str, None] = {}
        self._left: dict[tuple[StorageKey, str], None] = {}
        self._scheduled = False
        store.after_change.append(self._hear)

    def _hear(self, key: StorageKey, event: Event) -> None:
        entry = event.entry
        if event.type == DELETED:
            for place in self._store.owned.get(entry.uid, ()):
                self._suspects[place] = None
            for uid in owner_uids(entry.body):
                self._bereft[uid] = None
            self._left[key, entry.namespace] = None
        elif "ownerReferences" in entry.body["metadata"]:
            before = event.previous.body["metadata"] if event.previous else {}
            if before.get("ownerReferences") is entry.body["metadata"]["ownerReferences"]:
                return
            self._suspects[key, entry.namespace, entry.name] = None
        else:
            return
        if not self._scheduled:
            self._scheduled = True
            self._schedule(self.run)

    def run(self) -> None:
        """Work off what changes have called for; new work is scheduled anew."""
        self._scheduled = False
        suspects, self._suspects = list(self._suspects), {}
        bereft, self._bereft = list(self._bereft), {}
        left, self._left = list(self._left), {}
        for place in suspects:
            self._examine(place)
        for uid in bereft:
            self._finish_foreground(uid)
        for key, namespace in left:
            self._deleter.release_containers(key, namespace)

    def _examine(self, place: Place) -> None:
        entry = self._store.get(*place)
        if entry is None or entry.body["metadata"].get("deletionTimestamp"):
            return
        uids = set(owner_uids(entry.body))
        gone = {uid for uid in uids if not self._is_owner(uid, entry.namespace)}
        if not gone:
            return
        if gone == uids:
            self._deleter.delete(place[0], entry)
        else:
            self._deleter.strip_owners(place, gone)

    def _is_owner(self, uid: str, namespace: str) -> bool:
        """Tell whether an owner exists, in the same namespace or cluster-scoped."""
        place = self._store.uids.get(uid)
        return place is not None and place[1] in {"", namespace}

    def _finish_foreground(self, uid: str) -> None:
        place = self._store.uids.get(uid)
        owner = self._store.get(*place) if place else None
        if place is None or owner is None or self._store.owned.get(uid):
            return
        if FOREGROUND_FINALIZER in finalizers(owner.body):
            self._deleter.strip_finalizer(place[0], owner, FOREGROUND_FINALIZER)
