"""A release with people in it, and everything real but Slack: who did what is on every record.

kube-apiserver with our admission policy, istiod, Envoy, Prometheus, the controller under its own
role, the command line, and a stand-in that speaks Slack's protocols in a process of its own.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from rollout.sandbox.processes import Command, Processes
from rollout.sandbox.stage_objects import Cast
from tests.mesh.marks import ON_A_MESH
from tests.people.slackworld import APP_TOKEN, BOT_TOKEN
from tests.testbed import meshobjects
from tests.testbed.bed import ROOT, Bed, bed
from tests.testbed.mesh import Mesh, scene

pytestmark = ON_A_MESH

ALICE, OLGA = "alice@example.com", "olga@example.com"
USERS = {ALICE: ("release-managers",), OLGA: ("on-call",)}
LADDER: list[dict[str, Any]] = [
    {"weight": 20, "hold": "3s"},
    {"approval": {"approvers": {"users": [ALICE]}, "expiresAfter": "10m"}},
    {"weight": 100},
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """The stand-in, as its controls show it."""

    address: str
    session: aiohttp.ClientSession

    async def look(self, path: str) -> Any:
        async with self.session.get(f"{self.address}/_control/{path}") as answer:
            return await answer.json()

    async def tell(self, path: str, **said: Any) -> Any:
        async with self.session.post(f"{self.address}/_control/{path}", json=said) as answer:
            return await answer.json()

    async def heads(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.look("messages?channel=deploys")
        return found

    async def press(self, action: str, *, user: str) -> Any:
        return await self.tell("press", channel="deploys", action=action, user=user)

    async def until(self, is_so: Any, *, seconds: float = 30) -> list[dict[str, Any]]:
        """The heads when it is so."""
        heads: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(seconds):
                while not is_so(heads := await self.heads()):  # noqa: ASYNC110 - as people do
                    await asyncio.sleep(0.1)
        except TimeoutError:
            pytest.fail(f"{[head['text'] for head in heads]}")
        return heads


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def slack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Slack]:
    folder = tmp_path_factory.mktemp("slack")
    file = folder / "address"
    async with aiohttp.ClientSession() as session, Processes(folder / "logs") as processes:

        async def is_up() -> bool:
            return file.exists()

        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        words = ("-m", "tests.people.slackworld", "--port-file", str(file))
        await processes.start(
            Command(name="slack", argv=[sys.executable, *words], env=environment, is_ready=is_up)
        )
        yield Slack(address=file.read_text(), session=session)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def _office(slack: Slack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bed]:
    folder = tmp_path_factory.mktemp("people")
    tokens = {"slack-token-file": BOT_TOKEN, "slack-app-token-file": APP_TOKEN}
    for name, token in tokens.items():
        (folder / name).write_text(token)
    flags = {name: str(folder / name) for name in tokens} | {
        "slack-api": f"{slack.address}/api/",
        "slack-hooks": slack.address,
    }
    async with bed(folder, users=USERS, flags=flags) as up:
        yield up


@pytest_asyncio.fixture(loop_scope="session")
async def world(_office: Bed) -> AsyncIterator[Mesh]:
    async with scene(_office, Cast(namespace="people")) as up:
        await _give_role(up, OLGA, "rollout-operator")
        await _give_role(up, OLGA, "rollout-viewer")
        await _give_role(up, ALICE, "rollout-approver")
        yield up


async def _give_role(world: Mesh, user: str, role: str) -> None:
    group = "rbac.authorization.k8s.io"
    name = f"{role}-{user.partition('@')[0]}"
    await world.bed.create(
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": world.cast.namespace},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
        }
    )


async def rollout(world: Mesh, user: str, *words: str) -> tuple[int, str]:
    """What our command line says to somebody."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rollout", *words, "-n", world.cast.namespace),
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(world.bed.plane.folder),
            "KUBECONFIG": str(world.bed.plane.kubeconfig(user)),
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(ROOT),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def actions(world: Mesh) -> dict[str, dict[str, Any]]:
    """The commands that were given, by who gave them."""
    path = world.path("rolloutactions", "", group=meshobjects.OURS)
    found, _ = await world.bed.client.list(path)
    return {one["spec"]["actor"]: one for one in found}


