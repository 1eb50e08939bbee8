"""Copies of requests go to the canary; nobody is answered by it, and the gates judge it by them."""

from __future__ import annotations

import asyncio

import pytest

from tests.endtoend.hands import is_plausible
from tests.mesh.marks import ON_A_MESH
from tests.mesh.report import Report
from tests.mesh.test_request_routing import http, managed
from tests.testbed.mesh import Mesh

pytestmark = ON_A_MESH


@pytest.mark.task("mirroring")
async def test_copies_of_a_share_of_requests_go_to_the_canary_and_answer_nobody(
    world: Mesh, report: Report
) -> None:
    before = await http(world)
    load = await world.start_load(rps=300)
    steps = ({"mirror": 30, "hold": "6s"}, {"weight": 50, "hold": "4s"})
    await world.put_on(*steps)

    await world.want("v2")
    await world.until_step(1)
    await asyncio.sleep(1)
    copies, sent = await world.answered("v2"), (await load.answers())["v1"]
    await asyncio.sleep(3)
    copies, sent = await world.answered("v2") - copies, (await load.answers())["v1"] - sent
    answers = await load.answers()
    status = await world.until_over()
    await world.until_weights(v2=100)

    assert is_plausible(copies, of=sent, percent=30)
    assert answers.keys() == {"failed", "v1"}
    assert status["stableRevision"] == "v2"
    assert managed(await http(world)) == []
    assert len(await http(world)) == len(before)
    assert (await load.answers())["failed"] == 0
    report.task(
        test="copies answer nobody",
        requests=sent,
        failed=0,
        **{"written weight": "mirror 30", "measured share": f"{100 * copies / sent:.3g}"},
    )


@pytest.mark.task("mirroring")
async def test_a_canary_that_fails_copies_is_taken_back_before_it_answers_anybody(
    world: Mesh, report: Report
) -> None:
    await world.dial("v2", errorPercent=20)
    load = await world.start_load(rps=300)
    await world.put_on({"mirror": 50, "hold": "2m"}, {"weight": 50, "hold": "2m"})

    await world.want("v2")
    status = await world.until_over()

    assert status["phase"] == "RolledBack"
    assert status["history"][0]["maxWeight"] == 0
    assert "errors" in status["message"]
    answers = await load.answers()
    assert answers.keys() == {"failed", "v1"}
    assert answers["failed"] == 0
    report.task(
        test="a canary that fails copies is taken back",
        requests=answers["v1"],
        failed=answers["failed"],
        **{"written weight": "mirror 50, 0", "measured share": "0"},
    )
