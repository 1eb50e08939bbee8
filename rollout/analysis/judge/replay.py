"""Runs a gate of sequential statistics over recorded ticks, one by one."""

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
        rollback_nats: ln E of the ratio alone, over all ticks.
        promote_nats: ln E' likewise.
        evidence: what the gate knows at the end.
        finding: what it decides on that.
        first_fail_number: the first tick, counted from 1, after which the canary is taken back;
            None: never. A run would have ended there.
        first_pass_number: likewise for a pass.
    """

    rollback_nats: float
    promote_nats: float
    evidence: GateEvidence
    finding: Finding
    first_fail_number: int | None
    first_pass_number: int | None


def replay(
    ticks: Sequence[Counts],
    promises: Promises,
    *,
    steps_at: Collection[int] = (),
    reference_ratio: float | None = None,
) -> Replay:
    """Judge recorded ticks, after each as if it were the last.

    Args:
        ticks: oldest first.
        promises: what is to be held.
        steps_at: ticks, counted from 1, with which a step begins; the first tick begins one anyway.
        reference_ratio: see `ratio_gate.with_tick`.
    """
    begins = {tick for tick in steps_at if 1 < tick <= len(ticks)}
    known = ratio_gate.begin(promises, steps_count=1 + len(begins))
    rollback = ratio.against_tolerance(promises.tolerance_ratio)
    promote = ratio.for_proof(promises.proven_ratio)
    finding = ratio_gate.find(known, promises)
    first: dict[Verdict, int] = {}
    for number, tick in enumerate(ticks, 1):
        if number in begins:
            known = ratio_gate.with_step(known, promises)
        known = ratio_gate.with_tick(known, tick, promises, reference_ratio=reference_ratio)
        rollback, promote = rollback.with_tick(tick), promote.with_tick(tick)
        finding = ratio_gate.find(known, promises)
        first.setdefault(finding.verdict, number)
    return Replay(
        rollback_nats=rollback.log_evidence(dispersion=promises.dispersion_factor),
        promote_nats=promote.log_evidence(dispersion=promises.dispersion_factor),
        evidence=known,
        finding=finding,
        first_fail_number=first.get(Verdict.FAIL),
        first_pass_number=first.get(Verdict.PASS),
    )
