"""How a reconcile ends: settled, to be woken, backed off, or refused for good."""

from __future__ import annotations

import asyncio

import pytest

from rollout.api.meta import ROLLOUT, VIRTUAL_SERVICE
from rollout.base.errors import Conflict, Denied, Overloaded, Unreachable
from rollout.controller.reconcile import CONFLICTS_MAX, TERMINAL_SECONDS, Outcome, Result
from rollout.controller.telescope import FIRST_SIGHT_SECONDS
from tests.stories import gray
from tests.stories.gray import Story

pytestmark = pytest.mark.looptime(noop_cycles=1)


async def next_result(story: Story, error: Exception, *, times: int = 1) -> tuple[Result, float]:
    """What a reconcile comes to whose first status writes fail, and when it is woken."""
    manager = gray.controller(story)
    async with gray.running(manager.run):
        await story.stable()
        await asyncio.sleep(1)
        manager.queue.close()
        story.cluster.faults.refuse(error, verb="patch", kind=ROLLOUT, times=times)
        story.edit(suspend=True)
        await asyncio.sleep(0.1)
        result = await manager._reconciler.reconcile(gray.KEY)
        wish = manager._alarms.wishes.get(gray.KEY)  # type: ignore[attr-defined]
        return result, gray.seconds_between(story.clock.now(), wish) if wish else 0.0


async def test_one_conflict_is_met_at_once_by_deciding_again() -> None:
    result, _ = await next_result(gray.furnished(), Conflict("it"))

    assert result.outcome is Outcome.DONE


async def test_many_conflicts_back_off() -> None:
    result, _ = await next_result(gray.furnished(), Conflict("it"), times=CONFLICTS_MAX)

    assert result.outcome is Outcome.RETRY


async def test_a_server_that_does_not_answer_is_tried_again() -> None:
    result, _ = await next_result(gray.furnished(), Unreachable("it", why="no"))

    assert result.outcome is Outcome.RETRY


async def test_a_server_that_asks_for_patience_is_given_it() -> None:
    result, _ = await next_result(gray.furnished(), Overloaded("it", retry_after_seconds=17))

    assert result.outcome is Outcome.RETRY
    assert result.retry_after_seconds == 17


async def test_a_refusal_is_not_repeated_and_looked_at_again_after_a_while() -> None:
    denied = Denied("it", status_code=403, message="may not")

    result, waits = await next_result(gray.furnished(), denied)

    assert result.outcome is Outcome.TERMINAL
    assert waits == pytest.approx(TERMINAL_SECONDS)


async def test_after_a_restart_weights_wait_for_the_first_answer_of_prometheus() -> None:
    story = gray.furnished()
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(2)
    story.set_weights(v1=50, v2=50)
    story.metrics.latency_seconds = 4

    async with gray.running(gray.controller(story).run):
        await asyncio.sleep(FIRST_SIGHT_SECONDS - 0.2)
        waiting = story.weight("v2")
        await asyncio.sleep(0.4)

        assert waiting == 50
        assert story.weight("v2") == 5


async def test_after_a_restart_a_bake_that_is_over_waits_for_what_prometheus_saw() -> None:
    story = gray.furnished()
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_phase("Baking", within_seconds=60)
    story.fail("v2", 50)
    await asyncio.sleep(60)

    async with gray.running(gray.controller(story).run):
        await story.until_phase("RolledBack", within_seconds=5)

    assert story.weight("v1") == 100
    assert story.writes(VIRTUAL_SERVICE) == 4
