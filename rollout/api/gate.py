"""Gates: what the canary is judged by."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from rollout.api.meta import Model
from rollout.base.quantity import DURATION_PATTERN

Duration = Annotated[str, Field(pattern=DURATION_PATTERN, min_length=1, max_length=24)]
"""A Kubernetes style duration: ``90s``, ``10m``, ``1h30m``."""

Percent = Annotated[float, Field(ge=0, le=100)]
Ratio = Annotated[float, Field(ge=1, le=1000)]
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
"""A DNS label, as Kubernetes and Istio want names to be."""

Name = Annotated[str, Field(min_length=1, max_length=63, pattern=NAME_PATTERN)]

GATES_MAX = 16
"""Gates per Rollout: each costs evidence in the status, which is bounded."""


class ErrorRate(Model):
    """Failed requests: HTTP 5xx, gRPC errors, and requests that got no response.

    At least one bound is needed. Exceeding either alone, beyond what chance explains, fails the
    gate; when the stable revision exceeds ``maxPercent`` too, the run holds instead: then the world
    is ill and not the canary.
    """

    max_ratio: Ratio | None = None
    """The canary's error rate over the stable revision's, at most: 1.2 tolerates a canary that
    fails up to 1.2 times as often. Absent: not compared."""
    max_percent: Percent | None = None
    """The canary's failed requests in percent of its requests, at most. Absent: no such bound."""


class Latency(Model):
    """Slow requests: the share of requests slower than ``max``, from Istio's histogram buckets."""

    quantile_percent: Annotated[float, Field(ge=1, le=99.999)] = 99
    """How many percent of the requests must be faster than ``max``."""
    max: Duration | None = None
    """The slowest a request may be; moved down to the next bucket edge, and the status says to
    which. Absent: 500ms with ``maxRatio``, which only compares."""
    max_ratio: Ratio | None = None
    """The canary's share of slow requests over the stable revision's, at most."""


class TcpFailures(Model):
    """Failed TCP connections: refused, reset before use, or without an upstream."""

    max_percent: Percent
    """Failed connections in percent of all, at most."""


class Range(Model):
    """Between which numbers every answer of a query lies."""

    low: float
    """The smallest."""
    high: float
    """The largest."""


class Query(Model):
    """A query of your own in PromQL that gives one number.

    Judged by evidence it is asked once for each block of time, and its mean decides: as long as
    chance may explain what is seen the gate does not fail. With a ``range`` the false-rollback risk
    is kept exactly; without one the verdict is approximate, so that it holds and takes no canary
    back. Judged by threshold a single number decides, at the risk of whoever wrote the query.
    """

    promql: Annotated[str, Field(min_length=1, max_length=4096)]
    """The query. ``{{ window }}`` is the length of a block, by threshold the time since the step
    began; ``{{ revision }}``, ``{{ stable }}``, ``{{ canary }}``, ``{{ host }}``,
    ``{{ namespace }}``, ``{{ weight }}``, ``{{ step }}`` and ``{{ name }}`` are filled in, quoted
    for use inside a PromQL string."""
    min: float | None = None
    """The least the number may be. At least one of ``min`` and ``max`` is needed."""
    max: float | None = None
    """The most the number may be."""
    relative_to: Literal["stable"] | None = None
    """``stable`` divides by the same query for the stable revision."""
    decide: Literal["Evidence", "Threshold"] = "Evidence"
    """``Evidence``: by the mean of blocks, as sure as ``judge`` says. ``Threshold``: each number by
    itself, the first one outside of the bounds fails the gate."""
    range: Range | None = None
    """Between which numbers all answers lie, such as 0 and 1 for a share. Absent: not known."""
    block: Duration | None = None
    """How far back the query looks, at least, and so how long a block is. Absent: a minute, or the
    longest range in the query."""


def beyond_range(bound: float, span: Range, *, is_max: bool, relative: bool) -> tuple[float, float]:
    """Between which numbers a bound can be exceeded by: the most negative, and the largest excess.

    The excess over ``max`` is x - max, relative to the stable revision x - max·s; under ``min`` the
    same the other way round. ``span`` has all x and s.
    """
    products = [bound * span.low, bound * span.high] if relative else [bound, bound]
    least, most = span.low - max(products), span.high - min(products)
    return (least, most) if is_max else (-most, -least)


