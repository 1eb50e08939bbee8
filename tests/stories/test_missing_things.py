"""What a run needs goes away, comes late or is denied: it says so, and goes on when it is back."""

from __future__ import annotations

import asyncio

import pytest

from rollout.api.action import Verb
from rollout.api.meta import (
    DESTINATION_RULE,
    ENDPOINT_SLICE,
    ENVOY_FILTER,
    POD,
    ROLLOUT,
    SERVICE,
    SERVICE_ENTRY,
    SIDECAR,
    VIRTUAL_SERVICE,
    WORKLOAD_ENTRY,
    Key,
    Kind,
    Manifest,
)
from rollout.base.errors import Denied
from tests.stories import gray
from tests.stories.gray import Story

pytestmark = pytest.mark.looptime(noop_cycles=1)

NO = "admission webhook validation.istio.io denied the request: weights are frozen"


async def at_step(story: Story, step: int) -> None:
    await story.stable()
    story.want("v2")
    await story.until_step(step, within_seconds=60)
    await asyncio.sleep(3)


def holding() -> Manifest:
    steps = [{"weight": 5, "hold": "20s"}, {"weight": 50, "hold": "20s"}]
    return gray.rollout(strategy={"steps": steps, "bake": "10s", "maxDuration": "1h"})


async def test_a_virtual_service_deleted_in_mid_run_is_waited_for_and_used_again_peers_28() -> None:
    async with gray.told(holding()) as story:
        await at_step(story, 1)
        story.cluster.remove(VIRTUAL_SERVICE, gray.KEY)
        await story.until_phase("Blocked", within_seconds=2)
        told = story.status()
        await asyncio.sleep(5)

        story.cluster.put(VIRTUAL_SERVICE, gray.virtual_service(v1=100))
        await story.until(lambda: story.weight("v2") == 5, within_seconds=2)
        await story.stable("v2", within_seconds=120)

        assert told.reason == "VirtualServiceMissing"
        assert told.message


async def test_an_abort_without_a_virtual_service_is_taken_and_ends_when_it_is_back() -> None:
    async with gray.told(holding()) as story:
        await at_step(story, 1)
        story.cluster.remove(VIRTUAL_SERVICE, gray.KEY)
        await story.until_phase("Blocked", within_seconds=2)

        said = story.command(Verb.ABORT)
        await story.until_phase("RollingBack", within_seconds=1)
        story.cluster.put(VIRTUAL_SERVICE, gray.virtual_service(v1=50, v2=50))
        await story.until_phase("RolledBack", within_seconds=10)

        assert story.answer(said)["outcome"] == "Applied"
        assert story.weight("v2") == 0


async def test_a_subset_removed_in_mid_run_is_told_and_the_run_goes_on_with_it_peers_29() -> None:
    async with gray.told(holding()) as story:
        await at_step(story, 1)
        story.cluster.put(DESTINATION_RULE, gray.destination_rule(versions=("v1",)))
        await story.until_phase("Blocked", within_seconds=2)
        told, weight = story.status(), story.weight("v2")

        story.cluster.put(DESTINATION_RULE, gray.destination_rule())
        await story.stable("v2", within_seconds=120)

        assert told.reason == "SubsetMissing"
        assert weight == 0


async def test_a_destination_rule_that_comes_late_starts_the_run_at_once() -> None:
    async with gray.told() as story:
        await story.stable()
        story.cluster.remove(DESTINATION_RULE, gray.KEY)
        story.want("v2")
        await story.until_phase("Blocked", within_seconds=2)
        reason = story.status().reason

        story.cluster.put(DESTINATION_RULE, gray.destination_rule())
        await story.until_step(1, within_seconds=3)

        assert reason in {"DestinationRuleMissing", "SubsetMissing"}


async def test_a_canary_that_is_not_ready_gets_nothing_and_its_share_again_when_it_is() -> None:
    async with gray.told(holding()) as story:
        await at_step(story, 2)
        story.set_ready("v2", ready=False)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=0.2)
        await asyncio.sleep(30)
        told, step = story.status(), story.run().step

        story.set_ready("v2", ready=True)
        await story.until(lambda: story.weight("v2") == 50, within_seconds=3)
        await story.stable("v2", within_seconds=120)

        assert told.phase == "Blocked"
        assert told.reason == "NoReadyEndpoints"
        assert step == 2


async def test_a_step_begun_again_after_a_retreat_counts_its_requests_anew() -> None:
    async with gray.told(holding()) as story:
        await at_step(story, 2)
        await asyncio.sleep(10)
        story.set_ready("v2", ready=False)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=1)
        await asyncio.sleep(10)
        story.set_ready("v2", ready=True)
        await story.until(lambda: story.weight("v2") == 50, within_seconds=3)
        began = story.requests_of("v2")
        await asyncio.sleep(12)
        story.set_ready("v2", ready=False)
        await asyncio.sleep(1)

        run = story.run()
        assert run.evidence is not None
        assert run.evidence.traffic.canary.requests <= story.requests_of("v2") - began + 150


