"""A guard acts in Envoy from before the canary's first request until after its last one."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from rollout.sandbox.stage_objects import PORT
from tests.mesh.marks import ON_A_MESH
from tests.mesh.report import NOBODY, Report, blame
from tests.testbed import istio
from tests.testbed.film import figures, filming
from tests.testbed.mesh import Mesh

pytestmark = ON_A_MESH

TIGHT = {
    "connectionPool": {
        "tcp": {"maxConnections": 1},
        "http": {"http1MaxPendingRequests": 1, "maxRequestsPerConnection": 1},
    }
}
"""Istio's own sample: more than one request at a time is refused."""

STRICT = {
    "outlierDetection": {
        "consecutive5xxErrors": 1,
        "interval": "1s",
        "baseEjectionTime": "2m",
        "maxEjectionPercent": 100,
    }
}

GENEROUS = {
    "connectionPool": {
        "tcp": {"maxConnections": 1000},
        "http": {"http1MaxPendingRequests": 1000, "http2MaxRequests": 1000},
    },
    "outlierDetection": {"consecutive5xxErrors": 20, "interval": "1s"},
}


async def policy(world: Mesh) -> Any:
    """What stands in the DestinationRule for the canary's subset; None: nothing."""
    subsets = (await world.get("destinationrules"))["spec"]["subsets"]
    return next(one for one in subsets if one["name"] == "v2").get("trafficPolicy")


async def stats(world: Mesh) -> dict[str, int]:
    """What the caller's Envoy has counted for the canary's cluster."""
    assert world.sidecar is not None
    prefix = f"cluster.outbound|{PORT}|v2|{world.host};."
    async with world.bed.session.get(f"{world.sidecar.admin_url}/stats?format=json") as answer:
        found = orjson.loads(await answer.read())["stats"]
    return {
        one["name"].removeprefix(prefix).lstrip("."): one["value"]
        for one in found
        if one.get("name", "").startswith(prefix) and "value" in one
    }


async def is_guarded(world: Mesh) -> bool:
    """Whether Envoy holds a bound of connections, or an ejection, for the canary's cluster."""
    assert world.sidecar is not None
    url = f"{world.sidecar.admin_url}/config_dump?resource=dynamic_active_clusters"
    async with world.bed.session.get(url) as answer:
        dump = orjson.loads(await answer.read())
    name = f"outbound|{PORT}|v2|{world.host}"
    clusters = (one["cluster"] for one in dump["configs"])
    cluster = next(one for one in clusters if one["name"] == name)
    bounds = cluster.get("circuit_breakers", {}).get("thresholds", [{}])
    unbounded = 2**32 - 1
    is_bounded = any(one.get("max_connections", unbounded) < unbounded for one in bounds)
    return is_bounded or "outlier_detection" in cluster


async def until_unguarded(world: Mesh) -> None:
    async def is_free() -> bool:
        return not await is_guarded(world)

    await istio.until(is_free, what="the end of the guard in Envoy")


@pytest.mark.task("circuit-breaking")
async def test_a_canary_whose_pool_overflows_is_taken_back_peers_181(
    world: Mesh, report: Report
) -> None:
    await world.dial("v2", latencyMs=50)
    load = await world.start_load(rps=200)
    await world.put_on({"weight": 50, "hold": "2m"}, guard=TIGHT)

    await world.want("v2")
    await world.until_at(50)
    guarded = await policy(world), await is_guarded(world)
    status = await world.until_over()
    await until_unguarded(world)
    await load.stop()

    assert guarded == (TIGHT, True)
    assert status["phase"] == "RolledBack"
    assert status["run"]["gates"][0]["verdict"] == "Fail"
    assert (await stats(world))["upstream_rq_pending_overflow"] > 0
    assert await policy(world) is None
    assert (await world.written_weights())["v2"] == 0
    counters = await load.counters()
    assert set(counters["answers"][NOBODY]) == {"503"}
    by_version, _ = blame(counters)
    assert by_version == {}, "neither version failed a request itself"
    report.task(
        test="a pool that overflows is the canary's failure",
        requests=counters["sent"],
        failed=sum(counters["answers"][NOBODY].values()),
    )


@pytest.mark.task("circuit-breaking")
async def test_a_canary_whose_hosts_are_ejected_is_taken_back_peers_181(
    world: Mesh, report: Report
) -> None:
    load = await world.start_load(rps=200)
    await world.put_on({"weight": 20, "hold": "2m"}, guard=STRICT)
    await world.want("v2")
    await world.until_at(20)
    await world.until_weights(v1=80, v2=20)

    await world.dial("v2", errorPercent=100)
    status = await world.until_over()
    ejected = (await stats(world))["outlier_detection.ejections_enforced_total"]
    await until_unguarded(world)
    await load.stop()

    assert status["phase"] == "RolledBack"
    assert status["run"]["gates"][0]["verdict"] == "Fail"
    assert ejected > 0
    assert await policy(world) is None
    counters = await load.counters()
    by_version, otherwise = blame(counters)
    found_no_host, failed = sum(otherwise.values()), sum(by_version.values())
    assert set(by_version) == {"v2"}
    assert found_no_host > failed, "users were sent to no failing host for long"
    report.task(
        test="an ejected host is the canary's failure",
        requests=counters["sent"],
        failed=failed + found_no_host,
    )


@pytest.mark.task("circuit-breaking")
async def test_a_guard_that_is_put_on_and_taken_off_under_load_loses_no_request(
    world: Mesh, report: Report
) -> None:
    load = await world.start_load(rps=400)
    before = (await world.get("destinationrules"))["spec"]
    await world.put_on({"weight": 10, "hold": "4s"}, {"weight": 50, "hold": "4s"}, guard=GENEROUS)

    async with filming(world, load) as film:
        await world.want("v2")
        await world.until_at(10)
        guarded = await policy(world), await is_guarded(world)
        status = await world.until_over()
        await world.until_weights(v2=100)
        await until_unguarded(world)
        await asyncio.sleep(2)
    await load.stop()

    assert guarded == (GENEROUS, True)
    assert status["stableRevision"] == "v2"
    assert (await world.get("destinationrules"))["spec"] == before
    assert blame(await load.counters()) == ({}, {})
    assert (await load.answers())["failed"] == 0
    report.task(test="a guard put on and taken off under load", **figures(film))
