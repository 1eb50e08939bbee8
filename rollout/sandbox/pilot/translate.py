"""From objects to Envoy's files: the whole translation, as one function without side effects.

It follows Istio where a rollout can tell the difference: weights (one destination takes all, zero
weights are left out, an all-zero list is refused by Envoy), first match wins and nothing behind a
catch-all is kept, the eldest VirtualService of a host wins, the caller's DestinationRule hides the
service's, and a subset that no rule defines leads to a cluster that is not there.

Not covered: gateways, TLS routes, CORS, Sidecar and EnvoyFilter objects, services without static
endpoints, VirtualServices for hosts that are no service, and traffic to unknown hosts, which gets
404 instead of being passed through.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from rollout.sandbox.pilot.clusters import clusters_of, endpoint_file
from rollout.sandbox.pilot.listeners import listeners, route_file
from rollout.sandbox.pilot.policies import policy_of
from rollout.sandbox.pilot.registry import services
from rollout.sandbox.pilot.routes import Mesh, mirrored_clusters, route_configurations
from rollout.sandbox.pilot.world import Config, Manifest, Proxy, World

CLUSTERS_FILE = "cds.json"
LISTENERS_FILE = "lds.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class XdsFiles:
    """Envoy's configuration.

    Attributes:
        clusters: in the order of services and subsets.
        endpoints: of each cluster, by its name.
        routes: route configurations by name: a port number, or ``all``.
        listeners: those on cluster IPs, then the shared one.
    """

    clusters: tuple[Config, ...]
    endpoints: dict[str, Config]
    routes: dict[str, Config]
    listeners: tuple[Config, ...]

    def encoded(self) -> dict[str, bytes]:
        """File names and contents, in the order in which Envoy should see them.

        Clusters before the routes that lead to them, as Istio pushes them. Files that others
        name come before those, since Envoy refuses a cluster or listener whose file is missing.
        """
        files = {
            endpoint_file(name, folder="").lstrip("/"): _discovery([config])
            for name, config in self.endpoints.items()
        }
        files[CLUSTERS_FILE] = _discovery(list(self.clusters))
        for name, config in self.routes.items():
            files[route_file(name, folder="").lstrip("/")] = _discovery([config])
        files[LISTENERS_FILE] = _discovery(list(self.listeners))
        return files


def translate(objects: Iterable[Manifest], *, proxy: Proxy) -> XdsFiles:
    """What Envoy should do, for the caller ``proxy``, in a mesh of these ``objects``."""
    world = World.of(objects)
    found = services(world)
    policies = {s.host: policy_of(s, world=world, proxy=proxy) for s in found}
    mesh = Mesh(world=world, proxy=proxy, services=found, policies=policies)
    mirrored = mirrored_clusters(mesh)
    clusters = [
        cluster
        for service in found
        for cluster in clusters_of(
            service, policies[service.host], mirrored=mirrored, folder=proxy.folder
        )
    ]
    return XdsFiles(
        clusters=tuple(cluster.config for cluster in clusters),
        endpoints={cluster.config["name"]: cluster.assignment for cluster in clusters},
        routes=route_configurations(mesh),
        listeners=tuple(listeners(mesh)),
    )


def _discovery(resources: list[Config]) -> bytes:
    body = orjson.dumps(resources, option=orjson.OPT_SORT_KEYS)
    # Envoy shows the version in its config dump; a hash tells which content it has taken.
    version = hashlib.sha256(body).hexdigest()[:16]
    return orjson.dumps({"version_info": version, "resources": orjson.Fragment(body)})
