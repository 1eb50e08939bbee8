"""Who acts in the demo besides the releases: the controller, and a person at a terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from rollout.base import errors
from rollout.ports import Clock
from rollout.sandbox.processes import Command, Process, free_port
from rollout.sandbox.stage import Stage

CLI_SECONDS_MAX = 30.0
"""For the person's command; it takes about half a second."""

RESTARTS_MAX = 20
"""A controller that is killed is started again, as a Deployment would; this often."""

RESTART_SECONDS = 0.5
"""Before it is started again: a controller that ends at once shall not keep a core busy."""

NAME = "controller"


class Understudy:
    """The controller as a process of its own, started again when it ends.

    Attributes:
        log: what it prints.
    """

    def __init__(self, world: Stage, *, clock: Clock, tell: Callable[[str], None]) -> None:
        self.log: Path = world.folder / f"{NAME}.log"
        self._world = world
        self._clock = clock
        self._tell = tell
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """Its process id; 0 before it was started."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Start it and return when its caches are filled. Raises `CannotStart`."""
        port = free_port()
        url = f"http://127.0.0.1:{port}/readyz"
        options = {
            "kubeconfig": self._world.kubeconfig,
            "prometheus": self._world.prometheus_url,
            "settle": "1s",
            "status-refresh": "1s",
            "scrape-interval": "1s",
            "health-port": port,
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        self._process = await self._world.start(
            Command(
                name=NAME,
                argv=[
                    sys.executable,
                    "-m",
                    "rollout",
                    "controller",
                    "--no-leader-election",
                    # The sandbox's API server has no admission policies, and one user.
                    "--trust-actors",
                    *flags,
                ],
                is_ready=lambda: self._world.probe(url),
                port=port,
            )
        )

    async def watch_over(self) -> None:
        """Start it again whenever it has ended, until cancelled."""
        for _ in range(RESTARTS_MAX):
            process = self._process
            assert process is not None, "it is started first"
            while process.returncode is None:
                await self._clock.sleep(RESTART_SECONDS)
            await process.stop()
            await self.start()
            self._tell(
                f"the controller ended ({_how(process.returncode)}) and was started again "
                f"(pid {self.pid})"
            )
        assert self._process is not None
        why = "it ends again and again"
        raise errors.CannotStart(NAME, why=why, log=self._process.log.tail())


def _how(returncode: int) -> str:
    return f"signal {-returncode}" if returncode < 0 else f"exit status {returncode}"


async def person(*words: str) -> str:
    """Type a command of ours in a process of its own; returns the first line that is printed.

    Raises:
        Unanswered: it did not return in time.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rollout",
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(CLI_SECONDS_MAX):
            told, _ = await process.communicate()
    except TimeoutError:
        raise errors.Unanswered(
            what=f"rollout {words[0]}",
            waited_seconds=CLI_SECONDS_MAX,
            remedy="is the machine busy?",
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return told.decode("utf-8", "replace").partition("\n")[0]
