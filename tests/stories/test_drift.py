"""Somebody else's hand on our weights, on other fields, or on the road between."""

from __future__ import annotations

import asyncio

import pytest

from rollout.api.meta import DESTINATION_RULE, ROLLOUT, VIRTUAL_SERVICE, Manifest
from rollout.api.phase import ConditionType
from tests.stories import gray
from tests.stories.gray import Story

pytestmark = pytest.mark.looptime(noop_cycles=1)


def long_holds() -> Manifest:
    steps = [{"weight": 5, "hold": "2m"}, {"weight": 50, "hold": "2m"}]
    return gray.rollout(strategy={"steps": steps, "bake": "10s", "maxDuration": "1h"})


async def begin(story: Story) -> None:
    await story.stable()
    story.want("v2")
    await story.until_step(1, within_seconds=30)
    await asyncio.sleep(5)


async def test_weights_changed_by_hand_are_put_back_once_with_one_event_peers_21() -> None:
    async with gray.told(long_holds()) as story:
        await begin(story)
        before = story.writes(VIRTUAL_SERVICE)

        story.set_weights(v1=20, v2=80)
        await story.until(lambda: story.weight("v2") == 5, within_seconds=1)
        condition = story.condition(ConditionType.TRAFFIC_MATCHES)
        await asyncio.sleep(60)

        assert story.writes(VIRTUAL_SERVICE) - before == 1
        assert len(story.events("PutBack")) == 1
        assert "80 %" in story.events("PutBack")[0]
        assert condition is not None
        assert condition.reason == "PutBack"
        assert story.run().step == 1


async def test_a_tool_that_fights_for_its_weights_does_not_flood_the_status() -> None:
    async with gray.told(long_holds()) as story:
        await begin(story)
        before = story.writes(ROLLOUT)

        for _ in range(60):
            story.set_weights(v1=100)
            await asyncio.sleep(1)
        await story.until(lambda: story.weight("v2") == 5, within_seconds=10.1)

        assert story.writes(ROLLOUT) - before <= 14
        assert len(story.events("PutBack")) <= 2


async def test_other_fields_and_routes_that_change_in_mid_run_move_no_traffic_peers_20() -> None:
    async with gray.told(long_holds()) as story:
        await begin(story)
        before = story.writes(VIRTUAL_SERVICE)

        def change(manifest: Manifest) -> None:
            manifest["metadata"]["labels"] = {"team": "books"}
            manifest["spec"]["http"][0]["timeout"] = "3s"
            manifest["spec"]["http"].insert(
                0,
                {
                    "name": "ping",
                    "match": [{"uri": {"exact": "/ping"}}],
                    "directResponse": {"status": 200},
                },
            )

        story.cluster.edit(VIRTUAL_SERVICE, gray.KEY, change)
        await asyncio.sleep(10)

        found = story.cluster.peek(VIRTUAL_SERVICE, gray.KEY)
        assert story.writes(VIRTUAL_SERVICE) == before
        assert found["metadata"]["labels"] == {"team": "books"}
        assert found["spec"]["http"][1]["timeout"] == "3s"
        assert story.events("PutBack") == []


async def test_at_rest_weights_moved_by_hand_are_told_and_left_alone() -> None:
    async with gray.told() as story:
        await story.stable()
        before = story.writes(VIRTUAL_SERVICE)

        story.set_weights(v1=70, v2=30)
        await asyncio.sleep(5)

        matches = story.condition(ConditionType.TRAFFIC_MATCHES)
        assert story.writes(VIRTUAL_SERVICE) == before
        assert story.weight("v2") == 30
        assert matches is not None
        assert matches.status == "False"


async def test_a_run_does_not_start_from_a_split_and_says_what_to_do() -> None:
    async with gray.told() as story:
        await story.stable()
        story.set_weights(v1=70, v2=30)
        story.want("v3")
        await story.until_phase("Blocked", within_seconds=5)
        told = story.status()

        story.set_weights(v1=100)
        await story.until_phase("Progressing", within_seconds=10)

        assert told.reason == "TrafficSplit"
        assert "v1" in told.message


async def test_at_rest_what_is_said_follows_each_change_of_the_world_at_once() -> None:
    async with gray.told(gray.rollout("v9")) as story:
        await story.until_phase("Blocked", within_seconds=5)
        assert "v9" in story.status().message

        story.cluster.put(DESTINATION_RULE, gray.destination_rule(versions=("v1", "v4")))
        await asyncio.sleep(1)
        first = story.status().message
        story.cluster.put(DESTINATION_RULE, gray.destination_rule(versions=("v1", "v5")))
        await asyncio.sleep(1)

        assert "v4" in first
        assert "v5" in story.status().message


async def test_a_fault_added_in_mid_run_is_noted_in_one_event() -> None:
    async with gray.told(long_holds()) as story:
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=60)
        await asyncio.sleep(10)
        fault = {"delay": {"fixedDelay": "1s"}}
        story.cluster.edit(
            VIRTUAL_SERVICE, gray.KEY, lambda m: m["spec"]["http"][0].update(fault=fault)
        )
        await asyncio.sleep(15)

        assert [note.reason for note in story.status().notes] == ["FaultInjected"]
        assert len(story.events("FaultInjected")) == 1
