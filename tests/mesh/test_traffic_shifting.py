"""Weights of a Rollout are the shares of requests, whatever the VirtualServices look like."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from rollout.sandbox.stage_objects import PORT
from tests.endtoend.hands import is_plausible
from tests.mesh.marks import ON_A_MESH
from tests.mesh.report import Report
from tests.testbed import istio
from tests.testbed.film import Film, figures, filming
from tests.testbed.mesh import Mesh
from tests.testbed.proxy import Proxy

pytestmark = ON_A_MESH

EXTERNAL = "reviews.example.com"


def assert_shares(film: Film) -> None:
    for shot in film.shots():
        assert is_plausible(shot.canary, of=shot.requests, percent=shot.percent), shot


@pytest.mark.task("traffic-shifting")
async def test_each_weight_is_the_share_of_requests_and_none_is_lost(
    world: Mesh, report: Report
) -> None:
    load = await world.start_load(rps=400)
    await world.put_on(*({"weight": weight, "hold": "5s"} for weight in (1, 10, 50)))

    async with filming(world, load) as film:
        await world.want("v2")
        status = await world.until_over()
        await world.until_weights(v2=100)

    assert status["stableRevision"] == "v2"
    assert [percent for _, percent in film.held] == [0, 1, 10, 50, 100]
    assert_shares(film)
    assert (await load.answers())["failed"] == 0
    report.task(test="each weight is the share of requests", **figures(film))


@pytest.mark.task("traffic-shifting")
async def test_half_a_percent_is_half_a_percent(world: Mesh, report: Report) -> None:
    load = await world.start_load(rps=800)
    await world.put_on({"weight": 0.5, "hold": "10s"})

    async with filming(world, load) as film:
        await world.want("v2")
        await world.until_over()

    assert [percent for _, percent in film.held][:2] == [0, 0.5]
    assert_shares(film)
    assert (await load.answers())["failed"] == 0
    report.task(test="half a percent", **figures(film))


@pytest.mark.task("traffic-shifting")
async def test_an_abort_leaves_the_canary_at_once(world: Mesh, report: Report) -> None:
    load = await world.start_load(rps=400)
    await world.put_on({"weight": 50, "hold": "2m"})

    async with filming(world, load) as film:
        await world.want("v2")
        await world.until_weights(v1=50, v2=50)
        await asyncio.sleep(3)
        await world.tell("Abort")
        await world.until_weights(v1=100)
        await asyncio.sleep(2)

    assert [percent for _, percent in film.written] == [0, 50, 0]
    assert_shares(film)
    assert (await load.answers())["failed"] == 0
    report.task(test="an abort", **figures(film))


@pytest.mark.task("gateway")
async def test_sidecars_and_a_gateway_shift_together_in_one_virtual_service(
    world: Mesh, report: Report
) -> None:
    gateway = await _add_gateway(world)
    both = {"hosts": [world.cast.service, EXTERNAL], "gateways": ["mesh", "gateway"]}
    await world.patch("virtualservices", {"spec": both})

    beside = await _promoted_inside_and_outside(world, gateway)

    report.task(test="one VirtualService for mesh and gateway", **figures(beside))


@pytest.mark.task("gateway")
async def test_two_virtual_services_shift_together(world: Mesh, report: Report) -> None:
    gateway = await _add_gateway(world)
    http = (await world.get("virtualservices"))["spec"]["http"]
    await world.create(
        "VirtualService", "outside", hosts=[EXTERNAL], gateways=["gateway"], http=http
    )
    named = [{"name": "reviews", "routes": ["primary"]}, {"name": "outside", "routes": ["primary"]}]

    beside = await _promoted_inside_and_outside(world, gateway, traffic={"virtualServices": named})

    report.task(test="a VirtualService each", **figures(beside))


@pytest.mark.task("gateway")
async def test_the_weights_of_a_delegate_are_shifted_in_the_delegate(
    world: Mesh, report: Report
) -> None:
    gateway = await _add_gateway(world)
    http = (await world.get("virtualservices"))["spec"]["http"]
    await world.create("VirtualService", "delegate", http=http)
    root = [{"delegate": {"name": "delegate", "namespace": world.cast.namespace}}]
    await world.create("VirtualService", "root", hosts=[EXTERNAL], gateways=["gateway"], http=root)
    await _until_served(world)
    outside = await world.start_load(rps=300, url=_gateway_url(world), host=EXTERNAL)
    named = [{"name": "reviews"}, {"name": "delegate"}]
    await world.put_on({"weight": 30, "hold": "6s"}, traffic={"virtualServices": named})

    async with filming(world, outside, held=_held_by(world, gateway)) as film:
        await world.want("v2")
        await world.until_over()

    assert_shares(film)
    assert (await outside.answers())["failed"] == 0
    assert (await world.get("virtualservices", "root"))["spec"]["http"] == root
    report.task(test="a delegate", **figures(film))


@pytest.mark.task("service-entry")
async def test_hosts_of_a_service_entry_are_shifted_like_services(
    world: Mesh, report: Report
) -> None:
    host = "books.example.com"
    ports = [{"number": PORT, "name": "http", "protocol": "HTTP"}]
    await world.create(
        "ServiceEntry",
        "books",
        hosts=[host],
        location="MESH_INTERNAL",
        resolution="STATIC",
        ports=ports,
        workloadSelector={"labels": {"app": "books"}},
    )
    for version, address in world.cast.places():
        labels = {"app": "books", "version": version}
        labels["service.istio.io/workload-name"] = f"books-{version}"
        await world.create("WorkloadEntry", f"books-{version}", address=address, labels=labels)
    subsets = [{"name": name, "labels": {"version": name}} for name in world.cast.versions]
    await world.create("DestinationRule", "books", host=host, subsets=subsets)
    legs = [
        {"destination": {"host": host, "subset": name}, "weight": 100 if name == "v1" else 0}
        for name in ("v1", "v2")
    ]
    await world.create("VirtualService", "books", hosts=[host], http=[{"route": legs}])
    books = dataclasses.replace(world, cast=dataclasses.replace(world.cast, service="books"))
    place = f"{host}:{PORT}"

    async def is_served() -> bool:
        return await world.weights_of(place) == {"v1": 100}

    await istio.until(is_served, what="the ServiceEntry's host in Envoy")
    load = await world.start_load(rps=300, host=host)
    await books.put_on({"weight": 20, "hold": "6s"}, host=host)

    async with filming(books, load, held=lambda: world.weights_of(place)) as film:
        await books.want("v2")
        status = await books.until_over()

    assert status["stableRevision"] == "v2"
    assert_shares(film)
    assert (await load.answers())["failed"] == 0
    report.task(test="a ServiceEntry with WorkloadEntries", **figures(film))


@pytest.mark.task("envoy-filter")
async def test_an_envoy_filter_that_names_our_route_stays_in_force(
    world: Mesh, report: Report
) -> None:
    added = {"header": {"key": "x-filtered", "value": "yes"}}
    route = {"vhost": {"route": {"name": "primary"}}}
    await world.bed.create(
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": {"name": "mark", "namespace": world.cast.namespace},
            "spec": {
                "workloadSelector": {"labels": {"app": "client"}},
                "configPatches": [
                    {
                        "applyTo": "HTTP_ROUTE",
                        "match": {"context": "SIDECAR_OUTBOUND", "routeConfiguration": route},
                        "patch": {
                            "operation": "MERGE",
                            "value": {"response_headers_to_add": [added]},
                        },
                    }
                ],
            },
        }
    )
    load = await world.start_load(rps=200)
    await istio.until(lambda: _is_marked(world), what="the filter in force")
    await world.put_on({"weight": 20, "hold": "5s"})

    async with filming(world, load) as film:
        await world.want("v2")
        await world.until_at(20)
        await world.until_weights(v1=80, v2=20)
        in_mid_run = await _is_marked(world)
        await world.until_over()
        await world.until_weights(v2=100)

    assert in_mid_run
    assert await _is_marked(world)
    assert (await load.answers())["failed"] == 0
    report.task(test="a filter that names our route", **figures(film))


@pytest.mark.task("load-balancing")
async def test_balancing_and_all_that_is_not_a_weight_stays_as_it_was(
    world: Mesh, report: Report
) -> None:
    hashing = {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user"}}}
    await world.patch("destinationrules", {"spec": {"trafficPolicy": hashing}})
    rule = await world.get("destinationrules")
    http = world.routes(v1=100, v2=0)
    http[0] |= {"timeout": "3s", "retries": {"attempts": 1, "perTryTimeout": "1s"}}
    jason = {"match": [{"headers": {"end-user": {"exact": "jason"}}}], "name": "jason"}
    alone = {"destination": {"host": world.cast.service, "subset": "v3"}}
    http.insert(0, {**jason, "route": [alone]})
    await world.patch("virtualservices", {"spec": {"http": http}})
    load = await world.start_load(rps=300, headers=("x-user: alice",))
    await world.put_on({"weight": 40, "hold": "6s"})

    async with filming(world, load) as film:
        await world.want("v2")
        await world.until_weights(v1=60, v2=40)
        notes = (await world.status())["notes"]
        answer = await world.ask(**{"end-user": "jason"})
        await world.until_over()

    wanted = copy.deepcopy(http)
    wanted[1]["route"][0]["weight"], wanted[1]["route"][1]["weight"] = 0, 100
    assert answer == (200, "v3")
    assert [note["reason"] for note in notes] == ["WeightsNotSticky"]
    assert (await world.get("virtualservices"))["spec"]["http"] == wanted
    assert (await world.get("destinationrules"))["spec"] == rule["spec"]
    assert_shares(film)
    assert (await load.answers())["failed"] == 0
    report.task(test="a consistent hash is kept", **figures(film))


@pytest.mark.task("load-balancing")
async def test_how_each_revision_picks_its_hosts_is_the_rules_own_all_along(
    world: Mesh, report: Report
) -> None:
    simple = {"v1": "RANDOM", "v2": "LEAST_REQUEST", "v3": "ROUND_ROBIN"}
    near = {"simple": "ROUND_ROBIN", "localityLbSetting": {"distribute": [EVERYWHERE]}}
    balancers: dict[str, Any] = {v: {"simple": name} for v, name in simple.items()} | {"v4": near}
    subsets = [
        {"name": v, "labels": {"version": v}, "trafficPolicy": {"loadBalancer": balancer}}
        for v, balancer in balancers.items()
    ]
    await world.patch("destinationrules", {"spec": {"subsets": subsets}})
    rule = await world.get("destinationrules")
    wanted = simple | {"v4": "ROUND_ROBIN"}
    load = await world.start_load(rps=300)
    await world.put_on({"weight": 40, "hold": "3s"}, guard={"outlierDetection": EJECTS})

    async with filming(world, load) as film:
        await world.want("v2")
        await world.until_weights(v1=60, v2=40)
        in_mid_run = await _balancers(world)
        await world.until_over()
        await world.until_weights(v2=100)

    assert in_mid_run == wanted
    assert await _balancers(world) == wanted
    assert (await world.get("destinationrules"))["spec"] == rule["spec"]
    assert_shares(film)
    assert (await load.answers())["failed"] == 0
    report.task(test="round robin, random, least request and locality are kept", **figures(film))


EVERYWHERE = {"from": "*", "to": {"*": 100}}
EJECTS = {"consecutive5xxErrors": 50}


async def _balancers(world: Mesh) -> dict[str, str]:
    """How the caller's Envoy picks among a version's hosts."""
    assert world.sidecar is not None
    url = f"{world.sidecar.admin_url}/config_dump?resource=dynamic_active_clusters"
    async with world.bed.session.get(url) as answer:
        found = [one["cluster"] for one in orjson.loads(await answer.read())["configs"]]
    by_version = {one["name"].split("|")[2]: one for one in found if f"{world.host}" in one["name"]}
    return {v: one.get("lb_policy", "ROUND_ROBIN") for v, one in by_version.items() if v}


@pytest.mark.task("fault-injection")
async def test_a_fault_on_our_route_is_told_and_stays(world: Mesh, report: Report) -> None:
    http = world.routes(v1=100, v2=0)
    http[0]["fault"] = {"delay": {"percentage": {"value": 50}, "fixedDelay": "0.05s"}}
    await world.patch("virtualservices", {"spec": {"http": http}})
    load = await world.start_load(rps=200)
    await world.put_on({"weight": 25, "hold": "6s"})

    async with filming(world, load) as film:
        await world.want("v2")
        status = await world.until_at(25)
        await world.until_over()
        await world.until_weights(v2=100)

    assert [note["reason"] for note in status["notes"]] == ["FaultInjected"]
    events, _ = await world.bed.client.list(f"/api/v1/namespaces/{world.cast.namespace}/events")
    assert [one["type"] for one in events if one["reason"] == "FaultInjected"] == ["Warning"]
    found = (await world.get("virtualservices"))["spec"]["http"]
    assert found[0]["fault"] == http[0]["fault"]
    assert_shares(film)
    assert (await load.answers())["failed"] == 0
    report.task(test="a fault on our route is told", **figures(film))


def _gateway_url(world: Mesh) -> str:
    return f"http://{world.cast.cluster_ip}:8080/"


async def _add_gateway(world: Mesh) -> Proxy:
    labels = {"gateway": world.cast.namespace}
    port = {"number": 8080, "name": "http", "protocol": "HTTP"}
    server = {"port": port, "hosts": [EXTERNAL], "bind": world.cast.cluster_ip}
    await world.create("Gateway", "gateway", selector=labels, servers=[server])
    return await world.add_proxy("gateway", kind="router", labels=labels)


async def _promoted_inside_and_outside(world: Mesh, gateway: Proxy, **spec: Any) -> Film:
    """Promote v2 while a sidecar and a gateway send requests; the film of those outside."""
    inside = await world.start_load(rps=200)
    await _until_served(world)
    outside = await world.start_load(rps=200, url=_gateway_url(world), host=EXTERNAL)
    await world.put_on({"weight": 30, "hold": "6s"}, **spec)

    async with (
        filming(world, inside) as film,
        filming(world, outside, held=_held_by(world, gateway)) as beside,
    ):
        await world.want("v2")
        status = await world.until_over()

    assert status["stableRevision"] == "v2"
    assert_shares(film)
    assert_shares(beside)
    assert (await inside.answers())["failed"] == (await outside.answers())["failed"] == 0
    return beside


def _held_by(world: Mesh, gateway: Proxy) -> Callable[[], Awaitable[dict[str, int]]]:
    return lambda: world.weights_of(f"{EXTERNAL}:8080", gateway)


async def _until_served(world: Mesh) -> None:
    """Return when the gateway has a route."""

    async def is_served() -> bool:
        async with world.bed.session.get(_gateway_url(world), headers={"Host": EXTERNAL}) as said:
            return said.status == 200

    await istio.until(is_served, what="a route at the gateway")


async def _is_marked(world: Mesh) -> bool:
    headers = {"Host": world.cast.service}
    async with world.bed.session.get(world.service_url, headers=headers) as answer:
        return answer.headers.get("x-filtered") == "yes"
