"""Where Envoy listens: on loopback cluster IPs, and on one port for all HTTP hosts."""

from __future__ import annotations

from collections.abc import Iterator

from rollout.sandbox.pilot import actions, matches
from rollout.sandbox.pilot.clusters import cluster_name
from rollout.sandbox.pilot.policies import virtual_service_of
from rollout.sandbox.pilot.registry import Port, Service
from rollout.sandbox.pilot.routes import SHARED, Mesh
from rollout.sandbox.pilot.world import Config, Manifest, spec_of

TYPE = "type.googleapis.com/envoy.config.listener.v3.Listener"

_FILTERS = "type.googleapis.com/envoy.extensions.filters"


def listeners(mesh: Mesh) -> list[Config]:
    """All listeners; the first to claim an address and port keeps it."""
    found: dict[tuple[str, int], Config] = {}
    for service in mesh.services:
        for port in service.ports if service.address else ():
            place = (service.address, port.number)
            if place not in found:
                found[place] = _of_port(service, port, mesh=mesh)
    if mesh.proxy.listen_port:
        place = ("127.0.0.1", mesh.proxy.listen_port)
        found[place] = _listener(place, _http(SHARED, SHARED, mesh=mesh))
    return list(found.values())


def route_file(name: str, *, folder: str) -> str:
    """Where the route configuration ``name`` is written."""
    return f"{folder}/rds-{name}.json"


def _of_port(service: Service, port: Port, *, mesh: Mesh) -> Config:
    place = (service.address, port.number)
    name = cluster_name(port=port.number, subset="", host=service.host)
    if port.protocol == "tcp":
        return _listener(place, _tcp(name, service, port, mesh=mesh))
    return _listener(place, _http(name, str(port.number), mesh=mesh))


def _listener(place: tuple[str, int], network_filter: Config) -> Config:
    address, port = place
    return {
        "@type": TYPE,
        "name": f"{address}_{port}",
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [{"filters": [network_filter]}],
    }


def _http(stat_name: str, routes: str, *, mesh: Mesh) -> Config:
    path = route_file(routes, folder=mesh.proxy.folder)
    source = {"path_config_source": {"path": path}, "resource_api_version": "V3"}
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
            # Cut apart at the semicolon, as the names of clusters are.
            "stat_prefix": f"{stat_name};",
            "rds": {"route_config_name": routes, "config_source": source},
            "http_filters": list(_http_filters()),
        },
    }


def _http_filters() -> Iterator[Config]:
    for name, type_ in (
        ("envoy.filters.http.grpc_stats", "grpc_stats.v3.FilterConfig"),
        (actions.FAULT, "fault.v3.HTTPFault"),
        ("envoy.filters.http.router", "router.v3.Router"),
    ):
        yield {"name": name, "typed_config": {"@type": f"{_FILTERS}.http.{type_}"}}


def _tcp(name: str, service: Service, port: Port, *, mesh: Mesh) -> Config:
    config: Config = {
        "@type": f"{_FILTERS}.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": f"{name};",
    }
    item = virtual_service_of(service.host, world=mesh.world, proxy=mesh.proxy)
    legs = () if item is None else _tcp_legs(item, port, mesh=mesh)
    if item is None or not legs:
        config["cluster"] = name
    else:
        aim = mesh.aim(item, port=port.number)
        if len(legs) == 1:
            config["cluster"] = aim.cluster(legs[0]["destination"])
        else:
            clusters = [cluster for _, cluster in actions.weighted(legs, aim=aim)]
            config["weighted_clusters"] = {"clusters": clusters}
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}


def _tcp_legs(item: Manifest, port: Port, *, mesh: Mesh) -> tuple[Manifest, ...]:
    """The destinations of the first ``tcp`` route that holds for the port.

    Conditions on the destination's subnet are not read: there is one address per service here.
    """
    for route in spec_of(item).get("tcp") or ():
        entries = route.get("match") or [{}]
        if any(matches.concerns(e, proxy=mesh.proxy, port=port.number) for e in entries):
            return tuple(route.get("route") or ())
    return ()
