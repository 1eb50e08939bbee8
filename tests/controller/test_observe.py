"""From caches to one observation: what is remembered, for how long, and what is never raised."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from rollout.api.meta import POD, ROLLOUT, VIRTUAL_SERVICE, Key
from rollout.controller.authorship import SETTLE_SECONDS
from rollout.controller.manager import Manager
from rollout.controller.observe import Observer, Seen
from rollout.controller.refusals import Denial
from tests.stories import gray
from tests.stories.gray import Story
from tests.world import policy

pytestmark = pytest.mark.looptime(noop_cycles=1)


async def caught_up(story: Story, *, trusting: bool = True) -> Manager:
    """A controller that has seen the world, and is stopped."""
    manager = gray.controller(story, trusting=trusting)
    async with gray.running(manager.run):
        await asyncio.sleep(3)
    return manager


def observer_of(manager: Manager) -> Observer:
    return manager._reconciler._observer


def seen(manager: Manager) -> Seen:
    found = observer_of(manager).observe(gray.KEY)
    assert found is not None
    return found


def scribble(story: gray.Story, manager: Manager, **metadata: str) -> None:
    """The controller hears of a status that nobody can read."""
    broken = story.cluster.peek(ROLLOUT, gray.KEY)
    broken["status"] = {"phase": "Dancing"}
    broken["metadata"].update(resourceVersion="999999", **metadata)
    manager.world.rollouts.put(broken)


async def test_a_rollout_that_is_not_there_is_no_observation() -> None:
    manager = await caught_up(gray.furnished())

    assert observer_of(manager).observe(Key("shop", "nobody")) is None


async def test_an_observation_is_of_the_service_its_subsets_and_who_is_ready() -> None:
    o = seen(await caught_up(gray.furnished())).observation

    assert sorted(o.subsets.subsets) == ["v1", "v2", "v3"]
    assert o.ready == {"v1": 1, "v2": 1, "v3": 1}
    assert [route.route for route in o.routing.routes] == ["primary"]
    assert o.routing.problems == ()
    assert o.verdicts == ()


async def test_looking_changes_no_cached_object_peers_32() -> None:
    story = gray.furnished()
    manager = await caught_up(story)
    before = {c.kind: str(list(c)) for c in manager.world.caches()}

    seen(manager)

    assert {c.kind: str(list(c)) for c in manager.world.caches()} == before


async def test_how_revisions_are_told_apart_is_kept_for_the_run_though_pods_vanish() -> None:
    story = gray.furnished()
    manager = gray.controller(story)
    async with gray.running(manager.run):
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=30)
        pod = Key(gray.NAMESPACE, "reviews-v1-abc-1")
        story.cluster.edit(POD, pod, lambda m: m["metadata"]["labels"].update(version="v2"))
        await asyncio.sleep(3)

        assert seen(manager).observation.arms_problem is None
        assert observer_of(manager)._arms[gray.KEY][1].stable == "reviews-v1"


async def test_a_status_that_cannot_be_read_is_said_and_the_one_before_goes_on_to_count() -> None:
    story = gray.furnished()
    manager = await caught_up(story)
    scribble(story, manager)

    found = seen(manager)

    assert found.torn.startswith("status.phase")
    assert found.lost == {}
    assert found.observation.status.stable_revision == "v1"


async def test_the_status_of_an_object_that_was_replaced_does_not_count_any_more() -> None:
    story = gray.furnished()
    manager = await caught_up(story)
    scribble(story, manager, uid="another")

    assert seen(manager).observation.status.stable_revision == ""


async def test_what_was_read_in_an_earlier_term_does_not_count_any_more() -> None:
    story = gray.furnished()
    manager = await caught_up(story)
    scribble(story, manager)

    observer_of(manager).forget_statuses()

    assert seen(manager).observation.status.stable_revision == ""


async def test_a_denial_holds_for_its_version_and_its_time_and_no_longer() -> None:
    story = gray.furnished()
    manager = await caught_up(story)
    observer, now = observer_of(manager), story.clock.now()
    version = story.cluster.peek(VIRTUAL_SERVICE, gray.KEY)["metadata"]["resourceVersion"]
    until = now + timedelta(seconds=300)
    denial = Denial(version=version, until=until, message="frozen")

    observer.deny(gray.KEY, gray.KEY, denial)
    held = seen(manager).observation.routing.problems
    too_late = observer.denial(gray.KEY, gray.KEY, now=until)
    observer.deny(gray.KEY, gray.KEY, Denial(version="7", until=until, message="old"))
    of_old = observer.denial(gray.KEY, gray.KEY, now=now)

    assert [(p.reason, p.message) for p in held] == [("WriteDenied", "frozen")]
    assert too_late is None
    assert of_old is None
    assert seen(manager).observation.routing.problems == ()


async def test_the_end_of_a_run_forgets_refused_routes_but_not_that_it_may_not_be_held() -> None:
    story = gray.furnished()
    observer, now = observer_of(await caught_up(story)), story.clock.now()
    version = story.cluster.peek(VIRTUAL_SERVICE, gray.KEY)["metadata"]["resourceVersion"]
    until = now + timedelta(seconds=300)
    observer.deny(gray.KEY, gray.KEY, Denial(version=version, until=until, message="route"))
    observer.deny(gray.KEY, None, Denial(until=until, message="finalizer"))

    observer.forget_run(gray.KEY)

    assert [known.message for known in observer.denials(gray.KEY, now=now)] == ["finalizer"]


async def test_named_virtual_services_that_are_missing_are_left_out_of_the_list() -> None:
    story = gray.furnished(
        gray.rollout(traffic={"virtualServices": [{"name": "reviews"}, {"name": "gone"}]})
    )
    manager = await caught_up(story)
    spec = seen(manager).observation.spec
    assert spec is not None

    found = observer_of(manager).virtual_services(gray.KEY, "reviews", spec.traffic)

    assert [m["metadata"]["name"] for m in found] == ["reviews"]


async def test_where_nobody_checks_who_commands_an_observation_says_so() -> None:
    trusted = seen(await caught_up(gray.furnished())).observation
    doubted = seen(await caught_up(gray.furnished(), trusting=False)).observation

    assert trusted.unverified == ""
    assert "there is no ValidatingAdmissionPolicy rollout-identity" in doubted.unverified


async def test_where_a_policy_is_in_force_only_what_was_given_before_it_is_doubted() -> None:
    story = gray.furnished()
    policy.install(story.cluster)
    manager = await caught_up(story, trusting=False)
    in_force = story.clock.start + timedelta(seconds=SETTLE_SECONDS)

    def given(name: str, at: datetime) -> str:
        metadata = {"name": name, "namespace": gray.KEY.namespace, "resourceVersion": "900"}
        metadata["creationTimestamp"] = at.isoformat()
        spec = {"rollout": gray.KEY.name, "run": "1", "verb": "Abort", "actor": "alice"}
        manager.world.actions.put({"metadata": metadata, "spec": spec})
        return seen(manager).observation.unverified

    assert seen(manager).observation.unverified == ""
    assert given("in-time", in_force) == ""
    assert given("early", story.clock.start).startswith("a command was given before")
