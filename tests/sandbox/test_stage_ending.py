"""However a stage ends, nothing of it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

pytestmark = [pytest.mark.servers, pytest.mark.timeout(60)]

KEEPER = """
import asyncio, json, signal, sys
from rollout.sandbox.stage import Script, stage

async def main():
    async with stage(Script(rps=50.0, with_prometheus=True)) as world:
        pids = {p.name: p.pid for p in world.processes}
        print(json.dumps({"pids": pids, "folder": str(world.folder)}), flush=True)
        if "raise" in sys.argv:
            raise RuntimeError("an exception on stage")
        await asyncio.sleep(60)

# A shell that starts tests in the background has them ignore SIGINT, and so would this process.
signal.signal(signal.SIGINT, signal.default_int_handler)
asyncio.run(main())
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("way", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL", "raise"])
def test_every_process_ends_however_the_stage_ends(way: str) -> None:
    keeper = subprocess.Popen(
        [sys.executable, "-c", KEEPER, way], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert keeper.stdout is not None
    said = orjson.loads(keeper.stdout.readline())
    assert set(said["pids"]) == {"apiserver", "pilot", "envoy", "prometheus", "workload", "load"}

    if way != "raise":
        os.kill(keeper.pid, signal.Signals[way])
    keeper.wait(timeout=30)
    keeper.stdout.close()

    deadline = time.monotonic() + 10
    while any(map(is_alive, said["pids"].values())) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [name for name, pid in said["pids"].items() if is_alive(pid)] == []
    assert Path(said["folder"]).exists() == (way == "SIGKILL")
