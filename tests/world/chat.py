"""A chat in memory, for simulated time: what is posted there, and who presses what."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NoReturn

from rollout.api.chat import (
    Dialog,
    Handle,
    Member,
    Message,
    Press,
    Pressed,
    Spot,
    Standing,
)
from rollout.base.errors import ChatRefused, RolloutError
from rollout.ports import Clock, Workspace

BOT = "UROLLOUT"
ACK_SECONDS = 3.0


@dataclass(slots=True)
class Shown:
    """A message as it stands.

    Attributes:
        spot: where.
        message: what is shown now.
        marker: what it was posted with.
        thread: the head it stands below; empty: it is one.
        loud: a reply that the channel shows too.
        versions: everything it has shown, oldest first.
    """

    spot: Spot
    message: Message
    marker: str
    thread: str
    loud: bool
    versions: list[Message] = field(default_factory=list)

    def button(self, action: str) -> str:
        """The value of a button."""
        for block in self.message.blocks:
            for element in block.get("elements", ()):
                if element.get("action_id") == action:
                    return str(element["value"])
        raise LookupError(action)


@dataclass(slots=True)
class _Mishap:
    call: str
    error: RolloutError
    after: bool
    times: int


def _refuse(what: str, code: str, *, fault: Literal["setup", "gone", "late"]) -> NoReturn:
    raise ChatRefused(what, code=code, fault=fault)


class FakeChat:
    """A ports.Chat.

    Attributes:
        shown: every message there is, by spot, in the order in which they were posted.
        whispers: what was told to whom alone.
        dialogs: forms that were opened, with the press that did.
        members: who is there; whoever is not is a member without an e-mail.
        groups: members of user groups.
        calls: every call, by name and what it was about.
    """

    def __init__(self, clock: Clock) -> None:
        self.shown: dict[Spot, Shown] = {}
        self.whispers: list[tuple[str, Message]] = []
        self.dialogs: list[tuple[Press, Dialog]] = []
        self.members: dict[str, Member] = {}
        self.groups: dict[str, set[str]] = {}
        self.channels = {"#deploys": "C0DEPLOYS"}
        self.calls: list[tuple[str, str]] = []
        self._clock = clock
        self._count = 0
        self._mishaps: list[_Mishap] = []
        self._handle: Handle | None = None
        self._closed = asyncio.Event()

    # What a test does.

    def fail(self, call: str, error: RolloutError, *, after: bool = False, times: int = 1) -> None:
        """Fail the next calls of a name; ``after``: when they have had their effect."""
        self._mishaps.append(_Mishap(call, error, after, times))

    def mend(self) -> None:
        """Nothing fails any more."""
        self._mishaps.clear()

    def heads(self) -> list[Shown]:
        return [one for one in self.shown.values() if not one.thread]

    def thread(self, head: Spot) -> list[Shown]:
        return [one for one in self.shown.values() if one.thread == head.ts]

    def remove(self, spot: Spot) -> None:
        """A person takes a message away."""
        del self.shown[spot]

    async def press(self, shown: Shown, action: str, *, member: str, value: str = "") -> bool:
        """Somebody presses a button; gives whether it was acknowledged in time."""
        return await self._deliver(
            Pressed.BUTTON, shown.spot, action, member, value or shown.button(action), ""
        )

    async def submit(self, dialog: Dialog, reason: str, *, member: str, value: str) -> bool:
        """Somebody sends a form; gives whether it was acknowledged in time, and without a word."""
        action = str(dialog.view["callback_id"])
        return await self._deliver(Pressed.DIALOG, None, action, member, value, reason)

    async def _deliver(
        self,
        what: Pressed,
        spot: Spot | None,
        action: str,
        member: str,
        value: str,
        reason: str,
    ) -> bool:
        since = self._clock.monotonic_seconds()
        heard: list[tuple[float, str]] = []

        async def ack(problem: str = "") -> bool:
            heard.append((self._clock.monotonic_seconds() - since, problem))
            return heard[0][0] < ACK_SECONDS

        if self._handle is None:
            return False
        self._count += 1
        await self._handle(
            Press(
                id=str(self._count),
                what=what,
                member=member,
                action=action,
                value=value,
                reason=reason,
                spot=spot,
                trigger=str(self._count),
                ack=ack,
            )
        )
        return bool(heard) and heard[0][0] < ACK_SECONDS and not heard[0][1]

    # What a port does.

    async def serve(self, handle: Handle) -> None:
        self._begin("serve", "")
        self._handle = handle
        try:
            await self._closed.wait()
        finally:
            self._handle = None

    async def workspace(self) -> Workspace:
        self._begin("workspace", "")
        return Workspace(team="T0ACME", url="https://acme.slack.example/", bot=BOT)

    async def post(
        self,
        channel: str,
        message: Message,
        *,
        marker: str,
        thread: str = "",
        broadcast: bool = False,
        since: datetime | None = None,
    ) -> Spot:
        self._begin("post", marker)
        place = self.channels.get(channel, channel)
        if place not in self.channels.values():
            _refuse("a post", "channel_not_found", fault="setup")
        known = [
            one
            for one in self.shown.values()
            if one.marker == marker and one.thread == thread and one.spot.channel == place
        ]
        if since is not None and known:
            return known[0].spot
        if thread and Spot(channel=place, ts=thread) not in self.shown:
            _refuse("a reply", "thread_not_found", fault="gone")
        self._count += 1
        spot = Spot(channel=place, ts=f"{self._clock.now().timestamp():.0f}.{self._count:06d}")
        self.shown[spot] = Shown(spot, message, marker, thread, broadcast, [message])
        self._end("post")
        return spot

    async def update(self, spot: Spot, message: Message) -> None:
        self._begin("update", spot.ts)
        if spot not in self.shown:
            _refuse("an update", "message_not_found", fault="gone")
        self.shown[spot].message = message
        self.shown[spot].versions.append(message)
        self._end("update")

    async def whisper(self, press: Press, message: Message) -> None:
        self._begin("whisper", press.member)
        self.whispers.append((press.member, message))
        self._end("whisper")

    async def open_dialog(self, press: Press, dialog: Dialog) -> None:
        self._begin("open_dialog", press.member)
        if any(press.trigger == before.trigger for before, _ in self.dialogs):
            _refuse("a form", "exchanged_trigger_id", fault="late")
        self.dialogs.append((press, dialog))
        self._end("open_dialog")

    async def who(self, member: str, *, groups: Collection[str] = ()) -> Member:
        self._begin("who", member)
        known = self.members.get(member)
        inside = frozenset(one for one in groups if member in self.groups.get(one, ()))
        if known is None:
            known = Member(id=member, name=member, email="", standing=Standing.MEMBER)
        return Member(
            id=member, name=known.name, email=known.email, standing=known.standing, groups=inside
        )

    async def close(self) -> None:
        self._closed.set()

    def _begin(self, call: str, about: str) -> None:
        self.calls.append((call, about))
        self._strike(call, after=False)

    def _end(self, call: str) -> None:
        self._strike(call, after=True)

    def _strike(self, call: str, *, after: bool) -> None:
        for mishap in self._mishaps:
            if mishap.call == call and mishap.after == after and mishap.times > 0:
                mishap.times -= 1
                raise mishap.error
