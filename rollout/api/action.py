"""RolloutAction: how a person, a chat or a pipeline commands a run."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from rollout.api.meta import Model, Time


class Verb(StrEnum):
    """What can be commanded."""

    PROMOTE = "Promote"
    """End a hold, a pause or an unknown of the named step; never past a failing gate."""
    PROMOTE_FULL = "PromoteFull"
    """Go to 100 percent at once and keep the bake."""
    ABORT = "Abort"
    """Take all traffic back, whatever the state."""
    PAUSE = "Pause"
    """Stay at the present weight until Resume."""
    RESUME = "Resume"
    """End a Pause."""
    RETRY = "Retry"
    """Run the revision of the named, finished run once more."""
    APPROVE = "Approve"
    """Say yes to the approval that is the named step."""
    REJECT = "Reject"
    """Say no to it: the run ends."""


class ActionOutcome(StrEnum):
    """What came of a command."""

    APPLIED = "Applied"
    IGNORED = "Ignored"
    REFUSED = "Refused"


class ActionSpec(Model):
    """A command; it names the run, and where it matters the step, so a late one does nothing."""

    rollout: Annotated[str, Field(min_length=1, max_length=253)]
    """The Rollout's name; it is in the same namespace."""
    run: Annotated[str, Field(min_length=1, max_length=20)]
    """The run that is meant: ``status.run.id``."""
    step: Annotated[int, Field(ge=0, le=100)] | None = None
    """The step that is meant: needed for Promote, Resume, Approve and Reject."""
    verb: Verb
    """What to do."""
    actor: Annotated[str, Field(min_length=1, max_length=253)]
    """Who says so: the user name as the API server knows it, or the e-mail of a Slack user, or
    ``slack:`` with the member id of one."""
    groups: Annotated[tuple[Annotated[str, Field(max_length=253)], ...], Field(max_length=64)] = ()
    """Groups of the actor; of a Slack user ``slack:`` with the member id and with the ids of the
    user groups."""
    sequence: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    """Tells two equal commands of one person apart."""
    via: Annotated[str, Field(max_length=63)] = ""
    """The tool it was said with."""
    reason: Annotated[str, Field(max_length=1024)] = ""
    """Why, in the person's words."""


class ActionStatus(Model):
    """The answer to a command."""

    outcome: ActionOutcome
    """Applied, Ignored (too late, or nothing to do) or Refused (not allowed)."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """The answer in a sentence."""
    at: Time
    """When it was answered."""


def action_name(spec: ActionSpec, *, uid: str) -> str:
    """The name under which a command is created: saying the same thing twice is a conflict."""
    said = "\n".join((uid, spec.run, str(spec.step), spec.verb, spec.actor, str(spec.sequence)))
    return f"{spec.rollout[:236]}-{hashlib.sha256(said.encode()).hexdigest()[:16]}"
