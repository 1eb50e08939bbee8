"""A VirtualService in git, a Rollout that moves its weights, and the rules that reconcile both.

On a real API server, whose managed fields decide. The tools' own part is in `tests.testbed.gitops`.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from rollout.adapters.kubernetes import ClusterAdapter, connect
from rollout.api.meta import DESTINATION_RULE, VIRTUAL_SERVICE, Key, Kind
from rollout.routes import names, virtualservice
from rollout.sandbox.kubeclient import KubeClient, access_from
from tests.testbed import build, gitops, istio, kubectl
from tests.testbed.controlplane import ControlPlane, control_plane
from tests.testbed.gitops import FluxRules, Manifest, Tool, argo_rules, flux_rules, owners
from tests.testbed.kubectl import Kubectl

WHY_NOT = istio.why_not() or kubectl.WHY_NOT or gitops.WHY_NOT

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(180),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is there"),
    pytest.mark.asyncio(loop_scope="session"),
]

NAMESPACES = (f"shop-{number}" for number in itertools.count())

ARGO = "argocd-controller"
FLUX = "kustomize-controller"
OURS = ("rollout", "Update")

MANAGED: Manifest = {
    "name": names.named("shop/reviews", kind=names.MATCH, label="primary"),
    "match": [{"headers": {"x-canary": {"exact": "always"}}}],
    "route": [{"destination": {"host": "reviews", "subset": "v2"}, "weight": 100}],
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def plane(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    async with (
        control_plane(tmp_path_factory.mktemp("gitops")) as running,
        KubeClient(access_from(running.kubeconfig())) as client,
    ):
        await istio.install_crds(client)
        yield running


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A namespace in which git's manifests and our writes meet."""

    kubectl: Kubectl
    cluster: ClusterAdapter
    namespace: str

    @property
    def key(self) -> Key:
        return Key(self.namespace, "reviews")

    def declared(self, protocol: str = "http") -> Manifest:
        """The VirtualService in git: everything to v1."""
        route: Manifest = {
            "route": [
                {"destination": {"host": "reviews", "subset": "v1"}, "weight": 100},
                {"destination": {"host": "reviews", "subset": "v2"}, "weight": 0},
            ]
        }
        if protocol == "http":
            route["name"] = "primary"
        else:
            sni = {"sniHosts": ["reviews"]} if protocol == "tls" else {}
            route["match"] = [{"port": 9080, **sni}]
        return self.item("VirtualService", hosts=["reviews"], **{protocol: [route]})

    def rule(self) -> Manifest:
        """The DestinationRule in git: two subsets."""
        subsets = [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")]
        return self.item("DestinationRule", host="reviews", subsets=subsets)

    def item(self, kind: str, **spec: Any) -> Manifest:
        metadata = {"name": self.key.name, "namespace": self.namespace}
        version = VIRTUAL_SERVICE.api_version
        return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}

    def tool(self, manager: str, rules: gitops.Rules, *, is_server_side: bool = True) -> Tool:
        return Tool(
            kubectl=self.kubectl, manager=manager, rules=rules, is_server_side=is_server_side
        )

    async def shift(self, percent: int) -> None:
        """Write weights as the controller does."""
        patch = virtualservice.weight_patch(
            await self.cluster.get(VIRTUAL_SERVICE, self.key),
            host="reviews",
            namespace=self.namespace,
            refs=(),
            stable="v1",
            canary="v2",
            canary_percent=Decimal(percent),
        )
        await self.cluster.patch(VIRTUAL_SERVICE, self.key, patch)

    async def add(self, kind: Kind, path: str, value: object) -> None:
        """Add something of ours, as the controller does."""
        patch = [{"op": "add", "path": path, "value": value}]
        await self.cluster.patch(kind, self.key, patch)

    async def spec(self, kind: Kind = VIRTUAL_SERVICE) -> Any:
        return (await self.cluster.get(kind, self.key))["spec"]

    async def weights(self, protocol: str = "http") -> list[int]:
        """Of the last route."""
        return [leg["weight"] for leg in (await self.spec())[protocol][-1]["route"]]


@pytest_asyncio.fixture(loop_scope="session")
async def world(plane: ControlPlane) -> AsyncIterator[World]:
    found = World(
        kubectl=Kubectl(world=plane),
        cluster=await connect(plane.kubeconfig()),
        namespace=next(NAMESPACES),
    )
    code, said = await found.kubectl.run("create", "namespace", found.namespace)
    assert code == 0, said
    yield found
    await found.cluster.close()


