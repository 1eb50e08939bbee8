"""What a button asks for: it travels to Slack in the button's value and comes back with a press.

Nobody but Slack can send it back, but it may be of an old version of the message, so it names all
that the press is about, and whoever obeys compares it with what is so now.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rollout.api.action import Verb
from rollout.api.meta import Key
from rollout.base.errors import BadInput

VALUE_LENGTH_MAX = 2000
"""What Slack takes as a value, and more than all of ours have."""

STEP_MAX = 100
"""As commands have it."""

PREFIX = "rollout."
"""How the names of our buttons and dialogs begin; the verb follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A command, as a button carries it.

    Attributes:
        key: the Rollout.
        uid: the Rollout's uid: one that was made anew under the same name is another.
        run: the run that is meant.
        step: the step that is meant.
        verb: what to do.
    """

    key: Key
    uid: str
    run: str
    step: int
    verb: Verb


def action_of(verb: Verb) -> str:
    """The name of a button or dialog."""
    return PREFIX + verb.lower()


def written(ask: Ask) -> str:
    """The button's value."""
    document = {
        "ns": ask.key.namespace,
        "name": ask.key.name,
        "uid": ask.uid,
        "run": ask.run,
        "step": ask.step,
        "do": ask.verb.value,
    }
    return json.dumps(document, separators=(",", ":"))


def read(value: str) -> Ask:
    """What a button's value asks for.

    Raises:
        BadInput: for everything that `written` has not written.
    """
    if len(value) > VALUE_LENGTH_MAX:
        raise _unusable(why="it is too long")
    try:
        document = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise _unusable(why="it is no JSON") from error
    if not isinstance(document, dict) or document.keys() != _FIELDS:
        raise _unusable(why="its fields are others")
    step = document["step"]
    if type(step) is not int or not 0 <= step <= STEP_MAX:
        raise _unusable(why="its step is none")
    if document["do"] not in _VERBS:
        raise _unusable(why="its verb is none")
    return Ask(
        key=Key(_name(document, "ns", 63), _name(document, "name", 253)),
        uid=_name(document, "uid", 64),
        run=_name(document, "run", 20),
        step=step,
        verb=Verb(document["do"]),
    )


_FIELDS = frozenset({"ns", "name", "uid", "run", "step", "do"})
_VERBS = tuple(verb.value for verb in Verb)


def _name(document: dict[str, Any], field: str, length_max: int) -> str:
    found = document[field]
    if not isinstance(found, str) or not 0 < len(found) <= length_max:
        raise _unusable(why=f"its {field} is none")
    if not found.isascii() or not found.isprintable() or " " in found or "/" in found:
        raise _unusable(why=f"its {field} is none")
    return found


def _unusable(*, why: str) -> BadInput:
    return BadInput(f"this button is none of ours: {why}")
