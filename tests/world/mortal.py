"""The API server as a program sees it that is killed at one of its writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from rollout.api.meta import Key, Kind, Manifest
from rollout.ports import Listing, Patch, WatchEvent, Written
from tests.world.cluster import FakeCluster


class Mortal:
    """A ports.Cluster that answers no more after a number of writes.

    Whoever calls it then waits for ever, as a process does that is no more: nothing it would have
    done afterwards happens. `died` tells the test, which ends the program for good.

    Args:
        cluster: the real one.
        writes_count: how many writes are survived.
        effective: whether the fatal write takes effect.
    """

    def __init__(self, cluster: FakeCluster, *, writes_count: int, effective: bool) -> None:
        self.died = asyncio.Event()
        self._cluster = cluster
        self._left = writes_count
        self._effective = effective

    async def list(self, kind: Kind, *, namespace: str = "") -> Listing:
        return await self._cluster.list(kind, namespace=namespace)

    async def watch(
        self, kind: Kind, *, namespace: str = "", resource_version: str
    ) -> AsyncGenerator[WatchEvent, None]:
        stream = self._cluster.watch(kind, namespace=namespace, resource_version=resource_version)
        async for event in stream:
            yield event

    async def get(self, kind: Kind, key: Key) -> Manifest:
        await self._live()
        return await self._cluster.get(kind, key)

    async def create(self, kind: Kind, manifest: Manifest, *, dry_run: bool = False) -> Written:
        assert not dry_run, "no controller tries without doing"
        last = await self._spend()
        written = await self._cluster.create(kind, manifest)
        return await self._end(written, last=last)

    async def replace(self, kind: Kind, manifest: Manifest) -> Written:
        last = await self._spend()
        written = await self._cluster.replace(kind, manifest)
        return await self._end(written, last=last)

    async def patch(
        self, kind: Kind, key: Key, patch: Patch, *, subresource: str = "", dry_run: bool = False
    ) -> Written:
        assert not dry_run, "no controller tries without doing"
        last = await self._spend()
        written = await self._cluster.patch(kind, key, patch, subresource=subresource)
        return await self._end(written, last=last)

    async def delete(self, kind: Kind, key: Key) -> None:
        await self._spend()
        await self._cluster.delete(kind, key)

    async def may(self, *, user: str, groups: Sequence[str], verb: str, key: Key) -> bool:
        await self._live()
        return await self._cluster.may(user=user, groups=groups, verb=verb, key=key)

    async def close(self) -> None:
        """Nothing is held."""

    async def _live(self) -> None:
        if self.died.is_set():
            await asyncio.Event().wait()

    async def _spend(self) -> bool:
        """Whether the write is the last one; never returns when it must not even begin."""
        await self._live()
        self._left -= 1
        if self._left >= 0:
            return False
        if not self._effective:
            self.died.set()
            await self._live()
        return True

    async def _end(self, written: Written, *, last: bool) -> Written:
        if last:
            self.died.set()
            await self._live()
        return written