@pytest.mark.parametrize("is_server_side", [True, False], ids=["server-side", "client-side"])
@pytest.mark.parametrize("protocol", ["http", "tcp", "tls"])
async def test_a_sync_of_argo_cd_in_mid_run_leaves_the_weights_alone_peers_22(
    world: World, protocol: str, *, is_server_side: bool
) -> None:
    argo = world.tool(ARGO, argo_rules(), is_server_side=is_server_side)
    declared = world.declared(protocol)
    await argo.apply(declared)
    await world.shift(20)
    version = (await argo.live(declared))["metadata"]["resourceVersion"]
    assert not await argo.is_out_of_sync(declared)

    await argo.sync(declared)

    assert await world.weights(protocol) == [80, 20]
    assert not await argo.is_out_of_sync(declared)
    live = await argo.live(declared)
    assert OURS in owners(live, protocol)
    assert OURS not in owners(live, "hosts")
    if is_server_side:
        assert owners(live, protocol) == {OURS, (ARGO, "Apply")}
    else:
        # It writes its annotation, in which the weights now stand, and nothing else.
        assert live["metadata"]["resourceVersion"] != version


async def test_by_the_rules_no_apply_needs_force_and_kubectl_shows_no_diff(world: World) -> None:
    argo = world.tool(ARGO, argo_rules())
    declared = world.declared()
    await argo.apply(declared)
    await world.shift(20)
    await world.add(VIRTUAL_SERVICE, "/spec/http/0", MANAGED)
    applied = await argo.patched(declared)

    words = ("--server-side", f"--field-manager={ARGO}", "-f", "-")
    shown = await world.kubectl.run("diff", *words, given=applied)
    code, said = await argo.apply(applied, forced=False)

    assert shown == (0, "")
    assert code == 0, said
    assert [route["name"] for route in (await world.spec())["http"]] == [MANAGED["name"], "primary"]
    assert await world.weights() == [80, 20]
    assert not await argo.is_out_of_sync(declared)


async def test_a_step_after_a_sync_is_not_undone_by_the_next_sync(world: World) -> None:
    argo = world.tool(ARGO, argo_rules())
    declared = world.declared()
    await argo.apply(declared)
    for percent in (10, 50, 100):
        await world.shift(percent)

        await argo.sync(declared)

        assert await world.weights() == [100 - percent, percent]
        assert not await argo.is_out_of_sync(declared)


async def test_without_the_rules_a_sync_is_a_conflict_with_us_and_forced_sets_weights_back(
    world: World,
) -> None:
    argo = world.tool(ARGO, gitops.ArgoRules(expressions={}))
    declared = world.declared()
    await argo.apply(declared)
    await world.shift(20)

    is_out_of_sync = await argo.is_out_of_sync(declared)
    refused, said = await argo.apply(declared, forced=False)
    kept = await world.weights()
    await argo.sync(declared)

    assert is_out_of_sync
    assert (refused, kept) == (1, [80, 20])
    assert 'conflict with "rollout"' in said
    assert ".spec.http" in said
    assert await world.weights() == [100, 0]


async def test_rules_that_are_not_respected_hide_the_diff_and_a_sync_still_sets_weights_back(
    world: World,
) -> None:
    argo = world.tool(ARGO, argo_rules(respected=False))
    declared = world.declared()
    await argo.apply(declared)
    await world.shift(20)
    assert not await argo.is_out_of_sync(declared)

    await argo.sync(declared)

    assert await world.weights() == [100, 0]


async def test_what_git_changes_beside_the_list_arrives_and_inside_it_stays_out_of_sync(
    world: World,
) -> None:
    argo = world.tool(ARGO, argo_rules())
    declared = world.declared()
    await argo.apply(declared)
    await world.shift(20)

    beside = copy.deepcopy(declared)
    beside["metadata"]["labels"] = {"team": "books"}
    beside["spec"]["exportTo"] = ["."]
    await argo.sync(beside)
    inside = copy.deepcopy(beside)
    inside["spec"]["http"][0]["timeout"] = "3s"
    await argo.sync(inside)

    spec = await world.spec()
    assert spec["exportTo"] == ["."]
    assert "timeout" not in spec["http"][0]  # as argocd.yaml says that it is
    assert await argo.is_out_of_sync(inside)
    assert not await argo.is_out_of_sync(beside)
    assert await world.weights() == [80, 20]


@pytest.mark.parametrize("own", [{}, {"loadBalancer": {"simple": "RANDOM"}}], ids=["bare", "own"])
async def test_a_guard_is_no_difference_and_outlives_a_sync(
    world: World, own: dict[str, Any]
) -> None:
    argo = world.tool(ARGO, argo_rules())
    declared = world.rule()
    if own:
        declared["spec"]["subsets"][1]["trafficPolicy"] = own
    await argo.apply(declared)
    guard = {"outlierDetection": {"consecutive5xxErrors": 3}, "connectionPool": {"tcp": {}}}
    await world.add(DESTINATION_RULE, "/spec/subsets/1/trafficPolicy", {**own, **guard})
    assert not await argo.is_out_of_sync(declared)

    await argo.sync(declared)

    found = await world.spec(DESTINATION_RULE)
    assert found["subsets"][1]["trafficPolicy"] == {**own, **guard}
    assert not await argo.is_out_of_sync(declared)


