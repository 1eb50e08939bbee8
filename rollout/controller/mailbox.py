"""Who is to be told of a Rollout, and what has been: between those who tell and those who decide.

It is memory only. What was told is ticked off in the status by the next decision; until that is
written a controller that takes over tells it again, and looks first whether it stands there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rollout.api.meta import Key, Manifest
from rollout.api.notify import News, Notify, Sink, SlackChannel, Thread
from rollout.api.reading import read
from rollout.api.status import RolloutStatus
from rollout.api.traffic import Note
from rollout.api.webhook import is_allowed
from rollout.base.errors import BadManifest
from rollout.controller.cache import key_of
from rollout.engine.observation import Post


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Whom this controller can tell anything.

    Attributes:
        has_chat: whether Slack is configured.
        default_channel: where Rollouts are told of that name no channel; empty: nowhere.
        hooks: how addresses begin that may be posted to; none: no address may.
    """

    has_chat: bool = False
    default_channel: str = ""
    hooks: tuple[str, ...] = ()


@dataclass(slots=True)
class _Box:
    uid: str = ""
    delivered: set[tuple[int, Sink]] = field(default_factory=set)
    threads: dict[str, Thread] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    problems: dict[Sink, str] = field(default_factory=dict)


THREADS_MAX = 4
"""Threads of a Rollout's runs that are remembered: messages of old runs may be on their way."""


class Mailbox:
    """What is to be told to whom, and what was."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self._boxes: dict[Key, _Box] = {}
        self._wishes: dict[Key, tuple[object, Notify]] = {}

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._boxes.pop(key, None)
        self._wishes.pop(key, None)

    def begin(self) -> None:
        """A term as the leader begins: others may have told things since."""
        self._boxes.clear()

    def wish(self, manifest: Manifest) -> Notify:
        """Whom a Rollout wants told; read again only when that is another."""
        key, wanted = key_of(manifest), _wanted(manifest)
        known = self._wishes.get(key)
        if known is None or known[0] != wanted:
            known = self._wishes[key] = wanted, notify_of(manifest)
        return known[1]

    def sinks(self, manifest: Manifest) -> Mapping[Sink, tuple[News, ...] | None]:
        """Who is to be told, and of what (None: of everything), as far as we can reach them."""
        notify = self.wish(manifest)
        found: dict[Sink, tuple[News, ...] | None] = {}
        channel = self.channel(manifest)
        if channel is not None:
            found[Sink.SLACK] = channel.news
        for sink, address in (
            (Sink.WEBHOOK, notify.webhook),
            (Sink.CLOUD_EVENTS, notify.cloud_events),
        ):
            if address is not None and self.allows(address.url):
                found[sink] = address.news
        return found

    def channel(self, manifest: Manifest) -> SlackChannel | None:
        """The channel of a Rollout; None: Slack is not told."""
        if not self.reach.has_chat:
            return None
        chosen = self.wish(manifest).slack
        if chosen is None and self.reach.default_channel:
            return SlackChannel(channel=self.reach.default_channel)
        return chosen

    def allows(self, url: str) -> bool:
        """Whether an operator lets us post to an address."""
        return is_allowed(url, self.reach.hooks)

    def notes(self, key: Key, manifest: Manifest) -> tuple[Note, ...]:
        """Why somebody is not told what they should be, in sentences."""
        notify, found = self.wish(manifest), []
        if notify.slack is not None and not self.reach.has_chat:
            remedy = "let an operator set ROLLOUT_SLACK_TOKEN_FILE"
            found.append(f"spec.notify.slack: this controller has no token for Slack; {remedy}")
        for field_name, address in (
            ("webhook", notify.webhook),
            ("cloudEvents", notify.cloud_events),
        ):
            if address is not None and not self.allows(address.url):
                remedy = "let an operator add how it begins to ROLLOUT_HOOKS"
                found.append(f"spec.notify.{field_name}.url is no address we may post to; {remedy}")
        box = self._boxes.get(key, _Box())
        found += [f"{sink} is not told: {why}" for sink, why in sorted(box.problems.items())]
        return tuple(Note(reason="NotTold", message=message) for message in found)

    def delivered(self, key: Key) -> frozenset[tuple[int, Sink]]:
        """Messages that were told, by number and to whom."""
        return frozenset(self._boxes.get(key, _Box()).delivered)

    def tick(self, key: Key, number: int, sink: Sink) -> None:
        """A message was told."""
        self._box(key).delivered.add((number, sink))

    def post(self, key: Key, manifest: Manifest, status: RolloutStatus) -> Post:
        """Whom to tell, and what was told that the status does not know yet."""
        box, uid = self._boxes.get(key), str(manifest["metadata"].get("uid", ""))
        if box is not None and box.uid not in {"", uid}:
            box = self._boxes[key] = _Box()  # another Rollout of the same name
        if box is not None:
            box.uid = uid
            written = {telling.id for telling in status.outbox}
            box.delivered = {pair for pair in box.delivered if pair[0] in written}
        return Post(
            sinks=self.sinks(manifest),
            delivered=self.delivered(key),
            thread=self.thread(key, status.run.id) if status.run is not None else None,
        )

    def thread(self, key: Key, run: str) -> Thread | None:
        """Where the messages of a run stand; None: nobody has said so yet."""
        return self._boxes.get(key, _Box()).threads.get(run)

    def found(self, key: Key, thread: Thread) -> None:
        """The head of a run's thread stands somewhere."""
        threads = self._box(key).threads
        threads[thread.run] = thread
        while len(threads) > THREADS_MAX:
            threads.pop(next(iter(threads)))

    def lost(self, key: Key, run: str) -> None:
        """The head of a run's thread is gone; its next one is another message."""
        box = self._box(key)
        box.threads.pop(run, None)
        box.lost[run] = box.lost.get(run, 0) + 1

    def was_lost(self, key: Key, run: str) -> bool:
        """Whether what the status says of a run's thread is out of date."""
        return self.lost_count(key, run) > 0

    def lost_count(self, key: Key, run: str) -> int:
        """How many heads of a run somebody has taken away."""
        return self._boxes.get(key, _Box()).lost.get(run, 0)

    def trouble(self, key: Key, sink: Sink, why: str) -> bool:
        """Why a sink takes nothing, or (empty) that it does again; whether that is new."""
        problems = self._box(key).problems
        before = problems.get(sink, "")
        if why:
            problems[sink] = why
        else:
            problems.pop(sink, None)
        return why != before

    def _box(self, key: Key) -> _Box:
        return self._boxes.setdefault(key, _Box())


def notify_of(manifest: Manifest) -> Notify:
    """Whom a Rollout wants told, read by itself: mistakes elsewhere in the spec silence nobody."""
    try:
        return read(Notify, _wanted(manifest) or {}, at="spec.notify")
    except BadManifest:
        return Notify()


def _wanted(manifest: Manifest) -> object:
    spec = manifest.get("spec")
    return spec.get("notify") if isinstance(spec, dict) else None
