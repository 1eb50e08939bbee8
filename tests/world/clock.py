"""Simulated time: a clock that reads the event loop's, and a way to run a whole world in it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import looptime

T = TypeVar("T")

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
"""What the wall clock shows when the loop's time is 0."""


class FakeClock:
    """A ports.Clock whose time is the running event loop's.

    Under looptime (``@pytest.mark.looptime`` or `simulate`) the loop's time begins at 0 and jumps
    from timer to timer, so hours take milliseconds. Fixtures run in real time there: read the clock
    in the test, not in a fixture.

    Attributes:
        start: what `now` tells at loop time 0.
    """

    def __init__(self, *, start: datetime = START) -> None:
        self.start = start

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.monotonic_seconds())

    def monotonic_seconds(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward (or back, when negative); the monotonic clock goes on."""
        self.start += timedelta(seconds=seconds)


def simulate(main: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end in an event loop of its own with simulated time.

    For property tests, which start hundreds of worlds from one synchronous test function.
    """
    # Nothing outside the loop takes part, so it need not idle for 42 rounds before time moves.
    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(noop_cycles=1)) as runner:
        return runner.run(main)
