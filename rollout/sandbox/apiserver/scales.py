"""The scale subresource: a small object that reads and writes one number of a larger one."""

from __future__ import annotations

from dataclasses import replace

from rollout.sandbox.apiserver import refusals
from rollout.sandbox.apiserver.calls import Call
from rollout.sandbox.apiserver.kinds import Scale
from rollout.sandbox.apiserver.store import Entry
from rollout.sandbox.apiserver.trees import Json, dig_dotted, mapping, planted

_SCALE = refusals.Label(group="autoscaling", plural="scales", kind="Scale")


def _paths(call: Call) -> Scale:
    assert call.version.scale is not None, "the route led here, so the subresource is served"
    return call.version.scale


def scale_of(call: Call, entry: Entry) -> Json:
    """Return the Scale of an object."""
    paths = _paths(call)
    meta = entry.body["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status = {"replicas": dig_dotted(entry.body, paths.status_replicas) or 0}
    selector = dig_dotted(entry.body, paths.selector) if paths.selector else None
    if isinstance(selector, str) and selector:
        status["selector"] = selector
    replicas = dig_dotted(entry.body, paths.spec_replicas)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in kept if key in meta},
        "spec": {} if replicas is None else {"replicas": replicas},
        "status": status,
    }


def parent(call: Call) -> Call:
    """Return the call on the scaled object itself."""
    return replace(call, subresource="")


def rescaled(call: Call, entry: Entry, scale: Json) -> Json:
    """Return the object's body with the number a Scale asks for.

    Raises:
        Refusal: 409, the Scale's resource version is stale; 422, the number is not a count.
    """
    wanted = mapping(scale.get("metadata")).get("resourceVersion")
    if wanted and wanted != entry.body["metadata"]["resourceVersion"]:
        raise refusals.conflict(call.resource.label, call.name)
    replicas = mapping(scale.get("spec")).get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        why = "must be greater than or equal to 0"
        cause = refusals.invalid_value("spec.replicas", replicas, why)
        raise refusals.invalid(_SCALE, call.name, [cause])
    path = _paths(call).spec_replicas.lstrip(".").split(".")
    return planted(entry.body, path, replicas)
