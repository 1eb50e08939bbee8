"""Leader election in simulated time: at most one works, and somebody soon does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.api.meta import LEASE, Key, Kind, Manifest
from rollout.base import errors
from rollout.controller import lease
from rollout.controller.lease import Election
from rollout.ports import Written
from tests.world.clock import FakeClock, simulate
from tests.world.cluster import FakeCluster

pytestmark = pytest.mark.looptime

KEY = Key("rollout-system", "rollout-controller")


def now() -> float:
    return asyncio.get_running_loop().time()


class Stage:
    """Candidates for one lease; remembers who led from when to when."""

    def __init__(self) -> None:
        self.cluster = FakeCluster(FakeClock())
        self.leading: set[str] = set()
        self.terms: list[int] = []
        self.spans: dict[str, list[float]] = {}
        self.most_at_once = 0

    def candidate(self, name: str, cluster: FakeCluster | None = None) -> Election:
        return Election(cluster or self.cluster, KEY, name, clock=FakeClock(), random=Random(name))

    def work(self, name: str) -> Callable[[int], Awaitable[None]]:
        async def lead(term: int) -> None:
            self.leading.add(name)
            self.terms.append(term)
            self.spans[name] = [now()]
            self.most_at_once = max(self.most_at_once, len(self.leading))
            try:
                await asyncio.Event().wait()
            finally:
                self.leading.discard(name)
                self.spans[name].append(now())

        return lead

    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.cluster.peek(LEASE, KEY)["spec"]
        return spec


class Cut(FakeCluster):
    """The same server, seen through a connection of its own that may fail."""

    def __init__(self, server: FakeCluster) -> None:
        super().__init__(FakeClock())
        self.server = server

    async def get(self, kind: Kind, key: Key) -> Manifest:
        await self.faults.before("get", kind)
        found = await self.server.get(kind, key)
        self.faults.after("get", kind)
        return found

    async def create(self, kind: Kind, manifest: Manifest, *, dry_run: bool = False) -> Written:
        await self.faults.before("create", kind)
        written = await self.server.create(kind, manifest, dry_run=dry_run)
        self.faults.after("create", kind)
        return written

    async def replace(self, kind: Kind, manifest: Manifest) -> Written:
        await self.faults.before("replace", kind)
        written = await self.server.replace(kind, manifest)
        self.faults.after("replace", kind)
        return written


async def test_the_first_candidate_leads_at_once_and_writes_a_record_that_servers_take() -> None:
    stage = Stage()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(stage.candidate("a").run(stage.work("a")))
        await asyncio.sleep(1)
        spec = stage.spec()
        task.cancel()

    assert stage.spans["a"][0] == 0
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("a", 0)
    assert spec["leaseDurationSeconds"] == 15
    assert spec["renewTime"] == "2026-11-23T12:00:00.000000Z"


async def test_a_leader_renews_and_standbys_do_not_write() -> None:
    stage = Stage()

    async with asyncio.TaskGroup() as tasks:
        leader = tasks.create_task(stage.candidate("a").run(stage.work("a")))
        await asyncio.sleep(0.1)
        standby = stage.candidate("b")
        waiting = tasks.create_task(standby.run(stage.work("b")))
        await asyncio.sleep(120)
        seen = (set(stage.leading), standby.term, standby.holder)
        leader.cancel()
        waiting.cancel()

    assert seen == ({"a"}, None, "a")
    assert 50 <= sum(write.verb == "replace" for write in stage.cluster.writes) <= 61


async def test_a_leader_that_stops_lets_go_and_the_next_one_leads_within_seconds() -> None:
    stage = Stage()

    async with asyncio.TaskGroup() as tasks:
        leader = tasks.create_task(stage.candidate("a").run(stage.work("a")))
        await asyncio.sleep(0.1)
        standby = tasks.create_task(stage.candidate("b").run(stage.work("b")))
        await asyncio.sleep(30)
        leader.cancel()
        await asyncio.sleep(0.1)
        released = stage.spec()
        await asyncio.sleep(10)
        standby.cancel()

    assert (released["holderIdentity"], released["leaseDurationSeconds"]) == ("", 1)
    assert stage.spans["b"][0] - stage.spans["a"][1] < 3
    assert stage.terms == [0, 1]


async def test_a_leader_that_dies_is_followed_once_its_lease_has_run_out() -> None:
    stage = Stage()
    dying = Cut(stage.cluster)

    async with asyncio.TaskGroup() as tasks:
        leader = tasks.create_task(stage.candidate("a", dying).run(stage.work("a")))
        await asyncio.sleep(0.1)
        standby = tasks.create_task(stage.candidate("b").run(stage.work("b")))
        await asyncio.sleep(30)
        dying.faults.refused_ratio = 1.0
        died = now()
        leader.cancel()
        await asyncio.sleep(30)
        standby.cancel()

    assert 12 < stage.spans["b"][0] - died < 20


async def test_a_leader_that_is_cut_off_stops_before_the_next_one_starts() -> None:
    stage = Stage()
    cut = Cut(stage.cluster)

    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(stage.candidate("a", cut).run(stage.work("a")))
        await asyncio.sleep(0.1)
        second = tasks.create_task(stage.candidate("b").run(stage.work("b")))
        await asyncio.sleep(30)
        cut.faults.latency_seconds = (3600.0, 3600.0)
        cut_at = now()
        await asyncio.sleep(60)
        first.cancel()
        second.cancel()

    assert stage.most_at_once == 1
    assert stage.spans["a"][1] - cut_at <= lease.RENEW_SECONDS_MAX
    assert stage.spans["b"][0] - stage.spans["a"][1] > 3
    assert stage.terms == [0, 1]


async def test_a_short_outage_costs_no_leadership() -> None:
    stage = Stage()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(stage.candidate("a").run(stage.work("a")))
        await asyncio.sleep(10)
        stage.cluster.faults.refuse(verb="replace", times=3)
        await asyncio.sleep(30)
        still = set(stage.leading)
        task.cancel()

    assert still == {"a"}
    assert stage.terms == [0]


async def test_a_lost_answer_to_a_renewal_costs_no_leadership() -> None:
    stage = Stage()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(stage.candidate("a").run(stage.work("a")))
        await asyncio.sleep(10)
        stage.cluster.faults.refuse(verb="replace", times=1, after=True)
        await asyncio.sleep(30)
        task.cancel()

    assert stage.terms == [0]


async def test_a_record_that_was_removed_by_hand_is_written_again_in_the_same_term() -> None:
    stage = Stage()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(stage.candidate("a").run(stage.work("a")))
        await asyncio.sleep(10)
        stage.cluster.remove(LEASE, KEY)
        await asyncio.sleep(5)
        holder = stage.spec()["holderIdentity"]
        task.cancel()

    assert holder == "a"
    assert stage.terms == [0]


async def test_a_record_taken_by_somebody_else_ends_the_work_at_once() -> None:
    stage = Stage()
    election = stage.candidate("a")

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(election.run(stage.work("a")))
        await asyncio.sleep(10)
        stage.cluster.edit(LEASE, KEY, lambda it: it["spec"].update(holderIdentity="thief"))
        await asyncio.sleep(4)
        seen = (set(stage.leading), election.term, election.holder)
        task.cancel()

    assert seen == (set(), None, "thief")
    assert stage.spec()["holderIdentity"] == "thief"


async def test_a_wrong_wall_clock_does_no_harm() -> None:
    stage = Stage()
    stage.cluster.put(
        LEASE,
        {
            "metadata": {"namespace": KEY.namespace, "name": KEY.name},
            "spec": {
                "holderIdentity": "dead",
                "leaseDurationSeconds": 15,
                "renewTime": "2099-01-01T00:00:00.000000Z",
                "leaseTransitions": 7,
            },
        },
    )

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(stage.candidate("a").run(stage.work("a")))
        await asyncio.sleep(30)
        task.cancel()

    assert 15 <= stage.spans["a"][0] < 18
    assert stage.terms == [8]


async def test_work_that_returns_ends_the_election_and_lets_go() -> None:
    stage = Stage()

    async def work(_term: int) -> None:
        await asyncio.sleep(20)

    await stage.candidate("a").run(work)

    assert now() == pytest.approx(20)
    assert stage.spec()["holderIdentity"] == ""


async def test_work_that_fails_ends_the_election_and_lets_go() -> None:
    stage = Stage()

    async def work(_term: int) -> None:
        await asyncio.sleep(1)
        raise errors.Gone(KEY.name)

    with pytest.raises(ExceptionGroup) as caught:
        await stage.candidate("a").run(work)

    assert caught.group_contains(errors.Gone)
    assert stage.spec()["holderIdentity"] == ""


async def test_work_is_waited_for_before_the_lease_is_let_go() -> None:
    stage = Stage()
    ended: list[float] = []

    async def work(_term: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(3)
            ended.append(now())
            assert stage.spec()["holderIdentity"] == "a"

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(stage.candidate("a").run(work))
        await asyncio.sleep(10)
        task.cancel()

    assert ended == [13]
    assert stage.spec()["holderIdentity"] == ""


async def test_of_many_that_race_one_leads() -> None:
    stage = Stage()
    stage.cluster.faults.latency_seconds = (0.0, 0.2)

    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(stage.candidate(name).run(stage.work(name))) for name in "abcdefgh"
        ]
        await asyncio.sleep(60)
        for task in running:
            task.cancel()

    assert len(stage.spans) == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_whatever_the_network_does_two_never_work_at_once_and_terms_rise(seed: int) -> None:
    async def main() -> Stage:
        random = Random(seed)
        stage = Stage()
        seen = {name: Cut(stage.cluster) for name in "abc"}
        async with asyncio.TaskGroup() as tasks:
            running = {
                name: tasks.create_task(stage.candidate(name, cut).run(stage.work(name)))
                for name, cut in seen.items()
            }
            for _ in range(60):
                faults = seen[random.choice("abc")].faults
                faults.random = random
                faults.refused_ratio = random.choice([0.0, 0.0, 0.5, 1.0])
                faults.lost_answer_ratio = random.choice([0.0, 0.0, 0.3])
                faults.latency_seconds = (0.0, random.choice([0.01, 0.01, 2.0, 20.0]))
                name = random.choice("abcdefghi")
                if name in running:
                    running[name].cancel()
                    await asyncio.sleep(random.uniform(0, 5))
                    running[name] = tasks.create_task(
                        stage.candidate(name, seen[name]).run(stage.work(name))
                    )
                await asyncio.sleep(random.uniform(0, 15))
            for cut in seen.values():
                cut.faults.heal()
            await asyncio.sleep(40)
            assert len(stage.leading) == 1
            for task in running.values():
                task.cancel()
        return stage

    stage = simulate(main())

    assert stage.most_at_once == 1
    assert stage.terms == sorted(set(stage.terms))
