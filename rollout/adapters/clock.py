"""The real clock; the only place that asks for the time of day, and the only one that sleeps."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """A ports.Clock on the machine's clocks.

    The monotonic clock stands still while a machine is suspended. What must not outlive such a
    pause (leadership) is therefore fenced by resource versions as well.
    """

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return datetime.now(UTC)

    def monotonic_seconds(self) -> float:
        """Seconds since some moment in the past; never jumps."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait; nothing at all when the time is over already, but let others run."""
        await asyncio.sleep(max(0.0, seconds))
