"""Commands: saying the same thing twice is the same command, anything else is another one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.api.action import ActionSpec, Verb, action_name

COMMAND = ActionSpec(
    rollout="reviews", run="14", step=2, verb=Verb.PROMOTE, actor="alice@example.com", via="cli"
)


def test_saying_the_same_thing_twice_gives_the_same_name() -> None:
    repeated = COMMAND.model_copy(update={"via": "slack", "reason": "looks good"})

    assert action_name(COMMAND, uid="u1") == action_name(repeated, uid="u1")


@pytest.mark.parametrize(
    "change",
    [
        {"run": "15"},
        {"step": 3},
        {"step": None},
        {"verb": Verb.ABORT},
        {"actor": "bob"},
        {"sequence": 2},
    ],
    ids=["run", "step", "no step", "verb", "actor", "sequence"],
)
def test_another_command_has_another_name(change: dict[str, object]) -> None:
    other = COMMAND.model_copy(update=change)

    assert action_name(COMMAND, uid="u1") != action_name(other, uid="u1")


def test_a_rollout_that_was_created_anew_gets_commands_of_its_own() -> None:
    assert action_name(COMMAND, uid="u1") != action_name(COMMAND, uid="u2")


@given(rollout=st.from_regex(r"[a-z0-9]([-a-z0-9]{0,251}[a-z0-9])?", fullmatch=True))
def test_the_name_of_a_command_is_a_name_kubernetes_takes(rollout: str) -> None:
    name = action_name(COMMAND.model_copy(update={"rollout": rollout}), uid="u1")

    assert len(name) <= 253
    assert re.fullmatch(r"[a-z0-9][-a-z0-9]*[a-z0-9]", name)
