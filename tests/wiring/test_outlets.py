"""Whom settings let a controller talk to, and what is said of settings that cannot be used."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from rollout import settings
from rollout.base.errors import BadManifest, Unreachable
from rollout.controller.correspondence import Outlets
from rollout.web import slack as web_slack
from rollout.wiring import outlets
from tests.stories import gray
from tests.world.chat import FakeChat
from tests.world.clock import FakeClock

SECRET = "xoxb-1-do-not-tell"


@pytest_asyncio.fixture
async def stack() -> AsyncIterator[contextlib.AsyncExitStack]:
    async with contextlib.AsyncExitStack() as opened:
        yield opened


async def made(stack: contextlib.AsyncExitStack, **chosen: Any) -> Outlets:
    return await outlets.of(replace(settings.read(environ={}), **chosen), FakeClock(), stack)


def file(folder: Path, text: str, name: str = "token") -> Path:
    path = folder / name
    path.write_text(text)
    return path


async def test_where_nothing_is_configured_nobody_can_be_told(
    stack: contextlib.AsyncExitStack,
) -> None:
    found = await made(stack)

    assert (found.chat, found.hooks, found.hook_prefixes) == (None, None, ())
    assert not found.pressable


async def test_prefixes_are_separated_by_commas_and_allow_posting(
    stack: contextlib.AsyncExitStack,
) -> None:
    found = await made(stack, hooks=" https://a.example.com/x/ ,http://b.svc:8080/, ")

    assert found.hook_prefixes == ("https://a.example.com/x/", "http://b.svc:8080/")
    assert found.hooks is not None


async def test_what_was_opened_is_closed_with_the_stack() -> None:
    async with contextlib.AsyncExitStack() as opened:
        found = await made(opened, hooks="http://127.0.0.1:1/")
        assert found.hooks is not None
        with pytest.raises(Unreachable, match="Cannot connect"):
            await found.hooks.post(
                "http://127.0.0.1:1/", {}, content_type="a/b", idempotency_key="k"
            )

    with pytest.raises(RuntimeError, match="closed"):
        await found.hooks.post("http://127.0.0.1:1/", {}, content_type="a/b", idempotency_key="k")


@pytest.mark.parametrize(
    "prefix",
    [
        "https://hooks.example.com",
        "hooks.example.com/",
        "ftp://hooks.example.com/",
        "https:///x",
        "*",
        "http://[/",
        "http://a.example.com:99999/",
        "https://ci:pw@hooks.example.com",
    ],
)
async def test_a_prefix_that_would_allow_more_than_it_says_is_refused_with_a_remedy(
    stack: contextlib.AsyncExitStack, prefix: str
) -> None:
    with pytest.raises(BadManifest) as caught:
        await made(stack, hooks=f"https://good.example.com/,{prefix}")

    assert caught.value.field == "ROLLOUT_HOOKS"
    assert "https://hooks.example.com/, with the slash after the host" in caught.value.remedy


async def test_a_token_alone_tells_in_slack_without_buttons(
    stack: contextlib.AsyncExitStack, tmp_path: Path
) -> None:
    found = await made(
        stack, slack_token_file=file(tmp_path, f"\n {SECRET} \n"), slack_channel="#deploys"
    )

    assert found.chat is not None
    assert not found.pressable
    assert found.default_channel == "#deploys"


@pytest.mark.parametrize("field", ["slack_app_token_file", "slack_secret_file"])
async def test_a_socket_or_a_secret_makes_buttons(
    stack: contextlib.AsyncExitStack, tmp_path: Path, field: str
) -> None:
    token, other = file(tmp_path, SECRET), file(tmp_path, "xapp-1", "other")

    assert (await made(stack, slack_token_file=token, **{field: other})).pressable
    assert not (await made(stack, **{field: other})).pressable


@pytest.mark.parametrize("text", ["", "\n \n", "x" * 513], ids=["empty", "blank", "too long"])
async def test_a_file_without_a_token_is_told_by_its_variable_and_not_by_what_it_holds(
    stack: contextlib.AsyncExitStack, tmp_path: Path, text: str
) -> None:
    path = file(tmp_path, text)

    with pytest.raises(BadManifest) as caught:
        await made(stack, slack_token_file=path)

    assert caught.value.field == "ROLLOUT_SLACK_TOKEN_FILE"
    assert str(path) in str(caught.value)
    assert "xxx" not in str(caught.value)


@pytest.mark.parametrize("app", [False, True])
async def test_a_file_that_is_not_there_is_told_by_its_variable(
    stack: contextlib.AsyncExitStack, tmp_path: Path, *, app: bool
) -> None:
    nowhere = tmp_path / "nowhere"
    chosen = {"slack_token_file": file(tmp_path, SECRET) if app else nowhere}
    if app:
        chosen["slack_app_token_file"] = nowhere

    with pytest.raises(BadManifest) as caught:
        await made(stack, **chosen)

    name = "APP_TOKEN" if app else "TOKEN"
    assert caught.value.field == f"ROLLOUT_SLACK_{name}_FILE"
    assert "FileNotFoundError" in str(caught.value)
    assert SECRET not in str(caught.value)


async def test_a_file_that_is_no_text_is_told_without_its_bytes(
    stack: contextlib.AsyncExitStack, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"\xff\xfe secret")

    with pytest.raises(BadManifest, match="UnicodeDecodeError") as caught:
        await made(stack, slack_token_file=path)

    assert "secret" not in str(caught.value).replace("Secret", "")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def knocked(port: int) -> int:
    """What an unsigned press is answered; 0: nobody is there."""
    url = f"http://127.0.0.1:{port}{web_slack.PATH}"
    async with aiohttp.ClientSession() as session:
        try:
            async with session.post(url, data={"payload": "{}"}) as answer:
                return answer.status
        except aiohttp.ClientConnectorError:
            return 0


@pytest.mark.parametrize(("secret", "chat", "status"), [(1, 1, 401), (0, 1, 0), (1, 0, 0)])
async def test_the_door_for_presses_is_open_where_there_are_a_secret_and_a_chat_and_lets_no_one_in(
    tmp_path: Path, secret: int, chat: int, status: int
) -> None:
    port, clock = free_port(), FakeClock()
    story = gray.furnished()
    people = Outlets(chat=FakeChat(clock), pressable=True) if chat else Outlets()
    chosen = replace(
        settings.read(environ={}),
        slack_secret_file=file(tmp_path, "a-signing-secret") if secret else None,
        press_port=port,
    )
    async with contextlib.AsyncExitStack() as opened:
        await outlets.door(chosen, gray.controller(story, outlets=people), clock, opened)

        assert await knocked(port) == status

    assert await knocked(port) == 0
