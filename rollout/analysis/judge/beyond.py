"""What speaks against the bounds of a query, block by block.

What counts is by how much a number exceeds a bound, in a comparison with the stable revision
x - max·s, so that nothing is ever divided by nothing. Evidence against a bound, logarithms of
e-values: one since the run began, and one for each step, half and half; a step's is kept as it was
when the step ended. With a range it is exact (`betting`), as far as a block does not remember the
one before. Without one it is approximate (`asymptotic`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rollout.analysis.judge.asymptotic import Blocks as Spread
from rollout.analysis.judge.betting import Bets
from rollout.analysis.judge.mixture import log_mix, log_sum
from rollout.analysis.judge.numbers import pack, unpack
from rollout.analysis.verdict import GateQuestion
from rollout.api.evidence import Blocks
from rollout.api.gate import beyond_range

_SPREAD = ("count", "mean", "squares")
_BETS = ("evidence_nats", "blocks_count", "total", "squares")
_NUMBERS_COUNT = 2 * len(_BETS) + len(_SPREAD) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
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
    def fresh(self) -> Against:
        """Nothing is known yet."""
        limit = -self.lowest / (self.highest - self.lowest) if self.is_bounded else 0.5
        nothing = Bets(limit_ratio=limit)
        return Against(run=nothing, step=nothing, stopped_total=0.0, spread=Spread())


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
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

    def with_excess(self, excess: float, bound: Bound) -> Against:
        """After one more block."""
        if not bound.is_bounded:
            return replace(self, spread=self.spread.with_block(excess))
        part = (excess - bound.lowest) / (bound.highest - bound.lowest)
        return replace(self, run=self.run.with_block(part), step=self.step.with_block(part))

    def stepped(self) -> Against:
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


def bounds_of(gate: GateQuestion) -> list[Bound]:
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
        found.append(Bound(value=value, is_max=is_max, lowest=lowest, highest=highest))
    return found


def read(known: Blocks, gate: GateQuestion) -> list[Against]:
    """What is known against each bound."""
    bounds = bounds_of(gate)
    texts = known.beyond or ("",) * len(bounds)
    return [_unpacked(bound.fresh, text) for bound, text in zip(bounds, texts, strict=False)]


def _unpacked(fresh: Against, text: str) -> Against:
    found = unpack(text, count=_NUMBERS_COUNT)
    run, step, rest = found[:4], found[4:8], found[8:]
    return Against(
        run=_bets(fresh.run, run),
        step=_bets(fresh.step, step),
        stopped_total=rest[0],
        spread=Spread(count=int(rest[1]), mean=rest[2], squares=rest[3]),
    )


def _bets(fresh: Bets, found: tuple[float, ...]) -> Bets:
    nats, count, total, squares = found
    return replace(fresh, evidence_nats=nats, blocks_count=int(count), total=total, squares=squares)


def written(against: Sequence[Against]) -> tuple[str, ...]:
    """The same as statuses keep it."""
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
