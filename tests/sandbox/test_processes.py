"""Starting, waiting, ending; and what is said when something does not come up."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from pathlib import Path

import pytest

from rollout.base.errors import CannotStart
from rollout.sandbox.logs import BoundedLog
from rollout.sandbox.processes import Command, Process, Processes, free_port

READY = 'import sys, time; print(\'starting\'); print(\'{"port": 7, "url": "x"}\', flush=True); '


def python(name: str, code: str) -> Command:
    return Command(name=name, argv=[sys.executable, "-S", "-c", code])


def is_alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_a_process_is_ready_when_it_prints_a_line_of_json(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        process = await processes.start(python("a", READY + "time.sleep(60)"))

        assert process.answer == {"port": 7, "url": "x"}
        assert process.port == 7
        assert [p.name for p in processes.table] == ["a"]
    assert process.returncode is not None
    assert processes.table == ()


async def test_a_process_that_prints_nothing_is_ready_when_the_probe_says_so(
    tmp_path: Path,
) -> None:
    mark = tmp_path / "mark"

    async def is_ready() -> bool:
        return mark.exists()

    code = f"import pathlib, time; pathlib.Path({str(mark)!r}).touch(); time.sleep(60)"
    argv = [sys.executable, "-S", "-c", code]
    async with Processes(tmp_path) as processes:
        process = await processes.start(Command(name="a", argv=argv, is_ready=is_ready, port=9))

        assert process.returncode is None
        assert process.port == 9


async def test_a_process_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        with pytest.raises(CannotStart) as caught:
            await processes.start(python("a", "print('port is taken'); raise SystemExit(3)"))

    assert str(caught.value) == (
        "a did not come up: it ended with code 3; its last lines:\nport is taken"
    )


async def test_a_process_that_is_never_ready_is_given_up_and_ended(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        with pytest.raises(CannotStart, match=r"it was not ready after 0\.3 s"):
            await processes.start(python("a", "import time; time.sleep(60)"), ready_seconds_max=0.3)
        pid = processes.table[0].pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    async with Processes(tmp_path) as processes:
        with pytest.raises(CannotStart, match="No such file"):
            await processes.start(Command(name="a", argv=["/nowhere/a"]))


async def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    async with Processes(tmp_path) as processes:
        process = await processes.start(python("a", ignore + READY + "time.sleep(60)"))
    assert process.returncode == -9


async def test_what_a_process_started_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; "
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)']); "
        "print('{\"child\": %d}' % child.pid, flush=True); time.sleep(60)"
    )
    async with Processes(tmp_path) as processes:
        process = await processes.start(python("a", code))
        child = process.answer["child"]

    deadline = time.monotonic() + 5
    while is_alive(child) and time.monotonic() < deadline:  # noqa: ASYNC110 - it must be asked
        await asyncio.sleep(0.02)
    assert not is_alive(child)


async def test_processes_end_when_the_context_is_left_by_an_exception(tmp_path: Path) -> None:
    started: list[Process] = []

    async def fail_on_stage() -> None:
        async with Processes(tmp_path) as processes:
            started.append(await processes.start(python("a", READY + "time.sleep(60)")))
            raise KeyError

    with pytest.raises(KeyError):
        await fail_on_stage()

    assert started[0].returncode is not None


def test_a_log_never_holds_more_than_twice_its_bound(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "a.log", bytes_max=1000)

    for number in range(100):
        log.write(b"%098d\n" % number)
    log.close()

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2000
    assert log.tail(lines=1).endswith("99")


def test_a_closed_log_takes_no_more(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "a.log")
    log.write(b"first\n")
    log.close()

    log.write(b"second\n")

    assert log.tail() == "first"


def test_a_free_port_can_be_taken() -> None:
    port = free_port()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
