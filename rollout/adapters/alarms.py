"""Alarms over APScheduler: one date job a key, in memory; it wakes, and decides nothing.

After a restart the alarms are set again from what the statuses say, so nothing needs to be stored.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from rollout.api.meta import Key

INSTANCE_COUNT_MAX = 1_000
"""Rings of one key under way at once, as the scheduler counts them. It skips - loses - what is
above, and it counts a ring until the loop has gone round once more: with the usual 1, a key that is
set anew for an instant in the past while it rings would sleep for ever. More than two are never
seen, and a ring whose wish was replaced does nothing."""


class SchedulerAlarms:
    """A ports.Alarms.

    Wishes may be set before and after it runs; they ring only while it does. A wish that is
    repeated unchanged costs a look into a dictionary, so a thousand keys may be set anew each
    second.
    """

    def __init__(self) -> None:
        self._wishes: dict[Key, datetime] = {}
        self._scheduler: AsyncIOScheduler | None = None
        self._ring: Callable[[Key], None] | None = None

    @asynccontextmanager
    async def running(self, ring: Callable[[Key], None]) -> AsyncIterator[None]:
        """While inside, alarms that are due call ``ring`` in the event loop, late ones at once."""
        assert self._scheduler is None, "it runs once at a time"
        # It tells of every job at level INFO; that is each look at each Rollout.
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={
                "coalesce": True,
                # The default grace of one second silently drops what is later than that.
                "misfire_grace_time": None,
                "max_instances": INSTANCE_COUNT_MAX,
            },
        )
        self._ring = ring
        self._scheduler = scheduler
        scheduler.start()
        for key, at in self._wishes.items():
            self._arm(scheduler, key, at)
        try:
            yield
        finally:
            self._scheduler = self._ring = None
            scheduler.shutdown(wait=False)

    def set(self, key: Key, at: datetime) -> None:
        """Wake a key at a time, instead of any earlier wish for this key."""
        if self._wishes.get(key) == at:
            return
        self._wishes[key] = at
        if self._scheduler is not None:
            self._arm(self._scheduler, key, at)

    def drop(self, key: Key) -> None:
        """Forget a key's alarm, if any."""
        known = self._wishes.pop(key, None) is not None
        if known and self._scheduler is not None and self._scheduler.get_job(str(key)):
            self._scheduler.remove_job(str(key))

    def _arm(self, scheduler: AsyncIOScheduler, key: Key, at: datetime) -> None:
        scheduler.add_job(
            self._fire,
            trigger="date",
            run_date=at,
            id=str(key),
            name=str(key),
            replace_existing=True,
            args=(key, at),
        )

    async def _fire(self, key: Key, at: datetime) -> None:
        """Rings; a coroutine, so that the scheduler runs it in the loop and in no thread.

        It may have been under way when the wish changed: then the wish that replaced it rings.
        """
        if self._wishes.get(key) != at:
            return
        del self._wishes[key]
        if self._ring is not None:
            self._ring(key)
