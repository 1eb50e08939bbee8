"""Core Events about Rollouts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from rollout.api.meta import EVENT, ROLLOUT, Manifest, print_time
from rollout.engine.decision import Happening

EVENT_MESSAGE_LENGTH_MAX = 1024
"""Characters in an Event's message, as the API bounds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An Event to be told some time soon; nothing waits for it."""

    name: str
    manifest: Manifest


def event(
    rollout: Manifest, happening: Happening, *, now: datetime, since: datetime | None = None
) -> Event:
    """A core Event, named by what it says: saying it twice is a conflict and no second Event.

    Args:
        rollout: whom it is about.
        happening: what it says.
        now: when.
        since: saying it again is saying it twice for as long as this moment is the same; None: only
            at the same moment.
    """
    meta = rollout["metadata"]
    said = "\n".join(
        (str(meta.get("uid")), happening.reason, happening.message, print_time(since or now))
    )
    name = f"{meta['name'][:236]}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"
    stamp = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    manifest: Manifest = {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": name, "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": ROLLOUT.api_version,
            "kind": ROLLOUT.kind,
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta.get("uid", ""),
        },
        "type": happening.type,
        "reason": happening.reason,
        "message": happening.message[:EVENT_MESSAGE_LENGTH_MAX],
        "source": {"component": "rollout"},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
    return Event(name=name, manifest=manifest)
