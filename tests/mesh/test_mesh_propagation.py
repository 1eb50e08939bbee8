"""On a real istiod: a run goes on when its proxies have what was written, and names who has not."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rollout.sandbox.stage_objects import collection
from tests.mesh.marks import ON_A_MESH
from tests.mesh.report import Report
from tests.testbed.film import figures, filming
from tests.testbed.mesh import Mesh
from tests.testbed.meshobjects import Manifest

pytestmark = ON_A_MESH

SETTLE_SECONDS = 1.0
"""What the bed's controller gives proxies where istiod does not tell."""

OLD_SECONDS = 16.0
"""After so long the controller takes a subset for known to all proxies, once they answer."""

RETURN_SECONDS_MAX = 30.0
"""How long a way back waits for proxies."""

BROKEN = {"response_headers_to_add": [{"header": {"key": ":path", "value": "no"}}]}
"""Of a route; istiod takes it for valid, and Envoy does not."""


def matches(status: Manifest) -> Manifest:
    """The condition TrafficMatches."""
    found = (c for c in status.get("conditions", ()) if c["type"] == "TrafficMatches")
    return next(found, {})


@contextlib.contextmanager
def frozen(world: Mesh) -> Iterator[str]:
    """The caller's Envoy stands still; gives its name as istiod knows it."""
    name = f"envoy-{world.cast.namespace}-client"
    (process,) = (one for one in world.processes.table if one.name == name)
    process.signal_group(signal.SIGSTOP)
    try:
        yield f"client-1.{world.cast.namespace}"
    finally:
        process.signal_group(signal.SIGCONT)


async def break_routes(world: Mesh) -> None:
    """Have istiod send the caller's Envoy routes that it rejects, from now on."""
    path = collection(filter_of(world))
    await world.bed.client.call("POST", path, body=filter_of(world))


async def mend_routes(world: Mesh) -> None:
    path = f"{collection(filter_of(world))}/broken"
    await world.bed.client.call("DELETE", path)


def filter_of(world: Mesh) -> dict[str, Any]:
    route = {"vhost": {"route": {"name": "primary"}}}
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "broken", "namespace": world.cast.namespace},
        "spec": {
            "workloadSelector": {"labels": {"app": "client"}},
            "configPatches": [
                {
                    "applyTo": "HTTP_ROUTE",
                    "match": {"context": "SIDECAR_OUTBOUND", "routeConfiguration": route},
                    "patch": {"operation": "MERGE", "value": BROKEN},
                }
            ],
        },
    }


async def without_subset(world: Mesh, name: str) -> list[Manifest]:
    """Take a subset out of the DestinationRule; gives all that were there."""
    subsets: list[Manifest] = (await world.get("destinationrules"))["spec"]["subsets"]
    kept = [one for one in subsets if one["name"] != name]
    await world.patch("destinationrules", {"spec": {"subsets": kept}})
    return subsets


@pytest.mark.task("traffic-shifting")
async def test_steps_wait_for_the_proxies_and_are_faster_than_the_settle_time(
    world: Mesh, report: Report
) -> None:
    weights = (10, 20, 30, 40, 50)
    load = await world.start_load(rps=300)
    await world.put_on(*({"weight": weight} for weight in weights), gates=[])
    await asyncio.sleep(OLD_SECONDS)

    async with filming(world, load) as film:
        wanted = time.monotonic()
        await world.want("v2")
        await world.until_over()
        await world.until_weights(v2=100)

    held = {percent: at for at, percent in film.held}
    written = {percent: at for at, percent in film.written}
    assert [percent for _, percent in film.written] == [0, *weights, 100]
    assert written[10] - wanted < SETTLE_SECONDS
    for low, high in itertools.pairwise((*weights, 100)):
        assert held[low] < written[high]
        assert written[high] - written[low] < SETTLE_SECONDS
    assert (await load.answers())["failed"] == 0
    report.task(test="steps wait for proxies", **figures(film))


async def test_the_condition_says_that_all_proxies_have_acknowledged(world: Mesh) -> None:
    load = await world.start_load(rps=100)
    await world.put_on({"weight": 50, "hold": "1m"})
    await world.want("v2")

    status = await world.until(lambda s: matches(s).get("reason") == "SeenByProxies", seconds=20)
    assert status["run"]["weight"] == 50
    seen = await world.until(lambda s: 40 < (s["run"].get("observedWeight") or 0) < 60, seconds=20)
    await load.stop()

    assert matches(seen)["status"] == "True"
    assert "50 % is written in every owned route" in matches(seen)["message"]
    assert "requests was observed" in matches(seen)["message"]
    assert "acknowledged by" in matches(seen)["message"]


