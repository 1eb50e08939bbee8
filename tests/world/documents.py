"""Documents that a schema allows, made by chance, and documents that were tampered with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

LIST_LENGTH_MAX = 3
"""Longer lists and maps find no more mistakes; the bounds have tests of their own."""

Path = tuple[str | int, ...]


def documents(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a structural schema allows."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        # A number or a text, which no structural schema can say: each has a bound of its own.
        return _numbers(schema) | st.from_regex(
            schema["pattern"].removesuffix("$") + r"\Z", fullmatch=True
        )
    makers: dict[str, Callable[[Mapping[str, Any]], st.SearchStrategy[Any]]] = {
        "object": _objects,
        "array": _lists,
        "string": _texts,
        "integer": _integers,
        "number": _numbers,
        "boolean": lambda _: st.booleans(),
    }
    return makers[schema["type"]](schema)


def _objects(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    if "additionalProperties" in schema:
        keys = st.text("abc*", min_size=1, max_size=8)
        most = min(schema["maxProperties"], LIST_LENGTH_MAX)
        return st.dictionaries(keys, documents(schema["additionalProperties"]), max_size=most)
    fields = {name: documents(below) for name, below in schema["properties"].items()}
    needed = {name: fields.pop(name) for name in schema.get("required", ())}
    return st.fixed_dictionaries(needed, optional=fields)


def _lists(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    least = schema.get("minItems", 0)
    most = max(least, min(schema["maxItems"], LIST_LENGTH_MAX))
    return st.lists(documents(schema["items"]), min_size=least, max_size=most)


def _texts(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    if schema.get("format") == "date-time":
        return st.integers(0, 99).map(lambda n: f"2026-11-23T10:20:30.{n:03d}Z")
    least, most = schema.get("minLength", 0), schema["maxLength"]
    if "pattern" in schema:
        whole = st.from_regex(schema["pattern"].removesuffix("$") + r"\Z", fullmatch=True)
        return whole.filter(lambda text: least <= len(text) <= most)
    return st.text(st.characters(codec="utf-8"), min_size=least, max_size=min(most, 12))


def _integers(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    return st.integers(schema.get("minimum", -(2**53)), schema.get("maximum", 2**53))


def _numbers(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    least, most = schema.get("minimum", -1e9), schema.get("maximum", 1e9)
    return st.floats(least, most) | st.integers(int(least) + 1, int(most))


def strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema as ``fieldValidation=Strict`` reads it: unknown fields are refused.

    The end of a pattern is spelt as Python spells it; RE2's ``$`` does not pass a line break. What
    is a number or a word has no type for the server, which therefore lets anything else pass: here
    it is what it should be, and ``false``, which YAML makes of ``Off``.
    """
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        bounds = {"minimum": schema["minimum"], "maximum": schema["maximum"]}
        word = {"type": "string", "pattern": schema["pattern"].removesuffix("$") + r"\Z"}
        return {"anyOf": [{"type": "number", **bounds}, word, {"const": False}]}
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            found[key] = {name: strict(below) for name, below in value.items()}
            found["additionalProperties"] = False
        elif key in {"items", "additionalProperties"}:
            found[key] = strict(value)
        elif key == "pattern":
            found[key] = value.removesuffix("$") + r"\Z"
        else:
            found[key] = value
    return found


JUNK = st.sampled_from(
    [
        *(True, False, -1, 0.5, 123_456.5, 10**12),
        *("", "x", "1mfoo", "V\n", "ok\n", "2026-11-23T10:20:30", "a" * 5000),
        *([], [[]], ["x", 1], [{"name": "UPPER"}]),
        *({}, {"a": 1}, {"for": 5}),
    ]
)


@st.composite
def tampered(draw: st.DrawFn, schema: Mapping[str, Any]) -> Any:
    """A document of which one place was replaced, removed, or given an unknown field."""
    document = copy.deepcopy(draw(documents(schema)))
    path = draw(st.sampled_from(list(_paths(document))))
    if not path:
        return draw(JUNK)
    parent = document
    for part in path[:-1]:
        parent = parent[part]
    deed = draw(st.sampled_from(["replace", "remove", "add"]))
    if deed == "add" and isinstance(parent, dict):
        parent["unknownField"] = 1
    elif deed == "remove":
        del parent[path[-1]]
    else:
        parent[path[-1]] = draw(JUNK)
    return document


def _paths(value: Any, above: Path = ()) -> Iterator[Path]:
    yield above
    pairs: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    for key, below in pairs:
        yield from _paths(below, (*above, key))
