"""Whole runs in simulated time: what the world looks like when it is over."""

from __future__ import annotations

import pytest

from rollout.api.action import Verb
from rollout.api.meta import VIRTUAL_SERVICE
from tests.stories import gray

pytestmark = pytest.mark.looptime(noop_cycles=1)


async def test_a_service_that_already_takes_traffic_is_adopted_without_a_write_to_it() -> None:
    async with gray.told() as story:
        await story.until_phase("Stable", within_seconds=5)

        assert story.status().stable_revision == "v1"
        assert not [w for w in story.cluster.writes if w.plural == VIRTUAL_SERVICE.plural]


async def test_a_healthy_version_climbs_every_rung_and_becomes_stable() -> None:
    async with gray.told() as story:
        await story.until_phase("Stable", within_seconds=5)

        story.want("v2")
        await story.until(lambda: story.status().stable_revision == "v2", within_seconds=120)

        assert [weight for _, weight in story.weights_seen] == [0, 5, 50, 100]
        assert story.weight("v1") == 0
        assert story.status().history[0].outcome == "Promoted"


async def test_a_failing_version_is_taken_back_by_its_gate_within_a_scrape() -> None:
    async with gray.told() as story:
        await story.until_phase("Stable", within_seconds=5)
        story.error_percent["v2"] = 50

        story.want("v2")
        await story.until_phase("RolledBack", within_seconds=60)

        run = story.status().run
        assert run is not None
        assert run.ending is not None
        assert run.ending.gate == "errors"
        assert story.weight("v2") == 0
        assert story.weight("v1") == 100


async def test_an_abort_takes_all_traffic_back_and_is_answered() -> None:
    async with gray.told() as story:
        await story.until_phase("Stable", within_seconds=5)
        story.want("v2")
        await story.until_step(2, within_seconds=60)

        said = story.command(Verb.ABORT)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=1)
        await story.until_phase("RolledBack", within_seconds=5)

        assert story.answer(said)["outcome"] == "Applied"
        assert story.status().history[0].by == "alice@example.com"
