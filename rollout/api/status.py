"""The status: everything a run has come to, so that a controller killed anywhere loses nothing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rollout.api.evidence import RunEvidence, Verdict
from rollout.api.meta import Model, Time
from rollout.api.notify import OUTBOX_MAX, Telling, Thread
from rollout.api.phase import ConditionType, Outcome, Phase
from rollout.api.rollout import Plan
from rollout.api.webhook import WEBHOOKS_MAX, HookResult
from rollout.api.window import Closed

HISTORY_MAX = 10
"""Runs remembered: enough to see a pattern, small enough for the status."""

MESSAGE_LENGTH_MAX = 1024
"""Characters in a sentence: what Events and printer columns still take."""

NOTES_MAX = 8
"""Notes of one status."""

Sentence = Annotated[str, Field(max_length=MESSAGE_LENGTH_MAX)]

Word = Annotated[str, Field(max_length=253)]
"""A name, as long as Kubernetes lets names be; empty where there is none."""


GuardedField = Literal["outlierDetection", "connectionPool"]


class Condition(Model):
    """A fact about the Rollout, as Kubernetes tools read it."""

    type: ConditionType
    """Which fact."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Field(min_length=1, max_length=128)]
    """Why, in one CamelCase word."""
    message: Sentence = ""
    """Why, in a sentence."""
    last_transition_time: Time
    """When the status last changed."""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    """The generation of the spec this speaks of."""


class Note(Model):
    """Something worth knowing that keeps no traffic from moving."""

    reason: Annotated[str, Field(min_length=1, max_length=128)]
    """What it is, in one CamelCase word."""
    message: Sentence
    """What it means for the run, in a sentence."""


class GateStatus(Model):
    """A gate's newest verdict."""

    name: Annotated[str, Field(max_length=63)]
    """The gate."""
    verdict: Verdict
    """Pass, Fail or Unknown."""
    because: Sentence = ""
    """The verdict in a sentence, with its numbers."""
    failed_sample_at: Time | None = None
    """The stamp, on Prometheus' clock, of the sample that made the verdict fail."""


class Command(Model):
    """What a person said, and that it was heard."""

    by: Word
    """The person's name as the API server knows it."""
    via: Annotated[str, Field(max_length=63)] = ""
    """The tool: ``cli``, ``slack`` and so on."""
    at: Time
    """When it took effect."""
    reason: Sentence = ""
    """What the person gave as reason."""


class Ending(Model):
    """How a run ends, once that is decided."""

    outcome: Outcome
    """How."""
    because: Sentence
    """Why."""
    decided_at: Time
    """When it was decided."""
    gate: Annotated[str, Field(max_length=63)] = ""
    """The gate that failed, if one did."""
    command: Command | None = None
    """The command that ended it, if one did."""
    revived: bool = False
    """Whether ``spec.revision`` has been another since: the canary, wanted again, then may run."""


APPROVALS_MAX = 40
"""Decisions of people in one run that are kept: a status has 32 KiB."""


class Decided(Model):
    """What a person said to an approval."""

    step: Annotated[int, Field(ge=1)]
    """The step that asked."""
    verdict: Literal["Approved", "Rejected"]
    """Yes or no."""
    by: Word
    """The person's name, as in the command."""
    via: Annotated[str, Field(max_length=63)] = ""
    """The tool: ``cli``, ``slack`` and so on."""
    at: Time
    """When it took effect."""
    reason: Annotated[str, Field(max_length=128)] = ""
    """What the person gave as reason, cut to what fits."""


POLICIES_MAX = 16
"""Policies that one Rollout may have."""


