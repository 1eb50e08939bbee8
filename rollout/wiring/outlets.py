"""Slack and other addresses, as settings name them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from urllib.parse import urlsplit

from rollout.adapters import slack
from rollout.adapters.hooks import HttpHooks
from rollout.base.errors import BadManifest
from rollout.controller.correspondence import Outlets
from rollout.controller.manager import Manager
from rollout.ports import Clock
from rollout.settings import Settings
from rollout.web import slack as door_of

LINE_LENGTH_MAX = 512
"""Characters of a token or a secret."""


async def of(chosen: Settings, clock: Clock, stack: contextlib.AsyncExitStack) -> Outlets:
    """Whom the controller can talk to; what is opened is closed with the stack.

    Raises:
        BadManifest: a file with a token cannot be read, or holds none.
    """
    prefixes = tuple(part.strip() for part in chosen.hooks.split(",") if part.strip())
    for prefix in prefixes:
        _check_prefix(prefix)
    hooks = HttpHooks() if prefixes else None
    if hooks is not None:
        stack.push_async_callback(hooks.close)
    chat = _chat(chosen, clock)
    if chat is not None:
        stack.push_async_callback(chat.close)
    by_socket, by_http = chosen.slack_app_token_file, chosen.slack_secret_file
    return Outlets(
        chat=chat,
        hooks=hooks,
        default_channel=chosen.slack_channel,
        hook_prefixes=prefixes,
        pressable=chat is not None and (by_socket is not None or by_http is not None),
        has_socket=by_socket is not None,
        link=chosen.link,
    )


async def door(
    chosen: Settings, manager: Manager, clock: Clock, stack: contextlib.AsyncExitStack
) -> None:
    """Open the door for signed presses, where a secret is given."""
    presser = manager.correspondence.presser
    if presser is None or chosen.slack_secret_file is None:
        return
    await stack.enter_async_context(
        door_of.serving(
            presser.handle,
            secrets=_lines(chosen.slack_secret_file, "ROLLOUT_SLACK_SECRET_FILE"),
            clock=clock,
            host=chosen.press_host,
            port=chosen.press_port,
        )
    )


def _chat(chosen: Settings, clock: Clock) -> slack.SlackChat | None:
    if chosen.slack_token_file is None:
        return None
    app_token = ""
    if chosen.slack_app_token_file is not None:
        app_token = _lines(chosen.slack_app_token_file, "ROLLOUT_SLACK_APP_TOKEN_FILE")[0]
    options = slack.Options(
        bot_token=_lines(chosen.slack_token_file, "ROLLOUT_SLACK_TOKEN_FILE")[0],
        app_token=app_token,
        api_url=chosen.slack_api,
        hooks_url=chosen.slack_hooks,
        proxy=chosen.slack_proxy,
    )
    return slack.SlackChat(options, clock=clock)


def _lines(path: Path, variable: str) -> list[str]:
    """The lines of a file with secrets; they are never told."""
    try:
        found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeError) as error:
        problem = f"names {path}, which cannot be read ({type(error).__name__})"
        remedy = "mount the Secret there, readable for the controller's user"
        raise BadManifest(field=variable, problem=problem, remedy=remedy) from error
    lines = [line for line in found if line]
    if not lines or max(len(line) for line in lines) > LINE_LENGTH_MAX:
        problem = f"names {path}, which holds no token"
        raise BadManifest(field=variable, problem=problem, remedy="put the token alone in it")
    return lines


def _check_prefix(prefix: str) -> None:
    """What stands before the path must be whole: `https://hooks.example.com` allows more hosts."""
    if not _is_whole(prefix):
        remedy = "use one such as https://hooks.example.com/, with the slash after the host"
        raise BadManifest(field="ROLLOUT_HOOKS", problem=f"has {prefix!r}", remedy=remedy)


def _is_whole(prefix: str) -> bool:
    try:
        split = urlsplit(prefix)
        named = split.scheme in {"http", "https"} and split.hostname and split.port != 0
    except ValueError:
        return False
    return bool(named) and split.path.startswith("/")
