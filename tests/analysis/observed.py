"""Shorthand for answers of Prometheus about two arms, for the tests of evidence."""

from __future__ import annotations

from typing import Any

from rollout.analysis import evidence
from rollout.analysis.arm import Arms
from rollout.analysis.query import Shape
from rollout.analysis.sample import Series
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.evidence import ArmCounts, GateEvidence, Ledger, RunEvidence

STEP_MS = 10_000
ARMS = Arms(label="destination_workload", stable="reviews-v1", canary="reviews-v2")
ERRORS = GateQuestion(name="errors", kind=GateKind.ERRORS, max_percent=1.0)
LATENCY = GateQuestion(name="latency", kind=GateKind.LATENCY, max_percent=1.0, edge_ms=300.0)
TCP = GateQuestion(name="tcp", kind=GateKind.TCP, max_percent=1.0)

NO_TRAFFIC = ArmCounts()

Points = tuple[tuple[float, float], ...]
"""(seconds, value)"""


def ms(seconds: float) -> int:
    return round(seconds * 1000)


def series(version: str, code: str, *points: tuple[float, float], **labels: str) -> Series:
    """One series of requests from an arm as one proxy counts it."""
    return Series(
        metric={
            "__name__": "istio_requests_total",
            "destination_workload": f"reviews-{version}" if version else "unknown",
            "response_code": code,
            "response_flags": "-",
            "pod": "client",
            **labels,
        },
        samples=tuple((ms(at), float(value)) for at, value in points),
    )


def bucket(version: str, le: str, *points: tuple[float, float], **labels: str) -> Series:
    """One bucket of an arm's durations."""
    name = "istio_request_duration_milliseconds_bucket"
    return series(version, labels.pop("code", "200"), *points, le=le, **labels, __name__=name)


def connections(version: str, event: str, *points: tuple[float, float], flags: str = "-") -> Series:
    """Connections to an arm, ``opened`` or ``closed``."""
    name = f"istio_tcp_connections_{event}_total"
    return series(version, "0", *points, response_flags=flags, __name__=name)


def requests(*found: Series) -> dict[Shape, tuple[Series, ...]]:
    return {Shape.REQUESTS: found}


def absorb(
    known: RunEvidence, answers: evidence.Answers, *gates: GateQuestion, **more: Any
) -> RunEvidence:
    return evidence.absorb(
        known, answers, arms=ARMS, gates=gates or (ERRORS,), step_ms=STEP_MS, **more
    )


def counts(requests: int, bad: int = 0) -> ArmCounts:
    return ArmCounts(requests=requests, bad=bad)


def of_counts(
    canary: ArmCounts, stable: ArmCounts = NO_TRAFFIC, before: ArmCounts = NO_TRAFFIC
) -> GateEvidence:
    """All of it came in one tick, after what the stable arm did in an earlier one."""
    ticks = (
        (1_000, 0, before.requests, 0, before.bad),
        (9_000, canary.requests, stable.requests, canary.bad, stable.bad),
    )
    return GateEvidence(
        canary=canary,
        stable=stable,
        stable_before=before,
        canary_bad_ms=7_000 * bool(canary.bad),
        ledger=Ledger(open=ticks),
    )


def bare(gate: GateEvidence) -> GateEvidence:
    """The counts of a step alone."""
    return gate.model_copy(update={"ledger": None})