class Run(Model):
    """The run in progress, or the last one."""

    id: Annotated[str, Field(max_length=20)]
    """Counts runs of this Rollout; commands name it."""
    canary_revision: Word
    """The revision on trial."""
    stable_revision: Word
    """The revision it is compared with and goes back to."""
    step: Annotated[int, Field(ge=0)] = 0
    """The step, counted from 1; 0 while preparing, one more than the last while baking."""
    step_count: Annotated[int, Field(ge=0)] = 0
    """How many steps the ladder has."""
    weight: Annotated[float, Field(ge=0, le=100)] = 0
    """Percent of the traffic written for the canary."""
    observed_weight: Annotated[float, Field(ge=0, le=100)] | None = None
    """Percent of the requests that went to the canary since the step began, as Prometheus saw."""
    started_at: Time
    """When the run began."""
    step_started_at: Time
    """When the present step began."""
    settled_since: Time | None = None
    """Since when the canary's subset and endpoints have been there without a break, or, while
    rolling back, since when no traffic has been routed to it."""
    ramped_at: Time | None = None
    """When a ``ramp`` last raised the weight. Absent: the step is none."""
    ramped_weight: Annotated[float, Field(ge=0, le=100)] = 0
    """The greatest weight that the present ramp had come to, in percent."""
    ramped_ms: Annotated[int, Field(ge=0)] = 0
    """The newest sample that the weight of a ramp rests on, milliseconds on Prometheus' clock."""
    look_again_at: Time | None = None
    """When the controller looks again by itself."""
    ended_at: Time | None = None
    """When the run was over. Absent: it is in progress."""
    paused: Command | None = None
    """Who paused the run. Absent: nobody."""
    promoted_full: Command | None = None
    """Who sent the run straight to 100 percent. Absent: nobody."""
    approvals: Annotated[tuple[Decided, ...], Field(max_length=APPROVALS_MAX)] = ()
    """What people said to approvals, oldest first."""
    hooks: Annotated[tuple[HookResult, ...], Field(max_length=WEBHOOKS_MAX)] = ()
    """The newest answer of each webhook that was asked."""
    sent_on: Command | None = None
    """Who ended the present step while a webhook has yet to let the next one begin. Absent:
    nobody."""
    retreated: bool = False
    """True while the canary gets no traffic because it had no ready endpoint."""
    guarded: Annotated[tuple[GuardedField, ...], Field(max_length=2)] = ()
    """Fields of the canary subset's traffic policy that this run writes and takes off again: those
    of ``spec.guard`` that the subset did not have when the run began."""
    closed_since: Time | None = None
    """Since when a window, a freeze, a stop or ``spec.suspend`` keeps the canary from getting more.
    Absent: nothing of that kind does."""
    closed_ms: Annotated[int, Field(ge=0)] = 0
    """How long such times took before, in milliseconds: they do not count for ``maxDuration``."""
    unrouted_since: Time | None = None
    """Since when something keeps the routes from the step's weight: that time does not count for
    the step. Absent: nothing does."""
    ending: Ending | None = None
    """How it ends, once that is decided."""
    plan: Plan
    """What the run obeys, recorded at its start."""
    policies: Annotated[tuple[Word, ...], Field(max_length=POLICIES_MAX)] = ()
    """The policies that had a part in the plan, the nearest first."""
    gates: Annotated[tuple[GateStatus, ...], Field(max_length=16)] = ()
    """The gates' newest verdicts."""
    evidence: RunEvidence | None = None
    """What has been counted so far; a restart goes on from here."""


class PastRun(Model):
    """A run that is over."""

    id: Annotated[str, Field(max_length=20)]
    """The run."""
    revision: Word
    """The revision that was on trial."""
    stable_revision: Word = ""
    """The revision it was compared with."""
    host: Annotated[str, Field(max_length=253)] = ""
    """The mesh host it was a run of."""
    outcome: Outcome
    """How it ended."""
    because: Sentence
    """Why."""
    started_at: Time
    """When it began."""
    ended_at: Time
    """When it was over."""
    steps: Annotated[int, Field(ge=0)] = 0
    """How many steps of the ladder were reached."""
    max_weight: Annotated[float, Field(ge=0, le=100)] = 0
    """The greatest weight it had, in percent."""
    canary_requests: Annotated[int, Field(ge=0)] = 0
    """Requests the canary answered, as Prometheus saw."""
    canary_failures: Annotated[int, Field(ge=0)] = 0
    """Requests of the canary that failed, as Prometheus saw."""
    by: Word = ""
    """The person who ended it, if a person did."""


class Waiting(Model):
    """How long a revision that is wanted has been waiting to start."""

    since: Time
    """Since when. Who has waited longest starts first."""
    in_line_since: Time | None = None
    """Since when it stands in the line for a limit of runs at once. Absent: it stands in none."""


class RolloutStatus(Model):
    """Where a Rollout is and why."""

    observed_generation: Annotated[int, Field(ge=0)] = 0
    """The generation of the spec this status speaks of."""
    phase: Phase = Phase.PENDING
    """Where the Rollout is."""
    reason: Annotated[str, Field(max_length=128)] = ""
    """Why, in one CamelCase word."""
    message: Sentence = ""
    """What it is doing, because of what, until when."""
    host: Annotated[str, Field(max_length=253)] = ""
    """The mesh host that ``stableRevision`` speaks of; another in the spec is adopted anew."""
    stable_revision: Word = ""
    """The revision that has all traffic when no run is on."""
    stable_since: Time | None = None
    """When it became stable."""
    rejected_revision: Word = ""
    """A revision that was taken back; it runs again by Retry, or after another was wanted."""
    run: Run | None = None
    """The run in progress, or the last one."""
    waiting: Waiting | None = None
    """How long the revision that is wanted has been waiting to start. Absent: it is not waiting."""
    closed: Closed | None = None
    """What keeps a run from starting, or its canary from getting more. Absent: nothing does, or
    nothing is kept by it."""
    history: Annotated[tuple[PastRun, ...], Field(max_length=HISTORY_MAX)] = ()
    """The last runs, newest first."""
    retirable: Annotated[tuple[Word, ...], Field(max_length=16)] = ()
    """Revisions that get no traffic any more and are neither stable nor canary: safe to remove."""
    notes: Annotated[tuple[Note, ...], Field(max_length=NOTES_MAX)] = ()
    """What is worth knowing about routes and rules while the run goes on."""
    outbox: Annotated[tuple[Telling, ...], Field(max_length=OUTBOX_MAX)] = ()
    """Messages that somebody has not been told yet, oldest first."""
    told: Annotated[int, Field(ge=0)] = 0
    """The id of the newest message there was."""
    slack: Thread | None = None
    """Where the messages of the newest run stand in Slack."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=8)] = ()
    """Facts for other tools."""
