"""``rollout freeze`` and ``rollout thaw``: what they stop, and what they let go on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import typer

from rollout.api.meta import Manifest
from rollout.base import errors
from rollout.base.quantity import parse_duration, print_percent
from rollout.cli import terminal
from rollout.cli.place import Place
from rollout.views import policies as views
from rollout.views import subject
from rollout.wiring import freezing
from rollout.wiring.client import Client, key_of
from rollout.wiring.freezing import Reach

NAMED_COUNT_MAX = 5
"""Runs that are named; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is the same for both verbs.

    Attributes:
        cluster: the whole cluster, and not a namespace.
        dry_run: nothing is written.
    """

    cluster: bool
    dry_run: bool


def freeze(place: Place, asked: Asked, *, reason: str, until: str) -> None:
    """``rollout freeze``."""
    asyncio.run(_freeze(place, asked, reason=reason, until=until))


def thaw(place: Place, asked: Asked) -> None:
    """``rollout thaw``."""
    asyncio.run(_thaw(place, asked))


async def _freeze(place: Place, asked: Asked, *, reason: str, until: str) -> None:
    async with place.open() as client:
        reach, now = _reach(client, asked), client.clock.now()
        end = _moment(until, now=now) if until else None
        before = await freezing.present(client, reach)
        after = freezing.frozen(before, reach, reason=reason, until=end, now=now)
        if not asked.dry_run:
            after = await freezing.write(client, reach, before, after)
        if place.output is not None:
            terminal.an_object(after, reach.kind, place.output)
            return
        lasts = (
            f"until {end.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if end else "until somebody thaws it"
        )
        typer.echo(f"{_would(asked)}nothing starts or increases in {reach.where} {lasts}: {reason}")
        for line in await _stopped(client, asked):
            typer.echo(line)
        typer.echo("gates go on judging; abort and rollback work as ever")
        typer.echo(f"end it with: rollout thaw {reach.option}")


async def _thaw(place: Place, asked: Asked) -> None:
    async with place.open() as client:
        reach, now = _reach(client, asked), client.clock.now()
        before = await freezing.present(client, reach)
        if before is None or not freezing.is_on(before, now=now):
            others = await _others(client, now=now)
            told = f"; what is frozen is so by {others}" if others else ""
            raise errors.OutOfPlace(
                subject=f"{reach.kind.kind} {reach.key}",
                why=f"no freeze of {reach.where} is on{told}",
                remedy="`rollout policies` shows all",
            )
        after = freezing.thawed(before, now=now)
        if not asked.dry_run and after is None:
            await freezing.remove(client, reach)
        elif not asked.dry_run and after is not None:
            after = await freezing.write(client, reach, before, after)
        if place.output is not None:
            terminal.an_object(after or before, reach.kind, place.output)
            return
        typer.echo(f"{_would(asked)}runs in {reach.where} go on where they stopped")
        others = await _others(client, now=now, but=before)
        if others:
            typer.echo(f"still frozen by {others}")


def _reach(client: Client, asked: Asked) -> Reach:
    return Reach(namespace="" if asked.cluster else client.namespace)


def _would(asked: Asked) -> str:
    return "dry run, nothing is written: " if asked.dry_run else ""


async def _stopped(client: Client, asked: Asked) -> Sequence[str]:
    """What a freeze stops now: runs in progress, and revisions that wait."""
    try:
        rollouts = await client.rollouts(everywhere=asked.cluster)
    except errors.Denied:
        return ("which runs that stops cannot be told: you may not read them",)
    seen = [subject.read(manifest) for manifest in rollouts]
    staying = [(one, one.active) for one in seen]
    held = [
        f"{one.key} at {print_percent(run.weight)} %"
        for one, run in staying
        if run is not None and run.weight < 100
    ]
    waiting = [
        f"{one.key} to {one.revision}"
        for one in seen
        if one.active is None and one.status.waiting is not None
    ]
    told = []
    if held:
        told.append(f"these runs stay where they are: {_listed(held)}")
    if waiting:
        told.append(f"these do not start: {_listed(waiting)}")
    return told or ["no run is in progress or about to start"]


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - NAMED_COUNT_MAX
    return ", ".join(names[:NAMED_COUNT_MAX]) + (f" and {rest} more" if rest > 0 else "")


async def _others(client: Client, *, now: datetime, but: Manifest | None = None) -> str:
    """Other policies that freeze or stop something here now."""
    found = await freezing.policies(client, everywhere=False)
    shown = views.shown(found.manifests, ())
    mine = None if but is None else key_of(but)
    on = [one.policy for one in shown if views.closes(one, now=now) and one.policy.key != mine]
    return " and ".join(str(policy) for policy in on)


def _moment(text: str, *, now: datetime) -> datetime:
    """An end that is a time with a zone, or a duration from now on.

    Raises:
        BadManifest: it is neither, or has passed.
    """
    remedy = "use a time with a zone such as 2027-01-02T00:00:00Z, or a duration such as 8h"
    try:
        found = now + timedelta(seconds=parse_duration(text))
    except errors.BadQuantity:
        try:
            found = datetime.fromisoformat(text)
        except ValueError as error:
            raise errors.BadManifest(
                field="--until", problem=f"is {text!r}", remedy=remedy
            ) from error
    if found.tzinfo is None:
        raise errors.BadManifest(field="--until", problem=f"is {text!r}", remedy=remedy)
    if found <= now:
        raise errors.BadManifest(
            field="--until", problem=f"is {text!r}, which has passed", remedy="use a later time"
        )
    return found
