"""A gate with its counts, and how they are told."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rollout.analysis.judge import ratio_gate
from rollout.analysis.judge.ledger import Terms
from rollout.analysis.judge.ratio_gate import GateEvidence as State
from rollout.analysis.query import edge_below
from rollout.analysis.verdict import Context, GateKind, GateQuestion
from rollout.api.evidence import SENTENCE_LENGTH_MAX, ArmCounts, GateVerdict, Ledger, Verdict
from rollout.base.quantity import print_percent

FAIL_BAD_MIN = 3
"""Bad requests below which a rate is not said to exceed anything: one or two are anybody's bad
luck."""

WHOLE_PERCENT = 100.0
"""The weight at which the stable arm has no traffic left."""

SHOWN_PERCENT_MIN = 0.001
"""The smallest rate that sentences tell exactly; the numbers beside it tell the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A gate with what is known for it.

    Attributes:
        gate: the question.
        canary: the canary's counts since the step began; at full weight with what found no
            upstream.
        stable: the stable arm's counts since the step began.
        reference: what the canary is compared with where the step is short: the stable arm, with
            the run's earlier steps where this step alone has too little of it.
        lost: requests that found no upstream and belong to no arm.
        context: what else is known.
        canary_bad_ms: stamp of the newest sample with a bad canary request.
        state: what ticks have shown since the run began, up to now.
        terms: what that was gathered for.
        ledger: what it is read from.
    """

    gate: GateQuestion
    canary: ArmCounts
    stable: ArmCounts
    reference: ArmCounts
    lost: int
    context: Context
    canary_bad_ms: int
    state: State
    terms: Terms
    ledger: Ledger

    @property
    def is_full(self) -> bool:
        """Whether the canary has all traffic: then the stable arm has what was under way."""
        return self.context.weight_percent >= WHOLE_PERCENT

    @property
    def bound_ratio(self) -> float | None:
        """The fraction of bad requests that the canary may have by itself; None: no bound tells.

        Below full weight that of the gate, at full weight see `Terms.bound_ratio`.
        """
        percent = self.gate.max_percent
        if not self.is_full:
            return None if percent is None else percent / 100
        if self.ledger.watched_ratio is not None:
            return self.ledger.watched_ratio
        requests, bad = max(self.state.stable, (self.reference.requests, self.reference.bad))
        return self.terms.bound_ratio(requests=requests, bad=bad)


def percent_of(counts: ArmCounts) -> float:
    """Bad requests in percent; a connection may fail in a step after the one it was opened in."""
    all_of_them = max(counts.requests, counts.bad)
    return 100 * counts.bad / all_of_them if all_of_them else 0.0


def exceeds(gate: GateQuestion, counts: ArmCounts) -> bool:
    """Whether a revision's counts are above a gate's bound in percent, and enough to say so."""
    limit = gate.max_percent
    return limit is not None and counts.bad >= FAIL_BAD_MIN and percent_of(counts) > limit


def noun(case: Case) -> str:
    """What is counted, in the plural."""
    return "connections" if case.gate.kind is GateKind.TCP else str(case.context.counted)


def facts(case: Case) -> str:
    """The numbers and the limits; no full stop."""
    canary, reference = case.canary, case.reference
    told = (
        f"{_shown(canary, limit=case.gate.max_percent)} % of {canary.requests:,} canary"
        f" {noun(case)} {_happened(case.gate)}"
    )
    if reference.requests:
        told += f", stable {_shown(reference)} % of {reference.requests:,}"
    told += _times(case)
    limits = []
    if case.gate.max_percent is not None:
        limits.append(f"{print_percent(case.gate.max_percent)} %")
    if case.gate.max_ratio is not None:
        limits.append(f"{case.gate.max_ratio:g} times stable")
    return f"{told}; the limit is {' and '.join(limits)}"


def say(case: Case, verdict: Verdict, told: str, *, nats: float = 0.0) -> GateVerdict:
    """A verdict in a sentence that begins with the gate's name."""
    # What found no upstream has no stamp of its own: the newest seen is the nearest bound.
    failed_ms = case.canary_bad_ms or case.context.newest_ms
    return GateVerdict(
        name=case.gate.name,
        verdict=verdict,
        because=f"{case.gate.name}: {told}"[:SENTENCE_LENGTH_MAX],
        failed_sample_ms=failed_ms if verdict is Verdict.FAIL else None,
        value=percent_of(case.canary) if case.canary.requests or case.canary.bad else None,
        nats=nats,
    )


def _times(case: Case) -> str:
    """How many times as often the canary's are bad, since the run began, with the interval."""
    requests, bad = case.state.canary
    stable_requests, stable_bad = case.state.stable
    if case.is_full or not bad or not stable_bad or not requests or not stable_requests:
        return ""
    times = (bad / requests) / (stable_bad / stable_requests)
    if not case.terms.is_shown:
        return f"; {ratio_gate.digits(times)} times as often in this run"
    likeliest = ratio_gate.digits(case.state.lattice.likeliest())
    told = f"; {likeliest} times as often in this run"
    possible = ratio_gate.possible_ratios(case.state, case.terms.promises)
    low = ratio_gate.digits(possible.low_ratio)
    high = "∞" if math.isinf(possible.high_ratio) else ratio_gate.digits(possible.high_ratio)
    return f"{told} ({low} to {high} likely)"


def _shown(counts: ArmCounts, *, limit: float | None = None) -> str:
    """A rate in percent with few digits, but enough of them to be seen above the limit."""
    percent = percent_of(counts)
    if 0 < percent < SHOWN_PERCENT_MIN:
        return f"less than {SHOWN_PERCENT_MIN}"
    shown = print_percent(percent) if percent >= 1 else f"{percent:.2g}"
    if limit is not None and float(shown) <= limit < percent:
        return f"{percent:.4g}"
    return shown


def _happened(gate: GateQuestion) -> str:
    if gate.kind is not GateKind.LATENCY or gate.edge_ms is None:
        return "failed"
    edge_ms = edge_below(gate.edge_ms)
    if edge_ms == gate.edge_ms:
        return f"took longer than {edge_ms:g} ms"
    return f"took longer than {edge_ms:g} ms (the bucket edge below {gate.edge_ms:g} ms)"
