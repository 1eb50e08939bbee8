"""A real Prometheus that holds the golden samples, or others that were recorded."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from rollout.base.errors import CannotStart
from rollout.sandbox import prometheus
from rollout.sandbox.processes import Command, Processes, free_port
from tests.analysis import golden

SECONDS_MAX = 120.0
"""For a download or for promtool, on a machine that is busy with other things."""


def now_seconds() -> int:
    """The clock that a server answers by which is not told any time."""
    return int(time.time())


async def tools() -> tuple[Path, Path]:
    """Prometheus and promtool, from PATH, from the cache, or from Debian's package.

    Raises:
        CannotStart: one of them is missing and cannot be fetched.
    """
    cache = Path(os.environ.get("ROLLOUT_CACHE") or Path.home() / ".cache" / "rollout")
    server = await prometheus.find_binary(cache)
    found = shutil.which("promtool")
    tool = Path(found) if found else cache / "promtool"
    if not tool.exists():
        await _fetch_promtool(tool)
    return server, tool


async def _fetch_promtool(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        steps = (
            "apt-get download prometheus && dpkg -x prometheus_*.deb . && test -x usr/bin/promtool"
        )
        await _run("sh", "-c", steps, folder=Path(folder))
        (Path(folder) / "usr/bin/promtool").replace(target)


async def _run(*argv: str, folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SECONDS_MAX):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise CannotStart(argv[0], why="it failed", log=said.decode(errors="replace")[-1000:])


@asynccontextmanager
async def running(folder: Path, *, open_metrics: str = "") -> AsyncIterator[str]:
    """A Prometheus with the golden samples, or others; yields its address.

    Raises:
        CannotStart: there is no Prometheus, or it does not come up.
    """
    server, tool = await tools()
    (folder / "golden.om").write_text(open_metrics or golden.open_metrics())
    await _run(
        str(tool), "tsdb", "create-blocks-from", "openmetrics", "golden.om", "tsdb", folder=folder
    )
    (folder / "prometheus.yml").write_text("{}")
    address = f"127.0.0.1:{free_port()}"

    async def is_ready() -> bool:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{address}/-/ready") as response,
            ):
                return response.status == 200
        except aiohttp.ClientError:
            return False

    command = Command(
        name="prometheus",
        argv=[
            str(server),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--web.listen-address={address}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            "--storage.tsdb.retention.time=20y",
            "--log.level=warn",
        ],
        is_ready=is_ready,
    )
    async with Processes(folder / "logs") as processes:
        await processes.start(command)
        yield f"http://{address}"
