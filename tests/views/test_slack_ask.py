"""A button's value names all that its press is about, and nothing else is taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.api.action import Verb
from rollout.api.meta import Key
from rollout.base.errors import BadInput
from rollout.views import slack_ask
from rollout.views.slack_ask import Ask

ASK = Ask(
    key=Key("shop", "reviews"),
    uid="6f9c2f0e-5d0b-4c57-9d8e-2a7f2f7b3c11",
    run="14",
    step=3,
    verb=Verb.APPROVE,
)
GOOD = {"ns": "shop", "name": "reviews", "uid": "u", "run": "14", "step": 3, "do": "Approve"}


def test_a_value_is_compact_json() -> None:
    assert slack_ask.written(ASK) == (
        '{"ns":"shop","name":"reviews","uid":"6f9c2f0e-5d0b-4c57-9d8e-2a7f2f7b3c11",'
        '"run":"14","step":3,"do":"Approve"}'
    )


@given(
    st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True),
    st.from_regex(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?", fullmatch=True),
    st.integers(0, 100),
    st.sampled_from(Verb),
)
def test_what_was_written_is_read_back(namespace: str, name: str, step: int, verb: Verb) -> None:
    ask = Ask(key=Key(namespace, name), uid=ASK.uid, run="9" * 20, step=step, verb=verb)
    value = slack_ask.written(ask)

    assert slack_ask.read(value) == ask
    assert len(value) < 600


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"step": -1},
        {"step": 101},
        {"step": True},
        {"step": 1.0},
        {"step": "1"},
        {"do": "Delete"},
        {"do": ["Approve"]},
        {"ns": ""},
        {"ns": "a/b"},
        {"ns": "a" * 64},
        {"name": "a b"},
        {"name": "a\n"},
        {"name": "ä"},
        {"name": "a" * 254},
        {"uid": None},
        {"uid": "u" * 65},
        {"run": 14},
        {"run": "1" * 21},
    ],
)
def test_a_value_that_differs_in_anything_is_none_of_ours(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="none of ours"):
        slack_ask.read(json.dumps({**GOOD, **changes}))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        "[" * 1999,
        "x" * 2001,
        json.dumps({"ns": "a"}),
        "NaN",
        "9" * 1900,
    ],
)
def test_text_that_is_no_such_document_is_none_of_ours(value: str) -> None:
    with pytest.raises(BadInput, match="none of ours"):
        slack_ask.read(value)


def test_the_good_example_is_good() -> None:
    assert slack_ask.read(json.dumps(GOOD)).verb is Verb.APPROVE


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@given(st.text(max_size=50) | st.dictionaries(st.sampled_from(sorted(GOOD)), JSON))
def test_nothing_but_bad_input_comes_of_anything_else(found: Any) -> None:
    value = found if isinstance(found, str) else json.dumps({**GOOD, **found})
    try:
        slack_ask.read(value)
    except BadInput:
        return
    assert json.loads(value).keys() == GOOD.keys()


def test_a_buttons_name_has_its_verb() -> None:
    assert slack_ask.action_of(Verb.PROMOTE_FULL) == "rollout.promotefull"
