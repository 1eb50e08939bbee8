"""Attempts to command in another's name, or to fake or remove an approval; and what is allowed.

On a real API server, with the real kubectl: what is compared is what a person is told.
"""

from __future__ import annotations

from typing import Any

import pytest

from rollout.sandbox.stage_objects import collection
from tests.people.conftest import ALICE, EDDY, MALLORY, OLGA, WAITING, World, bind
from tests.testbed import build, kubectl
from tests.testbed.bed import ACCOUNT
from tests.testbed.controlplane import ADMIN

WHY_NOT = build.why_not("etcd", "kube-apiserver", "kube-controller-manager") or kubectl.WHY_NOT

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(180),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is there"),
    pytest.mark.asyncio(loop_scope="session"),
]

POLICY = (
    "is forbidden: ValidatingAdmissionPolicy 'rollout-identity' with binding 'rollout-identity' "
    "denied request: "
)
"""How the API server begins the sentence of a policy."""

SLACK: dict[str, Any] = {
    "actor": "slack:U0123",
    "groups": ["slack:U0123", "slack:S0456"],
    "via": "slack",
}
APPROVAL = {"step": 2, "by": ALICE, "verdict": "Approved", "at": "2026-11-23T12:00:00Z"}
APPROVED = {"run": {"approvals": [APPROVAL]}}
ANSWER = {"outcome": "Ignored", "message": "too late", "at": "2026-11-23T12:00:00Z"}


def refusal(told: tuple[int, str]) -> str:
    """The policy's own sentence, of a command that it refused."""
    code, said = told
    assert code == 1, said
    assert "(Forbidden)" in said
    assert POLICY in said
    return said.partition(POLICY)[2].strip()


def accepted(told: tuple[int, str]) -> None:
    assert told[0] == 0, told[1]


async def status(world: World, user: str, kind: str, name: str, value: Any) -> tuple[int, str]:
    """Write a status as somebody, by a merge patch."""
    patch = f"--patch={kubectl.encoded({'status': value})}"
    words = (kind, name, "--subresource=status", "--type=merge", patch)
    return await world.kubectl(user, "patch", *words)


# In another's name.


async def test_nobody_commands_in_anothers_name(world: World) -> None:
    told = await world.say(MALLORY, world.action("Abort", OLGA))

    assert refusal(told) == f"spec.actor is {OLGA}, but you are {MALLORY}; set it to {MALLORY}"


async def test_an_administrator_of_the_cluster_does_not_either(world: World) -> None:
    told = await world.say(ADMIN, world.action("Approve", ALICE))

    assert refusal(told) == f"spec.actor is {ALICE}, but you are {ADMIN}; set it to {ADMIN}"


async def test_groups_that_are_not_ones_own_are_refused_by_name(world: World) -> None:
    action = world.action("Abort", OLGA, groups=["staff", "release-managers", "owners"])

    told = await world.say(OLGA, action)

    assert refusal(told) == (
        f"spec.groups names release-managers, owners, which {OLGA} is not in; name only groups "
        "that `kubectl auth whoami` shows"
    )


@pytest.mark.parametrize(
    "spec",
    [
        {"via": "slack"},
        {"via": "Slack"},
        {"groups": ["slack:U0123"]},
    ],
    ids=["via", "a via that looks like it", "a group"],
)
async def test_a_person_does_not_speak_for_slack(world: World, spec: dict[str, Any]) -> None:
    told = await world.say(ALICE, world.action("Approve", ALICE, **spec))

    assert refusal(told) == (
        f"{ALICE} may not speak for Slack: only {ACCOUNT} does; leave slack out of spec.via, "
        "spec.actor and spec.groups"
    )


async def test_a_name_of_slack_is_nobodys_own(world: World) -> None:
    told = await world.say(ALICE, world.action("Approve", "slack:U0123"))

    assert refusal(told).startswith(f"spec.actor is slack:U0123, but you are {ALICE}")


# Without the right.


async def test_an_editor_of_the_namespace_can_give_no_command_at_all(world: World) -> None:
    code, said = await world.say(EDDY, world.action("Approve", EDDY))

    assert code == 1
    assert f'User "{EDDY}" cannot create resource "rolloutactions"' in said


@pytest.mark.parametrize(
    ("user", "verb", "right", "role"),
    [
        (MALLORY, "Approve", "approve", "rollout-approver"),
        (MALLORY, "Reject", "approve", "rollout-approver"),
        (OLGA, "Approve", "approve", "rollout-approver"),
        (ALICE, "Abort", "abort", "rollout-operator"),
        (ALICE, "Promote", "promote", "rollout-operator"),
        (ALICE, "PromoteFull", "promote", "rollout-operator"),
        (ALICE, "Pause", "promote", "rollout-operator"),
        (ALICE, "Resume", "promote", "rollout-operator"),
        (ALICE, "Retry", "promote", "rollout-operator"),
    ],
)
async def test_each_verb_takes_its_own_right_on_that_rollout(
    world: World, user: str, verb: str, right: str, role: str
) -> None:
    told = await world.say(user, world.action(verb, user))

    assert refusal(told) == (
        f"{user} may not {right} Rollout {world.namespace}/reviews; it takes the verb {right} on "
        f"rollouts.rollout.dev, which the ClusterRole {role} has"
    )


