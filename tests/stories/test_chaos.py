"""Runs in a world that misbehaves by seed: kills, conflicts, lost events, outages, other hands.

Each seed is one run. Rules are checked at every write to the VirtualService, and once the world has
healed the run must come to a legal end. ``ROLLOUT_CHAOS_SEEDS=1000`` tries more of them, and
``ROLLOUT_CHAOS_FIRST=77`` begins elsewhere.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from random import Random

import pytest

from rollout.api.action import Verb
from rollout.api.meta import (
    DESTINATION_RULE,
    ROLLOUT,
    ROLLOUT_POLICY,
    VIRTUAL_SERVICE,
    Kind,
    Manifest,
)
from rollout.ports import XdsType
from tests.stories import gray
from tests.stories.gray import Story
from tests.world.clock import simulate
from tests.world.mesh import FakeMesh

FIRST = int(os.environ.get("ROLLOUT_CHAOS_FIRST", "0"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("ROLLOUT_CHAOS_SEEDS", "20")))

LADDER = (0, 5, 50, 100, 100)
"""The canary's percent by step, the bake included."""

GUARD: dict[str, object] = {
    "outlierDetection": {"consecutive5xxErrors": 3},
    "connectionPool": {"tcp": {"maxConnections": 9}},
}
"""Of every other seed."""

TROUBLE_SECONDS = 60.0
END_SECONDS = 300.0
"""How long after everything has healed a run may take to its end: the whole ladder again, twice."""

DELAY_SECONDS_MAX = 0.5
"""The longest that a watch event is late, in worlds in which none is lost."""

REACTION_SECONDS_MAX = DELAY_SECONDS_MAX + 2.0
"""After this an unready canary may not be given traffic: a delay, a back-off, and a slow server."""


