"""Policies for the terminal: what each is for, who uses it, and what it keeps from moving now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from rollout.api import merging, reading
from rollout.api.merging import Policy
from rollout.api.meta import Key, Manifest
from rollout.api.policy import PolicySpec
from rollout.base.errors import BadManifest
from rollout.views import documents, sentences, tables
from rollout.views.tables import BELOW

USERS_MAX = 3
"""Rollouts that are named in a row; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A policy and who uses it.

    Attributes:
        policy: as it is written.
        spec: as it is read; None when it cannot be.
        problem: why not, with the remedy; empty when it can.
        users: the Rollouts for whose plans it has a say, in order.
    """

    policy: Policy
    spec: PolicySpec | None
    problem: str
    users: tuple[Key, ...]

    @property
    def what(self) -> str:
        """What it is for, in a sentence; empty when it does not say."""
        found = self.policy.spec.get("description")
        return " ".join(found.split()) if isinstance(found, str) else ""

    def for_programs(self) -> Manifest:
        """What a program may want to know of it."""
        key = self.policy.key
        return {
            "kind": self.policy.kind,
            **({"namespace": key.namespace} if key.namespace else {}),
            "name": key.name,
            "description": self.what,
            "appliesTo": "All" if self.policy.is_for_all else "Named",
            "rollouts": [str(user) for user in self.users],
            **({"problem": self.problem} if self.problem else {}),
            "spec": self.policy.spec,
        }


def shown(policies: Sequence[Manifest], rollouts: Sequence[Manifest]) -> tuple[Shown, ...]:
    """Policies with their users: those of a namespace first, then the cluster's, by name."""
    known = [merging.policy_of(manifest) for manifest in policies]
    users: dict[tuple[str, Key], list[Key]] = {}
    for rollout in rollouts:
        metadata, spec = rollout["metadata"], rollout.get("spec") or {}
        key = Key(metadata.get("namespace", ""), metadata["name"])
        for policy in merging.ruling(spec, known, namespace=key.namespace):
            users.setdefault((policy.kind, policy.key), []).append(key)
    found = [
        _shown(manifest, tuple(sorted(users.get((one.kind, one.key), ()))))
        for manifest, one in zip(policies, known, strict=True)
    ]
    return tuple(sorted(found, key=lambda s: (not s.policy.key.namespace, s.policy.key)))


def _shown(manifest: Manifest, users: tuple[Key, ...]) -> Shown:
    policy = merging.policy_of(manifest)
    try:
        spec, problem = reading.read_policy(manifest), ""
    except BadManifest as error:
        spec, problem = None, str(error)
    return Shown(policy=policy, spec=spec, problem=problem, users=users)


def table(policies: Sequence[Shown], *, now: datetime) -> RenderableType:
    """Policies in rows, each with its sentence below."""
    titles = ["NAME", "KIND", "FOR", "USED BY", "NOW"]
    lines = tables.aligned(titles, [_row(one, now=now) for one in policies])
    return Group(*_interleaved(lines, policies))


def _interleaved(lines: Sequence[Text], policies: Sequence[Shown]) -> Iterator[RenderableType]:
    yield lines[0]
    for line, one in zip(lines[1:], policies, strict=True):
        yield line
        told = one.problem or one.what
        if told:
            style = "red" if one.problem else ""
            yield Padding(Text(sentences.sentence(told), style=style), BELOW)


def _row(one: Shown, *, now: datetime) -> list[Text]:
    key = one.policy.key
    return [
        Text(str(key), style="bold"),
        Text(one.policy.kind),
        Text("all" if one.policy.is_for_all else "named"),
        Text(users_told(one.users)),
        Text(acts_now(one, now=now), style="yellow" if closes(one, now=now) else ""),
    ]


def users_told(users: Sequence[Key]) -> str:
    """Rollouts in few words."""
    if not users:
        return "-"
    names = [str(user) for user in users[:USERS_MAX]]
    rest = len(users) - len(names)
    return ", ".join(names) + (f" and {rest} more" if rest else "")


def closes(one: Shown, *, now: datetime) -> bool:
    """Whether it stops or freezes anybody now; a window that is closed is not looked for."""
    if one.spec is None:
        return False
    freezes = one.spec.windows.freeze
    return one.spec.stop is not None or any(
        (f.from_ is None or f.from_ <= now) and now < f.until for f in freezes
    )


def acts_now(one: Shown, *, now: datetime) -> str:
    """What it does at once to all Rollouts it reaches, in few words."""
    if one.spec is None:
        return "cannot be read"
    told = []
    if one.spec.stop is not None:
        told.append("stopped")
    told += [
        f"frozen until {f.until:%Y-%m-%d %H:%M} UTC"
        for f in one.spec.windows.freeze
        if (f.from_ is None or f.from_ <= now) and now < f.until
    ]
    told += [
        f"freeze from {f.from_:%Y-%m-%d %H:%M} UTC"
        for f in one.spec.windows.freeze
        if f.from_ is not None and now < f.from_
    ]
    if one.spec.windows.allow:
        told.append("windows")
    if one.spec.limits.runs_at_once is not None:
        told.append(f"{sentences.plural(one.spec.limits.runs_at_once, 'run')} at once")
    return ", ".join(told) or "-"


def card(one: Shown, *, now: datetime) -> RenderableType:
    """One policy whole: what it is for, who uses it, what it says."""
    title = Text(str(one.policy.key), style="bold")
    title.append(f"  {one.policy.kind}", style="default")
    lines: list[RenderableType] = [title]
    told = one.problem or one.what
    if told:
        lines.append(Text(sentences.sentence(told), style="red" if one.problem else ""))
    reach = "every Rollout it reaches" if one.policy.is_for_all else "Rollouts that name it"
    lines += [
        Text(),
        Text.assemble(("for      ", "dim"), reach),
        Text.assemble(("used by  ", "dim"), ", ".join(str(user) for user in one.users) or "nobody"),
        Text.assemble(("now      ", "dim"), acts_now(one, now=now)),
        Text(),
        Text(documents.as_yaml(_said(one.policy.spec)).rstrip("\n")),
    ]
    return Group(*lines)


def _said(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """What it says, without what was told already."""
    return {name: value for name, value in spec.items() if name not in {"description", "appliesTo"}}
