"""Reads what Slack sends when somebody presses something; over a socket and by HTTP it is the same.

Trusted is who pressed and where; what our own message carried along may be of an old version of it,
and names and texts are anybody's. Nearly every field may be missing or null.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rollout.api.chat import (
    REASON_ACTION,
    REASON_BLOCK,
    Acknowledge,
    Press,
    Pressed,
    Spot,
    text_of,
    unusable,
)

ID_LENGTH_MAX = 64
"""Ids of members, channels and messages are shorter."""

VALUE_LENGTH_MAX = 3000
"""A button's value takes 2000 characters, a dialog's note 3000."""

REASON_LENGTH_MAX = 3000
"""What a field of a dialog takes."""


def read(payload: object, *, ack: Acknowledge) -> Press | None:
    """The press in an interaction payload; None: nothing is asked of us, acknowledging it will do.

    Raises:
        BadInput: it says nothing that a press of ours would say.
    """
    if not isinstance(payload, Mapping):
        raise unusable(why="no object")
    match payload.get("type"):
        case "block_actions":
            return _button(payload, ack)
        case "view_submission":
            return _dialog(payload, ack)
        case _:
            return None


def note(value: str, spot: Spot | None, *, thread: str = "") -> str:
    """What a dialog carries along, so that its answer is known to belong to a message."""
    where = {"channel": spot.channel, "ts": spot.ts, "thread": thread} if spot else {}
    return json.dumps({"value": value, **where}, separators=(",", ":"))


def _button(payload: Mapping[str, Any], ack: Acknowledge) -> Press | None:
    actions = payload.get("actions")
    if not isinstance(actions, list) or not actions or not isinstance(actions[0], Mapping):
        raise unusable(why="no action")
    action = actions[0]
    name = text_of(action, "action_id")
    if action.get("type") != "button":
        return None
    channel = text_of(payload, "channel", "id") or text_of(payload, "container", "channel_id")
    ts = text_of(payload, "container", "message_ts") or text_of(payload, "message", "ts")
    thread = text_of(payload, "container", "thread_ts") or text_of(payload, "message", "thread_ts")
    member = _id(text_of(payload, "user", "id"), "who pressed")
    spot = Spot(channel=_id(channel), ts=_id(ts)) if channel and ts else None
    moment = text_of(action, "action_ts") or text_of(payload, "trigger_id")
    return Press(
        id=f"{member}/{channel}/{ts}/{name}/{moment}"[: 4 * ID_LENGTH_MAX],
        what=Pressed.BUTTON,
        member=member,
        action=name,
        value=_short(text_of(action, "value"), VALUE_LENGTH_MAX),
        spot=spot,
        thread=_id(thread) if thread else "",
        trigger=text_of(payload, "trigger_id"),
        answer_url=text_of(payload, "response_url"),
        ack=ack,
    )


def _dialog(payload: Mapping[str, Any], ack: Acknowledge) -> Press:
    member = _id(text_of(payload, "user", "id"), "who pressed")
    told = _noted(text_of(payload, "view", "private_metadata"))
    channel, ts = text_of(told, "channel"), text_of(told, "ts")
    said = text_of(payload, "view", "state", "values", REASON_BLOCK, REASON_ACTION, "value")
    return Press(
        id="/".join((member, text_of(payload, "view", "id")))[: 4 * ID_LENGTH_MAX],
        what=Pressed.DIALOG,
        member=member,
        action=text_of(payload, "view", "callback_id"),
        value=_short(text_of(told, "value"), VALUE_LENGTH_MAX),
        reason=" ".join(said[:REASON_LENGTH_MAX].split()),
        spot=Spot(channel=_id(channel), ts=_id(ts)) if channel and ts else None,
        thread=text_of(told, "thread")[:ID_LENGTH_MAX],
        ack=ack,
    )


def _noted(text: str) -> Mapping[str, Any]:
    """What `note` wrote."""
    try:
        told = json.loads(text[: 2 * VALUE_LENGTH_MAX])
    except (ValueError, RecursionError) as error:
        raise unusable(why="the dialog's note is not ours") from error
    if not isinstance(told, dict):
        raise unusable(why="the dialog's note is not ours")
    return told


def _id(text: str, what: str = "where") -> str:
    if not text or len(text) > ID_LENGTH_MAX or not text.isascii() or not text.isprintable():
        raise unusable(why=f"it does not say {what}")
    return text


def _short(text: str, length_max: int) -> str:
    if len(text) > length_max:
        raise unusable(why="its value is longer than any of ours")
    return text
