"""Who answers for a host: ready endpoints per subset, and how two subsets' series differ."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rollout.analysis.arm import Arms
from rollout.api.meta import Key, Manifest
from rollout.api.traffic import Problem, SubsetTable
from rollout.controller import cache
from rollout.controller import world as worlds
from rollout.controller.world import World
from rollout.routes import fronts

CANONICAL_LABELS = (
    "service.istio.io/canonical-revision",
    "app.kubernetes.io/version",
    "version",
)
"""Pod labels that Istio reads the canonical revision from, the first that is there (its
documentation of the standard metrics, and ``istio_stats``)."""

HASH_LABELS = ("pod-template-hash", "rollouts-pod-template-hash")
"""Pod labels whose value ends a ReplicaSet's name and does not belong to the workload's."""

HEALTH_CHECKED = "proxy.istio.io/health-checks-enabled"
"""The annotation of a WorkloadEntry whose health Istio checks."""

TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
"""What Go's ``ParseBool``, by which Istio reads that annotation, takes for true."""

ARM_LABELS = ("destination_workload", "destination_canonical_revision")
"""Labels by which series of two revisions may differ, in order of preference: the version label is
``unknown`` at the source when no response came."""


def service_of(host: str, *, namespace: str) -> Key:
    """The Kubernetes Service a full host name stands for; other hosts live in ``namespace``."""
    labels = host.split(".")
    if len(labels) > 2 and labels[2] == "svc":
        return Key(labels[1], labels[0])
    return Key(namespace, host)


def endpoints(
    world: World, host: str, *, namespace: str, near: Collection[str] = ()
) -> Iterator[tuple[Mapping[str, str], bool, Manifest]]:
    """Labels, readiness and object of everything that may answer for a host.

    A ServiceEntry counts if it is seen in ``namespace`` or one of those ``near``. One for a whole
    domain does not: for Istio only the host as written is a destination.
    """
    service = service_of(host, namespace=namespace)
    for piece in world.slices.by("service", str(service)):
        where = piece["metadata"]["namespace"]
        for endpoint in piece.get("endpoints") or ():
            target = (endpoint.get("targetRef") or {}).get("name")
            pod = world.pods.get(Key(where, target)) if target else None
            if pod is not None:
                yield pod["metadata"].get("labels") or {}, _is_ready(endpoint), pod
    selector = cache.labels_at(world.services.get(service), "spec", "selector")
    yield from _selected(world, selector, namespace=service.namespace)
    for entry in world.service_entries.by("host", host):
        exported = fronts.exports(entry.get("spec"), namespace=entry["metadata"]["namespace"])
        if any(fronts.seen(exported, where) for where in (namespace, *near)):
            yield from _of_entry(world, entry)


def _selected(
    world: World, selector: Mapping[str, str], *, namespace: str
) -> Iterator[tuple[Mapping[str, str], bool, Manifest]]:
    """The WorkloadEntries that bear the labels; of two values of a label Istio takes metadata's."""
    if not selector:
        return
    for entry in world.workload_entries.by("namespace", namespace):
        labels = {
            **cache.labels_at(entry, "spec", "labels"),
            **cache.labels_at(entry, "metadata", "labels"),
        }
        if selector.items() <= labels.items():
            yield labels, _is_healthy(entry), entry


def _is_healthy(entry: Manifest) -> bool:
    """Whether Istio sends to a WorkloadEntry: health that is checked must have been proved."""
    annotations = entry["metadata"].get("annotations") or {}
    if str(annotations.get(HEALTH_CHECKED, "")) not in TRUE:
        return True
    status = entry.get("status")
    found = status.get("conditions") if isinstance(status, dict) else None
    return any(
        isinstance(c, dict) and c.get("type") == "Healthy" and c.get("status") == "True"
        for c in (found if isinstance(found, list) else ())
    )


def _of_entry(world: World, entry: Manifest) -> Iterator[tuple[Mapping[str, str], bool, Manifest]]:
    """What answers for the hosts of a ServiceEntry: its own list, or what it selects."""
    spec, namespace = entry.get("spec"), entry["metadata"]["namespace"]
    endpoints_listed = spec.get("endpoints") if isinstance(spec, dict) else None
    for listed in endpoints_listed if isinstance(endpoints_listed, list) else ():
        if not isinstance(listed, dict):
            continue
        labels = cache.labels_at(listed, "labels")
        yield labels, True, {"metadata": {"namespace": namespace}}
    selector = cache.labels_at(entry, *cache.SELECTOR_PATH)
    yield from _selected(world, selector, namespace=namespace)
    for pod in world.pods.by("namespace", namespace) if selector else ():
        labels = cache.labels_at(pod, "metadata", "labels")
        if selector.items() <= labels.items():
            yield labels, _is_served(world, cache.key_of(pod)), pod


