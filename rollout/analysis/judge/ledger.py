"""Evidence between looks: ticks are gathered while samples may still come, then closed for good.

A tick's numbers are added to what is known once, in the order of their ends, when the newest sample
seen is a tick and `SETTLE_MS` past its end. So evidence depends on the samples alone, and not on
when somebody looked, or was killed: any way of splitting them gives the same bits. What ticks that
are still open hold counts in every verdict nevertheless: nobody waits for their end.

A sample that is later than that is added to the oldest tick that is open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from rollout.analysis.cursor import SETTLE_MS
from rollout.analysis.judge import absolute, ratio_gate
from rollout.analysis.judge.detector import Detector
from rollout.analysis.judge.interval import LATTICE, Lattice
from rollout.analysis.judge.mixture import ALTERNATIVES_COUNT
from rollout.analysis.judge.numbers import pack, unpack
from rollout.analysis.judge.ratio import Counts, RatioEvidence, against_tolerance, for_proof
from rollout.analysis.judge.ratio_gate import GateEvidence, Promises
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.evidence import OPEN_TICKS_MAX, ArmCounts, Baseline, Ledger, View

OFFSET_FACTOR = 3.0
"""How much more evidence is needed where the two arms are not scraped at one moment: simulated with
9 stable pods and brown-outs, false rollbacks of 7 % come to none."""

OFFSET_TICKS = 4
"""Ticks that are one there: an onset that some pods' scrapes have seen, and others' have not, is a
small part of a longer one. It counts when it is over."""

TICK_MS_MIN = 1_000
"""The shortest tick: shorter ones would cost more and find nothing sooner."""

Row = tuple[int, ...]
"""An open tick as a ledger keeps it: its end, and its counts."""

Ticks = Mapping[int, tuple[int, int, int, int]]
"""By their end, in milliseconds after the origin: requests of the canary and of stable, bad ones of
the canary and of stable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a gate's evidence is gathered for; the same for a whole run.

    Attributes:
        promises: what is to be held.
        steps_count: steps that begin views of their own.
        reference_ratio: see `ratio_gate.with_tick`.
        max_percent: see `GateQuestion`.
        max_ratio: likewise.
        min_requests: likewise.
        is_spotless: whether no bad request is known from before the run.
        is_compared: whether evidence against the tolerance is kept.
        is_proved: whether the proof is kept.
        is_shown: whether the interval is kept.
    """

    promises: Promises
    steps_count: int
    reference_ratio: float | None
    max_percent: float | None = None
    max_ratio: float | None = None
    min_requests: int = 1
    is_spotless: bool = False
    is_compared: bool = True
    is_proved: bool = True
    is_shown: bool = True

    def bound_ratio(self, *, requests: int, bad: int) -> float | None:
        """The fraction of bad requests that a canary with all traffic may have; None: none tells.

        There is nobody to compare with any more, so what the stable revision had in this run, at
        most, takes its place where the gate compares: the smaller one of the two bounds. The world
        changes meanwhile, so the canary may have ``proven_ratio`` times that at least.
        """
        own = None if self.max_percent is None else self.max_percent / 100
        if self.max_ratio is None or requests < self.min_requests:
            return own
        risk = self.promises.false_rollback_ratio
        usual = absolute.limits(requests=requests, bad=min(bad, requests), miss_ratio=risk)[1]
        compared = min(1.0, max(self.max_ratio, self.promises.proven_ratio) * usual)
        return compared if own is None else min(own, compared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """How many times as often the canary's requests are bad, with 95 % at any time."""

    likeliest_ratio: float
    low_ratio: float
    high_ratio: float


def terms_of(gate: GateQuestion, baseline: Baseline | None) -> Terms:
    """What a gate's ticks are gathered for; a gate without a ratio has the usual one to show."""
    usual = baseline or Baseline()
    standard = Promises()
    return Terms(
        promises=Promises(
            tolerance_ratio=gate.max_ratio or standard.tolerance_ratio,
            false_rollback_ratio=gate.false_rollback_ratio,
            proven_ratio=gate.proven_ratio or standard.proven_ratio,
            false_promote_ratio=gate.false_promote_ratio,
            dispersion_factor=usual.dispersion_factors.get(gate.name, usual.dispersion_factor),
        ),
        steps_count=gate.steps_count,
        reference_ratio=usual.bad_ratios.get(gate.name),
        max_percent=gate.max_percent,
        max_ratio=gate.max_ratio,
        min_requests=gate.min_requests,
        is_spotless=gate.name in usual.spotless or gate.name not in usual.bad_ratios,
        is_compared=gate.max_ratio is not None,
        is_proved=not gate.beside and gate.kind is not GateKind.TCP,
        is_shown=gate.is_shown and not gate.beside and gate.kind is not GateKind.TCP,
    )


