"""``rollout policies``: what each is for, and who uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import typer

from rollout.api.meta import CLUSTER_ROLLOUT_POLICY, ROLLOUT_POLICY, Manifest
from rollout.api.reading import nearest
from rollout.base import errors
from rollout.cli import terminal
from rollout.cli.place import Place
from rollout.views import policies as views
from rollout.views.policies import Shown
from rollout.wiring import freezing
from rollout.wiring.client import key_of


def show(place: Place, name: str, *, everywhere: bool) -> None:
    """``rollout policies``."""
    asyncio.run(_show(place, name, everywhere=everywhere))


async def _show(place: Place, name: str, *, everywhere: bool) -> None:
    async with place.open() as client:
        found = await freezing.policies(client, everywhere=everywhere)
        users = await client.rollouts(everywhere=everywhere)
        if found.unread:
            typer.echo(f"those of the cluster are not shown: {found.unread}", err=True)
        shown = views.shown(found.manifests, users)
        if name:
            _one(place, shown, found.manifests, name, now=client.clock.now())
        elif place.output is not None:
            terminal.dump([one.for_programs() for one in shown], place.output)
        elif not shown:
            where = "the cluster" if everywhere else f"namespace {client.namespace}"
            typer.echo(f"there is no policy for {where}", err=True)
        else:
            terminal.show(views.table(shown, now=client.clock.now()), whole_lines=True)


def _one(
    place: Place,
    shown: Sequence[Shown],
    manifests: Sequence[Manifest],
    name: str,
    *,
    now: datetime,
) -> None:
    """The nearest policy of a name: of the namespace, else of the cluster."""
    one = next((one for one in shown if one.policy.key.name == name), None)
    if one is None:
        near = nearest(name, [one.policy.key.name for one in shown])
        remedy = f"did you mean {near}?" if near else "`rollout policies -A` shows all"
        raise errors.UnknownName(what=f"the policy {name}", remedy=remedy)
    if place.output is None:
        terminal.show(views.card(one, now=now))
        return
    kind = ROLLOUT_POLICY if one.policy.key.namespace else CLUSTER_ROLLOUT_POLICY
    manifest = next(m for m in manifests if key_of(m) == one.policy.key)
    terminal.an_object(manifest, kind, place.output)
