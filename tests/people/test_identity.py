"""What our own programs make of the rights of people: the controller, the command line."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import pytest

from rollout.adapters.clock import SystemClock
from rollout.api.action import ActionOutcome
from rollout.api.meta import ADMISSION_POLICY, ADMISSION_POLICY_BINDING, Key, Kind, Manifest
from rollout.api.phase import Phase
from rollout.api.reading import read_action
from rollout.controller.authorship import Authorship
from rollout.engine.decision import Answer
from rollout.engine.observation import GivenAction
from tests.people.conftest import ALICE, EDDY, MALLORY, OLGA, World
from tests.testbed import build, kubectl
from tests.testbed.bed import ACCOUNT
from tests.world import engine_world

WHY_NOT = build.why_not("etcd", "kube-apiserver", "kube-controller-manager") or kubectl.WHY_NOT

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(180),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is there"),
    pytest.mark.asyncio(loop_scope="session"),
]

NAME = "rollout-identity"


async def command(world: World, user: str, *words: str) -> tuple[int, str]:
    """What our command line says to somebody, who waits for no answer."""
    ours = ("-m", "rollout", words[0], "-n", world.namespace, "--timeout", "100ms", *words[1:])
    return await kubectl.Kubectl(world=world.plane, user=user).run(*ours, program=sys.executable)


async def looked(world: World, user: str, *, policy: str = NAME) -> Authorship:
    """What the controller makes of a policy, as somebody."""
    cluster = await world.connect(user)
    authorship = Authorship(cluster, SystemClock(), policy=policy, namespace="", trusting=False)
    try:
        await authorship.look()
    finally:
        await cluster.close()
    return authorship


async def test_the_controller_sees_the_shipped_policy_under_its_shipped_role(world: World) -> None:
    authorship = await looked(world, ACCOUNT)

    assert authorship.unverified(None) == ""
    assert authorship.checked


async def test_a_policy_that_it_may_not_see_is_none_to_the_controller(world: World) -> None:
    authorship = await looked(world, EDDY)

    assert "the controller may not get ValidatingAdmissionPolicy rollout-identity" in (
        authorship.unverified(None)
    )


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        (
            ADMISSION_POLICY,
            lambda spec: spec.update(failurePolicy="Ignore"),
            "has failurePolicy Ignore and not Fail",
        ),
        (
            ADMISSION_POLICY_BINDING,
            lambda spec: spec.update(validationActions=["Warn"]),
            "has validationActions Warn and not Deny",
        ),
        (
            ADMISSION_POLICY_BINDING,
            lambda spec: spec.update(
                matchResources={"objectSelector": {"matchLabels": {"a": "b"}}}
            ),
            "has matchResources that leave some commands out",
        ),
        (ADMISSION_POLICY_BINDING, dict.copy, ""),
    ],
    ids=["ignores failures", "warns", "leaves some out", "as shipped"],
)
async def test_what_the_server_makes_of_a_weakened_policy_is_seen_to_be_weak(
    world: World, kind: Kind, change: Callable[[Manifest], Any], told: str
) -> None:
    name = f"copy-in-{world.namespace}"
    for each in (ADMISSION_POLICY, ADMISSION_POLICY_BINDING):
        shipped = await world.client.call("GET", each.path(name=NAME))
        item = {"metadata": {"name": name}, "spec": copy.deepcopy(shipped["spec"])}
        if each is ADMISSION_POLICY_BINDING:
            item["spec"]["policyName"] = name
        if each is kind:
            change(item["spec"])
        body = {"apiVersion": each.api_version, "kind": each.kind, **item}
        await world.client.call("POST", each.path(), body=body)

    authorship = await looked(world, "admin", policy=name)

    for each in (ADMISSION_POLICY_BINDING, ADMISSION_POLICY):
        await world.client.call("DELETE", each.path(name=name))
    wanted = f"nobody checks whom a command comes from: {kind} {name} {told};"
    assert authorship.unverified(None).startswith(wanted if told else "")
    assert authorship.checked is not bool(told)


async def test_the_controller_asks_rbac_who_may_under_its_shipped_role(world: World) -> None:
    cluster = await world.connect(ACCOUNT)
    key = Key(world.namespace, "reviews")
    try:
        found = {
            (user, verb): await cluster.may(user=user, groups=(), verb=verb, key=key)
            for user in (OLGA, ALICE, EDDY)
            for verb in ("promote", "abort", "approve")
        }
        masters = await cluster.may(user="x", groups=["system:masters"], verb="abort", key=key)
        elsewhere = await cluster.may(
            user=OLGA, groups=(), verb="abort", key=Key("default", "reviews")
        )
    finally:
        await cluster.close()

    assert {pair for pair, may in found.items() if may} == {
        (OLGA, "promote"),
        (OLGA, "abort"),
        (ALICE, "approve"),
    }
    assert (masters, elsewhere) == (True, False)


@pytest.mark.parametrize("run", ["1", "3"], ids=["an older run", "a run to come"])
async def test_an_approval_of_another_run_is_taken_by_the_server_and_ignored_by_the_engine(
    world: World, run: str
) -> None:
    action = world.action("Approve", ALICE, run=run)
    name = action["metadata"]["name"]
    code, said = await world.say(ALICE, action)
    kept = read_action(await world.client.call("GET", f"{world.path}/rolloutactions/{name}"))
    engine = engine_world.World().settle().until(Phase.STABLE)
    engine.want("v3").settle().until(Phase.PROGRESSING)

    engine.waiting.append(GivenAction(name=name, spec=kept))
    engine.settle()

    assert code == 0, said
    assert engine.run.id == "2"
    assert engine.answers[name] == Answer(
        action=name,
        outcome=ActionOutcome.IGNORED,
        message=f"run {run} is not the present one (2)",
    )


@pytest.mark.parametrize(("user", "may"), [(ALICE, "yes"), (OLGA, "no"), (EDDY, "no")])
async def test_kubectl_tells_people_whether_they_may_approve(
    world: World, user: str, may: str
) -> None:
    asked = ("auth", "can-i", "approve", "rollouts.rollout.dev/reviews")

    _, said = await world.kubectl(user, *asked)

    assert may in said.split()


async def test_the_command_line_commands_in_the_persons_own_name_and_groups(world: World) -> None:
    code, said = await command(world, OLGA, "promote", "reviews", "--reason", "because")

    (action,) = (await world.client.list(f"{world.path}/rolloutactions"))[0]
    assert "has had no answer for 0.1 s" in said
    assert code == 1
    assert (action["spec"]["actor"], action["spec"]["via"]) == (OLGA, "cli")
    assert action["spec"]["groups"] == ["staff", "system:authenticated"]


async def test_the_command_line_tells_the_policys_own_sentence(world: World) -> None:
    await world.say(MALLORY, world.action("Abort", MALLORY))

    code, said = await command(world, ALICE, "promote", "reviews")

    assert code == 1
    assert said == (
        f"rollout: {world.namespace}/reviews: {ALICE} may not promote Rollout "
        f"{world.namespace}/reviews; it takes the verb promote on rollouts.rollout.dev, which the "
        "ClusterRole rollout-operator has\n"
    )


async def test_the_command_line_tells_an_editor_which_role_it_takes(world: World) -> None:
    code, said = await command(world, EDDY, "abort", "reviews")

    assert code == 1
    assert said == (
        f"rollout: {world.namespace}/reviews: {EDDY} may give no commands in namespace "
        f"{world.namespace}; it takes a role there such as the ClusterRole rollout-operator\n"
    )


async def test_who_may_not_approve_is_told_the_role_and_who_may_also_in_a_dry_run(
    world: World,
) -> None:
    wanted = (
        f"rollout: {world.namespace}/reviews: {OLGA} may not approve Rollout "
        f"{world.namespace}/reviews; it takes the verb approve on rollouts.rollout.dev, which the "
        f"ClusterRole rollout-approver has; step 2 waits for {ALICE}, group release-managers\n"
    )

    for words in ((), ("--dry-run",)):
        code, said = await command(world, OLGA, "approve", "reviews", *words)

        assert code == 1
        assert said.endswith(wanted)


async def test_a_dry_run_that_the_server_takes_leaves_no_command_behind(world: World) -> None:
    code, said = await command(world, ALICE, "approve", "reviews", "--dry-run")

    assert (code, said.splitlines()[-1]) == (
        0,
        f"reviews: would say Approve to run 2, step 2 as {ALICE}; nothing was written",
    )
    assert not (await world.client.list(f"{world.path}/rolloutactions"))[0]


@pytest.mark.parametrize(
    ("user", "words", "told"),
    [
        (
            EDDY,
            ("list", "-A"),
            (
                "may not list rollouts in all namespaces; it takes the verb list on "
                "rollouts.rollout.dev, which the ClusterRole rollout-viewer has; with -n one "
                "namespace may do"
            ),
        ),
        (
            OLGA,
            ("set", "reviews", "v3", "-n", "{namespace}"),
            (
                "may not patch rollouts in namespace {namespace}; it takes the verb patch on "
                "rollouts.rollout.dev, which the ClusterRole rollout-editor has"
            ),
        ),
    ],
    ids=["looks everywhere", "sets a revision"],
)
async def test_who_lacks_a_right_is_told_which_and_the_role_that_has_it(
    world: World, user: str, words: tuple[str, ...], told: str
) -> None:
    typed = [word.format(namespace=world.namespace) for word in words]

    code, said = await kubectl.Kubectl(world=world.plane, user=user).run(
        "-m", "rollout", *typed, program=sys.executable
    )

    assert code == 1
    assert said == f"rollout: {user} {told.format(namespace=world.namespace)}\n"
