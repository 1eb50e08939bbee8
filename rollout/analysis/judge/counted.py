"""Judges what is counted: errors, slow requests, connections; looking spoils nothing.

A gate fails when the average of its e-values, each a bound or a view of the run, reaches 1/α for
its part of the run's false-rollback risk α (Ville's inequality: so at most a fraction α of releases
within the tolerances is ever rolled back, see `ratio_gate` and `absolute` for what is exact).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from rollout.analysis.judge import absolute, edges, ledger, ratio_gate
from rollout.analysis.judge import lost as losses
from rollout.analysis.judge.case import (
    FAIL_BAD_MIN,
    WHOLE_PERCENT,
    Case,
    exceeds,
    facts,
    noun,
    percent_of,
    say,
)
from rollout.analysis.judge.mixture import log_mix
from rollout.analysis.judge.proof import proved
from rollout.analysis.tally import added
from rollout.analysis.verdict import Context, GateKind, GateQuestion
from rollout.analysis.verdict import beside as beside_of
from rollout.api.evidence import ArmCounts, GateEvidence, GateVerdict, Ledger, Verdict
from rollout.base.quantity import print_duration, print_percent

BURSTY_FACTOR_MIN = 3.0
"""Dispersion from which on it is told where it keeps a gate from a verdict."""

SURE_NATS = 1e6
"""Evidence where a bound of 0 is exceeded: more than any risk asks for, and finite."""

Sides = Mapping[float, GateEvidence]
"""What a latency gate that compares knows at other bucket edges, by the edge in milliseconds."""

NO_SIDES: Sides = MappingProxyType({})


def judge(
    gate: GateQuestion,
    evidence: GateEvidence,
    *,
    context: Context,
    sides: Sides = NO_SIDES,
) -> GateVerdict:
    """The verdict of an errors, latency or tcp gate.

    Fail: the evidence against either bound decides. The bound in percent gives way to Unknown while
    the stable arm exceeds it too: then the world is ill. At full weight the stable arm's own rate
    in this run, at most, takes its place.
    Pass: nothing speaks against the canary, with ``min_requests`` in its arm (below full weight,
    for a ratio, in both); where the step proves, a regression of ``proven_ratio`` is ruled out.
    Unknown: everything else, and requests without an upstream that would decide the matter. Those
    are bad requests of the canary at full weight, where nobody else gets any, and below it where
    `losses.of_canary` can give them to nobody else and the stable arm is well.
    """
    case = _case(gate, evidence, context)
    if gate.max_percent is None and gate.max_ratio is None:
        return say(case, Verdict.UNKNOWN, "the gate has no bound")
    beside = {edge: _case_at(edge, gate, side, context) for edge, side in sides.items()}
    seen = _against(case, tuple(beside.values()))
    nats = _sure(case, seen)
    if math.log(gate.risk_ratio) + nats >= -math.log(gate.false_rollback_ratio):
        worst = max((case, *beside.values()), key=_own_nats)
        told = f"{facts(worst, is_final=True)}; exceeded at {gate.confidence} confidence"
        return say(worst, Verdict.FAIL, told, nats=nats)
    for rule in (_both_exceed, _losing, _without_upstream, _too_little):
        verdict = rule(case)
        if verdict is not None:
            return verdict.model_copy(update={"nats": nats})
    return _open_minded(case, seen).model_copy(update={"nats": nats})


def _case(gate: GateQuestion, evidence: GateEvidence, context: Context) -> Case:
    lost = context.unattributed if gate.kind is not GateKind.LATENCY else 0
    canary, stable = evidence.canary, evidence.stable
    if context.weight_percent >= WHOLE_PERCENT:
        canary, lost = added(canary, ArmCounts(requests=lost, bad=lost)), 0
    reference = stable
    if stable.requests < gate.min_requests:
        reference = added(stable, evidence.stable_before)
    terms, kept = ledger.terms_of(gate, context.baseline), evidence.ledger or Ledger()
    return Case(
        gate=gate,
        canary=canary,
        stable=stable,
        reference=reference,
        lost=lost,
        context=context,
        canary_bad_ms=evidence.canary_bad_ms,
        state=ledger.now(kept, terms),
        terms=terms,
        ledger=kept,
    )


def _sure(case: Case, nats: float) -> float:
    """The evidence of whole ticks alone, where those that go on are not to be trusted yet."""
    until_ms = case.context.whole_until_ms
    if until_ms is None:
        return nats
    return _against(replace(case, state=ledger.now(case.ledger, case.terms, until_ms=until_ms)), ())


def _case_at(edge_ms: float, gate: GateQuestion, side: GateEvidence, context: Context) -> Case:
    """A gate at another bucket edge, under its own name."""
    there = beside_of(gate, edge_ms)
    case = _case(there, side, context)
    return replace(case, gate=replace(there, name=gate.name))


def _compared(case: Case) -> float:
    """Against the tolerance, by the views of the run."""
    return ratio_gate.find(case.state, case.terms.promises).rollback_nats


def _own_nats(case: Case) -> float:
    """What speaks against the canary by a case alone."""
    return _against(case, ())


def _against(case: Case, sides: Sequence[Case]) -> float:
    """Logarithm of the evidence that the canary is worse than the gate allows.

    Where bucket edges stand beside its own, the comparison is their average.
    """
    gate, before = case.gate, []
    if gate.max_ratio is not None:
        logs = {case.gate.edge_ms or 0.0: _compared(case)}
        logs |= {side.gate.edge_ms or 0.0: _compared(side) for side in sides}
        before.append(edges.log_rollback(logs))
    if gate.max_percent is not None:
        before.append(_beyond_percent(case))
    part = 1 / len(before)
    nats = log_mix((part, one) for one in before)
    if not case.is_full:
        return nats
    half = 0.25 / case.terms.steps_count
    return log_mix([(1 - 2 * half, nats), (half, _beyond_alone(case)), (half, _of_late(case))])


def _of_late(case: Case) -> float:
    """Against the bound at full weight, by evidence that begins anew all the time.

    It may be T on average after T ticks, so it is divided by the ticks that are watched: what is
    left is an e-value at the end of them, and at any time before.
    """
    watching = ledger.watch(case.ledger, case.terms)
    if watching is None:
        return 0.0
    nats = watching.log_evidence() - math.log(max(1.0, case.context.watched_ticks))
    return max(nats, -math.log(1e9))


def _beyond_percent(case: Case) -> float:
    """Against the bound in percent: over the run, and since the step began.

    Where the stable arm exceeds it too, over the same time, that view says nothing.
    """
    if case.is_full or case.gate.max_percent is None:
        return 0.0
    bound, phi = case.gate.max_percent / 100, case.terms.promises.dispersion_factor
    if not 0 < bound < 1:
        is_beyond = bound == 0 and case.canary.bad >= FAIL_BAD_MIN
        return SURE_NATS if is_beyond and not exceeds(case.gate, case.stable) else 0.0
    view = 0.5 / case.terms.steps_count
    scopes = (
        (0.5, ledger.counts_of(case.state.canary), ledger.counts_of(case.state.stable)),
        (view, case.canary, case.stable),
    )
    found = [
        (part, _above(canary.requests, canary.bad, bound=bound, dispersion=phi))
        if not exceeds(case.gate, stable)
        else (part, 0.0)
        for part, canary, stable in scopes
    ]
    return log_mix([*found, (0.5 - view * max(1, case.state.begun_count), 0.0)])


def _beyond_alone(case: Case) -> float:
    """Against the bound at full weight, since the step began."""
    bound, canary = case.bound_ratio, case.canary
    if bound is None or bound >= 1:
        return 0.0
    if bound == 0:
        return SURE_NATS if canary.bad >= FAIL_BAD_MIN else 0.0
    phi = case.terms.promises.dispersion_factor
    return _above(canary.requests, canary.bad, bound=bound, dispersion=phi)


def _above(requests: int, bad: int, *, bound: float, dispersion: float) -> float:
    return absolute.log_evidence_above(
        requests=requests, bad=bad, bound=bound, dispersion=dispersion
    )


def _both_exceed(case: Case) -> GateVerdict | None:
    if case.is_full or not exceeds(case.gate, case.canary) or not exceeds(case.gate, case.stable):
        return None
    return say(case, Verdict.UNKNOWN, f"{facts(case)}; both exceed it, so it holds")


def _losing(case: Case) -> GateVerdict | None:
    """Fails where requests without an upstream can only be the canary's, and decide the matter."""
    weight_percent, share = case.context.weight_percent, case.context.share
    lost = losses.of_canary(case.lost, weight_percent=weight_percent, share=share)
    blamed = _blamed(case, lost)
    if not lost or exceeds(case.gate, case.stable) or not _is_bad(blamed):
        return None
    told = (
        f"{facts(blamed)}; {lost:,} of them found no upstream (UH or UO), as many as the canary"
        f" lacks of its {print_percent(weight_percent)} %"
    )
    return say(blamed, Verdict.FAIL, told)


