"""Watches: streams of changes, with selectors, bookmarks and a clean end."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import orjson
from aiohttp import web
from aiohttp.web_request import BaseRequest

from rollout.sandbox.apiserver import reads, refusals
from rollout.sandbox.apiserver.calls import Call
from rollout.sandbox.apiserver.reads import Selection
from rollout.sandbox.apiserver.renderings import Rendering
from rollout.sandbox.apiserver.store import ADDED, DELETED, Entry, Event, Store
from rollout.sandbox.apiserver.trees import Json

WATCH_LIMIT_COUNT = 500  # open watches in all
BACKLOG_LIMIT_BYTES = 16 * 1024 * 1024  # what one slow watcher may leave unread; then it is ended
BOOKMARK_SECONDS = 60.0  # kube-apiserver sends one about once a minute …
LAST_BOOKMARK_SECONDS = 2.0  # … and one this long before the end
TIMEOUT_SECONDS_MIN, TIMEOUT_SECONDS_MAX = 1800.0, 3600.0  # drawn when the client names none

_numbers = itertools.count(1)


@dataclass(slots=True)
class Tally:
    """What one watch has sent."""

    events_count: int = 0
    bytes_count: int = 0


@dataclass(slots=True, eq=False)
class Watcher:
    """One open watch: it picks its events, encodes them, and holds them until they are sent.

    Attributes:
        call: what was asked.
        selection: which objects.
        rendering: in which form.
        tally: what went out.
        number: rises with each watch of this process.
        wake: set when there is something to send, or nothing more to come.
        ended: the stream ends after what is queued.
        caught_up: what the watch begins with, which may be large, has been sent.
        on_sent: hears how many events and bytes went out.
    """

    call: Call
    selection: Selection
    rendering: Rendering
    tally: Tally = field(default_factory=Tally)
    number: int = field(default_factory=lambda: next(_numbers))
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    caught_up: bool = False
    on_sent: Callable[[int, int], None] = lambda _events, _bytes: None
    _lines: list[bytes] = field(default_factory=list)
    _backlog_bytes: int = 0
    _unsent_count: int = 0

    def offer(self, event: Event) -> None:
        """Take a change, if it is one for this watch."""
        entry = event.entry
        if self.ended or not self.selection.place_fits(entry):
            return
        line = self._plain_line(event) if self.selection.predicate is None else self._chosen(event)
        if line:
            self.push(line)

    def _plain_line(self, event: Event) -> bytes:
        key = self.rendering.key
        if key is None:
            return _line(event.type, self.rendering.one(event.entry))
        line = event.lines.get(key)
        if line is None:
            line = event.lines[key] = _line(event.type, self.rendering.one(event.entry))
        return line

    def _chosen(self, event: Event) -> bytes | None:
        """Translate a change to what it is for a selector: objects come and go by their labels."""
        assert self.selection.predicate is not None, "asked for with selectors only"
        matches = self.selection.predicate
        before = event.previous is not None and matches(event.previous.body)
        after = event.type != DELETED and matches(event.entry.body)
        if before and after:
            return self._plain_line(event)
        if after:
            return _line(ADDED, self.rendering.one(event.entry))
        if not before:
            return None
        if event.type == DELETED:
            return self._plain_line(event)
        assert event.previous is not None, "it matched before"
        return _line(
            DELETED, self.rendering.one(_with_version(event.previous, event.entry.version))
        )

    def push(self, line: bytes, *, counted: bool = True) -> None:
        """Queue one line and wake the sender; too long a queue ends the watch."""
        self._lines.append(line)
        self._backlog_bytes += len(line)
        self._unsent_count += counted
        if self.caught_up and self._backlog_bytes > BACKLOG_LIMIT_BYTES:
            self.end()
        self.wake.set()

    def end(self) -> None:
        """End the stream after what is queued."""
        self.ended = True
        self.wake.set()

    def take(self) -> bytes:
        """Return what is queued and begin a new queue."""
        chunk = b"".join(self._lines)
        self.tally.events_count += self._unsent_count
        self.on_sent(self._unsent_count, len(chunk))
        self._unsent_count = 0
        self._lines.clear()
        self._backlog_bytes = 0
        self.wake.clear()
        self.tally.bytes_count += len(chunk)
        return chunk

    def bookmark(self, version: int, *, initial_end: bool = False) -> None:
        """Queue a bookmark."""
        metadata: Json = {"resourceVersion": str(version)}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        body = {
            "kind": self.call.resource.kind,
            "apiVersion": self.call.api_version,
            "metadata": metadata,
        }
        self.push(_line("BOOKMARK", orjson.dumps(body)), counted=False)


def _line(type_: str, encoded: bytes) -> bytes:
    return b'{"type":"' + type_.encode() + b'","object":' + encoded + b"}\n"


def _with_version(entry: Entry, version: int) -> Entry:
    metadata = {**entry.body["metadata"], "resourceVersion": str(version)}
    return Entry({**entry.body, "metadata": metadata}, version, {})


def _truth(text: str | None) -> bool:
    return text in {"1", "true", "True", "TRUE", "t", "T"}


def is_watch(call: Call) -> bool:
    """Tell whether a GET of a collection is a watch."""
    return _truth(call.query.get("watch"))


class Watches:
    """All open watches."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.open: set[Watcher] = set()

    def end_all(self) -> None:
        """End every watch, as a server does that stops."""
        for watcher in self.open:
            watcher.end()

    def end_kind(self, storage: tuple[str, str]) -> None:
        """End the watches of a kind that is served no more, or in another shape."""
        for watcher in self.open:
            if watcher.call.resource.storage == storage:
                watcher.end()

    def begin(self, call: Call, rendering: Rendering) -> Watcher:
        """Open a watch and queue what it begins with.

        Raises:
            Refusal: 400, 422; 429 when there are too many; 500 for a version that is no number.
        """
        if len(self.open) >= WATCH_LIMIT_COUNT:
            message = "too many open watches"
            raise refusals.Refusal(429, "TooManyRequests", message, retry_after_seconds=1)
        watcher = Watcher(call, reads.selection(call), rendering)
        version = _watch_version(call)
        self._begin_from(watcher, version)
        self.open.add(watcher)
        self._store.topic(call.resource.storage).listeners.add(watcher)
        return watcher

    def _begin_from(self, watcher: Watcher, version: int | None) -> None:
        call = watcher.call
        wish = call.query.get("sendInitialEvents")
        if wish is not None and call.query.get("resourceVersionMatch") != "NotOlderThan":
            why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            cause = refusals.forbidden_value("resourceVersionMatch", why)
            label = refusals.Label(group="meta.k8s.io", plural="", kind="ListOptions")
            raise refusals.invalid(label, "", [cause])
        if _truth(wish) or (wish is None and not version):
            self._send_all(watcher)
            if _truth(wish) and _truth(call.query.get("allowWatchBookmarks")):
                watcher.bookmark(self._store.version, initial_end=True)
        elif version:
            self._replay(watcher, version)

    def _send_all(self, watcher: Watcher) -> None:
        call = watcher.call
        for entry in self._store.entries(call.resource.storage, call.namespace):
            if watcher.selection.fits(entry):
                watcher.push(_line(ADDED, watcher.rendering.one(entry)))

    def _replay(self, watcher: Watcher, version: int) -> None:
        topic = self._store.topic(watcher.call.resource.storage)
        events: Iterable[Event] | None = topic.since(version)
        if events is None:
            message = f"too old resource version: {version} ({topic.floor_version})"
            body = refusals.expired(message).body()
            watcher.push(_line("ERROR", orjson.dumps(body)))
            watcher.end()
            return
        for event in events:
            watcher.offer(event)

    def close(self, watcher: Watcher) -> None:
        """Forget a watch."""
        self.open.discard(watcher)
        self._store.topic(watcher.call.resource.storage).listeners.discard(watcher)

    async def stream(self, request: BaseRequest, watcher: Watcher) -> web.StreamResponse:
        """Send a watch's events until it ends or the client goes."""
        response = web.StreamResponse(headers=_headers(watcher.call))
        response.enable_chunked_encoding()
        try:
            with _Timers(watcher, self._store):
                await response.prepare(request)
                await self._send(response, watcher)
                await response.write_eof()
        except ConnectionError:
            pass  # the client went; that is how most watches end
        finally:
            watcher.ended = True
            self.close(watcher)
        return response

    async def _send(self, response: web.StreamResponse, watcher: Watcher) -> None:
        while True:
            ended = watcher.ended
            chunk = watcher.take()
            if chunk:
                await response.write(chunk)
            if ended:
                return
            watcher.caught_up = True
            await watcher.wake.wait()


