"""Rules of object metadata: names, labels, owners, finalizers, and what a client cannot change."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Iterator

from rollout.sandbox.apiserver import refusals
from rollout.sandbox.apiserver.kinds import Resource
from rollout.sandbox.apiserver.refusals import Cause
from rollout.sandbox.apiserver.trees import Json, Tree, mapping, sequence, shown

NAME_LIMIT_COUNT = 253  # characters of an RFC 1123 subdomain
LABEL_LIMIT_COUNT = 63  # characters of an RFC 1123 label, and of a label's value
ANNOTATIONS_LIMIT_BYTES = 262_144  # keys and values together

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_QUALIFIED = re.compile(
    r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # what Kubernetes draws generated names from
_GENERATED_COUNT = 5  # characters it appends

KNOWN_FIELDS = frozenset(
    (
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "labels",
        "annotations",
        "ownerReferences",
        "finalizers",
        "managedFields",
    )
)
_SERVER_OWNED = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
    "name",
    "namespace",
    "generateName",
)


def generated_name(base: str) -> str:
    """Append five random characters, cutting the base so that a label's length is kept."""
    kept = base[: LABEL_LIMIT_COUNT - _GENERATED_COUNT]
    return kept + "".join(secrets.choice(_ALPHABET) for _ in range(_GENERATED_COUNT))


def decoded(metadata: Tree, unknown: list[str]) -> Json:
    """Return metadata as typed decoding leaves it: nulls and unknown fields dropped.

    `managedFields` are dropped as well: this server keeps none.

    Raises:
        Refusal: 400, a field has the wrong type.
    """
    if metadata is not None and not isinstance(metadata, dict):
        message = "json: cannot unmarshal metadata into Go value of type v1.ObjectMeta"
        raise refusals.bad_request(message)
    kept: Json = {}
    for key, value in mapping(metadata).items():
        if key not in KNOWN_FIELDS:
            unknown.append(f"metadata.{key}")
        elif value is not None and key not in {"managedFields", "selfLink"}:
            _expect_type(key, value)
            kept[key] = value
    return kept


_TYPES: dict[str, type] = {
    "labels": dict,
    "annotations": dict,
    "ownerReferences": list,
    "finalizers": list,
    "generation": int,
}


def _expect_type(key: str, value: Tree) -> None:
    wanted = _TYPES.get(key, str) if key != "deletionGracePeriodSeconds" else int
    texts = value.values() if isinstance(value, dict) else ()
    if isinstance(value, wanted) and all(isinstance(text, str) for text in texts):
        return
    message = f"json: cannot unmarshal field ObjectMeta.{key}: unexpected {shown(value)}"
    raise refusals.bad_request(message)


def created(metadata: Json, *, namespace: str, now_text: str, counts_generations: bool) -> Json:
    """Return the metadata of a new object: the server's own fields set, false ones dropped."""
    fresh: Json = {
        "name": metadata.get("name") or generated_name(metadata.get("generateName", "")),
        "uid": str(uuid.uuid4()),
        "creationTimestamp": now_text,
    }
    if namespace:
        fresh["namespace"] = namespace
    if counts_generations:
        fresh["generation"] = 1
    for key in ("generateName", "labels", "annotations", "ownerReferences", "finalizers"):
        if metadata.get(key):
            fresh[key] = metadata[key]
    return fresh


def carried_over(metadata: Json, before: Json) -> Json:
    """Return the metadata of an update, with the server's own fields as they were."""
    kept = {key: value for key, value in metadata.items() if key not in _SERVER_OWNED}
    for key in ("labels", "annotations", "ownerReferences", "finalizers"):
        if key in kept and not kept[key]:
            del kept[key]  # empty and absent are one to the server
    return {**{key: before[key] for key in _SERVER_OWNED if key in before}, **kept}


def faults(resource: Resource, metadata: Json) -> Iterator[Cause]:
    """Yield what is wrong with metadata."""
    name = metadata.get("name", "")
    if len(name) > NAME_LIMIT_COUNT or _SUBDOMAIN.fullmatch(name) is None:
        yield refusals.invalid_value(
            "metadata.name",
            name,
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
            "'-' or '.', and must start and end with an alphanumeric character (e.g. "
            "'example.com', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        )
    elif resource.plural in {"namespaces", "services"} and (
        "." in name or len(name) > LABEL_LIMIT_COUNT
    ):
        why = "must be no more than 63 characters and contain no dots"
        yield refusals.invalid_value("metadata.name", name, why)
    yield from _label_faults(mapping(metadata.get("labels")))
    yield from _annotation_faults(mapping(metadata.get("annotations")))
    yield from _owner_faults(sequence(metadata.get("ownerReferences")))


_NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_PART = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    "'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def _label_faults(labels: Json) -> Iterator[Cause]:
    for key, value in labels.items():
        if _QUALIFIED.fullmatch(key) is None:
            yield refusals.invalid_value("metadata.labels", key, _NAME_PART)
        if len(value) > LABEL_LIMIT_COUNT:
            yield refusals.too_long("metadata.labels", LABEL_LIMIT_COUNT)
        elif _LABEL_VALUE.fullmatch(value) is None:
            yield refusals.invalid_value("metadata.labels", value, _VALUE_PART)


def _annotation_faults(annotations: Json) -> Iterator[Cause]:
    size_bytes = 0
    for key, value in annotations.items():
        size_bytes += len(key.encode()) + len(value.encode())
        if _QUALIFIED.fullmatch(key.lower()) is None:
            yield refusals.invalid_value("metadata.annotations", key, _NAME_PART)
    if size_bytes > ANNOTATIONS_LIMIT_BYTES:
        yield refusals.too_long("metadata.annotations", ANNOTATIONS_LIMIT_BYTES)


def _owner_faults(references: list[Tree]) -> Iterator[Cause]:
    controllers: list[str] = []
    for index, reference in enumerate(references):
        for key in ("apiVersion", "kind", "name", "uid"):
            if not mapping(reference).get(key):
                field = f"metadata.ownerReferences[{index}].{key}"
                yield refusals.invalid_value(field, "", "must not be empty")
        if mapping(reference).get("controller") is True:
            controllers.append(str(reference.get("name")))
    if len(controllers) > 1:
        first, second = controllers[:2]
        why = (
            "Only one reference can have Controller set to true. "
            f'Found "true" in references for {first} and {second}'
        )
        yield refusals.invalid_value("metadata.ownerReferences", references, why)


def new_finalizers(metadata: Json, before: Json) -> list[str]:
    """Return the finalizers an update adds."""
    old = sequence(before.get("finalizers"))
    return [one for one in sequence(metadata.get("finalizers")) if one not in old]
