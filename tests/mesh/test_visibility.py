"""What hides, shadows or undoes our routes: istiod does so, and it is told before traffic moves."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import aiohttp
import pytest

from rollout.sandbox.stage_objects import PORT
from tests.mesh.marks import ON_A_MESH
from tests.mesh.report import Report
from tests.testbed import istio, meshobjects
from tests.testbed.mesh import Mesh
from tests.testbed.meshobjects import Manifest
from tests.testbed.proxy import Proxy

pytestmark = ON_A_MESH

ASKED_COUNT = 40
"""Requests that tell whether two revisions share them half and half: one in 10^12 tells wrong."""

EXTERNAL = "reviews.example.com"
JSON_PATCH = "application/json-patch+json"
OLDER_SECONDS = 1.1
"""Creation times have whole seconds, and of two VirtualServices the older one is followed."""

Answers = Counter[tuple[int, str]]


class Caller:
    """One more Envoy, with a Sidecar of its own, from which requests are sent."""

    def __init__(self, world: Mesh, proxy: Proxy, url: str) -> None:
        self.world = world
        self.proxy = proxy
        self.url = url

    async def ask(self, count: int = ASKED_COUNT) -> Answers:
        """Send requests; how often each status and version answered."""
        found: Answers = Counter()
        for _ in range(count):
            headers = {"Host": self.world.host}
            async with self.world.bed.session.get(self.url, headers=headers) as answer:
                await answer.read()
                found[answer.status, answer.headers.get("x-version", "")] += 1
        return found

    async def weights(self) -> dict[str, int]:
        """What it holds for the service; empty without a route to it."""
        return await self.world.weights_of(f"{self.world.host}:{PORT}", self.proxy)

    async def until_weights(self, **weights: int) -> None:
        """Return when it holds these weights."""

        async def are_held() -> bool:
            return await self.weights() == weights

        await istio.until(are_held, what=f"weights {weights} in the second Envoy")


async def add_caller(world: Mesh, *, namespace: str = "", hosts: list[str]) -> Caller:
    """A caller in a namespace of its own, or in the service's, that imports some hosts."""
    cast = world.cast
    if namespace:
        await world.bed.create(meshobjects.namespace(namespace))
    bind = f"{cast.network}.0.2"
    listener = {
        "port": {"number": PORT, "protocol": "HTTP", "name": "http"},
        "bind": bind,
        "captureMode": "NONE",
        "hosts": hosts,
    }
    labels = {"app": "second"}
    sidecar = meshobjects.istio_object(
        cast, "Sidecar", "second", workloadSelector={"labels": labels}, egress=[listener]
    )
    sidecar["metadata"]["namespace"] = namespace or cast.namespace
    await world.bed.create(sidecar)
    proxy = await world.add_proxy("second", kind="sidecar", labels=labels, namespace=namespace)
    return Caller(world, proxy, f"http://{bind}:{PORT}/")


def elsewhere(world: Mesh) -> str:
    """A namespace beside the scene's."""
    return f"{world.cast.namespace[:40]}-web"


async def create_in(world: Mesh, namespace: str, kind: str, name: str, **spec: Any) -> Manifest:
    item = meshobjects.istio_object(world.cast, kind, name, **spec)
    item["metadata"]["namespace"] = namespace
    return await world.bed.create(item)


async def delete(world: Mesh, namespace: str, plural: str, name: str) -> None:
    path = f"/apis/{meshobjects.ISTIO}/namespaces/{namespace}/{plural}/{name}"
    await world.bed.client.call("DELETE", path)


async def blocked(world: Mesh, reason: str) -> str:
    """What the status says once the Rollout is blocked for a reason; no traffic has moved."""
    status = await world.until(lambda s: (s.get("phase"), s.get("reason")) == ("Blocked", reason))
    assert await world.written_weights() == {"v1": 100, "v2": 0, "v3": 0, "v4": 0}
    return str(status["message"])


async def noted(world: Mesh, reason: str) -> str:
    """The note of a reason in the status of a run."""

    def is_noted(status: Manifest) -> bool:
        return any(note["reason"] == reason for note in status.get("notes", ()))

    status = await world.until(is_noted)
    return next(str(n["message"]) for n in status["notes"] if n["reason"] == reason)


async def promoted(world: Mesh) -> None:
    status = await world.until_over()
    assert status["stableRevision"] == "v2"
    await world.until_weights(v2=100)


