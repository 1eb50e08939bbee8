"""Mistakes in a Rollout: one sentence each, and no traffic moves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rollout.api.meta import DESTINATION_RULE, ROLLOUT, VIRTUAL_SERVICE, Key, Manifest
from tests.stories import gray

pytestmark = pytest.mark.looptime(noop_cycles=1)

STEPS = [{"weight": 5, "hold": "10s"}]
ERRORS = {"name": "errors", "errorRate": {"maxPercent": 1}}

MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a hold of 1mfoo": ({"strategy": {"steps": [{"weight": 5, "hold": "1mfoo"}]}}, "1mfoo"),
    "a falling ladder": ({"strategy": {"steps": [{"weight": 10}, {"weight": 5}]}}, "steps[1]"),
    "two kinds in a step": ({"strategy": {"steps": [{"weight": 5, "pause": {}}]}}, "steps[0]"),
    "a weight of 101": ({"strategy": {"steps": [{"weight": 101}]}}, "steps[0].weight"),
    "an unknown field": ({"stratgy": {"steps": STEPS}}, "stratgy"),
    "two gates of one name": ({"gates": [ERRORS, ERRORS]}, "gates[1]"),
    "a gate without a kind": ({"gates": [{"name": "empty"}]}, "gates[0]"),
    "an unknown variable": (
        {"gates": [{"name": "own", "query": {"promql": "x{a='{{ revison }}'}", "min": 1}}]},
        "revison",
    ),
    "a query without a bound": (
        {"gates": [{"name": "own", "query": {"promql": "x"}}]},
        "gates[0].query",
    ),
    "a check of an unknown gate": (
        {"strategy": {"steps": [{"check": {"gates": ["erors"]}}]}},
        "erors",
    ),
    "a revision that is no subset": ({"revision": "v22"}, "v22"),
    "a host nobody routes": ({"host": "reviws"}, "reviws"),
    "a virtual service that is not there": (
        {"traffic": {"virtualServices": [{"name": "revews"}]}},
        "revews",
    ),
    "a route that is not there": (
        {"traffic": {"virtualServices": [{"name": "reviews", "routes": ["main"]}]}},
        "main",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
async def test_a_mistake_is_told_in_one_sentence_and_moves_nothing(name: str) -> None:
    mistake, word = MISTAKES[name]
    async with gray.told() as story:
        await story.stable()
        before = story.writes(VIRTUAL_SERVICE)

        story.edit(**{"revision": "v2", **mistake})
        await asyncio.sleep(30)
        status = story.status()

        assert status.phase in {"Invalid", "Blocked"}
        assert word in status.message
        assert status.message.count("\n") == 0
        assert not status.message.endswith(".")
        assert story.writes(VIRTUAL_SERVICE) == before
        assert len(story.events(status.reason)) == 1
        assert status.observed_generation == 2


@pytest.mark.parametrize("name", MISTAKES)
async def test_a_mistake_that_is_mended_is_forgotten_at_once_peers_116(name: str) -> None:
    mistake, _ = MISTAKES[name]
    async with gray.told(gray.rollout(**mistake)) as story:
        await asyncio.sleep(5)

        story.cluster.edit(ROLLOUT, gray.KEY, lambda m: m.update(spec=gray.rollout()["spec"]))
        await story.stable()

        story.want("v2")
        await story.stable("v2", within_seconds=120)


def second(host: str = "reviews") -> Manifest:
    manifest = gray.rollout("v3")
    manifest["metadata"]["name"] = "zweite"
    manifest["spec"]["host"] = host
    return manifest


async def test_a_second_rollout_on_one_host_is_told_and_touches_nothing_peers_138() -> None:
    other = Key(gray.NAMESPACE, "zweite")
    async with gray.told() as story:
        await story.stable()

        story.cluster.put(ROLLOUT, second("reviews.shop.svc.cluster.local"))
        await asyncio.sleep(30)
        told = story.cluster.peek(ROLLOUT, other)["status"]

        assert told["phase"] == "Invalid"
        assert "shop/reviews" in told["message"]
        assert story.canary_weights() == [0]

        story.cluster.remove(ROLLOUT, gray.KEY)
        await story.until(lambda: story.weight("v3") == 5, within_seconds=5)


async def test_an_older_rollout_that_moves_to_a_host_in_mid_run_waits_for_that_run() -> None:
    older = second("ratings")
    older["spec"]["revision"] = "v1"
    story = gray.furnished()
    story.cluster.remove(ROLLOUT, gray.KEY)
    gray.furnish(story.cluster, "ratings")
    story.cluster.put(ROLLOUT, older)
    async with gray.running(gray.controller(story).run):
        await asyncio.sleep(5)
        story.cluster.put(ROLLOUT, gray.rollout())
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)

        story.cluster.edit(
            ROLLOUT,
            Key(gray.NAMESPACE, "zweite"),
            lambda m: m["spec"].update(host="reviews", revision="v3"),
        )
        await story.until_step(2, within_seconds=30)

        assert story.weight("v3") == 0
        assert story.canary_weights() == [0, 5, 50]


async def test_a_rule_of_a_callers_namespace_without_the_subset_is_told_peers_164() -> None:
    async with gray.told() as story:
        await story.stable()
        rules = gray.destination_rule(versions=("v1", "v1"))
        story.cluster.put(DESTINATION_RULE, rules)

        story.want("v2")
        await story.until_phase("Blocked", within_seconds=5)

        assert story.status().message


async def test_a_status_that_somebody_has_broken_stops_that_rollout_alone() -> None:
    async with gray.told() as story:
        await story.stable()
        gray.furnish(story.cluster, "ratings")
        broken = second("ratings")
        broken["status"] = {"phase": "Dancing", "run": 7}
        story.cluster.put(ROLLOUT, broken)
        await asyncio.sleep(30)

        story.want("v2")
        await story.stable("v2", within_seconds=120)
