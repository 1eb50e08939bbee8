"""Judges custom queries by evidence: one number for each block of time, and their mean decides.

Blocks are cut from the begin of a step, on Prometheus' clock, and each is asked about at its end:
who looks when, and how often, changes nothing. What they show is evidence against the gate's bounds
(`judge.beyond`); without a range of the numbers it is approximate, and then it is told, holds, and
takes no canary back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rollout.analysis import gauge
from rollout.analysis.gauge import Missing, Numbers, Told, number
from rollout.analysis.judge.beyond import Bound, bounds_of, read, written
from rollout.analysis.judge.mixture import log_mix
from rollout.analysis.verdict import GateQuestion
from rollout.api.evidence import (
    SENTENCE_LENGTH_MAX,
    Blocks,
    GateVerdict,
    RunEvidence,
    Verdict,
)
from rollout.base.quantity import print_duration

OLDEST_MS = 3_600_000
"""Blocks that ended longer ago are not asked about any more: nobody was there to look."""

AT_ONCE_COUNT_MAX = 8
"""Blocks of a gate that are asked about at once."""

STALE_BLOCKS = 2
STALE_TICKS = 4
"""How long after its end a block may have no successor, in blocks and scrape intervals: then it is
old news."""

LACK_LENGTH_MAX = 256

ROUNDING_RATIO = 1e-6
"""What a number may be beyond its range by, as a part of that: a quotient is not exact."""

NUMBER_MAX = 1e100
"""The largest number that is added up."""


def begun(evidence: RunEvidence, gates: Sequence[GateQuestion]) -> dict[str, Blocks]:
    """The gates' blocks as a step begins: what earlier ones have shown stays."""
    now_ms = max(0, evidence.newest_ms - evidence.origin_ms)
    found = {}
    for gate in _by_evidence(gates):
        known = evidence.blocks.get(gate.name)
        if known is None:
            found[gate.name] = Blocks(after_ms=now_ms, closed_ms=now_ms)
            continue
        against = [one.stepped() for one in read(known, gate)]
        found[gate.name] = Blocks(
            after_ms=now_ms,
            closed_ms=now_ms,
            counted_ms=0,
            begun_count=known.begun_count + 1,
            beyond=written(against),
        )
    return found


def missing(evidence: RunEvidence, gates: Sequence[GateQuestion]) -> RunEvidence:
    """The evidence, with blocks of gates that have none yet begun at the newest sample."""
    if not evidence.newest_ms:
        return evidence
    now_ms = evidence.newest_ms - evidence.origin_ms
    new = {
        gate.name: Blocks(after_ms=now_ms, closed_ms=now_ms)
        for gate in _by_evidence(gates)
        if gate.name not in evidence.blocks
    }
    return evidence.model_copy(update={"blocks": {**evidence.blocks, **new}}) if new else evidence


