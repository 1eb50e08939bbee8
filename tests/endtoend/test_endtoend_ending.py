"""However a person leaves, no process stays behind and nobody listens any more."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from pathlib import Path

import orjson
import pytest

from tests.endtoend.conftest import CRDS

pytestmark = [pytest.mark.servers, pytest.mark.timeout(60)]

KEEPER = """
import asyncio, json, sys, tempfile
from pathlib import Path
from rollout.sandbox.stage import Script, stage
from tests.endtoend.hands import RPS, Hands, ladder

async def main():
    crds, home = map(Path, sys.argv[1:])
    async with stage(Script(rps=RPS, crds=[crds])) as up:
        hands = Hands(up, home)
        await hands.controller()
        await hands.put_on(strategy=ladder((50, "60s")))
        await hands.want("v2")
        await hands.until_step(1)
        print(json.dumps({p.name: p.pid for p in up.processes}), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _sockets_of(pid: int) -> set[str]:
    """The inodes of a process' sockets."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if match := re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink())):
            found.add(match[1])
    return found


def _listening() -> dict[str, str]:
    """The addresses on which somebody listens, by the inode of the socket."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9]: row[1] for row in rows if row[3] == "0A"}


@pytest.mark.parametrize("way", ["SIGTERM", "SIGKILL"])
async def test_nothing_stays_behind_in_mid_run(way: str, tmp_path: Path) -> None:
    keeper = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KEEPER, str(CRDS), str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=CRDS.parents[1],
    )
    assert keeper.stdout is not None
    pids = orjson.loads(await keeper.stdout.readline())
    sockets = set().union(*map(_sockets_of, pids.values()))
    addresses = {a for inode, a in _listening().items() if inode in sockets}
    assert {"apiserver", "prometheus", "envoy", "controller-1"} <= set(pids)
    assert len(addresses) >= 6

    os.kill(keeper.pid, signal.Signals[way])
    await keeper.wait()

    deadline = time.monotonic() + 10
    while any(map(_is_alive, pids.values())) and time.monotonic() < deadline:  # noqa: ASYNC110 - they are not our children
        await asyncio.sleep(0.02)
    assert [name for name, pid in pids.items() if _is_alive(pid)] == []
    assert addresses & set(_listening().values()) == set()
