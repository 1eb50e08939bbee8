"""Starts processes, waits until they are ready, and ends them on every way out.

Four nets, because each has a hole. The context manager ends them in order; it needs the loop.
SIGTERM and SIGHUP are turned into a cancellation, so that the context manager runs. `atexit` kills
what a forgotten context left. The kernel's parent-death signal covers SIGKILL, where nothing of
ours runs any more. Each process leads a group of its own, so that Ctrl-C in a terminal reaches us
alone and its own children go with it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import os
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from rollout.base.errors import CannotStart
from rollout.sandbox.logs import BoundedLog
from rollout.sandbox.parent import die_with_parent

READY_SECONDS_MAX = 30.0
"""Everything here is up within 2 s; a machine that is busy with other things gets this long."""

POLL_SECONDS = 0.02
"""Between two looks at a process that cannot tell us when it is ready."""

STOP_SECONDS_MAX = 3.0
"""From SIGTERM to SIGKILL: nothing in the sandbox has anything worth saving for longer."""

LAST_WORDS_SECONDS_MAX = 0.5
"""How long an ended process's pipes may stay open, held by a child it left behind."""

READY_LINE_BYTES_MAX = 65_536
"""A first line longer than this is not a ready line."""

PROCESSES_MAX = 64
"""A stage has six; more than this is a loop that has run away."""

Probe = Callable[[str], Awaitable[bool]]
"""Whether a URL answers 200 now."""

_alive: set[int] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to start and how to know that it is up.

    Attributes:
        name: short, unique within a `Processes`; names the log file.
        argv: the program and its arguments; no shell is involved.
        env: the whole environment; None hands down our own.
        is_ready: asked again and again until it says yes. None means that the process prints one
            line of JSON, an object, when it is ready; it becomes `Process.answer`.
        port: what stands in the table of processes; a ``port`` in the ready line wins.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    is_ready: Callable[[], Awaitable[bool]] | None = None
    port: int = 0


