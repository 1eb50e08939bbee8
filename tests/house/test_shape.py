"""Modules have one noun and fit a few screens; functions fit one."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator, Mapping

import pytest

from tests.house.survey import Function, Source, findings, functions, planted, sources

MODULE_LINES_MAX = 400
TEST_LINES_MAX = 600  # what one module promises may stand in one file
BODY_LINES_MAX = 50
BODY_LINES_MEDIAN_MAX = 8

LONG_BY_CONSENT: Mapping[str, str] = {}
"""Functions that may be longer, as ``path::name``, with the reason; this list only shrinks."""

EVERYTHING = sources("rollout", "tests")


def without_docstring(source: Source) -> Iterator[str]:
    words = ast.get_docstring(source.tree)
    if not words:
        yield f"{source.path}: no docstring says what it is for"
    elif not words.splitlines()[0].endswith((".", ":", "?")):
        yield f"{source.path}: the docstring's first line is no sentence"


def too_long(source: Source) -> Iterator[str]:
    lines_count = len(source.text.splitlines())
    most = TEST_LINES_MAX if source.path.startswith("tests/") else MODULE_LINES_MAX
    if lines_count > most:
        yield f"{source.path}: {lines_count} lines, at most {most}"


def body_lines(function: Function) -> int:
    """Lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 0
    return (body[-1].end_lineno or body[-1].lineno) - body[0].lineno + 1


def long_functions(source: Source) -> Iterator[str]:
    for name, function in functions(source):
        if body_lines(function) > BODY_LINES_MAX:
            yield f"{source.path}::{name}"


def test_a_module_says_what_it_is_for() -> None:
    assert findings(without_docstring, EVERYTHING) == []


def test_a_module_is_at_most_four_hundred_lines_long() -> None:
    assert findings(too_long, EVERYTHING) == []


def test_a_function_fits_a_screen_unless_it_is_long_by_consent() -> None:
    found = {name for source in EVERYTHING for name in long_functions(source)}

    assert found - LONG_BY_CONSENT.keys() == set()


def test_the_list_of_long_functions_only_shrinks() -> None:
    found = {name for source in EVERYTHING for name in long_functions(source)}

    assert LONG_BY_CONSENT.keys() - found == set()


def test_half_of_all_functions_are_a_few_lines_long() -> None:
    lengths = [body_lines(f) for source in sources("rollout") for _, f in functions(source)]

    assert statistics.median(lengths) <= BODY_LINES_MEDIAN_MAX


@pytest.mark.parametrize(
    "text", ["x = 1\n", '"""no end of a sentence"""\n', ""], ids=["none", "no sentence", "empty"]
)
def test_a_module_without_a_sentence_would_be_caught(text: str) -> None:
    assert list(without_docstring(planted(text))) != []


def test_a_module_of_four_hundred_and_one_lines_would_be_caught() -> None:
    assert list(too_long(planted("x = 1\n" * 401))) != []
    assert list(too_long(planted("x = 1\n" * 400))) == []


def test_a_function_of_fifty_one_lines_would_be_caught_wherever_it_is() -> None:
    body = "            x = 1\n" * 51
    text = f'class A:\n    def b(self):\n        """Words."""\n        def c():\n{body}'

    assert list(long_functions(planted(text))) == [
        "rollout/api/planted.py::A.b",
        "rollout/api/planted.py::A.b.c",
    ]


def test_a_docstring_is_not_counted_as_body() -> None:
    text = 'def f():\n    """' + "words\n" * 60 + '    """\n    return 1\n'

    assert list(long_functions(planted(text))) == []
