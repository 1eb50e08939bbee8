"""List a kind, then watch it, for ever: the cache follows the cluster, and keys are woken.

A stream may break, fall silent, be refused, lose, double or shuffle its events; a list made from
time to time mends whatever that did. So the cache ends up equal to the cluster, and the only thing
that misfortune costs is time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from http import HTTPStatus
from math import ldexp
from random import Random

import structlog

from rollout.api.meta import Kind, Manifest
from rollout.base import errors
from rollout.controller.cache import Cache, Change, newest
from rollout.controller.record import Record
from rollout.ports import Clock, Cluster, WatchEvent

Notify = Callable[[Manifest | None, Manifest | None], None]
"""Told of each change: the old state (None when new) and the new one (None when gone)."""

RELIST_SECONDS = 900.0
"""List again after this long even if all seems well. Watches lose nothing by contract; this is for
what contracts forget. A list of thousands of objects takes a third of a second."""

RETRY_SECONDS_MIN = 0.2
RETRY_SECONDS_MAX = 30.0
"""Back-off after a failure, jittered: an API server that comes back meets no crowd at its door."""

ABSENT_RETRY_SECONDS = 30.0
"""How often to look whether a kind has been installed meanwhile (Istio's CRDs, for one)."""

ABSENT_BELIEF_SECONDS = 30.0
"""For how long a kind that was there must be denied before we believe it. An API server that has
just started answers 404 for custom resources until it has read their definitions."""

GONE_SPREAD_SECONDS = 1.0
"""After a restart of the API server every watch is told to list again: spread over this time."""

STREAM_SECONDS_MIN = 1.0
"""A stream that ends sooner, though without an error, counts as a failure: else we would spin."""

FAILURE_COUNT_MAX = 16
"""Beyond this the back-off is at its bound anyway; keeps the exponent small."""

SERVER = "the API server"

log = structlog.get_logger(__name__)


class Reflector:
    """Keeps one cache like one kind of the cluster, and tells of each change.

    Attributes:
        kind: what is watched.
        cache: what is known of it.
        synced: set once the cache has been filled for the first time. A kind that the cluster does
            not have counts as filled with nothing.
        essential: nothing can be decided without the kind: until it may be read it is not synced.
            Any other that may not be read counts as filled with nothing, and its cache says so.
        present: whether the cluster has the kind.
        last_heard_seconds: when the server last said something (a list, an event, a bookmark), on
            the monotonic clock.
    """

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        notify: Notify,
        *,
        clock: Clock,
        random: Random,
        namespace: str = "",
        essential: bool = True,
        record: Record | None = None,
    ) -> None:
        self.kind: Kind = cache.kind
        self.cache = cache
        self.synced = asyncio.Event()
        self.essential = essential
        self.present = True
        self.last_heard_seconds = clock.monotonic_seconds()
        self._cluster = cluster
        self._notify = notify
        self._clock = clock
        self._random = random
        self._namespace = namespace
        self._record = record
        self._version: str | None = None
        self._last_version = ""
        self._listed_at_seconds = 0.0
        self._absent_since_seconds: float | None = None
        self._failures = 0

    async def run(self) -> None:
        """List and watch until cancelled; nothing else ends it."""
        while True:
            try:
                await self._list_if_needed()
                await self._watch()
                self._ended("closed")
            except errors.Gone:
                self._ended("gone")
                self._version = None
                await self._clock.sleep(self._random.uniform(0, GONE_SPREAD_SECONDS))
            except errors.NotFound:
                self._ended("absent")
                await self._bear_absence()
            except errors.Denied as error:
                self._ended("denied")
                if self.essential or error.status_code != HTTPStatus.FORBIDDEN:
                    await self._back_off(error)
                else:
                    await self._bear_absence(denied=error.message)
            except errors.RolloutError as error:
                self._ended("broken")
                await self._back_off(error)
            except Exception as error:
                # A defect of ours must not end the loop that would also have brought its cure.
                log.exception("watch crashed", kind=self.kind.kind)
                self._ended("crash")
                self._version = None
                await self._back_off(error)

    async def _list_if_needed(self) -> None:
        now = self._clock.monotonic_seconds()
        if self._version is not None and now < self._listed_at_seconds + RELIST_SECONDS:
            return
        listing = await self._cluster.list(self.kind, namespace=self._namespace)
        self._hear()
        self.present = True
        self.cache.denied = ""
        self._absent_since_seconds = None
        version = listing.resource_version
        rewound = newest(self._last_version, version) != version
        changes = self.cache.replace_all(listing.items, version=version, rewound=rewound)
        self._version = self._last_version = version
        # Spread the next lists of all kinds, which began together.
        spread = self._random.uniform(0, RELIST_SECONDS / 10)
        self._listed_at_seconds = self._clock.monotonic_seconds() - spread
        for change in changes:
            self._tell(change)
        self.synced.set()

    async def _watch(self) -> None:
        """Follow one stream to its end, or until it is time to list again."""
        assert self._version is not None
        began = self._clock.monotonic_seconds()
        until = self._listed_at_seconds + RELIST_SECONDS
        stream = self._cluster.watch(
            self.kind, namespace=self._namespace, resource_version=self._version
        )
        async with aclosing(stream):
            async for event in stream:
                self._take(event)
                if self._clock.monotonic_seconds() >= until:
                    return
        if self._clock.monotonic_seconds() < began + STREAM_SECONDS_MIN:
            raise errors.Unreachable(SERVER, why="the watch ended as it began")
        self._failures = 0

    def _take(self, event: WatchEvent) -> None:
        self._hear()
        self._failures = 0
        version: str = event.object["metadata"].get("resourceVersion", "")
        self._version = self._last_version = newest(version, self._version or "")
        match event.type:
            case "BOOKMARK":
                return
            case "DELETED":
                self._tell(self.cache.remove(event.object))
            case "ADDED" | "MODIFIED":
                self._tell(self.cache.put(event.object))

    def _tell(self, change: Change | None) -> None:
        if change is not None:
            self._notify(change.old, change.new)

    def _hear(self) -> None:
        self.last_heard_seconds = self._clock.monotonic_seconds()

    def _ended(self, reason: str) -> None:
        if self._record is not None:
            self._record.watch_ended(self.kind, reason)

    async def _bear_absence(self, *, denied: str = "") -> None:
        """The kind is not there or, if ``denied`` says why, not for us.

        That is believed at once at start, and only after a while later on. What was known of a kind
        that is denied is forgotten: nobody tells us when it is no longer so.
        """
        self._hear()
        self._version = None
        now = self._clock.monotonic_seconds()
        if self._absent_since_seconds is None:
            self._absent_since_seconds = now
        if self.synced.is_set() and now < self._absent_since_seconds + ABSENT_BELIEF_SECONDS:
            await self._clock.sleep(self._delay_seconds())
            return
        kind, api = self.kind.kind, self.kind.api_version
        if denied and not self.cache.denied:
            log.warning("kind may not be read", kind=kind, api=api, error=denied)
        elif self.present and not denied:
            log.warning("kind is not installed", kind=kind, api=api)
        self.present = bool(denied)
        self.cache.denied = denied
        for change in self.cache.replace_all((), version="", rewound=True):
            self._tell(change)
        self.synced.set()
        self._failures = 0
        await self._clock.sleep(ABSENT_RETRY_SECONDS * self._random.uniform(0.8, 1.0))

    async def _back_off(self, error: Exception) -> None:
        asked = error.retry_after_seconds if isinstance(error, errors.Overloaded) else 0.0
        if isinstance(error, errors.BrokenAnswer):
            self._version = None
        delay = max(asked, self._delay_seconds())
        log.info(
            "watch broken", kind=self.kind.kind, error=str(error), retry_seconds=round(delay, 1)
        )
        await self._clock.sleep(delay)

    def _delay_seconds(self) -> float:
        longest = min(RETRY_SECONDS_MAX, ldexp(RETRY_SECONDS_MIN, self._failures))
        self._failures = min(self._failures + 1, FAILURE_COUNT_MAX)
        return longest * self._random.uniform(0.5, 1.0)
