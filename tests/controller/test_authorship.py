"""A policy that checks who commands is believed only as it is shipped; what is less is named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from rollout.api.meta import ADMISSION_POLICY, ADMISSION_POLICY_BINDING, Key, Kind, Manifest
from rollout.base import errors
from rollout.controller.authorship import LOOK_SECONDS, REMEDY, SETTLE_SECONDS, Authorship, fault
from tests.stories import gray
from tests.world import policy
from tests.world.clock import FakeClock
from tests.world.cluster import FakeCluster
from tests.world.faults import Faults
from tests.world.policy import shipped

pytestmark = pytest.mark.looptime(noop_cycles=1)

NAME = "rollout-identity"
KEY = Key("", NAME)
THERE_IS_NONE = (
    "nobody checks whom a command comes from: there is no ValidatingAdmissionPolicy "
    f"rollout-identity with a binding of that name (Kubernetes has had them since 1.30); {REMEDY}"
)

Change = Callable[[Manifest], object]


def looking(cluster: FakeCluster, clock: FakeClock, *, trusting: bool = False) -> Authorship:
    return Authorship(cluster, clock, policy=NAME, namespace="", trusting=trusting)


def rule(operations: list[str], resources: list[str]) -> Manifest:
    return {
        "apiGroups": ["rollout.dev"],
        "apiVersions": ["v1alpha1"],
        "operations": operations,
        "resources": resources,
    }


def test_what_is_shipped_is_believed() -> None:
    ours, binding = shipped(ADMISSION_POLICY), shipped(ADMISSION_POLICY_BINDING)

    assert fault(ours, binding, namespace="") == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p: p.update(failurePolicy="Ignore"), "has failurePolicy Ignore and not Fail"),
        (
            lambda p: p.update(matchConditions=[{"name": "some", "expression": "false"}]),
            "has matchConditions, and looks only at some commands",
        ),
        (
            lambda p: p["matchConstraints"].update(objectSelector={"matchLabels": {"a": "b"}}),
            "has matchConstraints that leave some commands out",
        ),
        (
            lambda p: p["matchConstraints"].update(
                excludeResourceRules=[rule(["*"], ["rolloutactions"])]
            ),
            "has matchConstraints that leave some commands out",
        ),
        (
            lambda p: p["matchConstraints"]["resourceRules"].pop(0),
            "does not look at CREATE of rolloutactions",
        ),
        (
            lambda p: p["matchConstraints"]["resourceRules"].pop(1),
            "does not look at UPDATE of rolloutactions/status",
        ),
        (
            lambda p: p["matchConstraints"]["resourceRules"][0].update(resourceNames=["one"]),
            "does not look at CREATE of rolloutactions",
        ),
        (
            lambda p: p["matchConstraints"].update(
                resourceRules=[rule(["CREATE", "UPDATE"], ["*/*"])]
            ),
            "does not look at DELETE of rolloutactions",
        ),
        (lambda p: p.update(validations=[], variables=[]), "says nothing about spec.actor"),
        (lambda p: p.pop("matchConstraints"), "does not look at CREATE of rolloutactions"),
    ],
)
def test_a_policy_that_was_weakened_is_not_believed(change: Change, told: str) -> None:
    ours = shipped(ADMISSION_POLICY)
    change(ours["spec"])

    found = fault(ours, shipped(ADMISSION_POLICY_BINDING), namespace="")

    assert found == f"ValidatingAdmissionPolicy rollout-identity {told}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda b: b.update(validationActions=["Warn", "Audit"]),
            "has validationActions Warn, Audit and not Deny",
        ),
        (lambda b: b.update(policyName="another"), "binds the policy another"),
        (
            lambda b: b.update(paramRef={"name": "p"}),
            "has a paramRef, which our policy has no use for",
        ),
        (
            lambda b: b.update(matchResources={"namespaceSelector": {"matchLabels": {"a": "b"}}}),
            "has matchResources that leave some commands out",
        ),
        (
            lambda b: b.update(matchResources={"resourceRules": [rule(["*"], ["rollouts"])]}),
            "has matchResources that leave some commands out",
        ),
    ],
)
def test_a_binding_that_only_warns_or_leaves_something_out_is_not_believed(
    change: Change, told: str
) -> None:
    binding = shipped(ADMISSION_POLICY_BINDING)
    change(binding["spec"])

    found = fault(shipped(ADMISSION_POLICY), binding, namespace="")

    assert found == f"ValidatingAdmissionPolicyBinding rollout-identity {told}"


def test_what_a_server_fills_in_takes_nothing_away() -> None:
    ours, binding = shipped(ADMISSION_POLICY), shipped(ADMISSION_POLICY_BINDING)
    everything = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
    ours["spec"]["matchConstraints"].update(everything)
    binding["spec"]["matchResources"] = everything

    assert fault(ours, binding, namespace="") == ""


def test_a_binding_for_one_namespace_does_for_a_controller_of_that_one_alone() -> None:
    ours, binding = shipped(ADMISSION_POLICY), shipped(ADMISSION_POLICY_BINDING)
    only = {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}
    binding["spec"]["matchResources"] = {"namespaceSelector": only, "objectSelector": {}}

    assert fault(ours, binding, namespace="shop") == ""
    for other in ("", "bank"):
        assert "leave some commands out" in fault(ours, binding, namespace=other)


async def test_without_a_policy_nobody_is_believed_and_the_remedy_is_named() -> None:
    clock = FakeClock()
    authorship = looking(FakeCluster(clock), clock)

    before = authorship.unverified(None)
    await authorship.look()

    assert "nobody has looked yet at ValidatingAdmissionPolicy rollout-identity" in before
    assert authorship.unverified(None) == THERE_IS_NONE
    assert not authorship.checked


async def test_a_policy_alone_is_none() -> None:
    clock = FakeClock()
    cluster = FakeCluster(clock)
    cluster.put(ADMISSION_POLICY, shipped(ADMISSION_POLICY))
    authorship = looking(cluster, clock)

    await authorship.look()

    assert authorship.unverified(None) == THERE_IS_NONE


async def test_with_policy_and_binding_all_is_checked() -> None:
    clock = FakeClock()
    cluster = FakeCluster(clock)
    policy.install(cluster)
    authorship = looking(cluster, clock)

    await authorship.look()

    assert authorship.checked
    assert authorship.unverified(None) == ""


async def test_what_was_given_before_the_policy_was_surely_in_force_is_not_believed() -> None:
    clock = FakeClock()
    cluster = FakeCluster(clock)
    policy.install(cluster)
    authorship = looking(cluster, clock)
    await authorship.look()
    settled = datetime.fromisoformat(
        cluster.peek(ADMISSION_POLICY, KEY)["metadata"]["creationTimestamp"]
    ) + timedelta(seconds=SETTLE_SECONDS)

    assert authorship.unverified(settled) == ""
    assert authorship.unverified(settled - timedelta(seconds=1)) == (
        "a command was given before ValidatingAdmissionPolicy rollout-identity was surely in "
        "force, so nobody has checked whom it comes from; say it again"
    )


async def test_a_binding_that_warned_for_a_while_is_as_new_as_its_last_change() -> None:
    clock = FakeClock()
    cluster = FakeCluster(clock)
    policy.install(cluster)
    changed = datetime(2030, 1, 1, tzinfo=UTC)

    def by(binding: Manifest) -> None:
        binding["metadata"]["managedFields"] = [
            {"manager": "helm", "time": "2030-01-01T00:00:00Z"},
            {"manager": "kube", "time": "2031-01-01T00:00:00Z", "subresource": "status"},
        ]

    cluster.edit(ADMISSION_POLICY_BINDING, KEY, by)
    authorship = looking(cluster, clock)
    await authorship.look()

    assert authorship.unverified(changed) != ""
    assert authorship.unverified(changed + timedelta(seconds=SETTLE_SECONDS)) == ""


async def test_a_policy_that_is_taken_away_is_missed_within_a_minute() -> None:
    clock = FakeClock()
    cluster = FakeCluster(clock)
    policy.install(cluster)
    authorship = looking(cluster, clock)
    await authorship.look()
    cluster.remove(ADMISSION_POLICY_BINDING, KEY)

    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(authorship.run())
        await clock.sleep(LOOK_SECONDS - 1)
        believed = authorship.checked
        await clock.sleep(2)
        work.cancel()

    assert believed
    assert not authorship.checked
    assert cluster.requests["get", ADMISSION_POLICY.plural] == 2


async def test_a_server_that_does_not_answer_changes_nothing() -> None:
    clock, faults = FakeClock(), Faults()
    cluster = FakeCluster(clock, faults=faults)
    policy.install(cluster)
    authorship = looking(cluster, clock)
    faults.refuse(kind=ADMISSION_POLICY, times=1)

    await authorship.look()
    before = authorship.checked
    await authorship.look()
    faults.refuse(kind=ADMISSION_POLICY_BINDING, times=1)
    await authorship.look()

    assert (before, authorship.checked) == (False, True)


async def test_a_controller_that_may_not_look_says_so() -> None:
    clock, faults = FakeClock(), Faults()
    cluster = FakeCluster(clock, faults=faults)
    policy.install(cluster)
    denied = errors.Denied(f"{ADMISSION_POLICY} {KEY}", status_code=403, message="no")
    faults.refuse(denied, kind=ADMISSION_POLICY)
    authorship = looking(cluster, clock)

    await authorship.look()

    assert authorship.unverified(None) == (
        "nobody checks whom a command comes from: the controller may not get "
        f"ValidatingAdmissionPolicy rollout-identity; {REMEDY}"
    )


async def test_who_trusts_every_name_looks_at_nothing_and_calls_nothing_checked() -> None:
    clock = FakeClock()
    cluster = FakeCluster(clock)
    authorship = looking(cluster, clock, trusting=True)

    await authorship.look()
    await authorship.run()

    assert authorship.unverified(clock.now()) == ""
    assert not authorship.checked
    assert not cluster.requests


async def test_while_nothing_can_be_commanded_nobody_asks_and_soon_after_somebody_does() -> None:
    clock = FakeClock()
    cluster = FakeCluster(clock)
    wanted: list[bool] = []
    asked: list[Kind] = []
    get = cluster.get

    async def counted(kind: Kind, key: Key) -> Manifest:
        asked.append(kind)
        return await get(kind, key)

    cluster.get = counted  # type: ignore[method-assign]
    seen = Authorship(
        cluster,
        clock,
        policy="rollout-identity",
        namespace="",
        trusting=False,
        needed=lambda: bool(wanted),
    )
    await seen.look()
    async with gray.running(seen.run):
        count = len(asked)
        await clock.sleep(3600)
        assert len(asked) == count

        wanted.append(True)
        await clock.sleep(6)
        assert len(asked) > count
