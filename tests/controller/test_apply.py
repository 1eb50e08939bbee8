"""The writes that make a decision true: their order, their versions, and what is left out."""

from __future__ import annotations

import asyncio

import pytest

from rollout.api.action import Verb
from rollout.api.meta import EVENT, ROLLOUT, ROLLOUT_ACTION, VIRTUAL_SERVICE, Manifest
from rollout.controller.event import EVENT_MESSAGE_LENGTH_MAX
from rollout.controller.observe import FINALIZER
from tests.stories import gray
from tests.stories.gray import Story

pytestmark = pytest.mark.looptime(noop_cycles=1)


async def at_step(story: Story, step: int) -> None:
    await story.stable()
    story.want("v2")
    await story.until_step(step, within_seconds=60)
    await asyncio.sleep(0.5)


def order(story: Story, since: int = 0) -> list[str]:
    """What was written, Events aside."""
    return [
        f"{write.plural} {write.subresource}".strip()
        for write in list(story.cluster.writes)[since:]
        if write.plural != EVENT.plural
    ]


async def test_the_finalizer_is_there_before_anything_is_recorded_or_moved() -> None:
    async with gray.told() as story:
        await story.stable()
        before = len(story.cluster.writes)

        story.want("v2")
        await story.until_step(1, within_seconds=30)

        assert order(story, before) == [
            "rollouts",
            "rollouts status",
            "rollouts status",
            "virtualservices",
            "rollouts status",
        ]


async def test_routes_come_first_then_the_status_then_the_answer_and_the_finalizer_last() -> None:
    async with gray.told() as story:
        await at_step(story, 2)
        before = len(story.cluster.writes)

        story.command(Verb.ABORT)
        await story.until_phase("RolledBack", within_seconds=10)
        await asyncio.sleep(1)

        assert order(story, before) == [
            "virtualservices",
            "rollouts status",
            "rolloutactions status",
            "rollouts status",
            "rollouts",
        ]


async def test_only_weights_change_in_a_virtual_service_peers_23() -> None:
    async with gray.told() as story:
        await story.stable()

        def dress(manifest: Manifest) -> None:
            manifest["metadata"]["annotations"] = {"a": "b"}
            manifest["spec"]["http"][0] |= {"timeout": "2s", "unknown": {"x": [1, None, "é"]}}
            manifest["spec"]["exportTo"] = ["*"]
            manifest["status"] = {"validationMessages": [{"level": "INFO"}]}

        story.cluster.edit(VIRTUAL_SERVICE, gray.KEY, dress)
        before = story.cluster.peek(VIRTUAL_SERVICE, gray.KEY)

        story.want("v2")
        await story.until_step(1, within_seconds=30)

        after = story.cluster.peek(VIRTUAL_SERVICE, gray.KEY)
        for manifest in (before, after):
            for field in ("resourceVersion", "generation"):
                del manifest["metadata"][field]
            for leg in manifest["spec"]["http"][0]["route"]:
                leg.pop("weight", None)
        assert after == before


async def test_a_finalizer_that_somebody_took_off_in_mid_run_is_put_on_again() -> None:
    async with gray.told() as story:
        await at_step(story, 1)

        story.cluster.edit(ROLLOUT, gray.KEY, lambda m: m["metadata"].update(finalizers=[]))
        await asyncio.sleep(1)

        assert story.cluster.peek(ROLLOUT, gray.KEY)["metadata"]["finalizers"] == [FINALIZER]


async def test_a_command_that_is_gone_before_its_answer_holds_up_nothing() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        story.cluster.faults.latency_seconds = (0.05, 0.05)

        key = story.command(Verb.ABORT)
        await asyncio.sleep(0.12)
        story.cluster.remove(ROLLOUT_ACTION, key)

        await story.until_phase("RolledBack", within_seconds=10)
        await story.until(
            lambda: not story.cluster.peek(ROLLOUT, gray.KEY)["metadata"].get("finalizers"),
            within_seconds=5,
        )


async def test_events_say_whom_they_are_about_and_are_cut_to_what_the_api_takes() -> None:
    async with gray.told() as story:
        await at_step(story, 1)

        uid = story.cluster.peek(ROLLOUT, gray.KEY)["metadata"]["uid"]
        for event in story.cluster.everything(EVENT).values():
            assert event["involvedObject"]["uid"] == uid
            assert event["source"] == {"component": "rollout"}
            assert event["type"] in {"Normal", "Warning"}
            assert 0 < len(event["message"]) <= EVENT_MESSAGE_LENGTH_MAX
            assert event["firstTimestamp"].endswith("Z")


async def test_a_rollout_seen_as_it_was_moves_no_traffic() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        story.cluster.silence_watches(ROLLOUT)
        story.want("v1")
        await story.until(lambda: story.weight("v2") != 5, within_seconds=60)

        assert story.weight("v2") == 0
        assert story.canary_weights() == [0, 5, 0]