class Process(asyncio.SubprocessProtocol):
    """A started process.

    Attributes:
        answer: the ready line's content; empty for processes that print none.
        port: where it listens, 0 if that is not one port.
    """

    def __init__(self, command: Command, *, log: BoundedLog) -> None:
        self.name = command.name
        self.log = log
        self.port = command.port
        self.answer: dict[str, Any] = {}
        self.pid = 0
        self._transport: asyncio.SubprocessTransport | None = None
        self._wants_line = command.is_ready is None
        self._head = b""
        self._changed = asyncio.Event()
        self._silent = asyncio.Event()

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return None if self._transport is None else self._transport.get_returncode()

    @property
    def has_spoken(self) -> bool:
        """Whether the ready line has come, or none was expected."""
        return not self._wants_line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop started it."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport
        self.pid = transport.get_pid()
        _alive.add(self.pid)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """It printed something."""
        del fd
        self.log.write(data)
        if self._wants_line:
            self._look_for_line(data)

    def process_exited(self) -> None:
        """It ended, wanted or not."""
        _alive.discard(self.pid)
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """It ended and its last words have been read."""
        del exc
        self._silent.set()

    async def last_words(self) -> str:
        """The end of its log, once everything it printed has been read."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._silent.wait(), LAST_WORDS_SECONDS_MAX)
        return self.log.tail()

    def _look_for_line(self, data: bytes) -> None:
        *lines, self._head = (self._head + data)[-READY_LINE_BYTES_MAX:].split(b"\n")
        for line in lines:
            with contextlib.suppress(orjson.JSONDecodeError):
                answer = orjson.loads(line)
                if isinstance(answer, dict):
                    self.answer, self._wants_line, self._head = answer, False, b""
                    self.port = int(answer.get("port", self.port))
                    self._changed.set()
                    return

    async def change(self) -> None:
        """Return when it has spoken or ended."""
        await self._changed.wait()

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it started; one that is gone is no error."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def stop(self) -> None:
        """End it, kindly first; returns when it is gone."""
        if self.returncode is None:
            self.signal_group(signal.SIGTERM)
            if not await self._gone_within(STOP_SECONDS_MAX):
                self.signal_group(signal.SIGKILL)
                await self._gone_within(STOP_SECONDS_MAX)
        self.signal_group(signal.SIGKILL)  # what it may have started itself
        if self._transport is not None:
            self._transport.close()
        self.log.close()

    async def _gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.returncode is None and time.monotonic() < deadline:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), POLL_SECONDS * 5)
        return self.returncode is not None


class Processes:
    """The processes of one stage; leaving the context ends them all, the youngest first to be told.

    Attributes:
        folder: where the logs go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[Process] = []
        self._guard = contextlib.ExitStack()

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._guard.enter_context(_end_on_signals())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            await self.stop_all()
        finally:
            self._guard.close()

    @property
    def table(self) -> tuple[Process, ...]:
        """Those that run, in order of start."""
        return tuple(process for process in self._started if process.returncode is None)

    async def start(
        self, command: Command, *, ready_seconds_max: float = READY_SECONDS_MAX
    ) -> Process:
        """Start it and return when it is ready.

        Raises:
            CannotStart: the program is missing, ended, or was not ready in time.
        """
        assert len(self._started) < PROCESSES_MAX, "a stage does not need so many processes"
        process = Process(command, log=BoundedLog(self.folder / f"{command.name}.log"))
        self._started.append(process)
        await self._spawn(process, command)
        try:
            await asyncio.wait_for(_until_ready(process, command), ready_seconds_max)
        except TimeoutError:
            why = f"it was not ready after {ready_seconds_max:g} s"
            raise CannotStart(command.name, why=why, log=process.log.tail()) from None
        return process

    async def stop_all(self) -> None:
        """End everything at once; calling it twice does no harm."""
        started, self._started = self._started, []
        for process in reversed(started):
            if process.returncode is None and process.pid:
                process.signal_group(signal.SIGTERM)
        await asyncio.gather(*(process.stop() for process in started if process.pid))

    @staticmethod
    async def _spawn(process: Process, command: Command) -> None:
        born_tied = functools.partial(die_with_parent, signal.SIGKILL, parent_pid=os.getpid())
        try:
            # preexec_fn is unsafe where threads hold locks that the child needs; ours makes one
            # system call, and prctl has no other place.
            await asyncio.get_running_loop().subprocess_exec(
                lambda: process,
                *command.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=command.env,
                start_new_session=True,
                preexec_fn=born_tied,
            )
        except OSError as error:
            process.log.close()
            raise CannotStart(command.name, why=str(error)) from error


async def _until_ready(process: Process, command: Command) -> None:
    while True:
        if process.returncode is not None:
            why = f"it ended with code {process.returncode}"
            raise CannotStart(command.name, why=why, log=await process.last_words())
        if command.is_ready is None:
            if process.has_spoken:
                return
            await process.change()
        elif await command.is_ready():
            return
        else:
            await asyncio.sleep(POLL_SECONDS)


def free_port(address: str = "127.0.0.1") -> int:
    """A port nobody listens on now; for programs that cannot choose and tell one themselves."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _end_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP cancel the current task, where nobody has other plans for them."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    ours: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                loop.add_signal_handler(number, _obey, number, task)
                ours.append(number)
    try:
        yield
    finally:
        for number in ours:
            loop.remove_signal_handler(number)


def _obey(number: signal.Signals, task: asyncio.Task[object]) -> None:
    if not task.done():
        task.cancel()
        return
    # Whoever entered the context has left it open, as a fixture does: die as if we were not here.
    asyncio.get_running_loop().remove_signal_handler(number)
    os.kill(os.getpid(), number)


@atexit.register
def _kill_forgotten() -> None:
    for pid in tuple(_alive):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
