"""Where a Rollout can be, how a run can end, and which conditions say so."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """Where a Rollout is."""

    PENDING = "Pending"
    """A new revision waits for permission to start."""
    STABLE = "Stable"
    """The wanted revision takes all traffic."""
    PREPARING = "Preparing"
    """A run has begun; the canary's subset and endpoints are made sure of, no traffic has moved."""
    PROGRESSING = "Progressing"
    """The canary takes a share of the traffic and is judged."""
    WAITING = "Waiting"
    """A pause step or a person's pause holds the run; gates go on judging."""
    PROMOTING = "Promoting"
    """The canary takes all traffic, and the last step is not over."""
    BAKING = "Baking"
    """All steps are done; gates watch the canary at 100 percent for a while longer."""
    ROLLING_BACK = "RollingBack"
    """Traffic is on its way back to the stable revision."""
    ROLLED_BACK = "RolledBack"
    """The last run was taken back; its revision does not run again unless told to."""
    BLOCKED = "Blocked"
    """Something outside must be mended first; the message says what and by whom."""
    INVALID = "Invalid"
    """The Rollout itself is wrong; the message names the field and the remedy."""


class Outcome(StrEnum):
    """How a run ended."""

    PROMOTED = "Promoted"
    """The canary became the stable revision."""
    ROLLED_BACK = "RolledBack"
    """A gate failed, the deadline passed, or the revision was set back."""
    ABORTED = "Aborted"
    """A person ended it."""
    SUPERSEDED = "Superseded"
    """A newer revision took its place."""
    DELETED = "Deleted"
    """The Rollout was deleted in mid-run."""


class ConditionType(StrEnum):
    """The conditions a Rollout shows."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    TRAFFIC_MATCHES = "TrafficMatches"
    METRICS_AVAILABLE = "MetricsAvailable"
