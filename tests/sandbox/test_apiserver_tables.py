"""What tables of the embedded API server print: ages, columns, simple JSON paths."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from rollout.base import errors
from rollout.sandbox.apiserver import jsonpath, tables

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DAY = 86_400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-0.5, "0s"),
        (119, "119s"),
        (120, "2m"),
        (190, "3m10s"),
        (3600, "60m"),
        (4 * 3600 + 60, "4h1m"),
        (9 * 3600, "9h"),
        (50 * 3600, "2d2h"),
        (100 * DAY, "100d"),
        (800 * DAY, "2y70d"),
        (9 * 365 * DAY, "9y"),
    ],
)
def test_ages_are_written_as_kubectl_writes_them(seconds: float, text: str) -> None:
    assert tables.age(seconds) == text


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b", [1]),
        (".a['b']", [1]),
        (".l[0].n", ["x"]),
        (".l[-1].n", ["y"]),
        (".l[*].n", ["x", "y"]),
        (".l[?(@.n=='y')].v", [2]),
        ('.l[?(@.n!="y")].v', [1]),
        (".l[?(@.v==2)].n", ["y"]),
        (r".d.e\.f/g", [3]),
        (".none.deep", []),
    ],
)
def test_paths_lead_to_values(path: str, found: list[Any]) -> None:
    tree = {"a": {"b": 1}, "l": [{"n": "x", "v": 1}, {"n": "y", "v": 2}], "d": {"e.f/g": 3}}

    assert jsonpath.Path(path).find(tree) == found


def test_a_path_beyond_the_simple_ones_is_refused_by_name() -> None:
    with pytest.raises(errors.BadManifest, match="beyond simple paths"):
        jsonpath.Path(".a[1:2]")


@pytest.mark.parametrize(
    ("kind", "value", "cell"),
    [
        ("string", "x", "x"),
        ("string", ["a", "b"], '["a","b"]'),
        ("string", 5, "5"),
        ("integer", 5, 5),
        ("integer", "five", None),
        ("boolean", True, True),
        ("integer", True, None),
        ("number", 0.5, 0.5),
        ("date", "2026-01-01T23:59:00Z", "60s"),
        ("date", "soon", "<invalid>"),
    ],
)
def test_cells_fit_the_type_of_their_column(kind: str, value: Any, cell: Any) -> None:
    column = tables.printer_column({"name": "C", "type": kind, "jsonPath": ".v"})

    assert column.cell({"v": value}, NOW) == cell


def test_an_absent_value_prints_nothing() -> None:
    column = tables.printer_column({"name": "C", "type": "string", "jsonPath": ".v"})

    assert column.cell({}, NOW) is None
