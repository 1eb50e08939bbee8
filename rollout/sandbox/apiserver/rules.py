"""The few rules of built-in kinds: what is filled in at creation, and what is refused.

Events of the two API groups are one object, kept in the core form; `stored` and `presented`
translate.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from rollout.sandbox.apiserver import definitions, refusals
from rollout.sandbox.apiserver.kinds import Resource
from rollout.sandbox.apiserver.refusals import Cause
from rollout.sandbox.apiserver.trees import Json, Tree, is_micro_time, mapping, sequence

NOTE_LIMIT_COUNT = 1_024  # characters of an event's note in events.k8s.io/v1
REASON_LIMIT_COUNT = 128  # characters of an event's reason

_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"

# events.k8s.io/v1 → core v1
_EVENT_NAMES = {
    "note": "message",
    "regarding": "involvedObject",
    "reportingController": "reportingComponent",
    "deprecatedCount": "count",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedSource": "source",
}
_CORE_NAMES = {core: new for new, core in _EVENT_NAMES.items()}


def _renamed(body: Json, names: dict[str, str]) -> Json:
    return {names.get(key, key): value for key, value in body.items()}


def stored(resource: Resource, body: Json) -> Json:
    """Return a body as it is kept, from the form of the API it came through."""
    return _renamed(body, _EVENT_NAMES) if resource.group == "events.k8s.io" else body


def presented(resource: Resource, body: Json) -> Json:
    """Return a kept body in the form of the API it is asked through."""
    return _renamed(body, _CORE_NAMES) if resource.group == "events.k8s.io" else body


def completed(resource: Resource, body: Json, now_text: str) -> Json:
    """Fill in what Kubernetes fills in when an object of a built-in kind is created."""
    match resource.kind:
        case "Namespace":
            return _namespace(body)
        case "Pod":
            return {**body, "status": {"phase": "Pending", **mapping(body.get("status"))}}
        case "Service":
            return {**body, "spec": _service_spec(body)}
        case "Deployment" | "ReplicaSet":
            return {**body, "spec": {"replicas": 1, **mapping(body.get("spec"))}}
        case "CustomResourceDefinition":
            return definitions.completed(body, now_text)
        case _:
            return body


def _namespace(body: Json) -> Json:
    metadata = body["metadata"]
    labels = {**mapping(metadata.get("labels")), "kubernetes.io/metadata.name": metadata["name"]}
    spec = {"finalizers": ["kubernetes"]}
    status = {"phase": "Active"}
    return {**body, "metadata": {**metadata, "labels": labels}, "spec": spec, "status": status}


def _service_spec(body: Json) -> Json:
    spec = {"type": "ClusterIP", "sessionAffinity": "None", **mapping(body.get("spec"))}
    metadata = body["metadata"]
    if spec["type"] != "ExternalName":
        # A steady address that nobody listens on: enough for listings and for Istio's model.
        key = f"{metadata.get('namespace')}/{metadata['name']}".encode()
        digest = zlib.crc32(key)
        spec.setdefault("clusterIP", f"10.96.{digest >> 8 & 255}.{(digest & 255) % 254 + 1}")
    spec["ports"] = [_service_port(mapping(port)) for port in sequence(spec.get("ports"))]
    return spec


def _service_port(port: Json) -> Json:
    return {"protocol": "TCP", "targetPort": port.get("port"), **port}


def faults(resource: Resource, body: Json) -> Iterator[Cause]:
    """Yield what is wrong with an object of a built-in kind."""
    match resource.kind:
        case "Lease":
            yield from _lease_faults(mapping(body.get("spec")))
        case "Event":
            yield from _event_faults(resource, body)
        case "Deployment" | "ReplicaSet":
            if not mapping(mapping(body.get("spec")).get("selector")):
                yield refusals.required_value("spec.selector")
        case "CustomResourceDefinition":
            yield from definitions.causes(body)
        case _:
            pass


def _micro_time_fault(field: str, value: Tree) -> Iterator[Cause]:
    if value is not None and not is_micro_time(value):
        why = f'parsing time "{value}" as "{_MICRO_LAYOUT}": six decimals are required'
        yield refusals.invalid_value(field, value, why)


def _lease_faults(spec: Json) -> Iterator[Cause]:
    for key in ("acquireTime", "renewTime"):
        yield from _micro_time_fault(f"spec.{key}", spec.get(key))
    for key, least in (("leaseDurationSeconds", 1), ("leaseTransitions", 0)):
        value = spec.get(key)
        if value is not None and (not isinstance(value, int) or value < least):
            why = f"must be greater than {least - 1}" if least else "must be non-negative"
            yield refusals.invalid_value(f"spec.{key}", value, why)


def _event_faults(resource: Resource, body: Json) -> Iterator[Cause]:
    about = mapping(body.get("involvedObject"))
    namespace = mapping(body.get("metadata")).get("namespace")
    if (about.get("namespace") or "default") != namespace:
        why = "does not match event.namespace"
        yield refusals.invalid_value("involvedObject.namespace", about.get("namespace"), why)
    yield from _micro_time_fault("eventTime", body.get("eventTime"))
    if resource.group == "events.k8s.io":
        yield from _new_event_faults(body)


def _new_event_faults(body: Json) -> Iterator[Cause]:
    for key in ("eventTime", "reportingComponent", "reportingInstance", "action", "reason"):
        if not body.get(key):
            yield refusals.required_value(_CORE_NAMES.get(key, key))
    if len(str(body.get("reason") or "")) > REASON_LIMIT_COUNT:
        why = f"can have at most {REASON_LIMIT_COUNT} characters"
        yield refusals.invalid_value("reason", body.get("reason"), why)
    if body.get("type") not in {"Normal", "Warning"}:
        yield refusals.invalid_value("type", body.get("type"), "has invalid value: ")
    if len(str(body.get("message") or "")) > NOTE_LIMIT_COUNT:
        why = f"can have at most {NOTE_LIMIT_COUNT} characters"
        yield refusals.invalid_value("note", body.get("message"), why)
