"""What a run looked like from outside: weights as written, as held by Envoy, as seen by callers."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.mesh.report import PROPAGATION
from tests.testbed.mesh import Mesh

IN_FLIGHT_SECONDS = 0.05
"""After a change, so that answers to requests that were under way do not count."""

POLL_SECONDS = 0.02
"""Between two looks at what Envoy holds."""


class Counts(Protocol):
    """Something that asks, and counts the answers."""

    async def answers(self) -> dict[str, int]:
        """How often each version has answered; everything else counts as ``failed``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A weight while Envoy held it.

    Attributes:
        percent: of the canary.
        canary: requests that it answered meanwhile.
        requests: all of them.
    """

    percent: float
    canary: int
    requests: int

    @property
    def share(self) -> float:
        """The canary's share in percent."""
        return 100 * self.canary / self.requests if self.requests else 0.0


@dataclass(slots=True)
class Film:
    """Moments are seconds of one clock; weights are percents of the canary."""

    canary: str
    written: list[tuple[float, float]] = field(default_factory=list)
    held: list[tuple[float, float]] = field(default_factory=list)
    starts: list[dict[str, int]] = field(default_factory=list)
    ends: list[dict[str, int]] = field(default_factory=list)

    def shots(self) -> list[Shot]:
        """One for each weight that Envoy has held, in order; the last ended with the film."""
        found = []
        pairs = zip(self.starts, self.ends, strict=True)
        for (_, percent), (before, after) in zip(self.held, pairs, strict=True):
            gained = {name: after[name] - before.get(name, 0) for name in after}
            answered = sum(count for name, count in gained.items() if name != "failed")
            shot = Shot(percent=percent, canary=gained.get(self.canary, 0), requests=answered)
            found.append(shot)
        return found

    def propagation_seconds(self) -> list[float]:
        """From each write until Envoy held it; writes that were overtaken are left out."""
        seconds = []
        for at, percent in self.written[1:]:
            later = [moment - at for moment, held in self.held if held == percent and moment > at]
            if later:
                seconds.append(min(later))
        return seconds


def figures(film: Film) -> dict[str, Any]:
    """For the report: what was written, what was measured, and how long it took to be in force."""
    shots = [shot for shot in film.shots() if shot.requests]
    seconds = film.propagation_seconds()
    return {
        "written weight": ", ".join(f"{shot.percent:g}" for shot in shots),
        "measured share": ", ".join(f"{shot.share:.3g}" for shot in shots),
        "requests": sum(shot.requests for shot in shots),
        "failed": film.ends[-1]["failed"],
        PROPAGATION: f"{statistics.median(seconds):.3f} / {_p95(seconds):.3f}",
    }


def _p95(seconds: Sequence[float]) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(0.95 * len(seconds)))]


def percent_of(routes: Sequence[dict[str, Any]], canary: str) -> float:
    """The weight of a subset in percent, in the last of some routes of a VirtualService."""
    legs = routes[-1]["route"]
    if len(legs) == 1:
        return 100.0 if legs[0]["destination"].get("subset") == canary else 0.0
    weights = [(leg["destination"].get("subset"), int(leg.get("weight", 0))) for leg in legs]
    ours = sum(weight for subset, weight in weights if subset == canary)
    return 100 * ours / sum(weight for _, weight in weights)


@contextlib.asynccontextmanager
async def filming(
    world: Mesh,
    load: Counts,
    *,
    canary: str = "v2",
    held: Callable[[], Any] | None = None,
    protocol: str = "http",
) -> AsyncIterator[Film]:
    """Film the run of a scene's service under load until the context ends.

    Args:
        world: the scene.
        load: what counts.
        canary: whose weight is filmed.
        held: asked for the weights that Envoy holds, by version; None: the caller's sidecar.
        protocol: of the routes that are filmed.
    """
    film = Film(canary)
    ask = held or world.weights
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(_watch(world, film, protocol))
        looking = tasks.create_task(_look(film, load, ask))
        try:
            yield film
            await asyncio.sleep(2 * IN_FLIGHT_SECONDS)  # a change that is being counted
        finally:
            watching.cancel()
            looking.cancel()
    while len(film.starts) < len(film.held):
        film.starts.append(await load.answers())
    film.ends.append(await load.answers())


async def _watch(world: Mesh, film: Film, protocol: str) -> None:
    path = world.path("virtualservices", "")
    objects, version = await world.bed.client.list(path)
    name = world.cast.service
    for item in objects:
        if item["metadata"]["name"] == name:
            film.written.append((time.monotonic(), percent_of(item["spec"][protocol], film.canary)))
    async for event in world.bed.client.watch(path, version):
        if event["object"]["metadata"].get("name") != name:
            continue
        percent = percent_of(event["object"]["spec"][protocol], film.canary)
        if film.written[-1][1] != percent:
            film.written.append((time.monotonic(), percent))


async def _look(film: Film, load: Counts, ask: Callable[[], Any]) -> None:
    settled: dict[str, int] = {}
    while True:
        before = await load.answers()
        weights = await ask()
        total = sum(weights.values())
        percent = 100 * weights.get(film.canary, 0) / total if total else 0.0
        if not film.held or film.held[-1][1] != percent:
            if film.held:
                film.ends.append(settled)  # counted before the last look that showed the old one
            film.held.append((time.monotonic(), percent))
            await asyncio.sleep(IN_FLIGHT_SECONDS)
            film.starts.append(await load.answers())
            before = film.starts[-1]
        settled = before
        await asyncio.sleep(POLL_SECONDS)
