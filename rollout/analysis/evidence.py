"""Adds answers of Prometheus to the evidence of a run; every sample counts exactly once.

Each scrape target has a cursor of its own per kind of question: the stamp of its newest sample
used. A late sample is therefore counted by a later look, and the same answer twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from rollout.analysis import delta
from rollout.analysis.arm import Arms
from rollout.analysis.cursor import Cursors
from rollout.analysis.query import Shape
from rollout.analysis.sample import Series
from rollout.analysis.tally import Tally, added
from rollout.analysis.verdict import GateQuestion
from rollout.api.evidence import GateEvidence, RunEvidence

LAG_INTERVALS_MAX = 8
"""Scrape intervals that a target may lag behind and still widen the window: more is a dead pod."""

Answers = Mapping[Shape, Sequence[Series]]
"""One service's series by question. A question that got no usable answer is left out: then its
cursors stay, and the next look makes up for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What came of a look.

    Attributes:
        evidence: the new evidence; the very same object when nothing new was seen.
        notes: births, resets, gaps and the like, for our own metrics.
    """

    evidence: RunEvidence
    notes: tuple[delta.Note, ...]


def begin_step(evidence: RunEvidence) -> RunEvidence:
    """The evidence as a new step begins: its counts at 0, the cursors where they are.

    What the stable arm did so far is kept apart, for steps in which it has no traffic.
    """
    return evidence.model_copy(
        update={
            "gates": {name: _fresh(gate) for name, gate in evidence.gates.items()},
            "traffic": _fresh(evidence.traffic),
            "unattributed": 0,
        }
    )


def absorb(
    evidence: RunEvidence,
    answers: Answers,
    *,
    arms: Arms,
    gates: Sequence[GateQuestion],
    step_ms: int,
    young: Collection[str] = frozenset(),
) -> RunEvidence:
    """The evidence after a look, see `look`."""
    return look(evidence, answers, arms=arms, gates=gates, step_ms=step_ms, young=young).evidence


def look(
    evidence: RunEvidence,
    answers: Answers,
    *,
    arms: Arms,
    gates: Sequence[GateQuestion],
    step_ms: int,
    young: Collection[str] = frozenset(),
    returned: Callable[[Mapping[str, str]], bool] | None = None,
) -> Look:
    """Adds to the evidence what answers hold that it does not know yet.

    The first look of a run counts nothing: it sets the origin. Gates of kind query are passed over.

    Args:
        evidence: what is known.
        answers: the series of one service.
        arms: how series are told apart.
        gates: what to count; a new one starts at 0.
        step_ms: the scrape interval in milliseconds.
        young: see `delta.cut`.
        returned: see `delta.cut`.
    """
    newest_ms = max(
        (one.samples[-1][0] for series in answers.values() for one in series), default=0
    )
    if not newest_ms:
        return Look(evidence=evidence, notes=())
    cursors = Cursors(evidence, newest_ms=newest_ms, step_ms=step_ms)
    tally = Tally(arms=arms, gates=gates)
    notes: list[delta.Note] = []
    for shape, series in answers.items():
        piece = delta.cut(
            series,
            span_of=cursors.spans(shape, series),
            step_ms=step_ms,
            young=young,
            returned=returned,
        )
        cursors.advance(shape, piece.newest_ms)
        notes.extend(piece.notes)
        tally.add(shape, series, piece.rows)
    fresh = RunEvidence(
        origin_ms=cursors.origin_ms,
        through=cursors.kept(),
        newest_ms=max(evidence.newest_ms, newest_ms),
        gates={**evidence.gates, **tally.gates(evidence.gates)},
        traffic=tally.traffic.added_to(evidence.traffic),
        canary_run=added(evidence.canary_run, tally.traffic.canary),
        unattributed=evidence.unattributed + tally.unattributed,
    )
    return Look(evidence=evidence if fresh == evidence else fresh, notes=tuple(notes))


def observed_percent(evidence: RunEvidence) -> float | None:
    """The canary's share of the step's requests in percent; None without any."""
    canary, stable = evidence.traffic.canary.requests, evidence.traffic.stable.requests
    return 100 * canary / (canary + stable) if canary + stable else None


def oldest_live_ms(evidence: RunEvidence, *, step_ms: int) -> int:
    """Where the next window must begin: the oldest cursor of a target that may still be alive.

    Milliseconds on Prometheus' clock; 0 when nothing was seen yet.
    """
    floor_ms = evidence.newest_ms - LAG_INTERVALS_MAX * step_ms
    stamps = (evidence.origin_ms + after_ms for after_ms in evidence.through.values())
    return min((stamp for stamp in stamps if stamp >= floor_ms), default=evidence.newest_ms)


def next_sample_ms(evidence: RunEvidence, *, step_ms: int) -> int | None:
    """When the next sample of any target is due, in milliseconds on Prometheus' clock.

    Each target is scraped at an offset of its own, so this is the earliest of their next stamps.
    None when nothing was seen yet.
    """
    if not evidence.newest_ms:
        return None
    stamps = (evidence.origin_ms + after_ms + step_ms for after_ms in evidence.through.values())
    return min(
        (at for at in stamps if at > evidence.newest_ms), default=evidence.newest_ms + step_ms
    )


def _fresh(gate: GateEvidence) -> GateEvidence:
    return GateEvidence(stable_before=added(gate.stable_before, gate.stable))