@pytest.mark.task("sidecar")
async def test_of_two_virtual_services_istiod_follows_the_older_and_the_run_waits_peers_163(
    world: Mesh, report: Report
) -> None:
    other, cast = elsewhere(world), world.cast
    caller = await add_caller(world, hosts=["*/*"])
    await world.put_on({"weight": 50, "hold": "2s"}, gates=[])
    await world.bed.create(meshobjects.namespace(other))
    alone = {"destination": {"host": world.host, "subset": "v3"}}
    rival = {"hosts": [world.host], "http": [{"route": [alone]}]}
    await create_in(world, other, "VirtualService", "rival", **rival)
    await asyncio.sleep(OLDER_SECONDS)
    ours = await world.get("virtualservices")
    await delete(world, cast.namespace, "virtualservices", cast.service)
    await world.create("VirtualService", cast.service, **ours["spec"])

    await world.want("v2")
    told = await blocked(world, "VirtualServiceOverruled")
    await caller.until_weights(v3=100)
    answers = await caller.ask()
    await delete(world, other, "virtualservices", "rival")
    await promoted(world)

    assert set(answers) == {(200, "v3")}
    await caller.until_weights(v2=100)
    assert f"VirtualService {other}/rival: spec.hosts names reviews too" in told
    report.task(test="an older VirtualService for the host is refused")


@pytest.mark.task("sidecar")
async def test_a_rule_in_the_callers_namespace_without_our_subset_is_refused_peers_164(
    world: Mesh, report: Report
) -> None:
    other = elsewhere(world)
    caller = await add_caller(world, namespace=other, hosts=["*/*"])
    only = [{"name": "v1", "labels": {"version": "v1"}}]
    await create_in(world, other, "DestinationRule", "mine", host=world.host, subsets=only)
    await world.set_weights(v1=50, v2=50, v3=0, v4=0)
    await caller.until_weights(v1=50, v2=50)
    await asyncio.sleep(1)
    harm = await caller.ask()
    await world.set_weights(v1=100, v2=0, v3=0, v4=0)
    await world.until_weights(v1=100)
    await world.put_on({"weight": 50, "hold": "2s"}, gates=[])

    await world.want("v2")
    told = await blocked(world, "CallersWithoutSubset")
    await delete(world, other, "destinationrules", "mine")
    await promoted(world)

    assert set(harm) == {(200, "v1"), (503, "")}
    assert f"DestinationRule {other}/mine: spec.subsets lacks v2" in told
    assert set(await caller.ask()) == {(200, "v2")}
    report.task(test="a caller's own DestinationRule without the subset is refused")


@pytest.mark.task("sidecar")
async def test_a_subset_that_is_exported_less_than_the_other_is_refused_peers_176(
    world: Mesh, report: Report
) -> None:
    other = elsewhere(world)
    caller = await add_caller(world, namespace=other, hosts=["*/*"])
    await world.put_on({"weight": 50, "hold": "2s"}, gates=[])
    subsets = {v: [{"name": v, "labels": {"version": v}}] for v in world.cast.versions}
    only = {"subsets": subsets["v1"] + subsets["v3"] + subsets["v4"]}
    await world.patch("destinationrules", {"spec": only})
    await asyncio.sleep(OLDER_SECONDS)
    near = {"host": world.cast.service, "subsets": subsets["v2"], "exportTo": ["."]}
    await world.create("DestinationRule", "near", **near)
    await world.set_weights(v1=50, v2=50, v3=0, v4=0)
    await caller.until_weights(v1=50, v2=50)
    await asyncio.sleep(1)
    harm = await caller.ask()
    at_home: Answers = Counter([await world.ask() for _ in range(ASKED_COUNT)])
    await world.set_weights(v1=100, v2=0, v3=0, v4=0)
    await world.until_weights(v1=100)

    await world.want("v2")
    told = await blocked(world, "CallersWithoutSubset")
    await world.patch("destinationrules", {"spec": {"exportTo": None}}, "near")
    await promoted(world)

    assert set(harm) == {(200, "v1"), (503, "")}
    # Apart, only the last rule counts at home: there it is v1 that nobody finds.
    assert set(at_home) == {(200, "v2"), (503, "")}
    assert "/near: spec.exportTo keeps subset v2 from callers in other namespaces" in told
    assert set(await caller.ask()) == {(200, "v2")}
    report.task(test="a subset exported to fewer callers is refused")