async def test_a_right_on_one_rollout_is_none_on_another(world: World) -> None:
    rules = [
        {
            "apiGroups": ["rollout.dev"],
            "resources": ["rollouts"],
            "resourceNames": ["ratings"],
            "verbs": ["approve"],
        }
    ]
    name = f"ratings-of-{world.namespace}"
    role = {"kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    await world.client.call("POST", roles, body=role)
    await bind(world, MALLORY, name)

    own = await world.say(MALLORY, world.action("Approve", MALLORY, rollout="ratings"))
    other = await world.say(MALLORY, world.action("Approve", MALLORY))

    accepted(own)
    assert refusal(other).startswith(f"{MALLORY} may not approve Rollout {world.namespace}/reviews")


async def test_who_administers_a_namespace_cannot_give_out_a_right_that_they_lack(
    world: World,
) -> None:
    await bind(world, EDDY, "admin")
    words = ("create", "rolebinding", "mine", "--clusterrole=rollout-approver", f"--user={EDDY}")

    code, said = await world.kubectl(EDDY, *words)

    assert code == 1
    assert "is attempting to grant RBAC permissions not currently held" in said
    assert 'Verbs:["approve"]' in said


# By writing down that it was approved.


@pytest.mark.parametrize("user", [MALLORY, ADMIN])
async def test_only_the_controller_writes_what_was_approved(world: World, user: str) -> None:
    told = await status(world, user, "rollouts", "reviews", APPROVED)

    assert refusal(told) == (
        f"{user} may not write the status of rollouts {world.namespace}/reviews: only {ACCOUNT} "
        "does; to mend one by hand delete the ValidatingAdmissionPolicyBinding rollout-identity "
        "first"
    )


async def test_an_editor_has_no_right_to_write_a_status_in_the_first_place(world: World) -> None:
    code, said = await status(world, EDDY, "rollouts", "reviews", APPROVED)

    assert code == 1
    assert f'User "{EDDY}" cannot get resource "rollouts/status"' in said


async def test_applying_on_the_servers_side_is_no_way_round(world: World) -> None:
    rollout = {
        "apiVersion": "rollout.dev/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "reviews", "namespace": world.namespace},
        "status": {"run": WAITING["run"] | APPROVED["run"]},
    }
    words = ("apply", "--server-side", "--subresource=status", "--force-conflicts", "-f", "-")

    told = await world.kubectl(MALLORY, *words, given=rollout)

    assert refusal(told).startswith(f"{MALLORY} may not write the status of rollouts")


async def test_a_status_that_comes_with_a_new_object_is_dropped(world: World) -> None:
    action = world.action("Abort", MALLORY) | {"status": ANSWER}
    rollout = {
        "apiVersion": "rollout.dev/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "forged"},
        "spec": {"host": "forged", "revision": "v2"},
        "status": {"phase": "Progressing"},
    }

    accepted(await world.say(MALLORY, action))
    accepted(await world.kubectl(MALLORY, "create", "-f", "-", given=rollout))
    for kind, name in (("rolloutactions", action["metadata"]["name"]), ("rollouts", "forged")):
        _, found = await world.kubectl(ADMIN, "get", kind, name, "-o", "jsonpath={.status}")
        assert found == ""


async def test_an_answer_cannot_be_given_or_taken_away_so_that_it_is_obeyed_twice(
    world: World,
) -> None:
    action = world.action("Abort", MALLORY)
    name = action["metadata"]["name"]
    accepted(await world.say(MALLORY, action))

    given = await status(world, MALLORY, "rolloutactions", name, ANSWER)
    await world.write_status("rolloutactions", name, ANSWER)
    taken = await status(world, MALLORY, "rolloutactions", name, None)

    for told in (given, taken):
        assert refusal(told).startswith(
            f"{MALLORY} may not write the status of rolloutactions {world.namespace}/{name}"
        )


# By changing or removing what was said.


@pytest.mark.parametrize("user", [MALLORY, ADMIN, ACCOUNT])
async def test_a_command_is_never_changed_not_even_by_the_controller(
    world: World, user: str
) -> None:
    if user == ACCOUNT:
        await bind(world, ACCOUNT, "far-too-much")
    action = world.action("Abort", OLGA)
    accepted(await world.say(OLGA, action))

    code, said = await world.kubectl(
        user,
        *("patch", "rolloutactions", action["metadata"]["name"], "--type=merge"),
        f"--patch={kubectl.encoded({'spec': {'verb': 'Approve'}})}",
    )

    assert code == 1
    assert "a command cannot be changed once it is given" in said


async def test_a_command_of_anothers_without_an_answer_stays(world: World) -> None:
    action = world.action("Reject", ALICE)
    name = action["metadata"]["name"]
    accepted(await world.say(ALICE, action))
    sentence = (
        f"{MALLORY} may not delete a command of {ALICE} that has no answer yet; the controller "
        "removes it an hour after the answer"
    )

    one = await world.kubectl(MALLORY, "delete", "rolloutactions", name)
    everything = await world.kubectl(MALLORY, "delete", "--raw", collection(action))
    replaced = await world.kubectl(MALLORY, "replace", "--force", "-f", "-", given=action)

    assert refusal(one) == sentence
    assert sentence in everything[1]
    assert sentence in replaced[1]
    accepted(await world.kubectl(ADMIN, "get", "rolloutactions", name))


async def test_ones_own_command_and_an_answered_one_may_be_deleted(world: World) -> None:
    own, answered = world.action("Abort", MALLORY), world.action("Abort", OLGA)
    name = answered["metadata"]["name"]
    accepted(await world.say(MALLORY, own))
    accepted(await world.say(OLGA, answered))
    await world.write_status("rolloutactions", name, ANSWER)

    for each in (own["metadata"]["name"], name):
        accepted(await world.kubectl(MALLORY, "delete", "rolloutactions", each))


async def test_the_end_of_a_namespace_is_not_held_up_by_a_command(world: World) -> None:
    action = world.action("Reject", ALICE)
    accepted(await world.say(ALICE, action))
    await world.client.call("DELETE", f"/api/v1/namespaces/{world.namespace}")

    accepted(await world.kubectl(ADMIN, "delete", "rolloutactions", action["metadata"]["name"]))


@pytest.mark.parametrize(
    "metadata",
    [
        {"finalizers": ["example.com/kept"]},
        {
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "0-0"}
            ]
        },
    ],
    ids=["a finalizer", "an owner"],
)
async def test_a_command_has_no_owner_and_no_finalizer(
    world: World, metadata: dict[str, Any]
) -> None:
    sentence = (
        "a RolloutAction has no owner and no finalizer; leave metadata.ownerReferences and "
        "metadata.finalizers out"
    )
    anothers, born = world.action("Reject", ALICE), world.action("Abort", MALLORY)
    born["metadata"].update(metadata)
    accepted(await world.say(ALICE, anothers))

    with_it = await world.say(MALLORY, born)
    put_on = await world.kubectl(
        MALLORY,
        *("patch", "rolloutactions", anothers["metadata"]["name"], "--type=merge"),
        f"--patch={kubectl.encoded({'metadata': metadata})}",
    )

    assert refusal(with_it) == sentence
    assert refusal(put_on) == sentence