async def test_no_weight_moves_before_a_frozen_proxy_has_the_new_subset(world: Mesh) -> None:
    subsets = await without_subset(world, "v2")
    await world.put_on({"weight": 50, "hold": "1m"})
    await world.want("v2")
    await world.until(lambda s: s["reason"] == "SubsetMissing")
    await asyncio.sleep(1)

    with frozen(world) as name:
        await world.patch("destinationrules", {"spec": {"subsets": subsets}})
        status = await world.until(lambda s: s["reason"] == "ProxySilent", seconds=20)
        await asyncio.sleep(3 * SETTLE_SECONDS)
        weights = await world.written_weights()

    assert weights.get("v2", 0) == 0
    assert status["phase"] == "Preparing"
    assert f"{name} has not acknowledged CDS" in status["message"]
    await world.until_weights(v1=50, v2=50)


async def test_a_subset_that_is_added_in_mid_run_takes_traffic_and_no_request_fails(
    world: Mesh,
) -> None:
    subsets = await without_subset(world, "v2")
    load = await world.start_load(rps=400)
    await world.put_on({"weight": 50, "hold": "3s"})
    await world.want("v2")
    await world.until(lambda s: s["reason"] == "SubsetMissing")
    await asyncio.sleep(1)

    await world.patch("destinationrules", {"spec": {"subsets": subsets}})
    added = time.monotonic()
    await world.until_at(50)
    took = time.monotonic() - added
    await asyncio.sleep(3)
    await load.stop()

    # A push of about the same second may be one without it: the settle time is the least.
    assert took < SETTLE_SECONDS + 1
    assert (await load.answers())["failed"] == 0


async def test_routes_that_a_proxy_rejects_hold_the_run_with_its_words_until_they_are_mended(
    world: Mesh,
) -> None:
    await world.put_on({"weight": 10}, {"weight": 50, "hold": "2s"}, gates=[])
    await break_routes(world)
    await asyncio.sleep(1)

    await world.want("v2")
    status = await world.until(lambda s: s["reason"] == "ProxyRejects", seconds=20)
    await asyncio.sleep(3 * SETTLE_SECONDS)
    held = await world.weights()
    later = await world.status()

    assert f"client-1.{world.cast.namespace} has rejected RDS" in status["message"]
    assert ":path" in status["message"] or "header" in status["message"]
    assert matches(status)["status"] == "False"
    assert matches(status)["reason"] == "ProxyRejects"
    assert (later["run"]["weight"], later["reason"]) == (10, "ProxyRejects")
    assert held == {"v1": 100}

    await mend_routes(world)
    await world.until_over()
    await world.until_weights(v2=100)


async def test_the_deadline_runs_while_a_proxy_is_frozen_and_the_way_back_ends_without_it(
    world: Mesh,
) -> None:
    strategy = {"steps": [{"weight": 10}], "maxDuration": "8s", "bake": "0s"}
    await world.put_on(gates=[], strategy=strategy)

    await world.want("v2")
    await world.until_at(0)
    await world.until_at(10)
    with frozen(world) as name:
        status = await world.until(lambda s: s["phase"] == "RollingBack", seconds=60)
        begun = time.monotonic()
        over = await world.until_over()
        took = time.monotonic() - begun

    assert "not promoted within maxDuration (8s)" in status["message"]
    assert abs(took - RETURN_SECONDS_MAX) < 3
    assert f"{name} has not acknowledged RDS" in over["message"]
    await world.until_weights(v1=100)


async def test_an_abort_is_over_when_the_proxies_have_it(world: Mesh) -> None:
    load = await world.start_load(rps=200)
    await world.put_on({"weight": 50, "hold": "2m"})
    await world.want("v2")
    await world.until_weights(v1=50, v2=50)
    await asyncio.sleep(2)

    begun = time.monotonic()
    await world.tell("Abort")
    status = await world.until_over()
    took = time.monotonic() - begun
    held = await world.weights()
    await load.stop()

    assert took < SETTLE_SECONDS + 1
    assert held == {"v1": 100}
    assert matches(status)["reason"] == "SeenByProxies"
    assert (await load.answers())["failed"] == 0
