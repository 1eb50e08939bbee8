"""Prometheus that scrapes the mesh's Envoys, and gives their counts Istio's names.

The wheel's Envoy has none of Istio's filters. Its statistics are by cluster, and a cluster is a
subset, so the workload is ``<service>-<subset>``. A request that found no healthy host or no place
in a queue (UH, UO) is an error of its cluster. What had no cluster (NC) is known by listener only.
Flags are not seen.

Pods have no Envoys here, so the callers' are scraped twice. As callers (``reporter="source"``) they
tell of the answers they gave: Envoy calls them external. As if they stood beside the pods
(``"destination"``) they tell of all that was sent to those: these answers, the attempts that were
sent again after they failed, which Envoy counts apart, and mirrored requests, which it calls
internal; ``source_app`` keeps them apart. Of answers that no pod gave, refused connections and UH
among them, the second scrape tells too, which Istio's own would not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from rollout.sandbox import prometheus
from rollout.sandbox.processes import Probe, Process, Processes

CACHE = Path("~/.cache/rollout").expanduser()

FILTER = (
    r"^(cluster\.outbound.*;\.(external\.upstream_rq_(\d+|time)"
    r"|upstream_cx_(total|connect_fail|destroy))|http\.outbound.*no_cluster)$"
)
ARRIVAL_FILTER = (
    r"^cluster\.outbound.*;\.((external|internal)\.upstream_rq_(\d+|time)|retry\.upstream_rq_\d+)$"
)

_CLUSTER = r"outbound_?\|\d+\|([^|]*)\|(.+)"
_SUBSET = r"outbound_?\|\d+\|([^|]+)\|([^.]+)\.([^.]+)\..+"
_COUNTS = (
    "envoy_cluster_((external|internal|retry)_upstream_rq(_time_(bucket|sum|count))?"
    "|upstream_cx_(total|connect_fail|destroy))|envoy_http_.*no_cluster"
)


def _rule(target: str, value: str, *labels: str, regex: str) -> dict[str, Any]:
    return {
        "source_labels": list(labels),
        "regex": regex,
        "target_label": target,
        "replacement": value,
    }


ORIGIN = _rule("source_app", "$1", "__name__", regex="envoy_cluster_([a-z]+)_upstream_rq.*")

RULES: tuple[dict[str, Any], ...] = (
    {"source_labels": ["__name__"], "regex": _COUNTS, "action": "keep"},
    # The same requests stand there by class.
    {
        "source_labels": ["__name__", "response_code"],
        "regex": "envoy_cluster_.*_upstream_rq;",
        "action": "drop",
    },
    _rule("destination_service", "$1", "stage_host", regex="(.+)"),
    _rule("destination_service", "$2", "cluster_name", regex=_CLUSTER),
    _rule("destination_workload", "unknown", "__name__", regex=".*no_cluster"),
    _rule("destination_workload", "$2-$1", "cluster_name", regex=_SUBSET),
    _rule("destination_version", "$1", "cluster_name", regex=_SUBSET),
    _rule("response_flags", "-", "__name__", regex="(.*)"),
    _rule("response_flags", "UF", "__name__", regex=".*connect_fail"),
    _rule("response_flags", "NC", "__name__", regex=".*no_cluster"),
    _rule("response_code", "503", "response_flags", regex="NC"),
    _rule(
        "__name__",
        "istio_requests_total",
        "__name__",
        regex="envoy_cluster_.*_upstream_rq|envoy_http_.*no_cluster",
    ),
    _rule(
        "__name__",
        "istio_request_duration_milliseconds_$1",
        "__name__",
        regex="envoy_cluster_.*_upstream_rq_time_(.+)",
    ),
    _rule(
        "__name__",
        "istio_tcp_connections_opened_total",
        "__name__",
        regex="envoy_cluster_upstream_cx_total",
    ),
    _rule(
        "__name__",
        "istio_tcp_connections_closed_total",
        "__name__",
        regex="envoy_cluster_upstream_cx_(destroy|connect_fail)",
    ),
    {"action": "labeldrop", "regex": "response_code_class|stage_host"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """A running Prometheus and the folder from which it takes its targets."""

    process: Process
    folder: Path

    @property
    def url(self) -> str:
        """Of its API, without a slash at the end."""
        return f"http://127.0.0.1:{self.process.port}"

    def scrape(self, name: str, *, address: str, namespace: str, host: str) -> None:
        """Scrape an Envoy's admin address from now on; ``name`` is unique."""
        labels = {
            "source_workload": name,
            "source_workload_namespace": namespace,
            "stage_host": host,
        }
        path = self.folder / f"{namespace}-{name}.json"
        unfinished = path.with_suffix(".new")
        unfinished.write_bytes(orjson.dumps([{"targets": [address], "labels": labels}]))
        unfinished.replace(path)

    def forget(self, namespace: str) -> None:
        """Scrape no Envoy of a namespace any longer."""
        for path in self.folder.glob(f"{namespace}-*.json"):
            path.unlink()


def _scrape(
    reporter: str, wanted: str, rules: Sequence[dict[str, Any]], *, targets: Path
) -> dict[str, Any]:
    return {
        "job_name": f"envoy-as-{reporter}",
        "metrics_path": "/stats/prometheus",
        "params": {"filter": [wanted]},
        "file_sd_configs": [{"files": [f"{targets}/*.json"], "refresh_interval": "1s"}],
        "relabel_configs": [{"target_label": "reporter", "replacement": reporter}],
        "metric_relabel_configs": list(rules),
    }


async def start(processes: Processes, folder: Path, *, probe: Probe) -> Metrics:
    """Start Prometheus; it ends with ``processes``.

    Raises:
        CannotStart: there is none and none can be fetched.
    """
    targets = folder / "targets"
    targets.mkdir(parents=True)
    timeout_ms = round(prometheus.SCRAPE_TIMEOUT_SECONDS * 1000)
    config = {
        "global": {
            "scrape_interval": f"{prometheus.SCRAPE_SECONDS}s",
            "scrape_timeout": f"{timeout_ms}ms",
        },
        "scrape_configs": [
            _scrape("source", FILTER, RULES, targets=targets),
            _scrape("destination", ARRIVAL_FILTER, (ORIGIN, *RULES), targets=targets),
        ],
    }
    program = await prometheus.find_binary(CACHE)
    command = prometheus.command(program, folder=folder, config=config, probe=probe)
    return Metrics(process=await processes.start(command), folder=targets)
