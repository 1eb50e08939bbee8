"""Tells machines: posts each message to the addresses of a Rollout, in order, until each took it.

At least once: a receiver that took one and whose answer was lost gets it again, under the same
``Idempotency-Key``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from rollout.api.meta import Key, Manifest
from rollout.api.notify import HttpSink, Sink, Telling
from rollout.controller.mailbox import Mailbox
from rollout.controller.world import World
from rollout.ports import Hooks
from rollout.views import notices, subject

CONTENT_TYPES: Mapping[Sink, str] = MappingProxyType(
    {Sink.WEBHOOK: "application/json", Sink.CLOUD_EVENTS: "application/cloudevents+json"}
)


class Poster:
    """Posts what one sink has not been told; see `Rounds`.

    Args:
        sink: which of a Rollout's addresses.
        hooks: posts.
        world: the Rollouts as they stand.
        mailbox: what was told.
        ring: has a Rollout looked at, so that what was told is ticked off.
    """

    def __init__(
        self,
        sink: Sink,
        hooks: Hooks,
        world: World,
        mailbox: Mailbox,
        *,
        ring: Callable[[Key], object],
    ) -> None:
        self._sink = sink
        self._hooks = hooks
        self._world = world
        self._mailbox = mailbox
        self._ring = ring

    async def deliver(self, key: Key) -> float | None:
        """Post what is left to tell."""
        manifest = self._world.rollouts.get(key)
        address = self._address(manifest) if manifest is not None else None
        if manifest is None or address is None:
            return None
        outbox = subject.read(manifest).status.outbox
        delivered = self._mailbox.delivered(key)
        for telling in outbox:
            if self._sink not in telling.still or (telling.id, self._sink) in delivered:
                continue
            await self._post(key, manifest, telling, address)
            self._mailbox.tick(key, telling.id, self._sink)
            self._ring(key)
        return None

    def _address(self, manifest: Manifest) -> HttpSink | None:
        notify = self._mailbox.wish(manifest)
        found = notify.webhook if self._sink is Sink.WEBHOOK else notify.cloud_events
        return found if found is not None and self._mailbox.allows(found.url) else None

    async def _post(
        self, key: Key, manifest: Manifest, telling: Telling, address: HttpSink
    ) -> None:
        uid = str(manifest["metadata"].get("uid", ""))
        document: dict[str, Any]
        if self._sink is Sink.WEBHOOK:
            document = notices.plain(key, telling, uid=uid)
        else:
            document = notices.cloud_event(key, telling, uid=uid)
        await self._hooks.post(
            address.url,
            document,
            content_type=CONTENT_TYPES[self._sink],
            idempotency_key=notices.identifier(telling, uid=uid),
        )
