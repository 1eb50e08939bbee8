"""Steps: the ladder a run climbs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rollout.api.gate import Duration, Name
from rollout.api.match import Match
from rollout.api.meta import Model

STEPS_MAX = 50
"""Rungs per ladder: a longer one is a ramp written by hand."""


class Pause(Model):
    """Wait at the present weight."""

    for_: Annotated[Duration | None, Field(alias="for")] = None
    """How long. Absent: until somebody says ``promote``."""


class Check(Model):
    """Stay at the present weight until gates pass."""

    gates: Annotated[tuple[Name, ...], Field(min_length=1, max_length=16)]
    """Names of the gates that must pass."""
    for_: Annotated[Duration | None, Field(alias="for")] = None
    """The least time to stay. Absent: until the gates pass."""


class Ramp(Model):
    """Let evidence set the weight: it grows as fast as a budget of failed requests allows.

    The canary begins with so little that the budget pays for all of it failing, and gets more as
    its own requests show that it fails less. It never gets less: a canary that is bad goes back.
    The step ends at ``maxWeight`` when a regression of ``judge.provenRatio`` is ruled out.
    """

    max_weight: Annotated[float, Field(ge=0.1, le=99)] = 50
    """Percent of the traffic at which the ramp ends; there must be a stable revision to compare
    with, so less than all."""
    risk_budget_requests: Annotated[float, Field(ge=1, le=1_000_000_000)] = 30
    """How many requests may fail before a bad canary is taken back, if it is bad from its start."""
    min_hold: Duration = "1m"
    """The least time to stay at ``maxWeight``."""


ChatId = Annotated[str, Field(min_length=2, max_length=32, pattern=r"^[A-Z][A-Z0-9]+$")]
"""How Slack names a user or a user group for ever: ``U0123ABCD``; names there may change."""

Person = Annotated[str, Field(min_length=1, max_length=253)]


class Approvers(Model):
    """Who may approve: anybody whom one of the lists names."""

    slack_users: Annotated[tuple[ChatId, ...], Field(max_length=50)] = ()
    """Member ids of Slack, such as U0123ABCD."""
    slack_groups: Annotated[tuple[ChatId, ...], Field(max_length=20)] = ()
    """Ids of Slack's user groups, such as S0123ABCD."""
    users: Annotated[tuple[Person, ...], Field(max_length=50)] = ()
    """User names as the API server knows them; the e-mail of a Slack user counts too."""
    groups: Annotated[tuple[Person, ...], Field(max_length=20)] = ()
    """Groups as the API server knows them."""


class Approval(Model):
    """Wait at the present weight until people approve; the gates go on judging."""

    approvers: Approvers
    """Who may; at least one of its lists names somebody."""
    quorum: Annotated[int, Field(ge=1, le=20)] = 1
    """How many different people must approve. One who rejects ends the run."""
    expires_after: Duration | None = None
    """How long it may take. Absent: as long as the run may."""
    on_expiry: Literal["Abort", "Hold"] = "Abort"
    """What to do then: end the run, or wait on until somebody decides."""


class Step(Model):
    """One rung of the ladder: a weight, match, mirror, ramp, pause, approval or check."""

    weight: Annotated[float, Field(ge=0.01, le=100)] | None = None
    """Percent of the traffic that goes to the canary; may be fractional, and never falls."""
    match: Match | None = None
    """Requests that match go to the canary, beside the weights, until another ``match`` or the end.
    ``match: {}`` ends it. Http routes only."""
    mirror: Annotated[float, Field(ge=0.01, le=100)] | None = None
    """Copies of so many percent of the requests go to the canary, whose answers nobody gets, until
    the next step with a weight. The gates judge the copies. Http routes only."""
    ramp: Ramp | None = None
    """The weight grows with the evidence, up to a maximum. It comes after lower weights."""
    hold: Duration | None = None
    """With ``weight``, ``match`` or ``mirror``: the least time to stay; the step ends when also
    every gate passes. Absent: the step ends as soon as the gates pass."""
    pause: Pause | None = None
    """Wait, for a time or for ``promote``. ``pause: {}`` waits for ``promote``."""
    approval: Approval | None = None
    """Wait until people approve. Nothing passes it but them."""
    check: Check | None = None
    """Stay at the present weight until the named gates pass."""

    @property
    def top_weight(self) -> float | None:
        """The weight the canary has at the step's end, in percent; None: the step names none."""
        return self.ramp.max_weight if self.ramp is not None else self.weight


STEP_KINDS = ("weight", "match", "mirror", "ramp", "pause", "approval", "check")
"""The fields of `Step` of which exactly one is given."""


class Strategy(Model):
    """The ladder, and what frames it."""

    steps: Annotated[tuple[Step, ...], Field(max_length=STEPS_MAX)] = (
        Step(weight=5, hold="2m"),
        Step(weight=25, hold="2m"),
        Step(weight=50, hold="2m"),
        Step(weight=100),
    )
    """The rungs, in order; weights rise. A run ends with 100 percent whether or not the ladder
    says so. Absent: 5, 25 and 50 percent for two minutes each, then all."""
    bake: Duration = "5m"
    """How long gates go on judging after 100 percent, at least, and until they pass; a failure
    still rolls back. ``0s``: not."""
    max_duration: Duration = "6h"
    """How long a run may take, from its start to 100 percent; then ``onDeadline``."""
    on_deadline: Literal["Rollback", "Hold"] = "Rollback"
    """What to do when ``maxDuration`` has passed."""
    undo_window: Duration = "24h"
    """How long after it was stable a revision may be gone back to at once, by ``undo``."""
