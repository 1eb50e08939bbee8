"""A person at a terminal: the command line over a cluster in memory, with somebody who answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from typer.testing import CliRunner, Result

from rollout.api.action import ActionOutcome
from rollout.api.meta import ROLLOUT, ROLLOUT_ACTION, Key, Manifest
from rollout.api.status import RolloutStatus
from rollout.cli import main, place
from rollout.cli.place import ASK, METRICS, OPENER
from rollout.wiring.client import SELF_SUBJECT_REVIEW, Client, key_of
from tests.views.samples import NOW
from tests.world.cluster import FakeCluster
from tests.world.metrics import FakeMetrics

REVIEWS = Key("shop", "reviews")

Responder = Callable[["Desk", Manifest], tuple[ActionOutcome, str] | None]
"""What a controller would do with an action: change the world, and answer or stay silent."""


class StillClock:
    """A ports.Clock on which it is always the same time of day."""

    def now(self) -> datetime:
        return NOW

    def monotonic_seconds(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


class Desk:
    """The person's desk.

    Attributes:
        cluster: the cluster in memory.
        responder: who answers actions; None: nobody does.
        later: what others do while the command runs, one after the other.
        metrics: Prometheus; None: there is none but the one that options name.
        says: what the person answers when asked; None: nobody sits there.
    """

    def __init__(self) -> None:
        self.clock = StillClock()
        self.cluster = FakeCluster(self.clock)
        self.cluster.uninstall(SELF_SUBJECT_REVIEW)
        self.responder: Responder | None = None
        self.later: list[Callable[[], object]] = []
        self.metrics: FakeMetrics | None = None
        self.says: str | None = None

    def put(self, manifest: Manifest) -> None:
        self.cluster.put(ROLLOUT, manifest)

    def status(self, status: RolloutStatus) -> None:
        """Let the controller write a status."""

        def change(manifest: Manifest) -> None:
            manifest["status"] = status.model_dump(mode="json", exclude_none=True)

        self.cluster.edit(ROLLOUT, REVIEWS, change)

    @property
    def rollout(self) -> Manifest:
        return self.cluster.peek(ROLLOUT, REVIEWS)

    @property
    def actions(self) -> Sequence[Manifest]:
        return list(self.cluster.everything(ROLLOUT_ACTION).values())

    def type(self, *words: str, env: Mapping[str, str] | None = None) -> Result:
        """Type a command and wait until it returns.

        In a thread of its own: `asyncio.run` would take away the loop that plugins keep for ours.
        """
        arguments = place.arranged(words)
        with ThreadPoolExecutor(max_workers=1) as elsewhere:
            says = self.says
            ask = None if says is None else lambda _question: says
            known = {OPENER: self._open, METRICS: self.metrics, ASK: ask}
            return elsewhere.submit(
                CliRunner().invoke, main.app, arguments, obj=known, env=env, prog_name="rollout"
            ).result()

    @contextlib.asynccontextmanager
    async def _open(
        self, *, kubeconfig: str, context: str, namespace: str
    ) -> AsyncIterator[Client]:
        del kubeconfig, context
        client = Client(self.cluster, namespace=namespace or "shop", user="alice", clock=self.clock)
        answering = asyncio.create_task(self._answer())
        living = asyncio.create_task(self._live())
        await asyncio.sleep(0)
        try:
            yield client
        finally:
            answering.cancel()
            living.cancel()

    async def _answer(self) -> None:
        start = str(self.cluster.revision)
        async for event in self.cluster.watch(ROLLOUT_ACTION, resource_version=start):
            if event.type == "ADDED" and self.responder is not None:
                answer = self.responder(self, event.object)
                if answer is not None:
                    self._write(event.object, *answer)

    async def _live(self) -> None:
        for happening in self.later:
            await asyncio.sleep(0.02)
            happening()

    def _write(self, action: Manifest, outcome: ActionOutcome, message: str) -> None:
        def change(manifest: Manifest) -> None:
            manifest["status"] = {
                "outcome": outcome,
                "message": message,
                "at": "2026-11-23T12:00:00Z",
            }

        self.cluster.edit(ROLLOUT_ACTION, key_of(action), change)


def complete(desk: Desk, *words: str) -> list[str]:
    """What the shell offers after words, of which the last is the one begun."""
    typed = ["rollout", *words]
    environment = {
        "_ROLLOUT_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(typed),
        "COMP_CWORD": str(len(typed) - 1),
    }
    return desk.type(env=environment).stdout.split()


def applied(message: str) -> Responder:
    return lambda _desk, _action: (ActionOutcome.APPLIED, message)


def refused(message: str) -> Responder:
    return lambda _desk, _action: (ActionOutcome.REFUSED, message)


def ignored(message: str) -> Responder:
    return lambda _desk, _action: (ActionOutcome.IGNORED, message)
