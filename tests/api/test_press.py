"""What Slack sends of a press is understood with fields missing, and refused when it is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.api import press
from rollout.api.chat import Press, Pressed, Spot
from rollout.base.errors import BadInput

SPOT = Spot(channel="C123", ts="1767225600.000200")


async def ack(problem: str = "") -> bool:
    return not problem


def button(**changes: Any) -> dict[str, Any]:
    """The example of Slack's reference, with a button of ours."""
    found: dict[str, Any] = {
        "type": "block_actions",
        "user": {"id": "U123ABC456", "username": "jo", "team_id": "T123ABC456"},
        "api_app_id": "A123",
        "container": {
            "type": "message",
            "message_ts": SPOT.ts,
            "channel_id": "C123",
            "thread_ts": "1767225500.000100",
        },
        "trigger_id": "12321423423.333649436676.d8c1bb83",
        "team": {"id": "T123ABC456", "domain": "acme"},
        "channel": {"id": "C123", "name": "releases"},
        "message": {"type": "message", "ts": SPOT.ts},
        "state": {"values": {}},
        "response_url": "https://hooks.slack.com/actions/T123/1232321423432/D09sSa",
        "actions": [
            {
                "type": "button",
                "action_id": "rollout.approve",
                "block_id": "b",
                "value": "ask",
                "action_ts": "1767225610.840180",
            }
        ],
    }
    return {**found, **changes}


def dialog(**changes: Any) -> dict[str, Any]:
    view = {
        "id": "V1",
        "callback_id": "rollout.reject",
        "private_metadata": press.note("ask", SPOT, thread="1.0"),
        "state": {
            "values": {
                "reason": {"rollout.reason": {"type": "plain_text_input", "value": "too\n slow"}}
            }
        },
        **changes,
    }
    return {"type": "view_submission", "user": {"id": "U1"}, "team": None, "view": view}


def test_a_button_says_who_pressed_what_where() -> None:
    assert press.read(button(), ack=ack) == Press(
        id="U123ABC456/C123/1767225600.000200/rollout.approve/1767225610.840180",
        what=Pressed.BUTTON,
        member="U123ABC456",
        action="rollout.approve",
        value="ask",
        spot=SPOT,
        thread="1767225500.000100",
        trigger="12321423423.333649436676.d8c1bb83",
        answer_url="https://hooks.slack.com/actions/T123/1232321423432/D09sSa",
        ack=ack,
    )


@pytest.mark.parametrize("name", ["team", "channel", "message", "response_url", "state"])
@pytest.mark.parametrize("how", ["missing", "null"])
def test_a_button_is_understood_without_what_is_not_needed(name: str, how: str) -> None:
    payload = button(**{name: None})
    if how == "missing":
        del payload[name]

    found = press.read(payload, ack=ack)

    assert found is not None
    assert (found.member, found.spot) == ("U123ABC456", SPOT)


def test_a_button_without_a_message_has_no_spot() -> None:
    found = press.read(button(container=None, message=None), ack=ack)

    assert found is not None
    assert (found.spot, found.thread) == (None, "")


def test_a_dialog_belongs_to_the_message_that_its_note_names() -> None:
    found = press.read(dialog(), ack=ack)

    assert found == Press(
        id="U1/V1",
        what=Pressed.DIALOG,
        member="U1",
        action="rollout.reject",
        value="ask",
        reason="too slow",
        spot=SPOT,
        thread="1.0",
        ack=ack,
    )


def test_a_dialog_may_belong_to_no_message_and_have_no_reason() -> None:
    payload = dialog(private_metadata=press.note("ask", None), state={"values": {}})

    found = press.read(payload, ack=ack)

    assert found is not None
    assert (found.spot, found.reason, found.thread) == (None, "", "")


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "view_closed"},
        {"type": "shortcut"},
        {},
        button(actions=[{"type": "users_select", "action_id": "rollout.approve"}]),
    ],
)
def test_what_asks_nothing_of_us_is_no_press(payload: dict[str, Any]) -> None:
    assert press.read(payload, ack=ack) is None


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (None, "no object"),
        ([], "no object"),
        (button(actions=[]), "no action"),
        (button(actions=None), "no action"),
        (button(actions=["x"]), "no action"),
        (button(user=None), "who pressed"),
        (button(user={"id": 7}), "who pressed"),
        (button(user={"id": "U" * 65}), "who pressed"),
        (button(user={"id": "U1\n"}), "who pressed"),
        (button(user={"id": "Ü1"}), "who pressed"),
        (button(channel={"id": "C" * 65}), "where"),
        (button(container={"thread_ts": "1" * 65}), "where"),
        (
            button(actions=[{"type": "button", "action_id": "a", "value": "v" * 3001}]),
            "longer than any of ours",
        ),
        (dialog(private_metadata="no json"), "note is not ours"),
        (dialog(private_metadata="[]"), "note is not ours"),
        (dialog(private_metadata="[" * 5000), "note is not ours"),
        (dialog(private_metadata=json.dumps({"value": "v" * 3001})), "longer than any of ours"),
    ],
)
def test_what_no_message_of_ours_can_have_sent_is_refused(payload: object, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        press.read(payload, ack=ack)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(button())), ANYTHING), st.booleans(), ANYTHING)
def test_nothing_but_bad_input_is_raised_whatever_is_sent(
    changes: dict[str, Any], form: bool, inside: Any
) -> None:
    payload = {**(dialog() if form else button()), **changes}
    if form and isinstance(inside, dict):
        payload["view"] = inside
    try:
        found = press.read(payload, ack=ack)
    except BadInput:
        return
    assert found is None or found.member


@given(st.text(max_size=100), st.text(max_size=20))
def test_a_dialogs_note_is_read_back_as_it_was_written(value: str, thread: str) -> None:
    payload = dialog(private_metadata=press.note(value, SPOT, thread=thread))

    found = press.read(payload, ack=ack)

    assert found is not None
    assert (found.value, found.spot, found.thread) == (value, SPOT, thread)
