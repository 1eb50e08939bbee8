"""How Envoy's statistics become Istio's metrics: Envoy's labels and Prometheus' relabelling.

Requests are counted by the zone of the host that took them. The pilot gives every workload a zone
of its own, so the counts are by workload, as Istio's are, and a request for which there was no host
is not among them: it is counted as UH, on no workload, and nothing is counted twice. What has no
cluster (NC) or no route (NR) is known by listener only; each service has one of its own.

Compromises, against Istio's own filter:

* Flags that have no counter by host are ``-``: UF, UT and UO keep their code and workload, where
  Istio would also say ``destination_version="unknown"``. Injected faults (FI, DI) are not counted.
* Durations carry no ``response_code``, and are those from the request to the upstream's answer in
  whole milliseconds; requests that got none (UH, NC, a timeout) have none.
* For gRPC, and TCP, there is no counter by host; their workload is ``<service>-<subset>``.
* Pods have no proxies, so what arrives is counted by the caller's Envoy too, in a scrape of its own
  with ``reporter="destination"``: answers, attempts that were sent again, which are counted by
  cluster only, and copies, which have clusters of their own. A refused connection is one of them,
  though nothing arrived; gRPC attempts are not. ``source_app`` tells the three apart.
* A connection that failed is opened like any other, and closed twice: with its flag, and without.
* ``destination_cluster`` holds port and subset, ``9080/v2``: two routes to one workload would
  otherwise be one series, given twice.
"""

from __future__ import annotations

from typing import Any

ZONE = "client"
"""The zone of our Envoy; its name stands in the names of statistics."""

STATS_TAGS = (
    {"tag_name": "cluster_name", "regex": r"^cluster(\.([^;]+);)"},
    {"tag_name": "protocol", "regex": r"^cluster\.[^;]+;((tcp|grpc);)"},
    {"tag_name": "listener", "regex": r"^http(\.([^;]+);)"},
    {"tag_name": "destination", "regex": rf"(\.zone\.{ZONE}\.([^;]+);)\.upstream"},
    {"tag_name": "grpc_status", "regex": r"^cluster\..*\.grpc(\.(\d+))$"},
    {"tag_name": "response_code", "regex": r"_rq(_(\d{3}))$"},
    {"tag_name": "response_code_class", "regex": r"_rq(_(\dxx))$"},
)
"""The first group is cut out of a statistic's name, the second becomes the label's value."""

FILTER = (
    r"^(cluster\.outbound\|.*;\.(zone\..*\.upstream_rq_(\d+|time)|upstream_cx_none_healthy"
    r"|grpc\.\d+|upstream_cx_(total|connect_fail|destroy))|http\..*;\.no_(cluster|route))$"
)
"""Which statistics Envoy is asked for; it has some thousand others."""

ARRIVAL_FILTER = (
    r"^cluster\.(mirror_)?outbound\|[^;]*;"
    r"\.(zone\..*\.upstream_rq_(\d+|time)|retry\.upstream_rq_\d+)$"
)
"""Which of them tell what arrived. The statistics of retries are of attempts that were sent again;
the last one is with all other answers. Envoy writes a colon in a cluster's name as ``_``."""

_CLUSTER = r"(?:mirror_)?outbound\|(\d+)\|([^|]*)\|(.+)"
_SERVICE = r"([^.]+)\.([^.]+)\.svc\..+"
_WORKLOAD = "([^/]*)/([^/]*)/([^/]*)/([^/]*)"

Rule = dict[str, Any]


def _keep(*labels: str, regex: str) -> Rule:
    return {"action": "keep", "source_labels": list(labels), "regex": regex}


def _drop(*labels: str, regex: str) -> Rule:
    return {"action": "drop", "source_labels": list(labels), "regex": regex}


def _set(target: str, value: str, *labels: str, regex: str) -> Rule:
    rule: Rule = {"source_labels": list(labels), "regex": regex}
    return {**rule, "target_label": target, "replacement": value}


def _by_subset(*labels: str, regex: str) -> tuple[Rule, ...]:
    """Names the workload after the subset, where there is no counter by host."""
    cluster = r"outbound\|\d+\|([^|]+)\|([^.]+)\.([^.]+)\..+"
    return tuple(
        _set(label, value, *labels, "cluster_name", regex=f"{regex};{cluster}")
        for label, value in (
            ("destination_workload", "$2-$1"),
            ("destination_workload_namespace", "$3"),
            ("destination_version", "$1"),
            ("destination_canonical_revision", "$1"),
        )
    )


_CHOICE: tuple[Rule, ...] = (
    _keep(
        "__name__",
        regex="envoy_cluster_(upstream_rq|upstream_rq_time_(bucket|sum|count)|grpc"
        "|upstream_cx_(none_healthy|total|connect_fail|destroy))"
        "|envoy_http_no_(cluster|route)",
    ),
    # The same requests stand there by class, and without a host.
    _drop("__name__", "response_code", regex="envoy_cluster_upstream_rq;"),
    _drop("__name__", "destination", regex="envoy_cluster_upstream_rq(_time_.*)?;"),
    # gRPC requests are counted by their own status; no healthy host is one of them, 14.
    _drop("__name__", "protocol", regex="envoy_cluster_upstream_(rq|cx_none_healthy);(grpc|tcp)"),
    _drop("__name__", "grpc_status", regex="envoy_cluster_grpc;"),
    # Connections matter where they are all there is.
    _drop(
        "__name__",
        "protocol",
        regex="envoy_cluster_upstream_cx_(total|connect_fail|destroy);(grpc)?",
    ),
)

