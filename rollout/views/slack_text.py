"""Text as Slack takes it: escaped once, cut to its limits, and never half of an entity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

Block = Mapping[str, Any]

ELLIPSIS = "…"

HEADER_LENGTH_MAX = 150
SECTION_LENGTH_MAX = 3000
FIELD_LENGTH_MAX = 2000
BUTTON_LENGTH_MAX = 75
VALUE_LENGTH_MAX = 2000
CONFIRM_TITLE_LENGTH_MAX = 100
CONFIRM_TEXT_LENGTH_MAX = 300
CONFIRM_BUTTON_LENGTH_MAX = 30
MODAL_TITLE_LENGTH_MAX = 24
NOTE_LENGTH_MAX = 3000
URL_LENGTH_MAX = 2000

TEXT_LENGTH_MAX = 3000
"""What is shown in notifications; an update takes 4000 characters."""

_ENTITIES: Mapping[str, str] = MappingProxyType({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def tame(text: str) -> str:
    """Text from outside in one line, without signs that cannot be seen or that turn it around."""
    return "".join(sign for sign in " ".join(text.split()) if sign.isprintable())


def escaped(text: str, length_max: int = SECTION_LENGTH_MAX) -> str:
    """Text from outside for ``mrkdwn`` and for the text of a message.

    Slack's three signs are escaped; what is too long ends with an ellipsis, before an entity or
    after it. Stars and ticks still format: that is looks, and nothing else.
    """
    parts = [_ENTITIES.get(sign, sign) for sign in tame(text)]
    if sum(map(len, parts)) <= length_max:
        return "".join(parts)
    kept: list[str] = []
    left = length_max - len(ELLIPSIS) - len(parts[0])
    while left >= 0:
        kept.append(parts[len(kept)])
        left -= len(parts[len(kept)])
    return "".join(kept) + ELLIPSIS


def cut(text: str, length_max: int) -> str:
    """Text for ``plain_text``, where nothing is escaped."""
    tamed = tame(text)
    return tamed if len(tamed) <= length_max else tamed[: length_max - 1] + ELLIPSIS


def moment(at: datetime, *, form: str = "{date_short_pretty} {time}") -> str:
    """A time in the reader's own zone; in UTC where that is not known."""
    return f"<!date^{int(at.timestamp())}^{form}|{at:%Y-%m-%d %H:%M} UTC>"


def person(name: str) -> str:
    """A person's name: a mention for a Slack user without an e-mail, else as it is."""
    member = name.removeprefix("slack:")
    if member != name and _is_id(member, "UW"):
        return f"<@{member}>"
    return escaped(name, 253)


def group(name: str) -> str:
    """A user group of Slack's, which is told."""
    return f"<!subteam^{name}>" if _is_id(name, "S") else escaped(name, 64)


def link(url: str, label: str) -> str:
    """A link; empty where the address is none that Slack can take."""
    plain = url.isascii() and url.isprintable() and not set(url) & set(' <>|"')
    if not plain or not url.startswith(("https://", "http://")) or len(url) > URL_LENGTH_MAX:
        return ""
    return f"<{url.replace('&', '&amp;')}|{escaped(label, 100)}>"


def _is_id(name: str, firsts: str) -> bool:
    return name[:1] in firsts and name.isascii() and name.isalnum() and name == name.upper()


# Blocks.


def mrkdwn(text: str) -> Block:
    """Text that is escaped already; names in it are not turned into links or mentions."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def plain(text: str, length_max: int) -> Block:
    """Text that formats nothing."""
    return {"type": "plain_text", "text": cut(text, length_max) or "-", "emoji": False}


def header(text: str) -> Block:
    """A title."""
    return {"type": "header", "text": plain(text, HEADER_LENGTH_MAX)}


def section(text: str) -> Block:
    """A paragraph, escaped already."""
    return {"type": "section", "text": mrkdwn(text)}


def context(*texts: str) -> Block:
    """Small print, escaped already."""
    return {"type": "context", "elements": [mrkdwn(text) for text in texts]}


def lines(found: Sequence[str], *, length_max: int) -> str:
    """Lines that are escaped already, as many as fit whole, and how many more there are."""
    kept: list[str] = []
    left = length_max - len("and 99 more")
    for number, text in enumerate(found):
        left -= len(text) + 1
        if left < 0:
            return "\n".join([*kept, f"and {len(found) - number} more"])
        kept.append(text)
    return "\n".join(kept)
