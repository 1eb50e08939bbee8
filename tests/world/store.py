"""The rules by which the fake API server changes objects: versions, generations, patches."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import jsonpatch
import orjson

from rollout.api.meta import Key, Kind, Manifest
from rollout.base import errors
from rollout.ports import Patch

OPAQUE = "the server rejected our request due to an error in our request"
"""All that a real server says of a JSON patch that cannot be applied."""

UNVERSIONED = "metadata.resourceVersion: Invalid value: must be specified for an update"

SERVER_OWNED = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "resourceVersion")


def copy(manifest: Manifest) -> Manifest:
    """A deep copy; also proves that the object is JSON."""
    copied: Manifest = orjson.loads(orjson.dumps(manifest))
    return copied


def key_of(manifest: Manifest) -> Key:
    metadata = manifest["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def newborn(kind: Kind, manifest: Manifest, *, uid: str, now: datetime) -> Manifest:
    """An object as it is first stored, without a resource version."""
    born = copy(manifest)
    born |= {"apiVersion": kind.api_version, "kind": kind.kind}
    born["metadata"] |= {
        "uid": uid,
        "generation": 1,
        "creationTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    born["metadata"].pop("resourceVersion", None)
    born["metadata"].pop("deletionTimestamp", None)
    return born


def succeed(old: Manifest, wanted: Manifest, *, part: str) -> Manifest:
    """The object that follows ``old`` when a client wants ``wanted``.

    Args:
        part: ``status`` when only the status may change, ``rest`` when all but the status may, and
            empty when everything may (kinds without a status subresource).

    Raises:
        Conflict: when ``wanted`` names a resource version other than the object's.
        Denied: when it names another uid.
    """
    name = f"{old['kind']} {key_of(old)}"
    claimed = wanted["metadata"].get("resourceVersion")
    if claimed is not None and claimed != old["metadata"]["resourceVersion"]:
        raise errors.Conflict(name)
    if wanted["metadata"].get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
        raise errors.Denied(name, status_code=422, message="metadata.uid: field is immutable")
    following = copy(old if part == "status" else wanted)
    if part:
        source = wanted if part == "status" else old
        following.pop("status", None)
        if "status" in source:
            following["status"] = copy(source["status"])
    for field in SERVER_OWNED:
        following["metadata"].pop(field, None)
        if field in old["metadata"]:
            following["metadata"][field] = old["metadata"][field]
    if _substance(following) != _substance(old):
        following["metadata"]["generation"] += 1
    return following


def patched(old: Manifest, patch: Patch) -> Manifest:
    """What a client wants that sends a patch: a JSON patch (list) or a merge patch (object)."""
    if isinstance(patch, Mapping):
        merged = merge(old, patch)
        assert isinstance(merged, dict)
        return merged
    try:
        wanted: Manifest = jsonpatch.apply_patch(copy(old), [dict(step) for step in patch])
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as bad:
        raise errors.Denied(old["kind"], status_code=422, message=OPAQUE) from bad
    return wanted


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def metadata_only(manifest: Manifest) -> Manifest:
    return {
        "apiVersion": "meta.k8s.io/v1",
        "kind": "PartialObjectMetadata",
        "metadata": manifest["metadata"],
    }


def _substance(manifest: Manifest) -> Manifest:
    return {name: part for name, part in manifest.items() if name not in {"metadata", "status"}}
