"""A gray release in simulated time: the whole controller over fakes, nothing else faked.

Given a world (a service with two versions behind Istio), when time passes, then the VirtualService
and the status say how it went. Traffic follows the weights: counters of both versions grow with
what the VirtualService says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

import pytest

from rollout.adapters.calendar import CronCalendar
from rollout.api.action import ActionSpec, Verb, action_name
from rollout.api.meta import (
    DESTINATION_RULE,
    ENDPOINT_SLICE,
    EVENT,
    POD,
    ROLLOUT,
    ROLLOUT_ACTION,
    VIRTUAL_SERVICE,
    Key,
    Kind,
    Manifest,
)
from rollout.api.phase import ConditionType
from rollout.api.reading import read_status
from rollout.api.status import Condition, RolloutStatus, Run
from rollout.controller.correspondence import Outlets
from rollout.controller.manager import Manager, Options
from rollout.controller.record import Record
from rollout.ports import Clock, Cluster, Mesh, Metrics
from tests.world.alarms import FakeAlarms
from tests.world.clock import FakeClock
from tests.world.cluster import FakeCluster
from tests.world.metrics import Counter, FakeMetrics
from tests.world.mortal import Mortal

NAMESPACE = "shop"
KEY = Key(NAMESPACE, "reviews")
VERSIONS = ("v1", "v2", "v3")
REQUESTS_PER_SECOND = 100.0
SCRAPE_SECONDS = 1.0
SETTLE_SECONDS = 1.0
LOOK_SECONDS = 0.05
"""How often a story looks whether what it waits for has happened."""


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
            "judge": {"minRequests": 10, "provenRatio": "Off"},
            **spec,
        },
    }


def virtual_service(name: str = KEY.name, /, **weights: int) -> Manifest:
    """One named route with a destination for every version."""
    legs = [
        {"destination": {"host": name, "subset": v}, "weight": weights.get(v, 0)} for v in VERSIONS
    ]
    return {
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"hosts": [name], "http": [{"name": "primary", "route": legs}]},
    }


@dataclass(kw_only=True)
class Story:
    """The world of a story, and the hands of everyone in it but the controller."""

    clock: FakeClock
    cluster: FakeCluster
    metrics: FakeMetrics
    error_percent: dict[str, float] = field(default_factory=dict)
    requests_per_second: float = REQUESTS_PER_SECOND
    matching_per_second: float = 0.0
    counters: dict[tuple[str, str], Counter] = field(default_factory=dict)
    weights_seen: list[tuple[float, float]] = field(default_factory=list)
    sequence: int = 0
    _read: tuple[str, RolloutStatus] | None = None

    def heard(self, kind: Kind, manifest: Manifest) -> None:
        """Proxies follow a VirtualService at once."""
        if kind == VIRTUAL_SERVICE and manifest["metadata"]["name"] == KEY.name:
            self.flow()

    def fail(self, version: str, percent: float) -> None:
        """Have a version fail a share of its requests from now on."""
        self.error_percent[version] = percent
        self.flow()

    def weight(self, version: str) -> int:
        """What the VirtualService gives a version now."""
        http = self.cluster.peek(VIRTUAL_SERVICE, KEY)["spec"]["http"]
        route = next(one for one in http if one.get("name") == "primary")["route"]
        return sum(leg.get("weight", 0) for leg in route if leg["destination"]["subset"] == version)

    def status(self) -> RolloutStatus:
        """The status as anybody can read it."""
        version = self.cluster.version(ROLLOUT, KEY)
        if self._read is None or self._read[0] != version:
            self._read = version, read_status(self.cluster.peek(ROLLOUT, KEY))
        return self._read[1]

    def run(self) -> Run:
        """The run in progress, or the last one."""
        run = self.status().run
        assert run is not None, self.status().message
        return run

    def condition(self, kind: ConditionType) -> Condition | None:
        """A condition, if the status has it."""
        return next((c for c in self.status().conditions if c.type is kind), None)

    def events(self, reason: str = "") -> list[str]:
        """What Events of a reason (or of any) say, oldest first."""
        found = self.cluster.everything(EVENT).values()
        told = sorted(found, key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [event["message"] for event in told if reason in {"", event["reason"]}]

    def writes(self, kind: Kind, *, subresource: str | None = None) -> int:
        """How many times clients have written objects of a kind."""
        return sum(
            1
            for write in self.cluster.writes
            if write.plural == kind.plural and subresource in {None, write.subresource}
        )

    def canary_weights(self) -> list[float]:
        """What v2 and v3 were given, one after the other."""
        return [weight for _, weight in self.weights_seen]

    def requests_of(self, version: str) -> float:
        """Requests that a version has got as Prometheus will have it."""
        counters = [c for (name, _), c in self.counters.items() if name == version]
        for counter in counters:
            counter.catch_up()
        return sum(counter.samples[-1][1] for counter in counters if counter.samples)

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

    async def until(
        self,
        happened: Callable[[], bool],
        *,
        within_seconds: float,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Let time pass until something is so; at most for a while."""
        for _ in range(round(within_seconds / look_seconds) + 1):
            if happened():
                return
            await asyncio.sleep(look_seconds)
        status = self.status()
        pytest.fail(f"{status.phase} {status.reason}: {status.message}")

    async def stable(self, revision: str = "v1", *, within_seconds: float = 5) -> None:
        """Let time pass until a revision has all traffic, and no run is on."""

        def at_rest() -> bool:
            status = self.status()
            return status.phase == "Stable" and status.stable_revision == revision

        await self.until(at_rest, within_seconds=within_seconds)

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
            weights, matched = {v: self.weight(v) for v in VERSIONS}, self._matched()
        except (KeyError, StopIteration):
            weights, matched = dict.fromkeys(VERSIONS, 0), ""
        total = sum(weights.values())
        for version, weight in weights.items():
            rate = self.requests_per_second * weight / total if total else 0.0
            rate += self.matching_per_second if version == matched else 0.0
            bad = rate * self.error_percent.get(version, 0.0) / 100
            self._counter(version, "200").flow(rate - bad)
            self._counter(version, "503").flow(bad)
        shown = (self.clock.monotonic_seconds(), float(weights["v2"] + weights["v3"]))
        if not self.weights_seen or self.weights_seen[-1][1] != shown[1]:
            self.weights_seen.append(shown)

    def managed(self) -> list[Manifest]:
        """The managed routes as they stand; none without a VirtualService."""
        found = self.cluster.everything(VIRTUAL_SERVICE).get(KEY, {"spec": {}})
        http = found["spec"].get("http", ())
        return [one for one in http if one.get("name", "").startswith("rollout.dev/")]

    def _matched(self) -> str:
        """Who gets the requests that match: whom a managed route names."""
        routes = (one["route"] for one in self.managed() if "/match/" in one["name"])
        return next((legs[0]["destination"]["subset"] for legs in routes), "")

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
                },
            )
        return self.counters[version, code]