@dataclass(kw_only=True)
class Chaos:
    """A world, its misfortunes, and what must hold all the same."""

    story: Story
    random: Random
    mesh: FakeMesh | None = None
    by_hand: bool = False
    guard: dict[str, object] = field(default_factory=dict)
    are_two: bool = False
    loses_events: bool = False
    frozen_since: float | None = None
    canary_unready_since: dict[str, float] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)

    def now(self) -> float:
        return self.story.clock.monotonic_seconds()

    def heard(self, kind: Kind, manifest: Manifest) -> None:
        """The rules, at every change of the VirtualService."""
        self.story.heard(kind, manifest)
        if self.mesh is not None:
            self.mesh.heard(kind)
        if kind != VIRTUAL_SERVICE:
            return
        weights = {
            leg["destination"]["subset"]: leg.get("weight", 0)
            for leg in manifest["spec"]["http"][0]["route"]
        }
        before, self.before = self.before or weights, weights
        self.log.append(f"{self.now():.2f} {'by hand ' if self.by_hand else ''}{weights}")
        if not self.by_hand:
            self.judge(weights, before)

    def judge(self, weights: dict[str, int], before: dict[str, int]) -> None:
        self.must(min(weights.values()) >= 0, f"{weights} are not negative")
        run = self.story.status().run
        if run is None or run.ended_at is not None:
            self.must(False, f"nothing is written at rest: {weights}")
            return
        stable, canary = run.stable_revision, run.canary_revision
        share, foreign = shares(weights, stable, canary)
        old_share, old_foreign = shares(before, stable, canary)
        # Of two controllers one may put back what the other has just not yet written down.
        first = run.step - 1 if self.are_two and run.step else run.step
        rungs = {0, *LADDER[first : run.step + 2]}
        self.must(foreign == old_foreign, f"{weights}: the others keep what they had in {before}")
        self.must(share in rungs, f"{canary} at {share} in step {run.step}")
        if share > old_share and not self.are_two:
            self.must(self.policies()[canary] == self.guard, f"{canary} rises under its guard")
        since = self.canary_unready_since.get(canary)
        if share > old_share and since is not None and not self.loses_events:
            late = self.now() - since
            self.must(late < REACTION_SECONDS_MAX, f"unready {canary} gets traffic after {late}")

        if share > run.weight and self.frozen_since is not None and not self.loses_events:
            late = self.now() - self.frozen_since
            self.must(late < REACTION_SECONDS_MAX, f"{canary} rises {late} into a freeze")

    def policies(self) -> dict[str, dict[str, object]]:
        rule = self.story.cluster.peek(DESTINATION_RULE, gray.KEY)
        return {one["name"]: one.get("trafficPolicy", {}) for one in rule["spec"]["subsets"]}

    def must(self, holds: bool, rule: str) -> None:
        if not holds:
            self.broken.append(f"{self.now():.2f} {rule}")

    def drift(self) -> None:
        share = self.random.choice((0, 5, 37, 50, 100))
        self.by_hand = True
        self.story.set_weights(**{"v1": 100 - share, self.random.choice(("v2", "v3")): share})
        self.by_hand = False

    def abort(self) -> None:
        run = self.story.status().run
        if run is not None:
            self.story.command(self.random.choice((Verb.ABORT, Verb.PROMOTE, Verb.RETRY)))

    def flip_readiness(self) -> None:
        version = self.random.choice(("v2", "v3"))
        ready = version in self.canary_unready_since
        if ready:
            del self.canary_unready_since[version]
        else:
            self.canary_unready_since[version] = self.now()
        self.story.set_ready(version, ready=ready)

    def outage(self) -> None:
        self.story.metrics.down = not self.story.metrics.down

    def slowness(self) -> None:
        self.story.metrics.latency_seconds = self.random.choice((0.0, 0.3, 8.0))

    def failure(self) -> None:
        self.story.fail(self.random.choice(("v2", "v3")), self.random.choice((0, 0, 30)))

    def revision(self) -> None:
        self.story.want(self.random.choice(("v1", "v2", "v2", "v3")))

    def watches(self) -> None:
        cluster = self.story.cluster
        self.random.choice((cluster.break_watches, cluster.end_watches, cluster.forget_history))()

    def silence(self) -> None:
        """Deaf watches are as good as lost events."""
        self.loses_events = True
        self.story.cluster.silence_watches()

    def proxies(self) -> None:
        """Proxies stand still, reject, or are not told; or istiod tells nobody."""
        mesh = self.mesh
        assert mesh is not None
        name = self.random.choice(tuple(mesh.names))
        mesh.frozen = self.random.choice((set(), {name}))
        kind = self.random.choice(tuple(XdsType))
        mesh.rejecting = self.random.choice(({}, {(name, kind): "no"}))
        mesh.problem = self.random.choice(("", "", "refused"))
        mesh.deaf = self.random.random() < 0.2

    def freeze(self) -> None:
        """A policy stops everything, or lets few run, or is taken away."""
        was_frozen = self.frozen_since is not None
        self.frozen_since = None
        spec = self.random.choice(({"stop": {"reason": "x"}}, {"limits": {"runsAtOnce": 1}}, {}))
        if "stop" in spec and not was_frozen:
            self.frozen_since = self.now()
        elif "stop" in spec:
            spec = {}
        self.story.cluster.put(ROLLOUT_POLICY, {**policy_of_nothing(), "spec": spec})

    def network(self) -> None:
        faults = self.story.cluster.faults
        faults.latency_seconds = (0.0, self.random.choice((0.0, 0.05, 0.4)))
        faults.refused_ratio = self.random.choice((0.0, 0.0, 0.1, 0.5))
        faults.lost_answer_ratio = self.random.choice((0.0, 0.0, 0.1))
        faults.event_delay_seconds = (0.0, self.random.choice((0.0, DELAY_SECONDS_MAX)))
        faults.doubled_event_ratio = self.random.choice((0.0, 0.3))
        faults.reorder_events = self.random.random() < 0.3
        faults.lost_event_ratio = self.random.choice((0.0, 0.0, 0.0, 0.2))
        self.loses_events |= faults.lost_event_ratio > 0 or faults.refused_ratio > 0

    async def misfortunes(self) -> None:
        """Something goes wrong every few seconds."""
        deeds: list[Callable[[], None]] = [
            *(self.drift, self.abort, self.flip_readiness, self.flip_readiness, self.outage),
            *(self.slowness, self.failure, self.revision, self.watches, self.network, self.network),
            *(self.silence, self.freeze, self.freeze),
        ]
        deeds = self.random.sample(deeds, 6)
        if self.mesh is not None:
            deeds += [self.proxies, self.proxies]
        until = self.now() + TROUBLE_SECONDS
        while self.now() < until:
            await asyncio.sleep(self.random.expovariate(1 / 4))
            deed = self.random.choice(deeds)
            self.log.append(f"{self.now():.2f} {deed.__name__}")
            deed()

    async def all_lives(self) -> None:
        """Mostly one controller at a time; sometimes a second one was started by mistake."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.lives())
            self.are_two = self.random.random() < 0.3
            if self.are_two:
                tasks.create_task(self.lives())

    async def lives(self) -> None:
        """Controllers, one after the other, each killed at some write; the last one is not."""
        for _ in range(self.random.choice((0, 1, 3, 6))):
            k, effective = self.random.randrange(12), self.random.random() < 0.5
            self.log.append(f"{self.now():.2f} a controller that dies at write {k}")
            await gray.one_life(self.story, writes_count=k, effective=effective, mesh=self.mesh)
            await asyncio.sleep(self.random.choice((0.0, 0.5, 8.0)))
        self.log.append(f"{self.now():.2f} a controller that lives")
        await gray.controller(self.story, mesh=self.mesh, seed=self.random.randrange(99)).run()

    def heal(self) -> None:
        story = self.story
        story.cluster.faults.heal()
        story.cluster.put(ROLLOUT_POLICY, policy_of_nothing())
        self.frozen_since = None
        story.cluster.forget_history()
        story.cluster.break_watches()
        story.metrics.down, story.metrics.latency_seconds = False, 0.0
        if self.mesh is not None:
            self.mesh.frozen, self.mesh.rejecting = set(), {}
            self.mesh.problem, self.mesh.deaf = "", False
        for version in gray.VERSIONS:
            story.fail(version, 0)
        for version in tuple(self.canary_unready_since):
            story.set_ready(version, ready=True)
        self.canary_unready_since.clear()

    def is_over(self) -> bool:
        """At rest; what somebody moved by hand, and only hands can mend, is put right by hand."""
        status = self.story.status()
        run = status.run
        stable = status.stable_revision
        in_run = status.phase == "Pending" or (run is not None and run.ended_at is None)
        if in_run and status.reason != "ForeignOnly":
            return False
        if any(self.story.weight(v) for v in gray.VERSIONS if v != stable):
            self.by_hand = True
            self.story.set_weights(**{stable: 100})
            self.by_hand = False
            return False
        return status.phase in {"Stable", "RolledBack"}

    async def run(self) -> None:
        self.story.cluster.faults.random = self.random
        self.story.cluster.heard = self.heard
        async with gray.running(self.all_lives):
            await asyncio.sleep(2)
            self.story.want("v2")
            await self.misfortunes()
            self.heal()
            await asyncio.sleep(5)
            await self.story.until(self.is_over, within_seconds=END_SECONDS, look_seconds=0.5)
            await asyncio.sleep(20)
        status = self.story.status()
        metadata = self.story.cluster.peek(ROLLOUT, gray.KEY)["metadata"]
        others = [v for v in gray.VERSIONS if v != status.stable_revision]
        self.must(not any(self.story.weight(v) for v in others), "all traffic is on stable")
        self.must(not metadata.get("finalizers"), "no finalizer is left")
        self.must(not any(self.policies().values()), "no guard is left")
        self.must(len(status.history) <= 10, "history is bounded")


def policy_of_nothing() -> Manifest:
    return {"metadata": {"name": "freeze", "namespace": gray.NAMESPACE}, "spec": {}}


def shares(weights: dict[str, int], stable: str, canary: str) -> tuple[Fraction, Fraction]:
    """The canary's percent of the pair, and what all the others have of the whole."""
    pair, total = weights[stable] + weights[canary], sum(weights.values())
    share = Fraction(100 * weights[canary], pair) if pair else Fraction(0)
    return share, Fraction(total - pair, total) if total else Fraction(0)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_goes_wrong_the_rules_hold_and_the_run_ends(seed: int) -> None:
    chaos: list[Chaos] = []

    async def main() -> None:
        guard = GUARD if seed % 2 else {}
        story = gray.furnished(gray.rollout(guard=guard))
        mesh = FakeMesh(clock=story.clock) if seed % 3 else None
        chaos.append(Chaos(story=story, random=Random(seed), guard=guard, mesh=mesh))
        await chaos[0].run()

    try:
        simulate(main())
        assert chaos[0].broken == []
    except BaseException:
        told = "\n".join(chaos[0].log if chaos else [])
        print(f"ROLLOUT_CHAOS_FIRST={seed} ROLLOUT_CHAOS_SEEDS=1\n{told}")  # noqa: T201
        raise