def _headers(call: Call) -> list[tuple[str, str]]:
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-cache, private")]
    return headers + [("Warning", f'299 - "{text}"') for text in call.warnings]


def _watch_version(call: Call) -> int | None:
    try:
        return reads.version_of(call.query)
    except refusals.Refusal as refusal:  # kube-apiserver answers a watch in its own way
        raise refusals.storage_failure(refusal.message) from None


class _Timers:
    """Bookmarks and the end of one watch, by the loop's clock."""

    def __init__(self, watcher: Watcher, store: Store) -> None:
        self._watcher = watcher
        self._store = store
        self._handles: list[asyncio.TimerHandle] = []
        text = watcher.call.query.get("timeoutSeconds", "")
        drawn = random.uniform(TIMEOUT_SECONDS_MIN, TIMEOUT_SECONDS_MAX)  # noqa: S311  no secret
        self._timeout_seconds = float(text) if text.isdigit() and int(text) else drawn

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._handles.append(loop.call_later(self._timeout_seconds, self._watcher.end))
        if _truth(self._watcher.call.query.get("allowWatchBookmarks")):
            last = max(0.0, self._timeout_seconds - LAST_BOOKMARK_SECONDS)
            self._handles.append(loop.call_later(last, self._bookmark))
            self._handles.append(loop.call_later(BOOKMARK_SECONDS, self._tick))

    def _bookmark(self) -> None:
        if not self._watcher.ended:
            self._watcher.bookmark(self._store.version)

    def _tick(self) -> None:
        self._bookmark()
        self._handles[-1] = asyncio.get_running_loop().call_later(BOOKMARK_SECONDS, self._tick)

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.cancel()