async def events(world: Mesh) -> str:
    """All that Events say of the Rollout."""
    path = f"/api/v1/namespaces/{world.cast.namespace}/events"
    found, _ = await world.bed.client.list(path)
    return "\n".join(f"{one['reason']}: {one['message']}" for one in found)


def texts(head: dict[str, Any]) -> list[str]:
    return [one["text"] for one in head["thread"]]


async def test_who_approved_and_who_aborted_is_on_every_record_and_a_stranger_is_refused(
    world: Mesh, slack: Slack
) -> None:
    await world.start_load(rps=200)
    notify = {"slack": {"channel": "#deploys"}}
    await world.put_on(*LADDER, notify=notify, judge={"provenRatio": "Off"})

    await world.want("v2")
    await world.until(lambda s: s.get("reason") == "WaitingForApproval")
    await slack.until(lambda heads: heads and "rollout.approve" in heads[-1]["buttons"])
    await a_stranger_is_refused(world, slack)
    await the_approver_sends_it_on(world, slack)

    await world.want("v3")
    await world.until(lambda s: s.get("reason") == "WaitingForApproval")
    await who_may_aborts_on_the_command_line(world, slack)

    await world.until_weights(v2=100)
    assert (await slack.look("state"))["violations"] == []


async def a_stranger_is_refused(world: Mesh, slack: Slack) -> None:
    pressed = await slack.press("rollout.approve", user="U0BOB")

    assert pressed["result"] == "acknowledged"
    told = await _until_told(slack, "U0BOB")
    assert "bob@example.com is none of the approvers of step 2" in told
    refused = (await actions(world))["bob@example.com"]
    assert refused["status"]["outcome"] == "Refused"
    assert (await world.status())["run"]["step"] == 2


async def the_approver_sends_it_on(world: Mesh, slack: Slack) -> None:
    pressed = await slack.press("rollout.approve", user="U0ALICE")
    status = await world.until_over()

    assert pressed["result"] == "acknowledged"
    assert status["stableRevision"] == "v2"
    approved = (await actions(world))[ALICE]
    assert (approved["spec"]["via"], approved["spec"]["verb"]) == ("slack", "Approve")
    assert approved["status"]["outcome"] == "Applied"
    said = [(one["by"], one["via"], one["step"]) for one in status["run"]["approvals"]]
    assert said == [(ALICE, "slack", 2)]
    (head,) = await slack.until(lambda heads: "Promoted" in texts(heads[-1])[-1])
    assert any(f"{ALICE} approved step 2 (slack)" in text for text in texts(head))
    assert not any("bob" in text for text in texts(head))


async def who_may_aborts_on_the_command_line(world: Mesh, slack: Slack) -> None:
    code, printed = await rollout(world, ALICE, "abort", "reviews")
    assert code == 1
    assert f"{ALICE} may not abort Rollout" in printed

    code, printed = await rollout(world, OLGA, "abort", "reviews", "--reason", "it smells")
    assert code == 0, printed
    status = await world.until_over()

    past = status["history"][0]
    because = f"aborted by {OLGA}: it smells"
    assert (past["outcome"], past["by"], past["because"]) == ("Aborted", OLGA, because)
    heads = await slack.until(lambda heads: len(heads) == 2 and "Aborted" in texts(heads[1])[-1])
    assert any(f"{OLGA} aborted the run (cli): it smells" in text for text in texts(heads[1]))
    assert OLGA in heads[1]["text"]
    assert because in await events(world)


async def _until_told(slack: Slack, user: str) -> str:
    async with asyncio.timeout(20):
        while True:
            for one in await slack.look("ephemerals?channel=deploys"):
                if one["to"] == user:
                    return str(one["text"])
            await asyncio.sleep(0.1)
