"""A service of connections and its caller, as Istio's sample tcp-echo: lines come back marked."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

ANSWER_SECONDS_MAX = 5.0
OPEN_MAX = 64
"""Connections under way."""


@contextlib.asynccontextmanager
async def echoing(
    version: str, address: str, port: int, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """Answer each line with the version before it, until the context ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                writer.write(version.encode() + b" " + line)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, address, port, ssl=tls)
    try:
        yield
    finally:
        server.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where to connect to.

    Attributes:
        tls: for callers; None for plain connections.
        name: what the caller says whom it wants (SNI); with ``tls`` alone.
    """

    address: str
    port: int
    tls: ssl.SSLContext | None = None
    name: str | None = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Line]:
        """A connection until the context ends. Raises `OSError` when there is none."""
        reader, writer = await asyncio.open_connection(
            self.address, self.port, ssl=self.tls, server_hostname=self.name
        )
        try:
            yield Line(reader=reader, writer=writer)
        finally:
            writer.close()

    async def say(self) -> str:
        """The version that a new connection reaches. Raises `OSError` when none answers."""
        async with self.open() as line:
            return await line.say()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An open connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self) -> str:
        """The version that answers on it. Raises `OSError` when it was closed."""
        self.writer.write(b"hello\n")
        answer = await self.reader.readline()
        if not answer:
            raise ConnectionError
        return answer.decode().split()[0]


@dataclass(slots=True)
class Caller:
    """Opens connections at a steady rate; each says one line and is closed."""

    door: Door
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
                self.counts[await self.door.say()] += 1
        except OSError:  # TimeoutError is one of them
            self.counts["failed"] += 1
        finally:
            limit.release()