COUNTING_GATES_MAX = 5
"""Gates per Rollout that count requests: each keeps evidence in the status, which has 32 KiB."""

EVIDENT_QUERIES_MAX = 6
"""Queries per Rollout that evidence decides: each keeps some in the status."""

GateMode = Literal["Enforce", "Observe"]


class Gate(Model):
    """One thing the canary is judged by; exactly one of its kinds is given."""

    name: Name
    """How the status, the CLI and ``check`` steps call the gate."""
    error_rate: ErrorRate | None = None
    """Judge by failed requests."""
    latency: Latency | None = None
    """Judge by slow requests."""
    tcp_failures: TcpFailures | None = None
    """Judge by failed TCP connections."""
    query: Query | None = None
    """Judge by a PromQL query of your own."""
    steps: (
        Annotated[tuple[Annotated[int, Field(ge=1, le=50)], ...], Field(max_length=50)] | None
    ) = None
    """The steps, counted from 1, in which the gate is judged. Absent: in every step. The bake
    judges every gate, and waits for those that name no steps or the last one."""
    mode: GateMode = "Enforce"
    """``Observe``: judged and shown, and decides nothing: to try a gate before trusting it."""
    weight: Annotated[float, Field(ge=0.001, le=100)] = 1
    """The gate's part of ``falseRollbackPercent``, beside the other gates'."""


GATE_KINDS = ("error_rate", "latency", "tcp_failures", "query")
"""The fields of `Gate` of which exactly one is given."""


OFF = "Off"
PROVEN_RATIO_MIN, PROVEN_RATIO_MAX = 1.05, 100.0


def _proven_ratio(value: object) -> float | Literal["Off"]:
    """YAML 1.1, which kubectl reads, takes an unquoted ``Off`` for false."""
    if value is False or value == OFF:
        return "Off"
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and PROVEN_RATIO_MIN <= value <= PROVEN_RATIO_MAX:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    told = f"use a number from {PROVEN_RATIO_MIN:g} to {PROVEN_RATIO_MAX:g}, or {OFF}"
    raise ValueError(told)


ProvenRatio = Annotated[
    float | Literal["Off"],
    PlainValidator(_proven_ratio),
    WithJsonSchema(
        # A structural schema knows no alternatives: numbers and texts are bounded each by its own.
        {
            "x-kubernetes-preserve-unknown-fields": True,
            "minimum": PROVEN_RATIO_MIN,
            "maximum": PROVEN_RATIO_MAX,
            "pattern": f"^{OFF}$",
        }
    ),
]


Absence = Literal["Hold", "Rollback", "Continue"]
"""What to do without data."""


class Judge(Model):
    """How sure a verdict must be.

    A gate *fails* when chance alone explains the canary's numbers too rarely; it *passes* when
    nothing speaks against the canary, and in the last step below 100 percent when a regression of
    ``provenRatio`` is ruled out. Anything else is unknown, and holds.
    """

    false_rollback_percent: Annotated[float, Field(ge=0.001, le=50)] = 1
    """How many of 100 releases that are as good as stable may be rolled back, over the whole run,
    however often it looks."""
    proven_ratio: ProvenRatio = 2.0
    """100 percent comes only once it is proved that the canary is not so many times as bad as
    stable; at least 1.5 times a gate's ``maxRatio``. Where traffic is low, 3 is proved three times
    sooner. ``Off``: promote on no evidence against."""
    false_promote_percent: Annotated[float, Field(ge=0.001, le=50)] = 5
    """How many of 100 releases that are ``provenRatio`` times as bad may be promoted."""
    min_requests: Annotated[int, Field(ge=1, le=1_000_000_000)] = 100
    """Requests per revision and step before a gate may pass."""
    max_interval: Duration = "15s"
    """The longest time between two looks; a look follows each new sample anyway."""
    on_no_data: Absence = "Hold"
    """What to do when Prometheus answers, and has nothing about the canary for a gate that decides:
    wait for data until ``maxDuration``; take the canary back; or go on without those gates, which
    nothing then protects. A ramp does not grow without data in any case."""
    no_data_deadline: Duration = "5m"
    """How long that must last in a step before the canary is taken back, or goes on without."""
    on_metrics_outage: Absence = "Hold"
    """What to do when Prometheus does not answer at all; likewise."""
    metrics_outage_deadline: Duration = "5m"
    """How long that must last before the canary is taken back, or goes on without."""
