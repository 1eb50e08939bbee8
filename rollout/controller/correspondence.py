"""All that goes between a controller and people: messages out, commands in, beside every look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from rollout.api.meta import Key
from rollout.api.notify import Sink
from rollout.api.status import RolloutStatus
from rollout.controller.chatting import Chatter
from rollout.controller.hooking import Hooking
from rollout.controller.mailbox import Mailbox, Reach
from rollout.controller.posting import Poster
from rollout.controller.pressing import Presser
from rollout.controller.rounds import Deliver, Rounds
from rollout.controller.world import World
from rollout.ports import Chat, Clock, Cluster, Hooks


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlets:
    """Whom a controller can talk to.

    Attributes:
        chat: Slack; None: none is configured.
        hooks: posts to addresses; None: nobody may be posted to.
        default_channel: where Rollouts are told of that name no channel; empty: nowhere.
        hook_prefixes: how addresses begin that may be posted to.
        pressable: whether presses of buttons reach us, over a socket or by HTTP.
        has_socket: whether they come over a socket.
        link: where a Rollout is to be seen, with ``{namespace}`` and ``{name}``; empty: nowhere.
    """

    chat: Chat | None = None
    hooks: Hooks | None = None
    default_channel: str = ""
    hook_prefixes: tuple[str, ...] = ()
    pressable: bool = False
    has_socket: bool = False
    link: str = ""


class Correspondence:
    """Delivers and hears.

    Args:
        outlets: whom it can talk to.
        world: the Rollouts as they stand.
        cluster: takes commands, and knows who may give which.
        clock: time.
        ring: has a Rollout looked at.
        leads: whether this process decides now.
        knows: whether the caches are filled.

    Attributes:
        mailbox: what is to be told to whom, and what was.
        hooking: asks webhooks whether runs may go on.
    """

    def __init__(
        self,
        outlets: Outlets,
        world: World,
        cluster: Cluster,
        *,
        clock: Clock,
        ring: Callable[[Key], object],
        leads: Callable[[], bool],
        knows: Callable[[], bool],
    ) -> None:
        has_hooks = outlets.hooks is not None
        self.mailbox = Mailbox(
            Reach(
                has_chat=outlets.chat is not None,
                default_channel=outlets.default_channel,
                hooks=outlets.hook_prefixes if has_hooks else (),
            )
        )
        self.hooking = Hooking(
            outlets.hooks, prefixes=outlets.hook_prefixes, clock=clock, ring=ring
        )
        self._ring = ring
        self._has_socket = outlets.has_socket
        self._clock = clock
        self._seen: dict[Key, tuple[object, ...]] = {}
        self._rounds: dict[Sink, Rounds] = {}
        self._chatter: Chatter | None = None
        self.presser: Presser | None = None
        chat = outlets.chat
        if chat is not None:
            self._chatter = Chatter(
                chat,
                world,
                self.mailbox,
                ring=ring,
                clock=clock,
                pressable=outlets.pressable,
                link=outlets.link,
            )
            self.presser = Presser(chat, cluster, world, clock, leads=leads, knows=knows)
            self._rounds[Sink.SLACK] = self._round(Sink.SLACK, self._chatter.deliver)
        if outlets.hooks is not None:
            for sink in (Sink.WEBHOOK, Sink.CLOUD_EVENTS):
                poster = Poster(sink, outlets.hooks, world, self.mailbox, ring=ring)
                self._rounds[sink] = self._round(sink, poster.deliver)

    def _round(self, sink: Sink, deliver: Deliver) -> Rounds:
        def failed(key: Key, why: str) -> None:
            if self.mailbox.trouble(key, sink, why):
                self._ring(key)

        return Rounds(str(sink), deliver, failed, self._clock)

    def begin(self) -> None:
        """A term as the leader begins: others may have told things since."""
        self.mailbox.begin()
        self.hooking.begin()
        self._seen.clear()
        if self._chatter is not None:
            self._chatter.begin()

    def stir(self, key: Key, status: RolloutStatus) -> None:
        """A status was decided: there may be something to tell. At rest, and all told, not."""
        run = status.run
        if not self._rounds or run is None:
            return
        is_on, before = run.ended_at is None, self._seen.get(key)
        is_on = is_on or (before is not None and bool(before[0]))  # its head says how it ended
        now = (run.ended_at is None, status.told, status.phase, status.message, run.gates)
        if before == now or not (is_on or status.outbox):
            return
        self._seen[key] = now
        waiting = {sink for telling in status.outbox for sink in telling.still}
        for sink, rounds in self._rounds.items():
            if sink in waiting or (sink is Sink.SLACK and is_on):
                rounds.stir(key)

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._seen.pop(key, None)
        self.mailbox.forget(key)
        for sink, rounds in self._rounds.items():
            rounds.forget(key)
            if sink is Sink.SLACK:
                rounds.stir(key)  # its head may have a last word to say
        if self._chatter is not None:
            self._chatter.forget(key)

    async def run(self) -> None:
        """Deliver and hear, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.hooking.run())
            for rounds in self._rounds.values():
                tasks.create_task(rounds.run())
            if self.presser is not None and self._has_socket:
                tasks.create_task(self.presser.run())
