"""What Slack, its library and the network say when something fails, as errors of ours.

The library shows the same kind of trouble in many ways: an answer that is no JSON is a response
without data, a string in place of a map, or an ``AttributeError`` out of the call itself. Its
errors hold the whole answer, so their text is never passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import aiohttp

from rollout.base.errors import (
    BrokenAnswer,
    ChatRefused,
    Overloaded,
    RolloutError,
    Uncertain,
    Unreachable,
)

if TYPE_CHECKING:
    from slack_sdk.errors import SlackApiError

SERVER = "Slack"

RETRY_AFTER_SECONDS_DEFAULT = 30.0
"""Where Slack does not say how long to wait."""

RETRY_AFTER_SECONDS_MAX = 600.0
"""Longer is surely somebody's mistake; asking again costs one call."""

WORDS_LENGTH_MAX = 300

TROUBLE = (aiohttp.ClientError, TimeoutError, OSError, AttributeError, TypeError, ValueError)
"""What comes out of the library for trouble on the way and for answers that are none of Slack's."""

Fault = Literal["setup", "content", "gone", "late"]

_LATER = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})

_UNSURE = frozenset(
    {"internal_error", "fatal_error", "request_timeout", "service_unavailable", "update_failed"}
)
"""May come after the effect, as Slack's page of chat.postMessage says of the first two."""

_GONE = frozenset(
    {"message_not_found", "cant_update_message", "thread_not_found"}
    | {"cannot_reply_to_message", "streaming_state_conflict"}
)

_LATE = frozenset(
    {"expired_trigger_id", "exchanged_trigger_id", "invalid_trigger_id", "trigger_expired"}
    | {"trigger_exchanged", "expired_url", "used_url"}
)

_CONTENT = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text"}
    | {"metadata_too_large", "invalid_metadata_format", "invalid_metadata_schema"}
    | {"block_mismatch", "invalid_arguments", "view_too_large", "invalid_attachments"}
)

_TOKEN = "give the controller a token of an app that is installed in this workspace"

_REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "not_in_channel": "invite the app to the channel, or give it the scope chat:write.public",
        "channel_not_found": "name a channel that exists, and invite the app if it is private",
        "is_archived": "name a channel that is not archived",
        "is_inactive": "name a channel that is not archived",
        "invalid_auth": _TOKEN,
        "not_authed": _TOKEN,
        "account_inactive": _TOKEN,
        "token_revoked": _TOKEN,
        "token_expired": _TOKEN,
        "not_allowed_token_type": "use the bot token (xoxb-) to post, the app token (xapp-) for"
        " the socket",
        "plan_upgrade_required": "name members instead of user groups, which this plan has not",
        "restricted_action": "let the app post in this channel, in the workspace's settings",
        "user_not_in_channel": "the person has to join the channel",
        "forbidden_team": "install the app in this workspace",
    }
)


def refused(error: SlackApiError, *, what: str, harmless: bool) -> RolloutError:
    """The error for a library's ``SlackApiError``.

    Args:
        error: the library's.
        what: what was asked, such as ``chat.postMessage in C0123``.
        harmless: asking the same again does no harm, so that it does not matter what was done.
    """
    response: object = error.response
    status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0))
    data = getattr(response, "data", None)
    told: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    code = str(told.get("error") or "")
    if status == HTTPStatus.TOO_MANY_REQUESTS or code in _LATER:
        seconds = retry_after_seconds(getattr(response, "headers", None) or {})
        return Overloaded(SERVER, retry_after_seconds=seconds)
    if code in _UNSURE or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return unsure(what, code or f"HTTP {status}", harmless=harmless)
    if not code:
        why = f"HTTP {status} without an answer of Slack's"
        return BrokenAnswer(SERVER, why=why) if harmless else unsure(what, why, harmless=False)
    return ChatRefused(what, code=code, fault=_fault(code), remedy=_remedy(code, told))


def trouble(error: BaseException, *, what: str, harmless: bool) -> RolloutError:
    """The error for anything else that came out of the library; see `TROUBLE`."""
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return Unreachable(SERVER, why=f"no connection ({type(error).__name__})")
    if isinstance(error, TimeoutError):
        return unsure(what, "no answer in time", harmless=harmless)
    if isinstance(error, aiohttp.ClientError | OSError):
        why = f"the connection broke ({type(error).__name__})"
        return unsure(what, why, harmless=harmless)
    why = "the answer is not Slack's"
    return BrokenAnswer(SERVER, why=why) if harmless else unsure(what, why, harmless=False)


def unsure(what: str, why: str, *, harmless: bool) -> RolloutError:
    """It may have been done; where that is no matter, it is as if nobody had been there."""
    if harmless:
        return Unreachable(SERVER, why=f"{what}: {why}")
    return Uncertain(SERVER, what=what, why=why)


def retry_after_seconds(headers: Mapping[str, str]) -> float:
    """How long Slack wants to be left alone."""
    said = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    try:
        seconds = float(said)
    except ValueError:
        seconds = RETRY_AFTER_SECONDS_DEFAULT
    return min(max(seconds, 1.0), RETRY_AFTER_SECONDS_MAX)


def _fault(code: str) -> Fault:
    if code in _GONE:
        return "gone"
    if code in _LATE:
        return "late"
    return "content" if code in _CONTENT else "setup"


def _remedy(code: str, told: Mapping[str, Any]) -> str:
    if code == "missing_scope":
        needed = str(told.get("needed", ""))[:WORDS_LENGTH_MAX]
        return f"add the scope {needed} to the app and install it again"
    if code in _CONTENT:
        metadata = told.get("response_metadata")
        words = metadata.get("messages") if isinstance(metadata, Mapping) else told.get("errors")
        return f"it says {'; '.join(map(str, words))[:WORDS_LENGTH_MAX]}" if words else ""
    if code.startswith("restricted_action"):
        return _REMEDIES["restricted_action"]
    return _REMEDIES.get(code, "")
