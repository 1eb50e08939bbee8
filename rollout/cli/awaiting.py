"""``rollout get --wait``: what a pipeline does until a revision is decided, and its exit status."""

from __future__ import annotations

import asyncio
import contextlib
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import typer

from rollout.api.meta import ROLLOUT, Manifest
from rollout.api.phase import Phase
from rollout.base import errors
from rollout.base.quantity import parse_duration
from rollout.cli import terminal
from rollout.cli.place import Place
from rollout.views import asked, awaited, sentences, subject
from rollout.views.awaited import Awaited, Fate, Told
from rollout.wiring.client import Client

STATUSES: Mapping[Fate, int] = MappingProxyType(
    {
        Fate.PROMOTED: 0,
        Fate.ROLLED_BACK: 10,
        Fate.ABORTED: 11,
        Fate.SUPERSEDED: 12,
        Fate.STUCK: 13,
        Fate.UNDECIDED: 14,
    }
)
"""Exit statuses; pipelines rely on them, so they never change."""

BLOCKED_SECONDS = 60.0
"""How long something may stand in the way: what a pipeline applies comes piece by piece."""

REMIND_SECONDS = 300.0
"""How long nothing is printed at most: many pipelines end a job that is silent for ten minutes."""

WIDTH_COUNT = 80
"""Columns of what is printed last."""


@dataclass(slots=True, kw_only=True)
class Log:
    """The lines of progress.

    Attributes:
        client: tells the time.
        aside: the lines go to standard error, since an object goes to standard output.
        heading: what is printed before the first of them.
        newest: the newest state.
        mark: of the line that was printed last.
        printed_seconds: when it was.
    """

    client: Client
    aside: bool
    heading: str
    newest: Manifest
    mark: tuple[object, ...] = ()
    printed_seconds: float = 0.0

    def see(self, state: Manifest) -> None:
        """Know a newer state."""
        self.newest = state

    def tell(self) -> None:
        """Print a line if something has changed, or nothing was printed for long."""
        seen, now = subject.read(self.newest), self.client.clock.monotonic_seconds()
        mark = awaited.mark(seen)
        if mark == self.mark and now < self.printed_seconds + REMIND_SECONDS:
            return
        if not self.mark:
            typer.echo(self.heading, err=self.aside)
        self.mark, self.printed_seconds = mark, now
        typer.echo(awaited.line(seen, now=self.client.clock.now()), err=self.aside)


def wait(place: Place, name: str, *, timeout: str) -> None:
    """``rollout get --wait``; ends the program with the exit status."""
    fate = asyncio.run(_wait(place, name, timeout=timeout))
    raise typer.Exit(STATUSES[fate])


async def _wait(place: Place, name: str, *, timeout: str) -> Fate:  # noqa: ASYNC109 - a person's words
    async with place.open() as client:
        manifest = await client.rollout(name)
        seen = subject.read(manifest)
        heading = f"waits up to {timeout} for {seen.key} to come to {seen.revision}; times are UTC"
        log = Log(client=client, aside=place.output is not None, heading=heading, newest=manifest)
        told = await reminded(log, parse_duration(timeout))
    newest = subject.read(log.newest)
    words = f"{seen.key}: {seen.revision} {told.fate}: {told.because}"
    if told.fate is Fate.UNDECIDED:
        words += f"; the wait of {timeout} is over{_hint(newest)}"
    folded = textwrap.fill(
        sentences.sentence(words),
        WIDTH_COUNT,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    typer.echo(folded, err=log.aside)
    if place.output is not None:
        terminal.an_object(log.newest, ROLLOUT, place.output)
    return told.fate


def _hint(newest: subject.Subject) -> str:
    if asked.waits(newest):
        return f", and it waits for people: {sentences.typed(newest, 'why')}"
    return f", and the run goes on: {sentences.typed(newest, 'why')}"


async def reminded(log: Log, seconds: float) -> Told:
    """Follow it, and say now and then that one still does."""

    async def remind() -> None:
        while True:
            await log.client.clock.sleep(REMIND_SECONDS)
            log.tell()

    async with asyncio.TaskGroup() as tasks:
        reminding = tasks.create_task(remind())
        told = await follow(log, seconds)
        reminding.cancel()
    return told


async def follow(log: Log, seconds: float) -> Told:
    """Follow it until it is decided, deleted, blocked for too long, or the time is over."""
    time = asyncio.get_running_loop().time
    ends = time() + seconds
    blocked = False
    waited = Awaited(revision=subject.read(log.newest).revision)
    with contextlib.suppress(errors.NotFound):
        try:
            async with (
                asyncio.timeout_at(ends) as patience,
                contextlib.aclosing(log.client.changes(log.newest)) as states,
            ):
                async for state in states:
                    seen = subject.read(state)
                    log.see(state)
                    waited = awaited.follow(waited, seen)
                    told = awaited.end(waited, seen)
                    if told is not None:
                        return told
                    log.tell()
                    was, blocked = blocked, seen.status.phase is Phase.BLOCKED and not seen.unseen
                    if blocked is not was:
                        patience.reschedule(
                            min(ends, time() + BLOCKED_SECONDS) if blocked else ends
                        )
        except TimeoutError:
            return awaited.late(waited, subject.read(log.newest))
    return Told(fate=Fate.ABORTED, because="the Rollout was deleted")
