"""What every ports.Alarms does: the real one and the fake, both in short real waits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from rollout.adapters.alarms import SchedulerAlarms
from rollout.adapters.clock import SystemClock
from rollout.api.meta import Key
from rollout.ports import Alarms, Clock
from tests.world.alarms import FakeAlarms
from tests.world.clock import FakeClock

A, B = Key("shop", "a"), Key("shop", "b")
SOON = timedelta(seconds=0.05)

World = tuple[Alarms, Clock]


def real() -> World:
    return SchedulerAlarms(), SystemClock()


def fake() -> World:
    clock = FakeClock()
    return FakeAlarms(clock), clock


@pytest.fixture(params=[real, fake], ids=["real", "fake"])
def make(request: pytest.FixtureRequest) -> Callable[[], World]:
    made: Callable[[], World] = request.param
    return made


class Bell:
    """Remembers who was woken, and when."""

    def __init__(self, clock: Clock) -> None:
        self.rung: list[Key] = []
        self.at: list[float] = []
        self._clock = clock
        self._heard = asyncio.Event()

    def __call__(self, key: Key) -> None:
        self.rung.append(key)
        self.at.append(self._clock.monotonic_seconds())
        self._heard.set()

    async def hear(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.rung) < count:
                self._heard.clear()
                await self._heard.wait()


async def test_it_rings_at_its_time_and_not_before(make: Callable[[], World]) -> None:
    alarms, clock = make()
    bell = Bell(clock)

    async with alarms.running(bell):
        began = clock.monotonic_seconds()
        alarms.set(A, clock.now() + SOON)
        await bell.hear(1)

    assert bell.rung == [A]
    assert bell.at[0] - began >= SOON.total_seconds() - 0.01


async def test_what_is_late_rings_at_once(make: Callable[[], World]) -> None:
    alarms, clock = make()
    bell = Bell(clock)
    alarms.set(A, clock.now() - timedelta(days=3))

    async with alarms.running(bell):
        await bell.hear(1)
        alarms.set(B, clock.now() - timedelta(days=3))
        await bell.hear(2)

    assert bell.rung == [A, B]


async def test_a_later_wish_replaces_an_earlier_one(make: Callable[[], World]) -> None:
    alarms, clock = make()
    bell = Bell(clock)

    async with alarms.running(bell):
        alarms.set(A, clock.now() + SOON)
        alarms.set(A, clock.now() + timedelta(hours=1))
        alarms.set(B, clock.now() + 3 * SOON)
        await bell.hear(1)

    assert bell.rung == [B]


async def test_an_earlier_wish_replaces_a_later_one(make: Callable[[], World]) -> None:
    alarms, clock = make()
    bell = Bell(clock)

    async with alarms.running(bell):
        alarms.set(A, clock.now() + timedelta(hours=1))
        alarms.set(A, clock.now() + SOON)
        await bell.hear(1)

    assert bell.rung == [A]


async def test_a_dropped_alarm_does_not_ring_and_dropping_none_is_no_error(
    make: Callable[[], World],
) -> None:
    alarms, clock = make()
    bell = Bell(clock)

    async with alarms.running(bell):
        alarms.drop(B)
        alarms.set(A, clock.now() + SOON)
        alarms.drop(A)
        alarms.set(B, clock.now() + 3 * SOON)
        await bell.hear(1)

    assert bell.rung == [B]


async def test_it_rings_again_when_it_is_set_again_even_from_the_ring_itself(
    make: Callable[[], World],
) -> None:
    alarms, clock = make()
    bell = Bell(clock)

    def ring(key: Key) -> None:
        bell(key)
        if len(bell.rung) < 3:
            alarms.set(key, clock.now())

    async with alarms.running(ring):
        alarms.set(A, clock.now())
        await bell.hear(3)

    assert bell.rung == [A, A, A]


async def test_nothing_rings_after_the_end(make: Callable[[], World]) -> None:
    alarms, clock = make()
    bell = Bell(clock)

    async with alarms.running(bell):
        alarms.set(A, clock.now() + SOON)
    await clock.sleep(2 * SOON.total_seconds())

    assert bell.rung == []


async def test_a_thousand_wishes_repeated_each_second_cost_nothing_much() -> None:
    alarms = SchedulerAlarms()
    clock = SystemClock()
    keys = [Key("shop", str(number)) for number in range(1000)]
    later = clock.now() + timedelta(hours=1)

    async with alarms.running(lambda _key: None):
        for key in keys:
            alarms.set(key, later)
        began = time.process_time()
        for _ in range(10):
            for key in keys:
                alarms.set(key, later)
        spent = time.process_time() - began

    assert spent < 1.0


async def test_the_scheduler_says_nothing_of_its_jobs(caplog: pytest.LogCaptureFixture) -> None:
    alarms, clock = real()
    bell = Bell(clock)

    with caplog.at_level(logging.INFO, logger="root"):
        async with alarms.running(bell):
            alarms.set(A, clock.now())
            await bell.hear(1)

    assert caplog.records == []
