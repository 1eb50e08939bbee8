"""The verbs that look: list, get, why, history."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import TypeVar

import typer
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from rollout.api.meta import ROLLOUT, Key, Manifest
from rollout.cli import terminal
from rollout.cli.place import Output, Place
from rollout.cli.selecting import Selection
from rollout.views import card, documents, sentences, subject, tables
from rollout.views import why as whys
from rollout.wiring import surveys
from rollout.wiring.client import Client, key_of

S = TypeVar("S")

REFRESH_SECONDS = 1.0
"""How often a live card is drawn though nothing happened: its ages and waits count seconds."""


def list_all(place: Place, *, everywhere: bool, selection: Selection, watch: bool) -> None:
    """``rollout list``."""
    act = _list_on if watch else _list
    asyncio.run(act(place, everywhere=everywhere, selection=selection))


async def _list(place: Place, *, everywhere: bool, selection: Selection) -> None:
    async with place.open() as client:
        all_there_are = await client.rollouts(everywhere=everywhere)
        found = [manifest for manifest in all_there_are if selection.takes(manifest)]
        if place.output is not None:
            terminal.objects(found, ROLLOUT, place.output)
        elif not found:
            typer.echo(_none(client, selection, everywhere=everywhere), err=True)
        else:
            piped = not sys.stdout.isatty()
            view = _table(client, found, terminal.console(), everywhere=everywhere, piped=piped)
            terminal.show(view, whole_lines=piped)


def _none(client: Client, selection: Selection, *, everywhere: bool) -> str:
    where = "the cluster" if everywhere else f"namespace {client.namespace}"
    return f"{where} has no Rollout{'' if selection.is_all else ' that is as asked for'}"


def _table(
    client: Client,
    found: Sequence[Manifest],
    console: Console,
    *,
    everywhere: bool,
    piped: bool = False,
) -> RenderableType:
    return tables.rollouts(
        [subject.read(manifest) for manifest in found],
        namespaces=everywhere,
        one_line=piped,
        now=client.clock.now(),
        glyphs=terminal.glyphs(console),
    )


async def _list_on(place: Place, *, everywhere: bool, selection: Selection) -> None:
    console = terminal.console()
    async with place.open() as client:
        calls = surveys.roll_calls(client, everywhere=everywhere)
        states = _selected(calls, selection)
        if place.output is not None or not console.is_terminal:
            await _list_lines(client, states, place.output)
            return

        def draw(found: Sequence[Manifest]) -> RenderableType:
            if not found:
                return Text(_none(client, selection, everywhere=everywhere))
            return _table(client, found, console, everywhere=everywhere)

        await _live(client, states, draw, console)


async def _selected(
    calls: AsyncGenerator[Mapping[Key, Manifest], None], selection: Selection
) -> AsyncGenerator[Sequence[Manifest], None]:
    async with contextlib.aclosing(calls) as states:
        async for known in states:
            yield [manifest for manifest in known.values() if selection.takes(manifest)]


async def _list_lines(
    client: Client, states: AsyncGenerator[Sequence[Manifest], None], output: Output | None
) -> None:
    """A line, or a document, for each Rollout that has changed, come or gone."""
    said: Mapping[Key, str] = {}
    async with contextlib.aclosing(states) as calls:
        async for found in calls:
            words = {key_of(one): sentences.line(subject.read(one)) for one in found}
            versions = {key_of(one): str(one["metadata"]["resourceVersion"]) for one in found}
            shown = words if output is None else versions
            for manifest in found:
                key = key_of(manifest)
                if said.get(key) == shown[key]:
                    continue
                if output is None:
                    typer.echo(f"{sentences.clock(client.clock.now())}  {key}  {words[key]}")
                else:
                    terminal.stream(documents.presented(manifest, ROLLOUT), output)
            for key in said.keys() - shown.keys() if output is None else ():
                typer.echo(f"{sentences.clock(client.clock.now())}  {key}  no longer in the list")
            said = shown


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
    """The card until it is deleted or Ctrl-C."""
    states = client.changes(manifest)
    await _live(client, states, lambda state: _card(client, state, console), console)
    typer.echo(f"{manifest['metadata']['name']} was deleted", err=True)


async def _live(
    client: Client,
    states: AsyncGenerator[S, None],
    draw: Callable[[S], RenderableType],
    console: Console,
) -> None:
    """A picture that is drawn again on each change and each second, while there are states."""
    newest: list[S] = []
    with Live(console=console, auto_refresh=False) as live:

        def refresh() -> None:
            if newest:
                live.update(draw(newest[-1]), refresh=True)

        async def tick() -> None:
            while True:
                refresh()
                await client.clock.sleep(REFRESH_SECONDS)

        async with asyncio.TaskGroup() as tasks:
            ticking = tasks.create_task(tick())
            async with contextlib.aclosing(states) as following:
                async for state in following:
                    newest[:] = [state]
                    refresh()
            ticking.cancel()


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
