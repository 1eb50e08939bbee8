"""What Slack sends when somebody presses a button or sends a dialog, and how that went."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tests.people.slackworld.world import APP, ENTERPRISE, TEAM, Document, World


@dataclass(slots=True)
class Delivered:
    """How a press went, from the sight of the one who pressed.

    Attributes:
        result: ``acknowledged``; ``timeout`` or ``refused``: they saw an error; ``no socket``.
        answer: what the acknowledgement carried.
        payload: what was sent.
        envelope: its id, over a socket.
    """

    result: str = ""
    answer: Any = None
    payload: Document = field(default_factory=dict)
    envelope: str = ""
    status: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Variety:
    """Ways in which payloads differ.

    Attributes:
        without: fields that are missing.
        null: fields that are null.
        grid: the app is installed for a whole organisation.
        ephemeral: the message is one that only the presser sees.
        value: the button's value in an older version, which the presser's screen still shows.
        late: the trigger has expired by the time the press arrives.
    """

    without: tuple[str, ...] = ()
    null: tuple[str, ...] = ()
    grid: bool = False
    ephemeral: bool = False
    value: str | None = None
    late: bool = False


PLAIN = Variety()


class NothingToPressError(LookupError):
    """The message has no such button, or there is no such message."""


def button_of(message: Mapping[str, Any], action: str) -> Document:
    """A button of a message."""
    for block in message.get("blocks", []):
        candidates = [*block.get("elements", []), block.get("accessory", {})]
        for element in candidates:
            if element.get("action_id") == action:
                return {**copy.deepcopy(element), "block_id": block["block_id"]}
    raise NothingToPressError(action)


def buttons(message: Mapping[str, Any]) -> list[str]:
    """The action ids that a message offers."""
    return [
        element["action_id"]
        for block in message.get("blocks", [])
        for element in block.get("elements", [])
        if "action_id" in element
    ]


def press(
    world: World,
    *,
    address: str,
    channel: str,
    ts: str,
    action: str,
    user: str,
    variety: Variety = PLAIN,
) -> Document:
    """The payload of a press on a message as it stands."""
    place = world.channels[channel]
    if ts not in place.messages:
        raise NothingToPressError(ts)
    message = copy.deepcopy(place.messages[ts])
    button = button_of(message, action)
    if variety.value is not None:
        button["value"] = variety.value
    who = world.users[user]
    trigger = world.trigger(user)
    if variety.late:
        world.triggers[trigger].at -= 10
    container: Document = {
        "type": "message",
        "message_ts": ts,
        "channel_id": channel,
        "is_ephemeral": variety.ephemeral,
    }
    if "thread_ts" in message:
        container["thread_ts"] = message["thread_ts"]
    payload: Document = {
        "type": "block_actions",
        "user": {"id": who.id, "username": who.name, "name": who.name, "team_id": who.team},
        "api_app_id": APP,
        "token": "deprecated",
        "container": container,
        "trigger_id": trigger,
        "team": None if variety.grid else {"id": TEAM, "domain": "acme"},
        "enterprise": {"id": ENTERPRISE, "name": "acme"} if variety.grid else None,
        "is_enterprise_install": variety.grid,
        "channel": {"id": channel, "name": place.name},
        "message": message,
        "state": {"values": {}},
        "response_url": address + world.response_url(user, channel, ts),
        "actions": [{**button, "action_ts": f"{world.clock():.6f}"}],
    }
    return _varied(payload, variety)


def submission(
    world: World, *, view: str, values: Mapping[str, Mapping[str, str]], variety: Variety = PLAIN
) -> Document:
    """The payload of a dialog that is sent: values by block and action."""
    opened = world.views[view]
    who = world.users[opened.user]
    inputs = [block for block in opened.document["blocks"] if block["type"] == "input"]
    state = {
        block["block_id"]: {
            block["element"]["action_id"]: {
                "type": block["element"]["type"],
                "value": values.get(block["block_id"], {}).get(block["element"]["action_id"]),
            }
        }
        for block in inputs
    }
    document = {**copy.deepcopy(opened.document), "state": {"values": state}}
    return _varied(
        {
            "type": "view_submission",
            "team": None if variety.grid else {"id": TEAM, "domain": "acme"},
            "user": {"id": who.id, "username": who.name, "name": who.name, "team_id": who.team},
            "api_app_id": APP,
            "token": "deprecated",
            "trigger_id": world.trigger(who.id),
            "view": document,
            "response_urls": [],
            "is_enterprise_install": variety.grid,
            "enterprise": None,
        },
        variety,
    )


def settle(world: World, *, view: str, delivered: Delivered) -> None:
    """What becomes of a dialog after its acknowledgement."""
    opened = world.views[view]
    if delivered.result != "acknowledged":
        return
    answer = delivered.answer or {}
    match answer.get("response_action"):
        case None | "clear":
            opened.open = False
        case "errors":
            opened.errors = answer["errors"]
        case "update":
            opened.document.update(answer["view"], hash=world.fresh("hash"))
        case _:
            pass


def _varied(payload: Document, variety: Variety) -> Document:
    kept = {key: value for key, value in payload.items() if key not in variety.without}
    return {key: None if key in variety.null else value for key, value in kept.items()}


def signed(
    payload: Mapping[str, Any], *, secret: str, timestamp: int | str
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a press as it comes by HTTP."""
    body = urlencode({"payload": json.dumps(payload)}).encode()
    return body, headers(body, secret=secret, timestamp=timestamp)


def headers(body: bytes, *, secret: str, timestamp: int | str) -> dict[str, str]:
    base = f"v0:{timestamp}:".encode() + body
    signature = hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": str(timestamp),
        "X-Slack-Signature": f"v0={signature}",
        "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
    }
