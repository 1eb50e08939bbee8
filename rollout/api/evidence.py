"""Evidence and verdicts: what has been counted in a run, and what the gates say to it.

Evidence stands in the Rollout's status together with the stamps of the newest samples used, so a
restart, a second look or another leader counts every sample exactly once.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from rollout.api.meta import Model, Time

TARGETS_MAX = 128
"""Scrape targets with a cursor of their own: 2 kB of a status that has 32 kB."""

COMMON = "*"
"""Begins the keys of the cursors that all further scrape targets share, one per question."""

QUESTIONS_MAX = 3
"""Kinds of question that share a book of cursors: requests, durations, tcp."""

LEDGERS_MAX = 64
"""Gates, and bucket edges beside them, that keep counts."""

SENTENCE_LENGTH_MAX = 1024
"""Characters in a verdict's sentence: what Events and printer columns still take."""

Count = Annotated[int, Field(ge=0)]
Stamp = Annotated[int, Field(ge=0)]


class Verdict(StrEnum):
    """What a gate says; only these three, and no data is never a Pass."""

    PASS = "Pass"
    FAIL = "Fail"
    UNKNOWN = "Unknown"


class ArmCounts(Model):
    """What one revision was seen to do."""

    requests: Count = 0
    """Requests (for tcp gates connections), 0 or more."""
    bad: Count = 0
    """How many of them were bad: failed, or slower than the bucket edge; 0 or more."""


Numbers = Annotated[str, Field(max_length=2048, pattern=r"^[A-Za-z0-9+/]*={0,2}$")]
"""Floating-point numbers, 8 bytes each, little-endian, in base64: a restart has every bit of them.
Empty: all are 0."""

OPEN_TICKS_MAX = 64
"""Ticks that samples may still be added to: a scrape interval and some seconds have 7 at most."""


class View(Model):
    """What came since a step began."""

    after_ms: Stamp = 0
    """It has the ticks that end later, milliseconds after ``originMs``."""
    logs: Numbers = ""
    """Log evidence against the tolerance, per alternative."""


class Ledger(Model):
    """What a gate has made of ticks: evidence that stays valid however often it is looked at."""

    open: Annotated[
        tuple[Annotated[tuple[Count, ...], Field(min_length=5, max_length=5)], ...],
        Field(max_length=OPEN_TICKS_MAX),
    ] = ()
    """Ticks that are not closed yet, oldest first: each its end (milliseconds after ``originMs``),
    requests of the canary and of stable, bad ones of the canary and of stable."""
    closed_ms: Stamp = 0
    """The end of the newest tick that is closed, milliseconds after ``originMs``."""
    canary: ArmCounts = ArmCounts()
    """The canary in closed ticks, since the run began."""
    stable: ArmCounts = ArmCounts()
    """The stable revision likewise."""
    calm_stable: ArmCounts = ArmCounts()
    """The stable revision in those with about as few bad requests as usual."""
    recent: Annotated[
        tuple[Annotated[tuple[Count, ...], Field(min_length=2, max_length=2)], ...],
        Field(max_length=3),
    ] = ()
    """Requests and bad ones of both revisions in the newest closed ticks, oldest first."""
    every: Numbers = ""
    """Log evidence against the tolerance from all closed ticks, per alternative."""
    calm: Numbers = ""
    """Likewise from the calm ones."""
    views: Annotated[tuple[View, ...], Field(max_length=4)] = ()
    """Likewise since each of the steps that began last."""
    begun_count: Count = 0
    """How many steps have begun."""
    stopped_nats: float | None = None
    """Natural logarithm of what the views of older steps had come to; absent: there are none."""
    proof: Numbers = ""
    """Log evidence that a regression of ``provenRatio`` is ruled out, from calm closed ticks."""
    watched_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    """The fraction of bad requests that the canary may have since it has all traffic; fixed then.
    Absent: it has not, or no bound tells."""
    watched_ms: Stamp = 0
    """Ticks that end later are watched, milliseconds after ``originMs``."""
    watch: Numbers = ""
    """What they have come to, per alternative: evidence that begins anew all the time."""
    lattice: Numbers = ""
    """What closed ticks say of each ratio from 1/64 to 1,024: gives the interval that is shown."""


