"""What Slack takes for blocks and modals: lengths, counts, names that must differ.

The lengths are those of Slack's reference pages and, where these say nothing, those that its own
library checks. What is wrong is told as Slack tells it, with a pointer into the document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Found = Iterator[tuple[str, str]]
"""Pointer and complaint."""

BLOCKS_MAX = 50
MODAL_BLOCKS_MAX = 100
TOTAL_LENGTH_MAX = 13_000
VIEW_BYTES_MAX = 250_000
METADATA_BYTES_MAX = 8_000

_ENTITY = re.compile(r"&(?!(?:amp|lt|gt);)")
_BARE = re.compile(r"<(?![@#!]|https?://|mailto:)")


class Check:
    """One look at one document."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def blocks(self, blocks: object, *, most: int, inside: str = "/blocks") -> Found:
        if not isinstance(blocks, list):
            yield inside, "must be an array"
            return
        if len(blocks) > most:
            yield inside, f"no more than {most} items allowed"
        seen: set[str] = set()
        for index, block in enumerate(blocks):
            where = f"{inside}/{index}"
            if not isinstance(block, Mapping):
                yield where, "must be an object"
                continue
            name = block.get("block_id")
            if name is not None:
                yield from _length(name, 255, f"{where}/block_id", least=0)
                if name in seen:
                    yield f"{where}/block_id", "block_id already exists"
                seen.add(str(name))
            look = _BLOCKS.get(str(block.get("type")))
            if look is None:
                yield f"{where}/type", "unsupported type"
            else:
                yield from look(self, block, where)

    def text(
        self,
        text: object,
        where: str,
        *,
        most: int = 3000,
        plain: bool = False,
    ) -> Found:
        if not isinstance(text, Mapping):
            yield where, "missing required field: text"
            return
        kind = text.get("type")
        if kind not in {"plain_text", "mrkdwn"} or (plain and kind != "plain_text"):
            yield f"{where}/type", "must be plain_text" if plain else "unsupported type"
        yield from _unknown(text, {"type", "text", "emoji", "verbatim"}, where)
        if kind == "plain_text" and "verbatim" in text:
            yield f"{where}/verbatim", "only allowed for mrkdwn"
        yield from _length(text.get("text"), most, f"{where}/text")
        if kind == "mrkdwn" and isinstance(text.get("text"), str):
            self._entities(str(text["text"]), where)

    def _entities(self, text: str, where: str) -> None:
        """Slack shows these as it can; an honest author does not send them."""
        if _ENTITY.search(text):
            self.warnings.append(f"half an entity or a bare ampersand at {where}")
        if _BARE.search(text):
            self.warnings.append(f"a bare angle bracket at {where}")

    def element(self, element: object, where: str) -> Found:
        if not isinstance(element, Mapping) or element.get("type") != "button":
            yield where, "unsupported element"
            return
        yield from self.text(element.get("text"), f"{where}/text", most=75, plain=True)
        yield from _length(element.get("action_id"), 255, f"{where}/action_id", least=1)
        for name, most in (("value", 2000), ("url", 3000), ("accessibility_label", 75)):
            if name in element:
                yield from _length(element[name], most, f"{where}/{name}")
        if element.get("style") not in {None, "primary", "danger"}:
            yield f"{where}/style", "must be primary or danger"
        if "confirm" in element:
            yield from self.confirm(element["confirm"], f"{where}/confirm")

    def confirm(self, confirm: object, where: str) -> Found:
        if not isinstance(confirm, Mapping):
            yield where, "must be an object"
            return
        yield from self.text(confirm.get("title"), f"{where}/title", most=100, plain=True)
        for name in ("confirm", "deny"):
            yield from self.text(confirm.get(name), f"{where}/{name}", most=30, plain=True)
        yield from self.text(confirm.get("text"), f"{where}/text", most=300)
        text = confirm.get("text")
        if isinstance(text, Mapping) and text.get("type") == "mrkdwn":
            self.warnings.append(f"the docs want plain_text at {where}/text")

    def view(self, view: Mapping[str, Any]) -> Found:
        if view.get("type") != "modal":
            yield "/view/type", "only modals are known here"
        for name in ("title", "submit", "close"):
            if name in view or name == "title":
                yield from self.text(view.get(name), f"/view/{name}", most=24, plain=True)
        for name, most in (("private_metadata", 3000), ("callback_id", 255), ("external_id", 255)):
            if name in view:
                yield from _length(view[name], most, f"/view/{name}", least=0)
        yield from self.blocks(view.get("blocks"), most=MODAL_BLOCKS_MAX, inside="/view/blocks")
        kinds = [b.get("type") for b in view.get("blocks", []) if isinstance(b, Mapping)]
        if "input" in kinds and "submit" not in view:
            yield "/view/submit", "required with an input block"


