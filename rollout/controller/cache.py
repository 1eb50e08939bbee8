"""What we remember of a kind: the fields that matter, never older than what we knew before.

Three parties tell the cache about an object, in any order: the watch, a list, and the answers to
our own writes (their events often come first). Versions decide: of one kind's resource versions the
larger is the newer (KEP-5504), and where they are no numbers the last one told counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollout.api.meta import Key, Kind, Manifest

Trim = Callable[[Manifest], Manifest]
Index = Callable[[Manifest], Iterable[str]]
"""An object to the names under which it is to be found."""

EXPORT_TO = "networking.istio.io/exportTo"
"""The annotation by which a Kubernetes Service is seen in some namespaces only."""

SELECTOR_PATH = ("spec", "workloadSelector", "labels")
"""Where a ServiceEntry says what it selects."""

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
SERVICE_NAME = "kubernetes.io/service-name"

BURIED_COUNT_MAX = 4096
"""Deletions remembered, so that the late answer to a write does not raise an object from the dead.
Such an answer is late by seconds; this many deletions take longer than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What was new about an object.

    Attributes:
        key: which object.
        old: what we knew before; None when we did not know it.
        new: what we know now; None when it is gone.
    """

    key: Key
    old: Manifest | None
    new: Manifest | None


def key_of(manifest: Manifest) -> Key:
    """An object's key."""
    metadata = manifest["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def whole(manifest: Manifest) -> Manifest:
    """Everything but the bookkeeping of other tools, a third of many objects."""
    metadata = {
        name: part for name, part in manifest["metadata"].items() if name != "managedFields"
    }
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    if LAST_APPLIED in annotations:
        metadata["annotations"] = {
            name: text for name, text in annotations.items() if name != LAST_APPLIED
        }
    return {**manifest, "metadata": metadata}


def pod(manifest: Manifest) -> Manifest:
    """Of a pod: its name, labels and controller; arms are told apart by these."""
    metadata = manifest["metadata"]
    kept = _pick(metadata, "name", "namespace", "resourceVersion", "labels")
    owners = metadata.get("ownerReferences") or ()
    controllers = [owner for owner in owners if owner.get("controller")]
    if controllers:
        kept["ownerReferences"] = [_pick(controllers[0], "kind", "name", "uid", "controller")]
    return {"metadata": kept}


def service(manifest: Manifest) -> Manifest:
    """Of a Service: what it selects, what its ports carry, and who sees it."""
    metadata = manifest["metadata"]
    kept = _pick(metadata, "name", "namespace", "resourceVersion")
    annotations = metadata.get("annotations") or {}
    if EXPORT_TO in annotations:
        kept["annotations"] = {EXPORT_TO: annotations[EXPORT_TO]}
    spec = manifest.get("spec")
    picked = _pick(spec, "selector", "ports") if isinstance(spec, dict) else {}
    if isinstance(picked.get("ports"), list):
        fields = ("name", "port", "protocol", "appProtocol")
        picked["ports"] = [_pick(p, *fields) for p in picked["ports"] if isinstance(p, dict)]
    return {"metadata": kept, "spec": picked}


def sidecar(manifest: Manifest) -> Manifest:
    """Of a Sidecar: whom it is for, and what it lets them import."""
    kept = _pick(manifest["metadata"], "name", "namespace", "resourceVersion")
    spec = manifest.get("spec")
    picked = _pick(spec, "workloadSelector", "egress") if isinstance(spec, dict) else {}
    if isinstance(picked.get("egress"), list):
        found = [listener for listener in picked["egress"] if isinstance(listener, dict)]
        picked["egress"] = [_pick(listener, "hosts") for listener in found]
    return {"metadata": kept, "spec": picked}


def envoy_filter(manifest: Manifest) -> Manifest:
    """Of an EnvoyFilter: the names of the routes that it is about."""
    kept = _pick(manifest["metadata"], "name", "namespace", "resourceVersion")
    found: object = manifest.get("spec")
    patches = found.get("configPatches") if isinstance(found, dict) else None
    names = {_route_named(patch) for patch in patches or () if isinstance(patch, dict)}
    return {"metadata": kept, "routes": sorted(names - {""})}


def endpoint_slice(manifest: Manifest) -> Manifest:
    """Of an endpoint slice: its service, and which pods are ready."""
    metadata = manifest["metadata"]
    kept = _pick(metadata, "name", "namespace", "resourceVersion")
    service = (metadata.get("labels") or {}).get(SERVICE_NAME)
    if service is not None:
        kept["labels"] = {SERVICE_NAME: service}
    endpoints = [_endpoint(endpoint) for endpoint in manifest.get("endpoints") or ()]
    return {"metadata": kept, "endpoints": endpoints}


class Cache:
    """The objects of one kind, trimmed.

    What it gives out is shared: whoever wants to change an object copies it first. Lookups through
    an index cost what they find, however many objects there are.

    Attributes:
        kind: the kind.
        denied: why the cluster does not let us read the kind; empty: it does.
    """

    def __init__(
        self, kind: Kind, *, trim: Trim = whole, indexes: Mapping[str, Index] | None = None
    ) -> None:
        self.kind = kind
        self.denied = ""
        self._trim = trim
        self._objects: dict[Key, Manifest] = {}
        self._indexes = dict(indexes or {})
        self._found: dict[str, dict[str, dict[Key, None]]] = {name: {} for name in self._indexes}
        self._buried: dict[Key, str] = {}
        self._listed_version = ""

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[Manifest]:
        return iter(self._objects.values())

    def __contains__(self, key: Key) -> bool:
        return key in self._objects

    def get(self, key: Key) -> Manifest | None:
        """An object, or None."""
        return self._objects.get(key)

    def keys(self) -> tuple[Key, ...]:
        """The keys of all objects."""
        return tuple(self._objects)

    def by(self, index: str, name: str) -> tuple[Manifest, ...]:
        """The objects that an index has under a name, in the order of their arrival."""
        return tuple(self._objects[key] for key in self._found[index].get(name, ()))

    def put(self, manifest: Manifest) -> Change | None:
        """Take in an object as it was at some version.

        Returns:
            What changed among the fields we keep; None when nothing did, the resource version
            aside, or when we knew something newer.
        """
        key = key_of(manifest)
        version = _version(manifest)
        old = self._objects.get(key)
        if old is None and self._is_from_the_past(key, version):
            return None
        if old is not None and _older(version, _version(old)):
            return None
        new = self._trim(manifest)
        self._buried.pop(key, None)
        self._objects[key] = new
        if old is not None and _same(old, new):
            return None
        self._reindex(key, old, new)
        return Change(key=key, old=old, new=new)

    def remove(self, manifest: Manifest) -> Change | None:
        """Take in that an object is gone; the manifest is its last state, as `DELETED` carries it.

        Returns:
            The change; None when we did not know it, or knew a newer one of the same name.
        """
        key = key_of(manifest)
        version = _version(manifest)
        old = self._objects.get(key)
        if old is not None and _older(version, _version(old)):
            return None
        self._bury(key, version)
        return None if old is None else self._drop(key)

    def replace_all(
        self, items: Iterable[Manifest], *, version: str, rewound: bool = False
    ) -> Sequence[Change]:
        """Take in a complete list; what is missing from it is gone.

        Args:
            items: all objects.
            version: the list's resource version. Objects that we know at a newer one stay: our own
                write was answered while the list was under way.
            rewound: the server's history went back (a restored backup), so that versions from
                before say nothing; the list alone counts.
        """
        if rewound:
            self._buried.clear()
        present: set[Key] = set()
        changes: list[Change | None] = []
        self._listed_version = ""
        for item in items:
            key = key_of(item)
            present.add(key)
            changes.append(self._overwrite(key, item) if rewound else self.put(item))
        vanished = [
            key
            for key, known in self._objects.items()
            if key not in present and (rewound or not _older(version, _version(known)))
        ]
        changes.extend(self._drop(key) for key in vanished)
        self._listed_version = version
        return [change for change in changes if change is not None]

    def _overwrite(self, key: Key, manifest: Manifest) -> Change | None:
        old = self._objects.get(key)
        new = self._objects[key] = self._trim(manifest)
        if old is not None and _same(old, new):
            return None
        self._reindex(key, old, new)
        return Change(key=key, old=old, new=new)

    def _is_from_the_past(self, key: Key, version: str) -> bool:
        """Whether an unknown object was deleted after that version: buried, or not in the list."""
        buried = self._buried.get(key)
        if buried is not None and not _older(buried, version):
            return True
        return bool(self._listed_version) and _older(version, self._listed_version)

    def _bury(self, key: Key, version: str) -> None:
        if key in self._buried and _older(version, self._buried[key]):
            return
        self._buried.pop(key, None)
        self._buried[key] = version
        if len(self._buried) > BURIED_COUNT_MAX:
            del self._buried[next(iter(self._buried))]

    def _drop(self, key: Key) -> Change:
        old = self._objects.pop(key)
        self._reindex(key, old, None)
        return Change(key=key, old=old, new=None)

    def _reindex(self, key: Key, old: Manifest | None, new: Manifest | None) -> None:
        for index, names_of in self._indexes.items():
            found = self._found[index]
            before = set() if old is None else set(names_of(old))
            after = set() if new is None else set(names_of(new))
            for name in before - after:
                del found[name][key]
                if not found[name]:
                    del found[name]
            for name in after - before:
                found.setdefault(name, {})[key] = None


def labels_at(manifest: Manifest | None, *path: str) -> dict[str, str]:
    """The labels at a path of an object; empty when there are none, or something else is there."""
    found: object = manifest
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    labels = found if isinstance(found, dict) else {}
    return {name: value for name, value in labels.items() if isinstance(value, str)}


def selects(entry: Manifest, pod_: Manifest) -> bool:
    """Whether a ServiceEntry selects a pod of its namespace."""
    selector = labels_at(entry, *SELECTOR_PATH)
    return bool(selector) and selector.items() <= labels_at(pod_, "metadata", "labels").items()


def versions(manifests: Iterable[Manifest]) -> tuple[tuple[str, str], ...]:
    """Which objects, and how new: equal only when nothing about them has changed."""
    return tuple((m["metadata"].get("uid") or str(key_of(m)), _version(m)) for m in manifests)


def newest(one: str, other: str) -> str:
    """The newer of two resource versions of a kind."""
    return one if _older(other, one) else other


def _version(manifest: Manifest) -> str:
    version: str = manifest["metadata"].get("resourceVersion", "")
    return version


def _older(one: str, other: str) -> bool:
    """Whether a version is surely older than another; False when they are not numbers."""
    return one.isdecimal() and other.isdecimal() and int(one) < int(other)


def _same(old: Manifest, new: Manifest) -> bool:
    """Whether two states differ in nothing but their version."""
    if old.keys() != new.keys():
        return False
    if any(old[part] != new[part] for part in old if part != "metadata"):
        return False
    return _unversioned(old) == _unversioned(new)


def _unversioned(manifest: Manifest) -> Mapping[str, Any]:
    metadata: Mapping[str, Any] = manifest["metadata"]
    return {name: part for name, part in metadata.items() if name != "resourceVersion"}


def _pick(source: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: source[name] for name in names if name in source}


def _route_named(patch: Mapping[str, Any]) -> str:
    found: object = patch
    for name in ("match", "routeConfiguration", "vhost", "route", "name"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


def _endpoint(endpoint: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    conditions = endpoint.get("conditions") or {}
    if "ready" in conditions:
        kept["conditions"] = {"ready": conditions["ready"]}
    target = endpoint.get("targetRef") or {}
    if "name" in target:
        kept["targetRef"] = _pick(target, "kind", "name")
    return kept
