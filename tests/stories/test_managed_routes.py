"""Routes of our own: there for as long as a step needs them, whoever takes them away, then gone."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from rollout.api.action import Verb
from rollout.api.meta import ROLLOUT, VIRTUAL_SERVICE, Manifest
from tests.stories import gray
from tests.stories.gray import Story

pytestmark = pytest.mark.looptime(noop_cycles=1)

HEADER = {"headers": {"x-canary": {"exact": "always"}}}
STEPS: list[dict[str, Any]] = [
    {"match": HEADER, "hold": "10s"},
    {"weight": 50, "hold": "10s"},
]


def matching(**spec: Any) -> Manifest:
    strategy = {"steps": STEPS, "bake": "5s", "maxDuration": "10m"}
    return gray.rollout(strategy=strategy, **spec)


async def begin(story: Story) -> list[Manifest]:
    """The run at its first step; the http routes as they were before it."""
    story.matching_per_second = 20.0
    await story.stable()
    before = copy.deepcopy(http(story))
    story.want("v2")
    await story.until_step(1, within_seconds=30)
    return before


def http(story: Story) -> list[Manifest]:
    routes: list[Manifest] = story.cluster.peek(VIRTUAL_SERVICE, gray.KEY)["spec"]["http"]
    return routes


async def test_a_match_stands_in_front_beside_the_weights_and_is_gone_after_peers_38_40() -> None:
    async with gray.told(matching()) as story:
        before = await begin(story)
        first = http(story)
        await story.until_step(2, within_seconds=60)
        second = http(story)
        await story.stable("v2", within_seconds=120)

        assert [route["name"] for route in first] == [
            "rollout.dev/shop/reviews/match/primary",
            "primary",
        ]
        assert first[0]["match"] == [HEADER]
        assert [leg["destination"]["subset"] for leg in first[0]["route"]] == ["v2"]
        assert second[0] == first[0]
        assert story.canary_weights() == [0, 50, 100]
        (after,) = http(story)
        weights = {leg["destination"]["subset"]: leg.pop("weight") for leg in after["route"]}
        assert weights == {"v1": 0, "v2": 100, "v3": 0}
        for leg in before[0]["route"]:
            leg.pop("weight")
        assert [after] == before


async def test_what_matches_is_judged_before_anybody_else_gets_the_canary() -> None:
    async with gray.told(matching()) as story:
        story.fail("v2", 50)
        await begin(story)
        await story.until_phase("RolledBack", within_seconds=30)

        assert story.canary_weights() == [0]
        assert story.managed() == []
        assert "errors" in story.status().message


async def test_a_match_route_that_is_removed_or_edited_is_restored_at_once_peers_35() -> None:
    async with gray.told(matching()) as story:
        await begin(story)
        first = copy.deepcopy(http(story))

        story.cluster.edit(VIRTUAL_SERVICE, gray.KEY, lambda m: m["spec"]["http"].pop(0))
        await story.until(lambda: http(story) == first, within_seconds=0.2)
        await asyncio.sleep(1)
        story.cluster.edit(
            VIRTUAL_SERVICE, gray.KEY, lambda m: m["spec"]["http"][0].update(match=[])
        )
        await story.until(lambda: http(story) == first, within_seconds=2)

        assert story.run().step == 1
        assert "removed the managed routes" in story.events("PutBack")[0]


async def test_a_match_route_is_away_while_its_canary_cannot_answer_and_back_after_peers_36() -> (
    None
):
    async with gray.told(matching()) as story:
        await begin(story)

        story.set_ready("v2", ready=False)
        await story.until(lambda: not story.managed(), within_seconds=0.2)
        story.set_ready("v2", ready=True)
        await story.until(lambda: bool(story.managed()), within_seconds=20)

        assert story.run().step == 1


@pytest.mark.parametrize("step", [1, 2])
async def test_an_abort_takes_weights_and_managed_routes_in_one_write(step: int) -> None:
    async with gray.told(matching()) as story:
        before = await begin(story)
        await story.until_step(step, within_seconds=30)
        writes = story.writes(VIRTUAL_SERVICE)

        story.command(Verb.ABORT)
        await story.until(lambda: not story.managed(), within_seconds=0.2)

        assert http(story) == before
        await story.until_phase("RolledBack", within_seconds=10)
        assert story.writes(VIRTUAL_SERVICE) == writes + 1


async def test_a_deleted_rollout_leaves_no_managed_route() -> None:
    async with gray.told(matching()) as story:
        before = await begin(story)

        story.cluster.remove(ROLLOUT, gray.KEY)
        await story.until(lambda: not story.cluster.everything(ROLLOUT), within_seconds=20)

        assert http(story) == before


async def test_a_restart_in_a_match_writes_nothing_anew() -> None:
    story = gray.furnished(matching())
    async with gray.running(gray.controller(story).run):
        await begin(story)
        await asyncio.sleep(3)
    writes = story.writes(VIRTUAL_SERVICE)

    async with gray.running(gray.controller(story).run):
        await story.until_step(2, within_seconds=30)

    assert story.writes(VIRTUAL_SERVICE) == writes + 1
    assert len(story.managed()) == 1


@pytest.mark.parametrize("effective", [False, True], ids=["lost", "done"])
@pytest.mark.parametrize("at", range(4, 16))
async def test_a_controller_killed_at_any_write_comes_to_the_same_end(
    at: int, effective: bool
) -> None:
    story = gray.furnished(matching())

    async def lives() -> None:
        await gray.one_life(story, writes_count=at, effective=effective)
        await gray.controller(story).run()

    async with gray.running(lives):
        await begin(story)
        await story.stable("v2", within_seconds=180)

    assert story.canary_weights() == [0, 50, 100]
    assert story.managed() == []


async def test_a_settled_rollout_that_had_managed_routes_idles_peers_33() -> None:
    async with gray.told(matching()) as story:
        await begin(story)
        await story.stable("v2", within_seconds=120)
        await asyncio.sleep(5)
        writes = len(story.cluster.writes)

        await asyncio.sleep(3600)

        assert len(story.cluster.writes) == writes


async def test_a_match_that_a_route_contradicts_is_told_before_traffic_moves() -> None:
    async with gray.told(matching()) as story:
        await story.stable()
        own = [{"headers": {"X-Canary": {"exact": "never"}}}]
        story.cluster.edit(
            VIRTUAL_SERVICE, gray.KEY, lambda m: m["spec"]["http"][0].update(match=own)
        )
        story.want("v2")
        await story.until_phase("Blocked", within_seconds=10)

        assert story.status().reason == "MatchConflict"
        assert "http route primary asks for header X-Canary itself" in story.status().message
        assert story.canary_weights() == [0]


async def test_a_match_that_the_webhook_refuses_blocks_and_an_abort_ends_it() -> None:
    def refuse(_: str, kind: Any, manifest: Manifest) -> str | None:
        managed = kind == VIRTUAL_SERVICE and len(manifest["spec"]["http"]) > 1
        return "admission webhook denied the request: bad regex" if managed else None

    async with gray.told(matching()) as story:
        await story.stable()
        story.cluster.admit = refuse
        story.want("v2")
        await story.until_phase("Blocked", within_seconds=10)
        held = story.status()
        story.command(Verb.ABORT)
        await story.until_phase("RolledBack", within_seconds=10)

        assert "bad regex" in held.message
        assert story.canary_weights() == [0]


async def test_a_route_that_a_rollout_long_gone_left_in_front_is_named_before_a_run() -> None:
    story = gray.furnished(gray.rollout(gates=[]))

    def add(manifest: Manifest) -> None:
        routes = manifest["spec"]["http"]
        name = "rollout.dev/shop/gone/copy/primary"
        routes.insert(0, copy.deepcopy(routes[0]) | {"name": name, "timeout": "2s"})

    story.cluster.edit(VIRTUAL_SERVICE, gray.KEY, add)
    async with gray.running(gray.controller(story).run):
        story.want("v2")
        await story.until_phase("Blocked", within_seconds=10)

        assert "rollout.dev/shop/gone/copy/primary" in story.status().message
        assert "belongs to Rollout shop/gone" in story.status().message
        assert story.canary_weights() == [0]

        story.cluster.edit(VIRTUAL_SERVICE, gray.KEY, lambda m: m["spec"]["http"].pop(0))
        story.want("v1")
        await story.stable()
        story.want("v2")
        await story.stable("v2", within_seconds=120)


async def test_the_end_of_a_match_before_any_weight_has_nothing_to_judge_and_does_not_wait() -> (
    None
):
    steps = [{"match": HEADER, "hold": "10s"}, {"match": {}}, {"weight": 50, "hold": "10s"}]
    strategy = {"steps": steps, "bake": "5s", "maxDuration": "10m"}
    async with gray.told(gray.rollout(strategy=strategy)) as story:
        await begin(story)
        await story.stable("v2", within_seconds=120)

        assert story.canary_weights() == [0, 50, 100]