def _without_upstream(case: Case) -> GateVerdict | None:
    """Holds while requests that belong to no arm would fail the gate if they were the canary's."""
    if case.lost < FAIL_BAD_MIN or not _is_bad(_blamed(case, case.lost)):
        return None
    told = (
        f"{case.lost:,} {noun(case)} found no upstream (UH, UO, NC or NR) and belong to no"
        f" revision, beside {case.canary.requests:,} of the canary"
    )
    return say(case, Verdict.UNKNOWN, told)


def _blamed(case: Case, lost: int) -> Case:
    return replace(case, canary=added(case.canary, ArmCounts(requests=lost, bad=lost)))


def _is_bad(case: Case) -> bool:
    """Whether counts exceed a bound as they stand."""
    return exceeds(case.gate, case.canary) or _exceeds_ratio(case)


def _exceeds_ratio(case: Case) -> bool:
    limit, reference, canary = case.gate.max_ratio, case.reference, case.canary
    if limit is None or reference.requests < case.gate.min_requests or canary.bad < FAIL_BAD_MIN:
        return False
    return percent_of(canary) > 100 * limit * (reference.bad + 1) / (reference.requests + 1)


def _too_little(case: Case) -> GateVerdict | None:
    wanted = case.gate.min_requests
    missing = []
    if case.canary.requests < wanted:
        missing.append(("canary", case.canary.requests, case.canary.requests))
    if _needs_reference(case) and case.reference.requests < wanted:
        missing.append(("stable", case.reference.requests, case.stable.requests))
    if not missing:
        return None
    have = " and ".join(f"{arm} has {count:,}" for arm, count, _ in missing)
    if case.is_full and missing[-1][0] == "stable":
        # Nothing can be foretold: the stable arm gets no request any more.
        told = f"{have} of {wanted:,} {noun(case)}, and stable gets no more of them"
        only = len(missing) == 1 and not _worse_than_none_bad(case)
        return say(case, Verdict.UNKNOWN, told).model_copy(update={"incomparable": only})
    elapsed = case.context.elapsed_seconds
    if elapsed <= 0 or not all(now for _, _, now in missing):
        told = f"{have} of {wanted:,} {noun(case)}"
        return say(case, Verdict.UNKNOWN, told).model_copy(update={"growing": True})
    eta_seconds = math.ceil(max((wanted - count) * elapsed / now for _, count, now in missing))
    told = (
        f"{have} of {wanted:,} {noun(case)}; needs about {print_duration(eta_seconds)} more at"
        " this traffic"
    )
    return say(case, Verdict.UNKNOWN, told).model_copy(update={"growing": True})


