"""Another revision is wanted: before, during and after a run."""

from __future__ import annotations

import asyncio

import pytest

from rollout.api.action import Verb
from rollout.api.meta import DESTINATION_RULE, ROLLOUT, VIRTUAL_SERVICE, Key, Manifest
from tests.stories import gray
from tests.stories.gray import Story

pytestmark = pytest.mark.looptime(noop_cycles=1)


async def at_step(story: Story, step: int) -> None:
    await story.stable()
    story.want("v2")
    await story.until_step(step, within_seconds=60)


async def test_a_new_revision_in_mid_run_takes_traffic_to_stable_first_peers_54() -> None:
    async with gray.told() as story:
        await at_step(story, 2)

        story.want("v3")
        await story.stable("v3", within_seconds=180)

        assert story.canary_weights() == [0, 5, 50, 0, 5, 50, 100]
        assert story.weight("v3") == 100
        assert [past.outcome for past in story.status().history] == ["Promoted", "Superseded"]


async def test_a_new_revision_while_baking_returns_to_the_old_one_first_peers_57() -> None:
    async with gray.told() as story:
        await at_step(story, 3)
        await story.until_phase("Baking", within_seconds=30)

        story.want("v3")
        await story.until(lambda: story.weight("v1") == 100, within_seconds=1)
        await story.stable("v3", within_seconds=120)


async def test_the_stable_revision_wanted_in_mid_run_is_a_rollback_at_once() -> None:
    async with gray.told() as story:
        await at_step(story, 2)

        story.want("v1")
        await story.until(lambda: story.weight("v1") == 100, within_seconds=0.2)
        await story.stable("v1", within_seconds=10)

        assert story.status().history[0].outcome == "RolledBack"


async def test_after_a_failure_a_fix_starts_and_the_old_revision_is_healthy_peers_55_59() -> None:
    async with gray.told() as story:
        await story.stable()
        story.fail("v2", 50)
        story.want("v2")
        await story.until_phase("RolledBack", within_seconds=60)
        story.want("v1")
        await story.stable("v1", within_seconds=5)
        healthy = story.status().phase

        story.want("v3")
        await story.stable("v3", within_seconds=120)

        assert healthy == "Stable"


async def test_a_spec_edited_in_mid_run_rules_the_next_run_peers_43_49() -> None:
    async with gray.told() as story:
        await at_step(story, 1)

        story.edit(strategy={"steps": [{"weight": 70, "hold": "1h"}], "maxDuration": "2h"})
        await asyncio.sleep(2)
        told = story.status().message
        await story.stable("v2", within_seconds=120)

        assert "next run" in told
        assert story.canary_weights() == [0, 5, 50, 100]


async def test_a_spec_broken_in_mid_run_changes_nothing_and_is_told() -> None:
    async with gray.told() as story:
        await at_step(story, 1)

        story.edit(strategy={"steps": [{"weight": 300}]})
        await asyncio.sleep(2)
        told = story.status()
        await story.until(lambda: story.weight("v2") == 100, within_seconds=60)

        assert "spec.strategy.steps[0]" in told.message
        assert told.phase == "Progressing"


async def test_an_undo_is_a_run_to_the_last_stable_revision_sent_to_the_whole() -> None:
    async with gray.told() as story:
        await story.stable()
        story.want("v2")
        await story.stable("v2", within_seconds=120)

        story.want("v1")
        await story.until_phase("Preparing", within_seconds=5)
        story.command(Verb.PROMOTE_FULL)
        await story.until(lambda: story.weight("v1") == 100, within_seconds=5)
        await story.stable("v1", within_seconds=60)

        assert story.status().history[0].outcome == "Promoted"


async def test_retirable_revisions_are_told_and_never_the_one_that_is_wanted() -> None:
    async with gray.told() as story:
        await story.stable()
        story.want("v2")
        await story.stable("v2", within_seconds=120)
        first = story.status().retirable
        story.want("v3")
        await story.until_step(1, within_seconds=30)

        assert first == ("v1",)
        assert "v2" not in story.status().retirable


