r"""Reads printer columns: the small JSONPath that CRDs use.

Understood: ``.a.b``, ``.a\.b``, ``['a']``, ``[0]``, ``[-1]``, ``[*]`` and filters that compare one
member with a literal, ``[?(@.type=='Ready')]`` and ``!=``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from rollout.base import errors
from rollout.sandbox.apiserver.trees import Tree, dig

Step = Callable[[Tree], Iterable[Tree]]

_TOKEN = re.compile(
    r"""\.(?P<member>(?:\\.|[^.\[\\])+)
    |\[(?P<index>-?\d+)\]
    |(?P<all>\[\*\])
    |\[(?P<quoted>'[^']*'|"[^"]*")\]
    |\[\?\(\s*@(?P<left>(?:\.[^.=!\s]+)+)\s*(?P<operator>==|!=)\s*
        (?P<right>'[^']*'|"[^"]*"|[^)\s]+)\s*\)\]""",
    re.VERBOSE,
)


def _member(key: str) -> Step:
    def step(value: Tree) -> Iterable[Tree]:
        return (value[key],) if isinstance(value, dict) and key in value else ()

    return step


def _index(position: int) -> Step:
    def step(value: Tree) -> Iterable[Tree]:
        inside = isinstance(value, list) and -len(value) <= position < len(value)
        return (value[position],) if inside else ()

    return step


def _every(value: Tree) -> Iterable[Tree]:
    if isinstance(value, list):
        return value
    return value.values() if isinstance(value, dict) else ()


def _filter(left: list[str], *, wanted: Tree, equal: bool) -> Step:
    def step(value: Tree) -> Iterable[Tree]:
        if not isinstance(value, list):
            return ()
        return [item for item in value if (dig(item, *left) == wanted) is equal]

    return step


def _literal(text: str) -> Tree:
    if text[0] in "'\"":
        return text[1:-1]
    words: dict[str, Tree] = {"true": True, "false": False, "null": None}
    if text in words:
        return words[text]
    return float(text) if "." in text else int(text)


def _step(match: re.Match[str]) -> Step:
    found = match.groupdict()
    if found["member"] is not None:
        return _member(re.sub(r"\\(.)", r"\1", found["member"]))
    if found["index"] is not None:
        return _index(int(found["index"]))
    if found["quoted"] is not None:
        return _member(found["quoted"][1:-1])
    if found["all"] is not None:
        return _every
    return _filter(
        found["left"].lstrip(".").split("."),
        wanted=_literal(found["right"]),
        equal=found["operator"] == "==",
    )


class Path:
    """A compiled path."""

    __slots__ = ("_steps", "text")

    def __init__(self, text: str) -> None:
        """Compile `text`.

        Raises:
            BadInput: the text is not of the understood kind.
        """
        self.text = text
        self._steps: list[Step] = []
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise errors.BadManifest(
                    field="jsonPath",
                    problem=f"is {text!r}, which is beyond simple paths",
                    remedy="use .a.b, [0], [*] or [?(@.a=='b')]",
                )
            self._steps.append(_step(match))
            position = match.end()

    def find(self, tree: Tree) -> list[Tree]:
        """Return every value the path leads to."""
        values = [tree]
        for step in self._steps:
            values = [found for value in values for found in step(value)]
        return values