def at_pods(baseline: Baseline | None) -> Baseline:
    """The baseline for what arrives at pods: each is scraped at an offset of its own.

    So the first tick of a brown-out has it in some pods only, which looks like a difference.
    """
    usual = baseline or Baseline()
    factors = {name: OFFSET_FACTOR * one for name, one in usual.dispersion_factors.items()}
    return usual.model_copy(
        update={
            "dispersion_factor": OFFSET_FACTOR * usual.dispersion_factor,
            "dispersion_factors": factors,
        }
    )


def gathered(known: Ledger | None, ticks: Ticks, *, tick_ms: int) -> Ledger:
    """A ledger with more counts in its open ticks."""
    known = known or Ledger()
    found = {row[0]: row[1:] for row in known.open}
    for end_ms, counts in ticks.items():
        place = max(end_ms, known.closed_ms + tick_ms)
        before = found.get(place, (0, 0, 0, 0))
        found[place] = tuple(one + other for one, other in zip(before, counts, strict=True))
    return known.model_copy(update={"open": tuple((end, *found[end]) for end in sorted(found))})


def closed(known: Ledger, terms: Terms, *, newest_ms: int, tick_ms: int) -> Ledger:
    """The ledger with all ticks closed that no sample is expected for any more.

    Args:
        known: the ledger.
        terms: what it is gathered for.
        newest_ms: the newest stamp seen, in milliseconds after the origin.
        tick_ms: the length of a tick.
    """
    limit_ms = newest_ms - tick_ms - SETTLE_MS
    ripe = [row for row in known.open if row[0] <= limit_ms]
    spare = len(known.open) - len(ripe) - OPEN_TICKS_MAX
    if spare > 0:
        ripe = list(known.open[: len(ripe) + spare])
    if not ripe:
        return known
    state = replace(read(known, terms), lattice=_lattice(known, ()))
    state = _with_ticks(state, known, terms, ripe, is_shown=terms.is_shown)
    watch = _watched(known, terms, ripe)
    update = {
        "open": known.open[len(ripe) :],
        "closed_ms": ripe[-1][0],
        "watch": "" if watch is None or math.isinf(watch.logs[0]) else pack(watch.logs),
    }
    return _written(known.model_copy(update=update), state, terms)


def with_step(
    known: Ledger | None, terms: Terms, *, newest_ms: int, is_full: bool = False
) -> Ledger:
    """A step begins: it has the ticks that end after the newest stamp seen so far.

    Args:
        known: the ledger.
        terms: what it is gathered for.
        newest_ms: that stamp, in milliseconds after the origin.
        is_full: the canary gets all traffic: from now on it is watched by itself.
    """
    known = known or Ledger()
    if is_full and known.watched_ms == 0:
        stable = now(known, terms).stable
        bound = terms.bound_ratio(requests=stable[0], bad=stable[1])
        known = known.model_copy(
            update={"watched_ratio": bound, "watched_ms": max(1, newest_ms), "watch": ""}
        )
    before = replace(read(known, terms), lattice=_lattice(known, ()))
    state = ratio_gate.with_step(before, terms.promises) if known.begun_count else before
    if known.begun_count and state.begun_count == before.begun_count:
        return known
    views = (*known.views, View(after_ms=newest_ms))[-len(state.since) :]
    begun = max(1, state.begun_count)
    return _written(known.model_copy(update={"views": views, "begun_count": begun}), state, terms)


def now(known: Ledger, terms: Terms, *, until_ms: int | None = None) -> GateEvidence:
    """All that is known now, what open ticks hold so far included; for the lattice see `lattice`.

    ``until_ms``: only those that end by then, in milliseconds after the origin. None: all of them.
    """
    rows = known.open if until_ms is None else [r for r in known.open if r[0] <= until_ms]
    return _with_ticks(read(known, terms), known, terms, rows, is_shown=False)


def _with_ticks(
    state: GateEvidence, known: Ledger, terms: Terms, rows: Sequence[Row], *, is_shown: bool
) -> GateEvidence:
    """What is known with some of the ledger's ticks, each in the views that had begun by then."""
    begins = [view.after_ms for view in known.views]
    for end_ms, *counts in rows:
        state = ratio_gate.with_tick(
            state,
            Counts(*counts),
            terms.promises,
            reference_ratio=terms.reference_ratio,
            early_count=sum(after_ms >= end_ms for after_ms in begins),
            is_shown=is_shown,
        )
    return state


