"""All Rollouts as they change, and the subsets of a host."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from rollout.api.meta import DESTINATION_RULE, ROLLOUT, Key
from rollout.base import errors
from rollout.wiring import surveys
from rollout.wiring.client import Client
from tests.views.samples import PROGRESSING, STABLE, manifest
from tests.world.clock import FakeClock
from tests.world.cluster import FakeCluster


def client_of(cluster: FakeCluster) -> Client:
    return Client(cluster, namespace="shop", user="alice", clock=FakeClock())


@pytest.mark.looptime
async def test_a_roll_call_outlives_broken_streams_compaction_and_outages() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.put(ROLLOUT, manifest(PROGRESSING))
    cluster.put(ROLLOUT, manifest(STABLE, namespace="other"))
    seen: list[list[str]] = []

    async def happen() -> None:
        await asyncio.sleep(1)
        cluster.faults.refuse(errors.Unreachable("server", why="gone"), verb="list", times=3)
        cluster.break_watches()
        cluster.put(ROLLOUT, manifest(STABLE, name="details"))
        cluster.forget_history()
        await asyncio.sleep(10)
        cluster.remove(ROLLOUT, Key("shop", "reviews"))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(happen())
        async with aclosing(surveys.roll_calls(client_of(cluster))) as calls:
            async for known in calls:
                names = [key.name for key in known]
                if not seen or seen[-1] != names:
                    seen.append(names)
                if names == ["details"]:
                    break

    assert seen == [["reviews"], ["details", "reviews"], ["details"]]


async def test_a_roll_call_of_all_namespaces_names_them_in_order() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.put(ROLLOUT, manifest(PROGRESSING))
    cluster.put(ROLLOUT, manifest(STABLE, namespace="other"))

    async with aclosing(surveys.roll_calls(client_of(cluster), everywhere=True)) as calls:
        known = await anext(calls)

    assert [str(key) for key in known] == ["other/reviews", "shop/reviews"]


async def test_subsets_are_those_of_the_rollouts_own_host_however_it_is_spelt() -> None:
    cluster = FakeCluster(FakeClock())
    rollout = cluster.put(ROLLOUT, manifest(PROGRESSING))
    for name, host in (("a", "reviews.shop.svc.cluster.local"), ("b", "other"), ("c", "reviews")):
        spec = {"host": host, "subsets": [{"name": f"{name}1"}]}
        metadata = {"namespace": "shop", "name": name}
        cluster.put(DESTINATION_RULE, {"metadata": metadata, "spec": spec})
    cluster.put(DESTINATION_RULE, {"metadata": {"namespace": "shop", "name": "d"}})

    assert list(await surveys.subsets(client_of(cluster), rollout)) == ["a1", "c1"]
