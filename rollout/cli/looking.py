"""The verbs that look: list, get, why, history."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys

import typer
from rich.console import Console, RenderableType
from rich.live import Live

from rollout.api.meta import ROLLOUT, Manifest
from rollout.cli import terminal
from rollout.cli.place import Output, Place
from rollout.views import card, documents, sentences, subject, tables
from rollout.views import why as whys
from rollout.wiring.client import Client

REFRESH_SECONDS = 1.0
"""How often a live card is drawn though nothing happened: its ages and waits count seconds."""


def list_all(place: Place, *, everywhere: bool) -> None:
    """``rollout list``."""
    asyncio.run(_list(place, everywhere=everywhere))


async def _list(place: Place, *, everywhere: bool) -> None:
    async with place.open() as client:
        found = await client.rollouts(everywhere=everywhere)
        if place.output is not None:
            terminal.objects(found, ROLLOUT, place.output)
        elif not found:
            where = "the cluster" if everywhere else f"namespace {client.namespace}"
            typer.echo(f"{where} has no Rollout", err=True)
        else:
            piped = not sys.stdout.isatty()
            view = tables.rollouts(
                [subject.read(manifest) for manifest in found],
                namespaces=everywhere,
                one_line=piped,
                now=client.clock.now(),
                glyphs=terminal.glyphs(terminal.console()),
            )
            terminal.show(view, whole_lines=piped)


def get(place: Place, name: str, *, watch: bool) -> None:
    """``rollout get``."""
    asyncio.run(_get(place, name, watch=watch))


async def _get(place: Place, name: str, *, watch: bool) -> None:
    async with place.open() as client:
        manifest = await client.rollout(name)
        if watch:
            await _watch(client, manifest, place.output)
        elif place.output is not None:
            terminal.an_object(manifest, ROLLOUT, place.output)
        else:
            terminal.show(_card(client, manifest, terminal.console()))


def _card(client: Client, manifest: Manifest, console: Console) -> RenderableType:
    glyphs = terminal.glyphs(console)
    return card.card(subject.read(manifest), now=client.clock.now(), glyphs=glyphs)


async def _watch(client: Client, manifest: Manifest, output: Output | None) -> None:
    console = terminal.console()
    if output is None and console.is_terminal:
        await _watch_live(client, manifest, console)
        return
    said = ""
    async with contextlib.aclosing(client.changes(manifest)) as states:
        async for state in states:
            if output is not None:
                terminal.stream(documents.presented(state, ROLLOUT), output)
                continue
            words = sentences.line(subject.read(state))
            if words != said:
                typer.echo(f"{sentences.clock(client.clock.now())}  {words}")
                said = words
    typer.echo(f"{manifest['metadata']['name']} was deleted", err=True)


async def _watch_live(client: Client, manifest: Manifest, console: Console) -> None:
    """The card, drawn again on each change and each second, until it is deleted or Ctrl-C."""
    newest = manifest
    with Live(console=console, auto_refresh=False) as live:

        def draw() -> None:
            live.update(_card(client, newest, console), refresh=True)

        async def tick() -> None:
            for _ in itertools.count():
                draw()
                await client.clock.sleep(REFRESH_SECONDS)

        async with asyncio.TaskGroup() as tasks:
            ticking = tasks.create_task(tick())
            async with contextlib.aclosing(client.changes(manifest)) as states:
                async for state in states:
                    newest = state
                    draw()
            ticking.cancel()
    typer.echo(f"{manifest['metadata']['name']} was deleted", err=True)


def why(place: Place, name: str) -> None:
    """``rollout why``."""
    asyncio.run(_why(place, name))


async def _why(place: Place, name: str) -> None:
    async with place.open() as client:
        manifest = await client.rollout(name)
        if place.output is not None:
            terminal.an_object(manifest, ROLLOUT, place.output)
        else:
            terminal.show(whys.why(subject.read(manifest), now=client.clock.now()))


def history(place: Place, name: str) -> None:
    """``rollout history``."""
    asyncio.run(_history(place, name))


async def _history(place: Place, name: str) -> None:
    async with place.open() as client:
        manifest = await client.rollout(name)
        seen = subject.read(manifest)
        if place.output is not None:
            runs = [past.model_dump(mode="json") for past in seen.status.history]
            terminal.dump(runs, place.output)
        elif not seen.status.history:
            typer.echo(f"{seen.key} has had no run that is over", err=True)
        else:
            glyphs = terminal.glyphs(terminal.console())
            terminal.show(tables.history(seen, now=client.clock.now(), glyphs=glyphs))
