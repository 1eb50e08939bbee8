"""Values are frozen, modules hold no state, and every field of a model is explained."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator, Mapping

import pytest

import rollout.api
from rollout.api.meta import Model
from tests.house.survey import Source, classes, constants, findings, planted, sources

MUTABLE_CALLS = frozenset({"list", "dict", "set", "defaultdict", "deque", "Counter", "OrderedDict"})
CHANGING = frozenset(
    {"append", "add", "update", "setdefault", "pop", "popitem", "clear", "remove", "discard"}
    | {"extend", "insert", "sort", "reverse", "appendleft"}
)
SOURCES = sources("rollout")

STATE_BY_CONSENT: Mapping[str, str] = {
    "rollout/sandbox/processes.py::_alive": "what must end with us is known to nobody else at exit",
}
"""State of a module that has a reason, as ``path::name``."""

WILD_BY_CONSENT: Mapping[str, str] = {
    "rollout/sandbox/apiserver/refusals.py::Refusal": "an answer of a server, on its way out",
}
"""Errors outside of the tree, as ``path::name``, with the reason."""

ACCUMULATORS: Mapping[str, str] = {
    "rollout/analysis/tally.py::Sums": "adds up within one call and never leaves it",
}
"""Dataclasses of the pure floors that may change, as ``path::name``."""


def mutables(source: Source) -> Iterator[str]:
    """Module-level lists, maps and sets that are no constants, by name or by treatment."""
    written = set(_written(source.tree))
    for name, value in constants(source):
        known = f"{source.path}::{name}"
        if name == "__all__" or known in STATE_BY_CONSENT or not _is_mutable(value):
            continue
        if name != name.upper():
            yield f"{known} is a list, map or set that is not called a constant"
        elif name in written:
            yield f"{known} is changed in its own module"


def _is_mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        return value.func.id in MUTABLE_CALLS
    return isinstance(
        value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    )


def _written(tree: ast.Module) -> Iterator[str]:
    """Names whose content is changed somewhere."""
    for node in ast.walk(tree):
        target: ast.expr | None = None
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            target = node.value
        elif isinstance(node, ast.AugAssign):
            target = node.target
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            target = node.func.value if node.func.attr in CHANGING else None
        if isinstance(target, ast.Name):
            yield target.id


def globals_used(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Global):
            yield f"{source.path}:{node.lineno}: global {', '.join(node.names)}"


def unexplained(model: type[Model]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if not (field.description or "").strip():
            yield f"{model.__module__}.{model.__name__}.{name} has no docstring"


def models() -> list[type[Model]]:
    """Every model of the API."""
    found: set[type[Model]] = set()
    for module in pkgutil.iter_modules(rollout.api.__path__):
        for value in vars(importlib.import_module(f"rollout.api.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, Model) and value is not Model:
                found.add(value)
    return sorted(found, key=lambda model: model.__name__)


def thawed(source: Source) -> Iterator[str]:
    """Dataclasses that are not frozen."""
    for node in classes(source):
        known = f"{source.path}::{node.name}"
        for decorator in node.decorator_list:
            text = ast.unparse(decorator)
            data = text.startswith(("dataclass", "dataclasses.dataclass"))
            if data and "frozen=True" not in text and known not in ACCUMULATORS:
                yield f"{known} is not frozen"


def wild_errors(source: Source) -> Iterator[str]:
    """Exceptions of ours that are not in the one tree; private ones never leave their module."""
    if source.path == "rollout/base/errors.py":
        return
    for node in classes(source):
        known = f"{source.path}::{node.name}"
        bases = {ast.unparse(base) for base in node.bases}
        ours = any(b.startswith("errors.") or b in {"Exception", "RolloutError"} for b in bases)
        if ours and not node.name.startswith("_") and known not in WILD_BY_CONSENT:
            yield f"{known} belongs into rollout/base/errors.py"


def test_a_module_holds_nothing_that_changes() -> None:
    assert findings(mutables, SOURCES) == []
    assert findings(globals_used, SOURCES) == []


def test_the_values_of_the_pure_floors_are_frozen() -> None:
    pure = ("base", "api", "analysis", "routes", "engine", "views")

    assert findings(thawed, sources(*(f"rollout/{floor}" for floor in pure))) == []


def test_every_field_of_a_model_is_explained() -> None:
    assert [finding for model in models() for finding in unexplained(model)] == []


def test_every_model_is_frozen_and_refuses_unknown_fields() -> None:
    for model in models():
        assert model.model_config.get("frozen") is True
        assert model.model_config.get("extra") == "forbid"


@pytest.mark.parametrize(
    "text",
    [
        "seen = []",
        "_seen: dict[str, int] = {}",
        "seen = set()",
        "SEEN = {}\ndef f(x):\n    SEEN[x] = 1",
        "SEEN = []\ndef f(x):\n    SEEN.append(x)",
        "SEEN = {}\ndef f(x):\n    del SEEN[x]",
    ],
)
def test_a_module_level_mutable_would_be_caught(text: str) -> None:
    assert list(mutables(planted(text))) != []


@pytest.mark.parametrize(
    "text", ["A = ()", "A: Mapping[str, int] = {}", "__all__ = ['a']", "a = frozenset({1})"]
)
def test_what_nobody_can_change_is_let_pass(text: str) -> None:
    assert list(mutables(planted(text))) == []


def test_every_error_of_ours_is_in_the_one_tree() -> None:
    assert findings(wild_errors, SOURCES) == []


@pytest.mark.parametrize("base", ["Exception", "errors.Retry", "RolloutError"])
def test_an_error_outside_of_the_tree_would_be_caught(base: str) -> None:
    assert list(wild_errors(planted(f"class Odd({base}):\n    pass\n"))) != []
    assert list(wild_errors(planted(f"class _Odd({base}):\n    pass\n"))) == []


def test_a_global_statement_would_be_caught() -> None:
    assert list(globals_used(planted("def f():\n    global A\n    A = 1\n"))) != []


def test_a_dataclass_that_is_not_frozen_would_be_caught() -> None:
    assert list(thawed(planted("@dataclass(slots=True)\nclass A:\n    x: int\n"))) != []
    assert list(thawed(planted("@dataclass(frozen=True)\nclass A:\n    x: int\n"))) == []


def test_a_field_without_words_would_be_caught() -> None:
    class Silent(Model):
        """A model that does not say what its field means."""

        size_bytes: int

    assert list(unexplained(Silent)) != []
