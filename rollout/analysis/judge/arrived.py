"""Judges by both views of a step: what callers got, and what arrived at the pods.

Callers' proxies see one answer of a retried request, its last, and no mirrored request at all. The
pods' own proxies see every attempt and every copy; but what never reached them, and a try that its
caller gave up for being slow, only callers see. So a gate fails when either view fails.
"""

from __future__ import annotations

from dataclasses import replace

from rollout.analysis.cursor import SETTLE_MS
from rollout.analysis.judge import case, counted, ledger
from rollout.analysis.tally import added
from rollout.analysis.verdict import (
    ATTEMPTS_RATIO_MAX,
    Context,
    Counted,
    GateKind,
    GateQuestion,
    may_arrive,
)
from rollout.api.evidence import (
    ArmCounts,
    GateEvidence,
    GateVerdict,
    RunEvidence,
    Verdict,
)


def judge(gate: GateQuestion, evidence: RunEvidence, *, context: Context) -> GateVerdict:
    """The verdict of an errors, latency or tcp gate.

    While requests are mirrored the copies must pass, and the canary's real requests where its
    weight or a match sends it any: nobody is served with copies. Where failed requests are sent
    again, errors of attempts fail a gate too.
    """
    sent = counted.judge(
        gate,
        evidence.gates.get(gate.name, GateEvidence()),
        context=context,
        sides=_sides(gate, evidence),
    )
    if context.mirrors and may_arrive(gate):
        return sent if sent.verdict is Verdict.FAIL else _with_copies(gate, sent, evidence, context)
    if context.retries and gate.kind is GateKind.ERRORS:
        return (
            sent if sent.verdict is Verdict.FAIL else _with_attempts(gate, sent, evidence, context)
        )
    return sent


def _sides(gate: GateQuestion, book: RunEvidence) -> counted.Sides:
    """What a latency gate knows at other bucket edges."""
    if gate.kind is not GateKind.LATENCY or gate.max_ratio is None:
        return counted.NO_SIDES
    mark = f"{gate.name}@"
    return {
        float(name.removeprefix(mark)): known
        for name, known in book.gates.items()
        if name.startswith(mark)
    }


def _with_copies(
    gate: GateQuestion, sent: GateVerdict, evidence: RunEvidence, context: Context
) -> GateVerdict:
    counts = _counts(gate, evidence)
    if not _tells(counts):
        told = (
            "no proxy beside a pod has counted a request (reporter destination), and no other sees"
            " mirrored ones; give the pods sidecars, or skip the mirror step with promote"
        )
        return _unknown(gate, told)
    real = evidence.gates.get(gate.name, GateEvidence()).canary.requests
    copies = max(0, counts.canary.requests - real)
    unit = Counted.ARRIVALS if real else Counted.COPIES
    told = f"; {copies:,} of them were mirrored, {real:,} real" if real else ""
    arrived = _judged(gate, counts, context, unit=unit, evidence=evidence)
    arrived = arrived.model_copy(update={"because": f"{arrived.because}{told}"})
    if arrived.verdict is Verdict.PASS and context.silent:
        return _unknown(gate, _stopped(context))
    is_alone = context.weight_percent == 0 and not context.matches
    if arrived.verdict is not Verdict.PASS or is_alone:
        return arrived
    return arrived if sent.verdict is Verdict.PASS else sent


def _with_attempts(
    gate: GateQuestion, sent: GateVerdict, evidence: RunEvidence, context: Context
) -> GateVerdict:
    counts = _counts(gate, evidence)
    if not _tells(counts) and context.early:
        if sent.verdict is Verdict.UNKNOWN and not sent.incomparable:
            return sent
        return _unknown(gate, "waits for what the proxies beside the pods tell of attempts")
    if not _tells(counts):
        told = "; no proxy beside a pod tells of attempts, so retries may hide some that failed"
        return sent.model_copy(update={"because": f"{sent.because}{told}"})
    usual = _usual(gate, counts, is_full=context.weight_percent >= case.WHOLE_PERCENT)
    is_measure = usual.requests >= gate.min_requests
    if is_measure and case.exceeds(gate, usual):
        # Callers are well all the same, or the other view would say so: only a difference counts.
        gate = replace(gate, max_percent=None, max_ratio=gate.max_ratio or ATTEMPTS_RATIO_MAX)
    arrived = _judged(gate, counts, context, unit=Counted.ATTEMPTS, evidence=evidence)
    if arrived.verdict is Verdict.FAIL and not is_measure and case.exceeds(gate, counts.stable):
        told = "both exceed it, and too few of stable's are left to compare, so it holds"
        because = f"{arrived.because}; {told}"
        return GateVerdict(name=gate.name, verdict=Verdict.UNKNOWN, because=because)
    if arrived.verdict is Verdict.FAIL:
        told = f"{arrived.because}; retries hide it from callers"
        return arrived.model_copy(update={"because": told})
    if arrived.verdict is Verdict.PASS and context.silent:
        arrived = _unknown(gate, _stopped(context))
    open_ones = [one for one in (sent, arrived) if one.verdict is Verdict.UNKNOWN]
    # One that lacks nothing but a number of stable's may be excused: the other one is told first.
    open_ones.sort(key=lambda one: one.incomparable)
    return open_ones[0] if open_ones else sent


def _usual(gate: GateQuestion, counts: GateEvidence, *, is_full: bool) -> ArmCounts:
    """Attempts of the stable revision that tell what is usual.

    At full weight those of the run's earlier steps speak alone: the last ones of pods that go away
    are no measure. Where a step has few, they speak with it.
    """
    stable = ArmCounts() if is_full else counts.stable
    if stable.requests < gate.min_requests:
        stable = added(stable, counts.stable_before)
    return stable


def _judged(
    gate: GateQuestion,
    counts: GateEvidence,
    context: Context,
    *,
    unit: Counted,
    evidence: RunEvidence,
) -> GateVerdict:
    """What never found a pod is not among arrivals, and belongs to the other view."""
    narrowed = replace(
        context,
        unattributed=0,
        share=None,
        counted=unit,
        baseline=ledger.at_pods(context.baseline),
        whole_until_ms=_whole_until_ms(evidence),
    )
    return counted.judge(replace(gate, is_shown=False), counts, context=narrowed)


def _whole_until_ms(evidence: RunEvidence) -> int:
    """When the ticks end that all pods have told of, in milliseconds after the book's origin."""
    book = evidence.arrivals
    return 0 if book is None else book.newest_ms - book.origin_ms - evidence.tick_ms - SETTLE_MS


def _counts(gate: GateQuestion, evidence: RunEvidence) -> GateEvidence:
    book = evidence.arrivals
    return GateEvidence() if book is None else book.gates.get(gate.name, GateEvidence())


def _tells(counts: GateEvidence) -> bool:
    """Whether any pod's proxy has told of a request since the run began."""
    return any(arm != ArmCounts() for arm in (counts.canary, counts.stable, counts.stable_before))


def _stopped(context: Context) -> str:
    what = "mirrored requests" if context.mirrors else "attempts"
    return f"the proxies beside the pods have told nothing of {what} for some time"


def _unknown(gate: GateQuestion, told: str) -> GateVerdict:
    return GateVerdict(name=gate.name, verdict=Verdict.UNKNOWN, because=f"{gate.name}: {told}")