async def test_a_subset_that_git_adds_arrives_when_no_guard_stands_there(world: World) -> None:
    argo = world.tool(ARGO, argo_rules())
    declared = world.rule()
    await argo.apply(declared)
    declared["spec"]["subsets"].append({"name": "v3", "labels": {"version": "v3"}})

    await argo.sync(declared)

    subsets = (await world.spec(DESTINATION_RULE))["subsets"]
    assert [one["name"] for one in subsets] == ["v1", "v2", "v3"]


@pytest.mark.parametrize("file", ["flux-kustomization.yaml", "flux-helmrelease.yaml"])
async def test_flux_sees_no_drift_in_mid_run_and_brings_what_git_changes_in_the_route(
    world: World, file: str
) -> None:
    flux = world.tool(FLUX, flux_rules(file))
    declared = world.declared()
    await flux.apply(declared)
    await world.shift(20)
    assert not await flux.is_out_of_sync(declared)
    declared["spec"]["http"][0]["timeout"] = "3s"
    assert await flux.is_out_of_sync(declared)

    await flux.sync(declared)

    assert (await world.spec())["http"][0]["timeout"] == "3s"
    assert await world.weights() == [80, 20]
    assert not await flux.is_out_of_sync(declared)


async def test_for_managed_routes_flux_ignores_the_list_as_its_file_says(world: World) -> None:
    text = (gitops.SHIPPED / "flux-kustomization.yaml").read_text(encoding="utf-8")
    assert "\n    # - /spec/http\n" in text
    flux = world.tool(FLUX, FluxRules(pointers={"VirtualService": ["/spec/http"]}))
    by_place = world.tool(FLUX, flux_rules())
    declared = world.declared()
    await flux.apply(declared)
    await world.shift(20)
    await world.add(VIRTUAL_SERVICE, "/spec/http/0", MANAGED)
    assert await by_place.is_out_of_sync(declared)
    assert not await flux.is_out_of_sync(declared)
    declared["spec"]["exportTo"] = ["."]

    await flux.sync(declared)

    assert (await world.spec())["http"][0] == MANAGED
    assert (await world.spec())["exportTo"] == ["."]
    assert await world.weights() == [80, 20]


@pytest.mark.skipif(bool(build.why_not("helm")), reason=build.why_not("helm") or "it is there")
async def test_an_upgrade_by_helms_merge_leaves_weights_alone_while_the_charts_route_is_the_same(
    world: World, tmp_path: Path
) -> None:
    chart = tmp_path / "shop"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("{apiVersion: v2, name: shop, version: 0.1.0}")
    template = yaml.safe_dump(world.declared()).replace("- reviews", "- {{ .Values.host }}")
    (chart / "templates" / "route.yaml").write_text(template)

    async def helm(verb: str, host: str) -> None:
        program = str(build.find("helm"))
        words = (verb, "shop", str(chart), "-n", world.namespace, "--set", f"host={host}")
        code, said = await world.kubectl.run(*words, program=program)
        assert code == 0, said

    await helm("install", "reviews")
    await world.shift(20)

    await helm("upgrade", "reviews")
    same = await world.weights()
    await helm("upgrade", "reviews.example.com")

    assert same == [80, 20]
    assert (await world.spec())["hosts"] == ["reviews.example.com"]
    assert await world.weights() == [80, 20]


async def test_what_we_ship_turns_the_options_on_that_these_tests_assume() -> None:
    argo = yaml.safe_load((gitops.SHIPPED / "argocd.yaml").read_text(encoding="utf-8"))
    helm = yaml.safe_load((gitops.SHIPPED / "flux-helmrelease.yaml").read_text(encoding="utf-8"))

    managed, *_ = argo["spec"]["ignoreDifferences"][0]["jqPathExpressions"]
    prefix = managed.partition('startswith("')[2].removesuffix('"))')
    assert MANAGED["name"].startswith(prefix)
    assert argo["metadata"]["annotations"] == {
        "argocd.argoproj.io/compare-options": "ServerSideDiff=true"
    }
    assert argo["spec"]["syncPolicy"]["syncOptions"] == [
        "RespectIgnoreDifferences=true",
        "ApplyOutOfSyncOnly=true",
        "ServerSideApply=true",
    ]
    assert helm["spec"]["upgrade"] == {"serverSideApply": "disabled"}
    assert helm["spec"]["driftDetection"]["mode"] == "enabled"
