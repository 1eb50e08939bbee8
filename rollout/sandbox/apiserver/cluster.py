"""The cluster: store, registry and everything that follows changes, put together.

It knows nothing of HTTP, so tests can use it without a server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from rollout.base import errors
from rollout.sandbox.apiserver import definitions, native
from rollout.sandbox.apiserver.calls import Call
from rollout.sandbox.apiserver.deletion import Deleter
from rollout.sandbox.apiserver.garbage import Collector
from rollout.sandbox.apiserver.kinds import Registry, StorageKey
from rollout.sandbox.apiserver.refusals import Refusal
from rollout.sandbox.apiserver.store import DELETED, Event, Store
from rollout.sandbox.apiserver.trees import Json
from rollout.sandbox.apiserver.watches import Watches
from rollout.sandbox.apiserver.writes import Writer

EVENT_LIFETIME = timedelta(hours=1)  # Kubernetes forgets events after this long

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_BORN_NAMESPACES = ("default", "kube-system", "kube-public")


def utc_now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


def first_version(now: datetime) -> int:
    """Return where a new server's versions begin: milliseconds since 2026.

    So a server that starts anew begins above all versions of its former life (unless that wrote
    more than 1,000 times a second all along), and old watches get their 410.
    """
    return max(1, int((now - _EPOCH).total_seconds() * 1000))


class Cluster:
    """Everything behind the HTTP front.

    Attributes:
        store: the objects.
        registry: the kinds.
        writer: executes writes.
        watches: the open watches.
    """

    def __init__(
        self,
        crds: Iterable[Json] = (),
        *,
        schedule: Callable[[Callable[[], None]], object],
        now: Callable[[], datetime] = utc_now,
        version: int | None = None,
    ) -> None:
        """Build a cluster.

        Args:
            crds: CustomResourceDefinitions to begin with.
            schedule: runs a function soon, outside the present change.
            now: the time of day.
            version: where resource versions begin; drawn from the time of day unless given.

        Raises:
            BadManifest: one of the CRDs is refused.
        """
        self.now = now
        self.store = Store(first_version(now()) if version is None else version)
        self.registry = Registry()
        self.watches = Watches(self.store)
        for resource in native.resources():
            self.registry.put(resource)
        self._deleter = Deleter(self.store, self.registry, self.now_text)
        self.writer = Writer(
            self.store, self.registry, deleter=self._deleter, now_text=self.now_text
        )
        self.store.after_change.append(self._follow_definitions)
        self.collector = Collector(self.store, self._deleter, schedule=schedule)
        for name in _BORN_NAMESPACES:
            self.writer.ensure_namespace(name)
        for crd in crds:
            self._install(crd)

    def now_text(self) -> str:
        """Return the time of day as Kubernetes writes it, to the second."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def _install(self, crd: Json) -> None:
        found = self.registry.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        assert found is not None, "definitions are built in"
        resource, version = found
        call = Call(
            resource=resource,
            version=version,
            namespace="",
            name="",
            subresource="",
            query={},
            agent="sandbox",
            method="POST",
        )
        try:
            self.writer.create(call, crd, [])
        except Refusal as refusal:
            name = str((crd.get("metadata") or {}).get("name"))
            raise errors.BadManifest(
                subject=name, field="spec", problem=refusal.message, remedy="mend the CRD"
            ) from refusal

    def _follow_definitions(self, key: StorageKey, event: Event) -> None:
        if key != native.DEFINITIONS:
            return
        body = event.entry.body
        spec = body["spec"]
        if event.type == DELETED:
            self.registry.drop(spec["group"], spec["names"]["plural"])
            self.watches.end_kind((spec["group"], spec["names"]["plural"]))
        elif event.previous is None or event.previous.body["spec"] is not spec:
            self.registry.put(definitions.resource_of(body))

    def forget_old_events(self) -> None:
        """Remove events that nothing has touched for their lifetime."""
        oldest = (self.now() - EVENT_LIFETIME).strftime("%Y-%m-%dT%H:%M:%SZ")
        for entry in self.store.entries(native.EVENTS):
            born = str(entry.body["metadata"].get("creationTimestamp"))
            stamp = str(entry.body.get("lastTimestamp") or born)
            if max(stamp, born) < oldest:
                self.store.remove(native.EVENTS, entry)
