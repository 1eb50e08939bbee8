"""Under load through every ending of a run: no request fails that a version did not fail itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.mesh.marks import ON_A_MESH
from tests.mesh.report import Report, blame
from tests.testbed.mesh import Load, Mesh

pytestmark = ON_A_MESH

RPS = 400.0

LADDER = ({"weight": 10, "hold": "3s"}, {"weight": 50, "hold": "3s"})
"""Then 100 percent, as every run."""

SLOW = ({"weight": 25, "hold": "2m"},)
"""For what comes to a run from outside."""

SETTLE_SECONDS = 2.0
"""After an ending, so that what it may break is asked for."""


async def promotion(world: Mesh) -> None:
    await world.put_on(*LADDER)
    await world.want("v2")
    status = await world.until_over()
    assert status["stableRevision"] == "v2"
    await world.until_weights(v2=100)


async def rollback(world: Mesh) -> None:
    await world.dial("v3", errorPercent=10)
    await world.put_on(*SLOW)
    await world.want("v3")
    status = await world.until_over()
    assert status["phase"] == "RolledBack"
    await world.until_weights(v1=100)


async def abort(world: Mesh) -> None:
    await world.put_on(*SLOW)
    await world.want("v2")
    await world.until_at(25)
    await asyncio.sleep(2)
    await world.tell("Abort")
    await world.until_over()
    await world.until_weights(v1=100)


async def supersession(world: Mesh) -> None:
    await world.put_on(*LADDER)
    await world.want("v2")
    await world.until_at(50)
    await world.want("v3")
    await world.until(lambda s: s.get("stableRevision") == "v3" and s["phase"] == "Stable")
    await world.until_weights(v3=100)


async def deletion(world: Mesh) -> None:
    await world.put_on(*SLOW)
    await world.want("v2")
    await world.until_at(25)
    await asyncio.sleep(2)
    await world.remove_rollout()
    await world.until_weights(v1=100)


async def controller_kill(world: Mesh) -> None:
    await world.put_on(*LADDER)
    await world.want("v2")
    await world.until_at(10)
    await world.bed.replace_controller()
    status = await world.until_over()
    assert status["stableRevision"] == "v2"
    await world.until_weights(v2=100)


@pytest.mark.parametrize(
    "ending",
    [promotion, rollback, abort, supersession, deletion, controller_kill],
    ids=lambda ending: ending.__name__.replace("_", "-"),
)
async def test_no_request_is_lost_through(
    ending: Callable[[Mesh], Awaitable[None]], world: Mesh, report: Report
) -> None:
    load = await world.start_load(rps=RPS)

    await ending(world)
    await asyncio.sleep(SETTLE_SECONDS)
    await load.stop()

    counters = await load.counters()
    by_version, otherwise = blame(counters)
    report.ending(ending.__name__, requests=counters["sent"], by=by_version, otherwise=otherwise)
    assert counters["sent"] > 3 * RPS
    assert otherwise == {}
    assert set(by_version) <= ({"v3"} if ending is rollback else set())


async def test_the_unsafe_order_loses_requests_and_the_same_counting_sees_it(
    world: Mesh, report: Report
) -> None:
    subsets = (await world.get("destinationrules"))["spec"]["subsets"]
    without = [one for one in subsets if one["name"] != "v2"]
    await world.patch("destinationrules", {"spec": {"subsets": without}})
    await asyncio.sleep(SETTLE_SECONDS)
    load: Load = await world.start_load(rps=RPS)
    await asyncio.sleep(1)

    await world.set_weights(v1=50, v2=50)
    await asyncio.sleep(0.5)
    await world.patch("destinationrules", {"spec": {"subsets": subsets}})
    await asyncio.sleep(SETTLE_SECONDS)
    await load.stop()

    counters = await load.counters()
    by_version, otherwise = blame(counters)
    report.ending("unsafe order", requests=counters["sent"], by=by_version, otherwise=otherwise)
    assert by_version == {}
    assert otherwise["503"] > 0
