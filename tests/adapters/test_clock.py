"""The real clock."""

from __future__ import annotations

from datetime import UTC

from rollout.adapters.clock import SystemClock
from rollout.ports import Clock


async def test_the_clock_tells_utc_and_its_monotonic_time_rises_while_it_sleeps() -> None:
    clock: Clock = SystemClock()
    before = clock.monotonic_seconds()

    await clock.sleep(0.01)
    await clock.sleep(-5)

    assert clock.monotonic_seconds() - before >= 0.009
    assert clock.now().tzinfo is UTC