async def test_ten_runs_and_more_are_remembered_as_ten_and_the_status_stays_small() -> None:
    steps = [{"weight": 50, "hold": "2s"}]
    gates = [{"name": f"errors-{i}", "errorRate": {"maxPercent": 1}} for i in range(5)]
    spec = gray.rollout(strategy={"steps": steps, "bake": "2s", "maxDuration": "10m"}, gates=gates)
    async with gray.told(spec) as story:
        await story.stable()
        for number in range(12):
            wanted = "v2" if number % 2 == 0 else "v1"
            story.want(wanted)
            await story.stable(wanted, within_seconds=60)

        size = len(str(story.cluster.peek(ROLLOUT, gray.KEY)["status"]))
        assert len(story.status().history) == 10
        assert size < 32 * 1024


def split_in_two() -> tuple[Manifest, Manifest]:
    """Two VirtualServices: the mesh's, and the gateway's with two routes of the host."""
    mesh = gray.virtual_service(v1=100)
    gateway = gray.virtual_service(v1=100)
    gateway["metadata"]["name"] = "gateway"
    gateway["spec"]["hosts"] = ["books.example.com"]
    gateway["spec"]["gateways"] = ["istio-system/public"]
    legs = gateway["spec"]["http"][0]["route"]
    gateway["spec"]["http"] = [
        {"name": "api", "match": [{"uri": {"prefix": "/api"}}], "route": legs},
        {"name": "rest", "route": [{**leg, "weight": leg["weight"] * 10} for leg in legs]},
        {"name": "other", "route": [{"destination": {"host": "pages"}}]},
    ]
    return mesh, gateway


def shares(story: Story, name: str) -> list[list[int | None]]:
    found = story.cluster.peek(VIRTUAL_SERVICE, Key(gray.NAMESPACE, name))
    return [[leg.get("weight") for leg in route["route"]] for route in found["spec"]["http"]]


async def test_all_routes_of_two_virtual_services_move_together() -> None:
    refs = [{"name": "reviews"}, {"name": "gateway"}]
    story = gray.furnished(gray.rollout(traffic={"virtualServices": refs}))
    for manifest in split_in_two():
        story.cluster.put(VIRTUAL_SERVICE, manifest)
    async with gray.running(gray.controller(story).run):
        await at_step(story, 1)

        assert shares(story, "reviews") == [[95, 5, 0]]
        assert shares(story, "gateway") == [[95, 5, 0], [950, 50, 0], [None]]

        story.command(Verb.ABORT)
        await story.until_phase("RolledBack", within_seconds=10)
        assert shares(story, "gateway") == [[100, 0, 0], [1000, 0, 0], [None]]


async def test_routes_that_are_named_are_the_only_ones_that_move() -> None:
    refs = [{"name": "gateway", "routes": ["api"]}]
    story = gray.furnished(gray.rollout(traffic={"virtualServices": refs}))
    for manifest in split_in_two():
        story.cluster.put(VIRTUAL_SERVICE, manifest)
    async with gray.running(gray.controller(story).run):
        await at_step(story, 1)

        assert shares(story, "reviews") == [[100, 0, 0]]
        assert shares(story, "gateway") == [[95, 5, 0], [1000, 0, 0], [None]]


@pytest.mark.parametrize("wanted", ["blue", "green"])
async def test_a_host_whose_revisions_are_called_otherwise_is_taken_over(wanted: str) -> None:
    story = gray.furnished()
    gray.furnish(story.cluster, "ratings")
    rule = gray.destination_rule("ratings", ("blue", "green"))
    story.cluster.put(DESTINATION_RULE, rule)
    legs = [
        {"destination": {"host": "ratings", "subset": subset}, "weight": weight}
        for subset, weight in (("blue", 100), ("green", 0))
    ]
    service = {
        "metadata": {"name": "ratings", "namespace": gray.NAMESPACE},
        "spec": {"hosts": ["ratings"], "http": [{"name": "primary", "route": legs}]},
    }
    story.cluster.put(VIRTUAL_SERVICE, service)
    async with gray.running(gray.controller(story).run):
        await story.stable("v1")
        story.edit(host="ratings", revision=wanted)
        await asyncio.sleep(20)

    assert story.status().stable_revision == "blue"
    assert wanted == "blue" or story.run().canary_revision == "green"
