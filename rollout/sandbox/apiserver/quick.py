"""A quick checker of values, compiled from a translated schema into plain functions.

It answers "surely valid" or "ask the judge". It knows the keywords of ``judge.translated`` and
nothing else: a schema with any other keyword is never surely valid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sized

from rollout.sandbox.apiserver import formats
from rollout.sandbox.apiserver.trees import Json, Tree, shown

Check = Callable[[Tree, Tree], bool]  # (value, the same place in the stored object) → surely valid
_Simple = Callable[[Tree], bool]

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def duplicates(value: Tree, keys: list[str]) -> list[int]:
    """Return the indices of list items that repeat an earlier item (or its `keys`)."""
    if not isinstance(value, list):
        return []
    seen: set[str] = set()
    repeated: list[int] = []
    for index, item in enumerate(value):
        if keys and not isinstance(item, dict):
            continue
        identity = shown([item.get(key) for key in keys] if keys else item)
        if identity in seen:
            repeated.append(index)
        seen.add(identity)
    return repeated


def compiled(schema: Json) -> Check:
    """Compile a translated schema."""
    simple = [
        _SIMPLE[key](schema[key], schema)
        for key in schema
        if key in _SIMPLE and not (key == "format" and schema[key] not in formats.CHECKS)
    ]
    simple.extend(
        _choice(schema, key) for key in ("allOf", "anyOf", "oneOf", "not") if key in schema
    )
    below = (
        _object_check(schema)
        if "properties" in schema or "additionalProperties" in schema
        else None
    )
    items = compiled(schema["items"]) if "items" in schema else None
    if below is None and items is None and len(simple) == 1:
        only = simple[0]
        return lambda value, old: value is old or only(value)

    def check(value: Tree, old: Tree) -> bool:
        if value is old:
            return True
        for test in simple:
            if not test(value):
                return False
        if below is not None and isinstance(value, dict):
            return below(value, old)
        if items is not None and isinstance(value, list):
            return _list_check(items, value, old)
        return True

    return check


def _object_check(schema: Json) -> Check:
    known = {name: compiled(below) for name, below in schema.get("properties", {}).items()}
    other = compiled(schema["additionalProperties"]) if "additionalProperties" in schema else None

    def check(value: Json, old: Tree) -> bool:
        before = old if isinstance(old, dict) else {}
        for key, child in value.items():
            test = known.get(key) or other
            if test is not None and not test(child, before.get(key, _ABSENT)):
                return False
        return True

    return check


_ABSENT = object()  # no value *is* this one


def _list_check(items: Check, value: list[Tree], old: Tree) -> bool:
    before = old if isinstance(old, list) else []
    for index, item in enumerate(value):
        if not items(item, before[index] if index < len(before) else _ABSENT):
            return False
    return True


def _type(kinds: list[str], _: Json) -> _Simple:
    allowed: tuple[type, ...] = ()
    for kind in kinds:
        found = _TYPES[kind]
        allowed += found if isinstance(found, tuple) else (found,)
    if "boolean" in kinds or not ({"integer", "number"} & set(kinds)):
        return lambda value: isinstance(value, allowed)
    return lambda value: isinstance(value, allowed) and value is not True and value is not False


def _enum(choices: list[Tree], _: Json) -> _Simple:
    texts = frozenset(choice for choice in choices if isinstance(choice, str))
    # Numbers and nulls are rare in enums: leave them to the judge.
    return lambda value: isinstance(value, str) and value in texts


def _is_number(value: Tree) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _maximum(limit: float, schema: Json) -> _Simple:
    if schema.get("exclusiveMaximum"):
        return lambda value: not _is_number(value) or value < limit
    return lambda value: not _is_number(value) or value <= limit


def _minimum(limit: float, schema: Json) -> _Simple:
    if schema.get("exclusiveMinimum"):
        return lambda value: not _is_number(value) or value > limit
    return lambda value: not _is_number(value) or value >= limit


def _length(kind: type[Sized], *, most: bool) -> Callable[[int, Json], _Simple]:
    def rule(limit: int, _: Json) -> _Simple:
        if most:
            return lambda value: not isinstance(value, kind) or len(value) <= limit
        return lambda value: not isinstance(value, kind) or len(value) >= limit

    return rule


def _pattern(text: str, _: Json) -> _Simple:
    expression = re.compile(text)
    return lambda value: not isinstance(value, str) or expression.search(value) is not None


def _format(name: str, _: Json) -> _Simple:
    conforms = formats.CHECKS[name]
    return lambda value: not isinstance(value, str) or conforms(value)


def _multiple(_: float, __: Json) -> _Simple:
    return lambda value: not _is_number(value)  # let the judge divide


def _required(names: list[str], _: Json) -> _Simple:
    wanted = frozenset(names)
    return lambda value: not isinstance(value, dict) or wanted <= value.keys()


def _list_keys(keys: list[str], _: Json) -> _Simple:
    return lambda value: not duplicates(value, keys)


_SIMPLE: dict[str, Callable[..., _Simple]] = {
    "type": _type,
    "enum": _enum,
    "maximum": _maximum,
    "minimum": _minimum,
    "maxLength": _length(str, most=True),
    "minLength": _length(str, most=False),
    "maxItems": _length(list, most=True),
    "minItems": _length(list, most=False),
    "maxProperties": _length(dict, most=True),
    "minProperties": _length(dict, most=False),
    "pattern": _pattern,
    "format": _format,
    "multipleOf": _multiple,
    "required": _required,
    "listKeys": _list_keys,
}


def _choice(schema: Json, key: str) -> _Simple:
    if key == "not":
        # "Surely invalid" is not what a quick check can say, so a `not` always asks the judge.
        return lambda _: False
    checks = [compiled(below) for below in schema[key]]
    if key == "allOf":
        return lambda value: all(check(value, _ABSENT) for check in checks)
    if key == "anyOf":
        return lambda value: any(check(value, _ABSENT) for check in checks)
    return lambda _: False  # oneOf counts, and an unsure branch cannot be counted
