"""What people say to a run, when, and what they are told."""

from __future__ import annotations

import asyncio

import pytest

from rollout.api.action import Verb
from rollout.api.meta import ROLLOUT, ROLLOUT_ACTION, Key, Manifest
from tests.stories import gray
from tests.stories.gray import Story

pytestmark = pytest.mark.looptime(noop_cycles=1)


async def at_step(story: Story, step: int) -> None:
    await story.stable()
    story.want("v2")
    await story.until_step(step, within_seconds=60)


def pausing() -> Manifest:
    steps = [{"weight": 5, "hold": "5s"}, {"pause": {}}, {"weight": 100, "hold": "5s"}]
    return gray.rollout(strategy={"steps": steps, "bake": "10s", "maxDuration": "1h"})


async def test_a_pause_waits_for_promote_however_long_and_tells_once_peers_96() -> None:
    async with gray.told(pausing()) as story:
        await at_step(story, 2)
        await asyncio.sleep(1800)
        waiting = story.status()
        events = len(story.events())

        said = story.command(Verb.PROMOTE)
        await story.stable("v2", within_seconds=60)

        assert waiting.phase == "Waiting"
        assert "rollout promote reviews" in waiting.message
        assert events <= 7
        assert story.answer(said)["outcome"] == "Applied"


async def test_a_command_that_comes_twice_or_for_another_step_does_nothing() -> None:
    async with gray.told(pausing()) as story:
        await at_step(story, 2)
        late = story.command(Verb.PROMOTE, step=1)
        other = story.command(Verb.ABORT, run="7")
        await asyncio.sleep(2)

        assert story.answer(late)["outcome"] == "Ignored"
        assert story.answer(other)["outcome"] == "Ignored"
        assert story.run().step == 2


async def test_a_command_to_a_rollout_that_is_not_there_yet_comes_to_nothing() -> None:
    story = gray.furnished(pausing())
    spec = {"rollout": "reviews", "run": "1", "step": 2, "verb": "Promote", "actor": "mallory"}
    early = Key(gray.KEY.namespace, "early")
    wanted = story.cluster.peek(ROLLOUT, gray.KEY)
    story.cluster.remove(ROLLOUT, gray.KEY)
    metadata = {"name": early.name, "namespace": early.namespace}
    story.cluster.put(ROLLOUT_ACTION, {"metadata": metadata, "spec": spec})

    async with gray.running(gray.controller(story).run):
        await asyncio.sleep(5)
        story.cluster.put(ROLLOUT, wanted)
        await at_step(story, 2)
        await asyncio.sleep(600)

        assert story.answer(early)["outcome"] == "Ignored"
        assert story.run().step == 2


async def test_pause_and_resume_hold_a_run_where_it_is() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        story.command(Verb.PAUSE)
        await asyncio.sleep(60)
        held = story.status()

        story.command(Verb.RESUME)
        await story.stable("v2", within_seconds=120)

        assert held.run is not None
        assert held.run.step == 1
        assert "alice@example.com" in held.message


async def test_a_failing_gate_takes_a_paused_run_back_peers_95() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        story.command(Verb.PAUSE)
        await asyncio.sleep(20)

        story.fail("v2", 50)

        await story.until_phase("RolledBack", within_seconds=20)


async def test_promote_full_goes_to_the_whole_and_keeps_the_bake() -> None:
    async with gray.told() as story:
        await at_step(story, 1)

        story.command(Verb.PROMOTE_FULL)
        await story.until(lambda: story.weight("v2") == 100, within_seconds=1)
        await story.until_phase("Baking", within_seconds=10)
        story.fail("v2", 50)
        await story.until_phase("RolledBack", within_seconds=10)

        assert story.canary_weights() == [0, 5, 100, 0]


async def test_an_abort_after_promote_full_aborts_peers_67() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        story.command(Verb.PROMOTE_FULL)
        await story.until(lambda: story.weight("v2") == 100, within_seconds=1)

        story.command(Verb.ABORT)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=0.1)
        await story.until_phase("RolledBack", within_seconds=10)

        assert story.status().history[0].outcome == "Aborted"


async def test_an_abort_of_an_unready_canary_is_obeyed_within_a_second_peers_64() -> None:
    async with gray.told() as story:
        await at_step(story, 2)
        story.set_ready("v2", ready=False)
        story.set_ready("v1", ready=False)
        await asyncio.sleep(5)

        story.command(Verb.ABORT)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=1)
        await story.until_phase("RolledBack", within_seconds=10)


async def test_an_aborted_revision_runs_again_only_by_retry_peers_58() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        story.command(Verb.ABORT)
        await story.until_phase("RolledBack", within_seconds=10)
        story.edit(judge={"minRequests": 20, "provenRatio": "Off"})
        await asyncio.sleep(60)
        rested = story.canary_weights()

        said = story.command(Verb.RETRY)
        await story.stable("v2", within_seconds=120)

        assert rested == [0, 5, 0]
        assert story.answer(said)["outcome"] == "Applied"
        assert [past.id for past in story.status().history] == ["2", "1"]


async def test_commands_after_the_run_are_answered() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        story.command(Verb.ABORT)
        await story.until_phase("RolledBack", within_seconds=10)

        late = [story.command(verb) for verb in (Verb.PAUSE, Verb.PROMOTE, Verb.PROMOTE_FULL)]
        await asyncio.sleep(1)

        assert [story.answer(key)["outcome"] for key in late] == ["Ignored"] * 3


async def test_a_command_that_cannot_be_read_is_refused_with_a_sentence() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        key = Key(gray.NAMESPACE, "broken")

        story.cluster.put(
            ROLLOUT_ACTION,
            {
                "metadata": {"name": key.name, "namespace": key.namespace},
                "spec": {"rollout": "reviews", "verb": "Destroy"},
            },
        )
        await asyncio.sleep(1)

        assert story.answer(key)["outcome"] == "Refused"
        assert story.answer(key)["message"]


async def test_answered_commands_are_removed_an_hour_after_their_answer() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        story.command(Verb.ABORT)
        await story.until_phase("RolledBack", within_seconds=10)
        await asyncio.sleep(3000)
        kept = len(story.cluster.everything(ROLLOUT_ACTION))

        await asyncio.sleep(1000)

        assert kept == 1
        assert story.cluster.everything(ROLLOUT_ACTION) == {}


async def test_commands_to_a_rollout_that_is_not_there_are_removed_in_the_end() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        spec = story.cluster.peek(ROLLOUT_ACTION, story.command(Verb.PAUSE))["spec"]
        story.cluster.put(
            ROLLOUT_ACTION,
            {
                "metadata": {"name": "stray", "namespace": gray.NAMESPACE},
                "spec": {**spec, "rollout": "nobody"},
            },
        )

        await asyncio.sleep(4200)

        assert Key(gray.NAMESPACE, "stray") not in story.cluster.everything(ROLLOUT_ACTION)


async def test_suspend_stops_increases_and_starts_but_never_an_abort() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        story.edit(suspend=True)
        await asyncio.sleep(60)
        held = story.run().step
        story.command(Verb.ABORT)
        await story.until_phase("RolledBack", within_seconds=10)
        story.want("v3")
        await asyncio.sleep(10)
        waiting = story.status()

        story.edit(suspend=False)
        await story.stable("v3", within_seconds=120)

        assert held == 1
        assert waiting.phase == "Pending"
        assert "suspend" in waiting.message
