"""Admission: from what a client sent to what may be kept.

The steps are kube-apiserver's: envelope, strict decoding, pruning, defaults, validation.
"""

from __future__ import annotations

from rollout.sandbox.apiserver import calls, definitions, metadata, refusals, rules
from rollout.sandbox.apiserver.calls import Call
from rollout.sandbox.apiserver.refusals import Cause, Refusal
from rollout.sandbox.apiserver.trees import Json, mapping, same, shown

_ENVELOPE = ("apiVersion", "kind")


def opened(call: Call, sent: Json) -> Json:
    """Check the envelope of a sent object and take it off.

    Raises:
        Refusal: 400, the body is of another kind, version, name or namespace than the URL.
    """
    label = call.resource.label
    kind, api_version = sent.get("kind"), sent.get("apiVersion")
    if call.resource.custom and not kind:
        message = f"Object 'Kind' is missing in '{shown(sent)[:200]}'"
        raise refusals.bad_request(message)
    if kind not in {None, "", label.kind}:
        message = f"{kind} is not a {label.kind}"
        raise refusals.cannot_be_handled(label, call.version.name, message)
    if api_version not in {None, "", call.api_version}:
        message = (
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({call.api_version})"
        )
        raise refusals.bad_request(message)
    check_place(call, mapping(sent.get("metadata")))
    return {key: value for key, value in sent.items() if key not in _ENVELOPE}


def check_place(call: Call, meta: Json) -> None:
    """Check that the body means the object of the URL.

    Raises:
        Refusal: 400, it does not.
    """
    name, namespace = meta.get("name"), meta.get("namespace")
    if call.name and name and name != call.name:
        message = (
            f"the name of the object ({name}) does not match the name on the URL ({call.name})"
        )
        raise refusals.bad_request(message)
    if namespace and namespace != call.namespace:
        message = (
            "the namespace of the provided object does not match the namespace sent on the request"
        )
        raise refusals.bad_request(message)


def shaped(call: Call, body: Json, before: Json | None, *, duplicates: list[str]) -> Json:
    """Return a body decoded strictly, pruned and defaulted.

    Args:
        call: says how unknown fields are taken.
        body: without envelope.
        before: the stored body; parts of it are not looked at again.
        duplicates: fields the client wrote twice.

    Raises:
        Refusal: 400 (422 for a patch), unknown or doubled fields under Strict.
    """
    unknown: list[str] = []
    meta = body.get("metadata")
    if before is None or meta is not before["metadata"]:
        body = {**body, "metadata": metadata.decoded(meta, unknown)}
    if call.version.shaper is not None:
        body = call.version.shaper.shape(body, before, unknown)
    if unknown or duplicates:
        said = [f'unknown field "{path}"' for path in unknown]
        said += [f'duplicate field "{path}"' for path in duplicates]
        _take_strictly(call, body, said)
    return body


def _take_strictly(call: Call, body: Json, said: list[str]) -> None:
    if call.validation == calls.WARN:
        call.warnings.extend(said)
    if call.validation != calls.STRICT:
        return
    why = f"strict decoding error: {', '.join(said)}"
    label = call.resource.label
    if call.method != "PATCH":
        raise refusals.cannot_be_handled(label, call.version.name, why)
    cause = refusals.invalid_value("patch", shown(body), why)
    raise refusals.invalid(label, call.name, [cause])


def validated(call: Call, body: Json, before: Json | None) -> None:
    """Check a shaped body with its final metadata.

    Raises:
        Refusal: 422, something is wrong with it.
    """
    resource = call.resource
    causes: list[Cause] = []
    if before is None or body["metadata"] is not before["metadata"]:
        causes.extend(metadata.faults(resource, body["metadata"]))
    if call.version.judge is not None:
        causes.extend(call.version.judge.causes(body, before))
    if not resource.custom:
        causes.extend(rules.faults(resource, body))
    if causes:
        raise refusals.invalid(resource.label, body["metadata"]["name"], causes)
    if resource.kind == "CustomResourceDefinition":
        call.warnings.extend(definitions.warnings(body))


def guarded(call: Call, meta: Json, before: Json) -> None:
    """Check what an update may not do to metadata.

    Raises:
        Refusal: 409, the resource version is stale; 422, the uid changed or a finalizer is new
            on an object that is being deleted.
    """
    label, name = call.resource.label, call.name
    wanted = meta.get("resourceVersion")
    if wanted and wanted != before.get("resourceVersion"):
        raise refusals.conflict(label, name)
    uid = meta.get("uid")
    if uid and uid != before.get("uid"):
        why = "field is immutable"
        cause = refusals.invalid_value("metadata.uid", uid, why)
        raise refusals.invalid(label, name, [cause])
    if before.get("deletionTimestamp"):
        added = metadata.new_finalizers(meta, before)
        if added:
            raise _no_new_finalizers(call, added)


def _no_new_finalizers(call: Call, added: list[str]) -> Refusal:
    listed = ", ".join(f'"{one}"' for one in added)
    why = (
        "no new finalizers can be added if the object is being deleted, found new finalizers "
        f"[]string{{{listed}}}"
    )
    cause = refusals.forbidden_value("metadata.finalizers", why)
    return refusals.invalid(call.resource.label, call.name, [cause])


def changes_generation(call: Call, body: Json, before: Json) -> bool:
    """Tell whether an update counts as a new generation: anything but metadata and status."""
    ignored = {"metadata", "status"} if call.version.status else {"metadata"}
    keys = (body.keys() | before.keys()) - ignored
    return any(not same(body.get(key), before.get(key)) for key in keys)
