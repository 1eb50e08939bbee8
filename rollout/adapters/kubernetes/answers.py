"""What the API server's answers mean: statuses become our errors, lines become events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from rollout.api.meta import Manifest
from rollout.base import errors
from rollout.ports import WatchEvent

RETRY_AFTER_SECONDS_MAX = 300.0
"""Of what a server asks us to wait, at most this is believed."""

MESSAGE_LENGTH_MAX = 2_000
"""Characters of a refusal that are kept: a strict one quotes the whole object."""

WARNING_COUNT_MAX = 20
"""Warnings of one answer that are kept; webhooks can send any number."""

_TOO_LARGE = ("etcdserver: request is too large", "trying to send message larger than max")
"""Two 500s that no repetition will cure (kubernetes.md 3.1)."""

_WARNING = re.compile(r'\d{3} \S+ "((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer.

    Attributes:
        status: the HTTP status.
        retry_after: what ``Retry-After`` says, as it stands.
        warnings: what the ``Warning`` headers say, as they stand.
        body: as it came, decompressed.
    """

    status: int
    retry_after: str
    warnings: tuple[str, ...]
    body: bytes

    @property
    def is_good(self) -> bool:
        """Whether the server did what was asked."""
        return 200 <= self.status < 300


def refusal(answer: Answer, *, what: str, server: str) -> errors.RolloutError:
    """The error that an answer other than 2xx is.

    Args:
        answer: the answer.
        what: what was asked for, such as ``Rollout shop/checkout``.
        server: who answered.
    """
    message = _message(answer.body)
    return _error(answer.status, message, answer.retry_after, what=what, server=server)


def warnings(headers: tuple[str, ...]) -> tuple[str, ...]:
    """The sentences of ``Warning`` headers (RFC 9111 5.5, ``299 - "sentence"``)."""
    found = [text for header in headers for text in _WARNING.findall(header)]
    return tuple(re.sub(r"\\(.)", r"\1", text) for text in found[:WARNING_COUNT_MAX])


def document(body: bytes, *, server: str) -> Manifest:
    """A JSON object.

    Raises:
        BrokenAnswer: it is something else.
    """
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError as bad:
        raise errors.BrokenAnswer(server, why=f"no JSON: {bad}") from bad
    if not isinstance(decoded, dict):
        raise errors.BrokenAnswer(server, why="JSON, but no object")
    return decoded


def manifest(body: bytes, *, server: str) -> Manifest:
    """An object with metadata.

    Raises:
        BrokenAnswer: it is something else.
    """
    decoded = document(body, server=server)
    if not isinstance(decoded.get("metadata"), dict):
        raise errors.BrokenAnswer(server, why="an object without metadata")
    return decoded


def event(line: bytes, *, what: str, server: str) -> WatchEvent:
    """A line of a watch.

    Raises:
        Gone: an ``ERROR`` event with code 410, which is how a server says that a version is too
            old; it does so in a stream that began with 200.
        RolloutError: other ``ERROR`` events, by their code.
        BrokenAnswer: the line is no event.
    """
    decoded = document(line, server=server)
    told = decoded.get("object")
    if not isinstance(told, dict):
        raise errors.BrokenAnswer(server, why="an event without an object")
    kind = decoded.get("type")
    if kind == "ERROR":
        message = str(told.get("message", ""))[:MESSAGE_LENGTH_MAX]
        raise _error(_status_code(told), message, "", what=what, server=server)
    metadata = told.get("metadata")
    if kind not in {"ADDED", "MODIFIED", "DELETED", "BOOKMARK"} or not isinstance(metadata, dict):
        raise errors.BrokenAnswer(server, why=f"an event of type {kind!r:.40} without meaning")
    if kind != "BOOKMARK" and "name" not in metadata:
        raise errors.BrokenAnswer(server, why="an event about an object without a name")
    return WatchEvent(type=kind, object=told)


def _error(
    code: int, message: str, retry_after: str, *, what: str, server: str
) -> errors.RolloutError:
    seconds = _seconds(retry_after)
    if code == 404:
        return errors.NotFound(what)
    if code == 409:
        return errors.Conflict(what)
    if code == 410:
        return errors.Gone(what)
    if code == 429 or (code in {503, 504} and seconds):
        return errors.Overloaded(server, retry_after_seconds=seconds)
    if code == 408 or (code >= 500 and not any(text in message for text in _TOO_LARGE)):
        return errors.Unreachable(server, why=f"{code} {message}".strip())
    if code >= 400:
        return errors.Denied(what, status_code=code, message=message or f"HTTP {code}")
    return errors.BrokenAnswer(server, why=f"unexpected HTTP status {code}")


def _message(body: bytes) -> str:
    """The sentence in a Status, or the text itself: some answers are plain text."""
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        decoded = None
    if isinstance(decoded, dict) and isinstance(decoded.get("message"), str):
        return str(decoded["message"])[:MESSAGE_LENGTH_MAX]
    return body[:MESSAGE_LENGTH_MAX].decode(errors="replace").strip()


def _status_code(status: Mapping[str, Any]) -> int:
    code = status.get("code")
    if isinstance(code, int):
        return code
    return 410 if status.get("reason") in {"Expired", "Gone"} else 500


def _seconds(retry_after: str) -> float:
    """Kubernetes sends seconds, never a date."""
    return min(float(retry_after), RETRY_AFTER_SECONDS_MAX) if retry_after.isdecimal() else 0.0
