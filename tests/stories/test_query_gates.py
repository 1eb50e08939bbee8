"""Gates with queries of their own, judged by evidence: blocks of time and their mean decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from rollout.api.meta import Manifest
from tests.stories import gray
from tests.stories.gray import Story
from tests.world.metrics import vector

pytestmark = pytest.mark.looptime(noop_cycles=1)

LONG: dict[str, Any] = {
    "steps": [{"weight": 20, "hold": "10s"}, {"weight": 100, "hold": "5s"}],
    "bake": "5s",
    "maxDuration": "1h",
}
TEXT = 'refunds{rev="{{ revision }}"}[{{ window }}]'


def refunding(*, decide: Mapping[str, Any], relative: bool = False) -> Manifest:
    query: dict[str, Any] = {"promql": TEXT, "block": "10s", **decide}
    query |= {"relativeTo": "stable"} if relative else {}
    return gray.rollout(strategy=LONG, gates=[{"name": "refunds", "query": query}])


def answers(story: Story, numbers: Mapping[str, float]) -> list[tuple[str, float]]:
    """Has Prometheus answer by revision; returns what it is asked, and about when."""
    asked: list[tuple[str, float]] = []

    def answer(promql: str, at: float) -> Mapping[str, Any]:
        asked.append((promql, at))
        version = "v2" if '"v2"' in promql else "v1"
        return vector([({}, numbers[version])] if version in numbers else [], at=at)

    story.metrics.script("refunds", answer)
    return asked


SHARE = {"max": 0.2, "range": {"low": 0, "high": 1}}


async def begin(story: Story) -> None:
    await story.stable()
    story.want("v2")
    await story.until_step(1, within_seconds=30)


async def test_numbers_within_the_bound_promote_and_each_block_is_asked_about_once() -> None:
    async with gray.told(refunding(decide=SHARE)) as story:
        asked = answers(story, {"v2": 0.1})
        await begin(story)
        await story.stable("v2", within_seconds=90)

        assert {promql for promql, _ in asked} == {'refunds{rev="v2"}[10s]'}
        times = [at for _, at in asked]
        assert times == sorted(set(times))
        assert len(times) <= 4


async def test_numbers_that_stay_beyond_the_bound_take_the_canary_back() -> None:
    async with gray.told(refunding(decide=SHARE)) as story:
        answers(story, {"v2": 0.7})
        await begin(story)
        await story.until_phase("RolledBack", within_seconds=200)

        told = story.status().message
        assert "refunds: the query gave 0.7 on average of" in told
        assert "exceeded at 99 % confidence" in told
        gate = story.run().gates[0]
        assert gate.failed_sample_at is not None


async def test_one_odd_number_takes_nobody_back() -> None:
    async with gray.told(refunding(decide=SHARE)) as story:
        numbers = {"v2": 1.0}
        asked = answers(story, numbers)
        await begin(story)
        await story.until(lambda: len(asked) == 1, within_seconds=30)
        numbers["v2"] = 0.01
        await story.stable("v2", within_seconds=200)


async def test_as_bad_as_stable_is_good_enough_where_the_two_are_compared() -> None:
    decide = {"max": 1.2, "range": {"low": 0, "high": 1}}
    async with gray.told(refunding(decide=decide, relative=True)) as story:
        asked = answers(story, {"v1": 0.6, "v2": 0.6})
        await begin(story)
        await story.until_phase("Promoting", within_seconds=60)

        assert {promql for promql, _ in asked} == {
            'refunds{rev="v1"}[10s]',
            'refunds{rev="v2"}[10s]',
        }


async def test_at_100_percent_nobody_waits_for_a_stable_number_that_cannot_come() -> None:
    decide = {"max": 1.2, "range": {"low": 0, "high": 1}}
    async with gray.told(refunding(decide=decide, relative=True)) as story:
        numbers = {"v1": 0.1, "v2": 0.1}
        answers(story, numbers)
        await begin(story)
        await story.until_phase("Promoting", within_seconds=60)
        del numbers["v1"]
        await story.stable("v2", within_seconds=60)


async def test_numbers_without_a_range_hold_for_as_long_as_they_are_beyond_the_bound() -> None:
    async with gray.told(refunding(decide={"max": 100})) as story:
        numbers = {"v2": 300.0}
        answers(story, numbers)
        await begin(story)
        await story.until(
            lambda: "without a range of its numbers" in story.status().message, within_seconds=400
        )
        assert story.run().step == 1
        assert story.run().ending is None


async def test_a_restart_asks_about_the_blocks_it_has_missed_and_counts_each_once() -> None:
    story = gray.furnished(refunding(decide=SHARE))
    asked = answers(story, {"v2": 0.5})
    async with gray.running(gray.controller(story).run):
        await begin(story)
        await story.until(lambda: len(asked) >= 3, within_seconds=60)
    first = len(asked)
    async with gray.running(gray.controller(story).run):
        await story.until(lambda: len(asked) >= first + 3, within_seconds=60)
        await story.until_phase("RolledBack", within_seconds=3000)

    ends = {at for _, at in asked}
    assert f"on average of {len(ends)} times 10s" in story.run().gates[0].because