_SERVICE_LABELS: tuple[Rule, ...] = (
    _set("destination_service", "$3", "cluster_name", regex=_CLUSTER),
    _set("destination_cluster", "$1/$2", "cluster_name", regex=_CLUSTER),
    _set("destination_service", "$3", "listener", regex=_CLUSTER),
    _set("destination_service", "unknown", "destination_service", regex=""),
    _set("destination_service_name", "$1", "destination_service", regex="(.*)"),
    _set("destination_service_name", "$1", "destination_service", regex=_SERVICE),
    _set("destination_service_namespace", "$2", "destination_service", regex=_SERVICE),
    _set("destination_canonical_service", "$1", "destination_service_name", regex="(.*)"),
)

_WORKLOAD_LABELS: tuple[Rule, ...] = (
    _set("destination_workload", "unknown", "destination_workload", regex=""),
    _set("destination_workload_namespace", "unknown", "destination_workload", regex="unknown"),
    _set("destination_version", "unknown", "destination_workload", regex="unknown"),
    _set("destination_canonical_revision", "latest", "destination_workload", regex="unknown"),
    *(
        _set(label, f"${group}", "destination", regex=_WORKLOAD)
        for group, label in enumerate(
            (
                "destination_workload",
                "destination_workload_namespace",
                "destination_version",
                "destination_canonical_revision",
            ),
            start=1,
        )
    ),
    *_by_subset("protocol", "destination", regex="(?:grpc|tcp);"),
)

_OUTCOME_LABELS: tuple[Rule, ...] = (
    _set("response_flags", "-", "__name__", regex="(.*)"),
    _set("response_flags", "UH", "__name__", regex="envoy_cluster_upstream_cx_none_healthy"),
    _set("response_flags", "UF", "__name__", regex="envoy_cluster_upstream_cx_connect_fail"),
    _set("response_flags", "NC", "__name__", regex="envoy_http_no_cluster"),
    _set("response_flags", "NR", "__name__", regex="envoy_http_no_route"),
    _set("response_code", "503", "response_flags", regex="UH|NC"),
    _set("response_code", "404", "response_flags", regex="NR"),
    _set("response_code", "200", "__name__", regex="envoy_cluster_grpc"),
    _set("grpc_response_status", "$1", "grpc_status", regex="(.+)"),
    _set("request_protocol", "http", "protocol", regex=""),
    _set("request_protocol", "$1", "protocol", regex="(.+)"),
)

_NAMES: tuple[Rule, ...] = (
    _set(
        "__name__",
        "istio_requests_total",
        "__name__",
        regex="envoy_cluster_((retry_)?upstream_rq|grpc|upstream_cx_none_healthy)|envoy_http_no_.*",
    ),
    _set(
        "__name__",
        "istio_request_duration_milliseconds_$1",
        "__name__",
        regex="envoy_cluster_upstream_rq_time_(.+)",
    ),
    _set(
        "__name__",
        "istio_tcp_connections_opened_total",
        "__name__",
        regex="envoy_cluster_upstream_cx_total",
    ),
    _set(
        "__name__",
        "istio_tcp_connections_closed_total",
        "__name__",
        regex="envoy_cluster_upstream_cx_(destroy|connect_fail)",
    ),
    {
        "action": "labeldrop",
        "regex": "cluster_name|protocol|listener|destination|grpc_status|response_code_class",
    },
)

RULES: tuple[Rule, ...] = (
    *_CHOICE,
    *_SERVICE_LABELS,
    *_WORKLOAD_LABELS,
    *_OUTCOME_LABELS,
    *_NAMES,
)
"""Prometheus' ``metric_relabel_configs``, in order: choose, name the service, the workload and the
outcome, and rename."""

ARRIVAL_RULES: tuple[Rule, ...] = (
    _keep("__name__", regex="envoy_cluster_((retry_)?upstream_rq|upstream_rq_time_.*)"),
    _drop("__name__", "response_code", regex="envoy_cluster_(retry_)?upstream_rq;"),
    _drop("protocol", regex="grpc|tcp"),
    _set("source_app", "mirror", "cluster_name", regex="mirror_.*"),
    _set("source_app", "retry", "__name__", regex="envoy_cluster_retry_.*"),
    *_SERVICE_LABELS,
    *_WORKLOAD_LABELS,
    *_by_subset("__name__", regex="envoy_cluster_retry_upstream_rq"),
    *_OUTCOME_LABELS,
    *_NAMES,
)
"""The same for what arrived at the pods."""


def target_labels(*, namespace: str, reporter: str = "source") -> dict[str, str]:
    """What is the same for every series of our one caller."""
    return {
        "reporter": reporter,
        "source_workload": "load",
        "source_workload_namespace": namespace,
        "source_app": "load",
        "source_canonical_service": "load",
        "connection_security_policy": "unknown",
    }
