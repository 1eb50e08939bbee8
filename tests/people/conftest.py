"""A real API server with our manifests, and people who have different rights on it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from rollout.adapters.kubernetes import ClusterAdapter, connect
from rollout.api.gate import Judge
from rollout.api.phase import Phase
from rollout.api.rollout import Plan
from rollout.api.status import RolloutStatus, Run
from rollout.api.step import Approval, Approvers, Step, Strategy
from rollout.base.errors import Denied
from rollout.sandbox.kubeclient import KubeClient, access_from
from tests.testbed import meshobjects
from tests.testbed.bed import ACCOUNT, GROUPS, install_ours
from tests.testbed.controlplane import ControlPlane, control_plane
from tests.testbed.istio import until
from tests.testbed.kubectl import Kubectl

Json = dict[str, Any]

ALICE, OLGA, EDDY, MALLORY = (
    f"{name}@example.com" for name in ("alice", "olga", "eddy", "mallory")
)

PEOPLE = {
    ACCOUNT: GROUPS,
    ALICE: ("release-managers", "staff"),
    OLGA: ("staff",),
    EDDY: ("staff",),
    MALLORY: ("staff",),
}
"""Alice approves, Olga operates, Eddy edits; Mallory edits and was given far too much besides."""

ROLES = {
    ALICE: ("rollout-approver",),
    OLGA: ("rollout-operator",),
    EDDY: ("edit",),
    MALLORY: ("edit", "rollout-operator", "far-too-much"),
}

FAR_TOO_MUCH = {
    "rollouts": ["get", "list", "create", "update", "patch", "delete"],
    "rollouts/status": ["get", "update", "patch"],
    "rolloutactions": ["*"],
    "rolloutactions/status": ["*"],
}
"""So that what stops Mallory is our policy and not RBAC."""

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

APPROVERS = Approvers(users=(ALICE,), groups=("release-managers",))

WAITING: Json = RolloutStatus(
    phase=Phase.WAITING,
    stable_revision="v1",
    run=Run(
        id="2",
        canary_revision="v2",
        stable_revision="v1",
        started_at=AT,
        step_started_at=AT,
        step=2,
        plan=Plan(
            host="reviews",
            strategy=Strategy(steps=(Step(weight=5), Step(approval=Approval(approvers=APPROVERS)))),
            gates=(),
            judge=Judge(),
        ),
    ),
).model_dump(mode="json", by_alias=True, exclude_none=True)
"""Run 2 waits for Alice."""

RBAC = "rbac.authorization.k8s.io"
IN_FORCE_SECONDS_MAX = 60.0
POLL_SECONDS = 0.1

_namespaces = (f"shop-{number}" for number in itertools.count())
_names = (f"said-{number}" for number in itertools.count())


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A namespace with a Rollout, and people who have their roles in it."""

    plane: ControlPlane
    client: KubeClient
    controller: KubeClient
    namespace: str

    async def kubectl(self, user: str, *words: str, given: Json | None = None) -> tuple[int, str]:
        """What kubectl says to somebody."""
        return await Kubectl(world=self.plane, user=user).run(
            "-n", self.namespace, *words, given=given
        )

    async def say(self, user: str, action: Json, *words: str) -> tuple[int, str]:
        """Give a command as somebody."""
        return await self.kubectl(user, *words, "create", "-f", "-", given=action)

    def action(self, verb: str, actor: str, **spec: Any) -> Json:
        """A command, with a name that nobody else has."""
        named = {"rollout": "reviews", "run": "2", "step": 2, "verb": verb, "actor": actor, **spec}
        metadata = {"name": next(_names), "namespace": self.namespace}
        return {
            "apiVersion": meshobjects.OURS,
            "kind": "RolloutAction",
            "metadata": metadata,
            "spec": named,
        }

    @property
    def path(self) -> str:
        """Where our objects are."""
        return f"/apis/{meshobjects.OURS}/namespaces/{self.namespace}"

    async def write_status(self, plural: str, name: str, value: Json) -> None:
        """Write a status as the controller does, under its role."""
        path = f"{self.path}/{plural}/{name}/status"
        merge = "application/merge-patch+json"
        await self.controller.call("PATCH", path, body={"status": value}, content_type=merge)

    async def connect(self, user: str) -> ClusterAdapter:
        """Our own client, as somebody."""
        return await connect(self.plane.kubeconfig(user))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _plane(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("people")
    async with (
        control_plane(folder, users=PEOPLE, has_controllers=True) as plane,
        KubeClient(access_from(plane.kubeconfig())) as client,
    ):
        await install_ours(client)
        rules = [
            {"apiGroups": ["rollout.dev"], "resources": [resource], "verbs": verbs}
            for resource, verbs in FAR_TOO_MUCH.items()
        ]
        role = {"kind": "ClusterRole", "metadata": {"name": "far-too-much"}, "rules": rules}
        await client.call("POST", f"/apis/{RBAC}/v1/clusterroles", body=role)

        async def is_aggregated() -> bool:
            found = await client.call("GET", f"/apis/{RBAC}/v1/clusterroles/edit")
            return any("rollouts" in rule["resources"] for rule in found["rules"])

        await until(is_aggregated, what="the rights of rollout-editor in the role edit")
        yield plane


@pytest_asyncio.fixture(loop_scope="session")
async def world(_plane: ControlPlane) -> AsyncIterator[World]:
    """A namespace of its own for each test, with everybody's rights, and the policy in force."""
    async with (
        KubeClient(access_from(_plane.kubeconfig())) as client,
        KubeClient(access_from(_plane.kubeconfig(ACCOUNT))) as controller,
    ):
        namespace = next(_namespaces)
        made = World(plane=_plane, client=client, controller=controller, namespace=namespace)
        await client.call("POST", "/api/v1/namespaces", body=meshobjects.namespace(namespace))
        for user, roles in ROLES.items():
            for role in roles:
                await bind(made, user, role)
        spec = {"host": "reviews", "revision": "v2"}
        rollout = {"kind": "Rollout", "metadata": {"name": "reviews"}, "spec": spec}
        body = {"apiVersion": meshobjects.OURS, **rollout}
        await client.call("POST", f"{made.path}/rollouts", body=body)
        await in_force(made)
        await made.write_status("rollouts", "reviews", WAITING)
        yield made


async def bind(world: World, user: str, role: str) -> None:
    """Give somebody a role in the namespace."""
    path = f"/apis/{RBAC}/v1/namespaces/{world.namespace}/rolebindings"
    reference = {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}
    subject = {"apiGroup": RBAC, "kind": "User", "name": user}
    name = f"{user.partition('@')[0]}-{role}"
    body = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    await world.client.call("POST", path, body=body)


async def in_force(world: World) -> None:
    """Return when the policy refuses: the server takes a second or two to see one."""
    false = world.action("Abort", "nobody")
    path = f"{world.path}/rolloutactions?dryRun=All"
    async with asyncio.timeout(IN_FORCE_SECONDS_MAX):
        while True:
            try:
                await world.client.call("POST", path, body=false)
            except Denied:
                return
            await asyncio.sleep(POLL_SECONDS)
