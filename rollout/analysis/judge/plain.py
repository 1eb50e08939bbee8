"""Judges by plain comparison of the counts since the step began, as people would by hand.

It promises no false-rollback rate: that takes sequential statistics, which have the same signature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from rollout.analysis.judge import lost as losses
from rollout.analysis.query import edge_below
from rollout.analysis.tally import added
from rollout.analysis.verdict import Context, GateKind, GateQuestion
from rollout.api.evidence import ArmCounts, GateEvidence, GateVerdict, Verdict
from rollout.base.quantity import print_duration, print_percent

FAIL_BAD_MIN = 3
"""Bad canary requests below which no rate is a verdict: one or two may be anybody's bad luck."""

WHOLE_PERCENT = 100.0
"""The weight at which the stable arm has no traffic left."""

SHOWN_PERCENT_MIN = 0.001
"""The smallest rate that sentences tell exactly; the numbers beside it tell the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A gate with the counts that are compared.

    Attributes:
        gate: the question.
        canary: the canary's counts; at full weight with what found no upstream.
        stable: the stable arm's counts since the step began.
        reference: what the canary is compared with: the stable arm, with the run's earlier steps
            where this step alone has too little of it.
        lost: requests that found no upstream and belong to no arm.
        context: what else is known.
        canary_bad_ms: stamp of the newest sample with a bad canary request.
    """

    gate: GateQuestion
    canary: ArmCounts
    stable: ArmCounts
    reference: ArmCounts
    lost: int
    context: Context
    canary_bad_ms: int


def judge(gate: GateQuestion, evidence: GateEvidence, *, context: Context) -> GateVerdict:
    """The verdict of an errors, latency or tcp gate.

    Fail: at least `FAIL_BAD_MIN` bad canary requests, and their rate above either bound. The bound
    in percent gives way to Unknown while the stable arm exceeds it too: then the world is ill. The
    ratio compares with (bad + 1) / (requests + 1) of the stable arm, so that none bad there is not
    infinitely good, and needs ``min_requests`` there.
    Pass: no bound exceeded, and ``min_requests`` in the canary arm (with a ratio in both; at full
    weight the stable arm counts only where a ratio is the only bound).
    Unknown: everything else, and requests without an upstream that would decide the matter. Those
    are bad requests of the canary at full weight, where nobody else gets any, and below it where
    `losses.of_canary` can give them to nobody else and the stable arm is well.
    """
    case = _case(gate, evidence, context)
    rules = (
        *(_no_bound, _too_slow_or_failing, _losing, _without_upstream),
        *(_too_little, _too_few_bad),
    )
    for rule in rules:
        verdict = rule(case)
        if verdict is not None:
            return verdict
    return _say(case, Verdict.PASS, _facts(case))


def _case(gate: GateQuestion, evidence: GateEvidence, context: Context) -> _Case:
    lost = context.unattributed if gate.kind is not GateKind.LATENCY else 0
    canary, stable = evidence.canary, evidence.stable
    if context.weight_percent >= WHOLE_PERCENT:
        canary, lost = added(canary, ArmCounts(requests=lost, bad=lost)), 0
    reference = stable
    if stable.requests < gate.min_requests:
        reference = added(stable, evidence.stable_before)
    return _Case(
        gate=gate,
        canary=canary,
        stable=stable,
        reference=reference,
        lost=lost,
        context=context,
        canary_bad_ms=evidence.canary_bad_ms,
    )


def _no_bound(case: _Case) -> GateVerdict | None:
    if case.gate.max_percent is None and case.gate.max_ratio is None:
        return _say(case, Verdict.UNKNOWN, "the gate has no bound")
    return None


def _too_slow_or_failing(case: _Case) -> GateVerdict | None:
    if _over_ratio(case, case.canary):
        return _say(case, Verdict.FAIL, _facts(case))
    if not _over_percent(case, case.canary):
        return None
    # At full weight the stable arm has what was under way: it says nothing of the world any more.
    if case.context.weight_percent < WHOLE_PERCENT and _over_percent(case, case.stable):
        return _say(case, Verdict.UNKNOWN, f"{_facts(case)}; both exceed it, so it holds")
    return _say(case, Verdict.FAIL, _facts(case))


def _losing(case: _Case) -> GateVerdict | None:
    """Fails where requests without an upstream can only be the canary's, and decide the matter."""
    weight_percent, share = case.context.weight_percent, case.context.share
    lost = losses.of_canary(case.lost, weight_percent=weight_percent, share=share)
    blamed = replace(case, canary=added(case.canary, ArmCounts(requests=lost, bad=lost)))
    if not lost or _over_percent(case, case.stable):
        return None
    if not _over_percent(blamed, blamed.canary) and not _over_ratio(blamed, blamed.canary):
        return None
    return _say(
        blamed,
        Verdict.FAIL,
        f"{_facts(blamed)}; {lost:,} of them found no upstream (UH or UO), as many as the canary"
        f" lacks of its {print_percent(weight_percent)} %",
    )


def _without_upstream(case: _Case) -> GateVerdict | None:
    """Holds while requests that belong to no arm would fail the gate if they were the canary's."""
    if case.lost < FAIL_BAD_MIN:
        return None
    blamed = added(case.canary, ArmCounts(requests=case.lost, bad=case.lost))
    if not _over_percent(case, blamed) and not _over_ratio(case, blamed):
        return None
    return _say(
        case,
        Verdict.UNKNOWN,
        f"{case.lost:,} {_noun(case)} found no upstream (UH, UO, NC or NR) and belong to no"
        f" revision, beside {case.canary.requests:,} of the canary",
    )


