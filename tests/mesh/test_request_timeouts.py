"""Timeouts and retries of a guard stand on routes of ours; those that people wrote stay theirs."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.mesh.marks import ON_A_MESH
from tests.mesh.report import Report
from tests.mesh.test_request_routing import http, managed
from tests.testbed import istio
from tests.testbed.mesh import Mesh

pytestmark = ON_A_MESH

SLOW_MS = 3000


async def seconds_of_an_answer(world: Mesh, **headers: str) -> tuple[int, float]:
    """The status of an answer, and how long it took."""
    began = time.monotonic()
    status, _ = await world.ask(**headers)
    return status, time.monotonic() - began


@pytest.mark.task("request-timeouts")
async def test_a_guard_bounds_how_long_a_slow_canary_keeps_anybody_waiting(
    world: Mesh, report: Report
) -> None:
    await world.dial("v2", latencyMs=SLOW_MS)
    load = await world.start_load(rps=200)
    match = {"headers": {"x-canary": {"exact": "yes"}}}
    guard = {"timeout": "500ms"}
    await world.put_on({"match": match, "hold": "5s"}, {"weight": 20, "hold": "2m"}, guard=guard)

    await world.want("v2")
    await world.until_step(1)

    took: list[float] = []

    async def is_bounded() -> bool:
        code, seconds = await seconds_of_an_answer(world, **{"x-canary": "yes"})
        took.extend([seconds] if code == 504 else [])
        return len(took) == 2  # with a third one the gate would fail

    await istio.until(is_bounded, what="two timeouts")
    await world.start_load(rps=20, headers=("x-canary: yes",))
    status = await world.until_over()
    await world.until_weights(v1=100)
    await asyncio.sleep(1)
    await load.stop()

    assert all(0.4 < seconds < 2 for seconds in took)
    assert status["phase"] == "RolledBack"
    assert "errors" in status["message"]
    assert managed(await http(world)) == []
    counters = await load.counters()
    report.task(
        test="guard.timeout cuts a slow canary off",
        requests=counters["sent"],
        failed=(await load.answers())["failed"],
    )


async def test_a_timeout_and_retries_that_people_wrote_stay_as_they_are(world: Mesh) -> None:
    own = {"timeout": "7s", "retries": {"attempts": 1, "retryOn": "503"}}
    routes = await http(world)
    routes[0].update(own)
    await world.patch("virtualservices", {"spec": {"http": routes}})
    load = await world.start_load(rps=200)
    guard = {"timeout": "500ms", "retries": {"attempts": 3, "retryOn": "5xx"}}
    await world.put_on({"weight": 50, "hold": "4s"}, guard=guard)

    await world.want("v2")
    await world.until_at(50)
    during = await http(world)
    status = await world.until_over()

    assert managed(during) == []
    assert {key: during[0][key] for key in own} == own
    assert status["stableRevision"] == "v2"
    after = await http(world)
    assert {key: after[0][key] for key in own} == own
    assert (await load.answers())["failed"] == 0


@pytest.mark.task("request-timeouts")
async def test_retries_of_a_guard_spare_users_what_a_canary_fails_and_hide_nothing_from_gates(
    world: Mesh, report: Report
) -> None:
    await world.dial("v2", errorPercent=40)
    load = await world.start_load(rps=300)
    retries = {"attempts": 5, "retryOn": "5xx"}
    await world.put_on({"weight": 30, "hold": "2m"}, guard={"retries": retries})

    await world.want("v2")
    status = await world.until_over()
    await world.until_weights(v1=100)
    await load.stop()

    counters, answers = await load.counters(), await load.answers()
    assert status["phase"] == "RolledBack"
    assert managed(await http(world)) == []
    assert answers["failed"] < 0.02 * counters["sent"]
    report.task(
        test="guard.retries hide nothing from the gates",
        requests=counters["sent"],
        failed=answers["failed"],
    )
