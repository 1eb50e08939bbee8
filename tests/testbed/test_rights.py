"""The shipped role is enough for the controller, and nothing in it is too much."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from rollout.adapters.kubernetes.client import FIELD_MANAGER
from rollout.base.errors import NotFound
from rollout.sandbox.kubeclient import KubeClient, access_from
from rollout.sandbox.processes import Command, Processes, free_port
from rollout.sandbox.stage_objects import Cast, collection
from tests.testbed import istio, meshobjects
from tests.testbed.bed import ACCOUNT, GROUPS, ROOT, install_ours
from tests.testbed.controlplane import ControlPlane, control_plane

WHY_NOT = istio.why_not()

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is there"),
]

Json = dict[str, Any]
Right = tuple[str, str]
"""A verb and a resource, as a role spells them: ``("patch", "rollouts/status")``."""

MERGE = "application/merge-patch+json"
ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/rollout-controller"
LOOK_ROLE = f"{ROLE}-identity"
LEASE_ROLE = "/apis/rbac.authorization.k8s.io/v1/namespaces/rollout-system/roles/rollout-controller"
LONG_AGO = "2020-01-01T00:00:00Z"
STORY_SECONDS_MAX = 60.0
WAIT_SECONDS_MAX = 15.0
POLL_SECONDS = 0.05
FORBIDDEN = "forbid"

AFTER_A_CONFLICT = {
    ("get", "virtualservices"),
    ("get", "destinationrules"),
    ("get", "rolloutactions"),
    ("get", "rollouts"),
}
"""Asked for when a write came too late, which cannot be arranged here; the stories have such."""

FOR_SLACK = {("create", "rolloutactions"), ("create", "localsubjectaccessreviews")}
"""Asked when somebody commands from a chat; `tests/people` does so under the shipped role."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A control plane with our manifests and Istio's kinds, and no controller yet."""

    plane: ControlPlane
    client: KubeClient
    account: KubeClient
    processes: Processes
    session: aiohttp.ClientSession

    async def create(self, item: Json) -> None:
        await self.client.call("POST", collection(item), body=item)

    async def patch(self, path: str, body: Json) -> None:
        await self.client.call("PATCH", path, body=body, content_type=MERGE)

    def asked(self, *, since: int = 0) -> Iterator[tuple[Right, bool]]:
        """What our controller asked of the API server, and whether it was allowed to.

        Its account also plays a part in `prepare`, by another client.
        """
        with self.plane.audit.open("rb") as file:
            file.seek(since)
            for line in file:
                with contextlib.suppress(orjson.JSONDecodeError):  # one that is being written
                    entry = orjson.loads(line)
                    found = entry.get("objectRef")
                    is_ours = entry["userAgent"].startswith(FIELD_MANAGER)
                    if entry["user"]["username"] != ACCOUNT or not is_ours or not found:
                        continue
                    sub = f"/{found['subresource']}" if found.get("subresource") else ""
                    decision = (entry.get("annotations") or {}).get("authorization.k8s.io/decision")
                    right = (entry["verb"], f"{found['resource']}{sub}")
                    yield right, decision != FORBIDDEN

    def forbidden(self, *, since: int) -> set[Right]:
        return {right for right, allowed in self.asked(since=since) if not allowed}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with (
        aiohttp.ClientSession() as session,
        control_plane(tmp_path, users={ACCOUNT: GROUPS}, has_audit=True) as plane,
        KubeClient(access_from(plane.kubeconfig())) as client,
        KubeClient(access_from(plane.kubeconfig(ACCOUNT))) as account,
        Processes(tmp_path / "logs-of-ours") as processes,
    ):
        found = World(
            plane=plane, client=client, account=account, processes=processes, session=session
        )
        await install_ours(client)
        await istio.install_crds(client)
        yield found


@contextlib.asynccontextmanager
async def controller(world: World, name: str) -> AsyncIterator[None]:
    port = free_port()
    url = f"http://127.0.0.1:{port}/healthz"

    async def is_up() -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with world.session.get(url):
                return True
        return False

    flags = ["--settle=200ms", f"--lease-name={name}", "--lease-namespace=rollout-system"]
    process = await world.processes.start(
        Command(
            name=name,
            argv=[sys.executable, "-m", "rollout", "controller", *flags, f"--health-port={port}"],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(world.plane.folder),
                "KUBECONFIG": str(world.plane.kubeconfig(ACCOUNT)),
                "PYTHONPATH": str(ROOT),
            },
            is_ready=is_up,
        )
    )
    try:
        yield
    finally:
        await process.stop()


def wanted(cast: Cast) -> Json:
    guard = {"outlierDetection": {"consecutive5xxErrors": 5}}
    rollout = meshobjects.rollout(cast, {"weight": 10, "hold": "1s"}, gates=[], guard=guard)
    rollout["spec"]["strategy"]["bake"] = "1s"
    return rollout


async def prepare(world: World, cast: Cast) -> None:
    """A service with a Rollout that nobody has seen, and a command that was answered long ago."""
    await world.create(meshobjects.namespace(cast.namespace))
    for item in [*meshobjects.objects(cast), wanted(cast)]:
        await world.create(item)
    old = meshobjects.action(cast, "Pause", run="1")
    await world.create(old)
    answer = {"outcome": "Ignored", "message": "the run is over", "at": LONG_AGO}
    path = f"{collection(old)}/{old['metadata']['name']}/status"
    await world.account.call("PATCH", path, body={"status": answer}, content_type=MERGE)


