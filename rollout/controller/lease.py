"""Leadership by a Lease: one replica works, the others stand by with warm caches.

The rules are client-go's. A candidate takes over when it has seen no change of the record for the
record's duration on its own monotonic clock; written times are never compared with its own, so a
wrong wall clock does no harm. A leader stops by itself a third of that duration before anyone may
take over, and its work has ended before it lets go.

This is no fence: a request that is under way when leadership ends may still arrive. Writes are
fenced by the resource version that they were decided on; the term tells leaders apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import structlog

from rollout.api.meta import LEASE, Key, Manifest
from rollout.base import errors
from rollout.ports import Clock, Cluster

LEASE_SECONDS = 15
"""How long a record that nobody renews is believed: what a crash of the leader costs."""

RENEW_SECONDS_MAX = 10.0
"""A leader that could not renew for this long stops working; five tries fit in."""

RETRY_SECONDS = 2.0
"""Between two renewals, and between two looks of a candidate."""

RETRY_JITTER_RATIO = 0.2
"""Candidates that started together do not look together."""

REQUEST_SECONDS = 1.5
"""For one request: below the retry period, so that one that hangs costs one try."""

TRY_SECONDS_MIN = 0.01
"""With less than this left of its time a leader need not try again."""

FOREIGN_LEASE_SECONDS_MAX = 300.0
"""The longest duration that we believe of a record which others wrote."""

log = structlog.get_logger(__name__)


class _Lost(Exception):
    """We lead no more."""


class Election:
    """One replica's part in the election.

    Attributes:
        identity: our name in the record; no other process has it.
        term: the number of our term while we lead, else None. It rises with each change of leader
            (``leaseTransitions``), so of two writers the one with the larger term is the newer.
        holder: who leads, as far as we know; empty when nobody does.
    """

    def __init__(
        self, cluster: Cluster, key: Key, identity: str, *, clock: Clock, random: Random
    ) -> None:
        self.identity = identity
        self.term: int | None = None
        self.holder = ""
        self._cluster = cluster
        self._key = key
        self._clock = clock
        self._random = random
        self._record: Manifest | None = None
        self._changed_at_seconds = 0.0
        self._renewed_at_seconds = 0.0

    async def run(self, while_leading: Callable[[int], Awaitable[None]]) -> None:
        """Stand by, lead, stand by again, until cancelled or until the work returns.

        The work is started with its term when we become the leader. It is cancelled, and waited
        for, when leadership is lost, before anyone else can have it. When it returns, or fails, or
        this is cancelled, the lease is released, so that the next leader need not wait.

        Raises:
            ExceptionGroup: the work failed.
        """
        finished = False
        while not finished:
            term = await self._stand_by()
            log.info("leading", identity=self.identity, term=term)
            try:
                finished = await self._lead(term, while_leading)
            finally:
                await self._release()

    async def _lead(self, term: int, while_leading: Callable[[int], Awaitable[None]]) -> bool:
        """Work and renew side by side; whether the work returned, rather than lost its leave."""
        lost = False
        try:
            async with asyncio.TaskGroup() as tasks:
                keeper = tasks.create_task(self._keep())
                await while_leading(term)
                keeper.cancel()
        except* _Lost:
            lost = True
            self.term = None
            log.warning("leadership lost", identity=self.identity, term=term, holder=self.holder)
        return not lost

    async def _stand_by(self) -> int:
        """Look at the record until it is ours; returns our term."""
        while True:
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    await self._look()
                if self._is_free():
                    async with asyncio.timeout(REQUEST_SECONDS):
                        return await self._take()
            except (errors.RolloutError, TimeoutError) as error:
                log.info("lease not taken", identity=self.identity, error=str(error) or "no answer")
            await self._pause()

    async def _keep(self) -> None:
        """Renew until that fails for too long, or the record is somebody else's."""
        while True:
            await self._pause()
            left = self._renewed_at_seconds + RENEW_SECONDS_MAX - self._clock.monotonic_seconds()
            if left < TRY_SECONDS_MIN:
                raise _Lost
            try:
                async with asyncio.timeout(min(REQUEST_SECONDS, left)):
                    await self._renew()
            except (errors.RolloutError, TimeoutError) as error:
                log.warning(
                    "lease not renewed", identity=self.identity, error=str(error) or "no answer"
                )

    async def _pause(self) -> None:
        """Wait for the next try; never past the moment at which a leader must stop."""
        wait = RETRY_SECONDS * (1 + RETRY_JITTER_RATIO * self._random.random())
        if self.term is not None:
            deadline = self._renewed_at_seconds + RENEW_SECONDS_MAX
            wait = min(wait, max(0.0, deadline - self._clock.monotonic_seconds()))
        await self._clock.sleep(wait)

    async def _look(self) -> None:
        """Read the record, and note when it last changed."""
        try:
            self._learn(await self._cluster.get(LEASE, self._key))
        except errors.NotFound:
            self._record, self.holder = None, ""

    def _learn(self, record: Manifest) -> None:
        known = self._record
        if known is None or _version(known) != _version(record):
            self._changed_at_seconds = self._clock.monotonic_seconds()
        self._record = record
        self.holder = str(_spec(record).get("holderIdentity") or "")

    def _is_free(self) -> bool:
        """Whether nobody holds it, we do, or who does has not moved for as long as promised."""
        if self._record is None or self.holder in {"", self.identity}:
            return True
        promised = _spec(self._record).get("leaseDurationSeconds")
        seconds = float(promised) if isinstance(promised, int) and promised > 0 else LEASE_SECONDS
        unchanged = self._clock.monotonic_seconds() - self._changed_at_seconds
        return unchanged >= min(seconds, FOREIGN_LEASE_SECONDS_MAX)

    async def _take(self) -> int:
        """Make the record ours; of several that try, the resource version lets one through."""
        began = self._clock.monotonic_seconds()
        now = self._now()
        if self._record is None:
            term = 0
        else:
            term = int(_spec(self._record).get("leaseTransitions") or 0) + 1
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": term,
        }
        await self._write(spec)
        self._renewed_at_seconds = began
        self.term = term
        return term

    async def _renew(self) -> None:
        """One write, without a read: the version we remember is the record's if it is still ours.

        A conflict means that somebody wrote; the answer to a write of our own may have been lost.
        """
        assert self._record is not None
        began = self._clock.monotonic_seconds()
        try:
            await self._write({**_spec(self._record), "renewTime": self._now()})
        except (errors.Conflict, errors.NotFound):
            mine = _spec(self._record)
            await self._look()
            if self.holder not in {"", self.identity} or self._is_later_term():
                raise _Lost from None
            # Ours after all, or nobody's, or removed by hand: we go on in the same term.
            await self._write({**mine, "renewTime": self._now()})
        self._renewed_at_seconds = began

    def _is_later_term(self) -> bool:
        """Whether somebody led after us, and has let go again."""
        return self._record is not None and _spec(self._record).get("leaseTransitions") != self.term

    async def _release(self) -> None:
        """Let go, so that the next leader need not wait; only when we still hold it."""
        if self.term is None or self._record is None:
            return
        self.term = None
        spec = {
            **_spec(self._record),
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "renewTime": self._now(),
        }
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._write(spec)
        except (errors.RolloutError, TimeoutError) as error:
            log.info("lease not released", identity=self.identity, error=str(error) or "no answer")

    async def _write(self, spec: Manifest) -> None:
        if self._record is None:
            metadata = {"namespace": self._key.namespace, "name": self._key.name}
            written = await self._cluster.create(LEASE, {"metadata": metadata, "spec": spec})
        else:
            written = await self._cluster.replace(LEASE, {**self._record, "spec": spec})
        self._learn(written.object)

    def _now(self) -> str:
        """MicroTime: six decimals even when they are zero, or the server refuses it with 422."""
        return self._clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z")


def _spec(record: Manifest) -> Manifest:
    spec: Manifest = record.get("spec") or {}
    return spec


def _version(record: Manifest) -> str:
    return str(record["metadata"].get("resourceVersion", ""))
