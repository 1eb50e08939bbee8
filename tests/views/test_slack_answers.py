"""A press is never ignored in silence: its maker is told what came of it, or why nothing did."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given

from rollout.api import press
from rollout.api.action import ActionOutcome, Verb
from rollout.api.chat import REASON_BLOCK, Message, Spot, Standing
from rollout.api.meta import Key
from rollout.views import slack_answers, slack_ask
from tests.people.runs import STATES
from tests.people.shown import dialog_faults, faults, read_aloud
from tests.views.test_slack_ask import ASK
from tests.views.test_slack_text import HOSTILE


def said(message: Message) -> str:
    assert faults(message) == []
    return read_aloud(message)


@pytest.mark.parametrize(
    ("outcome", "message", "words"),
    [
        (ActionOutcome.APPLIED, "approved; one more is needed", "✓ approved; one more is needed."),
        (ActionOutcome.IGNORED, "run 14 is over", "• run 14 is over."),
        (ActionOutcome.REFUSED, "you are no approver", "✗ you are no approver."),
        (ActionOutcome.APPLIED, "", "✓ applied."),
    ],
)
def test_what_came_of_a_command_is_told(outcome: ActionOutcome, message: str, words: str) -> None:
    assert said(slack_answers.answered(outcome, message)) == words


def test_a_command_that_is_kept_is_confirmed_with_what_it_is_about() -> None:
    assert said(slack_answers.taken(ASK)) == ("✓ Approve of shop/reviews is noted: run 14, step 3.")


def test_who_may_not_is_told_why() -> None:
    assert said(slack_answers.may_not("only <release-managers> may")) == (
        "✗ You may not do that: only &lt;release-managers&gt; may."
    )


@pytest.mark.parametrize("standing", [one for one in Standing if one is not Standing.MEMBER])
def test_who_is_no_member_is_told_so(standing: Standing) -> None:
    assert said(slack_answers.no_member(standing)).startswith("✗ You may not do that: ")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("approved", "run 14 is at step 4 of 5 now."),
        ("rolled back", "run 14 has ended: all of reviews is on v2: 8.1 %"),
        ("", "there is no such rollout any more."),
    ],
)
def test_a_press_that_came_too_late_is_told_what_is_so_now(state: str, words: str) -> None:
    told = said(slack_answers.over(ASK, STATES[state] if state else None))

    assert told.startswith("• run 14 step 3 of shop/reviews is over; ")
    assert words in told


def test_a_rollout_that_has_never_run_is_like_none() -> None:
    without = STATES["approval"].model_copy(update={"run": None})

    assert "no such rollout" in said(slack_answers.over(ASK, without))


def test_a_failure_is_told_with_another_way_to_do_it() -> None:
    assert said(slack_answers.failed(ASK, because="the API server does not answer")) == (
        "✗ That did not work: the API server does not answer. Press again in a moment; "
        "or type `rollout approve reviews -n shop`."
    )
    assert said(slack_answers.failed(None, because="it is none of ours")).endswith("a moment.")


@pytest.mark.parametrize("verb", Verb)
def test_the_form_asks_for_a_reason_and_carries_what_it_is_about(verb: Verb) -> None:
    ask = replace(ASK, verb=verb)
    spot = Spot(channel="C1", ts="1.5")
    dialog = slack_answers.reason_dialog(ask, spot=spot, thread="1.0")

    assert dialog_faults(dialog) == []
    note = json.loads(dialog.view["private_metadata"])
    assert slack_ask.read(note["value"]) == ask
    assert dialog.view["private_metadata"] == press.note(slack_ask.written(ask), spot, thread="1.0")
    assert dialog.view["callback_id"] == f"rollout.{verb.lower()}"
    assert dialog.view["blocks"][1]["block_id"] == REASON_BLOCK


def test_the_form_for_the_longest_names_fits() -> None:
    key = Key("n" * 63, "a" * 253)
    ask = replace(ASK, key=key, uid="u" * 64, run="9" * 20, verb=Verb.PROMOTE_FULL)

    assert dialog_faults(slack_answers.reason_dialog(ask, spot=None)) == []


def test_a_reason_has_to_say_something() -> None:
    assert slack_answers.reason_problem("no") != ""
    assert slack_answers.reason_problem("slow") == ""


@given(HOSTILE)
def test_no_text_of_anybodys_can_break_an_answer(text: str) -> None:
    for message in (
        slack_answers.answered(ActionOutcome.APPLIED, text * 40),
        slack_answers.may_not(text * 40),
        slack_answers.failed(ASK, because=text * 40),
        slack_answers.over(ASK, STATES["aborted"].model_copy(update={"message": text * 40})),
    ):
        assert faults(message) == []
