"""The head of a run that another one has followed keeps its last state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.api.chat import Message
from rollout.api.meta import Key
from rollout.api.phase import Outcome
from rollout.views import slack_past
from rollout.views.slack_past import past_head
from tests.people.shown import buttons, faults, read_aloud
from tests.views.samples import ABORTED, PROMOTED
from tests.views.test_slack_text import HOSTILE

KEY = Key("shop", "reviews")


def test_it_says_how_the_run_ended_and_by_whom_and_offers_nothing() -> None:
    message = past_head(KEY, ABORTED)

    assert faults(message) == []
    assert buttons(message) == {}
    assert read_aloud(message).splitlines() == [
        "shop/reviews: v2 → v3",
        "🔴 *Aborted.* aborted by alice@example.com: checkout is slow.",
        "run 2 · took 3m · at most 25 % · 1,204 requests to v3, 96 failed · by alice@example.com",
    ]
    assert message.text == (
        "shop/reviews: v2 → v3: aborted: aborted by alice@example.com: checkout is slow."
    )


def test_a_run_that_nobody_ended_names_nobody() -> None:
    assert " by " not in read_aloud(past_head(KEY, PROMOTED))


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_its_word(outcome: Outcome) -> None:
    assert faults(past_head(KEY, ABORTED.model_copy(update={"outcome": outcome}))) == []


@given(HOSTILE, st.integers(1, 30))
def test_no_text_of_anybodys_can_break_it(text: str, times: int) -> None:
    long = (text * times)[:1024]
    past = ABORTED.model_copy(
        update={"because": long, "revision": long[:253], "stable_revision": long, "by": long[:253]}
    )

    assert faults(past_head(KEY, past)) == []


@pytest.mark.parametrize("message", [slack_past.moved(KEY), slack_past.gone(KEY, "v3")])
def test_a_head_that_is_left_says_why_and_offers_nothing(message: Message) -> None:
    assert faults(message) == []
    assert all(block["type"] != "actions" for block in message.blocks)
    assert str(KEY) in message.text
