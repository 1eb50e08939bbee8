"""A match reads headers and cookies, and an empty one is the end of one."""

from __future__ import annotations

import re

import pytest

from rollout.api.match import NAME_PATTERN, Match, TextMatch
from rollout.api.reading import read
from rollout.base.errors import BadManifest


def test_headers_and_cookies_are_read_by_name() -> None:
    match = read(
        Match,
        {"headers": {"x-canary": {"exact": "always"}}, "cookies": {"group": {"regex": "b.*"}}},
        at="match",
    )

    assert match.headers == {"x-canary": TextMatch(exact="always")}
    assert match.cookies == {"group": TextMatch(regex="b.*")}


def test_an_empty_match_equals_one_that_was_never_filled() -> None:
    assert read(Match, {}, at="match") == Match()


def test_two_cookies_are_one_too_many() -> None:
    two = {"a": {"exact": "1"}, "b": {"exact": "2"}}

    with pytest.raises(BadManifest, match="use at most 1 items"):
        read(Match, {"cookies": two}, at="match")


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("x-canary", True), ("End_User.2", True), (":path", False), ("a b", False), ("", False)],
)
def test_names_are_those_that_a_regular_expression_takes_as_they_are(
    name: str, is_one: bool
) -> None:
    assert bool(re.fullmatch(NAME_PATTERN, name)) is is_one
