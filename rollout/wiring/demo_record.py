"""What the demo sees happen: weights, statuses and commands by watches, traffic by the counters.

It watches like any other client and takes no part; what it notes is what the summary is made of.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from rollout.api.action import Verb
from rollout.api.meta import ROLLOUT, ROLLOUT_ACTION, VIRTUAL_SERVICE, Key, Manifest
from rollout.base import errors
from rollout.ports import Clock, Cluster
from rollout.views import measure, subject
from rollout.views.measure import Sample, Written
from rollout.views.subject import Subject
from rollout.wiring.client import Client

POLL_SECONDS = 0.2
"""Between two looks at the load generator's counters: finer than the second a weight settles in."""

SAMPLES_MAX = 6_000
"""Twenty minutes of looks; with ``--keep`` the oldest go."""

LOG_LINES_MAX = 200
"""Lines of what happened that are kept."""

RETRY_SECONDS = 0.5
"""Between two tries at a server that did not answer."""

Counters = Callable[[], Awaitable[Mapping[str, Any]]]


class Record:
    """All that was seen.

    Attributes:
        writes: the VirtualService's shares, each change with its time.
        samples: the load generator's counters.
        subject: the Rollout as it stands; None before it was seen.
        aborts: run id to when an Abort to it was seen to be created, seconds since 1970.
        log: what happened, in words.
        rate_hertz: requests a second that are sent.
    """

    def __init__(self, *, key: Key, versions: tuple[str, ...], clock: Clock) -> None:
        self.writes: deque[Written] = deque(maxlen=SAMPLES_MAX)
        self.samples: deque[Sample] = deque(maxlen=SAMPLES_MAX)
        self.subject: Subject | None = None
        self.aborts: dict[str, float] = {}
        self.log: deque[tuple[datetime, str]] = deque(maxlen=LOG_LINES_MAX)
        self.rate_hertz = 0.0
        self.on_log: Callable[[datetime, str], None] | None = None
        self._key = key
        self._versions = versions
        self._clock = clock
        self._stirred = asyncio.Event()
        self._told = ""

    @property
    def now_seconds(self) -> float:
        """The wall clock, seconds since 1970."""
        return self._clock.now().timestamp()

    def weight(self, version: str) -> float:
        """Percent written for a version now."""
        return self.writes[-1].shares.get(version, 0.0) if self.writes else 0.0

    def tell(self, text: str) -> None:
        """Note something that happened."""
        now = self._clock.now()
        self.log.append((now, text))
        if self.on_log is not None:
            self.on_log(now, text)

    async def until(self, wanted: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Return when something is so.

        Raises:
            Unanswered: it was not within ``seconds``.
        """
        try:
            async with asyncio.timeout(seconds):
                while not wanted():
                    self._stirred.clear()
                    await self._stirred.wait()
        except TimeoutError:
            raise errors.Unanswered(
                what=what, waited_seconds=seconds, remedy="see the logs in the world's folder"
            ) from None

    async def keep(self, client: Client, counters: Counters) -> None:
        """Record until cancelled; the objects must exist."""
        cluster = client.cluster
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_routes(cluster, client))
            tasks.create_task(self._watch_rollout(cluster, client))
            tasks.create_task(self._watch_actions(cluster))
            tasks.create_task(self._poll(counters))

    async def _watch_routes(self, cluster: Cluster, client: Client) -> None:
        first = await cluster.get(VIRTUAL_SERVICE, self._key)
        async with contextlib.aclosing(client.changes(first, VIRTUAL_SERVICE)) as states:
            async for state in states:
                shares = shares_of(state)
                if not self.writes or self.writes[-1].shares != shares:
                    self.writes.append(Written(at_seconds=self.now_seconds, shares=shares))
                    self._stirred.set()

    async def _watch_rollout(self, cluster: Cluster, client: Client) -> None:
        first = await cluster.get(ROLLOUT, self._key)
        async with contextlib.aclosing(client.changes(first)) as states:
            async for state in states:
                self.subject = subject.read(state)
                self._tell_status(self.subject)
                self._stirred.set()

    def _tell_status(self, seen: Subject) -> None:
        """Note a new phase or step, in the words of the status."""
        status, run = seen.status, seen.run
        place = f"{run.id}/{run.step}" if run is not None else ""
        if status.message and self._told != f"{place}/{status.phase}":
            self._told = f"{place}/{status.phase}"
            self.tell(f"{status.phase}: {status.message.partition('; ')[0]}")

    async def _watch_actions(self, cluster: Cluster) -> None:
        namespace = self._key.namespace
        version = (await cluster.list(ROLLOUT_ACTION, namespace=namespace)).resource_version
        while True:
            with contextlib.suppress(errors.Retry):
                watch = cluster.watch(ROLLOUT_ACTION, namespace=namespace, resource_version=version)
                async with contextlib.aclosing(watch) as events:
                    async for event in events:
                        version = event.object["metadata"]["resourceVersion"]
                        if event.type == "ADDED":
                            self._note_action(event.object)
            await self._clock.sleep(RETRY_SECONDS)

    def _note_action(self, action: Manifest) -> None:
        spec = action["spec"]
        if spec["verb"] == Verb.ABORT:
            self.aborts.setdefault(spec["run"], self.now_seconds)
        self.tell(f"{spec['actor']} says {spec['verb']} to run {spec['run']}")

    async def _poll(self, counters: Counters) -> None:
        for _ in itertools.count():
            with contextlib.suppress(errors.Unreachable):
                counted = await counters()
                self.rate_hertz = float(counted["rps"])
                self.samples.append(
                    measure.sample(counted, at_seconds=self.now_seconds, versions=self._versions)
                )
                self._stirred.set()
            await self._clock.sleep(POLL_SECONDS)


def shares_of(virtual_service: Manifest) -> dict[str, float]:
    """Subset to percent in the first HTTP route of a VirtualService."""
    legs = virtual_service["spec"]["http"][0]["route"]
    total = sum(leg.get("weight") or 0 for leg in legs) or 1
    shares: dict[str, float] = {}
    for leg in legs:
        name = leg["destination"].get("subset", "")
        shares[name] = shares.get(name, 0.0) + 100 * (leg.get("weight") or 0) / total
    return shares
