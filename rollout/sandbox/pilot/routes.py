"""Route configurations: for each port the virtual hosts, and for each host its routes in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from rollout.sandbox.pilot import actions, delegates, matches
from rollout.sandbox.pilot.clusters import MIRROR_PREFIX, cluster_name
from rollout.sandbox.pilot.policies import Policy, virtual_service_of
from rollout.sandbox.pilot.registry import Port, Service
from rollout.sandbox.pilot.world import (
    DOMAIN,
    Config,
    Manifest,
    Proxy,
    World,
    namespace_of,
    spec_of,
)

TYPE = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"

SHARED = "all"
"""The route configuration of the listener for every HTTP host; others are named by port."""

FLAGS_HEADER = "x-envoy-flags"
"""Tells the load generator what Envoy's access log would say. Istio adds no such header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """Everything routes are made from."""

    world: World
    proxy: Proxy
    services: tuple[Service, ...]
    policies: Mapping[str, Policy]

    def aim(self, item: Manifest, *, port: int) -> actions.Aim:
        """How ``item`` resolves destinations for requests to ``port``."""
        ports = {s.host: tuple(p.number for p in s.ports) for s in self.services}
        return actions.Aim(
            namespace=namespace_of(item),
            port=port,
            ports_of=lambda host: ports.get(host, ()),
            traffic_of=lambda host, subset: self.policies.get(host, Policy()).traffic_of(subset),
        )

    def http_ports(self) -> Iterator[tuple[Service, Port]]:
        """Every port that carries HTTP."""
        for service in self.services:
            yield from ((service, port) for port in service.ports if port.protocol != "tcp")


def route_configurations(mesh: Mesh) -> dict[str, Config]:
    """By name: one for each port number in use, and `SHARED`."""
    pairs = list(mesh.http_ports())
    numbers = sorted({port.number for _, port in pairs})
    found = {
        str(number): _configuration(
            str(number), [(s, p) for s, p in pairs if p.number == number], mesh=mesh
        )
        for number in numbers
    }
    found[SHARED] = _configuration(SHARED, pairs, mesh=mesh)
    return found


def mirrored_clusters(mesh: Mesh) -> set[str]:
    """The names of all clusters that some mirror asks for."""
    found = set()
    for service, port in mesh.http_ports():
        item = virtual_service_of(service.host, world=mesh.world, proxy=mesh.proxy)
        if item is not None:
            aim = mesh.aim(item, port=port.number)
            for route in delegates.http_routes(item, world=mesh.world):
                found |= {MIRROR_PREFIX + aim.cluster(to) for to, _ in actions.mirrors(route)}
    return found


def _configuration(name: str, pairs: Iterable[tuple[Service, Port]], *, mesh: Mesh) -> Config:
    taken: set[str] = set()
    hosts = []
    for service, port in pairs:
        domains = [d for d in _domains(service, port, proxy=mesh.proxy) if d not in taken]
        taken.update(domains)
        if domains:
            hosts.append(
                {
                    "name": f"{service.host}:{port.number}",
                    "domains": domains,
                    "routes": list(_routes(service, port, mesh=mesh)),
                    "include_request_attempt_count": True,
                }
            )
    flags = {"header": {"key": FLAGS_HEADER, "value": "%RESPONSE_FLAGS%"}}
    return {
        "@type": TYPE,
        "name": name,
        "virtual_hosts": hosts,
        # As Istio: a route may name a cluster that is not there, and answers 503 NC meanwhile.
        "validate_clusters": False,
        "response_headers_to_add": [flags],
    }


def _domains(service: Service, port: Port, *, proxy: Proxy) -> Iterator[str]:
    names = [service.host]
    suffix = f".{service.namespace}.{DOMAIN}"
    if service.host.endswith(suffix):
        short = service.host.removesuffix(suffix)
        names += [f"{short}.{service.namespace}.svc", f"{short}.{service.namespace}"]
        if service.namespace == proxy.namespace:
            names.append(short)
    if service.address:
        names.append(service.address)
    for name in names:
        yield name
        yield f"{name}:{port.number}"


def _routes(service: Service, port: Port, *, mesh: Mesh) -> Iterator[Config]:
    item = virtual_service_of(service.host, world=mesh.world, proxy=mesh.proxy)
    if item is None or not spec_of(item).get("http"):
        yield _plain(service, port)
        return
    aim = mesh.aim(item, port=port.number)
    for route in delegates.http_routes(item, world=mesh.world):
        for found in _conditions(route, proxy=mesh.proxy, port=port.number):
            envoy_route: Config = {"name": _name(route), "match": found}
            actions.fill(envoy_route, route, aim=aim)
            yield envoy_route
            if matches.takes_everything(found):
                return


def _conditions(route: Manifest, *, proxy: Proxy, port: int) -> Iterator[Config]:
    if not route.get("match"):
        yield matches.condition({})
        return
    for match in route["match"]:
        if matches.concerns(match, proxy=proxy, port=port):
            yield matches.condition(match)


def _name(route: Manifest) -> str:
    return route.get("name") or "default"


def _plain(service: Service, port: Port) -> Config:
    """A host without a VirtualService: all endpoints, whatever their version."""
    name = cluster_name(port=port.number, subset="", host=service.host)
    retries = {"num_retries": 2, "retry_on": actions.DEFAULT_RETRY_ON}
    action = {"cluster": name, "timeout": "0s", "retry_policy": retries}
    return {"name": "default", "match": {"prefix": "/"}, "route": action}