async def story(world: World, cast: Cast) -> None:
    """Everything the controller does for a service: take over, promote, abort, clean up, let go."""
    path = f"{collection(wanted(cast))}/{cast.service}"
    actions = f"/apis/{meshobjects.OURS}/namespaces/{cast.namespace}/rolloutactions"

    async def status() -> Json:
        found: Json = (await world.client.call("GET", path)).get("status") or {}
        return found

    async def says(name: str, value: object) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                while (await status()).get(name) != value:  # noqa: ASYNC110 - as people do
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            told = {key: (await status()).get(key) for key in ("phase", "message")}
            pytest.fail(f"no {name} {value}: {told}")

    await says("stableRevision", "v1")
    await world.patch(path, {"spec": {"revision": "v2"}})
    await says("stableRevision", "v2")
    slow = {"strategy": {"steps": [{"weight": 10, "hold": "5m"}]}}
    await world.patch(path, {"spec": {"revision": "v3", **slow}})
    await says("phase", "Progressing")
    await world.create(meshobjects.action(cast, "Abort", run=(await status())["run"]["id"]))
    await says("phase", "RolledBack")

    async def are_removed() -> bool:
        names = {one["metadata"]["name"] for one in (await world.client.list(actions))[0]}
        return not any(name.endswith("-pause") for name in names)

    await _soon(are_removed, what="the end of an old command")
    await world.patch(path, {"spec": {"revision": "v4"}})
    await says("phase", "Progressing")
    await world.client.call("DELETE", path)

    async def is_gone() -> bool:
        with contextlib.suppress(NotFound):
            await world.client.call("GET", path)
            return False
        return True

    await _soon(is_gone, what="the end of the Rollout")


async def _soon(holds: Callable[[], Awaitable[bool]], *, what: str) -> None:
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not await holds():  # noqa: ASYNC110 - as people do
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        pytest.fail(f"no {what}")


def rights_of(role: Json) -> set[Right]:
    return {
        (verb, resource)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }


async def test_all_that_the_role_allows_is_used_and_all_that_is_used_is_allowed(
    world: World,
) -> None:
    granted = rights_of(await world.client.call("GET", ROLE))
    granted |= rights_of(await world.client.call("GET", LEASE_ROLE))
    granted |= rights_of(await world.client.call("GET", LOOK_ROLE))

    await prepare(world, Cast(namespace="whole"))
    async with controller(world, "whole"), asyncio.timeout(STORY_SECONDS_MAX):
        await story(world, Cast(namespace="whole"))

    used = {right for right, _ in world.asked()}
    assert world.forbidden(since=0) == set()
    assert granted - used - AFTER_A_CONFLICT - FOR_SLACK == set()
    assert used - granted == set()


async def test_the_lack_of_any_one_right_is_caught(world: World) -> None:
    unnoticed: list[Right] = []
    for short, path in (("role", ROLE), ("lease", LEASE_ROLE), ("look", LOOK_ROLE)):
        role = await world.client.call("GET", path)
        for number, right in enumerate(sorted(rights_of(role) - AFTER_A_CONFLICT - FOR_SLACK)):
            name = f"{short}-{number}"
            await prepare(world, Cast(namespace=name))
            await world.patch(path, {"rules": _without(role["rules"], right)})
            since = world.plane.audit.stat().st_size
            async with controller(world, name):
                if right not in await _missed(world, name, since=since):
                    unnoticed.append(right)
            await world.patch(path, {"rules": role["rules"]})

    assert unnoticed == []


def _without(rules: list[Json], right: Right) -> list[Json]:
    """The rules with one verb taken from one resource."""
    verb, resource = right
    kept = []
    for rule in rules:
        others = [one for one in rule["resources"] if one != resource]
        if others:
            kept.append({**rule, "resources": others})
        if resource in rule["resources"]:
            verbs = [one for one in rule["verbs"] if one != verb]
            kept += [{**rule, "resources": [resource], "verbs": verbs}] if verbs else []
    return kept


async def _missed(world: World, namespace: str, *, since: int) -> set[Right]:
    """What was forbidden in a story, which ends as soon as something was."""
    told = asyncio.create_task(story(world, Cast(namespace=namespace)))
    try:
        async with asyncio.timeout(STORY_SECONDS_MAX):
            while not (told.done() or world.forbidden(since=since)):  # noqa: ASYNC110 - a file
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        return set()
    finally:
        told.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await told
        await _let_go(world, namespace)
    return world.forbidden(since=since)


async def _let_go(world: World, namespace: str) -> None:
    """Nothing of this story is looked after in the next one."""
    path = f"/apis/{meshobjects.OURS}/namespaces/{namespace}/rollouts"
    for item in (await world.client.list(path))[0]:
        name = item["metadata"]["name"]
        with contextlib.suppress(NotFound):
            await world.patch(f"{path}/{name}", {"metadata": {"finalizers": None}})
            await world.client.call("DELETE", f"{path}/{name}")
