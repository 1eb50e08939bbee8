"""Somebody undoes what we do, fast and without end: few writes, and never late for the users."""

from __future__ import annotations

import asyncio

import pytest

from rollout.api.action import Verb
from rollout.api.meta import ROLLOUT, VIRTUAL_SERVICE, Kind, Manifest
from tests.stories import gray
from tests.stories.gray import Story
from tests.stories.test_drift import begin

pytestmark = pytest.mark.looptime(noop_cycles=1)

URGENT_SECONDS = 0.1


def one_long_step() -> Manifest:
    steps = [{"weight": 5, "hold": "20m"}]
    return gray.rollout(strategy={"steps": steps, "bake": "10s", "maxDuration": "1h"})


def count(story: Story) -> tuple[int, int]:
    return story.writes(VIRTUAL_SERVICE), story.writes(ROLLOUT)


async def fight(story: Story, *, seconds: float, every_seconds: float, **weights: int) -> None:
    for _ in range(round(seconds / every_seconds)):
        story.set_weights(**weights)
        await asyncio.sleep(every_seconds)


@pytest.mark.parametrize("every_seconds", [0.1, 1.0])
async def test_a_hundred_edits_are_answered_with_a_dozen_writes(every_seconds: float) -> None:
    async with gray.told(one_long_step()) as story:
        await begin(story)
        services, rollouts = count(story)

        await fight(story, seconds=100, every_seconds=every_seconds, v1=20, v2=80)

        assert 8 <= story.writes(VIRTUAL_SERVICE) - services <= 16
        assert story.writes(ROLLOUT) - rollouts <= 24
        assert len(story.events("PutBack")) <= 2


async def test_one_who_answers_each_write_at_once_gets_no_more_of_them() -> None:
    async with gray.told(one_long_step()) as story:
        await begin(story)
        services, rollouts = count(story)

        def undo(kind: Kind, manifest: Manifest) -> None:
            story.heard(kind, manifest)
            if kind == VIRTUAL_SERVICE and story.weight("v2") == 5:
                story.set_weights(v1=20, v2=80)

        story.cluster.heard = undo
        story.set_weights(v1=20, v2=80)
        await asyncio.sleep(100)

        assert 8 <= story.writes(VIRTUAL_SERVICE) - services <= 16
        assert story.writes(ROLLOUT) - rollouts <= 24


async def test_when_the_fight_is_over_weights_are_put_back_within_ten_seconds() -> None:
    async with gray.told(one_long_step()) as story:
        await begin(story)

        await fight(story, seconds=60, every_seconds=0.5, v1=20, v2=80)
        await story.until(lambda: story.weight("v2") == 5, within_seconds=10.1)
        await asyncio.sleep(61)
        said = story.clock.monotonic_seconds()
        story.set_weights(v1=20, v2=80)
        await story.until(lambda: story.weight("v2") == 5, within_seconds=1, look_seconds=0.01)

        assert story.clock.monotonic_seconds() - said <= URGENT_SECONDS


async def test_an_abort_amid_a_fight_is_obeyed_at_once_and_answered_twice_a_second() -> None:
    async with gray.told(one_long_step()) as story:
        await begin(story)
        await fight(story, seconds=50, every_seconds=0.5, v1=20, v2=80)

        said = story.clock.monotonic_seconds()
        key = story.command(Verb.ABORT)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=1, look_seconds=0.01)
        took = story.clock.monotonic_seconds() - said
        services, _ = count(story)
        await fight(story, seconds=20, every_seconds=0.1, v1=20, v2=80)
        during = story.writes(VIRTUAL_SERVICE) - services
        await story.until_phase("RolledBack", within_seconds=10)

        assert took <= URGENT_SECONDS
        assert story.answer(key)["outcome"] == "Applied"
        assert 30 <= during <= 42
        assert story.weight("v1") == 100


async def test_a_pause_amid_a_fight_is_answered_at_once() -> None:
    async with gray.told(one_long_step()) as story:
        await begin(story)
        await fight(story, seconds=50, every_seconds=0.5, v1=20, v2=80)

        key = story.command(Verb.PAUSE)
        await asyncio.sleep(1)

        assert story.answer(key)["outcome"] == "Applied"


async def test_an_abort_is_obeyed_at_once_though_too_much_was_written() -> None:
    async with gray.told(one_long_step()) as story:
        await begin(story)

        def undo(kind: Kind, manifest: Manifest) -> None:
            story.heard(kind, manifest)
            if kind == ROLLOUT and manifest.get("status", {}).get("phase") == "Progressing":
                broken = story.cluster.peek(ROLLOUT, gray.KEY)
                broken["status"]["phase"] = "Blocked"
                story.cluster.put(ROLLOUT, broken)

        story.cluster.heard = undo
        story.edit(suspend=False)
        await asyncio.sleep(30)
        said = story.clock.monotonic_seconds()
        story.command(Verb.ABORT)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=1, look_seconds=0.01)

        assert story.clock.monotonic_seconds() - said <= URGENT_SECONDS


async def test_a_canary_that_flaps_gets_no_traffic_and_costs_few_writes() -> None:
    async with gray.told(one_long_step()) as story:
        await begin(story)
        services, rollouts = count(story)

        for i in range(300):
            story.set_ready("v2", ready=i % 2 == 1)
            await asyncio.sleep(0.2)
        during = story.writes(VIRTUAL_SERVICE) - services, story.writes(ROLLOUT) - rollouts

        assert during[0] == 1
        assert during[1] <= 12
        assert story.weight("v2") == 0


async def test_a_canary_that_is_lost_every_few_seconds_returns_ever_later() -> None:
    async with gray.told(one_long_step()) as story:
        await begin(story)
        services, _ = count(story)

        for _ in range(20):
            story.set_ready("v2", ready=False)
            await story.until(lambda: story.weight("v2") == 0, within_seconds=URGENT_SECONDS)
            await asyncio.sleep(0.2)
            story.set_ready("v2", ready=True)
            await asyncio.sleep(3)

        assert story.writes(VIRTUAL_SERVICE) - services <= 10


async def test_a_canary_that_flapped_returns_soon_after_it_stays() -> None:
    async with gray.told(one_long_step()) as story:
        await begin(story)
        for i in range(100):
            story.set_ready("v2", ready=i % 2 == 1)
            await asyncio.sleep(0.2)

        await story.until(lambda: story.weight("v2") == 5, within_seconds=12)

        assert story.status().phase == "Progressing"
