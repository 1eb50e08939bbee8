"""Connections are shifted one by one; failing ones take the canary back."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest

from tests.endtoend.hands import is_plausible
from tests.mesh.marks import ON_A_MESH
from tests.mesh.report import PROPAGATION, Report
from tests.testbed import istio, meshobjects
from tests.testbed.film import figures, filming
from tests.testbed.mesh import Mesh
from tests.testbed.meshobjects import TCP_PORT, TCP_SERVICE
from tests.testbed.tcpecho import Caller, Door, echoing

pytestmark = ON_A_MESH

GATES = [{"name": "connections", "tcpFailures": {"maxPercent": 5}}]


def door(world: Mesh) -> Door:
    return Door(address=world.cast.cluster_ip, port=TCP_PORT)


@contextlib.asynccontextmanager
async def echo(world: Mesh, *versions: str) -> AsyncIterator[Mesh]:
    """The scene as seen by a Rollout of the service of connections."""
    for item in meshobjects.tcp_objects(world.cast):
        await world.bed.create(item)
    places = dict(world.cast.places())
    async with contextlib.AsyncExitStack() as stack:
        for version in versions:
            await stack.enter_async_context(echoing(version, places[version], TCP_PORT))

        async def answers() -> bool:
            with contextlib.suppress(OSError):
                return await door(world).say() == "v1"
            return False

        await istio.until(answers, what="the service of connections")
        cast = dataclasses.replace(world.cast, service=TCP_SERVICE)
        yield dataclasses.replace(world, cast=cast)


@pytest.mark.task("tcp-traffic-shifting")
async def test_new_connections_follow_the_weights(world: Mesh, report: Report) -> None:
    async with echo(world, "v1", "v2") as seen:
        caller = Caller(door(world))
        await seen.put_on({"weight": 20, "hold": "10s"}, gates=GATES)

        async with (
            caller.calling(per_second=100),
            filming(seen, caller, held=seen.written_weights, protocol="tcp") as film,
        ):
            await seen.want("v2")
            held = await seen.until_at(20)
            status = await seen.until_over()
            await asyncio.sleep(1)

    assert status["stableRevision"] == "v2"
    assert [note["reason"] for note in held["notes"]] == ["OnlyNewConnections"]
    at_twenty = next(shot for shot in film.shots() if shot.percent == 20)
    assert is_plausible(at_twenty.canary, of=at_twenty.requests, percent=20)
    assert caller.counts["failed"] == 0
    shown = figures(film)
    shown.pop(PROPAGATION)  # what Envoy holds for connections was not asked
    report.task(test="new connections follow", **shown)


@pytest.mark.task("tcp-traffic-shifting")
async def test_a_canary_that_takes_no_connections_is_taken_back(
    world: Mesh, report: Report
) -> None:
    async with echo(world, "v1") as seen:
        caller = Caller(door(world))
        await seen.put_on({"weight": 50, "hold": "2m"}, gates=GATES)

        async with caller.calling(per_second=50):
            await seen.want("v2")
            status = await seen.until_over()

    assert status["phase"] == "RolledBack"
    assert status["run"]["gates"][0]["verdict"] == "Fail"
    assert await seen.written_weights() == {"v1": 100, "v2": 0}
    report.task(
        test="a canary that takes no connections is taken back",
        requests=sum(caller.counts.values()),
        failed=caller.counts["failed"],
    )
