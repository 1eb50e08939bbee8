"""Leader election on a Lease: one replica works, the others stand by warm.

The rules are client-go's: a candidate takes over when it has seen the record unchanged for the
lease's duration by its own monotonic clock (written times are never compared with one's own, so a
wrong clock does no harm), and a leader that has not renewed within the renew deadline stops working
before the lease can expire. A Lease is no fence: our writes are fenced by resource versions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

import structlog

from rollout.api.meta import LEASE, Key, Manifest
from rollout.base.errors import NotFound, RolloutError
from rollout.ports import Clock, Cluster

DURATION_SECONDS = 15
"""How long a lease lasts without renewal; client-go's default."""

RENEW_SECONDS = 10.0
"""How long a leader goes on trying to renew before it stops working; below the duration."""

RETRY_SECONDS = 2.0
"""Between two tries to acquire or renew."""

REQUEST_SECONDS = 1.5
"""The longest one request may take: below the retry period, so that a hung one costs one try."""

JITTER_RATIO = 0.2
"""By how much tries are spread, so that candidates do not move in step."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """What a Lease says, and since when we have seen it say so."""

    holder: str
    version: str
    transitions: int
    duration_seconds: float
    seen_seconds: float
    manifest: Manifest


class Election:
    """Takes part in an election, for ever.

    Args:
        cluster: the API server.
        key: which Lease.
        identity: our name in it; unique.
        clock: time.
        random: spreads the tries.
    """

    def __init__(
        self, cluster: Cluster, key: Key, identity: str, *, clock: Clock, random: Random
    ) -> None:
        self._cluster = cluster
        self._key = key
        self._identity = identity
        self._clock = clock
        self._random = random
        self._seen: _Record | None = None

    async def run(self, while_leading: Callable[[int], Awaitable[None]]) -> None:
        """Acquire, work while leading, acquire again; a clean end gives the lease back.

        ``while_leading`` gets the term: it rises with every change of the holder.
        """
        while True:
            record = await self._acquire()
            log.info("acquired the lease", lease=str(self._key), term=record.transitions)
            try:
                await self._lead(record, while_leading)
            finally:
                await self._release()
            log.warning("lost the lease", lease=str(self._key))

    async def _acquire(self) -> _Record:
        while True:
            taken = await self._try_take()
            if taken is not None:
                return taken
            await self._clock.sleep(self._pause_seconds())

    async def _lead(self, record: _Record, work: Callable[[int], Awaitable[None]]) -> None:
        """Renew beside the work; when renewing fails for too long, or the work ends, both end."""

        async def working() -> None:
            await work(record.transitions)

        async with asyncio.TaskGroup() as tasks:
            worker = tasks.create_task(working())
            renewed = self._clock.monotonic_seconds()
            while not worker.done() and self._clock.monotonic_seconds() - renewed < RENEW_SECONDS:
                await self._clock.sleep(self._pause_seconds())
                begun = self._clock.monotonic_seconds()
                if await self._try_take() is not None:
                    renewed = begun
                elif self._seen is not None and self._seen.holder != self._identity:
                    break
            worker.cancel()

    async def _try_take(self) -> _Record | None:
        """Take the lease, or renew it; None when somebody else has it, or nobody answers."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await self._take()
        except (RolloutError, TimeoutError) as error:
            self._forget_version()
            log.info("no lease for now", lease=str(self._key), error=str(error) or "timeout")
            return None

    async def _take(self) -> _Record | None:
        now = self._clock.monotonic_seconds()
        known = self._seen
        if known is None or known.holder != self._identity or not known.version:
            known = self._look(await self._read(), now=now)
        if known is None:
            written = await self._cluster.create(LEASE, self._manifest(None))
            return self._look(written.object, now=now)
        free = not known.holder or now - known.seen_seconds >= known.duration_seconds
        if known.holder != self._identity and not free:
            return None
        written = await self._cluster.replace(LEASE, self._manifest(known))
        return self._look(written.object, now=now)

    async def _read(self) -> Manifest | None:
        try:
            return await self._cluster.get(LEASE, self._key)
        except NotFound:
            return None

    def _look(self, manifest: Manifest | None, *, now: float) -> _Record | None:
        """Remember what the Lease says; the moment counts from when it last changed."""
        if manifest is None:
            self._seen = None
            return None
        spec = manifest.get("spec") or {}
        version = manifest["metadata"].get("resourceVersion", "")
        before = self._seen
        same = before is not None and before.version == version
        self._seen = _Record(
            holder=spec.get("holderIdentity") or "",
            version=version,
            transitions=int(spec.get("leaseTransitions") or 0),
            duration_seconds=float(spec.get("leaseDurationSeconds") or DURATION_SECONDS),
            seen_seconds=before.seen_seconds if before is not None and same else now,
            manifest=manifest,
        )
        return self._seen

    def _forget_version(self) -> None:
        """After an error nobody knows what is written: read before the next write."""
        seen = self._seen
        if seen is not None and seen.holder == self._identity:
            self._seen = None

    def _manifest(self, known: _Record | None) -> Manifest:
        """The Lease as ours. Times are MicroTime: exactly six decimals, also for a full second."""
        now = micro_time(self._clock.now())
        ours = known is not None and known.holder == self._identity
        transitions = 0 if known is None else known.transitions + (0 if ours else 1)
        old: dict[str, Any] = (known.manifest.get("spec") or {}) if known is not None else {}
        metadata = (
            known.manifest["metadata"]
            if known is not None
            else {"name": self._key.name, "namespace": self._key.namespace}
        )
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": DURATION_SECONDS,
                "acquireTime": old.get("acquireTime", now) if ours else now,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }

    async def _release(self) -> None:
        """Give the lease back, so that the next one need not wait for it to expire."""
        seen = self._seen
        if seen is None or seen.holder != self._identity:
            return
        manifest = self._manifest(seen)
        manifest["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
        self._seen = None
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._cluster.replace(LEASE, manifest)
        except (RolloutError, TimeoutError) as error:
            log.info("the lease was not given back", error=str(error) or "timeout")

    def _pause_seconds(self) -> float:
        return RETRY_SECONDS * (1 + JITTER_RATIO * self._random.random())


def micro_time(moment: datetime) -> str:
    """Kubernetes' MicroTime; a full second without decimals would be refused, once in a million."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