def _section(check: Check, block: Mapping[str, Any], where: str) -> Found:
    yield from _unknown(block, {"type", "text", "fields", "accessory", "block_id", "expand"}, where)
    fields = block.get("fields")
    if "text" not in block and not fields:
        yield where, "needs text or fields"
    if "text" in block:
        yield from check.text(block["text"], f"{where}/text")
    if fields is not None:
        yield from _count(fields, 10, f"{where}/fields")
        for index, field in enumerate(fields):
            yield from check.text(field, f"{where}/fields/{index}", most=2000)
    if "accessory" in block:
        yield from check.element(block["accessory"], f"{where}/accessory")


def _header(check: Check, block: Mapping[str, Any], where: str) -> Found:
    yield from _unknown(block, {"type", "text", "block_id", "level"}, where)
    yield from check.text(block.get("text"), f"{where}/text", most=150, plain=True)


def _context(check: Check, block: Mapping[str, Any], where: str) -> Found:
    yield from _unknown(block, {"type", "elements", "block_id"}, where)
    elements = block.get("elements")
    yield from _count(elements, 10, f"{where}/elements")
    for index, element in enumerate(elements if isinstance(elements, list) else []):
        yield from check.text(element, f"{where}/elements/{index}")


def _actions(check: Check, block: Mapping[str, Any], where: str) -> Found:
    yield from _unknown(block, {"type", "elements", "block_id"}, where)
    elements = block.get("elements")
    yield from _count(elements, 25, f"{where}/elements")
    names: set[str] = set()
    for index, element in enumerate(elements if isinstance(elements, list) else []):
        yield from check.element(element, f"{where}/elements/{index}")
        name = element.get("action_id") if isinstance(element, Mapping) else None
        if name in names:
            yield f"{where}/elements/{index}/action_id", "action_id already exists"
        names.add(str(name))


def _input(check: Check, block: Mapping[str, Any], where: str) -> Found:
    known = {"type", "label", "element", "hint", "optional", "block_id", "dispatch_action"}
    yield from _unknown(block, known, where)
    yield from check.text(block.get("label"), f"{where}/label", most=2000, plain=True)
    if "hint" in block:
        yield from check.text(block["hint"], f"{where}/hint", most=2000, plain=True)
    element = block.get("element")
    if not isinstance(element, Mapping) or element.get("type") != "plain_text_input":
        yield f"{where}/element", "unsupported element"
        return
    if "placeholder" in element:
        yield from check.text(
            element["placeholder"], f"{where}/element/placeholder", most=150, plain=True
        )
    if not 0 < int(element.get("max_length", 3000)) <= 3000:
        yield f"{where}/element/max_length", "must be between 1 and 3000"


def _image(_: Check, block: Mapping[str, Any], where: str) -> Found:
    if ("image_url" in block) == ("slack_file" in block):
        yield where, "needs image_url or slack_file, not both"
    yield from _length(block.get("alt_text"), 2000, f"{where}/alt_text")
    if "image_url" in block:
        yield from _length(block["image_url"], 3000, f"{where}/image_url")


def _divider(_: Check, block: Mapping[str, Any], where: str) -> Found:
    yield from _unknown(block, {"type", "block_id"}, where)


_BLOCKS: Mapping[str, Callable[[Check, Mapping[str, Any], str], Found]] = {
    "section": _section,
    "header": _header,
    "context": _context,
    "actions": _actions,
    "input": _input,
    "image": _image,
    "divider": _divider,
}


def _length(text: object, most: int, where: str, *, least: int = 1) -> Found:
    if not isinstance(text, str):
        yield where, "must be a string"
    elif len(text) > most:
        yield where, f"must be less than {most + 1} characters"
    elif len(text) < least:
        yield where, f"must be more than {least - 1} characters"


def _count(items: object, most: int, where: str) -> Found:
    if not isinstance(items, list) or not items:
        yield where, "must be a filled array"
    elif len(items) > most:
        yield where, f"no more than {most} items allowed"


def _unknown(document: Mapping[str, Any], known: set[str], where: str) -> Found:
    for name in document.keys() - known:
        yield f"{where}/{name}", "unsupported field"


def complaints(found: Found) -> list[str]:
    """As Slack words them."""
    return [f"{words} [json-pointer:{where}]" for where, words in found]


def of_message(blocks: object) -> tuple[list[str], list[str]]:
    """What is wrong with the blocks of a message, and what is only odd."""
    check = Check()
    found = complaints(check.blocks(blocks, most=BLOCKS_MAX))
    kinds = [b.get("type") for b in blocks if isinstance(b, Mapping)] if not found else []  # type: ignore[attr-defined]
    if "input" in kinds:
        found.append("input blocks are not for messages [json-pointer:/blocks]")
    return found, check.warnings


def of_view(view: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What is wrong with a modal, and what is only odd."""
    check = Check()
    return complaints(check.view(view)), check.warnings


def total_length(blocks: Sequence[object]) -> int:
    """Characters of all texts; the limit on them is not published."""
    total = 0
    for block in blocks:
        if isinstance(block, Mapping):
            total += sum(total_length([value]) for value in block.values())
        elif isinstance(block, list):
            total += total_length(block)
        elif isinstance(block, str):
            total += len(block)
    return total