class Baseline(Model):
    """What was usual before the run; fixed when its first request is counted."""

    dispersion_factor: Annotated[float, Field(ge=1)] = 2
    """How much more evidence a verdict needs since bad requests come in bursts; 2 where past hours
    do not tell."""
    dispersion_factors: Annotated[
        dict[str, Annotated[float, Field(ge=1)]], Field(max_length=64, default_factory=dict)
    ]
    """The same by the name of the gate, for those of which it is known by itself."""
    bad_ratios: Annotated[
        dict[str, Annotated[float, Field(ge=0, le=1)]], Field(max_length=64, default_factory=dict)
    ]
    """The stable revision's fraction of bad requests by the name of the gate, where it is known."""
    spotless: Annotated[tuple[Annotated[str, Field(max_length=63)], ...], Field(max_length=16)] = ()
    """Names of gates of which no bad request is known before the run: no ratio to nothing can be
    proved."""
    requests_per_second: Annotated[float, Field(ge=0)] | None = None
    """Requests of both revisions; absent: not known."""
    because: Annotated[str, Field(max_length=SENTENCE_LENGTH_MAX)] = ""
    """Where the numbers are from, in a sentence."""


class GateEvidence(Model):
    """The counts one gate is judged by."""

    canary: ArmCounts = ArmCounts()
    """The revision on trial, since the step began."""
    stable: ArmCounts = ArmCounts()
    """The stable revision, since the step began."""
    stable_before: ArmCounts = ArmCounts()
    """The stable revision in the earlier steps of this run; serves where it has no traffic now."""
    canary_bad_ms: Stamp = 0
    """Stamp of the newest sample that brought a bad canary request in this step, milliseconds on
    Prometheus' clock; 0 when there was none."""
    ledger: Ledger | None = None
    """What ticks have shown since the run began. Absent: nothing yet."""


class Arrivals(Model):
    """What the pods' own proxies counted, in a book of its own.

    Kept only while requests are mirrored to the canary, or retried: the callers' proxies see no
    mirrored request, and of a retried one its last answer.
    """

    since_step: Annotated[int, Field(ge=0)] = 0
    """The step that began the present share of mirrored requests, 0 while none has; another one
    begins another book, so that copies are never taken for real requests."""
    origin_ms: Stamp = 0
    """Nothing up to this stamp is counted, milliseconds on Prometheus' clock."""
    through: Annotated[
        dict[str, Stamp], Field(max_length=TARGETS_MAX + QUESTIONS_MAX, default_factory=dict)
    ]
    """As ``through`` of the evidence, milliseconds after this ``originMs``."""
    newest_ms: Stamp = 0
    """The newest stamp seen from any such proxy, milliseconds on Prometheus' clock."""
    gates: Annotated[dict[str, GateEvidence], Field(max_length=LEDGERS_MAX, default_factory=dict)]
    """Counts by the name of the gate, at other bucket edges as ``name@edge``;
    error and latency gates have them."""


class Blocks(Model):
    """What the numbers of a query have shown, one for each block of time."""

    after_ms: Stamp = 0
    """Where the step's blocks begin, milliseconds after ``originMs``."""
    closed_ms: Stamp = 0
    """The end of the newest block that was asked about, milliseconds after ``originMs``."""
    counted_ms: Stamp = 0
    """The end of the newest block that gave a number."""
    count: Count = 0
    """Blocks with a number in this step."""
    begun_count: Count = 1
    """How many steps have begun."""
    canary_total: float = 0.0
    """The sum of their numbers."""
    stable_total: float = 0.0
    """The sum of the stable revision's."""
    beyond: Annotated[tuple[Numbers, ...], Field(max_length=2)] = ()
    """What speaks against the bounds, ``max`` first."""
    lack: Annotated[str, Field(max_length=256)] = ""
    """Why the newest block has no number, in a sentence; empty: it has one."""
    lacks: Literal["", "canary", "stable"] = ""
    """Whose number it is that Prometheus does not have."""