def lattice(known: Ledger) -> Lattice:
    """What all ticks say of each ratio, open ones included: for the interval that is shown."""
    return _lattice(known, known.open)


def _lattice(known: Ledger, rows: Sequence[Row]) -> Lattice:
    """What closed ticks say of each ratio, and some more."""
    found = Lattice(unpack(known.lattice, count=len(LATTICE)))
    for row in rows:
        found = found.with_tick(Counts(*row[1:]))
    return found


def shown(known: Ledger, *, dispersion: float, is_final: bool) -> Shown:
    """The ratios to show.

    Between two decisions those of closed ticks will do, which change once a tick: all this costs
    more than the verdict.
    """
    if is_final or not known.lattice:
        return _shown(lattice(known), dispersion)
    return _shown_of_closed(known.lattice, dispersion)


@lru_cache(maxsize=1024)
def _shown_of_closed(text: str, dispersion: float) -> Shown:
    return _shown(Lattice(unpack(text, count=len(LATTICE))), dispersion)


def _shown(known: Lattice, dispersion: float) -> Shown:
    possible = known.interval(miss_ratio=ratio_gate.INTERVAL_MISS_RATIO, dispersion=dispersion)
    return Shown(
        likeliest_ratio=known.likeliest(),
        low_ratio=possible.low_ratio,
        high_ratio=possible.high_ratio,
    )


def watch(known: Ledger, terms: Terms) -> Detector | None:
    """What is known of a canary that has all traffic, open ticks included; None: it has not."""
    return _watched(known, terms, known.open)


def _watched(known: Ledger, terms: Terms, rows: Sequence[Row]) -> Detector | None:
    """The watch with the ticks among rows that belong to it."""
    bound = known.watched_ratio
    if bound is None or not 0 < bound < 1:
        return None
    watching = Detector(bound_ratio=bound, dispersion_factor=terms.promises.dispersion_factor)
    if known.watch:
        logs = unpack(known.watch, count=len(watching.logs))
        watching = replace(watching, logs=logs)
    for end_ms, requests, _, bad, _ in rows:
        if end_ms > known.watched_ms:
            watching = watching.with_tick(requests=requests, bad=bad)
    return watching


def read(known: Ledger, terms: Terms) -> GateEvidence:
    """What closed ticks have shown, save the lattice: nothing is decided on it."""
    fresh = against_tolerance(terms.promises.tolerance_ratio)
    proof = for_proof(terms.promises.proven_ratio)
    views = tuple(_with(fresh, view.logs) for view in known.views) or (fresh,)
    return GateEvidence(
        every=_with(fresh, known.every),
        calm=_with(fresh, known.calm),
        since=views,
        steps_count=max(1, terms.steps_count),
        begun_count=max(1, known.begun_count),
        stopped_e_nats=-math.inf if known.stopped_nats is None else known.stopped_nats,
        proof=_with(proof, known.proof),
        canary=_pair(known.canary),
        stable=_pair(known.stable),
        calm_stable=_pair(known.calm_stable),
        recent=tuple((row[0], row[1]) for row in known.recent),
    )


def _written(known: Ledger, state: GateEvidence, terms: Terms) -> Ledger:
    """The ledger with what ticks have shown, as far as it is used: a status has 32 KiB."""
    stopped, compared = state.stopped_e_nats, terms.is_compared
    views = tuple(
        View(after_ms=view.after_ms, logs=pack(one.logs) if compared else "")
        for view, one in zip(known.views, state.since, strict=False)
    )
    return known.model_copy(
        update={
            "canary": counts_of(state.canary),
            "stable": counts_of(state.stable),
            "calm_stable": counts_of(state.calm_stable),
            "recent": state.recent,
            "every": pack(state.every.logs) if compared else "",
            "calm": pack(state.calm.logs) if compared else "",
            "views": views,
            "stopped_nats": None if math.isinf(stopped) else stopped,
            "proof": pack(state.proof.logs) if terms.is_proved else "",
            "lattice": pack(state.lattice.logs) if terms.is_shown else "",
        }
    )


def _with(fresh: RatioEvidence, text: str) -> RatioEvidence:
    logs = unpack(text, count=ALTERNATIVES_COUNT)
    return RatioEvidence(null_ratio=fresh.null_ratio, steps=fresh.steps, logs=logs)


def _pair(counts: ArmCounts) -> tuple[int, int]:
    return counts.requests, counts.bad


def counts_of(pair: tuple[int, int]) -> ArmCounts:
    """Requests and bad ones, as statuses keep them."""
    return ArmCounts(requests=pair[0], bad=pair[1])
