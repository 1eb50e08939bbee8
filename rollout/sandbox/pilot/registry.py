"""Which services there are, on which ports, and who stands behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rollout.sandbox.pilot.world import (
    DOMAIN,
    Manifest,
    World,
    is_subset,
    labels_of,
    namespace_of,
    spec_of,
)

Protocol = Literal["http", "grpc", "tcp"]

_PROTOCOLS: Mapping[str, Protocol] = {
    "http": "http",
    "http2": "http",
    "grpc": "grpc",
    "grpc-web": "grpc",
    "kubernetes.io/h2c": "http",
}


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One address of a service's port, with what metrics say about it.

    Attributes:
        workload: ``name/namespace/version/revision``: `destination_workload` and its companions.
    """

    address: str
    port: int
    workload: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port of a service and its ready endpoints."""

    number: int
    name: str
    protocol: Protocol
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A host of the mesh.

    Attributes:
        address: the cluster IP when it is one we can listen on, that is on loopback; else empty.
    """

    host: str
    namespace: str
    address: str
    ports: tuple[Port, ...]

    def port(self, number: int) -> Port | None:
        """The port with that number."""
        return next((port for port in self.ports if port.number == number), None)


def services(world: World) -> tuple[Service, ...]:
    """Services and ServiceEntries; the first to claim a host keeps it."""
    found: dict[str, Service] = {}
    for service in (*_from_services(world), *_from_entries(world)):
        found.setdefault(service.host, service)
    return tuple(found.values())


def protocol_of(name: str, app_protocol: str) -> Protocol:
    """Istio's choice: ``appProtocol``, else the port name up to the first dash, else TCP."""
    if app_protocol:
        return _PROTOCOLS.get(app_protocol.lower(), "tcp")
    lowered = name.lower()
    if lowered.startswith("grpc-web"):
        return "grpc"
    return _PROTOCOLS.get(lowered.partition("-")[0], "tcp")


def _from_services(world: World) -> Iterator[Service]:
    pods = {(namespace_of(pod), pod["metadata"]["name"]): pod for pod in world.all("Pod")}
    for item in world.all("Service"):
        spec, namespace = spec_of(item), namespace_of(item)
        if spec.get("type") == "ExternalName":
            continue
        slices = [s for s in world.all("EndpointSlice") if _belongs(s, to=item)]
        virtual = _machines(world, namespace=namespace, selector=spec.get("selector"))
        yield Service(
            host=f"{item['metadata']['name']}.{namespace}.{DOMAIN}",
            namespace=namespace,
            address=_loopback(spec.get("clusterIP")),
            ports=tuple(
                Port(
                    number=port["port"],
                    name=port.get("name") or "",
                    protocol=protocol_of(port.get("name") or "", port.get("appProtocol") or ""),
                    endpoints=_sorted(_sliced(slices, port, pods), _on_machines(virtual, port)),
                )
                for port in spec.get("ports") or ()
            ),
        )


def _from_entries(world: World) -> Iterator[Service]:
    for item in world.all("ServiceEntry"):
        spec, namespace = spec_of(item), namespace_of(item)
        selector = (spec.get("workloadSelector") or {}).get("labels")
        machines = [(item["metadata"]["name"], namespace, e) for e in spec.get("endpoints") or ()]
        machines += _machines(world, namespace=namespace, selector=selector)
        for host in spec.get("hosts") or ():
            yield Service(
                host=host,
                namespace=namespace,
                address=_loopback(*(spec.get("addresses") or ())),
                ports=tuple(
                    Port(
                        number=port["number"],
                        name=port.get("name") or "",
                        protocol=protocol_of("", port.get("protocol") or "tcp"),
                        endpoints=_sorted(_on_machines(machines, port)),
                    )
                    for port in spec.get("ports") or ()
                ),
            )


def _belongs(slice_: Manifest, *, to: Manifest) -> bool:
    owner = labels_of(slice_).get("kubernetes.io/service-name")
    return owner == to["metadata"]["name"] and namespace_of(slice_) == namespace_of(to)


def _sliced(
    slices: Iterable[Manifest], port: Manifest, pods: Mapping[tuple[str, str], Manifest]
) -> Iterator[Endpoint]:
    for slice_ in slices:
        numbers = [
            p["port"]
            for p in slice_.get("ports") or ()
            if (p.get("name") or "") == (port.get("name") or "") and p.get("port")
        ]
        for endpoint in slice_.get("endpoints") or ():
            # Absent means unknown, and the API says to read that as ready.
            if (endpoint.get("conditions") or {}).get("ready") is False:
                continue
            target = endpoint.get("targetRef") or {}
            pod = pods.get((namespace_of(slice_), target.get("name", "")))
            for number in numbers:
                for address in endpoint.get("addresses") or ():
                    yield _of_pod(address, number, pod)


def _of_pod(address: str, port: int, pod: Manifest | None) -> Endpoint:
    if pod is None:
        return Endpoint(address, port, "unknown/unknown/unknown/latest")
    labels = labels_of(pod)
    return Endpoint(
        address,
        port,
        _workload(_owner_name(pod), namespace_of(pod), labels),
        tuple(sorted(labels.items())),
    )


def _owner_name(pod: Manifest) -> str:
    """Istio's workload name: the controlling ReplicaSet's, less the pod template's hash."""
    labels, meta = labels_of(pod), pod["metadata"]
    name: str = meta["name"]
    for owner in meta.get("ownerReferences") or ():
        if owner.get("controller"):
            name = owner["name"]
            suffix = labels.get("pod-template-hash") or labels.get("rollouts-pod-template-hash")
            if owner.get("kind") == "ReplicaSet" and suffix:
                name = name.removesuffix(f"-{suffix}")
    return labels.get("service.istio.io/workload-name") or name


def _workload(name: str, namespace: str, labels: Mapping[str, str]) -> str:
    version = labels.get("version") or "unknown"
    revision = (
        labels.get("service.istio.io/canonical-revision")
        or labels.get("app.kubernetes.io/version")
        or labels.get("version")
        or "latest"
    )
    return f"{name}/{namespace}/{version}/{revision}"


Machine = tuple[str, str, Manifest]
"""A WorkloadEntry, or an endpoint written into a ServiceEntry: its name, namespace and spec."""


def _machines(world: World, *, namespace: str, selector: Any) -> list[Machine]:  # noqa: ANN401 - YAML
    if not selector:
        return []
    return [
        (item["metadata"]["name"], namespace, spec_of(item))
        for item in world.all("WorkloadEntry")
        if namespace_of(item) == namespace
        and is_subset(selector, spec_of(item).get("labels") or labels_of(item))
    ]


def _on_machines(machines: Iterable[Machine], port: Manifest) -> Iterator[Endpoint]:
    target = port.get("targetPort")
    for name, namespace, spec in machines:
        labels: Mapping[str, str] = spec.get("labels") or {}
        number = (spec.get("ports") or {}).get(port.get("name") or "")
        number = number or (target if isinstance(target, int) and target else None)
        number = number or port.get("port") or port["number"]
        called = labels.get("service.istio.io/workload-name") or name
        yield Endpoint(
            spec["address"],
            number,
            _workload(called, namespace, labels),
            tuple(sorted(labels.items())),
        )


def _sorted(*found: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Without doubles, in a fixed order, so that the same world gives the same bytes."""
    unique = {(e.address, e.port): e for group in found for e in group}
    return tuple(sorted(unique.values()))


def _loopback(*addresses: str | None) -> str:
    return next((a for a in addresses if a and a.startswith("127.")), "")
