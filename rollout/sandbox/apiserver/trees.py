"""JSON trees: their type, safe reading, and comparing without Python's loose equality.

Trees in the store are never changed in place. Whoever edits one copies the containers on the way to
the edit and shares the rest, so "the same object" (``is``) means "unchanged and already checked".
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import orjson

Json: TypeAlias = dict[str, Any]
Tree: TypeAlias = Any  # a JSON value of any type; only ``isinstance`` tells which


def mapping(value: Tree) -> Json:
    """Return `value` when it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Tree) -> list[Tree]:
    """Return `value` when it is a JSON list, else an empty one."""
    return value if isinstance(value, list) else []


def dig(tree: Tree, *path: str) -> Tree:
    """Follow object keys; None where the path ends early."""
    for key in path:
        if not isinstance(tree, dict):
            return None
        tree = tree.get(key)
    return tree


def dig_dotted(tree: Tree, path: str) -> Tree:
    """Follow a path such as ``.spec.replicas`` (the leading dot is optional)."""
    return dig(tree, *path.lstrip(".").split("."))


def planted(tree: Json, path: list[str], value: Tree) -> Json:
    """Return a copy of `tree` with `value` at `path`, sharing everything beside the path."""
    copy = dict(tree)
    head, *rest = path
    copy[head] = planted(mapping(copy.get(head)), rest, value) if rest else value
    return copy


def same(left: Tree, right: Tree) -> bool:
    """Tell whether two trees are the same JSON: 1, 1.0 and true differ, the order of keys does not.

    Python's own comparison is quick and right when it says "different"; only when it says "equal"
    the bytes decide.
    """
    if left is right:
        return True
    if left != right:
        return False
    return orjson.dumps(left, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        right, option=orjson.OPT_SORT_KEYS
    )


def shown(value: Tree) -> str:
    """Print a value as error messages of the API show it: strings quoted, the rest as JSON."""
    return orjson.dumps(value).decode()


def type_name(value: Tree) -> str:
    """Name the JSON type of a value, as in "must be of type string: "integer""."""
    if value is None:
        return "null"
    for python_type, name in _TYPE_NAMES:
        if isinstance(value, python_type):
            return name
    return "unknown"


_TYPE_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),  # before int: True is an int to Python
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
)

_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")


def is_micro_time(value: Tree) -> bool:
    """Tell whether a value is a MicroTime: RFC 3339 with exactly six decimals."""
    return isinstance(value, str) and _MICRO_TIME.fullmatch(value) is not None