async def test_a_generated_name_changes_nothing(world: World) -> None:
    action = world.action("Abort", OLGA)
    action["metadata"] = {"generateName": "reviews-", "namespace": world.namespace}

    told = await world.say(MALLORY, action)

    assert refusal(told).startswith(f"spec.actor is {OLGA}, but you are {MALLORY}")


# As somebody else.


async def test_who_may_impersonate_is_whom_they_impersonate_and_nobody_else_may(
    world: World,
) -> None:
    command = world.action("Approve", ALICE)
    words = (f"--as={ALICE}", "create", "--validate=false", "-f", "-")
    forbidden = await world.kubectl(MALLORY, *words, given=command)
    allowed = await world.say(ADMIN, world.action("Approve", ALICE), f"--as={ALICE}")
    own = await world.say(ADMIN, world.action("Approve", ADMIN), f"--as={ALICE}")

    assert forbidden[0] == 1
    assert f'User "{MALLORY}" cannot impersonate resource "users"' in forbidden[1]
    accepted(allowed)
    assert refusal(own).startswith(f"spec.actor is {ADMIN}, but you are {ALICE}")


async def test_an_editor_speaks_for_the_service_accounts_of_the_namespace_so_none_should_approve(
    world: World,
) -> None:
    account = f"system:serviceaccount:{world.namespace}:pipeline"
    await bind(world, account, "rollout-approver")

    accepted(await world.say(EDDY, world.action("Approve", account), f"--as={account}"))


# What is allowed.


@pytest.mark.parametrize(
    ("user", "verb"),
    [
        (ALICE, "Approve"),
        (ALICE, "Reject"),
        (OLGA, "Abort"),
        (OLGA, "Promote"),
        (OLGA, "PromoteFull"),
        (OLGA, "Pause"),
        (OLGA, "Resume"),
        (OLGA, "Retry"),
    ],
)
async def test_who_has_the_right_is_heard(world: World, user: str, verb: str) -> None:
    accepted(await world.say(user, world.action(verb, user, groups=["staff"], via="kubectl")))


async def test_the_controller_speaks_for_members_of_slack_under_its_shipped_role(
    world: World,
) -> None:
    accepted(await world.say(ACCOUNT, world.action("Approve", **SLACK)))


async def test_an_editor_says_what_should_be_live_and_the_role_comes_by_aggregation(
    world: World,
) -> None:
    told = await world.kubectl(
        EDDY,
        *("patch", "rollouts", "reviews", "--type=merge"),
        f"--patch={kubectl.encoded({'spec': {'revision': 'v3'}})}",
    )

    accepted(told)
