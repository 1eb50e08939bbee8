"""A webhook that warns of what we write is listened to once, and holds up nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rollout.api.meta import EVENT, ROLLOUT, VIRTUAL_SERVICE, Kind, Manifest
from rollout.base.errors import Conflict
from tests.stories import gray
from tests.stories.gray import Story

pytestmark = pytest.mark.looptime(noop_cycles=1)

WARNING = 'using deprecated setting "mirrorPercent", use "mirrorPercentage" instead'


def told(story: Story) -> list[dict[str, Any]]:
    events = story.cluster.everything(EVENT).values()
    return [event for event in events if event["reason"] == "AdmissionWarning"]


async def test_a_warning_of_our_writes_is_an_event_once_a_run_peers_165() -> None:
    async with gray.told() as story:
        await story.stable()
        story.cluster.warnings = (WARNING,)
        story.want("v2")
        await story.stable("v2", within_seconds=120)
        once = told(story)
        await asyncio.sleep(600)
        story.want("v3")
        await story.stable("v3", within_seconds=120)
        again = told(story)

    assert story.weight("v3") == 100
    assert [(event["type"], event["message"]) for event in once] == [
        ("Warning", f"VirtualService {gray.KEY} was written, with a warning: {WARNING}")
    ]
    assert len(again) == 2


async def test_what_the_server_says_of_other_writes_is_not_told() -> None:
    async with gray.told() as story:
        await story.stable()
        story.cluster.warnings = (WARNING,)
        before = story.writes(ROLLOUT)

        story.edit(revision="v9")
        await story.until(lambda: story.writes(ROLLOUT) > before, within_seconds=5)
        await asyncio.sleep(5)

    assert told(story) == []


async def test_that_our_routes_stand_before_others_is_not_told() -> None:
    steps = [{"match": {"headers": {"x-canary": {"exact": "always"}}}}, {"weight": 50}]
    async with gray.told(gray.rollout(strategy={"steps": steps, "bake": "1s"})) as story:
        story.matching_per_second = 20.0
        unused = 'virtualService rule "primary" not used (only the last rule can have no matches)'
        follow = story.heard

        def heard(kind: Kind, manifest: Manifest) -> None:
            follow(kind, manifest)
            story.cluster.warnings = (unused, WARNING) if story.managed() else (WARNING,)

        story.cluster.heard = heard
        await story.stable()
        story.want("v2")
        await story.until(lambda: bool(story.managed()), within_seconds=30)
        await story.stable("v2", within_seconds=120)

    assert [event["message"].endswith(WARNING) for event in told(story)] == [True]


async def test_a_warning_is_not_lost_when_the_write_after_it_fails() -> None:
    async with gray.told() as story:
        await story.stable()
        story.cluster.warnings = (WARNING,)

        def in_the_way(verb: str, kind: Kind, _: Manifest) -> None:
            """After the first weights the status cannot be written at once."""
            if kind == VIRTUAL_SERVICE:
                story.cluster.faults.refuse(Conflict("it"), verb=verb, kind=ROLLOUT, times=2)
            elif story.weight("v2"):
                story.cluster.warnings, story.cluster.admit = (), None

        story.cluster.admit = in_the_way
        story.want("v2")
        await story.until_step(1, within_seconds=60)
        await story.until(lambda: bool(told(story)), within_seconds=10)
        assert story.cluster.admit is None
        await story.stable("v2", within_seconds=120)

    assert len(told(story)) == 1


async def test_a_controller_that_takes_over_in_mid_run_does_not_tell_it_a_second_time() -> None:
    story = gray.furnished()
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.cluster.warnings = (WARNING,)
        story.want("v2")
        await story.until_step(1, within_seconds=60)
        await asyncio.sleep(1)
        assert len(told(story)) == 1

    async with gray.running(gray.controller(story).run):
        await story.stable("v2", within_seconds=120)

    assert len(told(story)) == 1
