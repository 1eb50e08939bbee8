"""Retries on a route answer callers well, and do not keep a failing canary from being seen."""

from __future__ import annotations

import pytest

from tests.mesh.marks import ON_A_MESH
from tests.mesh.report import Report
from tests.testbed.mesh import Mesh

pytestmark = ON_A_MESH

RETRIES = {"attempts": 9, "retryOn": "5xx"}
FAILED_PERCENT_MAX = 1.0
"""What the gate allows, and callers see less than."""


async def with_retries(world: Mesh) -> None:
    http = world.routes(v1=100, v2=0)
    for route in http:
        route["retries"] = RETRIES
    await world.patch("virtualservices", {"spec": {"http": http}})


@pytest.mark.task("request-timeouts")
async def test_a_canary_that_fails_half_of_its_attempts_is_taken_back_though_callers_see_little(
    world: Mesh, report: Report
) -> None:
    await with_retries(world)
    await world.dial("v2", errorPercent=50)
    load = await world.start_load(rps=300)
    await world.put_on({"weight": 10, "hold": "30s"}, {"weight": 50, "hold": "30s"})

    await world.want("v2")
    status = await world.until_over()

    answers = await load.answers()
    seen = status["run"]["gates"][0]["because"]
    assert status["phase"] == "RolledBack"
    assert status["history"][0]["maxWeight"] == 10
    assert "attempts failed" in seen
    assert "retries hide it from callers" in seen
    assert 100 * answers["failed"] / sum(answers.values()) < FAILED_PERCENT_MAX
    report.task(
        test="retries hide nothing",
        requests=sum(answers.values()),
        failed=answers["failed"],
        **{"written weight": 10},
    )


@pytest.mark.task("request-timeouts")
async def test_a_good_canary_is_promoted_over_a_route_that_retries(
    world: Mesh, report: Report
) -> None:
    await with_retries(world)
    load = await world.start_load(rps=300)
    await world.put_on({"weight": 10, "hold": "3s"}, {"weight": 50, "hold": "3s"})

    await world.want("v2")
    status = await world.until_over()

    assert status["stableRevision"] == "v2"
    assert (await load.answers())["failed"] == 0
    report.task(test="a good canary over retries", failed=0)
