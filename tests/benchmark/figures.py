"""Numbers out of measurements: percentiles, what a process used, what a server was asked."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONTROLLER_AGENT = "rollout"
"""What the controller calls itself in its requests."""

LEASES = "leases.coordination.k8s.io"
EVENTS = "events"
ROUTES = "virtualservices.networking.istio.io"
ROLLOUTS = "rollouts.rollout.dev"
WRITES = frozenset({"create", "update", "patch", "delete"})


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: a value that was measured, none in between; 0 without any."""
    if not values:
        return 0.0
    rank = max(1, math.ceil(percent / 100 * len(values)))
    return sorted(values)[rank - 1]


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and greatest, as the report names them."""
    return {
        f"{name}P50Seconds": round(percentile(values, 50), 4),
        f"{name}P99Seconds": round(percentile(values, 99), 4),
        f"{name}MaxSeconds": round(max(values, default=0.0), 4),
        f"{name}Count": len(values),
    }


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far, all its threads together."""
    # proc(5): utime and stime are the 14th and 15th field; the second may hold blanks.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int, *, which: str = "VmRSS") -> float:
    """Memory that a process has now (``VmRSS``), or had at most (``VmHWM``)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def counter(page: str, name: str, **labels: str) -> float:
    """The sum of a counter's series on a page of Prometheus' text format."""
    total = 0.0
    for line in page.splitlines():
        head, _, value = line.rpartition(" ")
        if head.partition("{")[0] == name and all(f'{k}="{v}"' in head for k, v in labels.items()):
            total += float(value)
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the controller asked of the API server between two accounts; leases never counted.

    Attributes:
        calls: requests but Events and watches.
        events: Events written.
        watches: watches opened.
        route_writes: of VirtualServices.
        status_writes: of Rollouts' statuses.
        other_writes: all further ones but Events.
        refused: answered with an error.
        in_bytes: bodies sent to the server.
        out_bytes: answers, and what watches told.
    """

    calls: int
    events: int
    watches: int
    route_writes: int
    status_writes: int
    other_writes: int
    refused: int
    in_bytes: int
    out_bytes: int


def asked(before: Mapping[str, Any], after: Mapping[str, Any]) -> Asked:
    """What was asked between two accounts of the API server."""
    rows = _rows(after["requests"], before["requests"])
    watches = _rows(after["watches"], before["watches"])
    plain = {key: row for key, row in rows.items() if key[1] != EVENTS}
    writes = {key: row["requests"] for key, row in plain.items() if key[0] in WRITES}
    routes = sum(n for (_, resource), n in writes.items() if resource == ROUTES)
    statuses = sum(n for (_, resource), n in writes.items() if resource == f"{ROLLOUTS}/status")
    return Asked(
        calls=sum(row["requests"] for row in plain.values()),
        events=sum(row["requests"] for key, row in rows.items() if key[1] == EVENTS),
        watches=sum(row["opened"] for row in watches.values()),
        route_writes=routes,
        status_writes=statuses,
        other_writes=sum(writes.values()) - routes - statuses,
        refused=sum(row["refused"] for row in plain.values()),
        in_bytes=sum(row["bytesIn"] for row in rows.values()),
        out_bytes=sum(row["bytesOut"] for row in [*rows.values(), *watches.values()]),
    )


def _rows(
    after: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, str], dict[str, int]]:
    """The controller's lines by verb and resource, less what stood in them before."""
    known = {(row["verb"], row["resource"]): row for row in before if _is_ours(row)}
    found: dict[tuple[str, str], dict[str, int]] = {}
    for row in after:
        if _is_ours(row):
            key = (row["verb"], row["resource"])
            old = known.get(key, {})
            numbers = {name: n for name, n in row.items() if isinstance(n, int)}
            found[key] = {name: n - old.get(name, 0) for name, n in numbers.items()}
    return found


def _is_ours(row: Mapping[str, Any]) -> bool:
    return bool(row["agent"] == CONTROLLER_AGENT and row["resource"] != LEASES)
