"""Tests read as a specification, mirror the tree, and use no mocks of our own code."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

import pytest

from tests.house.survey import Source, findings, functions, planted, sources

NAME_LENGTH_MEDIAN_MIN = 35
NAME_LENGTH_MIN = 15

TESTS = sources("tests")

FREE_FOLDERS = frozenset(
    {
        "house",
        "world",
        "stories",
        "contracts",
        "artefacts",
        "sandbox",
        "benchmark",
        "endtoend",
        "testbed",
        "mesh",
        "people",
    }
)
"""Folders of tests that are about more than one module."""

FREE_BY_CONSENT: Mapping[str, str] = {}
"""Test files in a mirroring folder that mirror no module, with the reason."""

UNTESTED_BY_CONSENT: Mapping[str, str] = {
    "rollout/analysis/verdict.py": "nouns without behaviour",
    "rollout/api/evidence.py": "nouns; their counting is tested with analysis",
    "rollout/api/gate.py": "nouns; bounds are tested with reading and rules",
    "rollout/api/phase.py": "names alone",
    "rollout/api/remedies.py": "its words are tested with reading, through which alone it is used",
    "rollout/api/rollout.py": "nouns; bounds are tested with reading and rules",
    "rollout/api/step.py": "nouns; bounds are tested with reading and rules",
    "rollout/api/traffic.py": "nouns without behaviour",
    "rollout/engine/conclude.py": "walked through decide, by all of tests/engine",
    "rollout/engine/decision.py": "nouns without behaviour",
    "rollout/engine/ending.py": "walked through decide, by all of tests/engine",
    "rollout/engine/foretold.py": "nouns; they are tested with foresight",
    "rollout/engine/observation.py": "nouns without behaviour",
    "rollout/engine/running.py": "walked through decide, by all of tests/engine",
    "rollout/engine/starting.py": "walked through decide, by all of tests/engine",
    "rollout/engine/staying.py": "walked through decide, by all of tests/engine",
}
"""Modules of the pure floors without a test file of their own, with the reason."""


def names_of_tests(source: Source) -> list[str]:
    """Names of the test functions of a file."""
    return [
        name.rsplit(".", 1)[-1]
        for name, _ in functions(source)
        if name.rsplit(".", 1)[-1].startswith("test_")
    ]


def curt(source: Source) -> Iterator[str]:
    for name in names_of_tests(source):
        if len(name) < NAME_LENGTH_MIN:
            yield f"{source.path}: {name} is no sentence"


def unreasoned(source: Source) -> Iterator[str]:
    """Tests that are skipped or expected to fail without a word why."""
    for node in ast.walk(source.tree):
        decorators = getattr(node, "decorator_list", [])
        for decorator in decorators:
            if ast.unparse(decorator) in {"pytest.mark.skip", "pytest.mark.xfail"}:
                yield f"{source.path}:{decorator.lineno}: no reason"
        if isinstance(node, ast.Call) and _skips(node):
            yield f"{source.path}:{node.lineno}: no reason"


def _skips(call: ast.Call) -> bool:
    called = ast.unparse(call.func)
    keywords = {keyword.arg for keyword in call.keywords}
    if called in {"pytest.skip", "pytest.xfail"}:
        return not call.args and "reason" not in keywords
    if called in {"pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail"}:
        return "reason" not in keywords
    return False


def mocks(source: Source) -> Iterator[str]:
    """Imports of mock libraries, and our own names replaced by a string path."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unittest"):
            yield f"{source.path}:{node.lineno}: {node.module}"
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names if alias.name.startswith("unittest")]
            yield from (f"{source.path}:{node.lineno}: {name}" for name in found)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("monkeypatch.setattr"):
            replaced = ast.unparse(node.args[0]) if node.args else ""
            if replaced.startswith(("'rollout", '"rollout')):
                yield f"{source.path}:{node.lineno}: replaces {replaced}"


def modules(*folders: str) -> set[str]:
    return {source.path for source in sources(*folders) if not source.path.endswith("__init__.py")}


