"""Goes round with messages, some Rollouts at a time, beside everything else.

Nobody waits for it. Whoever does not answer for a Rollout is left alone for a while, longer each
time; who asks for patience gets it; who says no is asked again in minutes. One Rollout's receiver
holds no other's up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from rollout.api.meta import Key
from rollout.base.errors import Overloaded, Retry, RolloutError
from rollout.ports import Clock

AT_ONCE_COUNT_MAX = 16
"""Rollouts under way at one time."""

BACK_OFF_SECONDS_MIN, BACK_OFF_SECONDS_MAX = 1.0, 60.0
"""How long a receiver that does not answer is left alone; doubled each time."""

TOLD_SECONDS = 30.0
"""A back-off from which it is told that nobody answers: half a minute of tries came before."""

REFUSED_SECONDS = 300.0
"""How long a Rollout waits whose messages were refused: somebody has to mend something first."""

RETRY_AFTER_SECONDS_MAX = 3600.0
"""The longest patience that is granted."""

TIMER_SECONDS = 0.001
"""What a timer may be early by: sleeping for less than it can tell would not let time pass."""

AGAIN_SECONDS_MIN = 0.05
"""The least time between two visits to one Rollout that asks for another."""

Deliver = Callable[[Key], Awaitable[float | None]]
"""Tells what is left to tell of a Rollout; gives when to come again, in seconds, or None."""

log = structlog.get_logger(__name__)


class Rounds:
    """Calls ``deliver`` for every Rollout that has something to tell.

    Args:
        name: whom it tells, for logs.
        deliver: tells.
        failed: is told why a Rollout's messages were refused; an empty text: they were not.
        clock: time.
    """

    def __init__(
        self, name: str, deliver: Deliver, failed: Callable[[Key, str], object], clock: Clock
    ) -> None:
        self._name = name
        self._deliver = deliver
        self._failed = failed
        self._clock = clock
        self._due: dict[Key, float] = {}
        self._busy: set[Key] = set()
        self._back_off_seconds: dict[Key, float] = {}
        self._opens: dict[Key, float] = {}
        self._stirred = asyncio.Event()

    def stir(self, key: Key) -> None:
        """Something may be to be told of a Rollout."""
        now = self._clock.monotonic_seconds()
        self._due[key] = max(now, self._opens.get(key, now))
        self._stirred.set()

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        for known in (self._due, self._opens, self._back_off_seconds):
            known.pop(key, None)

    @property
    def waiting_count(self) -> int:
        """Rollouts with something to tell."""
        return len(self._due) + len(self._busy)

    async def run(self) -> None:
        """Go round, for ever."""
        self._busy.clear()
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._stirred.clear()
                wait = self._begin(tasks)
                await self._sleep(wait)

    def _begin(self, tasks: asyncio.TaskGroup) -> float | None:
        """Begin with those that are due; seconds until more are, or None."""
        now = self._clock.monotonic_seconds()
        for key, due in sorted(self._due.items(), key=lambda pair: pair[1]):
            if len(self._busy) >= AT_ONCE_COUNT_MAX:
                return None
            if key in self._busy or due > now + TIMER_SECONDS:
                continue
            del self._due[key]
            self._busy.add(key)
            tasks.create_task(self._one(key))
        waits = [due - now for key, due in self._due.items() if key not in self._busy]
        return max(0.0, min(waits)) if waits else None

    async def _sleep(self, seconds: float | None) -> None:
        """Until something is due, or somebody has something to tell."""
        if seconds is None:
            await self._stirred.wait()
            return
        try:
            async with asyncio.timeout(seconds):
                await self._stirred.wait()
        except TimeoutError:
            return

    async def _one(self, key: Key) -> None:
        try:
            again = await self._try(key)
        finally:
            self._busy.discard(key)
            self._stirred.set()
        if again is not None:
            soonest = self._clock.monotonic_seconds() + max(again, AGAIN_SECONDS_MIN)
            self._due[key] = min(soonest, self._due.get(key, soonest))

    async def _try(self, key: Key) -> float | None:
        """One visit; in how many seconds to come again, None: not."""
        try:
            again = await self._deliver(key)
        except Retry as error:
            log.info("is told later", to=self._name, rollout=str(key), because=str(error))
            return self._later(key, error)
        except RolloutError as error:
            log.warning("is not told", to=self._name, rollout=str(key), because=str(error))
            self._failed(key, str(error))
            return self._closed(key, REFUSED_SECONDS)
        except Exception:
            # A defect of ours in one message must not take the controller down with it.
            log.exception("telling crashed", to=self._name, rollout=str(key))
            return self._closed(key, REFUSED_SECONDS)
        self._back_off_seconds.pop(key, None)
        self._opens.pop(key, None)
        self._failed(key, "")
        return again

    def _later(self, key: Key, error: Retry) -> float:
        """When to come again to whoever does not answer, or asks for patience."""
        seconds = self._back_off_seconds.get(key, BACK_OFF_SECONDS_MIN)
        self._back_off_seconds[key] = min(BACK_OFF_SECONDS_MAX, 2 * seconds)
        if seconds >= TOLD_SECONDS:
            self._failed(key, str(error))
        if isinstance(error, Overloaded):
            seconds = min(RETRY_AFTER_SECONDS_MAX, max(seconds, error.retry_after_seconds))
        return self._closed(key, seconds)

    def _closed(self, key: Key, seconds: float) -> float:
        """Not before that, whatever there is to tell."""
        self._opens[key] = self._clock.monotonic_seconds() + seconds
        return seconds
