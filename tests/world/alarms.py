"""Alarms in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from rollout.api.meta import Key
from rollout.ports import Clock


class FakeAlarms:
    """A ports.Alarms on the event loop's timers.

    Attributes:
        wishes: who wants to be woken when; a key leaves it when its alarm has rung.
        rung: every ring so far, oldest first.
    """

    def __init__(self, clock: Clock) -> None:
        self.wishes: dict[Key, datetime] = {}
        self.rung: list[tuple[datetime, Key]] = []
        self._clock = clock
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._ring: Callable[[Key], None] | None = None

    @asynccontextmanager
    async def running(self, ring: Callable[[Key], None]) -> AsyncIterator[None]:
        self._ring = ring
        for key in self.wishes:
            self._arm(key)
        try:
            yield
        finally:
            self._ring = None
            for timer in self._timers.values():
                timer.cancel()
            self._timers.clear()

    def set(self, key: Key, at: datetime) -> None:
        if self.wishes.get(key) == at:
            return
        self.wishes[key] = at
        if self._ring is not None:
            self._arm(key)

    def drop(self, key: Key) -> None:
        self.wishes.pop(key, None)
        if timer := self._timers.pop(key, None):
            timer.cancel()

    def _arm(self, key: Key) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()
        wait = (self.wishes[key] - self._clock.now()).total_seconds()
        loop = asyncio.get_running_loop()
        self._timers[key] = loop.call_later(max(0.0, wait), self._fire, key)

    def _fire(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.wishes.pop(key, None)
        self.rung.append((self._clock.now(), key))
        if self._ring is not None:
            self._ring(key)
