"""Parts of sentences about a run that stays where it is."""

from __future__ import annotations

from rollout.api.match import Match
from rollout.api.status import Run
from rollout.engine import approvals
from rollout.engine import plan as plans
from rollout.engine.conclude import clock_time, in_line, percent
from rollout.engine.observation import Observation

APPROVAL = "WaitingForApproval"
"""The reason of a run that waits for people."""


WEBHOOK, WEBHOOK_HOLDS = "WaitingForWebhook", "WebhookFails"
"""The reasons of a run that waits for a webhook, and of one that a webhook's no holds."""


def share(run: Run) -> str:
    """What the canary gets, in words."""
    told = f"{percent(run.weight)} of {run.plan.host} goes to {run.canary_revision}"
    match, copied = plans.match_at(run.plan, run.step), plans.mirror_at(run.plan, run.step)
    if match is not None:
        told += f", and what matches {in_line(match_text(match))}"
    if copied:
        told += f", and copies of {percent(copied)}"
    return told


def match_text(match: Match) -> str:
    """A match in few words: the names of what is compared."""
    headers = [f"header {name}" for name in match.headers]
    return " and ".join([*headers, *(f"cookie {name}" for name in match.cookies)])


def where(run: Run) -> str:
    """Which step of how many, in brackets."""
    if run.step > run.step_count:
        return "(all steps done)"
    return f"(step {run.step} of {run.step_count})"


def approval(o: Observation, run: Run) -> str:
    """For whose approval the run waits, until when, and how to give it."""
    asked = approvals.asked_at(run.plan, run.step)
    assert asked is not None, "the step is an approval"
    given = approvals.given_count(run, run.step)
    count = f" by {asked.quorum} of" if asked.quorum > 1 else " by"
    have = f" ({given} so far: {approvals.who_approved(run, run.step)})" if given else ""
    then = f"waits for approval{count} {approvals.people(asked.approvers)}{have}"
    expires = approvals.expires_at(run)
    if expires is not None and expires > o.now:
        ends = "goes back" if asked.on_expiry == "Abort" else "is late"
        then += f"; {ends} at {clock_time(expires, now=o.now)}"
    elif expires is not None:
        then += f"; late since {clock_time(expires, now=o.now)}"
    return f"{then}: `rollout approve {o.key.name}`"
