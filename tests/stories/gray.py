"""A gray release in simulated time: the whole controller over fakes, nothing else faked.

Given a world (a service with two versions behind Istio), when time passes, then the VirtualService
and the status say how it went. Traffic follows the weights: counters of both versions grow with
what the VirtualService says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from rollout.api.action import ActionSpec, Verb, action_name
from rollout.api.meta import (
    DESTINATION_RULE,
    ENDPOINT_SLICE,
    POD,
    ROLLOUT,
    ROLLOUT_ACTION,
    VIRTUAL_SERVICE,
    Key,
    Manifest,
)
from rollout.api.reading import read_status
from rollout.api.status import RolloutStatus
from rollout.controller.manager import Manager, Options
from rollout.controller.record import Record
from tests.world.alarms import FakeAlarms
from tests.world.clock import FakeClock
from tests.world.cluster import FakeCluster
from tests.world.metrics import Counter, FakeMetrics

NAMESPACE = "shop"
KEY = Key(NAMESPACE, "reviews")
VERSIONS = ("v1", "v2", "v3")
REQUESTS_PER_SECOND = 100.0
SCRAPE_SECONDS = 1.0
SETTLE_SECONDS = 1.0


def rollout(revision: str = "v1", **spec: Any) -> Manifest:
    """A Rollout of reviews with a short ladder."""
    return {
        "apiVersion": ROLLOUT.api_version,
        "kind": ROLLOUT.kind,
        "metadata": {"name": KEY.name, "namespace": NAMESPACE},
        "spec": {
            "host": "reviews",
            "revision": revision,
            "strategy": {
                "steps": [
                    {"weight": 5, "hold": "10s"},
                    {"weight": 50, "hold": "10s"},
                    {"weight": 100, "hold": "5s"},
                ],
                "bake": "10s",
                "maxDuration": "10m",
            },
            "gates": [{"name": "errors", "errorRate": {"maxPercent": 1}}],
            "judge": {"minRequests": 10},
            **spec,
        },
    }


def virtual_service(**weights: int) -> Manifest:
    """One named route with a destination for every version."""
    legs = [
        {"destination": {"host": "reviews", "subset": v}, "weight": weights.get(v, 0)}
        for v in VERSIONS
    ]
    return {
        "metadata": {"name": "reviews", "namespace": NAMESPACE},
        "spec": {"hosts": ["reviews"], "http": [{"name": "primary", "route": legs}]},
    }


@dataclass(kw_only=True)
class Story:
    """The world of a story, and the hands of everyone in it but the controller."""

    clock: FakeClock
    cluster: FakeCluster
    metrics: FakeMetrics
    error_percent: dict[str, float] = field(default_factory=dict)
    requests_per_second: float = REQUESTS_PER_SECOND
    counters: dict[tuple[str, str], Counter] = field(default_factory=dict)
    weights_seen: list[tuple[float, float]] = field(default_factory=list)
    sequence: int = 0

    def weight(self, version: str) -> int:
        """What the VirtualService gives a version now."""
        route = self.cluster.peek(VIRTUAL_SERVICE, KEY)["spec"]["http"][0]["route"]
        return sum(leg.get("weight", 0) for leg in route if leg["destination"]["subset"] == version)

    def status(self) -> RolloutStatus:
        """The status as anybody can read it."""
        return read_status(self.cluster.peek(ROLLOUT, KEY))

    def want(self, revision: str) -> None:
        """Set spec.revision."""
        self.cluster.edit(ROLLOUT, KEY, lambda m: m["spec"].update(revision=revision))

    def edit(self, **spec: Any) -> None:
        """Change fields of the spec."""
        self.cluster.edit(ROLLOUT, KEY, lambda m: m["spec"].update(spec))

    def set_weights(self, **weights: int) -> None:
        """Change weights by hand."""

        def change(manifest: Manifest) -> None:
            for leg in manifest["spec"]["http"][0]["route"]:
                leg["weight"] = weights.get(leg["destination"]["subset"], 0)

        self.cluster.edit(VIRTUAL_SERVICE, KEY, change)

    def set_ready(self, version: str, *, ready: bool) -> None:
        """Have the version's pod pass or fail its readiness probe."""

        def change(manifest: Manifest) -> None:
            manifest["endpoints"][VERSIONS.index(version)]["conditions"]["ready"] = ready

        self.cluster.edit(ENDPOINT_SLICE, Key(NAMESPACE, "reviews-1"), change)

    def command(self, verb: Verb, *, step: int | None = None, run: str | None = None) -> Key:
        """Say something to the present run."""
        status = self.status()
        assert status.run is not None
        self.sequence += 1
        spec = ActionSpec(
            rollout=KEY.name,
            run=run or status.run.id,
            step=status.run.step if step is None else step,
            verb=verb,
            actor="alice@example.com",
            sequence=self.sequence,
        )
        key = Key(NAMESPACE, action_name(spec, uid="u"))
        self.cluster.put(
            ROLLOUT_ACTION,
            {
                "metadata": {"name": key.name, "namespace": NAMESPACE},
                "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
            },
        )
        return key

    def answer(self, key: Key) -> dict[str, Any]:
        """What a command was told; empty while it has no answer."""
        answer: dict[str, Any] = self.cluster.peek(ROLLOUT_ACTION, key).get("status", {})
        return answer

    async def until(self, happened: Callable[[], bool], *, within_seconds: float) -> None:
        """Let time pass until something is so; at most for a while."""
        try:
            async with asyncio.timeout(within_seconds):
                while not happened():
                    await asyncio.sleep(0.05)
        except TimeoutError:
            status = self.status()
            raise AssertionError(f"{status.phase} {status.reason}: {status.message}") from None

    async def until_phase(self, phase: str, *, within_seconds: float) -> None:
        """Let time pass until the Rollout is in a phase."""
        await self.until(lambda: self.status().phase == phase, within_seconds=within_seconds)

    async def until_step(self, step: int, *, within_seconds: float) -> None:
        """Let time pass until the run is at a step."""

        def reached() -> bool:
            run = self.status().run
            return run is not None and run.ended_at is None and run.step == step

        await self.until(reached, within_seconds=within_seconds)

    def flow(self) -> None:
        """Have the counters grow as the weights and the error rates say."""
        try:
            weights = {v: self.weight(v) for v in VERSIONS}
        except KeyError:
            weights = dict.fromkeys(VERSIONS, 0)
        total = sum(weights.values())
        for version, weight in weights.items():
            rate = self.requests_per_second * weight / total if total else 0.0
            bad = rate * self.error_percent.get(version, 0.0) / 100
            self._counter(version, "200").flow(rate - bad)
            self._counter(version, "503").flow(bad)
        shown = (self.clock.monotonic_seconds(), float(weights["v2"] + weights["v3"]))
        if not self.weights_seen or self.weights_seen[-1][1] != shown[1]:
            self.weights_seen.append(shown)

    def _counter(self, version: str, code: str) -> Counter:
        if (version, code) not in self.counters:
            self.counters[version, code] = self.metrics.counter(
                "istio_requests_total",
                {
                    "reporter": "source",
                    "destination_service": "reviews.shop.svc.cluster.local",
                    "destination_workload": f"reviews-{version}",
                    "response_code": code,
                    "response_flags": "-",
                    "instance": "client",
                }
            )
        return self.counters[version, code]

    async def let_traffic_flow(self) -> None:
        """Callers, for ever."""
        while True:
            self.flow()
            await asyncio.sleep(0.1)


