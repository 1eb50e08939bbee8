"""Gray releases with real traffic, from the change of a revision to its end."""

from __future__ import annotations

import asyncio
import math
import statistics
import time

import pytest

from tests.endtoend.hands import Hands, is_plausible, ladder, moment

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(90),
    pytest.mark.asyncio(loop_scope="session"),
]

IN_FORCE_SECONDS = 1.0
"""A written weight is in force in Envoy after some tenths of a second."""


async def test_a_healthy_version_climbs_the_ladder_and_gets_the_share_that_is_written(
    world: Hands,
) -> None:
    await world.controller()
    steps = ((1, "5s"), (5, "3s"), (25, "3s"), (50, "3s"), (100, "5s"))  # whole seconds count
    await world.put_on(strategy=ladder(*steps))
    before = await world.traffic()

    async with world.watching() as diary:
        await world.want("v2")
        status = await world.until_over(seconds=60)

    assert status["phase"] == "Stable"
    assert status["stableRevision"] == "v2"
    assert status["history"][0]["outcome"] == "Promoted"
    assert diary.ladder("v2") == [0, 1, 5, 25, 50, 100]
    assert (await world.traffic() - before).failures == {}
    written = diary.weights("v2")[1:]
    ends = [at for at, _ in written[1:]] + [moment(status["run"]["endedAt"])]
    buckets = await world.seconds_of_traffic()
    for (at, weight), end in zip(written, ends, strict=True):
        seen = [t for s, t in buckets if s >= math.ceil(at + IN_FORCE_SECONDS) and s + 1 <= end]
        canary, stable = (sum(t.to(v) for t in seen) for v in ("v2", "v1"))
        print(f"written {weight} %: {canary} of {canary + stable}")  # noqa: T201 - for the report
        assert is_plausible(canary, of=canary + stable, percent=weight)
        assert canary + stable > 100


async def reaction(world: Hands) -> float:
    """Seconds from the sample that made a gate fail to the weight of 0; v3 is dialled bad."""
    async with world.watching() as diary:
        await world.want("v3")
        status = await world.until_over()

    assert diary.ladder("v3") == [0, 25, 0]
    gate = status["run"]["gates"][0]
    assert gate["verdict"] == "Fail"
    return diary.weights("v3")[-1][0] - moment(gate["failedSampleAt"])


async def test_a_version_that_fails_is_taken_back_by_its_gate_at_once(world: Hands) -> None:
    await world.stage.dial("v3", errorPercent=8)
    await world.controller()
    await world.put_on(strategy=ladder((25, "30s"), (100, "2s")))
    before = await world.traffic()

    seconds = await reaction(world)
    status = await world.status()

    print(f"reaction: {seconds:.3f} s")  # noqa: T201 - for the report
    assert 0 <= seconds <= 2
    assert status["phase"] == "RolledBack"
    assert status["history"][0]["outcome"] == "RolledBack"
    assert await world.weights() == {"v1": 100}
    assert set((await world.traffic() - before).failures) == {"v3"}
    assert sorted(told.partition(":")[0] for told in await world.told("RolledBack")) == [
        "all of reviews goes back to v1",
        "all of reviews is on v1",
    ]


async def abort(world: Hands) -> float:
    """Seconds from the command's creation to the weight of 0, of the run that is on."""
    run = (await world.until(lambda s: s.get("run", {}).get("weight") == 50))["run"]
    await world.settled(50, "v2")
    async with world.watching() as diary:
        begun = time.time()
        await world.command("Abort", run=run["id"])
        await world.settled(0, "v2")
        await world.until_over()

    return diary.weights("v2")[-1][0] - begun


async def test_an_abort_takes_the_traffic_back_at_once(world: Hands) -> None:
    await world.controller()
    await world.put_on(strategy=ladder((50, "60s"), (100, "2s")))
    await world.want("v2")

    took = [await abort(world)]
    for _ in range(2):
        run = (await world.status())["run"]["id"]
        await world.command("Retry", run=run)
        await world.until(lambda s, last=run: s["run"]["id"] != last)  # type: ignore[misc]
        took.append(await abort(world))

    print("abort:", " ".join(f"{each:.3f}" for each in took))  # noqa: T201 - for the report
    assert statistics.median(took) < 1
    assert await world.weights() == {"v1": 100}
    assert (await world.status())["history"][0]["outcome"] == "Aborted"


async def test_rollout_abort_returns_when_the_traffic_is_back(world: Hands) -> None:
    await world.controller()
    await world.put_on(strategy=ladder((50, "60s"), (100, "2s")))
    await world.want("v2")
    await world.until_step(1)

    begun = time.monotonic()
    told = await world.rollout("abort", "reviews", "--reason", "it looks odd")
    seconds = time.monotonic() - begun

    print(f"rollout abort: {seconds:.2f} s")  # noqa: T201 - for the report
    assert "reviews: v2 gets no traffic any more" in told
    assert await world.weights() == {"v1": 100}
    assert seconds < 10
    status = await world.until_over()
    assert "it looks odd" in status["history"][0]["because"]


async def test_another_revision_in_mid_run_takes_the_traffic_back_first(world: Hands) -> None:
    await world.controller()
    await world.put_on(strategy=ladder((50, "1s"), (100, "1s")))
    async with world.watching() as diary:
        await world.want("v2")
        await world.until_step(1)

        await world.want("v4")
        await world.until(lambda s: s["stableRevision"] == "v4")
        await asyncio.sleep(0.1)

    assert diary.ladder("v2") == [0, 50, 0]
    assert diary.ladder("v4") == [0, 50, 100]
    back, forth = diary.weights("v2")[-1][0], diary.weights("v4")[1][0]
    assert back < forth
