"""The reflector: the cache ends up like the cluster, whatever the stream does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.api.meta import POD, ROLLOUT, VIRTUAL_SERVICE, Key, Kind, Manifest
from rollout.base import errors
from rollout.controller.cache import Cache
from rollout.controller.record import Record
from rollout.controller.watch import RELIST_SECONDS, Reflector
from tests.world.clock import FakeClock, simulate
from tests.world.cluster import FakeCluster
from tests.world.faults import Faults

pytestmark = pytest.mark.looptime

Told = list[tuple[Manifest | None, Manifest | None]]


def thing(name: str = "a", **spec: Any) -> Manifest:
    return {"metadata": {"namespace": "shop", "name": name}, "spec": spec}


def key(name: str = "a") -> Key:
    return Key("shop", name)


def new_reflector(
    cluster: FakeCluster, told: Told, *, kind: Kind = ROLLOUT, record: Record | None = None
) -> Reflector:
    return Reflector(
        cluster,
        Cache(kind),
        lambda old, new: told.append((old, new)),
        clock=FakeClock(),
        random=Random(1),
        record=record,
    )


@asynccontextmanager
async def running(reflector: Reflector) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(reflector.run())
        await reflector.synced.wait()
        yield
        task.cancel()


def mirrored(cluster: FakeCluster, reflector: Reflector) -> bool:
    """Whether the cache knows exactly what is in the cluster, versions included."""
    known = {key: reflector.cache.get(key) for key in cluster.everything(reflector.kind)}
    return len(reflector.cache) == len(known) and known == cluster.everything(reflector.kind)


async def test_the_cache_fills_from_a_list_and_follows_events() -> None:
    cluster = FakeCluster(FakeClock())
    told: Told = []
    cluster.put(ROLLOUT, thing(revision="v1"))
    reflector = new_reflector(cluster, told)

    async with running(reflector):
        cluster.put(ROLLOUT, thing(revision="v2"))
        cluster.put(ROLLOUT, thing("b"))
        cluster.remove(ROLLOUT, key("b"))
        await asyncio.sleep(0.1)

    changes = [(bool(old), new and new["spec"]) for old, new in told]
    assert changes == [
        (False, {"revision": "v1"}),
        (True, {"revision": "v2"}),
        (False, {}),
        (True, None),
    ]
    assert mirrored(cluster, reflector)


async def test_an_object_deleted_while_the_watch_was_down_is_told_as_gone() -> None:
    cluster = FakeCluster(FakeClock())
    told: Told = []
    cluster.put(ROLLOUT, thing())
    reflector = new_reflector(cluster, told)

    async with running(reflector):
        cluster.faults.refuse(verb="watch", times=3)
        cluster.break_watches()
        await asyncio.sleep(0.1)
        cluster.remove(ROLLOUT, key())
        cluster.forget_history()
        await asyncio.sleep(10)

    assert told[-1][1] is None
    assert len(reflector.cache) == 0


async def test_a_stream_that_ends_is_resumed_without_a_list_and_misses_nothing() -> None:
    cluster = FakeCluster(FakeClock())
    reflector = new_reflector(cluster, [])

    async with running(reflector):
        await asyncio.sleep(10)
        for number in range(3):
            cluster.end_watches()
            cluster.put(ROLLOUT, thing(str(number)))
            await asyncio.sleep(10)

        assert mirrored(cluster, reflector)
    assert cluster.requests["list", "rollouts"] == 1


async def test_a_silent_stream_is_noticed_and_replaced() -> None:
    cluster = FakeCluster(FakeClock())
    reflector = new_reflector(cluster, [])

    async with running(reflector):
        cluster.silence_watches()
        cluster.put(ROLLOUT, thing())
        await asyncio.sleep(100)

        assert mirrored(cluster, reflector)


async def test_bookmarks_keep_the_version_young_and_the_server_heard() -> None:
    cluster = FakeCluster(FakeClock())
    reflector = new_reflector(cluster, [])

    async with running(reflector):
        await asyncio.sleep(200)
        silence = asyncio.get_running_loop().time() - reflector.last_heard_seconds

    assert silence <= 60


async def test_a_kind_that_is_not_installed_counts_as_empty_until_it_is() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.uninstall(VIRTUAL_SERVICE)
    told: Told = []
    reflector = new_reflector(cluster, told, kind=VIRTUAL_SERVICE)

    async with running(reflector):
        at_start = (reflector.present, len(reflector.cache))
        cluster.install(VIRTUAL_SERVICE)
        cluster.put(VIRTUAL_SERVICE, thing())
        await asyncio.sleep(60)

        assert mirrored(cluster, reflector)
    assert at_start == (False, 0)
    assert reflector.present
    assert len(told) == 1


async def test_a_moment_of_404_after_a_restart_of_the_server_is_not_believed() -> None:
    cluster = FakeCluster(FakeClock())
    told: Told = []
    cluster.put(VIRTUAL_SERVICE, thing())
    reflector = new_reflector(cluster, told, kind=VIRTUAL_SERVICE)

    async with running(reflector):
        cluster.faults.refuse(errors.NotFound("VirtualService"), times=4)
        cluster.break_watches()
        await asyncio.sleep(60)

    assert len(told) == 1
    assert key() in reflector.cache


async def test_a_kind_that_is_uninstalled_for_good_is_emptied() -> None:
    cluster = FakeCluster(FakeClock())
    told: Told = []
    cluster.put(VIRTUAL_SERVICE, thing())
    reflector = new_reflector(cluster, told, kind=VIRTUAL_SERVICE)

    async with running(reflector):
        cluster.uninstall(VIRTUAL_SERVICE)
        await asyncio.sleep(120)

    assert told[-1][1] is None
    assert not reflector.present


async def test_an_outage_is_met_with_growing_jittered_pauses() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.faults.refuse(verb="list", times=10_000)
    reflector = new_reflector(cluster, [])

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(reflector.run())
        await asyncio.sleep(600)
        task.cancel()

    assert 25 <= cluster.requests["list", "rollouts"] <= 60
    assert not reflector.synced.is_set()


async def test_a_server_that_asks_for_time_gets_it() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.faults.refuse(errors.Overloaded("the API server", retry_after_seconds=45), verb="list")
    reflector = new_reflector(cluster, [])

    async with running(reflector):
        waited = asyncio.get_running_loop().time()

    assert waited >= 45


async def test_a_crash_of_ours_is_survived_and_counted() -> None:
    cluster = FakeCluster(FakeClock())
    record = Record()
    cluster.faults.refuse(RuntimeError("a defect"), verb="list")
    reflector = new_reflector(cluster, [], record=record)

    async with running(reflector):
        cluster.put(ROLLOUT, thing())
        await asyncio.sleep(1)

        assert mirrored(cluster, reflector)
    line = b'rollout_watch_restarts_total{kind="rollouts",reason="crash"} 1.0'
    assert line in record.render()


async def test_a_list_from_time_to_time_changes_nothing_when_nothing_changed() -> None:
    cluster = FakeCluster(FakeClock())
    told: Told = []
    cluster.put(ROLLOUT, thing())
    reflector = new_reflector(cluster, told)

    async with running(reflector):
        await asyncio.sleep(3 * RELIST_SECONDS)

    assert 3 <= cluster.requests["list", "rollouts"] <= 5
    assert len(told) == 1


async def test_the_echo_of_our_own_write_is_no_news() -> None:
    cluster = FakeCluster(FakeClock())
    told: Told = []
    cluster.put(ROLLOUT, thing())
    reflector = new_reflector(cluster, told)

    async with running(reflector):
        status = {"status": {"phase": "Stable"}}
        written = await cluster.patch(ROLLOUT, key(), status, subresource="status")
        reflector.cache.put(written.object)
        await asyncio.sleep(1)

    assert len(told) == 1


async def test_a_restored_backup_is_taken_as_it_is() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.put(ROLLOUT, thing(revision="v1"))
    backup = cluster.everything(ROLLOUT)
    reflector = new_reflector(cluster, [])

    async with running(reflector):
        for number in range(20):
            cluster.put(ROLLOUT, thing(revision=f"v{number}"))
        await asyncio.sleep(1)
        cluster._objects["rollouts"] = backup
        cluster._history.clear()
        cluster.revision = 105
        cluster.faults.refuse(errors.Gone("Rollout"), verb="watch")
        cluster.break_watches()
        await asyncio.sleep(10)

        assert mirrored(cluster, reflector)


async def test_metadata_is_enough_for_pods() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.put(POD, thing(containers=[]))
    reflector = new_reflector(cluster, [], kind=POD)

    async with running(reflector):
        found = reflector.cache.get(key())

    assert found is not None
    assert "spec" not in found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_lost_doubled_late_and_shuffled_events_lead_to_the_same_world(seed: int) -> None:
    async def main() -> tuple[bool, dict[Key, Manifest], dict[Key, Manifest]]:
        random = Random(seed)
        faults = Faults(
            random=random,
            latency_seconds=(0.0, 0.5),
            refused_ratio=0.1,
            lost_event_ratio=0.2,
            doubled_event_ratio=0.2,
            event_delay_seconds=(0.0, 3.0),
            reorder_events=True,
        )
        cluster = FakeCluster(FakeClock(), faults=faults)
        told: dict[Key, Manifest] = {}

        def notify(old: Manifest | None, new: Manifest | None) -> None:
            named = new or old
            assert named is not None
            told.pop(key(named["metadata"]["name"]), None)
            if new is not None:
                told[key(new["metadata"]["name"])] = new

        reflector = Reflector(cluster, Cache(ROLLOUT), notify, clock=FakeClock(), random=random)
        async with running(reflector):
            for number in range(60):
                name = random.choice("abcd")
                if random.random() < 0.3 and key(name) in cluster.everything(ROLLOUT):
                    cluster.remove(ROLLOUT, key(name))
                else:
                    cluster.put(ROLLOUT, thing(name, number=number))
                if random.random() < 0.1:
                    random.choice([cluster.end_watches, cluster.break_watches])()
                if random.random() < 0.05:
                    cluster.forget_history()
                await asyncio.sleep(random.uniform(0, 2))
            faults.heal()
            await asyncio.sleep(RELIST_SECONDS + 100)
            return mirrored(cluster, reflector), told, cluster.everything(ROLLOUT)

    same, told, world = simulate(main())

    assert same
    assert {k: m["spec"] for k, m in told.items()} == {k: m["spec"] for k, m in world.items()}


def forbidden() -> errors.Denied:
    return errors.Denied("pods", status_code=403, message="pods is forbidden")


async def test_a_lesser_kind_that_may_not_be_read_counts_as_empty_until_it_may_be() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.put(VIRTUAL_SERVICE, thing())
    cluster.faults.refuse(forbidden(), times=2)
    reflector = new_reflector(cluster, [], kind=VIRTUAL_SERVICE)
    reflector.essential = False

    async with running(reflector):
        at_start = (reflector.cache.denied, len(reflector.cache))
        await asyncio.sleep(90)

        assert mirrored(cluster, reflector)
    assert at_start == ("pods is forbidden", 0)
    assert not reflector.cache.denied


async def test_a_lesser_kind_that_is_taken_from_us_for_good_is_forgotten() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.put(VIRTUAL_SERVICE, thing())
    reflector = new_reflector(cluster, [], kind=VIRTUAL_SERVICE)
    reflector.essential = False

    async with running(reflector):
        cluster.faults.refuse(forbidden(), times=1000)
        cluster.break_watches()
        await asyncio.sleep(20)
        soon = len(reflector.cache)
        await asyncio.sleep(200)

    assert soon == 1
    assert len(reflector.cache) == 0
    assert reflector.cache.denied


async def test_an_essential_kind_that_may_not_be_read_is_waited_for() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.faults.refuse(forbidden(), times=1000)
    reflector = new_reflector(cluster, [])

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(reflector.run())
        await asyncio.sleep(300)
        task.cancel()

    assert not reflector.synced.is_set()
    assert not reflector.cache.denied