class Split(Model):
    """How requests were shared in two stretches of a step, to see whether the mesh does as told."""

    after_ms: Stamp = 0
    """Ticks that end later count, milliseconds after ``originMs``."""
    stretch_index: Count = 0
    """Which stretch is being counted, from 0."""
    canary_count: Count = 0
    """Requests of the canary in it."""
    stable_count: Count = 0
    """Requests of the stable revision in it."""
    canary_before_count: Count = 0
    """Requests of the canary in the stretch before."""
    stable_before_count: Count = 0
    """Requests of the stable revision in the stretch before."""


class RunEvidence(Model):
    """All that has been counted in a run."""

    schema_version: Annotated[int, Field(ge=1, le=1)] = 1
    """The meaning of the other fields; always 1 so far."""
    tick_ms: Count = 0
    """The length of a tick in milliseconds: the scrape interval as the run began. 0: nothing was
    seen yet."""
    baseline: Baseline | None = None
    """What was usual before the run. Absent: it was not asked for."""
    origin_ms: Stamp = 0
    """The newest stamp of the run's first look, milliseconds on Prometheus' clock: nothing up to
    it is counted, and ticks are cut on a grid from it. 0: nothing was seen yet."""
    through: Annotated[
        dict[str, Stamp], Field(max_length=TARGETS_MAX + QUESTIONS_MAX, default_factory=dict)
    ]
    """Per scrape target and kind of question (8 hexadecimal digits) the stamp of the newest sample
    used, milliseconds after ``originMs``. Further targets share ``*`` with the question's name."""
    newest_ms: Stamp = 0
    """The newest stamp seen at all, milliseconds on Prometheus' clock; 0 when there was none."""
    gates: Annotated[dict[str, GateEvidence], Field(max_length=LEDGERS_MAX, default_factory=dict)]
    """Counts by the name of the gate, at other bucket edges as ``name@edge``;
    custom queries have ``blocks`` instead."""
    traffic: GateEvidence = GateEvidence()
    """All requests whatever became of them (connections too, where a tcp gate counts them): the
    weight as it was observed."""
    canary_run: ArmCounts = ArmCounts()
    """The requests of ``traffic`` that the canary got since the run began, and the failed ones."""
    unattributed: Count = 0
    """Requests since the step began that found no upstream (UH, UO, NC, NR) and therefore belong
    to no revision; 0 or more."""
    unattributed_before: Count = 0
    """The same in the earlier steps of this run; what was so before is not the canary's doing."""
    blocks: Annotated[dict[str, Blocks], Field(max_length=16, default_factory=dict)]
    """What custom queries have shown, by the name of the gate, where evidence decides."""
    split: Split = Split()
    """How requests are shared since the step's weight has surely been in force."""
    arrivals: Arrivals | None = None
    """What arrived at the pods, mirrored requests and each attempt of retried ones among it.
    Absent: it is not asked for."""


class GateVerdict(Model):
    """What a gate says, and why."""

    name: Annotated[str, Field(max_length=63)]
    """The gate."""
    verdict: Verdict
    """Pass, Fail or Unknown."""
    because: Annotated[str, Field(max_length=SENTENCE_LENGTH_MAX)]
    """The verdict in one sentence, with its numbers."""
    failed_sample_ms: Stamp | None = None
    """Stamp of the sample that made the verdict Fail, milliseconds on Prometheus' clock; reaction
    time is counted from it. Absent unless it is Fail."""
    value: float | None = None
    """What was compared, or could not be for want of a stable number: percent of bad requests, or
    the number a custom query gave about the canary. Absent when there was none."""
    nats: float = 0.0
    """Logarithm of the evidence that the canary is worse than the gate allows; 0 without any."""
    growing: bool = False
    """Whether all that keeps the gate from Pass is traffic that is still to come."""
    advisory: bool = False
    """Whether the gate only observes: it decides nothing."""
    dataless: bool = False
    """Whether Prometheus has nothing about the canary that the gate could use."""
    dataless_since: Time | None = None
    """Since when that is so in this step, as long as nothing else speaks against the canary."""
    incomparable: bool = False
    """Whether all that keeps the gate from Pass is a stable number: at 100 percent none comes."""
