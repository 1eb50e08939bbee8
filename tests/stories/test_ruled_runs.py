"""What a platform team says by policies, and what becomes of it while runs go on."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from rollout.api.meta import (
    CLUSTER_ROLLOUT_POLICY,
    ROLLOUT,
    ROLLOUT_POLICY,
    VIRTUAL_SERVICE,
    Key,
    Manifest,
)
from rollout.api.reading import read_status
from rollout.api.status import RolloutStatus
from rollout.base.errors import Denied
from tests.stories import gray
from tests.stories.gray import NAMESPACE, Story

pytestmark = pytest.mark.looptime(noop_cycles=1)

STANDARD = Key("", "standard")
FREEZE = Key(NAMESPACE, "freeze")
NAMED = {"kind": "ClusterRolloutPolicy", "name": "standard"}
QUICK = [{"weight": 20, "hold": "5s"}, {"weight": 100}]


def policy(key: Key, **spec: Any) -> Manifest:
    namespace = {"namespace": key.namespace} if key.namespace else {}
    return {"metadata": {"name": key.name, **namespace}, "spec": spec}


def write(story: Story, key: Key, **spec: Any) -> None:
    kind = ROLLOUT_POLICY if key.namespace else CLUSTER_ROLLOUT_POLICY
    story.cluster.put(kind, policy(key, **spec))


def bare(**spec: Any) -> Manifest:
    """A Rollout that leaves all to its policy."""
    manifest = gray.rollout(**spec)
    for part in ("strategy", "gates", "judge"):
        del manifest["spec"][part]
    return manifest


def until(story: Story, seconds: float) -> str:
    return (story.clock.now() + timedelta(seconds=seconds)).isoformat()


def frozen(story: Story, seconds: float, reason: str = "year end") -> dict[str, Any]:
    return {"freeze": [{"until": until(story, seconds), "reason": reason}]}


# Plans.


async def test_a_rollout_that_says_nothing_runs_by_its_policy_and_records_it() -> None:
    async with gray.told(bare(policyRef=NAMED)) as story:
        parts = {"strategy": {"steps": QUICK, "bake": "0s"}, "judge": {"minRequests": 10}}
        write(story, STANDARD, defaults={**parts, "gates": []})
        await story.stable()

        story.want("v2")
        await story.stable("v2", within_seconds=60)

        assert story.canary_weights() == [0, 20, 100]
        assert story.run().policies == ("ClusterRolloutPolicy standard",)
        assert [step.weight for step in story.run().plan.strategy.steps] == [20, 100]


async def test_what_is_enforced_for_all_holds_for_a_rollout_that_names_no_policy() -> None:
    async with gray.told() as story:
        write(story, STANDARD, appliesTo="All", enforce={"strategy": {"steps": QUICK}})
        await story.stable()

        story.want("v2")
        await story.stable("v2", within_seconds=60)

        assert story.canary_weights() == [0, 20, 100]


async def test_a_policy_edited_in_mid_run_rules_the_next_run_and_that_is_said() -> None:
    async with gray.told(gray.rollout(policyRef=NAMED)) as story:
        write(story, STANDARD, enforce={"strategy": {"steps": [{"weight": 5, "hold": "1m"}]}})
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=20)

        write(story, STANDARD, enforce={"strategy": {"steps": QUICK}})
        await asyncio.sleep(5)
        assert (
            "(the Rollout or a policy was edited: that rules the next run)"
            in story.status().message
        )
        await story.stable("v2", within_seconds=120)

        assert story.canary_weights() == [0, 5, 100]


async def test_a_policy_that_is_not_there_is_told_and_nothing_starts_until_it_is() -> None:
    async with gray.told(bare(policyRef=NAMED, revision="v2")) as story:
        await story.until_phase("Invalid", within_seconds=5)
        told = story.status().message

        write(story, STANDARD, defaults={"strategy": {"steps": QUICK}, "gates": []})
        await story.until(lambda: story.status().run is not None, within_seconds=5)

        assert told == (
            "spec.policyRef names ClusterRolloutPolicy standard, which does not exist; "
            "create it, or remove spec.policyRef"
        )


async def test_a_run_goes_on_with_its_plan_when_its_policy_is_deleted() -> None:
    async with gray.told(gray.rollout(policyRef=NAMED)) as story:
        write(story, STANDARD, enforce={"strategy": {"steps": QUICK, "bake": "0s"}})
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=20)

        story.cluster.remove(CLUSTER_ROLLOUT_POLICY, STANDARD)
        await story.until(lambda: story.status().stable_revision == "v2", within_seconds=60)

        assert story.canary_weights() == [0, 20, 100]


async def test_a_mistake_of_a_policy_is_told_as_the_policys() -> None:
    async with gray.told(bare(policyRef=NAMED)) as story:
        allow = [{"cron": "0 9 * * 1-5", "for": "8h"}]
        write(story, STANDARD, defaults={"windows": {"allow": allow}})

        await story.until_phase("Invalid", within_seconds=5)

        assert story.status().message.startswith(
            "ClusterRolloutPolicy standard: spec.defaults.windows.allow[0].cron is '0 9 * * 1-5'; "
        )


# Windows, freezes, stops.


async def test_a_freeze_begins_and_ends_at_once_for_a_run_in_progress() -> None:
    async with gray.told() as story:
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=20)

        write(story, FREEZE, windows=frozen(story, 60))
        await story.until_phase("Waiting", within_seconds=1)
        held = story.status()
        await asyncio.sleep(50)
        assert story.weight("v2") == 5
        await story.stable("v2", within_seconds=120)

        assert held.closed is not None
        assert "(freeze by RolloutPolicy freeze: year end)" in held.message
        assert [past.outcome for past in story.status().history] == ["Promoted"]


async def test_a_rollout_that_waits_wakes_in_the_second_in_which_it_opens_and_not_before() -> None:
    async with gray.told() as story:
        write(story, FREEZE, windows=frozen(story, 3600))
        await story.stable()
        opens = story.clock.now() + timedelta(seconds=3600 - 1)
        story.want("v2")
        await story.until_phase("Pending", within_seconds=1)
        writes = len(story.cluster.writes)

        await asyncio.sleep(3500)
        assert len(story.cluster.writes) == writes
        await story.until(lambda: story.status().run is not None, within_seconds=120)

        late = gray.seconds_between(opens, story.run().started_at)
        assert -1 < late < 2


async def test_a_stop_for_the_whole_cluster_keeps_no_failing_canary() -> None:
    async with gray.told() as story:
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=20)
        write(story, STANDARD, stop={"reason": "incident 4711"})
        await story.until_phase("Waiting", within_seconds=1)

        story.fail("v2", 50)
        await story.until_phase("RolledBack", within_seconds=30)

        assert story.weight("v1") == 100


async def test_a_freeze_that_cannot_be_read_is_taken_for_one() -> None:
    async with gray.told() as story:
        allow = [{"cron": "0 9 * * *", "for": "8h", "timezone": "Europe/Berlim"}]
        write(story, FREEZE, windows={"allow": allow})
        await story.stable()

        story.want("v2")
        await story.until_phase("Pending", within_seconds=1)

        assert "RolloutPolicy freeze: spec.windows.allow[0].timezone" in story.status().message


async def test_the_freeze_of_another_namespace_is_nobodys_here() -> None:
    async with gray.told() as story:
        write(story, Key("bank", "freeze"), stop={"reason": "audit"})
        await story.stable()

        story.want("v2")

        await story.stable("v2", within_seconds=60)


# Where policies cannot be read.


async def test_a_cluster_without_the_crds_of_policies_goes_on_as_before() -> None:
    story = gray.furnished()
    for kind in (ROLLOUT_POLICY, CLUSTER_ROLLOUT_POLICY):
        story.cluster.uninstall(kind)

    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.stable("v2", within_seconds=60)

        assert story.status().notes == ()


async def test_where_policies_may_not_be_read_runs_go_on_and_say_so() -> None:
    story = gray.furnished()
    denied = Denied("policies", status_code=403, message="policies are forbidden")
    story.cluster.faults.refuse(denied, verb="list", kind=CLUSTER_ROLLOUT_POLICY, times=99)

    async with gray.running(gray.controller(story).run):
        await story.stable()
        story.want("v2")
        await story.until_step(1, within_seconds=20)

        assert any("may not read ClusterRolloutPolicy" in n.message for n in story.status().notes)


# Limits.


def crowd(story: Story, *names: str) -> None:
    """More services like reviews, each with a Rollout."""
    for name in names:
        gray.furnish(story.cluster, name)
        manifest = gray.rollout(host=name, gates=[])
        manifest["metadata"]["name"] = name
        story.cluster.put(ROLLOUT, manifest)


def status_of(story: Story, name: str) -> RolloutStatus:
    return read_status(story.cluster.peek(ROLLOUT, Key(NAMESPACE, name)))


def want(story: Story, name: str, revision: str = "v2") -> None:
    story.cluster.edit(ROLLOUT, Key(NAMESPACE, name), lambda m: m["spec"].update(revision=revision))


def running(story: Story, names: tuple[str, ...]) -> list[str]:
    found = {name: status_of(story, name).run for name in names}
    return [name for name, run in found.items() if run is not None and run.ended_at is None]


NAMES = ("a", "b", "c", "d")


async def all_stable(story: Story, revision: str, *, within_seconds: float) -> list[int]:
    """Let time pass until all are; how many runs there were at each look."""
    counts: list[int] = []

    def happened() -> bool:
        counts.append(len(running(story, NAMES)))
        return all(status_of(story, name).stable_revision == revision for name in NAMES)

    await story.until(happened, within_seconds=within_seconds)
    return counts


def started(story: Story, name: str) -> datetime:
    run = status_of(story, name).run
    assert run is not None
    return run.started_at


@pytest.mark.timeout(60)
async def test_of_many_that_wait_each_starts_when_it_has_waited_longest() -> None:
    async with gray.told() as story:
        crowd(story, *NAMES)
        write(story, STANDARD, limits={"runsAtOnce": 1})
        await all_stable(story, "v1", within_seconds=5)

        for name in ("c", "a", "d", "b"):
            want(story, name)
            await asyncio.sleep(0.3)
        await asyncio.sleep(3)
        told = {name: status_of(story, name).message for name in NAMES}
        counts = await all_stable(story, "v2", within_seconds=600)

        assert max(counts) == 1
        assert sorted(NAMES, key=lambda name: started(story, name)) == ["c", "a", "d", "b"]
        assert "it is number 1 in line" in told["a"]
        assert told["b"] == (
            "v2 is wanted; 1 run is in progress in the cluster "
            "(at most 1 by ClusterRolloutPolicy standard); it is number 3 in line"
        )


@pytest.mark.timeout(60)
async def test_those_whom_a_window_let_go_at_one_moment_start_in_the_order_of_their_waiting() -> (
    None
):
    async with gray.told() as story:
        crowd(story, *NAMES)
        write(story, STANDARD, limits={"runsAtOnce": 2}, windows=frozen(story, 60))
        await all_stable(story, "v1", within_seconds=5)

        for name in ("d", "c", "b", "a"):
            want(story, name)
            await asyncio.sleep(1)
        counts = await all_stable(story, "v2", within_seconds=600)

        assert max(counts) == 2
        order = sorted(NAMES, key=lambda name: started(story, name))
        assert set(order[:2]) == {"d", "c"}


async def test_who_waits_in_line_costs_nothing_until_a_run_ends() -> None:
    async with gray.told() as story:
        crowd(story, *NAMES)
        write(story, STANDARD, limits={"runsAtOnce": 1})
        await all_stable(story, "v1", within_seconds=5)
        slow = {"steps": [{"pause": {}}], "maxDuration": "5h"}
        key = Key(NAMESPACE, "a")
        story.cluster.edit(ROLLOUT, key, lambda m: m["spec"].update(revision="v2", strategy=slow))
        await story.until(lambda: running(story, NAMES) == ["a"], within_seconds=10)
        want(story, "b")
        await asyncio.sleep(5)
        before = story.writes(ROLLOUT)
        version = story.cluster.version(ROLLOUT, Key(NAMESPACE, "b"))

        await asyncio.sleep(3600)

        assert story.cluster.version(ROLLOUT, Key(NAMESPACE, "b")) == version
        assert story.writes(ROLLOUT) - before <= 3600 / 60 + 1  # what the run in progress tells


async def test_a_limit_that_is_taken_away_lets_all_start() -> None:
    async with gray.told() as story:
        crowd(story, *NAMES)
        write(story, STANDARD, limits={"runsAtOnce": 1})
        await all_stable(story, "v1", within_seconds=5)
        for name in NAMES:
            want(story, name)
        await asyncio.sleep(4)
        assert len(running(story, NAMES)) == 1

        story.cluster.remove(CLUSTER_ROLLOUT_POLICY, STANDARD)

        await story.until(lambda: len(running(story, NAMES)) == 4, within_seconds=5)


async def test_who_is_deleted_or_blocked_in_the_line_keeps_nobody_waiting() -> None:
    async with gray.told() as story:
        crowd(story, *NAMES)
        write(story, Key(NAMESPACE, "one"), limits={"runsAtOnce": 1})
        await all_stable(story, "v1", within_seconds=5)
        for name in NAMES:
            want(story, name)
            await asyncio.sleep(0.2)
        await asyncio.sleep(3)
        assert running(story, NAMES) == ["a"]

        story.cluster.remove(ROLLOUT, Key(NAMESPACE, "b"))
        story.cluster.remove(VIRTUAL_SERVICE, Key(NAMESPACE, "c"))
        await story.until(lambda: running(story, ("c", "d")) == ["d"], within_seconds=120)

        assert status_of(story, "c").phase == "Blocked"


@pytest.mark.timeout(60)
async def test_two_controllers_that_both_think_they_lead_keep_the_limit_together() -> None:
    async with gray.told() as story, gray.running(gray.controller(story, seed=2).run):
        crowd(story, *NAMES)
        write(story, STANDARD, limits={"runsAtOnce": 1})
        await all_stable(story, "v1", within_seconds=10)

        for name in NAMES:
            want(story, name)
        counts = await all_stable(story, "v2", within_seconds=900)

        assert max(counts) == 1
