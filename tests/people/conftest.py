"""A real API server with our manifests, and people who have different rights on it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from rollout.adapters.kubernetes import ClusterAdapter, connect
from rollout.base.errors import Denied
from rollout.sandbox.kubeclient import KubeClient, access_from
from tests.testbed import meshobjects
from tests.testbed.bed import ACCOUNT, GROUPS, install_ours
from tests.testbed.controlplane import ADMIN, ControlPlane, control_plane
from tests.testbed.kubectl import Kubectl

Json = dict[str, Any]

ALICE, OLGA, EDDY, MALLORY = (f"{name}@example.com" for name in ("alice", "olga", "eddy", "mallory"))

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
    namespace: str
    users: dict[str, Kubectl] = field(default_factory=dict)

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
        named = {"rollout": "reviews", "run": "1", "step": 2, "verb": verb, "actor": actor, **spec}
        metadata = {"name": next(_names), "namespace": self.namespace}
        return {
            "apiVersion": meshobjects.OURS,
            "kind": "RolloutAction",
            "metadata": metadata,
            "spec": named,
        }

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
        yield plane


@pytest_asyncio.fixture(loop_scope="session")
async def world(_plane: ControlPlane) -> AsyncIterator[World]:
    """A namespace of its own for each test, with everybody's rights, and the policy in force."""
    async with KubeClient(access_from(_plane.kubeconfig())) as client:
        made = World(plane=_plane, client=client, namespace=next(_namespaces))
        namespace = meshobjects.namespace(made.namespace)
        await client.call("POST", "/api/v1/namespaces", body=namespace)
        for user, roles in ROLES.items():
            for role in roles:
                await bind(made, user, role)
        spec = {"host": "reviews", "revision": "v2"}
        rollout = {"kind": "Rollout", "metadata": {"name": "reviews"}, "spec": spec}
        path = f"/apis/{meshobjects.OURS}/namespaces/{made.namespace}/rollouts"
        await client.call("POST", path, body={"apiVersion": meshobjects.OURS, **rollout})
        await in_force(made)
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
    path = f"/apis/{meshobjects.OURS}/namespaces/{world.namespace}/rolloutactions?dryRun=All"
    async with asyncio.timeout(IN_FORCE_SECONDS_MAX):
        while True:
            try:
                await world.client.call("POST", path, body=false)
            except Denied:
                return
            await asyncio.sleep(POLL_SECONDS)
