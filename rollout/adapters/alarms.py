"""Alarms over APScheduler: wakes keys at their time, late ones at once."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from apscheduler.executors.asyncio import AsyncIOExecutor
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from rollout.api.meta import Key

KEYS_MAX = 20_000
"""Alarms at one time; as many as the queue has keys."""


class SchedulerAlarms:
    """ports.Alarms: one date job per key, which replaces any earlier one of the key.

    ``misfire_grace_time=None`` matters: by default APScheduler silently drops what is a second
    late.
    """

    def __init__(self) -> None:
        # Its own lines say "Added job", "Running job" and so on for every wake-up.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler: AsyncIOScheduler | None = None
        self._ring: Callable[[Key], None] | None = None
        self._wishes: dict[Key, datetime] = {}

    @contextlib.asynccontextmanager
    async def running(self, ring: Callable[[Key], None]) -> AsyncIterator[None]:
        """While inside, alarms that are due call ``ring``; earlier wishes are kept."""
        self._ring = ring
        self._scheduler = AsyncIOScheduler(
            timezone="UTC",
            executors={"default": AsyncIOExecutor()},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.start()
        try:
            for key, at in tuple(self._wishes.items()):
                self._arm(key, at)
            yield
        finally:
            self._scheduler.shutdown(wait=False)
            self._scheduler = None
            self._ring = None

    def set(self, key: Key, at: datetime) -> None:
        """Wake a key at a time, instead of any earlier wish; an unchanged wish costs nothing."""
        if self._wishes.get(key) == at:
            return
        if key not in self._wishes and len(self._wishes) >= KEYS_MAX:
            return
        self._wishes[key] = at
        self._arm(key, at)

    def drop(self, key: Key) -> None:
        """Forget a key's alarm, if any."""
        if self._wishes.pop(key, None) is not None and self._scheduler is not None:
            with contextlib.suppress(LookupError):
                self._scheduler.remove_job(str(key))

    def _arm(self, key: Key, at: datetime) -> None:
        if self._scheduler is not None:
            self._scheduler.add_job(
                self._fire,
                "date",
                run_date=at,
                args=[key, at],
                id=str(key),
                replace_existing=True,
            )

    async def _fire(self, key: Key, at: datetime) -> None:
        """In the event loop itself: a plain function would be run in a pool of threads."""
        if self._wishes.get(key) != at:
            return
        del self._wishes[key]
        if self._ring is not None:
            self._ring(key)
