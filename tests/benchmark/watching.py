"""When weights arrived at a watch of our own, which is what a proxy's control plane would see."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from rollout.api.meta import Manifest
from rollout.sandbox.kubeclient import KubeClient
from tests.benchmark import manifests
from tests.benchmark.ground import ROUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A weight that came.

    Attributes:
        at: Unix time, seconds.
        weight: percent for the revision on trial.
    """

    at: float
    weight: float


class Weights:
    """The weights of all VirtualServices, each with its time of arrival.

    Attributes:
        of: by name, oldest first; only changes.
    """

    def __init__(self) -> None:
        self.of: dict[str, list[Arrival]] = defaultdict(list)
        self._stirred = asyncio.Event()

    async def follow(self, client: KubeClient) -> None:
        """Watch until cancelled."""
        items, version = await client.list(ROUTES)
        for item in items:
            self._take(item)
        while True:
            async for event in client.watch(ROUTES, version):
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] in {"ADDED", "MODIFIED"}:
                    self._take(event["object"])

    def _take(self, item: Manifest) -> None:
        at, weight = time.time(), manifests.canary_weight(item)
        seen = self.of[item["metadata"]["name"]]
        if not seen or seen[-1].weight != weight:
            seen.append(Arrival(at=at, weight=weight))
            self._stirred.set()

    async def until(
        self, is_so: Callable[[list[Arrival]], bool], names: Iterable[str], *, seconds_max: float
    ) -> None:
        """Return when something is so of each of these; `TimeoutError` when it takes longer."""
        waiting = set(names)
        async with asyncio.timeout(seconds_max):
            while waiting := {name for name in waiting if not is_so(self.of[name])}:
                self._stirred.clear()
                await self._stirred.wait()

    def returned_at(self, name: str, *, after: float) -> float | None:
        """When a service's revision on trial had lost its traffic; None while it has some."""
        found = (seen.at for seen in self.of[name] if seen.at >= after and not seen.weight)
        return next(found, None)

    def steps(self, *, count_max: int) -> list[tuple[float, float]]:
        """Each step's end and how long it took, in seconds, the first ``count_max`` of a service.

        A step lasts from the arrival of its weight to that of the next greater one.
        """
        found: list[tuple[float, float]] = []
        for seen in self.of.values():
            ups = [
                (later.at, later.at - earlier.at)
                for earlier, later in pairwise(seen)
                if 0 < earlier.weight < later.weight
            ]
            found += ups[:count_max]
        return found

    def increases(self, begin: float, end: float) -> int:
        """How many weights were raised between two moments."""
        return sum(
            begin <= later.at < end and later.weight > earlier.weight
            for seen in self.of.values()
            for earlier, later in pairwise(seen)
        )
