"""What pydantic says of a wrong value, in words that tell a person what to write instead."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from rollout.api.gate import NAME_PATTERN
from rollout.api.rollout import HOST_PATTERN, LABEL_PATTERN
from rollout.api.window import CRON_PATTERN
from rollout.base.quantity import DURATION_PATTERN

SHOWN_LENGTH_MAX = 60
"""Characters of a wrong value that are repeated: enough to find it, short enough for one line."""

_PATTERNS: Mapping[str, str] = {
    DURATION_PATTERN: "use a duration such as 90s, 10m or 1h30m",
    NAME_PATTERN: "use lower-case letters, digits and dashes",
    HOST_PATTERN: "use the name of one service, such as reviews or reviews.shop.svc.cluster.local",
    CRON_PATTERN: "use five parts, such as 0 9 * * mon-fri",
    LABEL_PATTERN: "use a label's name: letters, digits and underscores",
}

_TYPES: Mapping[str, str] = {
    "string_type": "use text; put it in quotes",
    "float_type": "use a number",
    "finite_number": "use a finite number",
    "int_type": "use a whole number",
    "int_from_float": "use a whole number",
    "int_parsing_size": "use a smaller number",
    "bool_type": "use true or false",
    "tuple_type": "use a list",
    "dict_type": "use a map",
    "timezone_aware": "give it a zone, such as 2026-12-20T00:00:00Z",
}
"""Remedies that need nothing but the kind of the error."""

_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than_equal": ("use at least {}", "ge"),
    "less_than_equal": ("use at most {}", "le"),
    "string_too_long": ("use at most {} characters", "max_length"),
    "too_long": ("use at most {} items", "max_length"),
    "too_short": ("name at least {}", "min_length"),
}
"""Remedies that name a bound, and where the error keeps it."""


def of(error: ErrorDetails, *, known: Sequence[str]) -> tuple[str, str]:
    """Problem and remedy for one error of a validation.

    Args:
        error: what pydantic found.
        known: the fields that may stand at the place, for a map that is something else.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "is missing", "add it"
    if error["input"] is None:
        return "is empty", "give it a value, or remove it"
    problem = f"is {shown(error['input'])}"
    if kind == "string_too_short":
        return problem, "give it a value"
    if kind == "model_type":
        return problem, f"use a map with {', '.join(sorted(known))}"
    if kind in {"literal_error", "enum"}:
        return problem, "use " + str(context["expected"]).replace("'", "")
    return problem, _by_table(kind, context) or _as_said(error["msg"])


def _by_table(kind: str, context: Mapping[str, Any]) -> str | None:
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return words.format(f"{context[bound]:g}")
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"])
    return _TYPES.get(kind)


def _as_said(message: str) -> str:
    said = message.removeprefix("Value error, ")
    return (said[:1].lower() + said[1:]).replace("input should", "it should")


def place(part: int | str) -> str:
    """One part of a path; a key that would break the line, or fill it, is quoted and cut."""
    if isinstance(part, int):
        return f"[{part}]"
    plain = part.isprintable() and len(part) <= SHOWN_LENGTH_MAX
    return f".{part if plain else shown(part)}"


def shown(value: object) -> str:
    """A value as a person wrote it, cut to what one line takes."""
    try:
        text = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    except (TypeError, ValueError, RecursionError):
        return "something that cannot be shown"
    return text if len(text) <= SHOWN_LENGTH_MAX else text[: SHOWN_LENGTH_MAX - 3] + "..."
