"""Connections behind TLS are shifted by their SNI, unopened: the same as plain ones."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ssl
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.endtoend.hands import is_plausible
from tests.mesh.marks import ON_A_MESH
from tests.mesh.report import PROPAGATION, Report
from tests.testbed import certificate, istio, meshobjects
from tests.testbed.film import figures, filming
from tests.testbed.mesh import Mesh
from tests.testbed.meshobjects import TLS_PORT, TLS_SERVICE
from tests.testbed.tcpecho import Caller, Door, Line, echoing

pytestmark = ON_A_MESH

GATES = [{"name": "connections", "tcpFailures": {"maxPercent": 5}}]

EXTERNAL = "echo.example.com"
GATEWAY_PORT = 8443

DRAINED_SECONDS_MAX = 10.0
"""Envoy here drains for 2 s, and then closes what is still open; Istio's default is 45 s."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The scene as seen by a Rollout of the service behind TLS."""

    seen: Mesh
    door: Door


@contextlib.asynccontextmanager
async def service(world: Mesh, *versions: str) -> AsyncIterator[Service]:
    name = meshobjects.tls_name(world.cast)
    for item in meshobjects.tls_objects(world.cast):
        await world.bed.create(item)
    await certificate.make(world.folder, name=TLS_SERVICE, alternative=f"DNS:{name},DNS:{EXTERNAL}")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(world.folder / "tls.crt", world.folder / "tls.key")
    caller = ssl.create_default_context(cafile=world.folder / "tls.crt")
    door = Door(address=world.cast.cluster_ip, port=TLS_PORT, tls=caller, name=name)
    places = dict(world.cast.places())
    async with contextlib.AsyncExitStack() as stack:
        for version in versions:
            place = places[version]
            await stack.enter_async_context(echoing(version, place, TLS_PORT, tls=server))

        async def answers() -> bool:
            with contextlib.suppress(OSError):
                return await door.say() == "v1"
            return False

        await istio.until(answers, what="the service behind TLS")
        cast = dataclasses.replace(world.cast, service=TLS_SERVICE)
        yield Service(seen=dataclasses.replace(world, cast=cast), door=door)


@pytest.mark.task("tcp-traffic-shifting")
async def test_new_connections_behind_tls_follow_the_weights(world: Mesh, report: Report) -> None:
    async with service(world, "v1", "v2") as here:
        caller = Caller(here.door)
        await here.seen.put_on({"weight": 20, "hold": "10s"}, gates=GATES)

        async with (
            caller.calling(per_second=60),
            filming(here.seen, caller, held=here.seen.written_weights, protocol="tls") as film,
        ):
            await here.seen.want("v2")
            held = await here.seen.until_at(20)
            status = await here.seen.until_over()
            await asyncio.sleep(1)

    assert status["stableRevision"] == "v2"
    assert [note["reason"] for note in held["notes"]] == ["OnlyNewConnections"]
    at_twenty = next(shot for shot in film.shots() if shot.percent == 20)
    assert is_plausible(at_twenty.canary, of=at_twenty.requests, percent=20)
    assert caller.counts["failed"] == 0
    shown = figures(film)
    shown.pop(PROPAGATION)  # what Envoy holds for connections was not asked
    report.task(test="TLS: new connections follow by SNI", **shown)


@pytest.mark.task("tcp-traffic-shifting")
async def test_a_gateway_that_passes_tls_through_shifts_together_with_the_sidecars(
    world: Mesh, report: Report
) -> None:
    async with service(world, "v1", "v2") as here:
        outside = await _add_gateway(world, here)
        callers = [Caller(here.door), Caller(outside)]
        await here.seen.put_on({"weight": 30, "hold": "10s"}, gates=GATES)

        async with (
            callers[0].calling(per_second=40),
            callers[1].calling(per_second=40),
            filming(here.seen, callers[0], held=here.seen.written_weights, protocol="tls") as film,
            filming(
                here.seen, callers[1], held=here.seen.written_weights, protocol="tls"
            ) as beside,
        ):
            await here.seen.want("v2")
            await here.seen.until_over()

    for one in (film, beside):
        at_thirty = next(shot for shot in one.shots() if shot.percent == 30)
        assert is_plausible(at_thirty.canary, of=at_thirty.requests, percent=30)
    assert [caller.counts["failed"] for caller in callers] == [0, 0]
    tls = (await here.seen.get("virtualservices"))["spec"]["tls"]
    assert [[leg["weight"] for leg in route["route"]] for route in tls] == [[0, 100], [0, 100]]
    shown = figures(beside)
    shown.pop(PROPAGATION)
    report.task(test="TLS: a gateway that passes it through", **shown)