def _needs_reference(case: Case) -> bool:
    """Whether the gate waits for the stable arm: at 100 percent that gets no request any more.

    There a bound in percent decides alone; without one the gate has nothing to go by.
    """
    if case.gate.max_ratio is None:
        return False
    return not case.is_full or case.gate.max_percent is None


def _worse_than_none_bad(case: Case) -> bool:
    """Whether the ratio would be exceeded, had the missing stable requests all been good ones."""
    least = max(case.reference.requests, case.gate.min_requests)
    hoped = case.reference.model_copy(update={"requests": least})
    return _exceeds_ratio(replace(case, reference=hoped))


def _open_minded(case: Case, nats: float) -> GateVerdict:
    """Pass, unless something speaks against the canary, or a proof is missing."""
    bound = case.bound_ratio
    is_above = bound is not None and percent_of(case.canary) > 100 * bound and case.canary.bad > 0
    if case.gate.is_suspicious(nats) or is_above:
        told = f"{facts(case)}; too many for a pass, and too few to be sure{_burstiness(case)}"
        return say(case, Verdict.UNKNOWN, told)
    if not case.context.proves or case.gate.proven_ratio is None or case.is_full:
        return say(case, Verdict.PASS, facts(case))
    proof = proved(case)
    told, verdict = f"{facts(case)}; {proof.told}", Verdict.PASS if proof.holds else Verdict.UNKNOWN
    growing = not proof.holds and not proof.is_hindered
    return say(case, verdict, told).model_copy(update={"growing": growing})


def _burstiness(case: Case) -> str:
    """That much more evidence is asked for than for errors that come one by one."""
    phi = case.terms.promises.dispersion_factor
    if phi < BURSTY_FACTOR_MIN:
        return ""
    return f", since bad requests come in bursts: {phi:,.3g} times the evidence is asked for"
