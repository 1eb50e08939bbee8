"""What a Rollout costs at rest and in motion, and how soon it reacts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from rollout.api.action import Verb
from rollout.api.meta import EVENT, ROLLOUT, VIRTUAL_SERVICE, Key, Kind, Manifest
from rollout.controller.manager import Manager
from tests.stories import gray
from tests.stories.gray import Story
from tests.world.clock import FakeClock

pytestmark = pytest.mark.looptime(noop_cycles=1)

READS = {"list", "watch"}
REACTION_SECONDS_MAX = 0.3
ABORT_SECONDS_MAX = 0.1


def asked(story: Story) -> int:
    """Requests to the API server but for what keeps the caches."""
    requests = story.cluster.requests.items()
    return sum(count for (verb, _), count in requests if verb not in READS)


@pytest.mark.timeout(30)
async def test_a_settled_rollout_asks_nobody_anything_for_an_hour_peers_31_119() -> None:
    async with gray.told() as story:
        await story.stable()
        story.want("v2")
        await story.stable("v2", within_seconds=120)
        await asyncio.sleep(5)
        calls, queries = asked(story), len(story.metrics.asked)

        await asyncio.sleep(3600)

        assert asked(story) == calls
        assert len(story.metrics.asked) == queries


async def test_a_rollout_that_waits_for_a_person_writes_once_a_minute_at_most() -> None:
    async with gray.told(gray.rollout(strategy={"steps": [{"weight": 5}, {"pause": {}}]})) as story:
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=30)
        await asyncio.sleep(1)
        before, events = len(story.cluster.writes), story.writes(EVENT)

        await asyncio.sleep(600)

        assert len(story.cluster.writes) - before <= 11
        assert story.writes(EVENT) == events


async def test_a_step_costs_two_writes_and_one_event() -> None:
    async with gray.told() as story:
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(5)
        before = story.cluster.requests.copy()

        await story.until_step(2, within_seconds=30)
        await asyncio.sleep(5)

        spent = story.cluster.requests - before
        spent = type(spent)({k: n for k, n in spent.items() if k[0] not in READS})
        assert spent == {
            ("get", ROLLOUT.plural): 1,
            ("patch", VIRTUAL_SERVICE.plural): 1,
            ("patch", ROLLOUT.plural): 1,
            ("create", EVENT.plural): 1,
        }


async def test_our_own_writes_coming_back_cause_no_further_one() -> None:
    async with gray.told() as story:
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(0.5)
        before = len(story.cluster.writes)

        await asyncio.sleep(5)

        assert len(story.cluster.writes) == before


async def test_whoever_undoes_each_status_is_not_answered_without_end() -> None:
    async with gray.told() as story:
        await story.stable()
        before = story.writes(ROLLOUT)

        def undo(kind: Kind, manifest: Manifest) -> None:
            if kind == ROLLOUT and manifest.get("status", {}).get("phase") == "Stable":
                broken = story.cluster.peek(ROLLOUT, gray.KEY)
                broken["status"]["phase"] = "Blocked"
                story.cluster.put(ROLLOUT, broken)

        story.cluster.heard = undo
        story.edit(revision="v1", suspend=True)
        await asyncio.sleep(60)

        assert story.writes(ROLLOUT) - before <= 20 + 2 * 60


def many(story: Story, count: int) -> list[Key]:
    """As many services with a Rollout each; their counters grow whatever the weights."""
    keys = []
    for i in range(count):
        name = f"svc-{i}"
        gray.furnish(story.cluster, name)
        manifest = gray.rollout()
        manifest["metadata"]["name"], manifest["spec"]["host"] = name, name
        story.cluster.put(ROLLOUT, manifest)
        keys.append(Key(gray.NAMESPACE, name))
        for version in ("v1", "v2"):
            story.metrics.counter(
                "istio_requests_total",
                {
                    "reporter": "source",
                    "destination_service": f"{name}.shop.svc.cluster.local",
                    "destination_workload": f"{name}-{version}",
                    "response_code": "200",
                    "response_flags": "-",
                    "instance": "client",
                },
                per_second=100,
            )
    return keys


@pytest.mark.timeout(40)
async def test_fifty_runs_due_at_one_tick_ask_one_query_peers_124() -> None:
    story = gray.furnished()
    keys = many(story, 50)
    async with gray.running(gray.controller(story).run):
        await asyncio.sleep(2)
        for key in keys:
            story.cluster.edit(ROLLOUT, key, lambda m: m["spec"].update(revision="v2"))
        await asyncio.sleep(5)
        before = len(story.metrics.asked)

        await asyncio.sleep(4)

        steps = [story.cluster.peek(ROLLOUT, key)["status"]["run"]["step"] for key in keys]
        assert len(story.metrics.asked) - before <= 8
        assert min(steps) >= 1


@pytest.mark.parametrize("moment", [0.0, 0.13, 0.5, 0.87])
async def test_a_failure_is_acted_on_within_a_third_of_a_second_of_its_sample(
    moment: float,
) -> None:
    async with gray.told() as story:
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=60)
        await asyncio.sleep(3 + moment)

        story.fail("v2", 50)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=10, look_seconds=0.01)

        reacted = story.clock.start.timestamp() + story.weights_seen[-1][0]
        failed = [g.failed_sample_at for g in story.run().gates if g.failed_sample_at]
        assert failed
        assert 0 <= reacted - failed[0].timestamp() <= REACTION_SECONDS_MAX


@pytest.mark.parametrize("moment", [0.0, 0.3, 0.9])
async def test_an_abort_is_obeyed_within_a_tenth_of_a_second(moment: float) -> None:
    async with gray.told() as story:
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=60)
        await asyncio.sleep(moment)

        said = story.clock.monotonic_seconds()
        story.command(Verb.ABORT)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=2, look_seconds=0.01)

        assert story.weights_seen[-1][0] - said <= ABORT_SECONDS_MAX


@pytest.mark.parametrize("skew_seconds", [-30.0, -2.0, 2.0, 30.0])
async def test_a_clock_that_differs_from_prometheus_costs_neither_time_nor_queries(
    skew_seconds: float,
) -> None:
    story = gray.furnished()
    wrong = FakeClock()
    wrong.jump(skew_seconds)
    async with gray.running(gray.controller(story, clock=wrong).run):
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=60)
        before = len(story.metrics.asked)
        await asyncio.sleep(5.05)
        asked_count = len(story.metrics.asked) - before

        story.fail("v2", 50)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=10, look_seconds=0.01)

        reacted = story.clock.start.timestamp() + story.weights_seen[-1][0]
        failed = next(g.failed_sample_at for g in story.run().gates if g.failed_sample_at)
        assert asked_count <= 15
        assert reacted - failed.timestamp() <= 1.0


async def test_the_status_of_a_long_run_stays_small() -> None:
    steps = [{"weight": 5, "hold": "30m"}]
    gates = [
        {"name": "errors", "errorRate": {"maxPercent": 1, "maxRatio": 1.5}},
        *(
            {"name": f"slow-{q}", "latency": {"quantilePercent": q, "max": "500ms"}}
            for q in (50, 90, 99)
        ),
    ]
    spec = gray.rollout(strategy={"steps": steps, "maxDuration": "2h"}, gates=gates)
    async with gray.told(spec) as story:
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        for _ in range(12):
            await asyncio.sleep(6)
            # Proxies restart all the time: other series, each with a cursor of its own.
            for counter in story.counters.values():
                counter.vanish()
            story.counters.clear()
            story.flow()

        size = len(str(story.cluster.peek(ROLLOUT, gray.KEY)["status"]))
        assert size < 32 * 1024


def memories(manager: Manager) -> Iterator[tuple[str, int]]:
    """Every dictionary, set and queue that the controller's parts keep, and how full it is."""
    reconciler = manager._reconciler
    parts = [
        manager.queue,
        manager._telescope,
        manager._alarms,
        reconciler._observer,
        reconciler._observer._damper,
        reconciler._observer._damper._losses,
        reconciler._applier,
        reconciler._applier._put_backs,
        reconciler._applier._restores,
        reconciler._applier._thrift,
        reconciler._judging,
        manager.world.rollouts,
        manager._record,
    ]
    for part in parts:
        for name, value in vars(part).items():
            if isinstance(value, dict | set) and name not in {"_indexes", "_buried", "_found"}:
                yield f"{type(part).__name__}.{name}", len(value)


async def test_a_rollout_that_is_gone_leaves_nothing_behind_peers_117_128() -> None:
    story = gray.furnished()
    manager = gray.controller(story)
    async with gray.running(manager.run):
        await story.stable()
        story.cluster.remove(ROLLOUT, gray.KEY)
        await asyncio.sleep(10)
        bare = dict(memories(manager))
        for _ in range(3):
            story.cluster.put(ROLLOUT, gray.rollout())
            await story.stable()
            story.want("v2")
            await story.until_step(1, within_seconds=30)
            story.set_weights(v1=30, v2=70)
            story.metrics.down = True
            await asyncio.sleep(6)
            story.metrics.down = False
            story.cluster.admit = lambda _, kind, __: "no" if kind == VIRTUAL_SERVICE else None
            story.set_weights(v1=20, v2=80)
            await asyncio.sleep(6)
            story.cluster.admit = None
            story.cluster.remove(ROLLOUT, gray.KEY)
            await asyncio.sleep(320)
            assert story.cluster.everything(ROLLOUT) == {}

        left = dict(memories(manager))

    assert left == bare
    assert {name: count for name, count in left.items() if count} == {}