@pytest.mark.task("sidecar")
async def test_callers_to_whom_the_virtual_service_is_not_exported_are_told_peers_176(
    world: Mesh, report: Report
) -> None:
    caller = await add_caller(world, namespace=elsewhere(world), hosts=["*/*"])
    await world.patch("virtualservices", {"spec": {"exportTo": ["."]}})
    await world.put_on({"weight": 50, "hold": "2m"}, gates=[])

    await world.want("v2")
    told = await noted(world, "CallersNotGoverned")
    await world.until_weights(v1=50, v2=50)
    await istio.until(lambda: _is_plain(caller), what="the service without weights")
    answers = await caller.ask()

    assert {version for _, version in answers} == {"v1", "v2", "v3", "v4"}
    assert "callers in other namespaces do not follow its weights" in told
    report.task(test="an exportTo that leaves callers out is told")


async def _is_plain(caller: Caller) -> bool:
    return await caller.weights() == {"": 100}


@pytest.mark.task("sidecar")
async def test_a_sidecar_that_hides_the_host_from_a_second_caller_is_told_peers_176(
    world: Mesh, report: Report
) -> None:
    namespace = world.cast.namespace
    caller = await add_caller(world, hosts=["istio-system/*"])
    await world.put_on({"weight": 50, "hold": "2s"}, gates=[])

    await world.want("v2")
    await world.until_at(50)
    told = await noted(world, "CallersNotGoverned")
    await world.until_weights(v1=50, v2=50)
    unseen = await caller.weights()
    egress = (await world.get("sidecars", "second"))["spec"]["egress"]
    egress[0]["hosts"] = [f"{namespace}/*"]
    await world.patch("sidecars", {"spec": {"egress": egress}}, "second")
    await promoted(world)

    assert unseen == {}
    assert told.startswith(f"Sidecar {namespace}/second: spec.egress does not import host reviews")
    await caller.until_weights(v2=100)
    report.task(test="a Sidecar that hides the host is told")


@pytest.mark.task("sidecar")
async def test_a_route_whose_delegate_is_missing_is_refused_peers_178(
    world: Mesh, report: Report
) -> None:
    http = (await world.get("virtualservices"))["spec"]["http"]
    beta = {"match": [{"headers": {"beta": {"exact": "yes"}}}], "route": http[0]["route"]}
    # With no other route the requests would not even be refused, but go to all revisions alike.
    root = [beta, {"name": "all", "delegate": {"name": "reviews-delegate"}}]
    await world.patch("virtualservices", {"spec": {"http": root}})
    named = [{"name": "reviews-delegate"}]
    await world.bed.create(
        meshobjects.rollout(
            world.cast, {"weight": 50, "hold": "2s"}, gates=[], traffic={"virtualServices": named}
        )
    )
    missing = await world.until(lambda s: s.get("phase") == "Blocked")
    await istio.until(lambda: _answers(world, 404), what="404 for a route without a delegate")
    away = {"http": http, "exportTo": ["nowhere"]}
    await world.create("VirtualService", "reviews-delegate", **away)
    kept = await world.until(lambda s: s.get("reason") == "DelegateMissing")
    await asyncio.sleep(1)
    still = await _answers(world, 404)
    await world.patch("virtualservices", {"spec": {"exportTo": ["."]}}, "reviews-delegate")
    await world.until(lambda s: s.get("stableRevision") == "v1")

    await world.want("v2")
    await promoted(world)

    assert missing["reason"] == "VirtualServiceMissing"
    assert "spec.exportTo keeps from namespace" in kept["message"]
    assert still
    report.task(test="a delegate that is missing or not exported is refused")


async def _answers(world: Mesh, status: int) -> bool:
    return (await world.ask())[0] == status


@pytest.mark.task("gateway")
async def test_the_weights_of_an_ingress_that_is_not_named_are_told_to_stay_peers_167(
    world: Mesh, report: Report
) -> None:
    labels = {"gateway": world.cast.namespace}
    port = {"number": 8080, "name": "http", "protocol": "HTTP"}
    server = {"port": port, "hosts": [EXTERNAL], "bind": world.cast.cluster_ip}
    await world.create("Gateway", "gateway", selector=labels, servers=[server])
    gateway = await world.add_proxy("gateway", kind="router", labels=labels)
    plain = [{"route": [{"destination": {"host": world.cast.service}}]}]
    outside = {"hosts": [EXTERNAL], "gateways": ["gateway"], "http": plain}
    await world.create("VirtualService", "outside", **outside)
    await world.put_on({"weight": 50, "hold": "2m"}, gates=[])

    await world.want("v2")
    told = await noted(world, "IngressNotGoverned")
    await world.until_weights(v1=50, v2=50)
    held = await world.weights_of(f"{EXTERNAL}:8080", gateway)

    assert held == {"": 100}
    assert f"VirtualService {world.cast.namespace}/outside: route http[0]" in told
    report.task(test="an ingress that is not named is told")


