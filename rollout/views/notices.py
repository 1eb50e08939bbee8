"""What is told to machines: a plain JSON document, and the same as a CloudEvent.

CloudEvents 1.0 in structured mode (github.com/cloudevents/spec): ``source`` and ``id`` together
name an event for ever, so a receiver knows one that comes twice.
"""

from __future__ import annotations

from typing import Any

from rollout.api.meta import Key, print_time
from rollout.api.notify import Telling

EVENT_TYPE_PREFIX = "dev.rollout."
CLOUD_EVENTS_VERSION = "1.0"


def plain(key: Key, telling: Telling, *, uid: str) -> dict[str, Any]:
    """One message, with all that it was decided on."""
    return {
        "id": identifier(telling, uid=uid),
        "namespace": key.namespace,
        "name": key.name,
        "news": str(telling.news),
        "run": telling.run,
        "revision": telling.revision,
        "step": telling.step,
        "weight": telling.weight,
        "message": telling.message,
        "by": telling.by,
        "at": print_time(telling.at),
    }


def cloud_event(key: Key, telling: Telling, *, uid: str) -> dict[str, Any]:
    """The same as a CloudEvent."""
    return {
        "specversion": CLOUD_EVENTS_VERSION,
        "id": identifier(telling, uid=uid),
        "source": f"/apis/rollout.dev/v1alpha1/namespaces/{key.namespace}/rollouts/{key.name}",
        "type": f"{EVENT_TYPE_PREFIX}{telling.news}",
        "subject": f"{key}/{telling.run}",
        "time": print_time(telling.at),
        "datacontenttype": "application/json",
        "data": plain(key, telling, uid=uid),
    }


def identifier(telling: Telling, *, uid: str) -> str:
    """Names a message among all that we ever send."""
    return f"{uid}/{telling.id}"
