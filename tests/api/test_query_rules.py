"""Queries of one's own: what is refused before it can mislead."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.api import query_rules
from rollout.api.gate import Query

SHARE = {"low": 0, "high": 1}

BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no bound": ({}, "q has no bound; give min, max or both"),
    "bounds the wrong way round": ({"min": 2, "max": 1}, "q.min 2 is above max 1; swap the two"),
    "a range the wrong way round": (
        {"max": 1, "range": {"low": 2, "high": 1}},
        "q.range.low 2 is not below high; swap the two",
    ),
    "a bound at the end of the range": (
        {"max": 1, "range": SHARE},
        "q.max 1 never decides, with numbers from 0 to 1; use another, or another range",
    ),
    "a ratio of numbers below 0": (
        {"max": 1.2, "relativeTo": "stable", "range": {"low": -1, "high": 1}},
        (
            "q.range.low is below 0, where times as much as stable is not what it says; use 0 or "
            "more, or leave out relativeTo"
        ),
    ),
    "a range where a threshold decides": (
        {"max": 0.5, "decide": "Threshold", "range": SHARE},
        "q.range means nothing where a threshold decides; remove it, or remove `decide`",
    ),
    "a block where a threshold decides": (
        {"max": 0.5, "decide": "Threshold", "block": "1m"},
        "q.block means nothing where a threshold decides; remove it, or remove `decide`",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_would_mislead_is_refused_with_field_and_remedy(case: str) -> None:
    fields, sentence = BROKEN[case]
    query = Query.model_validate({"promql": "x", **fields})

    assert [str(found) for found in query_rules.problems("q", query)] == [sentence]


@pytest.mark.parametrize(
    "fields",
    [
        {"max": 0.5, "range": SHARE},
        {"min": 0.9, "relativeTo": "stable", "range": SHARE},
        {"max": 3},
        {"min": 1, "max": 2, "decide": "Threshold"},
    ],
)
def test_what_can_decide_is_taken(fields: dict[str, Any]) -> None:
    query = Query.model_validate({"promql": "x", **fields})

    assert list(query_rules.problems("q", query)) == []
