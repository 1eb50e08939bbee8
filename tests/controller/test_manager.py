"""The loop around reconciles: health, crashes, Events, housekeeping."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rollout.api.action import Verb
from rollout.api.meta import EVENT, ROLLOUT, ROLLOUT_ACTION, Key
from rollout.base.errors import Unreachable
from rollout.controller.event import Event
from rollout.controller.housekeeping import (
    ANSWERED_SECONDS_MAX,
    HOUSEKEEPING_SECONDS,
    REMOVALS_MAX,
)
from rollout.controller.manager import EVENTS_MAX, STUCK_SECONDS
from tests.stories import gray

pytestmark = pytest.mark.looptime(noop_cycles=1)


def value_of(manager: Any, line: str) -> float:
    text = manager._record.render().decode()
    return float(next(row for row in text.splitlines() if row.startswith(line)).split()[-1])


async def test_a_loop_that_moves_is_healthy_and_one_that_does_not_says_so_peers_156() -> None:
    story = gray.furnished()
    manager = gray.controller(story)
    async with gray.running(manager.run):
        await asyncio.sleep(100)
        moving = manager.unhealthy()
    await asyncio.sleep(STUCK_SECONDS + 2)

    assert moving == ""
    assert "has not moved" in manager.unhealthy()


async def test_a_reconcile_that_never_ends_is_told() -> None:
    story = gray.furnished()
    manager = gray.controller(story)
    async with gray.running(manager.run):
        await story.stable()
        story.cluster.faults.latency_seconds = (9999, 9999)
        story.want("v2")
        await asyncio.sleep(STUCK_SECONDS + 2)

        assert "a reconcile has been under way" in manager.unhealthy()


async def test_it_is_ready_when_all_caches_are_filled_and_not_before() -> None:
    story = gray.furnished()
    story.cluster.faults.refuse(
        Unreachable("the API server", why="no"), verb="list", kind=ROLLOUT, times=1
    )
    manager = gray.controller(story)
    async with gray.running(manager.run):
        await asyncio.sleep(0.05)
        early = manager.synced()
        await asyncio.sleep(5)

        assert not early
        assert manager.synced()
        assert manager.leading


async def test_a_silent_api_server_is_noticed_by_the_quietest_watch() -> None:
    story = gray.furnished()
    manager = gray.controller(story)
    async with gray.running(manager.run):
        await asyncio.sleep(5)
        story.cluster.silence_watches()
        await asyncio.sleep(70)

        assert manager.unheard_seconds() > 60


async def test_a_defect_in_one_rollout_is_counted_and_takes_no_other_down() -> None:
    story = gray.furnished()
    gray.furnish(story.cluster, "ratings")
    other = gray.rollout()
    other["metadata"]["name"], other["spec"]["host"] = "ratings", "ratings"
    story.cluster.put(ROLLOUT, other)
    manager = gray.controller(story)
    whole = manager._reconciler.reconcile

    async def broken(key: Key) -> Any:
        if key.name == "ratings":
            raise ZeroDivisionError
        return await whole(key)

    manager._reconciler.reconcile = broken  # type: ignore[method-assign]
    async with gray.running(manager.run):
        await story.stable()
        story.want("v2")
        await story.stable("v2", within_seconds=120)

    assert value_of(manager, 'rollout_reconciles_total{outcome="crash"}') >= 1


async def test_events_beyond_the_bound_push_out_the_oldest() -> None:
    story = gray.furnished()
    manager = gray.controller(story)

    for i in range(EVENTS_MAX + 3):
        manager._tell(Event(name=f"e{i}", manifest={}))

    assert manager._events.qsize() == EVENTS_MAX
    assert manager._events.get_nowait().name == "e3"


async def test_events_that_cannot_be_written_are_left_out_and_the_next_are_written() -> None:
    story = gray.furnished()
    story.cluster.faults.refuse(
        Unreachable("the API server", why="no"), verb="create", kind=EVENT, times=1
    )
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(1)

    assert story.events("Stable") == []
    assert len(story.events("StepBegan")) == 1


async def test_a_flood_of_answered_commands_is_removed_bit_by_bit() -> None:
    story = gray.furnished()
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        for _ in range(REMOVALS_MAX + 10):
            story.command(Verb.PROMOTE, step=99)
        await asyncio.sleep(ANSWERED_SECONDS_MAX + HOUSEKEEPING_SECONDS)
        some = len(story.cluster.everything(ROLLOUT_ACTION))
        await asyncio.sleep(HOUSEKEEPING_SECONDS)

        assert some == 10
        assert story.cluster.everything(ROLLOUT_ACTION) == {}


async def test_weight_and_phase_are_shown_right_after_a_restart_peers_157() -> None:
    story = gray.furnished()
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=60)

    manager = gray.controller(story)
    async with gray.running(manager.run):
        await asyncio.sleep(1)

        labels = 'name="reviews",namespace="shop"'
        assert value_of(manager, f"rollout_weight_percent{{{labels}}}") == 50
        assert value_of(manager, f'rollout_phase{{{labels},phase="Progressing"}}') == 1