def _too_little(case: _Case) -> GateVerdict | None:
    wanted = case.gate.min_requests
    missing = []
    if case.canary.requests < wanted:
        missing.append(("canary", case.canary.requests, case.canary.requests))
    if _needs_reference(case) and case.reference.requests < wanted:
        missing.append(("stable", case.reference.requests, case.stable.requests))
    if not missing:
        return None
    have = " and ".join(f"{arm} has {count:,}" for arm, count, _ in missing)
    if case.context.weight_percent >= WHOLE_PERCENT and missing[-1][0] == "stable":
        # Nothing can be foretold: the stable arm gets no request any more.
        told = f"{have} of {wanted:,} {_noun(case)}, and stable gets no more of them"
        only = len(missing) == 1 and not _worse_than_none_bad(case)
        return _say(case, Verdict.UNKNOWN, told).model_copy(update={"incomparable": only})
    elapsed = case.context.elapsed_seconds
    if elapsed <= 0 or not all(now for _, _, now in missing):
        return _say(case, Verdict.UNKNOWN, f"{have} of {wanted:,} {_noun(case)}")
    eta_seconds = math.ceil(max((wanted - count) * elapsed / now for _, count, now in missing))
    return _say(
        case,
        Verdict.UNKNOWN,
        f"{have} of {wanted:,} {_noun(case)}; needs about {print_duration(eta_seconds)} more at"
        " this traffic",
    )


def _needs_reference(case: _Case) -> bool:
    """Whether the gate waits for the stable arm: at 100 percent that gets no request any more.

    There a bound in percent decides alone; without one the gate has nothing to go by.
    """
    if case.gate.max_ratio is None:
        return False
    return case.context.weight_percent < WHOLE_PERCENT or case.gate.max_percent is None


def _worse_than_none_bad(case: _Case) -> bool:
    """Whether the ratio would be exceeded, had the missing stable requests all been good ones."""
    least = max(case.reference.requests, case.gate.min_requests)
    hoped = case.reference.model_copy(update={"requests": least})
    return _exceeds_ratio(replace(case, reference=hoped), case.canary)


def _too_few_bad(case: _Case) -> GateVerdict | None:
    """Holds where the rate is too high but rests on one or two requests."""
    if not _exceeds_percent(case, case.canary) and not _exceeds_ratio(case, case.canary):
        return None
    return _say(
        case, Verdict.UNKNOWN, f"{_facts(case)}; fewer than {FAIL_BAD_MIN} bad ones are no verdict"
    )


def _over_percent(case: _Case, counts: ArmCounts) -> bool:
    return exceeds(case.gate, counts)


def _over_ratio(case: _Case, counts: ArmCounts) -> bool:
    return counts.bad >= FAIL_BAD_MIN and _exceeds_ratio(case, counts)


def _exceeds_percent(case: _Case, counts: ArmCounts) -> bool:
    limit = case.gate.max_percent
    return limit is not None and _percent(counts) > limit


def _exceeds_ratio(case: _Case, counts: ArmCounts) -> bool:
    limit, reference = case.gate.max_ratio, case.reference
    if limit is None or reference.requests < case.gate.min_requests:
        return False
    return _percent(counts) > 100 * limit * (reference.bad + 1) / (reference.requests + 1)


def _percent(counts: ArmCounts) -> float:
    """Bad requests in percent; a connection may fail in a step after the one it was opened in."""
    all_of_them = max(counts.requests, counts.bad)
    return 100 * counts.bad / all_of_them if all_of_them else 0.0


def exceeds(gate: GateQuestion, counts: ArmCounts) -> bool:
    """Whether a revision's counts are above a gate's bound in percent, and enough to say so."""
    limit = gate.max_percent
    return limit is not None and counts.bad >= FAIL_BAD_MIN and _percent(counts) > limit


def _noun(case: _Case) -> str:
    return "connections" if case.gate.kind is GateKind.TCP else str(case.context.counted)


def _facts(case: _Case) -> str:
    canary, reference = case.canary, case.reference
    facts = (
        f"{_shown(canary, limit=case.gate.max_percent)} % of {canary.requests:,} canary"
        f" {_noun(case)} {_happened(case.gate)}"
    )
    if reference.requests:
        facts += f", stable {_shown(reference)} % of {reference.requests:,}"
    limits = []
    if case.gate.max_percent is not None:
        limits.append(f"{print_percent(case.gate.max_percent)} %")
    if case.gate.max_ratio is not None:
        limits.append(f"{case.gate.max_ratio:g} times stable")
    return f"{facts}; the limit is {' and '.join(limits)}"


def _shown(counts: ArmCounts, *, limit: float | None = None) -> str:
    """A rate in percent with few digits, but enough of them to be seen above the limit."""
    percent = _percent(counts)
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


def _say(case: _Case, verdict: Verdict, facts: str) -> GateVerdict:
    # What found no upstream has no stamp of its own: the newest seen is the nearest bound.
    failed_ms = case.canary_bad_ms or case.context.newest_ms
    return GateVerdict(
        name=case.gate.name,
        verdict=verdict,
        because=f"{case.gate.name}: {facts}",
        failed_sample_ms=failed_ms if verdict is Verdict.FAIL else None,
        value=_percent(case.canary) if case.canary.requests or case.canary.bad else None,
    )
