"""Ticks from a CSV file, and what is said of a wrong one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.analysis import recorded
from rollout.analysis.judge.ratio import Counts
from rollout.base.errors import BadManifest

HEADER = ",".join(recorded.COLUMNS)


def test_columns_come_in_any_order_and_others_and_empty_lines_are_passed_over() -> None:
    lines = [
        "time, stable_bad,canary_bad,stable_requests,canary_requests",
        "12:00,13,4,14250,750",
        "",
        "12:01, 15 ,3,14240,760",
    ]

    assert recorded.read(lines, subject="ticks.csv") == (
        Counts(750, 14_250, 4, 13),
        Counts(760, 14_240, 3, 15),
    )


def test_a_file_without_ticks_has_none() -> None:
    assert recorded.read([HEADER], subject="ticks.csv") == ()


@pytest.mark.parametrize(
    ("header", "line", "told"),
    [
        ("canary_requests,stable_requests", "1,2", "line 1 has no column canary_bad; begin the"),
        ("", "1,2,0,0", "line 1 has no column canary_requests; begin the file with the line"),
        (HEADER, "1,2,3", "line 2 column stable_bad is empty; make it a whole number"),
        (HEADER, "1,2,x,0", "line 2 column canary_bad is 'x'; make it a whole number from 0 to"),
        (HEADER, "1,2,1.5,0", "line 2 column canary_bad is '1.5'"),
        (HEADER, "1,2,-1,0", "line 2 column canary_bad is '-1'"),
        (HEADER, "1" * 20 + ",2,0,0", "line 2 column canary_requests is '1111"),
        (HEADER, "1,2,3,0", "line 2 column canary_bad is 3, more than the 1 of canary_requests"),
        (HEADER, "1,2,0,3", "line 2 column stable_bad is 3, more than the 2 of stable_requests"),
    ],
)
def test_a_wrong_file_is_told_by_line_and_column(header: str, line: str, told: str) -> None:
    with pytest.raises(BadManifest) as caught:
        recorded.read([header, line], subject="ticks.csv")

    assert str(caught.value).startswith(f"ticks.csv: {told}")


@given(st.lists(st.text(max_size=30), max_size=8))
def test_whatever_a_file_holds_it_is_read_or_told_in_a_sentence(lines: list[str]) -> None:
    said = ""
    try:
        recorded.read([HEADER, *lines], subject="ticks.csv")
    except BadManifest as error:
        said = str(error)

    assert not said or said.startswith("ticks.csv: line ")
