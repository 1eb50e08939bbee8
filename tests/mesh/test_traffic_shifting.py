"""Weights written to a real API server are followed by a real Envoy, through a real istiod."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from rollout.base.errors import RolloutError
from tests.testbed import istio
from tests.testbed.mesh import Mesh

WHY_NOT = istio.why_not()

pytestmark = [
    pytest.mark.servers,
    pytest.mark.mesh,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is there"),
]

REQUESTS = 3_000
"""At a share of one half its spread is 0.9 percent."""

POINTS_OFF_MAX = 4.5
"""Five spreads: chance alone goes beyond it once in millions."""


async def test_each_weight_is_the_share_of_requests_and_none_is_lost(
    world: Mesh, record_property: Callable[[str, object], None]
) -> None:
    load = await world.start_load(rps=300)
    shares, failed_count = {}, 0

    for weight in (10, 50, 90, 100, 0):
        start = time.monotonic()
        await world.set_weights(v1=100 - weight, v2=weight)
        await world.until_weights(v1=100 - weight, v2=weight)
        record_property(f"seconds to {weight} percent", time.monotonic() - start)
        counts = await load.until_sent(REQUESTS)
        shares[weight] = 100 * counts.get("v2", 0) / sum(counts.values())
        failed_count += counts["failed"]

    record_property("shares", shares)
    assert failed_count == 0
    for weight, share in shares.items():
        assert share == pytest.approx(weight, abs=POINTS_OFF_MAX)


async def test_a_write_reaches_the_next_requests_in_a_moment(
    world: Mesh, record_property: Callable[[str, object], None]
) -> None:
    seconds = []

    for number in range(10):
        version, other = ("v2", "v1") if number % 2 == 0 else ("v1", "v2")
        start = time.monotonic()
        await world.set_weights(**{version: 100, other: 0})
        while await world.ask() != (200, version):
            assert time.monotonic() - start < istio.READY_SECONDS_MAX
        seconds.append(time.monotonic() - start)

    record_property("seconds from write to first request", sorted(seconds))
    assert len(seconds) == 10


async def test_istios_webhook_refuses_weights_that_add_up_to_nothing(world: Mesh) -> None:
    with pytest.raises(RolloutError, match="total destination weight = 0"):
        await world.set_weights(v1=0, v2=0)

    assert await world.weights() == {"v1": 100}


async def test_a_rollout_climbs_its_ladder_on_the_real_mesh(world: Mesh) -> None:
    load = await world.start_load(rps=300)
    await world.put_on({"weight": 10, "hold": "5s"}, {"weight": 50, "hold": "5s"})

    await world.want("v2")
    status = await world.until_over()

    assert status["stableRevision"] == "v2"
    assert await world.weights() == {"v2": 100}
    assert (await load.answers())["failed"] == 0
