"""Stories of proxies: a run goes on when they have what was written, and says who has not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rollout.api.action import Verb
from rollout.api.meta import DESTINATION_RULE, Kind, Manifest
from rollout.api.phase import ConditionType
from rollout.ports import XdsType
from tests.stories import gray
from tests.stories.gray import Story
from tests.world.mesh import FakeMesh

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(60)]

CLIENT = "client-1.shop"

OLD_SECONDS = 30.0
"""So long after the start subsets are long known to proxies."""

QUICK = ({"weight": 5}, {"weight": 50}, {"weight": 100})


def ladder(*steps: dict[str, Any], **strategy: Any) -> Manifest:
    return gray.rollout(
        gates=[], strategy={"steps": list(steps), "bake": "0s", "maxDuration": "10m", **strategy}
    )


def meshed(manifest: Manifest) -> tuple[Story, FakeMesh]:
    story = gray.furnished(manifest)
    mesh = FakeMesh(clock=story.clock)

    def heard(kind: Kind, changed: Manifest) -> None:
        story.heard(kind, changed)
        mesh.heard(kind)

    story.cluster.heard = heard
    return story, mesh


@asynccontextmanager
async def told(
    manifest: Manifest, *, after_seconds: float = OLD_SECONDS
) -> AsyncIterator[tuple[Story, FakeMesh]]:
    story, mesh = meshed(manifest)
    async with gray.running(gray.controller(story, mesh=mesh).run):
        await story.stable()
        await asyncio.sleep(after_seconds)
        yield story, mesh


def traffic(story: Story) -> tuple[str, str, str]:
    found = story.condition(ConditionType.TRAFFIC_MATCHES)
    assert found is not None
    return found.status, found.reason, found.message


def shown_at(story: Story) -> dict[float, float]:
    """When each weight was written first."""
    found: dict[float, float] = {}
    for at, weight in story.weights_seen:
        found.setdefault(weight, at)
    return found


async def test_steps_wait_for_proxies_and_not_for_the_settle_time() -> None:
    async with told(ladder(*QUICK)) as (story, _):
        begun = story.clock.monotonic_seconds()

        story.want("v2")
        await story.stable("v2", within_seconds=30)

        at = shown_at(story)
        assert at[5] - begun < 0.1
        for low, high in ((5, 50), (50, 100)):
            assert 0.3 <= at[high] - at[low] <= 0.5 < gray.SETTLE_SECONDS


@pytest.mark.parametrize("kind", [XdsType.RDS, XdsType.CDS, XdsType.EDS])
@pytest.mark.parametrize("dates", [True, False], ids=["dated", "undated"])
async def test_a_mesh_that_never_rests_holds_no_run(kind: XdsType, *, dates: bool) -> None:
    async with told(ladder(*QUICK)) as (story, mesh):
        mesh.restless, mesh.dates = (kind,), dates

        story.want("v2")
        await story.stable("v2", within_seconds=10)


async def test_the_condition_says_that_proxies_have_it_and_what_was_observed() -> None:
    async with told(ladder({"weight": 50, "hold": "5m"})) as (story, _):
        story.want("v2")
        await story.until_step(1, within_seconds=5)
        written = traffic(story)
        await asyncio.sleep(1)
        taken = traffic(story)
        await asyncio.sleep(120)

        assert written[:2] == ("Unknown", "WaitingForProxies")
        assert taken[:2] == ("True", "SeenByProxies")
        assert taken[2].startswith("50 % is written in every owned route")
        assert taken[2].endswith("acknowledged by all 2 proxies of this istiod")
        assert story.run().observed_weight == pytest.approx(50, abs=1)


async def test_no_traffic_moves_before_proxies_know_a_subset_that_was_just_added() -> None:
    story, mesh = meshed(ladder({"weight": 5, "hold": "1m"}))
    story.cluster.put(DESTINATION_RULE, gray.destination_rule(versions=["v1"]))
    async with gray.running(gray.controller(story, mesh=mesh).run):
        await story.stable()
        story.want("v2")
        await asyncio.sleep(OLD_SECONDS)
        assert story.status().reason == "SubsetMissing"
        mesh.frozen.add(CLIENT)

        story.cluster.put(DESTINATION_RULE, gray.destination_rule())
        await asyncio.sleep(10)

        assert story.canary_weights() == [0]
        assert story.status().phase == "Preparing"
        assert story.status().reason == "ProxySilent"
        assert f"{CLIENT} has not acknowledged CDS" in story.status().message

        mesh.frozen.clear()
        thawed = story.clock.monotonic_seconds()
        await story.until_step(1, within_seconds=5)

        assert shown_at(story)[5] - thawed < 2


async def test_a_subset_that_is_new_waits_for_its_own_push_and_the_settle_time_and_no_longer() -> (
    None
):
    story, mesh = meshed(ladder({"weight": 5, "hold": "1m"}))
    story.cluster.put(DESTINATION_RULE, gray.destination_rule(versions=["v1"]))
    async with gray.running(gray.controller(story, mesh=mesh).run):
        await story.stable()
        story.want("v2")
        await asyncio.sleep(OLD_SECONDS)

        story.cluster.put(DESTINATION_RULE, gray.destination_rule())
        added = story.clock.monotonic_seconds()
        await story.until_step(1, within_seconds=5)

        assert gray.SETTLE_SECONDS <= shown_at(story)[5] - added <= gray.SETTLE_SECONDS + 0.3


@pytest.mark.parametrize("what", ["endpoints", "reconnect"])
async def test_a_subset_is_not_known_to_proxies_by_what_they_are_sent_for_another_reason(
    what: str,
) -> None:
    story, mesh = meshed(ladder({"weight": 5, "hold": "1m"}))
    mesh.debounce_seconds = 0.9
    story.cluster.put(DESTINATION_RULE, gray.destination_rule(versions=["v1"]))
    async with gray.running(gray.controller(story, mesh=mesh).run):
        await story.stable()
        story.want("v2")
        await asyncio.sleep(OLD_SECONDS)

        story.cluster.put(DESTINATION_RULE, gray.destination_rule())
        added = story.clock.monotonic_seconds()
        await asyncio.sleep(0.2)
        if what == "endpoints":
            mesh.push(XdsType.EDS)
        else:
            mesh.connect_again(CLIENT)
        await story.until_step(1, within_seconds=5)

        assert 0.9 <= shown_at(story)[5] - added <= 1.4


async def test_endpoints_that_come_back_are_known_to_proxies_before_traffic_is() -> None:
    async with told(ladder({"weight": 5, "hold": "1m"})) as (story, mesh):
        story.want("v2")
        await story.until_step(1, within_seconds=5)
        await asyncio.sleep(5)
        story.set_ready("v2", ready=False)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=5)
        await asyncio.sleep(5)
        mesh.frozen.add(CLIENT)

        story.set_ready("v2", ready=True)
        await asyncio.sleep(10)
        assert story.weight("v2") == 0
        assert f"{CLIENT} has not acknowledged EDS" in story.status().message

        mesh.frozen.clear()
        await story.until(lambda: story.weight("v2") == 5, within_seconds=5)


async def test_a_proxy_that_rejects_routes_is_named_with_its_words_and_holds_the_step() -> None:
    async with told(ladder(*QUICK)) as (story, mesh):
        mesh.rejecting[CLIENT, XdsType.RDS] = "weights must sum up to more than 0"

        story.want("v2")
        await asyncio.sleep(60)

        assert story.canary_weights() == [0, 5]
        status = story.status()
        assert (status.phase, status.reason) == ("Progressing", "ProxyRejects")
        assert f"{CLIENT} has rejected RDS: weights must sum up to more than 0" in status.message
        assert "`rollout promote reviews` goes on without" in status.message
        assert traffic(story)[:2] == ("False", "ProxyRejects")
        assert len(story.events("ProxyRejects")) == 1

        del mesh.rejecting[CLIENT, XdsType.RDS]
        await story.stable("v2", within_seconds=10)


async def test_a_match_that_changes_no_weight_waits_for_proxies_too() -> None:
    match = {"headers": {"x-canary": {"exact": "always"}}}
    steps = ({"weight": 5, "hold": "10s"}, {"match": match}, {"weight": 50})
    async with told(ladder(*steps)) as (story, mesh):
        story.want("v2")
        await story.until_step(1, within_seconds=5)
        await asyncio.sleep(5)
        assert traffic(story)[:2] == ("True", "SeenByProxies")
        mesh.rejecting[CLIENT, XdsType.RDS] = "no"

        await asyncio.sleep(30)

        assert (story.run().step, story.status().reason) == (2, "ProxyRejects")
        del mesh.rejecting[CLIENT, XdsType.RDS]
        await story.stable("v2", within_seconds=10)


async def test_the_deadline_runs_while_a_proxy_rejects_and_the_way_back_ends_all_the_same() -> None:
    async with told(ladder(*QUICK, maxDuration="1m")) as (story, mesh):
        mesh.rejecting[CLIENT, XdsType.RDS] = "no"

        story.want("v2")
        await story.until_phase("RollingBack", within_seconds=70)
        begun = story.clock.monotonic_seconds()
        await story.until_phase("RolledBack", within_seconds=40)

        assert 29 <= story.clock.monotonic_seconds() - begun <= 31
        assert "not promoted within maxDuration (1m)" in story.status().message
        assert f"{CLIENT} has rejected RDS: no; not waited for after 30s" in story.status().message
        assert story.weight("v2") == 0


async def test_a_person_may_send_a_step_on_past_a_silent_proxy() -> None:
    async with told(ladder(*QUICK)) as (story, mesh):
        mesh.frozen.add(CLIENT)
        story.want("v2")
        await story.until(lambda: story.status().reason == "ProxySilent", within_seconds=20)
        assert traffic(story)[:2] == ("False", "ProxySilent")

        answer = story.command(Verb.PROMOTE)
        await story.until_step(2, within_seconds=5)

        assert story.answer(answer)["outcome"] == "Applied"
        assert story.weight("v2") == 50


async def test_an_abort_takes_traffic_back_at_once_and_ends_when_proxies_have_it() -> None:
    async with told(ladder({"weight": 50, "hold": "5m"})) as (story, _):
        story.want("v2")
        await story.until_step(1, within_seconds=5)
        await asyncio.sleep(60)
        begun = story.clock.monotonic_seconds()

        story.command(Verb.ABORT)
        await story.until_phase("RolledBack", within_seconds=5)

        assert story.weights_seen[-1][0] - begun < 0.02
        took = story.clock.monotonic_seconds() - begun
        assert gray.SETTLE_SECONDS <= took <= gray.SETTLE_SECONDS + 0.3
        assert traffic(story)[:2] == ("True", "SeenByProxies")


async def test_what_a_proxy_rejected_long_before_and_is_not_sent_again_holds_nobody() -> None:
    async with told(ladder(*QUICK)) as (story, mesh):
        mesh.rejecting[CLIENT, XdsType.LDS] = "cannot bind 0.0.0.0:80"
        mesh.push(XdsType.LDS)

        story.want("v2")
        await story.stable("v2", within_seconds=10)


async def test_a_rejection_that_stood_before_the_run_keeps_it_from_nothing_and_is_told() -> None:
    async with told(ladder({"weight": 50, "hold": "5m"})) as (story, mesh):
        words = "Error adding/updating cluster(s) batch: cluster of somebody's EnvoyFilter"
        mesh.rejecting[CLIENT, XdsType.CDS] = words
        mesh.push(XdsType.CDS)
        await mesh.proxies()

        story.want("v2")
        await story.until_step(1, within_seconds=5)
        await asyncio.sleep(5)

        assert traffic(story)[2].endswith(f"; beside it {CLIENT} has rejected CDS: {words}")


async def test_an_istiod_that_does_not_answer_is_replaced_by_the_settle_time_and_it_says_so() -> (
    None
):
    async with told(ladder({"weight": 5, "hold": "1m"})) as (story, mesh):
        story.requests_per_second = 0
        mesh.problem = "connection refused"

        story.want("v2")
        await story.until_step(1, within_seconds=10)
        await asyncio.sleep(20)
        story.command(Verb.PAUSE)
        await asyncio.sleep(5)

        status, reason, message = traffic(story)
        assert (status, reason) == ("True", "Settled")
        assert "istiod cannot be reached: connection refused" in message


async def test_routes_that_no_proxy_is_sent_are_taken_for_settled_after_a_while() -> None:
    async with told(ladder(*QUICK)) as (story, mesh):
        mesh.deaf = True

        story.want("v2")
        await story.until_step(2, within_seconds=15)

        at = shown_at(story)
        assert 10 <= at[50] - at[5] <= 12


async def test_a_restarted_controller_that_did_not_see_the_write_settles() -> None:
    story, mesh = meshed(ladder({"weight": 5, "hold": "1m"}))
    story.requests_per_second = 0
    async with gray.running(gray.controller(story, mesh=mesh).run):
        await story.stable()
        await asyncio.sleep(OLD_SECONDS)
        story.want("v2")
        await story.until_step(1, within_seconds=5)
    async with gray.running(gray.controller(story, mesh=mesh).run):
        await asyncio.sleep(30)
        story.command(Verb.PAUSE)
        await asyncio.sleep(5)

        status, reason, message = traffic(story)
        assert (status, reason) == ("True", "Settled")
        assert "this controller has not seen the weights being written" in message


async def test_nobody_asks_istiod_while_no_run_waits() -> None:
    async with told(ladder({"weight": 5, "hold": "10m"})) as (story, mesh):
        assert mesh.looks_at == []

        story.want("v2")
        await story.until_step(1, within_seconds=5)
        await asyncio.sleep(2)
        count = len(mesh.looks_at)
        await asyncio.sleep(300)

        assert 0 < count <= 12
        assert len(mesh.looks_at) == count


async def test_a_mesh_that_stays_silent_for_hours_is_asked_every_other_second() -> None:
    async with told(ladder(*QUICK, maxDuration="2h")) as (story, mesh):
        mesh.frozen.add(CLIENT)
        story.want("v2")
        await story.until_step(1, within_seconds=5)
        await asyncio.sleep(60)
        count = len(mesh.looks_at)

        await asyncio.sleep(1000)

        assert len(mesh.looks_at) - count <= 501


async def test_without_istiod_the_share_seen_in_traffic_says_it() -> None:
    story = gray.furnished(ladder({"weight": 50, "hold": "2m"}))
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=5)
        await asyncio.sleep(60)
        story.command(Verb.PAUSE)
        await asyncio.sleep(5)

        status, reason, message = traffic(story)
        assert (status, reason) == ("True", "SeenInTraffic")
        assert "0 % would not look so" in message
        assert "requests was observed" in message


async def test_without_istiod_and_requests_time_says_it_after_the_settle_time() -> None:
    story = gray.furnished(ladder({"weight": 50, "hold": "2m"}))
    story.requests_per_second = 0
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=5)
        first = traffic(story)
        await asyncio.sleep(5)
        story.command(Verb.PAUSE)
        await asyncio.sleep(5)

        assert first[:2] == ("Unknown", "Settling")
        assert traffic(story)[:2] == ("True", "Settled")