async def test_a_revision_without_pods_waits_before_any_traffic_moves() -> None:
    async with gray.told() as story:
        await story.stable()
        story.set_ready("v2", ready=False)
        story.want("v2")
        await asyncio.sleep(30)
        waiting, weight = story.status(), story.weight("v2")

        story.set_ready("v2", ready=True)
        await story.until_step(1, within_seconds=3)

        assert weight == 0
        assert waiting.phase == "Preparing"
        assert "no ready endpoint" in waiting.message


async def test_a_run_whose_canary_never_gets_ready_ends_at_its_deadline_peers_61() -> None:
    strategy = {"steps": [{"weight": 5, "hold": "10s"}], "maxDuration": "1m"}
    async with gray.told(gray.rollout(strategy=strategy)) as story:
        await story.stable()
        story.set_ready("v2", ready=False)

        story.want("v2")
        await story.until_phase("RolledBack", within_seconds=70)

        assert story.canary_weights() == [0]
        assert story.run().ended_at is not None


async def test_workload_entries_count_as_ready_endpoints() -> None:
    async with gray.told() as story:
        await story.stable()
        story.set_ready("v2", ready=False)
        story.want("v2")
        await asyncio.sleep(5)
        before = story.weight("v2")

        story.cluster.put(
            SERVICE,
            {
                "metadata": {"name": "reviews", "namespace": gray.NAMESPACE},
                "spec": {"selector": {"app": "reviews"}},
            },
        )
        story.cluster.put(
            WORKLOAD_ENTRY,
            {
                "metadata": {"name": "vm-1", "namespace": gray.NAMESPACE},
                "spec": {"address": "10.0.0.7", "labels": {"app": "reviews", "version": "v2"}},
            },
        )
        await story.until_step(1, within_seconds=3)

        assert before == 0


async def test_a_denied_step_is_told_tried_once_and_begins_when_the_object_changes_peers_165() -> (
    None
):
    def deny(verb: str, kind: Kind, _: Manifest) -> str | None:
        return NO if kind == VIRTUAL_SERVICE and verb == "patch" else None

    async with gray.told(holding()) as story:
        await story.stable()
        story.cluster.admit = deny
        story.want("v2")
        await story.until_phase("Blocked", within_seconds=5)
        first = story.cluster.requests["patch", VIRTUAL_SERVICE.plural]
        statuses = story.writes(ROLLOUT)
        await asyncio.sleep(120)
        told = story.status()
        tried = story.cluster.requests["patch", VIRTUAL_SERVICE.plural]
        written = story.writes(ROLLOUT) - statuses

        story.cluster.admit = None
        story.cluster.edit(
            VIRTUAL_SERVICE, gray.KEY, lambda m: m["metadata"].update(labels={"frozen": "no"})
        )
        await story.until(lambda: story.weight("v2") == 5, within_seconds=3)

        assert NO in told.message
        assert told.reason == "WriteDenied"
        assert (first, tried) == (1, 1)
        assert written <= 3
        assert story.events("WriteDenied")


async def test_a_denial_that_nobody_mends_in_our_objects_is_tried_again_after_a_while() -> None:
    async with gray.told(holding()) as story:
        await story.stable()
        story.cluster.admit = lambda _, kind, __: NO if kind == VIRTUAL_SERVICE else None
        story.want("v2")
        await story.until_phase("Blocked", within_seconds=5)

        story.cluster.admit = None
        await story.until(lambda: story.weight("v2") == 5, within_seconds=310)


async def test_an_abort_is_tried_though_an_increase_was_denied() -> None:
    async with gray.told(holding()) as story:
        await at_step(story, 1)
        story.cluster.admit = lambda _, kind, m: (
            NO if kind == VIRTUAL_SERVICE and "50" in str(m["spec"]) else None
        )
        await story.until_phase("Blocked", within_seconds=60)
        at_five = story.weight("v2")

        story.command(Verb.ABORT)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=1)
        await story.until_phase("RolledBack", within_seconds=10)

        assert at_five == 5


async def test_an_abort_that_is_denied_is_told_and_done_as_soon_as_it_may() -> None:
    async with gray.told(holding()) as story:
        await at_step(story, 1)
        story.cluster.admit = lambda _, kind, __: NO if kind == VIRTUAL_SERVICE else None

        story.command(Verb.ABORT)
        await asyncio.sleep(30)
        told = story.status()
        tried = story.cluster.requests["patch", VIRTUAL_SERVICE.plural]
        story.cluster.admit = None
        story.cluster.edit(
            VIRTUAL_SERVICE, gray.KEY, lambda m: m["metadata"].update(labels={"frozen": "no"})
        )
        await story.until_phase("RolledBack", within_seconds=10)

        assert told.phase == "RollingBack"
        assert NO in told.message
        assert tried <= 3
        assert story.weight("v2") == 0


