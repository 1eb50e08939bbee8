"""Each thing that happens is one message in the thread."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.api.notify import News, Sink, Telling
from rollout.views.slack_reply import LOUD, reply
from tests.people.runs import STATES, WAITS
from tests.people.shown import faults, read_aloud
from tests.views.samples import NOW
from tests.views.test_slack_text import HOSTILE

WAITING = Telling(
    id=7,
    news=News.WAITING,
    run="14",
    revision="v3",
    step=3,
    weight=25,
    at=NOW,
    message=WAITS,
    still=(Sink.SLACK,),
)


def test_a_reply_says_what_happened_and_where() -> None:
    message = reply(WAITING, run=STATES["approval"].run)

    first, second = read_aloud(message).splitlines()
    assert first.startswith("⏸️ *Waiting.* 25 % of reviews goes to v3 (step 3 of 5); waits for")
    assert "<@U0ALICE>, <@U0BOB>, <!subteam^S0MANAGERS>" in first
    assert second == (
        "step 3 · 25 % to v3 · <!date^1795435200^{date_short_pretty} {time}|2026-11-23 12:00 UTC>"
    )
    assert message.text.startswith("Waiting: 25 % of reviews goes to v3")
    assert "by 2 of carol@example.com, <@U0ALICE>, <@U0BOB>" in message.text
    assert faults(message) == []


def test_without_the_run_only_the_one_whose_doing_it_is_is_mentioned() -> None:
    said = WAITING.model_copy(
        update={"news": News.APPROVED, "by": "slack:U0BOB", "message": "slack:U0BOB approved"}
    )

    assert "*Approved.* <@U0BOB> approved." in read_aloud(reply(said))
    assert "Slack user U0ALICE" in read_aloud(reply(WAITING))


def test_before_the_first_step_there_is_no_step_to_tell() -> None:
    assert (
        read_aloud(reply(WAITING.model_copy(update={"step": 0})))
        .splitlines()[1]
        .startswith("25 % to v3")
    )


@pytest.mark.parametrize("news", News)
def test_every_kind_of_news_can_be_told(news: News) -> None:
    assert faults(reply(WAITING.model_copy(update={"news": news}))) == []


def test_what_somebody_has_to_look_at_is_shown_in_the_channel_too() -> None:
    assert {News.WAITING, News.ROLLING_BACK, News.BLOCKED} == LOUD


@given(HOSTILE, st.integers(1, 30))
def test_no_text_of_anybodys_can_break_it(text: str, times: int) -> None:
    long = (text * times)[:1024]
    telling = WAITING.model_copy(update={"message": long, "revision": long[:253], "by": long[:253]})

    assert faults(reply(telling, run=STATES["approval"].run)) == []