def mirrored(path: str, known: set[str]) -> set[str]:
    """The modules that a test file may be about, by its name and folder.

    ``tests/api/test_reading.py`` is about ``rollout/api/reading.py``; more words may follow the
    module's name, and the folder's may go before it where two modules share a name.
    """
    test = PurePosixPath(path)
    folders = test.parts[1:-1]
    stem = test.stem.removeprefix("test_").removeprefix(f"{folders[-1]}_" if folders else "")
    home = PurePosixPath("rollout", *folders)
    found = set()
    for module in known:
        here = PurePosixPath(module)
        names = {here.stem, *here.parts[len(home.parts) : -1]}
        if here.is_relative_to(home) and any(
            stem == name or stem.startswith(f"{name}_") for name in names
        ):
            found.add(module)
    return found


def stray(source: Source) -> Iterator[str]:
    test = PurePosixPath(source.path)
    if not test.name.startswith("test_") or test.parts[1] in FREE_FOLDERS | {test.name}:
        return
    known = modules("rollout")
    if source.path not in FREE_BY_CONSENT and not mirrored(source.path, known):
        yield f"{source.path} is about no module below rollout/{'/'.join(test.parts[1:-1])}"


def test_no_test_file_strays_from_the_tree() -> None:
    assert findings(stray, TESTS) == []


def test_every_module_of_the_pure_floors_has_tests_of_its_own() -> None:
    pure = modules("rollout/base", "rollout/api", "rollout/analysis", "rollout/routes")
    pure |= modules("rollout/engine", "rollout/views")
    tests = [source.path for source in TESTS if "/test_" in source.path]

    tested = {module for path in tests for module in mirrored(path, pure)}

    assert sorted(pure - tested - UNTESTED_BY_CONSENT.keys()) == []
    assert sorted(UNTESTED_BY_CONSENT.keys() - pure) == []


def test_the_names_of_tests_are_sentences() -> None:
    lengths = [len(name) for source in TESTS for name in names_of_tests(source)]

    assert statistics.median(lengths) >= NAME_LENGTH_MEDIAN_MIN
    assert findings(curt, TESTS) == []


def test_a_test_that_is_left_out_says_why() -> None:
    assert findings(unreasoned, TESTS) == []


def test_our_own_code_is_never_mocked() -> None:
    assert findings(mocks, TESTS) == []


@pytest.mark.parametrize(
    "text",
    [
        "@pytest.mark.skip\ndef test_a(): ...",
        "@pytest.mark.skipif(True)\ndef test_a(): ...",
        "@pytest.mark.xfail(strict=True)\ndef test_a(): ...",
        "def test_a():\n    pytest.skip()",
    ],
)
def test_a_test_left_out_without_a_word_would_be_caught(text: str) -> None:
    assert list(unreasoned(planted(text))) != []


@pytest.mark.parametrize(
    "text",
    [
        "from unittest.mock import patch",
        "from unittest import mock",
        "import unittest.mock",
        "def test_a(monkeypatch):\n    monkeypatch.setattr('rollout.api.crd.crds', None)",
    ],
)
def test_a_mock_would_be_caught(text: str) -> None:
    assert list(mocks(planted(text))) != []


def test_a_curt_name_would_be_caught() -> None:
    assert list(curt(planted("def test_a():\n    pass\n"))) != []


@pytest.mark.parametrize(
    ("path", "about"),
    [
        ("tests/api/test_reading.py", {"rollout/api/reading.py"}),
        ("tests/api/test_api_reading.py", {"rollout/api/reading.py"}),
        ("tests/api/test_reading_of_lists.py", {"rollout/api/reading.py"}),
        ("tests/engine/test_reading.py", set()),
        ("tests/api/test_nothing.py", set()),
    ],
)
def test_a_test_file_is_about_the_module_it_is_called_after(path: str, about: set[str]) -> None:
    assert mirrored(path, {"rollout/api/reading.py", "rollout/engine/decide.py"}) == about


def test_a_stray_test_file_would_be_caught() -> None:
    assert list(stray(planted("", path="tests/api/test_nothing.py"))) != []
