"""What is said in a chat and what is pressed there: messages, dialogs, presses, members."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from rollout.base.errors import BadInput

REASON_BLOCK = "reason"
"""Where a dialog asks for a reason; what is wrong with the answer is shown there."""

REASON_ACTION = "rollout.reason"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is shown.

    Attributes:
        text: all of it in a sentence or two: what notifications, search and screen readers give,
            and what is shown where the blocks cannot be.
        blocks: the message as Slack's Block Kit; none: the text is all.
    """

    text: str
    blocks: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a message stands.

    Attributes:
        channel: the channel's id, such as C0123ABCD.
        ts: the message within it, as Slack names it; never a number.
    """

    channel: str
    ts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialog:
    """A form that is opened for the one who pressed a button.

    Attributes:
        view: the form as Slack's modal view.
    """

    view: Mapping[str, Any]


class Standing(StrEnum):
    """What somebody is to the workspace; only a member may command anything."""

    MEMBER = "member"
    """A full member of the workspace, or of another one of the same organisation."""
    GUEST = "guest"
    """A guest, who is in some channels only."""
    STRANGER = "stranger"
    """From another organisation, in a shared channel."""
    BOT = "bot"
    """A program."""
    DELETED = "deleted"
    """Somebody who has left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Who somebody is.

    Attributes:
        id: the member id, such as U0123ABCD; never changes.
        name: how people call them; anybody may choose any name, so it decides nothing.
        email: as the workspace knows it; empty where Slack does not tell, where it has not been
            confirmed, and for everybody but members.
        standing: what they are to the workspace.
        groups: those of the user groups that were asked for which they are in.
    """

    id: str
    name: str
    email: str
    standing: Standing
    groups: frozenset[str] = frozenset()


class Acknowledge(Protocol):
    """Tells the chat that a press has arrived, and is kept."""

    async def __call__(self, problem: str = "") -> bool:
        """Within three seconds of the press, or the person sees that it failed.

        With a problem, a dialog stays open and shows it beside its field; for a button it is not
        shown. False: the chat has not heard it in time.
        """
        ...


class Pressed(StrEnum):
    """What was pressed."""

    BUTTON = "button"
    """A button below a message."""
    DIALOG = "dialog"
    """The one that sends a dialog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """Somebody pressed something of ours.

    Attributes:
        id: the same for a press that is delivered twice.
        what: a button, or a dialog that is sent.
        member: who, by id; that much is certain.
        action: which button, as our message named it; of a dialog its name.
        value: what our message or dialog carried along; it may be of an old version of it.
        reason: what was written into a dialog.
        spot: the message that the button is below, also for the dialog it opened; None: unknown.
        thread: the head of the thread that the message is in; empty: it is in none.
        trigger: opens one dialog, within three seconds; empty: none can be opened.
        answer_url: takes answers that only the one who pressed sees, for half an hour; empty: none.
        ack: to be called once the press is kept, and not before.
    """

    id: str
    what: Pressed
    member: str
    action: str
    value: str
    reason: str = ""
    spot: Spot | None = None
    thread: str = ""
    trigger: str = field(default="", repr=False)
    answer_url: str = field(default="", repr=False)
    ack: Acknowledge = field(compare=False, repr=False)


Handle = Callable[[Press], Awaitable[None]]
"""What is done about a press: keep it, then call its ``ack``, then whatever may take longer."""


def text_of(document: Mapping[str, Any], *path: str) -> str:
    """A text somewhere in a document from outside; empty when it or its way there is missing."""
    found: Any = document
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""


def unusable(*, why: str) -> BadInput:
    """The error for what was pressed and cannot be understood."""
    return BadInput(f"what was pressed cannot be understood: {why}")