async def test_a_denial_of_one_run_does_not_keep_the_next_one_from_starting() -> None:
    async with gray.told(holding()) as story:
        await story.stable()
        story.cluster.admit = lambda _, kind, __: NO if kind == VIRTUAL_SERVICE else None
        story.want("v2")
        await story.until_phase("Blocked", within_seconds=5)
        story.want("v1")
        await story.stable("v1", within_seconds=10)

        story.cluster.admit = None
        story.want("v3")
        await story.until(lambda: story.weight("v3") == 5, within_seconds=5)


async def test_a_rollout_that_may_not_be_held_says_so_and_moves_nothing() -> None:
    async with gray.told() as story:
        await story.stable()
        story.cluster.admit = lambda _, kind, m: (
            NO if kind == ROLLOUT and m["metadata"].get("finalizers") else None
        )
        story.want("v2")
        await story.until_phase("Blocked", within_seconds=5)
        told = story.status().message
        asked = story.cluster.requests["patch", ROLLOUT.plural]
        await asyncio.sleep(120)
        again = story.cluster.requests["patch", ROLLOUT.plural] - asked

        story.cluster.admit = None
        await story.until_step(1, within_seconds=310)

        assert NO in told
        assert again <= 1
        assert story.canary_weights() == [0, 5]


async def test_istio_installed_after_the_controller_is_found_within_a_minute_peers_30() -> None:
    story = gray.furnished()
    for kind in (VIRTUAL_SERVICE, DESTINATION_RULE, WORKLOAD_ENTRY):
        story.cluster.uninstall(kind)
    async with gray.running(gray.controller(story).run):
        await story.until_phase("Blocked", within_seconds=5)
        told = story.status().message

        for kind in (VIRTUAL_SERVICE, DESTINATION_RULE, WORKLOAD_ENTRY):
            story.cluster.install(kind)
        story.cluster.put(VIRTUAL_SERVICE, gray.virtual_service(v1=100))
        story.cluster.put(DESTINATION_RULE, gray.destination_rule())
        await story.stable(within_seconds=60)

        assert told


async def test_pods_that_are_known_before_their_endpoints_or_after_them_end_the_same() -> None:
    story = gray.furnished()
    piece = story.cluster.peek(ENDPOINT_SLICE, Key(gray.NAMESPACE, "reviews-1"))
    story.cluster.remove(ENDPOINT_SLICE, Key(gray.NAMESPACE, "reviews-1"))
    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await asyncio.sleep(5)
        waiting = story.weight("v2")

        story.cluster.put(ENDPOINT_SLICE, piece)
        await story.until_step(1, within_seconds=3)

        assert waiting == 0


async def test_an_abort_that_is_denied_is_tried_again_soon_and_not_written_at_every_look() -> None:
    async with gray.told(holding()) as story:
        await at_step(story, 1)
        story.cluster.admit = lambda _, kind, __: NO if kind == VIRTUAL_SERVICE else None
        story.command(Verb.ABORT)
        await story.until_phase("RollingBack", within_seconds=2)
        await asyncio.sleep(2)
        before = story.writes(ROLLOUT)

        await asyncio.sleep(60)
        written = story.writes(ROLLOUT) - before
        story.cluster.admit = None
        await story.until_phase("RolledBack", within_seconds=35)

        assert written <= 2
        assert story.weight("v2") == 0


@pytest.mark.parametrize("kind", [SERVICE_ENTRY, WORKLOAD_ENTRY, SERVICE, SIDECAR, ENVOY_FILTER])
async def test_a_role_without_a_lesser_kind_is_told_and_runs_all_the_same(kind: Kind) -> None:
    denied = Denied(kind.plural, status_code=403, message=f"{kind.plural} is forbidden")
    story = gray.furnished(holding())
    story.cluster.faults.refuse(denied, kind=kind, times=1000)
    async with gray.running(gray.controller(story).run):
        await at_step(story, 1)
        noted = [note.reason for note in story.status().notes]
        events = len(story.events("KindsNotRead"))
        await story.stable("v2", within_seconds=120)

    assert noted == ["KindsNotRead"]
    assert events == 1


@pytest.mark.parametrize("kind", [ENDPOINT_SLICE, POD])
async def test_an_abort_is_obeyed_though_no_endpoint_may_be_read_and_nothing_climbs(
    kind: Kind,
) -> None:
    denied = Denied(kind.plural, status_code=403, message=f"{kind.plural} is forbidden")
    story = gray.furnished(holding())
    async with gray.running(gray.controller(story).run):
        await at_step(story, 1)
    story.cluster.faults.refuse(denied, kind=kind, times=1000)
    async with gray.running(gray.controller(story).run):
        await asyncio.sleep(60)
        held, told = story.weight("v2"), story.status().message
        story.command(Verb.ABORT)
        await story.until(lambda: story.weight("v2") == 0, within_seconds=2)

    assert held == 5
    assert f"may not read {kind.kind}" in told
