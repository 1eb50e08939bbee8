"""What somebody who pressed something is told, and nobody else; the form that asks for a reason.

A press is never ignored in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rollout.api import press
from rollout.api.action import ActionOutcome, Verb
from rollout.api.chat import REASON_ACTION, REASON_BLOCK, Dialog, Message, Spot, Standing
from rollout.api.status import RolloutStatus
from rollout.views import sentences
from rollout.views.slack_ask import Ask, action_of, written
from rollout.views.slack_text import (
    MODAL_TITLE_LENGTH_MAX,
    SECTION_LENGTH_MAX,
    TEXT_LENGTH_MAX,
    escaped,
    plain,
    section,
)

REASON_LENGTH_MAX = 128
"""What a decision keeps of a reason."""

REASON_LENGTH_MIN = 3

_OUTCOMES: Mapping[ActionOutcome, str] = MappingProxyType(
    {ActionOutcome.APPLIED: "✓", ActionOutcome.IGNORED: "•", ActionOutcome.REFUSED: "✗"}
)

_ENDING = frozenset({Verb.REJECT, Verb.ABORT})

_STANDINGS: Mapping[Standing, str] = MappingProxyType(
    {
        Standing.GUEST: "guests may not command a rollout",
        Standing.STRANGER: "people from other organisations may not command a rollout",
        Standing.BOT: "programs may not command a rollout by pressing a button",
        Standing.DELETED: "this account is no longer a member of the workspace",
    }
)


def answered(outcome: ActionOutcome, message: str) -> Message:
    """What came of a command."""
    return _said(f"{_OUTCOMES[outcome]} {sentences.sentence(message or outcome.lower())}")


def taken(ask: Ask) -> Message:
    """The command is kept; what comes of it is seen at the head of the thread."""
    return _said(f"✓ {ask.verb} of {ask.key} is noted: run {ask.run}, step {ask.step}.")


def may_not(because: str) -> Message:
    """Somebody may not do what they pressed."""
    return _said(f"✗ You may not do that: {sentences.sentence(because)}")


def no_member(standing: Standing) -> Message:
    """Somebody is no member of the workspace, and may do nothing."""
    return may_not(_STANDINGS[standing])


def over(ask: Ask, status: RolloutStatus | None) -> Message:
    """The press came too late: what it was about is over.

    Args:
        ask: what was pressed.
        status: where the Rollout is now; None: there is no such Rollout any more.
    """
    what = f"run {ask.run} step {ask.step} of {ask.key} is over"
    if status is None or status.run is None:
        return _said(f"• {what}; there is no such rollout any more.")
    run = status.run
    if run.ended_at is not None:
        return _said(f"• {what}; run {run.id} has ended: {sentences.sentence(status.message)}")
    return _said(f"• {what}; run {run.id} is at step {run.step} of {run.step_count} now.")


def failed(ask: Ask | None, *, because: str) -> Message:
    """It could not be done, and nobody is to blame who reads this."""
    verb = f"; or type `{_typed(ask)}`" if ask is not None else ""
    return _said(f"✗ That did not work: {because}. Press again in a moment{verb}.")


def reason_dialog(ask: Ask, *, spot: Spot | None, thread: str = "") -> Dialog:
    """The form that asks why; its answer is a press with the same value as the button."""
    must_say = must_explain(ask.verb)
    what = f"{ask.verb} run {ask.run}, step {ask.step}, of {ask.key}."
    if ask.verb in _ENDING:
        what += " All traffic then goes back to the stable revision."
    return Dialog(
        view={
            "type": "modal",
            "callback_id": action_of(ask.verb),
            "title": plain(f"{ask.verb}: why?", MODAL_TITLE_LENGTH_MAX),
            "submit": plain(ask.verb, MODAL_TITLE_LENGTH_MAX),
            "close": plain("Cancel", MODAL_TITLE_LENGTH_MAX),
            "private_metadata": press.note(written(ask), spot, thread=thread),
            "blocks": [
                section(escaped(what)),
                {
                    "type": "input",
                    "block_id": REASON_BLOCK,
                    "optional": not must_say,
                    "label": plain("Reason", 100),
                    "hint": plain("Kept with the run, for all to read.", 100),
                    "element": {
                        "type": "plain_text_input",
                        "action_id": REASON_ACTION,
                        "multiline": True,
                        **({"min_length": REASON_LENGTH_MIN} if must_say else {}),
                        "max_length": REASON_LENGTH_MAX,
                    },
                },
            ],
        }
    )


def must_explain(verb: Verb) -> bool:
    """Whether a command needs a reason: who aborts in a hurry need not find words."""
    return verb is Verb.REJECT


def reason_problem(reason: str) -> str:
    """What is wrong with a reason that has to be given; empty: nothing."""
    if len(reason) < REASON_LENGTH_MIN:
        return "Say in a few words why; it is kept with the run."
    return ""


def _typed(ask: Ask) -> str:
    return f"rollout {ask.verb.lower()} {ask.key.name} -n {ask.key.namespace}"


def _said(text: str) -> Message:
    return Message(
        text=escaped(text, TEXT_LENGTH_MAX), blocks=(section(escaped(text, SECTION_LENGTH_MAX)),)
    )
