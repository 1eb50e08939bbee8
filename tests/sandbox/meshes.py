"""Objects for the pilot's tests, and where to find things in what it makes of them."""

from __future__ import annotations

from typing import Any

from rollout.sandbox.pilot.translate import XdsFiles, translate
from rollout.sandbox.pilot.world import Proxy
from rollout.sandbox.stage_objects import Cast, Manifest, objects

CAST = Cast(versions=("v1", "v2"), network="127.9")
PROXY = Proxy(folder="/xds", listen_port=18080)
V1 = "outbound|9080|v1|reviews.bookinfo.svc.cluster.local"
V2 = "outbound|9080|v2|reviews.bookinfo.svc.cluster.local"
ALL = "outbound|9080||reviews.bookinfo.svc.cluster.local"


def istio(kind: str, name: str, spec: Manifest, **meta: str) -> Manifest:
    metadata = {"name": name, "namespace": "bookinfo", **meta}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }


def virtual_service(*http: Manifest, name: str = "reviews", **spec: Any) -> Manifest:
    return istio("VirtualService", name, {"hosts": ["reviews"], "http": list(http), **spec})


def leg(subset: str, weight: int | None = None, **more: Any) -> Manifest:
    found: Manifest = {"destination": {"host": "reviews", "subset": subset}, **more}
    return found if weight is None else {**found, "weight": weight}


def mesh(*changes: Manifest) -> list[Manifest]:
    """The sample service with some objects replaced or added, by kind, namespace and name."""
    found = {key(item): item for item in [*objects(CAST), *changes]}
    return list(found.values())


def key(item: Manifest) -> tuple[str, str, str]:
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]


def without(*kinds: str) -> list[Manifest]:
    return [item for item in objects(CAST) if item["kind"] not in kinds]


def told(*changes: Manifest) -> XdsFiles:
    return translate(mesh(*changes), proxy=PROXY)


def routes(files: XdsFiles, *, config: str = "9080", host: str = "reviews.bookinfo") -> Any:
    """The routes of the first virtual host whose domains hold ``host``."""
    hosts = files.routes[config]["virtual_hosts"]
    return next(h["routes"] for h in hosts if host in h["domains"])


def only_route(files: XdsFiles) -> Any:
    found = routes(files)
    assert len(found) == 1
    return found[0]


def weights(files: XdsFiles) -> dict[str, int]:
    clusters = only_route(files)["route"]["weighted_clusters"]["clusters"]
    return {cluster["name"]: cluster["weight"] for cluster in clusters}


def cluster(files: XdsFiles, name: str) -> Any:
    return next(c for c in files.clusters if c["name"] == name)


def addresses(files: XdsFiles, name: str) -> list[str]:
    return [
        host["endpoint"]["address"]["socket_address"]["address"]
        for group in files.endpoints[name]["endpoints"]
        for host in group["lb_endpoints"]
    ]
