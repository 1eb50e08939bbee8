"""Approvals: who may say yes, who has, and whether that is enough.

One function decides who may, whatever tool a command came by. Slack names are believed only where
the controller itself has put them there: the admission policy keeps everybody else from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from rollout.api.action import ActionSpec, Verb
from rollout.api.rollout import Plan
from rollout.api.status import APPROVALS_MAX, Command, Decided, Run
from rollout.api.step import Approval, Approvers
from rollout.base.quantity import parse_duration
from rollout.engine.observation import Observation

SLACK = "slack"
"""How a command says that it came by Slack, and what names of Slack's begin with."""

REASON_LENGTH_MAX = 128


def asked_at(plan: Plan, step: int) -> Approval | None:
    """The approval that a step, counted from 1, asks for; None: it asks for none."""
    return plan.strategy.steps[step - 1].approval if 0 < step <= len(plan.strategy.steps) else None


def ahead(run: Run) -> list[int]:
    """The steps that still wait for people before 100 percent, the present one among them."""
    steps = range(max(1, run.step), len(run.plan.strategy.steps) + 1)
    return [s for s in steps if asks(run, s)]


def is_given(run: Run, step: int) -> bool:
    """Whether enough people have approved a step."""
    asked = asked_at(run.plan, step)
    return asked is not None and given_count(run, step) >= asked.quorum


def asks(run: Run, step: int) -> bool:
    """Whether a step still waits for people."""
    return asked_at(run.plan, step) is not None and not is_given(run, step)


def given_count(run: Run, step: int) -> int:
    """How many different people have approved a step, at least.

    Two names may be one person: a member of Slack whom the API server knows by another name, or
    one with a prefix. So those count together whom the approvers name as users; of the others those
    who came by Slack, or those who did not, whichever are more.
    """
    asked = asked_at(run.plan, step)
    users = {name.casefold() for name in asked.approvers.users} if asked is not None else set()
    no = {d.by.casefold() for d in run.approvals if d.step == step and d.verdict == "Rejected"}
    yes = {
        (d.by.casefold(), d.via == SLACK)
        for d in run.approvals
        if d.step == step and d.verdict == "Approved" and d.by.casefold() not in no
    }
    named = {name for name, _ in yes if name in users}
    by_slack = {name for name, is_slack in yes if is_slack}
    others = {name for name, is_slack in yes if not is_slack}
    return max(len(named), len(by_slack), len(others))


def may(approvers: Approvers, spec: ActionSpec) -> bool:
    """Whether whoever gave a command is one of the approvers."""
    if spec.actor in approvers.users:
        return True
    if spec.via != SLACK:
        return any(group in approvers.groups for group in spec.groups)
    ids = {group.removeprefix(f"{SLACK}:") for group in spec.groups}
    return bool(ids & {*approvers.slack_users, *approvers.slack_groups})


def people(approvers: Approvers) -> str:
    """Who may approve, in words; few of many."""
    named = [
        *approvers.users,
        *(f"group {group}" for group in approvers.groups),
        *(f"Slack user {member}" for member in approvers.slack_users),
        *(f"Slack group {group}" for group in approvers.slack_groups),
    ]
    shown = named[:SHOWN_COUNT_MAX]
    more = len(named) - len(shown)
    return ", ".join(shown) + (f" or one of {more} more" if more else "")


SHOWN_COUNT_MAX = 5
"""Approvers that a sentence names."""


def with_decision(run: Run, step: int, command: Command, *, approves: bool) -> Run:
    """The run, with what a person said to a step's approval."""
    decided = Decided(
        step=step,
        verdict="Approved" if approves else "Rejected",
        by=command.by,
        via=command.via,
        at=command.at,
        reason=command.reason[:REASON_LENGTH_MAX],
    )
    return run.model_copy(update={"approvals": (*run.approvals, decided)[-APPROVALS_MAX:]})


def has_said(run: Run, step: int, by: str, *, approves: bool) -> bool:
    """Whether a person has said the same to a step before."""
    verdict = "Approved" if approves else "Rejected"
    return any(d.step == step and d.by == by and d.verdict == verdict for d in run.approvals)


def expires_at(run: Run) -> datetime | None:
    """When the present step's approval comes too late; None: never, or nothing waits for one."""
    asked = asked_at(run.plan, run.step)
    if asked is None or asked.expires_after is None or is_given(run, run.step):
        return None
    return run.step_started_at + timedelta(seconds=parse_duration(asked.expires_after))


def was_answered(o: Observation, run: Run, *, by: datetime) -> bool:
    """Whether somebody has said yes or no in time, and nobody was there to hear it."""
    said = (a for a in o.actions if a.given_at is not None and a.given_at <= by)
    return any(
        a.spec is not None
        and a.spec.verb in {Verb.APPROVE, Verb.REJECT}
        and (a.spec.run, a.spec.step) == (run.id, run.step)
        for a in said
    )


def who_approved(run: Run, step: int) -> str:
    """Those who have approved a step, in words; empty: nobody has."""
    return listed(d.by for d in run.approvals if d.step == step and d.verdict == "Approved")


def listed(names: Iterable[str]) -> str:
    """Names, each once."""
    return ", ".join(dict.fromkeys(names))
