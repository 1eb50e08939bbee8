"""The question a gate asks, and what a judge is told besides the counts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from rollout.api.evidence import Baseline
from rollout.api.gate import Range
from rollout.base.quantity import print_percent


class GateKind(StrEnum):
    """What a gate looks at."""

    ERRORS = "errors"
    LATENCY = "latency"
    TCP = "tcp"
    QUERY = "query"


SUSPECT_RATIO = 0.5
"""The part of the evidence for a rollback, in logarithms, from which a gate passes no more: a step
waits while it may be the last one that is well."""

ATTEMPTS_RATIO_MAX = 2.0
"""How much oftener attempts of the canary may fail than those of the stable revision, where the
gate itself names no ratio: its percentage speaks of answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateQuestion:
    """One gate, resolved: every default filled in.

    Attributes:
        name: how people call it.
        kind: what it looks at.
        max_percent: bad requests of the canary in percent, at most; for latency 100 minus the
            quantile. None: no such bound.
        max_ratio: the canary's rate over the stable revision's, at most. None: not compared.
        edge_ms: for latency the slowest a request may be, as the user wrote it, in milliseconds;
            it is moved to the bucket edge at or below.
        promql: for a query its template.
        min: for a query the least its number may be.
        max: for a query the most its number may be.
        relative_to_stable: for a query whether its number is divided by the stable revision's.
        block_ms: for a query how long a block is, in milliseconds; None: each number decides alone.
        span: for a query the smallest and the largest number it can give; None: not known.
        min_requests: requests per arm before the gate may pass.
        advisory: it only observes.
        risk_ratio: its part of the run's false-rollback risk, from 0 to 1.
        false_rollback_ratio: the whole run's false-rollback risk α.
        proven_ratio: the regression that must be ruled out before 100 percent; None: none.
        false_promote_ratio: how often such a regression may be promoted, α'.
        steps_count: steps that may begin evidence of their own.
        beside: the gate that this one, at another bucket edge, only adds evidence to; empty: it is
            a gate itself.
        is_shown: whether the interval of possible ratios is kept, to be shown.
    """

    name: str
    kind: GateKind
    max_percent: float | None = None
    max_ratio: float | None = None
    edge_ms: float | None = None
    promql: str = ""
    min: float | None = None
    max: float | None = None
    relative_to_stable: bool = False
    block_ms: int | None = None
    span: Range | None = None
    min_requests: int = 100
    advisory: bool = False
    risk_ratio: float = 1.0
    false_rollback_ratio: float = 0.01
    proven_ratio: float | None = None
    false_promote_ratio: float = 0.05
    steps_count: int = 1
    beside: str = ""
    is_shown: bool = True

    @property
    def needed_nats(self) -> float:
        """Evidence, as a logarithm, from which the gate fails by itself."""
        return -math.log(self.false_rollback_ratio * self.risk_ratio)

    @property
    def confidence(self) -> str:
        """How sure a fail is, in words: ``99 %``."""
        return f"{print_percent(100 * (1 - self.false_rollback_ratio))} %"

    def is_suspicious(self, nats: float) -> bool:
        """Whether too much speaks against the canary for a pass, or for an excuse."""
        return nats >= SUSPECT_RATIO * self.needed_nats

    @property
    def shares_risk(self) -> bool:
        """Whether it may fail by evidence, and so has a part of the run's risk."""
        by_counts = self.kind is not GateKind.QUERY
        return not self.advisory and (by_counts or self.span is not None)


def beside(gate: GateQuestion, edge_ms: float) -> GateQuestion:
    """A latency gate that compares, at another edge: how often are requests slower than that?"""
    return replace(
        gate, name=f"{gate.name}@{edge_ms:g}", edge_ms=edge_ms, max_percent=None, beside=gate.name
    )


def may_arrive(gate: GateQuestion) -> bool:
    """Whether a gate is judged by what arrives at pods too."""
    return gate.kind in {GateKind.ERRORS, GateKind.LATENCY} and not gate.beside


def at_pods(gate: GateQuestion) -> GateQuestion:
    """A gate as it is judged by what arrives at pods: nothing is kept there to be shown."""
    tolerance = gate.max_ratio
    if gate.kind is GateKind.ERRORS:
        tolerance = tolerance or ATTEMPTS_RATIO_MAX
    return replace(gate, max_ratio=tolerance, is_shown=False)


class Counted(StrEnum):
    """What a judge's counts are counts of, as sentences call it."""

    REQUESTS = "requests"
    ATTEMPTS = "attempts"
    COPIES = "copies"
    ARRIVALS = "arrivals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How the step's requests were shared, which tells whose those without an upstream were.

    Attributes:
        canary_count: requests that the canary was seen to get.
        stable_count: requests that the stable revision was seen to get.
        lost_before_count: requests without an upstream in the earlier steps of the run.
        before_count: all other requests in those.
        blur_ratio: the part of the step, from 0 to 1, whose counts may be of the weight before.
    """

    canary_count: int
    stable_count: int
    lost_before_count: int = 0
    before_count: int = 0
    blur_ratio: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a judge is told besides the counts.

    Attributes:
        elapsed_seconds: how long the step's traffic has been counted.
        weight_percent: the weight written for the canary; at 100 the stable arm has no traffic, and
            what found no upstream is the canary's.
        unattributed: requests since the step began that found no upstream.
        newest_ms: the newest stamp seen, in milliseconds on Prometheus' clock; 0 when unknown.
        share: how requests were shared; None: others than the weights may decide that too.
        counted: what the counts are counts of.
        matches: whether requests that match go to the canary whatever its weight.
        mirrors: whether requests are mirrored to the canary.
        retries: whether failed requests are sent again before callers see them.
        silent: whether the pods' own proxies have stopped to tell what arrives.
        early: whether they may yet tell: they were not asked, or counted, for long enough.
        proves: whether the step ends only once ``proven_ratio`` is ruled out.
        whole_until_ms: ticks count that end by then, in milliseconds after the origin; None: those
            that go on count too.
        watched_ticks: how many ticks are watched after the canary has got all traffic.
        baseline: what was usual before the run; None: not known.
    """

    elapsed_seconds: float
    weight_percent: float
    unattributed: int = 0
    newest_ms: int = 0
    share: Share | None = None
    counted: Counted = Counted.REQUESTS
    matches: bool = False
    mirrors: bool = False
    retries: bool = False
    silent: bool = False
    early: bool = False
    proves: bool = False
    whole_until_ms: int | None = None
    watched_ticks: float = 1.0
    baseline: Baseline | None = None
