"""A Rollout goes: in mid-run traffic returns first, at rest nothing is touched."""

from __future__ import annotations

import asyncio

import pytest

from rollout.api.action import Verb
from rollout.api.meta import ROLLOUT, VIRTUAL_SERVICE
from rollout.controller.observe import FINALIZER
from tests.stories import gray
from tests.stories.gray import Story

pytestmark = pytest.mark.looptime(noop_cycles=1)

OTHER = "example.com/theirs"


async def at_step(story: Story, step: int) -> None:
    await story.stable()
    story.want("v2")
    await story.until_step(step, within_seconds=60)


async def gone(story: Story, *, within_seconds: float) -> None:
    """Let time pass until the Rollout is no more."""
    for _ in range(round(within_seconds / 0.05)):
        if not story.cluster.everything(ROLLOUT):
            return
        await asyncio.sleep(0.05)
    pytest.fail(story.status().message)


async def test_a_rollout_deleted_in_mid_run_returns_traffic_and_then_goes_peers_140() -> None:
    async with gray.told() as story:
        await at_step(story, 2)
        held = story.cluster.peek(ROLLOUT, gray.KEY)["metadata"]["finalizers"]

        story.cluster.remove(ROLLOUT, gray.KEY)
        await story.until(lambda: story.weight("v1") == 100, within_seconds=0.2)
        still_there = bool(story.cluster.everything(ROLLOUT))
        await gone(story, within_seconds=5)

        assert held == [FINALIZER]
        assert still_there
        assert story.canary_weights() == [0, 5, 50, 0]


async def test_a_rollout_deleted_at_rest_changes_nothing() -> None:
    async with gray.told() as story:
        await story.stable()
        before = len(story.cluster.writes)

        story.cluster.remove(ROLLOUT, gray.KEY)
        await asyncio.sleep(10)

        assert story.cluster.everything(ROLLOUT) == {}
        assert len(story.cluster.writes) == before


async def test_after_a_run_no_finalizer_is_left_and_others_stay() -> None:
    async with gray.told() as story:
        await story.stable()
        story.cluster.edit(ROLLOUT, gray.KEY, lambda m: m["metadata"].update(finalizers=[OTHER]))
        await at_step(story, 1)
        during = story.cluster.peek(ROLLOUT, gray.KEY)["metadata"]["finalizers"]

        story.command(Verb.ABORT)
        await story.until_phase("RolledBack", within_seconds=10)
        await asyncio.sleep(1)

        assert during == [OTHER, FINALIZER]
        assert story.cluster.peek(ROLLOUT, gray.KEY)["metadata"]["finalizers"] == [OTHER]


async def test_a_deletion_while_the_controller_is_away_is_finished_by_the_next_one() -> None:
    story = gray.furnished()
    async with gray.running(gray.controller(story).run):
        await at_step(story, 2)
    story.cluster.remove(ROLLOUT, gray.KEY)
    await asyncio.sleep(60)

    async with gray.running(gray.controller(story).run):
        await gone(story, within_seconds=5)

    assert story.weight("v1") == 100


async def test_a_deletion_without_a_virtual_service_does_not_hang() -> None:
    async with gray.told() as story:
        await at_step(story, 2)
        story.cluster.remove(VIRTUAL_SERVICE, gray.KEY)
        await asyncio.sleep(5)

        story.cluster.remove(ROLLOUT, gray.KEY)

        await gone(story, within_seconds=5)


async def test_a_deletion_whose_return_is_refused_lets_go_in_the_end_peers_140() -> None:
    async with gray.told() as story:
        await at_step(story, 2)
        story.cluster.admit = lambda _, kind, __: "frozen" if kind == VIRTUAL_SERVICE else None

        story.cluster.remove(ROLLOUT, gray.KEY)
        await asyncio.sleep(300)
        held = bool(story.cluster.everything(ROLLOUT))
        await gone(story, within_seconds=400)

        assert held
        assert story.weight("v2") == 50


async def test_a_rollout_made_again_after_its_deletion_starts_afresh() -> None:
    async with gray.told() as story:
        await at_step(story, 2)
        story.cluster.remove(ROLLOUT, gray.KEY)
        await gone(story, within_seconds=5)

        story.cluster.put(ROLLOUT, gray.rollout("v2"))
        await story.stable("v2", within_seconds=120)

        assert [past.id for past in story.status().history] == ["1"]
        assert story.canary_weights() == [0, 5, 50, 0, 5, 50, 100]


async def test_a_rollout_deleted_while_the_watch_was_down_is_forgotten_peers_117() -> None:
    story = gray.furnished()
    manager = gray.controller(story)
    async with gray.running(manager.run):
        await story.stable()
        story.cluster.break_watches(ROLLOUT)
        story.cluster.remove(ROLLOUT, gray.KEY)
        story.cluster.forget_history()

        await asyncio.sleep(30)

        assert len(manager.world.rollouts) == 0