@pytest.mark.task("tcp-traffic-shifting")
async def test_a_canary_that_resets_connections_behind_tls_is_taken_back(
    world: Mesh, report: Report
) -> None:
    async with service(world, "v1") as here:  # nobody listens for v2: its host resets
        caller = Caller(here.door)
        await here.seen.put_on({"weight": 50, "hold": "2m"}, gates=GATES)

        async with caller.calling(per_second=50):
            await here.seen.want("v2")
            status = await here.seen.until_over()

    assert status["phase"] == "RolledBack"
    assert status["run"]["gates"][0]["verdict"] == "Fail"
    assert await here.seen.written_weights() == {"v1": 100, "v2": 0}
    report.task(
        test="TLS: a canary that resets connections is taken back",
        requests=sum(caller.counts.values()),
        failed=caller.counts["failed"],
    )


@pytest.mark.task("tcp-traffic-shifting")
async def test_an_open_connection_stays_on_its_leg_until_its_proxy_has_drained_peers_183(
    world: Mesh, report: Report
) -> None:
    later: Counter[str] = Counter()
    async with service(world, "v1", "v2") as here:
        await here.seen.put_on({"weight": 100}, gates=GATES)

        async with here.door.open() as line:
            before = await line.say()
            await here.seen.want("v2")
            status = await here.seen.until_at(100)
            await istio.until(lambda: _reaches(here.door, "v2"), what="v2 for new connections")
            with pytest.raises(ConnectionError):
                await _say_on(line, later)
        again = await here.door.say()

    assert (before, again) == ("v1", "v2")
    assert set(later) == {"v1"}
    (note,) = status["notes"]
    assert note["reason"] == "OnlyNewConnections"
    assert "drainDuration" in note["message"]
    report.task(test="TLS: an open connection stays until drained")


async def _add_gateway(world: Mesh, here: Service) -> Door:
    """A gateway with a route of its own in the same VirtualService."""
    labels = {"gateway": world.cast.namespace}
    port = {"number": GATEWAY_PORT, "name": "tls", "protocol": "TLS"}
    server = {
        "port": port,
        "hosts": [EXTERNAL],
        "tls": {"mode": "PASSTHROUGH"},
        "bind": world.cast.cluster_ip,
    }
    await world.create("Gateway", "gateway", selector=labels, servers=[server])
    spec = (await here.seen.get("virtualservices"))["spec"]
    (route,) = spec["tls"]
    match = [{"port": GATEWAY_PORT, "sniHosts": [EXTERNAL], "gateways": ["gateway"]}]
    both = {
        "hosts": [*spec["hosts"], EXTERNAL],
        "gateways": ["mesh", "gateway"],
        "tls": [route, route | {"match": match}],
    }
    await here.seen.patch("virtualservices", {"spec": both})
    await world.add_proxy("gateway", kind="router", labels=labels)
    outside = dataclasses.replace(here.door, port=GATEWAY_PORT, name=EXTERNAL)

    async def answers() -> bool:
        with contextlib.suppress(OSError):
            return await outside.say() == "v1"
        return False

    await istio.until(answers, what="a route at the gateway")
    return outside


async def _say_on(line: Line, answers: Counter[str]) -> None:
    """Say lines on a connection until it is closed. Raises `ConnectionError` when it is."""
    async with asyncio.timeout(DRAINED_SECONDS_MAX):
        while True:
            answers[await line.say()] += 1
            await asyncio.sleep(0.1)


async def _reaches(door: Door, version: str) -> bool:
    return await door.say() == version