def _pod(version: str) -> Manifest:
    return {
        "metadata": {
            "name": f"reviews-{version}-abc-1",
            "namespace": NAMESPACE,
            "labels": {"app": "reviews", "version": version, "pod-template-hash": "abc"},
            "ownerReferences": [
                {"kind": "ReplicaSet", "name": f"reviews-{version}-abc", "controller": True}
            ],
        }
    }


def furnish(cluster: FakeCluster) -> None:
    """A service with three versions; all traffic goes to the first."""
    cluster.put(VIRTUAL_SERVICE, virtual_service(v1=100))
    cluster.put(
        DESTINATION_RULE,
        {
            "metadata": {"name": "reviews", "namespace": NAMESPACE},
            "spec": {
                "host": "reviews",
                "subsets": [{"name": v, "labels": {"version": v}} for v in VERSIONS],
            },
        },
    )
    for version in VERSIONS:
        cluster.put(POD, _pod(version))
    cluster.put(
        ENDPOINT_SLICE,
        {
            "metadata": {
                "name": "reviews-1",
                "namespace": NAMESPACE,
                "labels": {"kubernetes.io/service-name": "reviews"},
            },
            "endpoints": [
                {
                    "conditions": {"ready": True},
                    "targetRef": {"kind": "Pod", "name": f"reviews-{v}-abc-1"},
                }
                for v in VERSIONS
            ],
        },
    )


def controller(story: Story) -> Manager:
    """A new controller over the story's world, with nothing remembered."""
    return Manager(
        cluster=story.cluster,
        metrics=story.metrics,
        clock=story.clock,
        alarms=FakeAlarms(story.clock),
        random=Random(1),
        record=Record(),
        leadership=None,
        options=Options(
            namespace="",
            workers_count=4,
            settle_seconds=SETTLE_SECONDS,
            status_seconds=60.0,
            scrape_seconds=SCRAPE_SECONDS,
        ),
    )


@asynccontextmanager
async def running(work: Callable[[], Awaitable[None]]) -> AsyncIterator[asyncio.Task[None]]:
    """Have something run beside the story; it must not end by itself."""

    async def main() -> None:
        await work()

    task = asyncio.get_running_loop().create_task(main())
    try:
        yield task
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def told(manifest: Manifest | None = None) -> AsyncIterator[Story]:
    """A story: the furnished world, its traffic, a Rollout, and a controller at work."""
    clock = FakeClock()
    cluster = FakeCluster(clock)
    furnish(cluster)
    cluster.put(ROLLOUT, manifest or rollout())
    metrics = FakeMetrics(clock, scrape_seconds=SCRAPE_SECONDS)
    story = Story(clock=clock, cluster=cluster, metrics=metrics)
    async with running(story.let_traffic_flow), running(controller(story).run):
        yield story
