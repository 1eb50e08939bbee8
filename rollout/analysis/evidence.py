"""Adds answers of Prometheus to the evidence of a run; every sample counts exactly once.

Each scrape target has a cursor of its own per kind of question: the stamp of its newest sample
used. A late sample is therefore counted by a later look, and the same answer twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rollout.analysis import blocks, delta, sample
from rollout.analysis.arm import Arms
from rollout.analysis.cursor import SETTLE_MS, Cursors
from rollout.analysis.judge import ledger, split
from rollout.analysis.query import ARRIVED, Shape
from rollout.analysis.sample import Series
from rollout.analysis.tally import Grid, Tally, added
from rollout.analysis.verdict import GateKind, GateQuestion, at_pods, may_arrive
from rollout.api.evidence import Arrivals, Baseline, GateEvidence, RunEvidence

LAG_INTERVALS_MAX = 8
"""Scrape intervals that a target may lag behind and still widen the window: more is a dead pod."""

Answers = Mapping[Shape, Sequence[Series]]
"""One service's series by question. A question that got no usable answer is left out: then its
cursors stay, and the next look makes up for it."""


COPIES_GONE_INTERVALS = 2
"""Scrape intervals, `SETTLE_MS` aside, after which no sample brings copies of a step that is over:
the newest sample may be an interval old, and each pod is scraped at a time of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Which arrivals are counted together.

    Attributes:
        since_step: the step since which requests have been mirrored, or not any more; 0 while they
            never were.
        copies: whether they are mirrored.
    """

    since_step: int
    copies: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How answers are counted: what `look` was told."""

    arms: Arms
    gates: Sequence[GateQuestion]
    step_ms: int
    tick_ms: int
    baseline: Baseline | None
    young: Collection[str]
    returned: Callable[[Mapping[str, str]], bool] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What came of a look.

    Attributes:
        evidence: the new evidence; the very same object when nothing new was seen.
        notes: births, resets, gaps and the like, for our own metrics.
    """

    evidence: RunEvidence
    notes: tuple[delta.Note, ...]


def begin_step(
    evidence: RunEvidence, gates: Sequence[GateQuestion], *, is_full: bool = False
) -> RunEvidence:
    """The evidence as a new step begins: its counts at 0, the cursors where they are.

    What the stable arm did so far is kept apart, for steps in which it has no traffic; what ticks
    have shown of either stays. ``is_full``: the canary gets all traffic in the step.
    """
    book = evidence.arrivals
    return evidence.model_copy(
        update={
            "gates": _next_page(evidence, gates, evidence.baseline, is_full=is_full),
            "traffic": _fresh(evidence.traffic),
            "split": split.begun(evidence),
            "blocks": blocks.begun(evidence, gates),
            "unattributed": 0,
            "unattributed_before": evidence.unattributed_before + evidence.unattributed,
            "arrivals": book
            and book.model_copy(
                update={
                    "gates": _next_page(
                        book,
                        [at_pods(gate) for gate in gates if may_arrive(gate)],
                        ledger.at_pods(evidence.baseline),
                        is_full=is_full,
                    )
                }
            ),
        }
    )


def _next_page(
    book: RunEvidence | Arrivals,
    gates: Sequence[GateQuestion],
    baseline: Baseline | None,
    *,
    is_full: bool,
) -> dict[str, GateEvidence]:
    """The gates' evidence as a step begins."""
    terms = {gate.name: ledger.terms_of(gate, baseline) for gate in gates}
    newest_ms = max(0, book.newest_ms - book.origin_ms)
    pages = {name: _fresh(known) for name, known in book.gates.items()}
    for name, page in pages.items():
        if name in terms:
            turned = ledger.with_step(
                page.ledger, terms[name], newest_ms=newest_ms, is_full=is_full
            )
            pages[name] = page.model_copy(update={"ledger": turned})
    return pages


