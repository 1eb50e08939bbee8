"""Tells the runs of Rollouts in Slack: one thread each, its head kept as the status is.

Messages are told in their order, each shown once: whoever may have told one before looks first.
The head is made from the status alone, so it is right whoever has decided, and by what tool.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from rollout.api.chat import Message, Spot
from rollout.api.meta import Key, Manifest
from rollout.api.notify import Sink, Telling, Thread
from rollout.api.status import Run
from rollout.base.errors import ChatRefused, Uncertain
from rollout.controller.mailbox import Mailbox
from rollout.controller.world import World
from rollout.ports import Chat, Clock
from rollout.views import slack_head, slack_past, slack_reply, subject
from rollout.views.subject import Subject

HEAD_SECONDS = 3.0
"""The least time between two changes of one head, unless a message was told in between."""


class Chatter:
    """Tells one Rollout after the other; see `Rounds`.

    Args:
        chat: Slack.
        world: the Rollouts as they stand.
        mailbox: what was told.
        ring: has a Rollout looked at, so that what was told is ticked off.
        clock: time.
        pressable: whether presses of buttons reach us.
        link: where a Rollout is to be seen, with ``{namespace}`` and ``{name}``; empty: nowhere.
    """

    def __init__(
        self,
        chat: Chat,
        world: World,
        mailbox: Mailbox,
        *,
        ring: Callable[[Key], object],
        clock: Clock,
        pressable: bool,
        link: str = "",
    ) -> None:
        self._chat = chat
        self._world = world
        self._mailbox = mailbox
        self._ring = ring
        self._clock = clock
        self._pressable = pressable
        self._link = link
        self._began_at = clock.now()
        self._uncertain: set[str] = set()
        self._said: set[tuple[Key, int]] = set()
        self._open_heads: dict[Key, tuple[Thread, str]] = {}
        self._shown: dict[Key, tuple[str, Message, float]] = {}

    def begin(self) -> None:
        """A term as the leader begins: what is older may have been told by others."""
        self._began_at = self._clock.now()
        self._shown.clear()
        self._open_heads.clear()

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._shown.pop(key, None)
        self._said = {pair for pair in self._said if pair[0] != key}

    async def deliver(self, key: Key) -> float | None:
        """Tell what is left to tell; seconds until the head may be changed again, if it has to."""
        manifest = self._world.rollouts.get(key)
        if manifest is None:
            await self._part(key)
            return None
        channel = self._mailbox.channel(manifest)
        seen = subject.read(manifest)
        if channel is None or seen.run is None:
            return None
        await self._move(key, seen, channel=channel.channel)
        delivered = self._mailbox.delivered(key)
        pending = [
            telling
            for telling in seen.status.outbox
            if Sink.SLACK in telling.still and (telling.id, Sink.SLACK) not in delivered
        ]
        for telling in pending:
            if (key, telling.id) not in self._said:
                await self._tell(key, manifest, seen, telling, channel=channel.channel)
                self._said.add((key, telling.id))
            if telling is pending[-1]:
                # Before it is ticked off: whoever takes over then finds that the head is right.
                await self._show(key, manifest, seen, channel=channel.channel, is_due=True)
            self._mailbox.tick(key, telling.id, Sink.SLACK)
            self._said.discard((key, telling.id))
            self._ring(key)
        return await self._show(key, manifest, seen, channel=channel.channel, is_due=False)

    async def _tell(
        self, key: Key, manifest: Manifest, seen: Subject, telling: Telling, *, channel: str
    ) -> None:
        run = seen.run if seen.run is not None and seen.run.id == telling.run else None
        thread = self._thread(key, seen, telling.run)
        if thread is None and run is not None:
            thread = await self._open(key, manifest, seen, run, channel=channel)
        try:
            await self._post(
                thread.channel if thread is not None else channel,
                slack_reply.reply(telling, run=run, key=None if thread is not None else key),
                marker=f"{_uid(manifest)}/{telling.id}",
                asked_at=telling.at,
                thread=thread.ts if thread is not None else "",
                is_loud=telling.news in slack_reply.LOUD,
            )
        except ChatRefused as error:
            if error.fault == "content":
                return  # nobody can be shown it, now or ever; the head says what is so
            if error.fault != "gone" or thread is None:
                raise
            self._mailbox.lost(key, telling.run)
            self._shown.pop(key, None)
            await self._tell(key, manifest, seen, telling, channel=channel)

    async def _move(self, key: Key, seen: Subject, *, channel: str) -> None:
        """Leave a channel that the Rollout does not name any more."""
        run = seen.active
        thread = self._thread(key, seen, run.id) if run is not None else None
        if thread is None or thread.asked in {"", channel}:
            return
        await self._change(key, thread, slack_past.moved(key))
        self._mailbox.lost(key, thread.run)
        self._shown.pop(key, None)

    async def _part(self, key: Key) -> None:
        """The last word about a Rollout that was deleted in mid-run."""
        open_head = self._open_heads.get(key)
        if open_head is not None:
            thread, revision = open_head
            await self._change(key, thread, slack_past.gone(key, revision))
            self._open_heads.pop(key, None)

    def _thread(self, key: Key, seen: Subject, run: str) -> Thread | None:
        """Where the messages of a run stand, as we or the status know."""
        known = self._mailbox.thread(key, run)
        if known is not None or self._mailbox.was_lost(key, run):
            return known
        written = seen.status.slack
        return written if written is not None and written.run == run else None

    async def _open(
        self, key: Key, manifest: Manifest, seen: Subject, run: Run, *, channel: str
    ) -> Thread:
        """Post the head of a run; the one of the run before gets its last words."""
        await self._close_last(key, seen, run)
        message = self._head(manifest, seen)
        again = self._mailbox.lost_count(key, run.id)
        spot = await self._post(
            channel,
            message,
            marker=f"{_uid(manifest)}/run/{run.id}" + (f"/{again}" if again else ""),
            asked_at=run.started_at,
        )
        thread = Thread(run=run.id, channel=spot.channel, ts=spot.ts, asked=channel)
        self._mailbox.found(key, thread)
        self._open_heads[key] = thread, run.canary_revision
        self._shown[key] = _about(manifest, run), message, self._clock.monotonic_seconds()
        self._ring(key)
        return thread

    async def _close_last(self, key: Key, seen: Subject, run: Run) -> None:
        before = seen.status.slack
        past = next((one for one in seen.status.history if before and one.id == before.run), None)
        if before is None or before.run == run.id or past is None:
            return
        try:
            spot = Spot(channel=before.channel, ts=before.ts)
            await self._chat.update(spot, slack_past.past_head(key, past))
        except ChatRefused:
            return  # somebody has taken it away

    async def _show(
        self, key: Key, manifest: Manifest, seen: Subject, *, channel: str, is_due: bool
    ) -> float | None:
        """Have the head say what the status says; seconds until it may, if that is not now."""
        run = seen.run
        assert run is not None, "only runs have a head"
        thread = self._thread(key, seen, run.id)
        if thread is None:
            if run.ended_at is None:
                await self._open(key, manifest, seen, run, channel=channel)
            return None
        message, known = self._head(manifest, seen), self._shown.get(key)
        if known is None and run.ended_at is not None and not is_due:
            return None  # over before we began: it says so already
        if known is not None and known[:2] == (_about(manifest, run), message):
            return None
        wait = known[2] + HEAD_SECONDS - self._clock.monotonic_seconds() if known else 0.0
        if wait > 0 and not is_due:
            return wait
        await self._change(key, thread, message)
        if run.ended_at is not None:
            self._open_heads.pop(key, None)
        else:
            self._open_heads[key] = thread, run.canary_revision
        self._shown[key] = _about(manifest, run), message, self._clock.monotonic_seconds()
        return None

    async def _change(self, key: Key, thread: Thread, message: Message) -> None:
        try:
            await self._chat.update(Spot(channel=thread.channel, ts=thread.ts), message)
        except ChatRefused as error:
            if error.fault == "gone":
                self._mailbox.lost(key, thread.run)
            elif error.fault != "content":
                raise

    def _head(self, manifest: Manifest, seen: Subject) -> Message:
        url = self._link.replace("{namespace}", seen.key.namespace).replace("{name}", seen.key.name)
        return slack_head.head(
            seen,
            now=self._clock.now(),
            uid=_uid(manifest),
            url=url,
            pressable=self._pressable,
        )

    async def _post(
        self,
        channel: str,
        message: Message,
        *,
        marker: str,
        asked_at: datetime,
        thread: str = "",
        is_loud: bool = False,
    ) -> Spot:
        """Post once; what may have been posted before is looked for first."""
        may_be_there = asked_at <= self._began_at or marker in self._uncertain
        try:
            spot = await self._chat.post(
                channel,
                message,
                marker=marker,
                thread=thread,
                broadcast=is_loud,
                since=asked_at if may_be_there else None,
            )
        except Uncertain:
            self._uncertain.add(marker)
            raise
        self._uncertain.discard(marker)
        return spot


def _about(manifest: Manifest, run: Run) -> str:
    """Names a run among all that ever were: another Rollout of the same name begins at 1 again."""
    return f"{_uid(manifest)}/{run.id}"


def _uid(manifest: Manifest) -> str:
    return str(manifest["metadata"].get("uid", ""))
