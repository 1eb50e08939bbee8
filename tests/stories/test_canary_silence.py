"""What tells of the canary falls silent while others' goes on: then nothing passes on the past."""

from __future__ import annotations

import asyncio

import pytest

from rollout.api.evidence import Verdict
from tests.stories import gray
from tests.stories.gray import Story
from tests.stories.pods import Pods
from tests.stories.test_hidden_requests import because, climbing, retry
from tests.stories.test_managed_routes import HEADER, begin

pytestmark = pytest.mark.looptime(noop_cycles=1)

MIRRORS = ({"mirror": 50, "hold": "60s"}, {"weight": 50, "hold": "10s"})


def hide_arrivals(pods: Pods, version: str) -> None:
    for (name, _), counter in pods.counters.items():
        if name == f"destination/{version}":
            counter.vanish()


async def holds(story: Story, *, step: int) -> None:
    """The step's time is over, and it does not end."""
    await asyncio.sleep(90)
    story.edit(suspend=False)
    await asyncio.sleep(0.5)

    assert story.run().step == step, story.status().message
    assert story.run().gates[0].verdict is Verdict.UNKNOWN
    assert "no new sample" in because(story)


async def test_copies_that_nobody_reports_any_more_send_no_user_to_the_canary() -> None:
    async with gray.told(climbing(*MIRRORS)) as story:
        pods = Pods(story=story)
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(10)
        pods.fail("v2", 100)
        hide_arrivals(pods, "v2")

        await holds(story, step=1)
        assert story.canary_weights() == [0]


async def test_attempts_of_the_canary_that_nobody_reports_any_more_hold_its_weight() -> None:
    async with gray.told(climbing({"weight": 20, "hold": "60s"})) as story:
        pods = Pods(story=story, attempts_max=9)
        retry(story, 9)
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(10)
        pods.fail("v2", 50)
        hide_arrivals(pods, "v2")

        await holds(story, step=1)
        assert story.weight("v2") == 20


async def test_those_who_match_and_are_not_reported_any_more_hold_a_step_without_a_weight() -> None:
    steps = ({"match": HEADER, "hold": "60s"}, {"weight": 50, "hold": "10s"})
    async with gray.told(climbing(*steps)) as story:
        await begin(story)
        await asyncio.sleep(10)
        for (version, _), counter in story.counters.items():
            if version == "v2":
                counter.vanish()

        await holds(story, step=1)
        assert story.canary_weights() == [0]


async def test_a_restart_forgets_no_silence_of_the_canarys_pods() -> None:
    story = gray.furnished(climbing(*MIRRORS))
    pods = Pods(story=story)
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(10)
        hide_arrivals(pods, "v2")
        await asyncio.sleep(2)
    async with gray.running(gray.controller(story).run):
        await holds(story, step=1)


async def test_a_canary_without_traffic_whose_counters_are_still_reported_is_not_silent() -> None:
    """Enough matched at first; then nobody does, and the counters stand still."""
    steps = ({"match": HEADER, "hold": "60s"}, {"weight": 50, "hold": "10s"})
    async with gray.told(climbing(*steps)) as story:
        await begin(story)
        await asyncio.sleep(10)
        story.matching_per_second = 0.0
        story.flow()

        await story.until_step(2, within_seconds=60)


async def test_copies_pass_though_callers_of_an_earlier_canary_are_reported_no_more() -> None:
    """At weight 0 no caller tells of the canary, and a mirror step rests on none that does."""
    async with gray.told(climbing(*MIRRORS)) as story:
        Pods(story=story)
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(10)
        for (version, _), counter in story.counters.items():
            if version == "v2":
                counter.vanish()

        await story.until_step(2, within_seconds=60)
