"""A controller killed anywhere, started twice or late: nothing is skipped or done twice."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import timedelta

import pytest

from rollout.api.action import Verb
from rollout.api.meta import EVENT, ROLLOUT, ROLLOUT_ACTION, VIRTUAL_SERVICE
from tests.stories import gray
from tests.stories.gray import Story
from tests.world.clock import simulate

pytestmark = pytest.mark.looptime(noop_cycles=1)

SAMPLES_LOST_MAX = 3
"""Scrapes of each step that may fall between its evidence and the true count: the one before the
origin, and those after the end."""


async def a_promotion(story: Story) -> None:
    await story.stable()
    story.want("v2")
    await story.stable("v2", within_seconds=180)


async def an_abort(story: Story) -> None:
    await story.stable()
    story.want("v2")
    await story.until_step(2, within_seconds=60)
    story.command(Verb.ABORT)
    await story.until_phase("RolledBack", within_seconds=60)


async def a_failing_gate(story: Story) -> None:
    await story.stable()
    story.fail("v2", 30)
    story.want("v2")
    await story.until_phase("RolledBack", within_seconds=60)


async def a_deletion(story: Story) -> None:
    await story.stable()
    story.want("v2")
    await story.until_step(2, within_seconds=60)
    story.cluster.remove(ROLLOUT, gray.KEY)
    gone: Callable[[], bool] = lambda: not story.cluster.everything(ROLLOUT)  # noqa: E731
    await story.until(gone, within_seconds=60)


async def a_new_revision(story: Story) -> None:
    await story.stable()
    story.want("v2")
    await story.until_step(2, within_seconds=60)
    story.want("v3")
    await story.stable("v3", within_seconds=180)


STORIES = {
    "promotion": a_promotion,
    "abort": an_abort,
    "failing gate": a_failing_gate,
    "deletion": a_deletion,
    "new revision": a_new_revision,
}


KILLED_AT = {
    "promotion": range(22),
    "abort": range(10, 21),
    "failing gate": range(6, 17),
    "deletion": range(10, 19),
    "new revision": range(10, 22),
}
"""The writes at which stories differ from the first one, which is killed everywhere."""


def outcome_of(story: Story) -> dict[str, object]:
    """What is left when it is all over, but for times and counts."""
    end: dict[str, object] = {
        "weights": [story.weight(v) for v in gray.VERSIONS],
        "went": story.canary_weights(),
        "commands": [a.get("status") for a in story.cluster.everything(ROLLOUT_ACTION).values()],
    }
    for rollout in story.cluster.everything(ROLLOUT).values():
        status = story.status()
        end["finalizers"] = rollout["metadata"].get("finalizers", [])
        end["status"] = [status.phase, status.stable_revision, status.rejected_revision]
        end["history"] = [
            (h.id, h.outcome, h.revision, h.steps, h.max_weight) for h in status.history
        ]
    for command in story.cluster.everything(ROLLOUT_ACTION).values():
        end["commands"] = command["status"]["outcome"]
    return end


async def writes_of(name: str) -> tuple[int, dict[str, object]]:
    """How many writes a story takes when nobody dies, and how it ends."""
    story = gray.furnished()
    async with gray.running(gray.controller(story).run):
        await STORIES[name](story)
        await asyncio.sleep(10)
    return len(story.cluster.writes), outcome_of(story)


async def with_a_death(name: str, *, after_writes: int, effective: bool) -> Story:
    """The story told with a controller that dies once, and a second one that follows at once."""
    story = gray.furnished()

    async def lives() -> None:
        await gray.one_life(story, writes_count=after_writes, effective=effective)
        await gray.controller(story).run()

    async with gray.running(lives):
        await STORIES[name](story)
        await asyncio.sleep(10)
    return story


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", STORIES)
def test_a_kill_at_any_write_neither_skips_nor_repeats_anything_peers_110(name: str) -> None:
    writes, expected = simulate(writes_of(name))

    assert KILLED_AT[name].stop <= writes
    for k, effective in itertools.product(KILLED_AT[name], (False, True)):
        story = simulate(with_a_death(name, after_writes=k, effective=effective))

        assert simulate(_outcome(story)) == expected, f"killed at write {k}, {effective=}"
        assert_counted_once(story, f"killed at write {k}, {effective=}")


async def _outcome(story: Story) -> dict[str, object]:
    return outcome_of(story)


def assert_counted_once(story: Story, when: str) -> None:
    """No request may count twice; the first and the last scrapes of a run may be missing."""
    for past in [] if not story.cluster.everything(ROLLOUT) else story.status().history[:1]:
        counters = [c for (v, _), c in story.counters.items() if v == past.revision]
        until = past.ended_at.timestamp()
        rows = [[value for at, value in c.samples if at <= until] for c in counters]
        true = sum(values[-1] for values in rows if values)
        assert past.canary_requests <= true, when
        assert past.canary_requests >= true - SAMPLES_LOST_MAX * gray.REQUESTS_PER_SECOND, when


async def test_a_hold_until_five_past_ends_at_five_past_though_restarted_at_three_past() -> None:
    steps = [{"weight": 5, "hold": "5m"}, {"weight": 100}]
    strategy = {"steps": steps, "bake": "10s", "maxDuration": "1h"}
    story = gray.furnished(gray.rollout(strategy=strategy))
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        due = story.run().step_started_at + timedelta(minutes=5)
        await asyncio.sleep(180)
    await asyncio.sleep(20)

    async with gray.running(gray.controller(story).run):
        await asyncio.sleep(5)
        early = story.weight("v2")
        await story.until_step(2, within_seconds=200)

    assert early == 5
    assert 0 <= gray.seconds_between(due, story.run().step_started_at) < 1.5


async def test_a_controller_that_was_away_longer_than_a_hold_does_one_step_at_once() -> None:
    story = gray.furnished()
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(3)
    await asyncio.sleep(60)

    async with gray.running(gray.controller(story).run):
        await story.until_step(2, within_seconds=5)
        await asyncio.sleep(5)

        assert story.run().step == 2
        assert story.canary_weights() == [0, 5, 50]


async def test_traffic_stays_as_it_was_set_while_no_controller_is_there_peers_141() -> None:
    story = gray.furnished()
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=60)

    await asyncio.sleep(600)

    assert story.weight("v2") == 50
    assert story.status().phase == "Progressing"


async def test_a_deadline_that_passed_while_nobody_looked_is_met_once_peers_118() -> None:
    strategy = {"steps": [{"pause": {}}], "maxDuration": "1m"}
    story = gray.furnished(gray.rollout(strategy=strategy))
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await asyncio.sleep(20)
    await asyncio.sleep(3600)
    before = len(story.cluster.writes)

    async with gray.running(gray.controller(story).run):
        await story.until_phase("RolledBack", within_seconds=10)
        await asyncio.sleep(60)

    assert len(story.cluster.writes) - before <= 8
    assert "maxDuration" in story.status().message


async def test_a_restart_of_many_settled_rollouts_starts_nothing_and_writes_nothing_peers_48() -> (
    None
):
    story = gray.furnished()
    async with gray.running(gray.controller(story).run):
        await story.stable()
        await asyncio.sleep(5)
    before = len(story.cluster.writes)

    for _ in range(3):
        async with gray.running(gray.controller(story).run):
            await asyncio.sleep(30)

    assert len(story.cluster.writes) == before


@pytest.mark.parametrize("name", STORIES)
async def test_two_controllers_at_once_end_where_one_does(name: str) -> None:
    story = gray.furnished()

    async with (
        gray.running(gray.controller(story, seed=1).run),
        gray.running(gray.controller(story, seed=2).run),
    ):
        await STORIES[name](story)
        await asyncio.sleep(10)

    assert outcome_of(story) == (await writes_of(name))[1]


async def test_a_second_controller_whose_watch_lags_sends_nothing_to_an_aborted_version() -> None:
    story = gray.furnished()
    async with (
        gray.running(gray.controller(story, seed=1).run),
        gray.running(gray.controller(story, seed=2).run) as second,
    ):
        await story.stable()
        story.want("v2")
        await story.until_step(2, within_seconds=60)
        assert not second.done()
        # The second one hears of routes, and of Rollouts and commands nothing any more.
        for kind in (ROLLOUT, ROLLOUT_ACTION):
            late = [s for s in story.cluster._streams if s.plural == kind.plural]
            late[-1].silent = True
            late[-1].stirred.set()
        story.command(Verb.ABORT)
        await story.until_phase("RolledBack", within_seconds=10)
        await asyncio.sleep(30)

    assert story.weight("v2") == 0


async def test_events_of_two_controllers_are_told_once() -> None:
    story = gray.furnished()

    async with (
        gray.running(gray.controller(story, seed=1).run),
        gray.running(gray.controller(story, seed=2).run),
    ):
        await a_promotion(story)

    began = story.events("StepBegan")
    assert len(began) == len(set(began)), began
    assert story.writes(EVENT) == len(story.cluster.everything(EVENT))
    assert story.writes(VIRTUAL_SERVICE) == 3