def absorb(
    evidence: RunEvidence,
    answers: Answers,
    *,
    arms: Arms,
    gates: Sequence[GateQuestion],
    step_ms: int,
    young: Collection[str] = frozenset(),
    book: Book | None = None,
) -> RunEvidence:
    """The evidence after a look, see `look`."""
    return look(
        evidence, answers, arms=arms, gates=gates, step_ms=step_ms, young=young, book=book
    ).evidence


def look(
    evidence: RunEvidence,
    answers: Answers,
    *,
    arms: Arms,
    gates: Sequence[GateQuestion],
    step_ms: int,
    young: Collection[str] = frozenset(),
    returned: Callable[[Mapping[str, str]], bool] | None = None,
    book: Book | None = None,
) -> Look:
    """Adds to the evidence what answers hold that it does not know yet.

    The first look of a run counts nothing: it sets the origin. Gates of kind query are passed over.
    Arrivals have a book of their own and are part of no other count.

    Args:
        evidence: what is known.
        answers: the series of one service.
        arms: how series are told apart.
        gates: what to count; a new one starts at 0.
        step_ms: the scrape interval in milliseconds.
        young: see `delta.cut`.
        returned: see `delta.cut`.
        book: where arrivals are counted; None: nowhere.
    """
    newest_ms = max(evidence.newest_ms, sample.newest_ms(answers.values()))
    if not newest_ms:
        return Look(evidence=evidence, notes=())
    tick_ms = evidence.tick_ms or max(step_ms, ledger.TICK_MS_MIN)
    way = _Way(
        arms=arms,
        gates=gates,
        step_ms=step_ms,
        tick_ms=tick_ms,
        baseline=evidence.baseline,
        young=young,
        returned=returned,
    )
    origin_ms = evidence.origin_ms or newest_ms
    cursors = Cursors(evidence.through, origin_ms=origin_ms, newest_ms=newest_ms, step_ms=step_ms)
    sent = {shape: series for shape, series in answers.items() if shape not in ARRIVED}
    tally, notes = _count(sent, cursors, way)
    arrivals, noted = _arrived(evidence.arrivals, answers, book, way)
    fresh = RunEvidence(
        origin_ms=origin_ms,
        through=cursors.kept(),
        newest_ms=newest_ms,
        tick_ms=tick_ms,
        baseline=evidence.baseline,
        gates=_entered(evidence.gates, tally, way, newest_ms=newest_ms - origin_ms),
        traffic=tally.traffic.added_to(evidence.traffic),
        canary_run=added(evidence.canary_run, tally.traffic.canary),
        unattributed=evidence.unattributed + tally.unattributed,
        unattributed_before=evidence.unattributed_before,
        split=split.counted(evidence.split, tally.traffic.rows, tick_ms=tick_ms),
        blocks=evidence.blocks,
        arrivals=arrivals,
    )
    return Look(evidence=evidence if fresh == evidence else fresh, notes=(*notes, *noted))


def _count(answers: Answers, cursors: Cursors, way: _Way) -> tuple[Tally, list[delta.Note]]:
    """Counts what cursors have not passed yet, and moves them."""
    grid = Grid(origin_ms=cursors.origin_ms, tick_ms=way.tick_ms)
    tally = Tally(arms=way.arms, gates=way.gates, grid=grid)
    notes: list[delta.Note] = []
    for shape, series in answers.items():
        piece = delta.cut(
            series,
            span_of=cursors.spans(shape, series),
            step_ms=way.step_ms,
            young=way.young,
            returned=way.returned,
        )
        cursors.advance(shape, piece.newest_ms)
        notes.extend(piece.notes)
        tally.add(shape, series, piece.rows)
    return tally, notes


