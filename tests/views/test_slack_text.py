"""Text for Slack is escaped once, cut before its limit, and never within an entity."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.views import slack_text
from tests.people.shown import HALF
from tests.views.samples import NOW

HOSTILE = st.text(
    st.sampled_from("&<>;|@#!*_~`'\"\n\t") | st.characters(exclude_categories=()), max_size=80
)


def test_slacks_three_signs_are_escaped_and_nothing_else() -> None:
    assert slack_text.escaped("a < b && c > `d` *e*") == "a &lt; b &amp;&amp; c &gt; `d` *e*"


def test_a_mention_in_somebodys_text_is_no_mention() -> None:
    assert slack_text.escaped("<!channel> <@U0ALICE>") == "&lt;!channel&gt; &lt;@U0ALICE&gt;"


@pytest.mark.parametrize(
    ("length", "text"),
    [(11, "ab&amp;cd&lt;"[:9] + "…"), (6, "ab…"), (8, "ab&amp;…"), (13, "ab&amp;cd&lt;")],
)
def test_what_is_too_long_ends_before_an_entity_or_after_it(length: int, text: str) -> None:
    assert slack_text.escaped("ab&cd<", length) == text


@given(HOSTILE, st.integers(1, 40))
def test_escaped_text_fits_and_can_be_read_back(text: str, length_max: int) -> None:
    made = slack_text.escaped(text, length_max)

    assert len(made) <= length_max
    assert not HALF.search(made)
    assert slack_text.tame(text).startswith(html.unescape(made.removesuffix("…")))
    made.encode()


@given(HOSTILE, st.integers(1, 40))
def test_plain_text_fits(text: str, length_max: int) -> None:
    made = slack_text.plain(text, length_max)["text"]

    assert 0 < len(made) <= length_max
    made.encode()


def test_signs_that_cannot_be_seen_or_that_turn_text_around_are_left_out() -> None:
    assert slack_text.tame("a\n\n b\u202ec\u0000d\ud800e") == "a bcde"


def test_a_time_is_in_the_readers_zone_with_utc_to_fall_back_on() -> None:
    assert slack_text.moment(NOW) == (
        "<!date^1795435200^{date_short_pretty} {time}|2026-11-23 12:00 UTC>"
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("slack:U0ALICE", "<@U0ALICE>"),
        ("slack:W0CAROL", "<@W0CAROL>"),
        ("slack:S0MANAGERS", "slack:S0MANAGERS"),
        ("slack:u0alice", "slack:u0alice"),
        ("slack:U0|x", "slack:U0|x"),
        ("U0ALICE", "U0ALICE"),
        ("alice@example.com", "alice@example.com"),
        ("<b>", "&lt;b&gt;"),
    ],
)
def test_a_slack_user_without_an_email_is_mentioned(name: str, shown: str) -> None:
    assert slack_text.person(name) == shown


def test_a_user_group_is_mentioned_if_it_is_one() -> None:
    assert slack_text.group("S0MANAGERS") == "<!subteam^S0MANAGERS>"
    assert slack_text.group("here>") == "here&gt;"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://x.example/a?b=c&d=e", "<https://x.example/a?b=c&amp;d=e|more>"),
        ("http://x.example", "<http://x.example|more>"),
        ("", ""),
        ("javascript:alert(1)", ""),
        ("https://x.example/ a", ""),
        ("https://x.example/|a", ""),
        ("https://x.example/>", ""),
        ("https://x.example/" + "a" * 2000, ""),
        ("https://ü.example/", ""),
    ],
)
def test_a_link_is_one_that_slack_can_take_or_none(url: str, shown: str) -> None:
    assert slack_text.link(url, "more") == shown


def test_lines_that_do_not_fit_are_counted() -> None:
    assert slack_text.lines(["a" * 10, "b" * 10, "c" * 10], length_max=60) == "\n".join(
        ["a" * 10, "b" * 10, "c" * 10]
    )
    assert slack_text.lines(["a" * 10, "b" * 10, "c" * 10], length_max=33) == "\n".join(
        ["a" * 10, "b" * 10, "and 1 more"]
    )


def test_blocks_of_text_do_not_turn_names_into_links() -> None:
    assert slack_text.section("a")["text"]["verbatim"] is True
    assert slack_text.context("a", "b")["elements"][1]["text"] == "b"
    assert slack_text.header("")["text"] == {"type": "plain_text", "text": "-", "emoji": False}