def due_ms(evidence: RunEvidence, gate: GateQuestion, *, step_ms: int) -> tuple[int, ...]:
    """The ends of the blocks to ask about now, oldest first, milliseconds on Prometheus' clock.

    A block is over when every target has been scraped after it, so one interval later. Who comes
    late asks about several at once.
    """
    known = evidence.blocks.get(gate.name)
    if known is None or gate.block_ms is None:
        return ()
    first_ms = evidence.origin_ms + known.closed_ms + gate.block_ms
    late_ms = evidence.newest_ms - OLDEST_MS - first_ms
    if late_ms > 0:
        first_ms += gate.block_ms * -(-late_ms // gate.block_ms)
    last_ms = evidence.newest_ms - step_ms
    ends = range(first_ms, last_ms + 1, gate.block_ms)
    return tuple(ends[:AT_ONCE_COUNT_MAX])


def absorbed(
    evidence: RunEvidence, gate: GateQuestion, told: Told, *, end_ms: int, is_full: bool = False
) -> RunEvidence:
    """The evidence with what Prometheus has told of a block; its end as `due_ms` said.

    An answer that is an error tells nothing of the block, which is then asked about again. With all
    traffic (``is_full``) a 0 of the stable revision is no measure: nothing goes there any more.
    """
    known = evidence.blocks[gate.name]
    found = _usable(gate, gauge.numbers(gate, told), is_full=is_full)
    at_ms = end_ms - evidence.origin_ms
    if isinstance(found, Missing):
        whose = "stable" if found.incomparable else "canary" if found.dataless else ""
        known = known.model_copy(
            update={
                "lack": found.sentence[:LACK_LENGTH_MAX],
                "lacks": whose,
                "closed_ms": at_ms if found.answered else known.closed_ms,
            }
        )
    else:
        known = _with(known, gate, found, at_ms=at_ms)
    return evidence.model_copy(update={"blocks": {**evidence.blocks, gate.name: known}})


def _usable(gate: GateQuestion, found: Numbers | Missing, *, is_full: bool) -> Numbers | Missing:
    """The numbers, if evidence can be made of them."""
    if isinstance(found, Missing):
        return found
    values = [one.value for one in (found.canary, found.stable) if one is not None]
    span = gate.span
    for value in values:
        slack = ROUNDING_RATIO * (span.high - span.low) if span is not None else 0.0
        if span is not None and not span.low - slack <= value <= span.high + slack:
            within = f"{number(span.low)} to {number(span.high)}"
            return Missing(sentence=f"the query gave {number(value)}, and query.range is {within}")
        if abs(value) > NUMBER_MAX:
            return Missing(sentence=f"the query gave {number(value)}, which is too large to add up")
    if is_full and found.stable is not None and found.stable.value == 0:
        told = "the stable revision's number is 0 since nothing goes to it: there is no ratio to it"
        return Missing(sentence=told, value=found.canary.value)
    return found


def _with(known: Blocks, gate: GateQuestion, found: Numbers, *, at_ms: int) -> Blocks:
    canary = found.canary.value
    stable = found.stable.value if found.stable is not None else None
    against = [
        one.with_excess(bound.excess(canary, stable), bound)
        for one, bound in zip(read(known, gate), bounds_of(gate), strict=True)
    ]
    return known.model_copy(
        update={
            "closed_ms": at_ms,
            "counted_ms": at_ms,
            "count": known.count + 1,
            "canary_total": known.canary_total + canary,
            "stable_total": known.stable_total + (stable or 0.0),
            "beyond": written(against),
            "lack": "",
            "lacks": "",
        }
    )


def judge(gate: GateQuestion, evidence: RunEvidence) -> GateVerdict:
    """The verdict on all blocks so far.

    Fail: with a range, when the evidence against a bound reaches what the gate's part of the risk
    asks for; that no more data comes takes nothing of it back. Pass: the mean of this step's blocks
    is within the bounds, and nothing speaks much against it. Unknown: everything else, old news and
    the first block of a step among it.
    """
    known = evidence.blocks.get(gate.name, Blocks())
    nats = _nats(gate, known)
    if nats >= gate.needed_nats:
        return GateVerdict(
            name=gate.name,
            verdict=Verdict.FAIL,
            because=f"{gate.name}: {_facts(gate, known)}; exceeded at {gate.confidence} confidence",
            failed_sample_ms=evidence.origin_ms + known.counted_ms,
            value=_mean(gate, known),
            nats=nats,
        )
    lack = known.lack or _waiting(gate, known, evidence)
    if lack:
        return _verdict(gate, Verdict.UNKNOWN, lack, nats=nats).model_copy(
            update={
                "growing": not known.lack,
                "incomparable": known.lacks == "stable",
                "dataless": known.lacks == "canary",
            }
        )
    return _decided(gate, known, nats=nats)


def _waiting(gate: GateQuestion, known: Blocks, evidence: RunEvidence) -> str:
    """That a number is still to come, in a sentence; empty: there is a fresh one."""
    assert gate.block_ms is not None, "a threshold decides"
    newest_ms = max(0, evidence.newest_ms - evidence.origin_ms)
    old_ms = newest_ms - known.closed_ms
    if old_ms > STALE_BLOCKS * gate.block_ms + STALE_TICKS * evidence.tick_ms:
        return f"the query has told nothing for {print_duration(old_ms / 1000)}"
    if known.count:
        return ""
    left_seconds = math.ceil((gate.block_ms + evidence.tick_ms - old_ms) / 1000)
    block = print_duration(gate.block_ms / 1000)
    return f"waits for its first {block}, {print_duration(max(1, left_seconds))} more"


def _nats(gate: GateQuestion, known: Blocks) -> float:
    """The logarithm of the evidence against the bounds; without a range there is none."""
    if gate.span is None:
        return 0.0
    against = read(known, gate)
    return log_mix(
        (1 / len(against), one.nats(begun_count=known.begun_count, steps_count=gate.steps_count))
        for one in against
    )


def _decided(gate: GateQuestion, known: Blocks, *, nats: float) -> GateVerdict:
    told, value = _facts(gate, known), _mean(gate, known)
    stable = known.stable_total if gate.relative_to_stable else None
    outside = any(_excess_sum(bound, known, stable) > 0 for bound in bounds_of(gate))
    if _is_beyond(gate, known):
        told += (
            f"; exceeded at about {gate.confidence} confidence; without a range of its numbers a"
            " query takes no canary back: give query.range, or `decide: Threshold`"
        )
    elif outside or gate.is_suspicious(nats):
        told += "; too far for a pass, and not sure yet"
    else:
        return _verdict(gate, Verdict.PASS, told, value=value, nats=nats)
    return _verdict(gate, Verdict.UNKNOWN, told, value=value, nats=nats)


def _excess_sum(bound: Bound, known: Blocks, stable_total: float | None) -> float:
    """By how much this step's blocks exceed a bound, all together."""
    limit = bound.value * (known.count if stable_total is None else stable_total)
    return known.canary_total - limit if bound.is_max else limit - known.canary_total


def _is_beyond(gate: GateQuestion, known: Blocks) -> bool:
    """Whether a bound is exceeded as surely as one without a range can tell."""
    if gate.span is not None:
        return False
    against = read(known, gate)
    miss_ratio = gate.false_rollback_ratio / len(against)
    intervals = (one.spread.interval(miss_ratio=miss_ratio) for one in against)
    return any(found is not None and found[0] > 0 for found in intervals)


def _facts(gate: GateQuestion, known: Blocks) -> str:
    assert gate.block_ms is not None, "a threshold decides"
    block = print_duration(gate.block_ms / 1000)
    if not known.count:
        return f"the query was beyond its bounds in earlier steps; {gauge.allowed(gate)}"
    mean = known.canary_total / known.count
    over = f"over {block}" if known.count == 1 else f"on average of {known.count} times {block}"
    told = f"the query gave {number(mean)} {over}"
    if gate.relative_to_stable:
        stable = known.stable_total / known.count
        ratio = f"{number(mean / stable)} times" if stable else "beside"
        told += f", {ratio} the stable revision's {number(stable)}"
    return f"{told}; {gauge.allowed(gate)}"


def _mean(gate: GateQuestion, known: Blocks) -> float | None:
    if not known.count:
        return None
    if not gate.relative_to_stable:
        return known.canary_total / known.count
    return known.canary_total / known.stable_total if known.stable_total else None


def _verdict(
    gate: GateQuestion,
    verdict: Verdict,
    told: str,
    *,
    value: float | None = None,
    nats: float = 0.0,
) -> GateVerdict:
    return GateVerdict(
        name=gate.name,
        verdict=verdict,
        because=f"{gate.name}: {told}"[:SENTENCE_LENGTH_MAX],
        value=value,
        nats=nats,
    )


def _by_evidence(gates: Sequence[GateQuestion]) -> Iterator[GateQuestion]:
    return (gate for gate in gates if gate.block_ms is not None)
