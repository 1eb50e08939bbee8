"""What happens to a run when processes around it, or the controller itself, are killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rollout.sandbox.processes import Command, Process
from tests.endtoend.hands import LEASES, Diary, Hands, gone, ladder, signal_to

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="session"),
]


async def test_a_controller_killed_in_mid_step_goes_on_where_it_was(world: Hands) -> None:
    first = await world.controller(identity="pod-0")
    await world.put_on(strategy=ladder((5, "2s"), (25, "4s"), (50, "2s"), (100, "1s")))
    before = await world.traffic()
    async with world.watching() as diary:
        await world.want("v2")
        began = (await world.until_step(2))["run"]
        await asyncio.sleep(1)

        signal_to(first, signal.SIGKILL)
        await gone(first)
        held = await world.weights()
        await world.controller(identity="pod-0")
        resumed = (await world.status())["run"]
        status = await world.until_over()

    assert held == {"v1": 75, "v2": 25}
    assert (resumed["id"], resumed["step"]) == ("1", 2)
    assert resumed["stepStartedAt"] == began["stepStartedAt"]
    assert status["history"][0]["outcome"] == "Promoted"
    assert diary.ladder("v2") == [0, 5, 25, 50, 100]
    assert len(status["history"]) == 1
    told = [message.split(" % ")[0] for message in await world.told("StepBegan")]
    assert sorted(told, key=int) == ["5", "25", "50", "100"]
    assert (await world.traffic() - before).failures == {}


async def test_a_controller_killed_again_and_again_skips_no_step(world: Hands) -> None:
    process = await world.controller(identity="pod-0")
    await world.put_on(strategy=ladder((5, "1s"), (25, "1s"), (50, "1s"), (100, "1s")))
    async with world.watching() as diary:
        await world.want("v2")
        for delay in (0.05, 0.3, 1.3, 0.9, 1.7):
            await asyncio.sleep(delay)
            signal_to(process, signal.SIGKILL)
            await gone(process)
            process = await world.controller(identity="pod-0")
        status = await world.until_over()

    assert status["history"][0]["outcome"] == "Promoted"
    assert diary.ladder("v2") == [0, 5, 25, 50, 100]
    steps = [e.object["status"]["run"]["step"] for e in diary.of("Rollout") if _run(e.object)]
    assert list(dict.fromkeys(steps)) == sorted(set(steps)) == [0, 1, 2, 3, 4]


def _run(rollout: dict[str, object]) -> bool:
    status = rollout.get("status")
    return isinstance(status, dict) and "run" in status


async def test_a_terminated_controller_ends_cleanly_and_lets_go_of_the_lease(world: Hands) -> None:
    process = await world.controller()
    await world.put_on(strategy=ladder((50, "30s")))
    await world.want("v2")
    await world.until_step(1)
    assert await _holder(world) != ""

    signal_to(process, signal.SIGTERM)
    seconds = await gone(process)
    begun = time.monotonic()
    other = await world.controller()
    await world.until_leads(other)

    print(f"SIGTERM to exit: {seconds:.2f} s")  # noqa: T201 - for the report
    print(f"start to leading: {time.monotonic() - begun:.2f} s")  # noqa: T201 - for the report
    assert process.returncode == 0
    assert seconds < 5
    assert time.monotonic() - begun < 10
    assert "Traceback" not in process.log.tail()
    assert await world.weights() == {"v1": 50, "v2": 50}


async def _holder(world: Hands) -> str:
    lease = await world.stage.client.call("GET", f"{LEASES}/round-{world.round}")
    return str(lease["spec"]["holderIdentity"])


async def test_a_standby_takes_over_from_a_killed_leader_and_does_nothing_before(
    world: Hands,
) -> None:
    leader = await world.controller()
    await world.put_on(strategy=ladder((25, "3s"), (50, "1s")))
    standby = await world.controller()
    async with world.watching() as diary:
        await world.want("v2")
        await world.until_step(1)
        assert await world.leads(leader)
        assert not await world.leads(standby)

        killed = time.time()
        signal_to(leader, signal.SIGKILL)
        await world.until_leads(standby)
        led = time.time()
        status = await world.until_over()

    print(f"takeover: {led - killed:.1f} s")  # noqa: T201 - for the report
    assert led - killed < 20
    assert [e for e in diary.entries if killed + 0.1 < e.at < led - 0.5] == []
    assert status["history"][0]["outcome"] == "Promoted"
    assert diary.ladder("v2") == [0, 25, 50, 100]
    lease = await world.stage.client.call("GET", f"{LEASES}/round-{world.round}")
    assert lease["spec"]["leaseTransitions"] == 1


@contextlib.asynccontextmanager
async def _stopped(process: Process) -> AsyncIterator[None]:
    """A process that is there and does nothing."""
    signal_to(process, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_to(process, signal.SIGCONT)


def _named(world: Hands, name: str) -> Process:
    return next(p for p in world.stage.processes if p.name.startswith(name))


def _argv(process: Process) -> list[str]:
    """The words with which it was started."""
    return Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")[:-1]


def _never_fell(diary: Diary) -> bool:
    return diary.ladder("v2") == sorted(diary.ladder("v2"))


async def test_a_run_holds_while_prometheus_hangs_and_goes_on_afterwards(world: Hands) -> None:
    await world.controller()
    await world.put_on(strategy=ladder((25, "1s"), (50, "1s")))
    async with world.watching() as diary:
        async with _stopped(_named(world, "prometheus")):
            await world.want("v2")
            held = await world.until(lambda s: "Prometheus" in s["message"])
            metrics = {c["type"]: c["status"] for c in held["conditions"]}["MetricsAvailable"]
            weights = await world.weights()
        status = await world.until_over()

    print(f"while it hangs: {held['message']}")  # noqa: T201 - for the report
    assert held["phase"] == "Progressing"
    assert metrics == "False"
    assert weights == {"v1": 75, "v2": 25}
    assert status["history"][0]["outcome"] == "Promoted"
    assert _never_fell(diary)


async def test_a_run_holds_while_prometheus_is_gone_and_goes_on_when_it_is_back(
    world: Hands,
) -> None:
    await world.controller()
    await world.put_on(strategy=ladder((25, "1s"), (50, "1s")))
    async with world.watching() as diary:
        await world.want("v2")
        await world.until_step(1)
        prometheus = _named(world, "prometheus")
        argv = _argv(prometheus)

        signal_to(prometheus, signal.SIGKILL)
        await gone(prometheus)
        held = await world.until(lambda s: "Prometheus" in s["message"])
        weights = await world.weights()
        url = f"{world.stage.prometheus_url}/-/ready"
        name = f"prometheus-{os.urandom(2).hex()}"
        await world.stage.start(
            Command(
                name=name,
                argv=argv,
                is_ready=lambda: world.stage.probe(url),
                port=prometheus.port,
            )
        )
        status = await world.until_over()

    print(f"while it is gone: {held['message']}")  # noqa: T201 - for the report
    assert held["phase"] == "Progressing"
    assert weights == {"v1": 75, "v2": 25}
    assert status["history"][0]["outcome"] == "Promoted"
    assert _never_fell(diary)


async def test_an_abort_needs_no_prometheus(world: Hands) -> None:
    await world.controller()
    await world.put_on(strategy=ladder((25, "30s"), (50, "1s")))
    await world.want("v2")
    await world.until_step(1)

    async with _stopped(_named(world, "prometheus")):
        await world.command("Abort", run="1")
        await world.settled(0, "v2")
        status = await world.until_over(seconds=10)

    assert status["history"][0]["outcome"] == "Aborted"


async def test_a_canary_whose_pods_are_all_gone_gets_no_traffic_until_they_are_back(
    world: Hands,
) -> None:
    await world.controller()
    await world.put_on(strategy=ladder((25, "30s"), (50, "1s")))
    await world.want("v2")
    await world.until_step(1)

    await world.stage.set_ready("v2", is_ready=False)
    status = await world.until(lambda s: s["phase"] == "Blocked")
    await world.settled(0, "v2")
    await world.stage.set_ready("v2", is_ready=True)
    await world.settled(25, "v2")

    assert status["message"].startswith(
        "all traffic is on v1 for now: v2 has no ready endpoint; make pods with "
    )


async def test_a_run_survives_an_api_server_that_hangs_for_a_while(world: Hands) -> None:
    await world.controller()
    await world.put_on(strategy=ladder((25, "1s"), (50, "1s")))
    async with world.watching() as diary:
        await world.want("v2")
        await world.until_step(1)

        async with _stopped(_named(world, "apiserver")):
            await asyncio.sleep(4)
        status = await world.until_over()

    assert status["history"][0]["outcome"] == "Promoted"
    assert diary.ladder("v2") == [0, 25, 50, 100]
