"""The work queue: keys that want to be looked at, merged, one worker a key, with back-off.

The queue carries names and nothing else. What happened to an object is of no interest, only that it
should be looked at again; so ten events are one entry, and an event that comes while its key is
being worked on is one more look afterwards. The shape is controller-runtime's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import ldexp
from random import Random

from rollout.api.meta import Key
from rollout.ports import Clock

KEY_COUNT_MAX = 20_000
"""Distinct keys in the queue: ten times the largest installation we plan for, 100 bytes each."""

RETRY_SECONDS_MIN = 0.05
"""The first back-off: long enough for a conflicting writer to have finished."""

RETRY_SECONDS_MAX = 30.0
"""The longest back-off: an outage that ends is noticed within half a minute without any event."""

EVENT_WAIT_SECONDS_MAX = 1.0
"""What an event leaves of a back-off. Not zero: a key that fails after each of its own writes hears
the echo of that write, and would spin."""

PROMPT_IN_A_ROW_COUNT_MAX = 16
"""Prompt keys taken one after the other while patient ones wait: these must have their turn, too,
and for a prompt key it is a wait of one look."""


@dataclass(slots=True, kw_only=True)
class _Wait:
    """A key that comes back later.

    Attributes:
        timer: brings it back.
        due_seconds: when, on the monotonic clock.
        event_due_seconds: when it may come back at the earliest if there is an event.
    """

    timer: asyncio.TimerHandle
    due_seconds: float
    event_due_seconds: float


class WorkQueue:
    """Keys waiting for a worker.

    A key is in one of three states: *waiting* (a worker may take it), *working* (one has), *later*
    (a timer will make it wait). ``add`` merges with whichever it is in.

    Keys wait in one of two lanes. With each scrape all runs have something to be looked at, and an
    abort or a step that is due must not wait behind hundreds of those: they are added as patient.

    When `KEY_COUNT_MAX` distinct keys are inside, ``add`` refuses further ones and returns False.
    Nothing is lost for good: once the queue has drained to half, ``on_room`` is called, and its
    owner adds all keys it knows, as at start.
    """

    def __init__(
        self,
        clock: Clock,
        random: Random,
        *,
        on_room: Callable[[], None] | None = None,
        key_count_max: int = KEY_COUNT_MAX,
    ) -> None:
        self._clock = clock
        self._random = random
        self._on_room = on_room
        self._key_count_max = key_count_max
        self._waiting: dict[Key, float] = {}
        self._patient: dict[Key, float] = {}
        self._prompt_in_a_row_count = 0
        self._working: dict[Key, float] = {}
        self._dirty: set[Key] = set()
        self._later: dict[Key, _Wait] = {}
        self._failures: dict[Key, int] = {}
        self._refused_count = 0
        self._has_refused = False
        self._closed = False
        self._stirred = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def depth_count(self) -> int:
        """How many keys a worker could take now."""
        return len(self._waiting) + len(self._patient)

    @property
    def refused_count(self) -> int:
        """How many adds were refused since the start because the queue was full."""
        return self._refused_count

    @property
    def oldest_seconds(self) -> float:
        """How long the key that waits longest has been waiting for a worker; 0 when none does."""
        firsts = [next(iter(lane.values())) for lane in (self._waiting, self._patient) if lane]
        return self._clock.monotonic_seconds() - min(firsts) if firsts else 0.0

    @property
    def busiest_seconds(self) -> float:
        """How long the key that is worked on longest has been worked on; 0 when none is."""
        earliest = next(iter(self._working.values()), None)
        return 0.0 if earliest is None else self._clock.monotonic_seconds() - earliest

    def add(self, key: Key, *, patient: bool = False) -> bool:
        """Have a key looked at as soon as a worker is free; False when the queue is full or closed.

        Ends the key's back-off, if it is in one, to within `EVENT_WAIT_SECONDS_MAX` of its failure.

        Args:
            key: what to look at.
            patient: keys that are not may go first.
        """
        if self._closed:
            return False
        if key in self._working:
            self._dirty.add(key)
        elif wait := self._later.get(key):
            self._come_earlier(key, wait)
        elif key in self._patient:
            if not patient:
                del self._patient[key]
                self._wait(key)
        elif key not in self._waiting:
            return self._admit(key, patient=patient)
        return True

    async def get(self) -> Key | None:
        """The key that has waited longest, for this worker alone until `done` or `retry`.

        None when the queue is closed.
        """
        while not self._closed:
            if self._waiting or self._patient:
                key = self._next()
                self._working[key] = self._clock.monotonic_seconds()
                self._idle.clear()
                return key
            self._stirred.clear()
            await self._stirred.wait()
        return None

    def done(self, key: Key) -> None:
        """The work on a key is over and went well: its failures are forgotten."""
        self._failures.pop(key, None)
        self._leave(key)
        if key in self._dirty:
            self._dirty.discard(key)
            if not self._closed:
                self._wait(key)
        self._tell_room()

    def retry(self, key: Key, *, at_least_seconds: float = 0.0) -> float:
        """The work on a key failed: it comes back after its back-off, which is returned in seconds.

        Args:
            key: what was worked on.
            at_least_seconds: what a server asked us to wait.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        longest = min(RETRY_SECONDS_MAX, ldexp(RETRY_SECONDS_MIN, min(failures, 16)))
        delay = max(at_least_seconds, longest * self._random.uniform(0.5, 1.0))
        by_event = max(at_least_seconds, min(delay, EVENT_WAIT_SECONDS_MAX))
        if key in self._dirty:
            self._dirty.discard(key)
            delay = by_event
        self._leave(key)
        if not self._closed:
            now = self._clock.monotonic_seconds()
            self._put_off(key, due_seconds=now + delay, event_due_seconds=now + by_event)
        return delay

    def close(self) -> None:
        """Give out no more keys; workers get None and may end. What is worked on goes on."""
        self._closed = True
        for wait in self._later.values():
            wait.timer.cancel()
        self._later.clear()
        self._waiting.clear()
        self._patient.clear()
        self._stirred.set()

    async def drained(self) -> None:
        """Wait until no key is being worked on."""
        await self._idle.wait()

    @property
    def _lanes(self) -> tuple[dict[Key, float], dict[Key, float]]:
        return self._waiting, self._patient

    @property
    def _inside_count(self) -> int:
        return self.depth_count + len(self._working) + len(self._later)

    def _next(self) -> Key:
        """Take the key whose turn it is; there is one."""
        row = self._prompt_in_a_row_count
        is_prompt = bool(self._waiting) and (not self._patient or row < PROMPT_IN_A_ROW_COUNT_MAX)
        self._prompt_in_a_row_count = row + 1 if is_prompt else 0
        lane = self._waiting if is_prompt else self._patient
        key = next(iter(lane))
        del lane[key]
        return key

    def _has_room(self) -> bool:
        if self._inside_count < self._key_count_max:
            return True
        self._refused_count += 1
        self._has_refused = True
        return False

    def _tell_room(self) -> None:
        if self._has_refused and self._inside_count <= self._key_count_max // 2:
            self._has_refused = False
            if self._on_room is not None:
                self._on_room()

    def _admit(self, key: Key, *, patient: bool) -> bool:
        if not self._has_room():
            return False
        self._wait(key, patient=patient)
        return True

    def _wait(self, key: Key, *, patient: bool = False) -> None:
        lane = self._patient if patient else self._waiting
        lane[key] = self._clock.monotonic_seconds()
        self._stirred.set()

    def _leave(self, key: Key) -> None:
        del self._working[key]
        if not self._working:
            self._idle.set()

    def _come_earlier(self, key: Key, wait: _Wait) -> None:
        due = max(wait.event_due_seconds, self._clock.monotonic_seconds())
        if due < wait.due_seconds:
            wait.timer.cancel()
            self._put_off(key, due_seconds=due, event_due_seconds=due)

    def _put_off(self, key: Key, *, due_seconds: float, event_due_seconds: float) -> None:
        delay = due_seconds - self._clock.monotonic_seconds()
        if delay <= 0:
            self._later.pop(key, None)
            self._wait(key)
            return
        timer = asyncio.get_running_loop().call_later(delay, self._come, key)
        self._later[key] = _Wait(
            timer=timer, due_seconds=due_seconds, event_due_seconds=event_due_seconds
        )

    def _come(self, key: Key) -> None:
        del self._later[key]
        self._wait(key)
