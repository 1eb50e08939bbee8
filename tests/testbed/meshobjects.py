"""The objects of the sample service, as a real cluster with Istio takes them.

A real API server refuses loopback addresses in pods and EndpointSlices. Istio's own WorkloadEntry
has no such rule, and an ordinary Service selects it as it would a pod.
"""

from __future__ import annotations

from typing import Any

from rollout.sandbox.stage_objects import PORT, Cast
from tests.testbed.controlplane import ADMIN
from tests.testbed.proxy import APP

ISTIO = "networking.istio.io/v1"
OURS = "rollout.dev/v1alpha1"

TCP_SERVICE = "tcp-echo"
TCP_PORT = 9000
"""Istio's sample of a service that echoes lines."""

TLS_SERVICE = "tls-echo"
TLS_PORT = 9443
"""The same behind TLS of its own, which proxies pass through and know by its SNI."""

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
    return _connections(cast, "tcp", TCP_SERVICE, port=TCP_PORT, hosts=[TCP_SERVICE], match={})


def tls_objects(cast: Cast) -> list[Manifest]:
    """As `tcp_objects`, with TLS between caller and workload."""
    # Names in `sniHosts` are compared as they stand.
    names = [tls_name(cast)]
    match = {"sniHosts": names}
    return _connections(cast, "tls", TLS_SERVICE, port=TLS_PORT, hosts=names, match=match)


def tls_name(cast: Cast) -> str:
    """Whom callers of the service behind TLS ask for."""
    return f"{TLS_SERVICE}.{cast.namespace}.svc.cluster.local"


def _connections(
    cast: Cast, protocol: str, service: str, *, port: int, hosts: list[str], match: Manifest
) -> list[Manifest]:
    ports = [{"name": protocol, "port": port, "targetPort": port}]
    entries = [
        istio_object(
            cast,
            "WorkloadEntry",
            f"{service}-{version}",
            address=address,
            labels={
                "app": service,
                "version": version,
                "service.istio.io/workload-name": f"{service}-{version}",
            },
            ports={protocol: port},
        )
        for version, address in cast.places()
    ]
    legs = [
        {
            "destination": {"host": service, "port": {"number": port}, "subset": version},
            "weight": 100 if version == cast.versions[0] else 0,
        }
        for version in cast.versions[:2]
    ]
    subsets = [{"name": version, "labels": {"version": version}} for version in cast.versions]
    routes = [{"match": [{"port": port, **match}], "route": legs}]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": service, "namespace": cast.namespace},
            "spec": {"selector": {"app": service}, "ports": ports},
        },
        *entries,
        istio_object(cast, "DestinationRule", service, host=service, subsets=subsets),
        istio_object(cast, "VirtualService", service, hosts=hosts, **{protocol: routes}),
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
            "judge": {"minRequests": 20, "provenRatio": "Off"},
            **spec,
        },
    }


def action(cast: Cast, verb: str, *, run: str) -> Manifest:
    """A command to a run by whoever sets the scene: nobody may say that it is somebody else's."""
    return {
        "apiVersion": OURS,
        "kind": "RolloutAction",
        "metadata": {"name": f"{cast.service}-{run}-{verb.lower()}", "namespace": cast.namespace},
        "spec": {
            "rollout": cast.service,
            "run": run,
            "verb": verb,
            "actor": ADMIN,
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
    # Connections have no Host header: such a listener serves one service.
    lines = [
        {
            "port": {"number": port, "protocol": protocol.upper(), "name": protocol},
            "bind": cast.cluster_ip,
            "captureMode": "NONE",
            "hosts": [f"{cast.namespace}/{service}.{cast.namespace}.svc.cluster.local"],
        }
        for protocol, service, port in (
            ("tcp", TCP_SERVICE, TCP_PORT),
            ("tls", TLS_SERVICE, TLS_PORT),
        )
    ]
    selector = {"labels": {"app": APP}}
    return istio_object(cast, "Sidecar", APP, workloadSelector=selector, egress=[listener, *lines])


def _destination_rule(cast: Cast) -> Manifest:
    subsets = [{"name": name, "labels": {"version": name}} for name in cast.versions]
    return istio_object(cast, "DestinationRule", cast.service, host=cast.service, subsets=subsets)


def _virtual_service(cast: Cast) -> Manifest:
    first, *others = cast.versions
    weights = {first: 100, **dict.fromkeys(others, 0)}
    http = routes(cast, weights)
    return istio_object(cast, "VirtualService", cast.service, hosts=[cast.service], http=http)
