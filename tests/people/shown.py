"""Whether Slack would show a message: asked of the stand-in's limits and of Slack's own library."""

from __future__ import annotations

import json
import re
from typing import Any

from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

from rollout.api.chat import Dialog, Message
from tests.people.slackworld import limits

TOTAL_LENGTH_MAX = 8_000
"""Of all texts in a message, its buttons' values included; 13,000 is where Slack refuses for sure,
and below 5,000 nobody has been refused."""

TEXT_LENGTH_MAX = 4_000

HALF = re.compile(r"&(?!amp;|lt;|gt;)|<(?!@[UW]|!date\^|!subteam\^|https?://)")


def faults(message: Message) -> list[str]:
    """What is wrong with a message; nothing: Slack shows it as it is."""
    blocks = [dict(block) for block in message.blocks]
    wrong, odd = limits.of_message(blocks)
    found = [*wrong, *odd]
    if limits.total_length(blocks) > TOTAL_LENGTH_MAX:
        found.append(f"{limits.total_length(blocks)} characters in all")
    if not message.text or len(message.text) > TEXT_LENGTH_MAX:
        found.append(f"{len(message.text)} characters of text")
    if HALF.search(message.text):
        found.append("half an entity in the text")
    json.dumps([message.text, blocks]).encode()
    found += library_faults(blocks)
    return found


def library_faults(blocks: list[dict[str, Any]]) -> list[str]:
    """What Slack's own library finds wrong."""
    parsed = Block.parse_all(blocks)
    found = [f"{type(one).__name__} is unknown" for one in parsed if type(one) is Block]
    if len(parsed) != len(blocks):
        found.append("a block was not understood")
    for one in parsed:
        one.to_dict()  # raises on what it does not take
    return found


def dialog_faults(dialog: Dialog) -> list[str]:
    wrong, odd = limits.of_view(dialog.view)
    View(**json.loads(json.dumps(dialog.view))).to_dict()
    return [*wrong, *odd]


def read_aloud(message: Message) -> str:
    """All that the blocks say, a line a text, without what cannot be seen."""
    return "\n".join(_texts([dict(block) for block in message.blocks]))


def _texts(node: Any) -> list[str]:
    if isinstance(node, dict):
        if node.get("type") in {"plain_text", "mrkdwn"}:
            return [str(node["text"])]
        shown = {key: value for key, value in node.items() if key != "confirm"}
        return [text for value in shown.values() for text in _texts(value)]
    if isinstance(node, list | tuple):
        return [text for one in node for text in _texts(one)]
    return []


def buttons(message: Message) -> dict[str, dict[str, Any]]:
    """The buttons by action."""
    return {
        element["action_id"]: element
        for block in message.blocks
        if block["type"] == "actions"
        for element in block["elements"]
    }
