"""What is told to machines: a plain JSON document, the same as a CloudEvent, and questions.

CloudEvents 1.0 in structured mode (github.com/cloudevents/spec): ``source`` and ``id`` together
name an event for ever, so a receiver knows one that comes twice.
"""

from __future__ import annotations

from typing import Any

from rollout.api.meta import Key, print_time
from rollout.api.notify import Telling
from rollout.api.status import Run
from rollout.engine import plan as plans
from rollout.engine.decision import HookCall

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


def question(key: Key, run: Run, call: HookCall, *, uid: str) -> dict[str, Any]:
    """What a webhook is asked, or told after a run; the same for the same question."""
    document = {
        "id": f"{uid}/{call.run}/{call.webhook.point}/{call.step}/{call.webhook.name}",
        "webhook": call.webhook.name,
        "point": str(call.webhook.point),
        "round": call.round,
        "namespace": key.namespace,
        "name": key.name,
        "host": run.plan.host,
        "run": call.run,
        "stableRevision": run.stable_revision,
        "canaryRevision": run.canary_revision,
        "startedAt": print_time(run.started_at),
        "step": call.step,
        "steps": run.step_count,
    }
    if call.round > 1:
        document["id"] = f"{document['id']}/{call.round}"
    if run.ended_at is None:
        document["weight"] = run.weight
        document["nextWeight"] = plans.weight_at(run.plan, call.step)
    if run.ended_at is not None and run.ending is not None:
        document["outcome"] = str(run.ending.outcome)
        document["because"] = run.ending.because
        document["endedAt"] = print_time(run.ended_at)
    return document


def identifier(telling: Telling, *, uid: str) -> str:
    """Names a message among all that we ever send."""
    return f"{uid}/{telling.id}"
