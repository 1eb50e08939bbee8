"""Writers in the way, and watches that lose, double, delay, break or fall silent."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from rollout.api.action import Verb
from rollout.api.meta import (
    DESTINATION_RULE,
    ENDPOINT_SLICE,
    EVENT,
    ROLLOUT,
    ROLLOUT_ACTION,
    VIRTUAL_SERVICE,
    Key,
    Kind,
    Manifest,
)
from rollout.base.errors import Conflict, Overloaded, Unreachable
from tests.stories import gray
from tests.stories.gray import Story

pytestmark = pytest.mark.looptime(noop_cycles=1)


async def at_step(story: Story, step: int) -> None:
    await story.stable()
    story.want("v2")
    await story.until_step(step, within_seconds=60)


@pytest.mark.parametrize("kind", [VIRTUAL_SERVICE, ROLLOUT, ROLLOUT_ACTION], ids=str)
async def test_conflicts_are_decided_again_and_never_told_to_a_user_peers_34(kind: Kind) -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        story.cluster.faults.refuse(Conflict("it"), verb="patch", kind=kind, times=7)
        said = story.command(Verb.PROMOTE)

        await story.stable("v2", within_seconds=60)

        assert story.canary_weights() == [0, 5, 50, 100]
        assert story.answer(said)["outcome"] == "Applied"


@pytest.mark.parametrize("ending", ["abort", "failing gate"])
async def test_a_patch_that_does_not_fit_a_newer_object_is_a_conflict_and_no_refusal(
    ending: str,
) -> None:
    """A server applies a patch before it compares versions: paths that are gone are a 422."""
    strategy = {"steps": [{"weight": 50, "hold": "50m"}], "maxDuration": "5h"}
    async with gray.told(gray.rollout(guard={"timeout": "2s"}, strategy=strategy)) as story:
        await at_step(story, 1)
        await asyncio.sleep(3)
        story.cluster.silence_watches(VIRTUAL_SERVICE)
        story.cluster.edit(VIRTUAL_SERVICE, gray.KEY, without_managed_routes)

        if ending == "abort":
            story.command(Verb.ABORT)
        else:
            story.fail("v2", 100)

        await story.until(lambda: story.weight("v2") == 0, within_seconds=12)
        assert story.events("WriteDenied") == []
        assert "refused" not in story.status().message


async def test_a_guard_that_does_not_come_off_a_newer_rule_is_a_conflict_and_no_refusal() -> None:
    guard = {"outlierDetection": {"consecutive5xxErrors": 3}}
    strategy = {"steps": [{"weight": 50, "hold": "50m"}], "maxDuration": "5h"}
    async with gray.told(gray.rollout(guard=guard, strategy=strategy)) as story:
        await at_step(story, 1)
        await asyncio.sleep(3)
        story.cluster.silence_watches(DESTINATION_RULE)
        story.cluster.edit(DESTINATION_RULE, gray.KEY, without_policies)

        story.command(Verb.ABORT)

        await story.until_phase("RolledBack", within_seconds=5)


def without_managed_routes(manifest: Manifest) -> None:
    """As a sync from git leaves it."""
    routes = manifest["spec"]["http"]
    manifest["spec"]["http"] = [r for r in routes if not r["name"].startswith("rollout.dev/")]


def without_policies(manifest: Manifest) -> None:
    for subset in manifest["spec"]["subsets"]:
        subset.pop("trafficPolicy", None)


async def test_a_writer_that_is_always_first_makes_no_storm() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        story.cluster.faults.refuse(Conflict("it"), verb="patch", kind=VIRTUAL_SERVICE, times=999)
        before = story.cluster.requests["patch", VIRTUAL_SERVICE.plural]

        await asyncio.sleep(60)
        asked = story.cluster.requests["patch", VIRTUAL_SERVICE.plural] - before
        story.cluster.faults.heal()
        await story.stable("v2", within_seconds=90)

        assert 0 < asked < 400


async def test_a_write_whose_answer_is_lost_is_found_done() -> None:
    async with gray.told() as story:
        await story.stable()
        for _ in range(3):
            story.cluster.faults.refuse(verb="patch", after=True, times=1)
            story.cluster.faults.refuse(verb="patch", kind=VIRTUAL_SERVICE, after=True, times=1)

        story.want("v2")
        await story.stable("v2", within_seconds=120)

        assert story.canary_weights() == [0, 5, 50, 100]
        assert story.events("PutBack") == []


async def test_an_api_server_that_is_away_for_minutes_is_waited_for_and_nothing_is_lost() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        story.cluster.faults.refused_ratio = 1.0
        story.cluster.break_watches()
        await asyncio.sleep(240)

        story.cluster.faults.heal()
        await story.until_step(2, within_seconds=45)
        await story.stable("v2", within_seconds=60)

        assert story.canary_weights() == [0, 5, 50, 100]


async def test_a_server_that_asks_for_patience_gets_it() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        busy = Overloaded("the API server", retry_after_seconds=20)
        story.cluster.faults.refuse(busy, verb="patch", kind=VIRTUAL_SERVICE)
        before = story.clock.monotonic_seconds()

        await story.until_step(2, within_seconds=60)

        assert story.clock.monotonic_seconds() - before >= 20


async def test_events_that_are_refused_stop_nothing() -> None:
    async with gray.told() as story:
        await story.stable()
        story.cluster.faults.refuse(Unreachable("it", why="no"), kind=EVENT, times=2)
        story.cluster.faults.refuse(Conflict("it"), kind=EVENT, times=2)
        story.cluster.admit = lambda _, kind, __: "no" if kind == EVENT else None

        story.want("v2")
        await story.stable("v2", within_seconds=120)


@pytest.mark.parametrize("seed", range(4))
async def test_watch_events_that_are_late_double_or_out_of_order_change_nothing(seed: int) -> None:
    story = gray.furnished()
    story.cluster.faults.random = Random(seed)
    story.cluster.faults.event_delay_seconds = (0.0, 0.8)
    story.cluster.faults.doubled_event_ratio = 0.5
    story.cluster.faults.reorder_events = True
    async with gray.running(gray.controller(story).run):
        await at_step(story, 2)
        await story.stable("v2", within_seconds=60)

        assert story.canary_weights() == [0, 5, 50, 100]
        assert story.events("PutBack") == []


async def test_a_run_goes_on_without_a_single_watch_event() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        story.cluster.faults.lost_event_ratio = 1.0

        await story.stable("v2", within_seconds=60)


async def test_watches_that_break_all_the_time_cost_only_time() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        for _ in range(40):
            await asyncio.sleep(1)
            story.cluster.break_watches()
            story.cluster.forget_history()

        await story.stable("v2", within_seconds=60)

        assert story.canary_weights() == [0, 5, 50, 100]


async def test_silent_watches_are_replaced_and_what_happened_meanwhile_is_seen() -> None:
    async with gray.told(gray.rollout(strategy={"steps": [{"pause": {}}]})) as story:
        await at_step(story, 1)
        story.cluster.silence_watches()
        story.command(Verb.ABORT)

        await story.until_phase("RolledBack", within_seconds=130)

        assert story.weight("v2") == 0


async def test_an_abort_whose_event_was_lost_is_seen_by_the_next_list() -> None:
    async with gray.told(gray.rollout(strategy={"steps": [{"pause": {}}]})) as story:
        await at_step(story, 1)
        story.cluster.faults.lost_event_ratio = 1.0
        story.command(Verb.ABORT)
        story.cluster.faults.heal()

        aborted = lambda: story.status().phase == "RolledBack"  # noqa: E731
        await story.until(aborted, within_seconds=1000, look_seconds=5)


async def test_what_a_conflict_shows_is_told_to_the_other_rollouts_of_the_object() -> None:
    both = gray.virtual_service(v1=100)
    both["spec"]["hosts"].append("ratings")
    ratings = gray.virtual_service("ratings", v1=100)
    both["spec"]["http"].append({**ratings["spec"]["http"][0], "name": "second"})
    story = gray.furnished()
    gray.furnish(story.cluster, "ratings")
    story.cluster.remove(VIRTUAL_SERVICE, Key(gray.NAMESPACE, "ratings"))
    story.cluster.put(VIRTUAL_SERVICE, both)
    other = gray.rollout()
    other["metadata"]["name"], other["spec"]["host"] = "ratings", "ratings"
    story.cluster.put(ROLLOUT, other)
    key = Key(gray.NAMESPACE, "ratings")
    async with gray.running(gray.controller(story).run):
        await story.stable()
        await asyncio.sleep(2)

        def move(manifest: Manifest) -> None:
            manifest["spec"]["http"][1]["route"][0]["weight"] = 60
            manifest["spec"]["http"][1]["route"][1]["weight"] = 40

        # The watch is late, and the first Rollout's own write meets the change.
        story.cluster.faults.event_delay_seconds = (5.0, 5.0)
        story.cluster.edit(VIRTUAL_SERVICE, gray.KEY, move)
        story.cluster.faults.heal()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(8)

        said = story.cluster.peek(ROLLOUT, key)["status"]["conditions"]
        assert [c["status"] for c in said if c["type"] == "TrafficMatches"] == ["False"]


async def test_an_endpoint_that_fails_while_a_conflict_is_resolved_is_seen() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        story.cluster.faults.latency_seconds = (0.2, 0.4)
        await asyncio.sleep(8)

        story.cluster.faults.refuse(Conflict("it"), verb="patch", kind=VIRTUAL_SERVICE, times=2)
        story.set_ready("v2", ready=False)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=5)
        await asyncio.sleep(20)

        assert story.weight("v2") == 0
        assert story.cluster.everything(ENDPOINT_SLICE)
