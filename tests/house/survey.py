"""What the house rules look at: files, their trees, and pieces of code planted to be caught."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A Python file.

    Attributes:
        path: where it is, from the root of the repository, with slashes.
        text: what it says.
    """

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        """The parsed text."""
        return _parsed(self.text)


@functools.cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


@functools.cache
def sources(*folders: str) -> tuple[Source, ...]:
    """Every Python file below some folders of the repository."""
    return tuple(
        Source(path=file.relative_to(ROOT).as_posix(), text=file.read_text(encoding="utf-8"))
        for folder in folders
        for file in sorted((ROOT / folder).rglob("*.py"))
        if "__pycache__" not in file.parts
    )


def findings(rule: Callable[[Source], Iterable[str]], among: Iterable[Source]) -> list[str]:
    """What a rule finds among files."""
    return [finding for source in among for finding in rule(source)]


def planted(text: str, path: str = "rollout/api/planted.py") -> Source:
    """A piece of code that a rule must catch, or must let pass."""
    return Source(path=path, text=text)


def functions(source: Source) -> Iterator[tuple[str, Function]]:
    """Every function of a file with its dotted name within the file."""
    yield from _functions(source.tree, "")


def _functions(node: ast.AST, above: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        name = above
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{above}.{child.name}" if above else child.name
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, child
        yield from _functions(child, name)


def classes(source: Source) -> Iterator[ast.ClassDef]:
    """Every class of a file."""
    return (node for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef))


def constants(source: Source) -> Iterator[tuple[str, ast.expr]]:
    """Names bound at module level, and to what."""
    for node in source.tree.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value
