"""The objects of the sample service, as a cluster with Istio would hold them.

A Service ``reviews`` with versions as Deployments of their own, a DestinationRule with a subset for
each, and a VirtualService that sends everything to the first. What the controllers of a real
cluster would add is written out: ReplicaSets, ready pods, EndpointSlices.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]

ISTIO = "networking.istio.io/v1"

ROUTE_NAME = "primary"
"""Of the one HTTP route."""

PORT = 9080
"""Of the service, and of its pods on their own addresses: bookinfo's."""

REPLICAS_MAX = 20
"""Of each version; all are listeners of one process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who is on the stage.

    Attributes:
        service: name of the Service, of the ``app`` label and of the routing objects.
        versions: the first one takes all traffic at the start.
        replicas: pods of each version, each on an address of its own.
        network: the first two numbers of a loopback network that is ours alone, ``127.83``.
    """

    namespace: str = "bookinfo"
    service: str = "reviews"
    versions: tuple[str, ...] = ("v1", "v2", "v3", "v4")
    replicas: int = 1
    network: str = "127.83"

    @property
    def cluster_ip(self) -> str:
        """Where Envoy listens for the service."""
        return f"{self.network}.0.1"

    def address(self, version: str, replica: int) -> str:
        """Where a pod listens."""
        return f"{self.network}.{self.versions.index(version) + 1}.{replica + 1}"

    def places(self) -> Iterator[tuple[str, str]]:
        """Every pod's version and address."""
        for version in self.versions:
            for replica in range(self.replicas):
                yield version, self.address(version, replica)


def objects(cast: Cast) -> list[Manifest]:
    """All of them, in an order in which owners come before what they own."""
    found = [_namespace(cast), _service(cast)]
    for version in cast.versions:
        found += [_deployment(cast, version), _replica_set(cast, version)]
        found += [_pod(cast, version, replica) for replica in range(cast.replicas)]
    return [*found, _slice(cast), _destination_rule(cast), _virtual_service(cast)]


def collection(item: Mapping[str, Any]) -> str:
    """The path that ``item`` is posted to; English plurals do for every kind in use here."""
    version = item["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    plural = _plural(item["kind"].lower())
    namespace = item["metadata"].get("namespace")
    return f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"


def _plural(kind: str) -> str:
    if kind.endswith("y") and kind[-2] not in "aeiou":
        return f"{kind[:-1]}ies"
    return f"{kind}es" if kind.endswith(("s", "x", "ch", "sh")) else f"{kind}s"


def _short_hash(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


def template_hash(cast: Cast, version: str) -> str:
    """A stand-in for the hash that Kubernetes makes of a pod template: ten characters, stable."""
    return _short_hash(cast.service, version)[:10]


def pod_name(cast: Cast, version: str, replica: int) -> str:
    """``reviews-v2-<hash>-<five characters>``."""
    tail = _short_hash(cast.service, version, replica)[:5]
    return f"{cast.service}-{version}-{template_hash(cast, version)}-{tail}"


def _meta(cast: Cast, name: str, **more: object) -> Manifest:
    return {"name": name, "namespace": cast.namespace, **more}


def _labels(cast: Cast, version: str) -> dict[str, str]:
    return {"app": cast.service, "version": version}


def _namespace(cast: Cast) -> Manifest:
    meta = {"name": cast.namespace, "labels": {"istio-injection": "enabled"}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def _service(cast: Cast) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(cast, cast.service, labels={"app": cast.service}),
        "spec": {
            "clusterIP": cast.cluster_ip,
            "clusterIPs": [cast.cluster_ip],
            "selector": {"app": cast.service},
            "ports": [{"name": "http", "port": PORT, "targetPort": PORT, "protocol": "TCP"}],
        },
    }


def _template(cast: Cast, version: str, labels: Mapping[str, str]) -> Manifest:
    container = {
        "name": cast.service,
        "image": f"sandbox/{cast.service}:{version}",
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
    }
    return {"metadata": {"labels": dict(labels)}, "spec": {"containers": [container]}}


def _deployment(cast: Cast, version: str) -> Manifest:
    labels = _labels(cast, version)
    counts = dict.fromkeys(
        ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas"), cast.replicas
    )
    available = {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(cast, f"{cast.service}-{version}", labels=labels),
        "spec": {
            "replicas": cast.replicas,
            "selector": {"matchLabels": labels},
            "template": _template(cast, version, labels),
        },
        "status": {**counts, "observedGeneration": 1, "conditions": [available]},
    }


def _replica_set(cast: Cast, version: str) -> Manifest:
    hash_ = template_hash(cast, version)
    labels = {**_labels(cast, version), "pod-template-hash": hash_}
    counts = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas"), cast.replicas)
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{cast.service}-{version}"}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": _meta(
            cast,
            f"{cast.service}-{version}-{hash_}",
            labels=labels,
            annotations={"deployment.kubernetes.io/revision": "1"},
            ownerReferences=[{**owner, "controller": True, "blockOwnerDeletion": True}],
        ),
        "spec": {
            "replicas": cast.replicas,
            "selector": {"matchLabels": labels},
            "template": _template(cast, version, labels),
        },
        "status": {**counts, "observedGeneration": 1},
    }


def _pod(cast: Cast, version: str, replica: int) -> Manifest:
    hash_ = template_hash(cast, version)
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": f"{cast.service}-{version}-{hash_}",
    }
    labels = {**_labels(cast, version), "pod-template-hash": hash_}
    address = cast.address(version, replica)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _meta(
            cast,
            pod_name(cast, version, replica),
            labels=labels,
            ownerReferences=[{**owner, "controller": True, "blockOwnerDeletion": True}],
        ),
        "spec": {**_template(cast, version, labels)["spec"], "nodeName": "sandbox"},
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def _slice(cast: Cast) -> Manifest:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": _meta(
            cast,
            f"{cast.service}-{_short_hash(cast.service)[:5]}",
            labels={"kubernetes.io/service-name": cast.service},
        ),
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": PORT, "protocol": "TCP"}],
        "endpoints": [
            _endpoint(cast, version, replica)
            for version in cast.versions
            for replica in range(cast.replicas)
        ],
    }


def _endpoint(cast: Cast, version: str, replica: int) -> Manifest:
    pod = {
        "kind": "Pod",
        "name": pod_name(cast, version, replica),
        "namespace": cast.namespace,
    }
    return {
        "addresses": [cast.address(version, replica)],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": pod,
    }


def _destination_rule(cast: Cast) -> Manifest:
    subsets = [{"name": version, "labels": {"version": version}} for version in cast.versions]
    return {
        "apiVersion": ISTIO,
        "kind": "DestinationRule",
        "metadata": _meta(cast, cast.service),
        "spec": {"host": cast.service, "subsets": subsets},
    }


def _virtual_service(cast: Cast) -> Manifest:
    legs = [
        {
            "destination": {"host": cast.service, "subset": version},
            "weight": 100 if version == cast.versions[0] else 0,
        }
        for version in cast.versions
    ]
    return {
        "apiVersion": ISTIO,
        "kind": "VirtualService",
        "metadata": _meta(cast, cast.service),
        "spec": {"hosts": [cast.service], "http": [{"name": ROUTE_NAME, "route": legs}]},
    }
