"""Which Rollouts a list shows: by phase, by labels, by whether they wait for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import typer

from rollout.api.meta import Manifest
from rollout.api.phase import Phase
from rollout.api.reading import nearest
from rollout.base import errors
from rollout.views import asked, subject

_KEY = r"[A-Za-z0-9][-A-Za-z0-9_./]*"
_EQUALS = re.compile(rf"({_KEY})\s*(!=|==|=)\s*([-A-Za-z0-9_.]*)")
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([-A-Za-z0-9_.,\s]*)\)")
_THERE = re.compile(rf"(!?)\s*({_KEY})")
_COMMA = re.compile(r",(?![^(]*\))")
"""One that stands in no brackets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What a label must be.

    Attributes:
        key: the label.
        values: among which its value must be; empty: it must be there.
        negated: none of that must hold; then also a label that is absent will do.
    """

    key: str
    values: frozenset[str] = frozenset()
    negated: bool = False

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether labels are so."""
        there = self.key in labels
        fits = there and (not self.values or labels[self.key] in self.values)
        return fits is not self.negated


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which Rollouts are wanted; all that it says must hold.

    Attributes:
        phases: in one of them; empty: in any.
        waiting: only those that wait for people.
        labels: as kubectl's ``-l`` has them.
    """

    phases: Sequence[Phase] = ()
    waiting: bool = False
    labels: Sequence[Requirement] = ()

    @property
    def is_all(self) -> bool:
        """Whether everything is wanted."""
        return not (self.phases or self.waiting or self.labels)

    def takes(self, manifest: Manifest) -> bool:
        """Whether a Rollout is wanted."""
        seen = subject.read(manifest)
        own = manifest["metadata"].get("labels") or {}
        return (
            (not self.phases or seen.status.phase in self.phases)
            and (not self.waiting or asked.waits(seen))
            and all(requirement.holds(own) for requirement in self.labels)
        )


def phases(names: Sequence[str]) -> tuple[Phase, ...]:
    """The values of ``--phase``, in whatever case; another is wrong usage."""
    known = {phase.lower(): phase for phase in Phase}
    for name in names:
        if name.lower() not in known:
            near = nearest(name, list(Phase))
            remedy = f"did you mean {near}?" if near else f"use {', '.join(Phase)}"
            sentence = f"{name} is no phase; {remedy}"
            raise typer.BadParameter(sentence)
    return tuple(known[name.lower()] for name in names)


def of_option(selector: str) -> tuple[Requirement, ...]:
    """The value of ``-l``; one that cannot be read is wrong usage."""
    try:
        return requirements(selector)
    except errors.BadQuantity as error:
        raise typer.BadParameter(str(error)) from None


def requirements(selector: str) -> tuple[Requirement, ...]:
    """A label selector, as kubectl's ``-l`` takes it.

    Raises:
        BadQuantity: it is none.
    """
    return tuple(_requirement(part.strip()) for part in _COMMA.split(selector) if part.strip())


def _requirement(part: str) -> Requirement:
    if found := _EQUALS.fullmatch(part):
        key, sign, value = found.groups()
        return Requirement(key=key, values=frozenset({value}), negated=sign == "!=")
    if found := _SET.fullmatch(part):
        values = frozenset(value.strip() for value in found[3].split(","))
        return Requirement(key=found[1], values=values, negated=found[2] == "notin")
    if found := _THERE.fullmatch(part):
        return Requirement(key=found[2], negated=bool(found[1]))
    raise errors.BadQuantity(
        part, wanted="a label selector such as team=a,tier!=db or 'a in (b,c)'"
    )
