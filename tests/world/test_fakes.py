"""The fakes behave as what they stand for; their own small specification."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from rollout.api.meta import POD, ROLLOUT, VIRTUAL_SERVICE, Key
from rollout.base import errors
from rollout.ports import Alarms, Clock, Cluster, Metrics
from tests.world.alarms import FakeAlarms
from tests.world.clock import START, FakeClock, simulate
from tests.world.cluster import FakeCluster
from tests.world.metrics import FakeMetrics

pytestmark = pytest.mark.looptime

KEY = Key("shop", "checkout")


def rollout(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": "checkout"}, "spec": spec}


def the_types_agree(
    cluster: FakeCluster, clock: FakeClock, alarms: FakeAlarms, metrics: FakeMetrics
) -> tuple[Cluster, Clock, Alarms, Metrics]:
    """Not a test: mypy holds the fakes to the ports."""
    return cluster, clock, alarms, metrics


async def test_a_write_with_a_stale_version_is_a_conflict_and_changes_nothing() -> None:
    cluster = FakeCluster(FakeClock())
    old = cluster.put(ROLLOUT, rollout(revision="v1"))
    cluster.put(ROLLOUT, rollout(revision="v2"))
    version = {
        "op": "replace",
        "path": "/metadata/resourceVersion",
        "value": old["metadata"]["resourceVersion"],
    }

    with pytest.raises(errors.Conflict):
        await cluster.patch(ROLLOUT, KEY, [version])

    assert cluster.peek(ROLLOUT, KEY)["spec"] == {"revision": "v2"}


async def test_status_and_spec_are_written_by_different_doors() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.put(ROLLOUT, rollout(revision="v1"))

    await cluster.patch(ROLLOUT, KEY, {"spec": {"revision": "v2"}, "status": {"phase": "A"}})
    await cluster.patch(
        ROLLOUT, KEY, {"spec": {"revision": "v3"}, "status": {"phase": "B"}}, subresource="status"
    )

    found = cluster.peek(ROLLOUT, KEY)
    assert (found["spec"], found["status"]) == ({"revision": "v2"}, {"phase": "B"})
    assert found["metadata"]["generation"] == 2


async def test_a_write_that_changes_nothing_has_no_new_version_and_no_event() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.put(VIRTUAL_SERVICE, rollout(http=[]))
    before = cluster.revision

    await cluster.patch(VIRTUAL_SERVICE, KEY, {"spec": {"http": []}})

    assert cluster.revision == before
    assert [write.changed for write in cluster.writes] == [False]


async def test_a_finalizer_holds_an_object_until_it_is_taken_off() -> None:
    cluster = FakeCluster(FakeClock())
    manifest = rollout()
    manifest["metadata"]["finalizers"] = ["rollout.dev/return-traffic"]
    cluster.put(ROLLOUT, manifest)

    await cluster.delete(ROLLOUT, KEY)
    held = cluster.peek(ROLLOUT, KEY)
    await cluster.patch(ROLLOUT, KEY, {"metadata": {"finalizers": None}})

    assert "deletionTimestamp" in held["metadata"]
    assert cluster.everything(ROLLOUT) == {}


async def test_a_watch_tells_what_followed_a_version_then_bookmarks_then_ends() -> None:
    cluster = FakeCluster(FakeClock())
    start = str(cluster.revision)
    cluster.put(POD, {"metadata": {"namespace": "shop", "name": "a"}, "spec": {"x": 1}})
    cluster.remove(POD, Key("shop", "a"))

    events = [event async for event in cluster.watch(POD, resource_version=start)]

    assert [event.type for event in events[:3]] == ["ADDED", "DELETED", "BOOKMARK"]
    assert {event.type for event in events[3:]} == {"BOOKMARK"}
    assert "spec" not in events[0].object


async def test_a_watch_from_before_the_history_is_gone() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.put(ROLLOUT, rollout())
    cluster.forget_history()

    with pytest.raises(errors.Gone):
        await anext(cluster.watch(ROLLOUT, resource_version="100"))


async def test_an_answer_that_is_lost_leaves_its_effect() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.faults.refuse(verb="create", after=True)

    with pytest.raises(errors.Unreachable):
        await cluster.create(ROLLOUT, rollout())

    assert KEY in cluster.everything(ROLLOUT)


async def test_an_alarm_rings_once_at_its_time_and_a_late_one_at_once() -> None:
    clock = FakeClock()
    alarms = FakeAlarms(clock)
    alarms.set(KEY, START + timedelta(seconds=60))
    alarms.set(Key("shop", "late"), START - timedelta(days=1))

    async with alarms.running(lambda _key: None):
        await asyncio.sleep(3600)

    assert alarms.rung == [
        (START, Key("shop", "late")),
        (START + timedelta(seconds=60), KEY),
    ]


def test_counters_grow_on_their_scrape_grid_and_reset_at_a_restart() -> None:
    async def main() -> Any:
        metrics = FakeMetrics(FakeClock(), scrape_seconds=15)
        counter = metrics.counter("requests_total", {"pod": "a"}, per_second=2)
        await asyncio.sleep(30)
        counter.restart()
        await asyncio.sleep(30)
        query = 'requests_total{pod=~"a|b"}[60s]'
        return await metrics.query(query, time_seconds=None, timeout_seconds=1)

    answer = simulate(main())

    values = [value for _, value in answer["data"]["result"][0]["values"]]
    assert values == ["30", "60", "30", "60"]


async def test_sums_are_grouped_and_what_is_not_understood_is_bad_input() -> None:
    metrics = FakeMetrics(FakeClock(), scrape_seconds=1)
    for pod in ("a", "b"):
        metrics.counter("requests_total", {"pod": pod, "arm": "canary"}, per_second=10)
    await asyncio.sleep(10)

    answer = await metrics.query(
        "sum by (arm) (requests_total)", time_seconds=None, timeout_seconds=1
    )
    with pytest.raises(errors.BadInput):
        await metrics.query("topk(3, x)", time_seconds=None, timeout_seconds=1)

    assert answer["data"]["result"][0]["metric"] == {"arm": "canary"}
    assert answer["data"]["result"][0]["value"][1] == "200"
