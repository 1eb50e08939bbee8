"""What one of Istio's series is about: which revision, and what became of the requests.

The rules are those of Istio's labels as its stats filter and ztunnel write them; the label of a
DestinationRule subset is not among them, so a workload or canonical revision tells the arms apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

GRPC_BAD = frozenset({"2", "4", "8", "13", "14", "15"})
"""gRPC statuses that are the server's fault: Unknown, DeadlineExceeded, ResourceExhausted,
Internal, Unavailable, DataLoss. The others are answers to what the client asked."""

UPSTREAM_MISSING_FLAGS = frozenset({"UH", "UO", "NC", "NR"})
"""No healthy upstream, overflow, no cluster, no route: no endpoint was chosen, so no workload is
known and no arm can be told."""

TCP_BAD_FLAGS = frozenset({"UF", "UH", "UO", "UC", "UT", "NC", "NR", "URX"}) | frozenset(
    {
        "CONNECT",
        "DENY",
        "TLS_FAILURE",
        "H2_HANDSHAKE_FAILURE",
        "NETWORK_POLICY",
        "IDENTITY_ERROR",
        "CERT_REVOKED",
    }
)
"""Flags of connections that failed: Envoy's (its documentation of RESPONSE_FLAGS; connect failure,
no upstream, overflow, attempts used up), then ztunnel's (the enum ResponseFlags in its
``src/proxy/metrics.rs``). DC, the client going away, is no failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """How a series is told to belong to a revision.

    Attributes:
        label: the label that differs, such as ``destination_workload``.
        stable: its value for the stable revision.
        canary: its value for the revision on trial.
    """

    label: str
    stable: str
    canary: str


class Side(Enum):
    """Whom a series is about."""

    CANARY = "canary"
    STABLE = "stable"
    NOBODY = "nobody"
    OTHER = "other"


class Fate(Enum):
    """What became of the requests of a series."""

    GOOD = "good"
    BAD = "bad"
    CLIENT_GONE = "client gone"


def side_of(metric: Mapping[str, str], arms: Arms) -> Side:
    """The arm of a series; NOBODY for requests that found no upstream, which have no workload.

    Those are recognised first: their canonical revision reads ``latest``, which may be an arm's.
    """
    if metric.get("destination_workload", "unknown") == "unknown" and not (
        UPSTREAM_MISSING_FLAGS.isdisjoint(_flags(metric))
    ):
        return Side.NOBODY
    value = metric.get(arms.label)
    if value == arms.canary:
        return Side.CANARY
    return Side.STABLE if value == arms.stable else Side.OTHER


def request_fate(metric: Mapping[str, str]) -> Fate:
    """What became of the requests of an HTTP or gRPC series.

    Bad are HTTP 5xx, the gRPC statuses of `GRPC_BAD` (their HTTP code is 200), and code 0, which is
    no response at all (UF, UC, UT). Code 0 with flag DC is a client that went away: nobody's fault.
    """
    code = metric.get("response_code", "")
    if code == "0":
        return Fate.CLIENT_GONE if "DC" in _flags(metric) else Fate.BAD
    if code.startswith("5") or metric.get("grpc_response_status", "") in GRPC_BAD:
        return Fate.BAD
    return Fate.GOOD


def connection_failed(metric: Mapping[str, str]) -> bool:
    """Whether the connections of a TCP series failed."""
    return not TCP_BAD_FLAGS.isdisjoint(_flags(metric))


def _flags(metric: Mapping[str, str]) -> list[str]:
    return metric.get("response_flags", "").split(",")
