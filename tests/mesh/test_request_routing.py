"""Requests that match go to the canary, through routes of ours that stand in front of the owned."""

from __future__ import annotations

import asyncio
import copy
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.mesh.marks import ON_A_MESH
from tests.mesh.report import Report
from tests.testbed import istio
from tests.testbed.mesh import Load, Mesh

pytestmark = ON_A_MESH

JASON = {"headers": {"end-user": {"exact": "jason"}}}
SAMPLES = (
    Path(os.environ.get("ROLLOUT_TEST_DATA", "/nonexistent")) / "istio/samples/bookinfo-networking"
)


async def http(world: Mesh) -> list[dict[str, Any]]:
    """The http routes as they stand."""
    found: list[dict[str, Any]] = (await world.get("virtualservices"))["spec"]["http"]
    return found


def managed(routes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that carry our name."""
    return [route for route in routes if route.get("name", "").startswith("rollout.dev/")]


async def until_jason_gets(world: Mesh, version: str) -> None:
    async def is_so() -> bool:
        return await world.ask(**{"end-user": "jason"}) == (200, version)

    await istio.until(is_so, what=f"{version} for jason")


async def gained(load: Load, *, seconds: float) -> dict[str, int]:
    """What was answered by whom in a while from now."""
    before = await load.answers()
    await asyncio.sleep(seconds)
    after = await load.answers()
    return {who: n for who in after if (n := after[who] - before.get(who, 0))}


@pytest.mark.task("request-routing")
async def test_requests_with_a_header_go_to_the_canary_and_no_other(
    world: Mesh, report: Report
) -> None:
    before = await http(world)
    everyone = await world.start_load(rps=200)
    jason = await world.start_load(rps=100, headers=("end-user: jason",))
    steps = ({"match": JASON, "hold": "4s"}, {"pause": {"for": "6s"}}, {"weight": 50, "hold": "4s"})
    await world.put_on(*steps)

    await world.want("v2")
    await world.until_step(2)
    matched, others = await gained(jason, seconds=2), await gained(everyone, seconds=2)
    standing = managed(await http(world))
    await world.until_step(3)
    await asyncio.sleep(1)
    half, still = await gained(everyone, seconds=2), await gained(jason, seconds=2)
    status = await world.until_over()
    await world.until_weights(v2=100)

    assert (set(matched), set(others)) == ({"v2"}, {"v1"})
    assert [route["match"] for route in standing] == [[JASON]]
    assert (set(half), set(still)) == ({"v1", "v2"}, {"v2"})
    assert status["stableRevision"] == "v2"
    after = await http(world)
    assert managed(after) == []
    for leg in (*before[0]["route"], *after[0]["route"]):
        leg.pop("weight", None)
    assert after == before
    failed = (await everyone.answers())["failed"] + (await jason.answers())["failed"]
    assert failed == 0
    report.task(
        test="a header match beside the weights",
        requests=sum((*matched.values(), *others.values(), *half.values(), *still.values())),
        failed=failed,
        **{"written weight": "0, 50, 100", "measured share": "jason 100, others 0"},
    )


async def test_a_cookie_chooses_the_canary_wherever_it_stands_among_others(world: Mesh) -> None:
    await world.put_on({"match": {"cookies": {"group": {"exact": "beta.1"}}}, "hold": "2m"})

    await world.want("v2")

    async def is_so() -> bool:
        return await world.ask(Cookie="a=1; group=beta.1; z=2") == (200, "v2")

    await istio.until(is_so, what="v2 for the cookie")
    assert await world.ask(Cookie="group=beta.1") == (200, "v2")
    for other in ("group=beta.11", "xgroup=beta.1", "group=betaX1", "a=group=beta.1"):
        assert await world.ask(Cookie=other) == (200, "v1"), other


async def test_a_managed_route_that_somebody_removes_is_put_back_and_an_abort_takes_it_away(
    world: Mesh,
) -> None:
    before = await http(world)
    await world.put_on({"match": JASON, "hold": "2m"})
    await world.want("v2")
    await until_jason_gets(world, "v2")

    await world.patch("virtualservices", {"spec": {"http": before}})
    await istio.until(lambda: _has_managed(world), what="the managed route again")
    await until_jason_gets(world, "v2")
    await world.tell("Abort")
    status = await world.until_over()

    assert status["phase"] == "RolledBack"
    assert await http(world) == before
    await until_jason_gets(world, "v1")


async def _has_managed(world: Mesh) -> bool:
    return bool(managed(await http(world)))


@pytest.mark.task("request-routing")
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="ROLLOUT_TEST_DATA does not name Istio's data")
async def test_istios_own_example_of_request_routing_keeps_its_rule_through_a_run(
    world: Mesh, report: Report
) -> None:
    sample = yaml.safe_load((SAMPLES / "virtual-service-reviews-test-v2.yaml").read_text())
    routes = sample["spec"]["http"]
    routes[-1]["route"].append({"destination": {"host": "reviews", "subset": "v3"}, "weight": 0})
    routes[-1]["route"][0]["weight"] = 100
    await world.patch("virtualservices", {"spec": {"http": copy.deepcopy(routes)}})
    await until_jason_gets(world, "v2")
    jason = await world.start_load(rps=100, headers=("end-user: jason",))
    everyone = await world.start_load(rps=200)
    await world.start_load(rps=50, headers=("x-vip: golden",))
    vip = {"match": {"headers": {"x-vip": {"prefix": "gold"}}}, "hold": "4s"}
    await world.put_on(vip, {"weight": 50, "hold": "3s"})

    await world.want("v3")
    await world.until_step(1)

    async def vip_gets_v3() -> bool:
        return await world.ask(**{"x-vip": "golden"}) == (200, "v3")

    await istio.until(vip_gets_v3, what="v3 for whom our match names")
    both = await world.ask(**{"x-vip": "golden", "end-user": "jason"})
    await world.until_over()
    await world.until_weights(v3=100)

    assert both == (200, "v2"), "the rule that stood first decides first"
    assert (await jason.answers()).keys() == {"failed", "v2"}
    assert (await jason.answers())["failed"] == 0
    assert (await http(world))[0] == routes[0]
    counts = await everyone.answers()
    assert counts["failed"] == 0
    report.task(
        test="Istio's virtual-service-reviews-test-v2",
        requests=sum((await jason.answers()).values()) + sum(counts.values()),
        failed=0,
        **{"written weight": "0, 50, 100", "measured share": "jason v2 100"},
    )
