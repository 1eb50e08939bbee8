"""One Envoy cluster for each port of a service, and one more for each subset of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rollout.sandbox.pilot.policies import Policy
from rollout.sandbox.pilot.registry import Endpoint, Port, Service
from rollout.sandbox.pilot.world import Config, Manifest, duration, is_subset

TYPE = "type.googleapis.com/envoy.config.cluster.v3.Cluster"

ENDPOINTS_TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"

NAME_LENGTH_MAX = 200
"""File systems take 255 bytes for a name."""

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

_BALANCERS = {
    "ROUND_ROBIN": "ROUND_ROBIN",
    "RANDOM": "RANDOM",
    "LEAST_REQUEST": "LEAST_REQUEST",
    "LEAST_CONN": "LEAST_REQUEST",
}

_UNLIMITED = 2**32 - 1
"""Istio lifts Envoy's circuit breakers (1024 each) unless a rule sets them."""

MIRROR_PREFIX = "mirror:"
"""Mirrored requests get clusters of their own. Istio has no such thing; but Envoy's statistics
would count them with the answered ones, which Istio's own metrics, made elsewhere, do not."""


def cluster_name(*, port: int, subset: str, host: str) -> str:
    """Istio's name for where a route leads."""
    return f"outbound|{port}|{subset}|{host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster and its endpoints, which Envoy reads from different files.

    Apart, because a cluster that changes is made anew, and its statistics begin again at zero;
    endpoints come and go without that.
    """

    config: Config
    assignment: Config


def endpoint_file(cluster: str, *, folder: str) -> str:
    """Where the endpoints of ``cluster`` are written."""
    return f"{folder}/eds-{re.sub(r'[^A-Za-z0-9.-]', '_', cluster)[:NAME_LENGTH_MAX]}.json"


def clusters_of(
    service: Service, policy: Policy, *, mirrored: set[str], folder: str
) -> Iterator[Cluster]:
    """All clusters of ``service``; those named in ``mirrored`` once more for their mirrors."""
    for port in service.ports:
        for subset in ("", *policy.subsets):
            labels = policy.subsets.get(subset, {}).get("labels") or {}
            endpoints = [e for e in port.endpoints if is_subset(labels, dict(e.labels))]
            name = cluster_name(port=port.number, subset=subset, host=service.host)
            names = [name, MIRROR_PREFIX + name]
            for called in names if names[1] in mirrored else names[:1]:
                config = _cluster(called, port, traffic=policy.traffic_of(subset), folder=folder)
                groups = _by_workload(endpoints)
                assignment = {"@type": ENDPOINTS_TYPE, "cluster_name": called, "endpoints": groups}
                yield Cluster(config=config, assignment=assignment)


def _cluster(name: str, port: Port, *, traffic: Manifest, folder: str) -> Config:
    marker = "" if port.protocol == "http" else f"{port.protocol};"
    pool = traffic.get("connectionPool") or {}
    connect = (pool.get("tcp") or {}).get("connectTimeout") or "10s"
    path = endpoint_file(name, folder=folder)
    source = {"path_config_source": {"path": path}, "resource_api_version": "V3"}
    cluster: Config = {
        "@type": TYPE,
        "name": name,
        # Statistics are cut apart at the semicolons; see metrics_rules.
        "alt_stat_name": f"{name};{marker}",
        "type": "EDS",
        "eds_cluster_config": {"service_name": name, "eds_config": source},
        "connect_timeout": duration(connect),
        "lb_policy": _balancer(traffic),
        "circuit_breakers": {"thresholds": [_breakers(pool)]},
        # Istio switches panic routing off: ejected hosts do not come back because most are.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
    }
    if port.protocol != "tcp":
        cluster["typed_extension_protocol_options"] = {_HTTP_OPTIONS: _http(port, pool)}
    if traffic.get("outlierDetection"):
        cluster["outlier_detection"] = _outliers(traffic["outlierDetection"])
    return cluster


def _by_workload(endpoints: Iterable[Endpoint]) -> list[Config]:
    """Endpoints grouped by workload, which travels as the name of their zone.

    Envoy counts requests by zone only after it has chosen a host, and so by workload as Istio
    does; a request for which there was no host is not among them.
    """
    groups: dict[str, list[Config]] = {}
    for endpoint in endpoints:
        place = {"address": endpoint.address, "port_value": endpoint.port}
        host = {"endpoint": {"address": {"socket_address": place}}}
        groups.setdefault(f"{endpoint.workload};", []).append(host)
    return [
        {"locality": {"zone": zone}, "lb_endpoints": hosts}
        for zone, hosts in sorted(groups.items())
    ]


def _balancer(traffic: Manifest) -> str:
    balancer = traffic.get("loadBalancer") or {}
    hash_ = balancer.get("consistentHash")
    if hash_:
        return "MAGLEV" if "maglev" in hash_ else "RING_HASH"
    return _BALANCERS.get(balancer.get("simple") or "", "LEAST_REQUEST")


def _breakers(pool: Manifest) -> Config:
    tcp, http = pool.get("tcp") or {}, pool.get("http") or {}
    return {
        "max_connections": tcp.get("maxConnections") or _UNLIMITED,
        "max_pending_requests": http.get("http1MaxPendingRequests") or _UNLIMITED,
        "max_requests": http.get("http2MaxRequests") or _UNLIMITED,
        "max_retries": http.get("maxRetries") or _UNLIMITED,
    }


def _http(port: Port, pool: Manifest) -> Config:
    http = pool.get("http") or {}
    options: Config = {"@type": f"type.googleapis.com/{_HTTP_OPTIONS}"}
    common: dict[str, Any] = {}
    if http.get("maxRequestsPerConnection"):
        common["max_requests_per_connection"] = http["maxRequestsPerConnection"]
    if http.get("idleTimeout"):
        common["idle_timeout"] = duration(http["idleTimeout"])
    if common:
        options["common_http_protocol_options"] = common
    if port.protocol == "grpc":
        # Real gRPC comes as HTTP/2 and stays so; our load speaks a gRPC of sorts over HTTP/1.1.
        protocols: Config = {"http_protocol_options": {}, "http2_protocol_options": {}}
        options["use_downstream_protocol_config"] = protocols
    else:
        options["explicit_http_config"] = {"http_protocol_options": {}}
    return options


def _outliers(detection: Manifest) -> Config:
    outliers: Config = {
        "max_ejection_percent": detection.get("maxEjectionPercent", 10),
        "consecutive_5xx": detection.get("consecutive5xxErrors", 5),
    }
    if "consecutiveGatewayErrors" in detection:
        outliers["consecutive_gateway_failure"] = detection["consecutiveGatewayErrors"]
        outliers["enforcing_consecutive_gateway_failure"] = 100
    if "interval" in detection:
        outliers["interval"] = duration(detection["interval"])
    if "baseEjectionTime" in detection:
        outliers["base_ejection_time"] = duration(detection["baseEjectionTime"])
    return outliers