@pytest.mark.task("envoy-filter")
async def test_a_filter_that_does_not_act_on_a_managed_route_is_told_peers_168(
    world: Mesh, report: Report
) -> None:
    await world.bed.create(
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": {"name": "mark", "namespace": world.cast.namespace},
            "spec": {"configPatches": [marking("primary")]},
        }
    )
    await istio.until(lambda: _is_marked(world), what="the filter in force")
    beta = {"headers": {"beta": {"exact": "yes"}}}
    await world.put_on({"match": beta, "hold": "2m"}, gates=[])

    await world.want("v2")
    told = await noted(world, "EnvoyFilterMissesRoute")
    await istio.until(lambda: _goes_to(world, "v2", beta="yes"), what="the managed route")

    assert await _is_marked(world)
    assert not await _is_marked(world, beta="yes")
    assert f"EnvoyFilter {world.cast.namespace}/mark names route primary" in told
    report.task(test="a filter that misses a managed route is told")


async def _goes_to(world: Mesh, version: str, **headers: str) -> bool:
    return await world.ask(**headers) == (200, version)


def marking(route: str) -> Manifest:
    """A patch that has answers of a route bear a header."""
    added = {"header": {"key": "x-filtered", "value": "yes"}}
    where = {"vhost": {"route": {"name": route}}}
    return {
        "applyTo": "HTTP_ROUTE",
        "match": {"context": "SIDECAR_OUTBOUND", "routeConfiguration": where},
        "patch": {"operation": "MERGE", "value": {"response_headers_to_add": [added]}},
    }


async def _is_marked(world: Mesh, **headers: str) -> bool:
    sent = {"Host": world.cast.service, **headers}
    async with world.bed.session.get(world.service_url, headers=sent) as answer:
        return answer.headers.get("x-filtered") == "yes"


@pytest.mark.task("sidecar")
async def test_an_unnamed_port_follows_http_weights_and_is_told_peers_180(
    world: Mesh, report: Report
) -> None:
    """Istiod has Envoy look at the first bytes of each connection: plain HTTP is recognised."""
    await name_port(world, "", listener="")
    await world.put_on({"weight": 50, "hold": "2m"}, gates=[])

    await world.want("v2")
    told = await noted(world, "PortProtocolGuessed")
    await world.until_weights(v1=50, v2=50)
    answers: Answers = Counter([await world.ask() for _ in range(ASKED_COUNT)])

    assert set(answers) == {(200, "v1"), (200, "v2")}
    assert f"port {PORT} does not say that it is HTTP" in told
    report.task(test="an unnamed port follows weights and is told")


@pytest.mark.task("sidecar")
async def test_a_port_that_says_tcp_does_not_follow_http_weights_and_is_refused_peers_180(
    world: Mesh, report: Report
) -> None:
    await world.put_on({"weight": 50, "hold": "2s"}, gates=[])
    await name_port(world, "tcp-main", listener="TCP")
    await istio.until(lambda: _is_ungoverned(world), what="requests to every revision")

    await world.want("v2")
    told = await blocked(world, "PortProtocol")
    await name_port(world, "http", listener="HTTP")
    await promoted(world)

    assert "spec.ports tcp-main carry TCP as Istio takes it" in told
    report.task(test="HTTP routes on a TCP port are refused")


async def _is_ungoverned(world: Mesh) -> bool:
    """Whether requests go to all revisions, although all of the weight is on the first."""
    # As bytes a connection stays where it began, and nobody between ends it: a new one each time.
    connector = aiohttp.TCPConnector(force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(world.service_url, headers={"Host": world.cast.service}) as answer,
    ):
        return answer.headers.get("x-version") in {"v2", "v3", "v4"}


async def name_port(world: Mesh, name: str, *, listener: str) -> None:
    """Name the service's port, and have the caller's Envoy listen for a protocol; empty: for any.

    A real sidecar's listeners take the protocol from the ports of the services that they are for.
    """
    cast = world.cast
    path = f"/api/v1/namespaces/{cast.namespace}/services/{cast.service}"
    port: Manifest = {"port": PORT, "targetPort": PORT} | ({"name": name} if name else {})
    patch = [{"op": "replace", "path": "/spec/ports", "value": [port]}]
    await world.bed.client.call("PATCH", path, body=patch, content_type=JSON_PATCH)
    egress = (await world.get("sidecars", "client"))["spec"]["egress"]
    egress[0]["port"]["protocol"] = listener
    egress[0]["hosts"] = [f"{cast.namespace}/{world.host}"]
    await world.patch("sidecars", {"spec": {"egress": egress}}, "client")
