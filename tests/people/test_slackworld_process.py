"""The stand-in as a process of its own, steered over its controls."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.people.slackclients import buttons, section
from tests.people.slackworld import BOT_TOKEN

pytestmark = [pytest.mark.servers, pytest.mark.timeout(60)]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    file = tmp_path / "address"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.people.slackworld", "--port-file", str(file)], cwd=ROOT
    )
    try:
        deadline = time.monotonic() + 30
        while not file.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield file.read_text()
    finally:
        process.terminate()
        process.wait(10)


async def test_a_process_takes_calls_and_shows_through_its_controls_what_came_of_them(
    address: str,
) -> None:
    async with aiohttp.ClientSession() as session:

        async def ask(path: str) -> Any:
            async with session.get(f"{address}/_control/{path}") as answer:
                return await answer.json()

        async def tell(path: str, **said: Any) -> Any:
            async with session.post(f"{address}/_control/{path}", json=said) as answer:
                return await answer.json()

        async def call(method: str, **arguments: Any) -> Any:
            async with session.post(
                f"{address}/api/{method}",
                json=arguments,
                headers={"Authorization": f"Bearer {BOT_TOKEN}"},
            ) as answer:
                return await answer.json()

        await tell("channel", id="C0NEW", name="new", members=["UROLLOUT", "U0NEW"])
        await tell("user", id="U0NEW", name="new", email="new@example.com")
        await tell("fault", method="chat.postMessage", fault="code", code="fatal_error")
        blocks = [section("may it?"), buttons("yes")]
        refused = await call("chat.postMessage", channel="#new", text="a", blocks=blocks)
        posted = await call("chat.postMessage", channel="#new", text="a", blocks=blocks)
        pressed = await tell("press", channel="new", action="yes", user="U0NEW")
        nothing = await tell("press", channel="new", action="no", user="U0NEW")
        messages = await ask("messages?channel=new")
        await tell("change", channel="new", archived=True)
        archived = await call("chat.postMessage", channel="#new", text="a")
        calls = await ask("calls?method=chat.postMessage")
        state = await ask("state")

    assert refused["error"] == "fatal_error"
    assert [m["ts"] for m in messages] == [posted["ts"]]
    assert messages[0]["buttons"] == ["yes"]
    assert pressed["result"] == "no socket"
    assert nothing["result"] == "nothing to press"
    assert archived["error"] == "is_archived"
    assert len(calls) == 3
    assert (state["sockets"], state["violations"]) == (0, [])
