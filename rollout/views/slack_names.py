"""Sentences with Slack's own names in them, which become mentions: of those who matter, no others.

A sentence may quote anybody, so nobody is mentioned because a text says so: only who may approve,
and who has said something, by what the run itself records.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rollout.api.status import Run
from rollout.views.slack_text import escaped, group, person

_NAMED = re.compile(r"Slack (?:user|group) ([A-Z0-9]{2,32})\b|slack:([A-Z0-9]{2,32})\b")


def named(text: str, run: Run | None, *, length_max: int, by: str = "") -> str:
    """The text, escaped, with mentions in place of the ids of members and groups."""
    known = set(_known(run)) if run is not None else set()
    if by.startswith("slack:"):
        known.add(by.removeprefix("slack:"))

    def mention(found: re.Match[str]) -> str:
        name = found.group(1) or found.group(2)
        if name not in known:
            return found.group(0)
        return group(name) if name.startswith("S") else person(f"slack:{name}")

    # A mention is a few characters longer than the name it stands for.
    return _NAMED.sub(mention, escaped(text, length_max))


def _known(run: Run) -> Iterator[str]:
    for step in run.plan.strategy.steps:
        if step.approval is not None:
            yield from step.approval.approvers.slack_users
            yield from step.approval.approvers.slack_groups
    said = [run.paused, run.promoted_full, run.ending.command if run.ending else None]
    names = [decided.by for decided in run.approvals]
    names += [command.by for command in said if command is not None]
    yield from (name.removeprefix("slack:") for name in names if name.startswith("slack:"))