def _arrived(
    known: Arrivals | None, answers: Answers, book: Book | None, way: _Way
) -> tuple[Arrivals | None, list[delta.Note]]:
    """The book of arrivals with those of a look; one of another share is closed and begun anew."""
    if book is None:
        return None, []
    seen = {shape: series for shape, series in answers.items() if shape in ARRIVED}
    if known is None or known.since_step != book.since_step:
        first_ms = sample.newest_ms(seen.values())
        if not first_ms:
            return None, []
        were_copies = book.since_step > 0 and not book.copies
        pause_ms = COPIES_GONE_INTERVALS * way.step_ms + SETTLE_MS if were_copies else 0
        known = Arrivals(since_step=book.since_step, origin_ms=first_ms + pause_ms)
    newest_ms = max(known.newest_ms, sample.newest_ms(seen.values()))
    cursors = Cursors(
        known.through, origin_ms=known.origin_ms, newest_ms=newest_ms, step_ms=way.step_ms
    )
    way = replace(
        way,
        gates=[at_pods(g) for g in way.gates if may_arrive(g)],
        baseline=ledger.at_pods(way.baseline),
        tick_ms=ledger.OFFSET_TICKS * way.tick_ms,
    )
    tally, notes = _count(seen, cursors, way)
    return (
        Arrivals(
            since_step=known.since_step,
            origin_ms=known.origin_ms,
            through=cursors.kept(),
            newest_ms=newest_ms,
            gates=_entered(known.gates, tally, way, newest_ms=newest_ms - known.origin_ms),
        ),
        notes,
    )


def _entered(
    known: Mapping[str, GateEvidence], tally: Tally, way: _Way, *, newest_ms: int
) -> dict[str, GateEvidence]:
    """The gates' evidence with a look's counts, and with the ticks closed that are over.

    ``newest_ms`` is the newest stamp seen, in milliseconds after the origin.
    """
    found = {**known, **tally.gates(known)}
    for gate in way.gates:
        page = found.get(gate.name)
        if page is None or gate.kind is GateKind.QUERY:
            continue
        ticks = tally.ticks(gate.name)
        book = page.ledger
        if ticks:
            book = ledger.gathered(book, ticks, tick_ms=way.tick_ms)
        if book is not None:
            terms = ledger.terms_of(gate, way.baseline)
            book = ledger.closed(book, terms, newest_ms=newest_ms, tick_ms=way.tick_ms)
        if book is not page.ledger:
            found[gate.name] = page.model_copy(update={"ledger": book})
    return found


def observed_percent(evidence: RunEvidence) -> float | None:
    """The canary's share of the step's requests in percent; None without any."""
    canary, stable = evidence.traffic.canary.requests, evidence.traffic.stable.requests
    return 100 * canary / (canary + stable) if canary + stable else None


def oldest_live_ms(evidence: RunEvidence, *, step_ms: int) -> int:
    """Where the next window must begin: the oldest cursor of a target that may still be alive.

    Milliseconds on Prometheus' clock; 0 when nothing was seen yet.
    """
    floor_ms = evidence.newest_ms - LAG_INTERVALS_MAX * step_ms
    return min((at for at in _cursors(evidence) if at >= floor_ms), default=evidence.newest_ms)


def next_sample_ms(evidence: RunEvidence, *, step_ms: int) -> int | None:
    """When the next sample of any target is due, in milliseconds on Prometheus' clock.

    Each target is scraped at an offset of its own, so this is the earliest of their next stamps.
    None when nothing was seen yet.
    """
    if not evidence.newest_ms:
        return None
    stamps = (at + step_ms for at in _cursors(evidence))
    return min(
        (at for at in stamps if at > evidence.newest_ms), default=evidence.newest_ms + step_ms
    )


def _cursors(evidence: RunEvidence) -> Iterator[int]:
    """All cursors, in milliseconds on Prometheus' clock."""
    for book in (evidence, evidence.arrivals):
        if book is not None:
            yield from (book.origin_ms + after_ms for after_ms in book.through.values())


def _fresh(gate: GateEvidence) -> GateEvidence:
    return GateEvidence(stable_before=added(gate.stable_before, gate.stable), ledger=gate.ledger)
