"""The objects of the sample service, as a real cluster with Istio takes them.

A real API server refuses loopback addresses in pods and EndpointSlices. Istio's own WorkloadEntry
has no such rule, and an ordinary Service selects it as it would a pod.
"""

from __future__ import annotations

from typing import Any

from rollout.sandbox.stage_objects import PORT, Cast
from tests.testbed.proxy import APP

ISTIO = "networking.istio.io/v1"
OURS = "rollout.dev/v1alpha1"

TCP_SERVICE = "tcp-echo"
TCP_PORT = 9000
"""Istio's sample of a service that echoes lines."""

Manifest = dict[str, Any]


def namespace(name: str) -> Manifest:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def objects(cast: Cast) -> list[Manifest]:
    """All of them, in an order in which nothing is refused; all weight is on the first version."""
    return [
        _service(cast),
        *_workload_entries(cast),
        _sidecar(cast),
        _destination_rule(cast),
        _virtual_service(cast),
    ]


def routes(cast: Cast, weights: dict[str, int]) -> list[Manifest]:
    """The `http` part of the VirtualService that sends each version so many percent."""
    legs = [
        {"destination": {"host": cast.service, "subset": version}, "weight": weight}
        for version, weight in weights.items()
    ]
    return [{"name": "primary", "route": legs}]


def tcp_objects(cast: Cast) -> list[Manifest]:
    """A service of connections, which are weighted one by one; all go to the first version."""
    name = {"name": TCP_SERVICE, "namespace": cast.namespace}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": name,
        "spec": {
            "selector": {"app": TCP_SERVICE},
            "ports": [{"name": "tcp", "port": TCP_PORT, "targetPort": TCP_PORT}],
        },
    }
    entries = [
        istio_object(
            cast,
            "WorkloadEntry",
            f"{TCP_SERVICE}-{version}",
            address=address,
            labels={
                "app": TCP_SERVICE,
                "version": version,
                "service.istio.io/workload-name": f"{TCP_SERVICE}-{version}",
            },
            ports={"tcp": TCP_PORT},
        )
        for version, address in cast.places()
    ]
    legs = [
        {
            "destination": {"host": TCP_SERVICE, "port": {"number": TCP_PORT}, "subset": version},
            "weight": 100 if version == cast.versions[0] else 0,
        }
        for version in cast.versions[:2]
    ]
    subsets = [{"name": version, "labels": {"version": version}} for version in cast.versions]
    tcp = [{"match": [{"port": TCP_PORT}], "route": legs}]
    return [
        service,
        *entries,
        istio_object(cast, "DestinationRule", TCP_SERVICE, host=TCP_SERVICE, subsets=subsets),
        istio_object(cast, "VirtualService", TCP_SERVICE, hosts=[TCP_SERVICE], tcp=tcp),
    ]


def rollout(cast: Cast, *steps: Manifest, **spec: Any) -> Manifest:
    """A Rollout at the first version, with a gate on errors."""
    gate = {"name": "errors", "errorRate": {"maxPercent": 1}}
    return {
        "apiVersion": OURS,
        "kind": "Rollout",
        "metadata": {"name": cast.service, "namespace": cast.namespace},
        "spec": {
            "host": cast.service,
            "revision": cast.versions[0],
            "strategy": {"steps": list(steps), "bake": "2s"},
            "gates": [gate],
            "judge": {"minRequests": 20},
            **spec,
        },
    }


def action(cast: Cast, verb: str, *, run: str) -> Manifest:
    """A person's command to a run."""
    return {
        "apiVersion": OURS,
        "kind": "RolloutAction",
        "metadata": {"name": f"{cast.service}-{run}-{verb.lower()}", "namespace": cast.namespace},
        "spec": {
            "rollout": cast.service,
            "run": run,
            "verb": verb,
            "actor": "alice@example.com",
        },
    }


def istio_object(cast: Cast, kind: str, name: str, **spec: Any) -> Manifest:
    """An object of Istio's in the scene's namespace."""
    metadata = {"name": name, "namespace": cast.namespace}
    return {"apiVersion": ISTIO, "kind": kind, "metadata": metadata, "spec": spec}


def _service(cast: Cast) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": cast.service, "namespace": cast.namespace},
        "spec": {
            "selector": {"app": cast.service},
            "ports": [{"name": "http", "port": PORT, "targetPort": PORT}],
        },
    }


def _workload_entries(cast: Cast) -> list[Manifest]:
    return [
        istio_object(
            cast,
            "WorkloadEntry",
            f"{cast.service}-{version}-{number}",
            address=address,
            labels={
                "app": cast.service,
                "version": version,
                # Without it the workload would be the WorkloadEntry, one a replica.
                "service.istio.io/workload-name": f"{cast.service}-{version}",
            },
            ports={"http": PORT},
        )
        for number, (version, address) in enumerate(cast.places())
    ]


def _sidecar(cast: Cast) -> Manifest:
    # An HTTP listener serves the services that have its port, so it must be the Service's port;
    # the address is the stage's own, so that no two of them meet.
    listener = {
        "port": {"number": PORT, "protocol": "HTTP", "name": "http"},
        "bind": cast.cluster_ip,
        "captureMode": "NONE",
        "hosts": [f"{cast.namespace}/*"],
    }
    # Connections have no Host header: a TCP listener serves one service.
    tcp = {
        "port": {"number": TCP_PORT, "protocol": "TCP", "name": "tcp"},
        "bind": cast.cluster_ip,
        "captureMode": "NONE",
        "hosts": [f"{cast.namespace}/{TCP_SERVICE}.{cast.namespace}.svc.cluster.local"],
    }
    selector = {"labels": {"app": APP}}
    return istio_object(cast, "Sidecar", APP, workloadSelector=selector, egress=[listener, tcp])


def _destination_rule(cast: Cast) -> Manifest:
    subsets = [{"name": name, "labels": {"version": name}} for name in cast.versions]
    return istio_object(cast, "DestinationRule", cast.service, host=cast.service, subsets=subsets)


def _virtual_service(cast: Cast) -> Manifest:
    first, *others = cast.versions
    weights = {first: 100, **dict.fromkeys(others, 0)}
    http = routes(cast, weights)
    return istio_object(cast, "VirtualService", cast.service, hosts=[cast.service], http=http)
