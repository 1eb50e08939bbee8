"""Judges custom queries by evidence: one number for each block of time, and their mean decides.

Blocks are cut from the begin of a step, on Prometheus' clock, and each is asked about at its end:
who looks when, and how often, changes nothing. What counts is by how much a number exceeds a bound,
in a comparison with the stable revision x - max·s, so that nothing is ever divided by nothing.

Evidence against a bound, logarithms of e-values: one since the run began, and one for each step,
half and half; a step's is kept as it was when the step ended. With a range it is exact (`betting`),
as far as a block does not remember the one before. Without one it is approximate (`asymptotic`):
then it is told, holds, and takes no canary back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rollout.analysis import gauge
from rollout.analysis.gauge import Missing, Numbers, Told, number
from rollout.analysis.judge.asymptotic import Blocks as Spread
from rollout.analysis.judge.betting import Bets
from rollout.analysis.judge.mixture import log_mix, log_sum
from rollout.analysis.judge.numbers import pack, unpack
from rollout.analysis.verdict import GateQuestion
from rollout.api.evidence import (
    SENTENCE_LENGTH_MAX,
    Blocks,
    GateVerdict,
    RunEvidence,
    Verdict,
)
from rollout.api.gate import beyond_range
from rollout.base.quantity import print_duration, print_percent

OLDEST_MS = 3_600_000
"""Blocks that ended longer ago are not asked about any more: nobody was there to look."""

STALE_BLOCKS = 2
STALE_MS = 60_000
"""How long after its end a block may have no successor, in blocks and time: then it is old news."""

SUSPECT_RATIO = 0.5
"""The part of the evidence for a rollback, in logarithms, from which a gate passes no more."""

LACK_LENGTH_MAX = 256

_SPREAD = ("count", "mean", "squares")
_BETS = ("evidence_nats", "blocks_count", "total", "squares")
_NUMBERS_COUNT = 2 * len(_BETS) + len(_SPREAD) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """One bound of a gate: by how much a number exceeds it, and between what that lies.

    Attributes:
        value: the bound.
        is_max: whether more than it is too much.
        lowest: the most negative excess; meaningless without a range.
        highest: the largest excess; equal to ``lowest`` without a range.
    """

    value: float
    is_max: bool
    lowest: float = 0.0
    highest: float = 0.0

    @property
    def is_bounded(self) -> bool:
        """Whether the excess has a range."""
        return self.lowest < 0 < self.highest

    def excess(self, canary: float, stable: float | None) -> float:
        """By how much a number is beyond the bound; negative: it is within."""
        limit = self.value if stable is None else self.value * stable
        return canary - limit if self.is_max else limit - canary

    @property
    def fresh(self) -> _Against:
        """Nothing is known yet."""
        limit = -self.lowest / (self.highest - self.lowest) if self.is_bounded else 0.5
        nothing = Bets(limit_ratio=limit)
        return _Against(run=nothing, step=nothing, stopped_total=0.0, spread=Spread())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Against:
    """What is known against one bound.

    Attributes:
        run: bets since the run began.
        step: bets since the step began.
        stopped_total: what those of earlier steps had come to, as e-values; at most 1e300.
        spread: mean and spread of the excess since the run began.
    """

    run: Bets
    step: Bets
    stopped_total: float
    spread: Spread

    def with_excess(self, excess: float, bound: _Bound) -> _Against:
        """After one more block."""
        if not bound.is_bounded:
            return replace(self, spread=self.spread.with_block(excess))
        part = (excess - bound.lowest) / (bound.highest - bound.lowest)
        return replace(
            self,
            run=self.run.with_block(part),
            step=self.step.with_block(part),
            spread=self.spread.with_block(excess),
        )

    def stepped(self) -> _Against:
        """As another step begins."""
        ended = math.exp(min(690.0, self.step.evidence_nats))
        return replace(
            self,
            step=Bets(limit_ratio=self.step.limit_ratio),
            stopped_total=min(1e300, self.stopped_total + ended),
        )

    def nats(self, *, begun_count: int, steps_count: int) -> float:
        """The logarithm of the evidence, of which steps that are still to come have 1 each."""
        rest = max(0, steps_count - begun_count)
        steps = [self.step.evidence_nats]
        steps += [math.log(self.stopped_total)] if self.stopped_total > 0 else []
        steps += [math.log(rest)] if rest else []
        by_step = log_sum(steps) - math.log(max(steps_count, begun_count))
        return log_mix([(0.5, self.run.evidence_nats), (0.5, by_step)])


def begun(evidence: RunEvidence, gates: Sequence[GateQuestion]) -> dict[str, Blocks]:
    """The gates' blocks as a step begins: what earlier ones have shown stays."""
    now_ms = max(0, evidence.newest_ms - evidence.origin_ms)
    found = {}
    for gate in _by_evidence(gates):
        known = evidence.blocks.get(gate.name)
        if known is None:
            found[gate.name] = Blocks(after_ms=now_ms, closed_ms=now_ms)
            continue
        against = [one.stepped() for one in _read(known, gate)]
        found[gate.name] = Blocks(
            after_ms=now_ms,
            closed_ms=now_ms,
            counted_ms=0,
            begun_count=known.begun_count + 1,
            beyond=_written(against),
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


def due_ms(evidence: RunEvidence, gate: GateQuestion, *, step_ms: int) -> int | None:
    """The end of the block to ask about now, milliseconds on Prometheus' clock; None: none yet.

    A block is over when every target has been scraped after it, so one interval later.
    """
    known = evidence.blocks.get(gate.name)
    if known is None or gate.block_ms is None:
        return None
    end_ms = evidence.origin_ms + known.closed_ms + gate.block_ms
    late_ms = evidence.newest_ms - OLDEST_MS - end_ms
    if late_ms > 0:
        end_ms += gate.block_ms * -(-late_ms // gate.block_ms)
    return end_ms if evidence.newest_ms >= end_ms + step_ms else None


def absorbed(evidence: RunEvidence, gate: GateQuestion, told: Told, *, end_ms: int) -> RunEvidence:
    """The evidence with what Prometheus has told of a block; its end as `due_ms` said.

    An answer that is an error tells nothing of the block, which is then asked about again.
    """
    known = evidence.blocks[gate.name]
    found = gauge.numbers(gate, told)
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


def _with(known: Blocks, gate: GateQuestion, found: Numbers, *, at_ms: int) -> Blocks:
    canary = found.canary.value
    stable = found.stable.value if found.stable is not None else None
    against = [
        one.with_excess(bound.excess(canary, stable), bound)
        for one, bound in zip(_read(known, gate), _bounds(gate), strict=True)
    ]
    return known.model_copy(
        update={
            "closed_ms": at_ms,
            "counted_ms": at_ms,
            "count": known.count + 1,
            "canary_total": known.canary_total + canary,
            "stable_total": known.stable_total + (stable or 0.0),
            "beyond": _written(against),
            "lack": "",
            "lacks": "",
        }
    )


def judge(gate: GateQuestion, evidence: RunEvidence) -> GateVerdict:
    """The verdict on all blocks so far.

    Fail: with a range, when the evidence against a bound reaches what the gate's part of the risk
    asks for. Pass: the mean of this step's blocks is within the bounds, and nothing speaks much
    against it. Unknown: everything else, old news and the first block of a step among it.
    """
    known = evidence.blocks.get(gate.name, Blocks())
    assert gate.block_ms is not None, "a threshold decides"
    block = print_duration(gate.block_ms / 1000)
    newest_ms = evidence.newest_ms - evidence.origin_ms
    if known.lack:
        return _unknown(gate, known.lack, known)
    if newest_ms - known.closed_ms > STALE_BLOCKS * gate.block_ms + STALE_MS:
        old_seconds = (newest_ms - known.closed_ms) / 1000
        return _unknown(
            gate, f"the query has told nothing for {print_duration(old_seconds)}", known
        )
    if not known.count:
        waits_seconds = max(0.0, known.closed_ms + gate.block_ms - newest_ms) / 1000
        return _unknown(
            gate,
            f"waits for its first {block}, {print_duration(math.ceil(waits_seconds))} more",
            known,
        ).model_copy(update={"growing": True})
    return _decided(gate, known, evidence)


def _decided(gate: GateQuestion, known: Blocks, evidence: RunEvidence) -> GateVerdict:
    against, bounds = _read(known, gate), _bounds(gate)
    nats = log_mix(
        (
            1 / len(bounds),
            one.nats(begun_count=known.begun_count, steps_count=gate.steps_count),
        )
        for one in against
    )
    nats = nats if gate.span is not None else 0.0
    needed = -math.log(gate.false_rollback_ratio * gate.risk_ratio)
    sure = f"{print_percent(100 * (1 - gate.false_rollback_ratio))} %"
    told, value = _facts(gate, known), _mean(gate, known)
    if nats >= needed:
        return GateVerdict(
            name=gate.name,
            verdict=Verdict.FAIL,
            because=f"{gate.name}: {told}; exceeded at {sure} confidence",
            failed_sample_ms=evidence.origin_ms + known.counted_ms,
            value=value,
            nats=nats,
        )
    stable = known.stable_total if gate.relative_to_stable else None
    outside = any(_excess_sum(bound, known, stable) > 0 for bound in bounds)
    if _is_beyond(against, gate):
        told += (
            f"; exceeded at about {sure} confidence; without a range of its numbers a query takes"
            " no canary back: give query.range, or `decide: Threshold`"
        )
    elif outside or nats >= SUSPECT_RATIO * needed:
        told += "; too far for a pass, and not sure yet"
    else:
        return _verdict(gate, Verdict.PASS, told, value=value, nats=nats)
    return _verdict(gate, Verdict.UNKNOWN, told, value=value, nats=nats)


def _excess_sum(bound: _Bound, known: Blocks, stable_total: float | None) -> float:
    """By how much this step's blocks exceed a bound, all together."""
    limit = bound.value * (known.count if stable_total is None else stable_total)
    return known.canary_total - limit if bound.is_max else limit - known.canary_total


def _is_beyond(against: Sequence[_Against], gate: GateQuestion) -> bool:
    """Whether a bound is exceeded as surely as one without a range can tell."""
    if gate.span is not None:
        return False
    miss_ratio = gate.false_rollback_ratio / len(against)
    intervals = (one.spread.interval(miss_ratio=miss_ratio) for one in against)
    return any(found is not None and found[0] > 0 for found in intervals)


def _facts(gate: GateQuestion, known: Blocks) -> str:
    assert gate.block_ms is not None
    block, mean = print_duration(gate.block_ms / 1000), known.canary_total / known.count
    over = f"over {block}" if known.count == 1 else f"on average of {known.count} times {block}"
    told = f"the query gave {number(mean)} {over}"
    if gate.relative_to_stable:
        stable = known.stable_total / known.count
        ratio = f"{number(mean / stable)} times" if stable else "beside"
        told += f", {ratio} the stable revision's {number(stable)}"
    return f"{told}; {gauge.allowed(gate)}"


def _mean(gate: GateQuestion, known: Blocks) -> float | None:
    if not gate.relative_to_stable:
        return known.canary_total / known.count
    return known.canary_total / known.stable_total if known.stable_total else None


def _unknown(gate: GateQuestion, told: str, known: Blocks) -> GateVerdict:
    return _verdict(gate, Verdict.UNKNOWN, told).model_copy(
        update={"incomparable": known.lacks == "stable", "dataless": known.lacks == "canary"}
    )


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


def _bounds(gate: GateQuestion) -> list[_Bound]:
    """The bounds that are given, ``max`` first."""
    found = []
    for value, is_max in ((gate.max, True), (gate.min, False)):
        if value is None:
            continue
        lowest, highest = 0.0, 0.0
        if gate.span is not None:
            lowest, highest = beyond_range(
                value, gate.span, is_max=is_max, relative=gate.relative_to_stable
            )
        found.append(_Bound(value=value, is_max=is_max, lowest=lowest, highest=highest))
    return found


def _read(known: Blocks, gate: GateQuestion) -> list[_Against]:
    """What is known against each bound."""
    bounds = _bounds(gate)
    texts = known.beyond or ("",) * len(bounds)
    return [_unpacked(bound.fresh, text) for bound, text in zip(bounds, texts, strict=False)]


def _unpacked(fresh: _Against, text: str) -> _Against:
    found = unpack(text, count=_NUMBERS_COUNT)
    run, step, rest = found[:4], found[4:8], found[8:]
    return _Against(
        run=_bets(fresh.run, run),
        step=_bets(fresh.step, step),
        stopped_total=rest[0],
        spread=Spread(count=int(rest[1]), mean=rest[2], squares=rest[3]),
    )


def _bets(fresh: Bets, found: tuple[float, ...]) -> Bets:
    nats, count, total, squares = found
    return replace(fresh, evidence_nats=nats, blocks_count=int(count), total=total, squares=squares)


def _written(against: Sequence[_Against]) -> tuple[str, ...]:
    return tuple(
        pack(
            [
                *(float(getattr(one.run, name)) for name in _BETS),
                *(float(getattr(one.step, name)) for name in _BETS),
                one.stopped_total,
                *(float(getattr(one.spread, name)) for name in _SPREAD),
            ]
        )
        for one in against
    )
