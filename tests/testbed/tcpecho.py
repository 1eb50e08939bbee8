"""A service of connections and its caller, as Istio's sample tcp-echo: lines come back marked."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

ANSWER_SECONDS_MAX = 5.0
OPEN_MAX = 64
"""Connections under way."""


@contextlib.asynccontextmanager
async def echoing(version: str, address: str, port: int) -> AsyncIterator[None]:
    """Answer each line with the version before it, until the context ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                writer.write(version.encode() + b" " + line)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, address, port)
    try:
        yield
    finally:
        server.close()


@dataclass(slots=True)
class Caller:
    """Opens connections at a steady rate; each says one line and is closed."""

    address: str
    port: int
    counts: Counter[str] = field(default_factory=Counter)

    async def answers(self) -> dict[str, int]:
        """Answers by version; ``failed``: connections that brought none."""
        return {"failed": 0, **self.counts}

    @contextlib.asynccontextmanager
    async def calling(self, *, per_second: float) -> AsyncIterator[None]:
        """Call until the context ends; what is under way then is finished."""
        limit = asyncio.Semaphore(OPEN_MAX)
        async with asyncio.TaskGroup() as tasks:

            async def go_on() -> None:
                while True:
                    await limit.acquire()
                    tasks.create_task(self._call(limit))
                    await asyncio.sleep(1 / per_second)

            caller = tasks.create_task(go_on())
            try:
                yield
            finally:
                caller.cancel()

    async def _call(self, limit: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                self.counts[await say(self.address, self.port)] += 1
        except OSError:  # TimeoutError is one of them
            self.counts["failed"] += 1
        finally:
            limit.release()


async def say(address: str, port: int) -> str:
    """The version that a new connection reaches. Raises `OSError` when none answers."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(b"hello\n")
        line = await reader.readline()
    finally:
        writer.close()
    if not line:
        raise ConnectionError
    return line.decode().split()[0]
