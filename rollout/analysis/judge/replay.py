"""Runs a gate over recorded ticks: the very evidence and rules that a run would have had."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rollout.analysis.judge import ratio, ratio_gate
from rollout.analysis.judge.ratio import Counts
from rollout.analysis.judge.ratio_gate import Finding, GateEvidence, Promises
from rollout.api.evidence import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What a gate says after all ticks, and when it first decided.

    Attributes:
        log_rollback: ln E of the ratio alone, over all ticks.
        log_promote: ln E' likewise.
        evidence: what the gate knows at the end.
        finding: what it decides on that.
        first_fail_tick: the first tick, counted from 1, after which the canary is taken back; None:
            never. A run would have ended there.
        first_pass_tick: likewise for a pass.
    """

    log_rollback: float
    log_promote: float
    evidence: GateEvidence
    finding: Finding
    first_fail_tick: int | None
    first_pass_tick: int | None


def replay(
    ticks: Sequence[Counts],
    promises: Promises,
    *,
    steps_at: Collection[int] = (),
    reference_ratio: float | None = None,
) -> Replay:
    """Judge recorded ticks one by one, as a run would.

    Args:
        ticks: oldest first.
        promises: what is to be held.
        steps_at: ticks, counted from 1, with which a step begins; the first tick begins one anyway.
        reference_ratio: see `ratio_gate.with_tick`.
    """
    begins = {tick for tick in steps_at if 1 < tick <= len(ticks)}
    known = ratio_gate.begin(promises, steps_count=1 + len(begins))
    rollback = ratio.against_tolerance(promises.tolerance)
    promote = ratio.for_proof(promises.proven_ratio)
    finding = ratio_gate.find(known, promises)
    first: dict[Verdict, int] = {}
    for number, tick in enumerate(ticks, 1):
        if number in begins:
            known = ratio_gate.with_step(known)
        known = ratio_gate.with_tick(known, tick, promises, reference_ratio=reference_ratio)
        rollback, promote = rollback.with_tick(tick), promote.with_tick(tick)
        finding = ratio_gate.find(known, promises)
        first.setdefault(finding.verdict, number)
    return Replay(
        log_rollback=rollback.log_evidence(dispersion=promises.dispersion),
        log_promote=promote.log_evidence(dispersion=promises.dispersion),
        evidence=known,
        finding=finding,
        first_fail_tick=first.get(Verdict.FAIL),
        first_pass_tick=first.get(Verdict.PASS),
    )