def _pod(name: str, version: str) -> Manifest:
    return {
        "metadata": {
            "name": f"{name}-{version}-abc-1",
            "namespace": NAMESPACE,
            "labels": {"app": name, "version": version, "pod-template-hash": "abc"},
            "ownerReferences": [
                {"kind": "ReplicaSet", "name": f"{name}-{version}-abc", "controller": True}
            ],
        }
    }


def destination_rule(name: str = KEY.name, versions: Sequence[str] = VERSIONS) -> Manifest:
    """A subset for each version."""
    subsets = [{"name": v, "labels": {"version": v}} for v in versions]
    return {
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"host": name, "subsets": subsets},
    }


def furnish(cluster: FakeCluster, name: str = KEY.name) -> None:
    """A service with three versions; all traffic goes to the first."""
    cluster.put(VIRTUAL_SERVICE, virtual_service(name, v1=100))
    cluster.put(DESTINATION_RULE, destination_rule(name))
    for version in VERSIONS:
        cluster.put(POD, _pod(name, version))
    cluster.put(
        ENDPOINT_SLICE,
        {
            "metadata": {
                "name": f"{name}-1",
                "namespace": NAMESPACE,
                "labels": {"kubernetes.io/service-name": name},
            },
            "endpoints": [
                {
                    "conditions": {"ready": True},
                    "targetRef": {"kind": "Pod", "name": f"{name}-{v}-abc-1"},
                }
                for v in VERSIONS
            ],
        },
    )


def controller(
    story: Story,
    cluster: Cluster | None = None,
    *,
    clock: Clock | None = None,
    metrics: Metrics | None = None,
    prometheus: bool = True,
    mesh: Mesh | None = None,
    outlets: Outlets | None = None,
    trusting: bool = True,
    seed: int = 1,
) -> Manager:
    """A new controller over the story's world, with nothing remembered."""
    return Manager(
        cluster=cluster or story.cluster,
        metrics=(metrics or story.metrics) if prometheus else None,
        mesh=mesh,
        clock=clock or story.clock,
        alarms=FakeAlarms(clock or story.clock),
        calendar=CronCalendar(),
        random=Random(seed),
        record=Record(),
        leadership=None,
        outlets=outlets or Outlets(),
        options=Options(
            namespace="",
            workers_count=4,
            settle_seconds=SETTLE_SECONDS,
            status_seconds=60.0,
            scrape_seconds=SCRAPE_SECONDS,
            identity_policy="rollout-identity",
            trust_actors=trusting,
        ),
    )


@asynccontextmanager
async def running(work: Callable[[], Awaitable[None]]) -> AsyncIterator[asyncio.Task[None]]:
    """Have something run beside the story; it must not end by itself."""

    async def main() -> None:
        await work()

    task = asyncio.get_running_loop().create_task(main())
    try:
        try:
            yield task
        finally:
            if task.done():  # why it ended says more than what the story then lacked
                task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


def furnished(manifest: Manifest | None = None) -> Story:
    """The furnished world and a Rollout, without a controller."""
    clock = FakeClock()
    cluster = FakeCluster(clock)
    metrics = FakeMetrics(clock, scrape_seconds=SCRAPE_SECONDS)
    story = Story(clock=clock, cluster=cluster, metrics=metrics)
    cluster.heard = story.heard
    furnish(cluster)
    cluster.put(ROLLOUT, manifest or rollout())
    return story


@asynccontextmanager
async def told(manifest: Manifest | None = None) -> AsyncIterator[Story]:
    """A story: the furnished world, its traffic, a Rollout, and a controller at work."""
    story = furnished(manifest)
    async with running(controller(story).run):
        yield story


async def one_life(
    story: Story, *, writes_count: int, effective: bool, mesh: Mesh | None = None
) -> None:
    """A controller with nothing remembered, until it is killed at one of its writes."""
    mortal = Mortal(story.cluster, writes_count=writes_count, effective=effective)
    async with running(controller(story, mortal, mesh=mesh).run):
        await mortal.died.wait()


def seconds_between(early: datetime, late: datetime) -> float:
    """How much later one moment is than another."""
    return (late - early).total_seconds()
