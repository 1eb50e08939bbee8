"""A VirtualService that git declares is applied again in mid-run, and no request is lost."""

from __future__ import annotations

import asyncio

import pytest

from rollout.sandbox.stage_objects import collection
from tests.mesh.marks import ON_A_MESH
from tests.mesh.report import Report
from tests.testbed import gitops, istio, kubectl
from tests.testbed.film import figures, filming
from tests.testbed.gitops import ArgoRules, Manifest, Tool, argo_rules
from tests.testbed.kubectl import Kubectl
from tests.testbed.mesh import Mesh

WHY_NOT = kubectl.WHY_NOT or gitops.WHY_NOT

pytestmark = [
    *ON_A_MESH,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is there"),
]

NO_RULES = ArgoRules(expressions={})


def tool(world: Mesh, rules: gitops.Rules, *, is_server_side: bool) -> Tool:
    return Tool(
        kubectl=Kubectl(world=world.bed.plane),
        manager="argocd-controller",
        rules=rules,
        is_server_side=is_server_side,
    )


async def declared_by(world: Mesh, argo: Tool) -> Manifest:
    """The VirtualService as git has it, applied for the first time."""
    found = await world.get("virtualservices")
    declared = {name: found[name] for name in ("apiVersion", "kind", "spec")}
    declared["metadata"] = {name: found["metadata"][name] for name in ("name", "namespace")}
    await world.bed.client.call("DELETE", f"{collection(declared)}/{found['metadata']['name']}")
    await argo.apply(declared)
    await world.until_weights(v1=100)
    return declared


async def put_backs(world: Mesh) -> int:
    events, _ = await world.bed.client.list(f"/api/v1/namespaces/{world.cast.namespace}/events")
    return sum(one["reason"] == "PutBack" for one in events)


@pytest.mark.task("traffic-shifting")
@pytest.mark.parametrize("is_server_side", [True, False], ids=["server-side", "client-side"])
async def test_a_sync_by_our_rules_moves_no_weight(
    world: Mesh, report: Report, *, is_server_side: bool
) -> None:
    argo = tool(world, argo_rules(), is_server_side=is_server_side)
    declared = await declared_by(world, argo)
    load = await world.start_load(rps=300)
    await world.put_on({"weight": 50, "hold": "10s"})

    async with filming(world, load) as film:
        await world.want("v2")
        await world.until_weights(v1=50, v2=50)
        declared["spec"]["exportTo"] = ["*"]
        await argo.sync(declared)
        in_mid_run = await argo.is_out_of_sync(declared)
        await world.until_over()
        await world.until_weights(v2=100)
        await argo.sync(declared)
        at_rest = await argo.is_out_of_sync(declared)

    assert (in_mid_run, at_rest) == (False, False)
    assert (await world.get("virtualservices"))["spec"]["exportTo"] == ["*"]
    assert [percent for _, percent in film.written] == [0, 50, 100]
    assert await world.written_weights() == {**dict.fromkeys(world.cast.versions, 0), "v2": 100}
    assert await put_backs(world) == 0
    assert (await load.answers())["failed"] == 0
    how = "server-side" if is_server_side else "client-side"
    report.task(test=f"GitOps: a {how} sync by the shipped rules", **figures(film))


@pytest.mark.task("traffic-shifting")
@pytest.mark.parametrize("is_server_side", [True, False], ids=["server-side", "client-side"])
async def test_a_sync_without_rules_is_put_back(
    world: Mesh, report: Report, *, is_server_side: bool
) -> None:
    argo = tool(world, NO_RULES, is_server_side=is_server_side)
    declared = await declared_by(world, argo)
    load = await world.start_load(rps=300)
    await world.put_on({"weight": 50, "hold": "2m"})

    async with filming(world, load) as film:
        await world.want("v2")
        await world.until_weights(v1=50, v2=50)
        await asyncio.sleep(2)
        await argo.sync(declared)
        await istio.until(lambda: _was_put_back(world), what="the weight put back")
        status = await world.status()
        await asyncio.sleep(2)
        kept = await world.written_weights()

    assert status["run"]["step"] == 1
    assert kept["v2"] == 50
    assert (await load.answers())["failed"] == 0
    how = "server-side" if is_server_side else "client-side"
    report.task(test=f"GitOps: a {how} sync without rules is put back", **figures(film))


async def _was_put_back(world: Mesh) -> bool:
    return await put_backs(world) > 0 and (await world.written_weights())["v2"] == 50
