"""Commands carry the name and the groups that the API server knows their author by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rollout.adapters import kubernetes
from rollout.api.action import Verb
from rollout.api.crd import crds
from rollout.api.gate import Judge
from rollout.api.meta import ROLLOUT, Key, Kind, Manifest
from rollout.api.rollout import Plan
from rollout.api.status import RolloutStatus
from rollout.api.step import Approval, Approvers, Step, Strategy
from rollout.ports import Written
from rollout.sandbox.apiserver import serve
from rollout.wiring.client import GROUPS_COUNT_MAX, SELF_SUBJECT_REVIEW, Client
from tests.views.samples import PROGRESSING, RUN, manifest
from tests.world.clock import FakeClock
from tests.world.cluster import FakeCluster


class Knowing(FakeCluster):
    """A cluster that knows who asks."""

    def __init__(self, *groups: str) -> None:
        super().__init__(FakeClock())
        self.groups = groups

    async def create(self, kind: Kind, manifest: Manifest, *, dry_run: bool = False) -> Written:
        if kind != SELF_SUBJECT_REVIEW:
            return await super().create(kind, manifest, dry_run=dry_run)
        told = {"username": "alice@example.com", "groups": [*self.groups]}
        return Written(object={"metadata": {}, "status": {"userInfo": told}})


async def said(cluster: FakeCluster, status: RolloutStatus = PROGRESSING) -> dict[str, Any]:
    """What a command of ours says."""
    cluster.put(ROLLOUT, manifest(status))
    client = Client(cluster, namespace="shop", user="me", clock=FakeClock())
    rollout = await cluster.get(ROLLOUT, Key("shop", "reviews"))
    spec: dict[str, Any] = (
        await client.say(rollout, Verb.ABORT, run="3", step=None, reason="")
    ).action["spec"]
    return spec


async def test_a_command_carries_all_that_the_server_says_of_its_author() -> None:
    spec = await said(Knowing("staff", "system:authenticated"))

    assert (spec["actor"], spec["groups"]) == (
        "alice@example.com",
        ["staff", "system:authenticated"],
    )


async def test_of_too_many_groups_those_that_may_approve_come_first() -> None:
    approvers = Approvers(groups=("release-managers",))
    steps = (Step(weight=5), Step(approval=Approval(approvers=approvers)))
    plan = Plan(host="reviews", strategy=Strategy(steps=steps), gates=(), judge=Judge())
    waiting = PROGRESSING.model_copy(update={"run": RUN.model_copy(update={"plan": plan})})
    many = [f"group-{number}" for number in range(100)]

    spec = await said(Knowing(*many, "release-managers"), waiting)

    assert spec["groups"] == ["release-managers", *many[: GROUPS_COUNT_MAX - 1]]


@pytest.mark.parametrize("group", ["slack:S0456", "Slack:S0456", "g" * 254])
async def test_a_group_that_no_policy_would_take_is_left_out(group: str) -> None:
    spec = await said(Knowing(group, "staff"))

    assert spec["groups"] == ["staff"]


async def test_where_the_server_does_not_tell_the_kubeconfig_does() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.uninstall(SELF_SUBJECT_REVIEW)

    spec = await said(cluster)

    assert (spec["actor"], spec["groups"]) == ("me", [])


async def test_a_server_is_asked_who_we_are_and_takes_what_it_said(tmp_path: Path) -> None:
    async with serve(crds()) as server:
        (tmp_path / "kubeconfig").write_text(server.kubeconfig_text())
        cluster = await kubernetes.connect(tmp_path / "kubeconfig")
        try:
            client = Client(cluster, namespace="shop", user="me", clock=FakeClock())
            spec = {"host": "reviews", "revision": "v1"}
            metadata = {"namespace": "shop", "name": "reviews"}
            born = (await cluster.create(ROLLOUT, {"metadata": metadata, "spec": spec})).object
            told = await client.say(born, Verb.ABORT, run="1", step=None, reason="")
        finally:
            await cluster.close()

    assert told.action["spec"]["actor"] == "sandbox"
    assert told.action["spec"]["groups"] == ["system:masters", "system:authenticated"]