def _is_served(world: World, pod: Key) -> bool:
    """Whether a Service lists a pod as ready. Of a pod that no Service lists nobody knows."""
    return any(
        (endpoint.get("targetRef") or {}).get("name") == pod.name and _is_ready(endpoint)
        for piece in world.slices.by("pod", str(pod))
        for endpoint in piece.get("endpoints") or ()
    )


def _is_ready(endpoint: Mapping[str, Any]) -> bool:
    """Kubernetes: an unset condition reads as ready."""
    return (endpoint.get("conditions") or {}).get("ready", True) is not False


def ready_by_subset(
    world: World,
    host: str,
    subsets: SubsetTable,
    *,
    namespace: str,
    near: Collection[str] = (),
) -> Mapping[str, int]:
    """How many ready endpoints carry each subset's labels."""
    ready = dict.fromkeys(subsets.subsets, 0)
    for labels, is_ready, _ in endpoints(world, host, namespace=namespace, near=near):
        if is_ready:
            for subset, wanted in subsets.subsets.items():
                if wanted.items() <= labels.items():
                    ready[subset] += 1
    return ready


def unread(world: World) -> str:
    """What may bring endpoints and is not seen, in a sentence; empty when all is.

    What is not seen does not count as ready: nothing is sent to what nobody knows to be there.
    """
    sources = (
        world.slices,
        world.pods,
        world.services,
        world.service_entries,
        world.workload_entries,
    )
    return worlds.denied(sources)


def tell_apart(
    world: World,
    host: str,
    subsets: SubsetTable,
    *,
    namespace: str,
    stable: str,
    canary: str,
) -> Arms | Problem | None:
    """How Istio's series of two subsets differ; None while one of them has no pods to tell by."""
    found = [
        _identities(world, host, subsets, name, namespace=namespace) for name in (stable, canary)
    ]
    if not all(found):
        return None
    for i, label in enumerate(ARM_LABELS):
        ours, theirs = ({identity[i] for identity in side} for side in found)
        if len(ours) == 1 and len(theirs) == 1 and ours != theirs and "" not in ours | theirs:
            return Arms(label=label, stable=min(ours), canary=min(theirs))
    message = (
        f"spec.metrics.arm: pods of {stable} and {canary} differ neither by one owner each nor by "
        "one version label each, so their metrics cannot be told apart; label them, or set "
        "spec.metrics.arm"
    )
    return Problem(reason="CannotTellApart", message=message)


def _identities(
    world: World, host: str, subsets: SubsetTable, name: str, *, namespace: str
) -> set[tuple[str, str]]:
    """Workload and canonical revision of the pods of a subset."""
    wanted = subsets.subsets.get(name)
    if wanted is None:
        return set()
    return {
        (workload_of(manifest, labels), canonical_revision_of(labels))
        for labels, _, manifest in endpoints(world, host, namespace=namespace)
        if wanted.items() <= labels.items()
    }


def workload_of(manifest: Manifest, labels: Mapping[str, str]) -> str:
    """The workload's name as Istio's metrics spell it: the owner, a ReplicaSet without its hash.

    The labels are those that the workload bears; a WorkloadEntry has them in its spec. Empty for an
    endpoint listed in a ServiceEntry: what Istio calls it depends on its version and on the order
    of the list.
    """
    metadata = manifest["metadata"]
    if "name" not in metadata:
        return ""
    named = labels.get("service.istio.io/workload-name")
    if named:
        return str(named)
    owner = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), None)
    if owner is None:
        return str(metadata["name"])
    name = str(owner["name"])
    for label in HASH_LABELS:
        if owner.get("kind") == "ReplicaSet" and label in labels:
            return name.removesuffix(f"-{labels[label]}")
    return name


def canonical_revision_of(labels: Mapping[str, str]) -> str:
    """The canonical revision as Istio's metrics spell it."""
    return next((labels[name] for name in CANONICAL_LABELS if labels.get(name)), "latest")
