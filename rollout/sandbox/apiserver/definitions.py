"""CustomResourceDefinitions: checks them as kube-apiserver does, and makes resources of them."""

from __future__ import annotations

from collections.abc import Iterator

from rollout.base import errors
from rollout.sandbox.apiserver import tables
from rollout.sandbox.apiserver.judge import Judge
from rollout.sandbox.apiserver.kinds import COMMON_FIELDS, Resource, Scale, Version, in_order_of_age
from rollout.sandbox.apiserver.refusals import (
    Cause,
    Label,
    forbidden_value,
    invalid_value,
    required_value,
)
from rollout.sandbox.apiserver.schema import Shaper
from rollout.sandbox.apiserver.trees import Json, mapping, sequence

SELECTABLE_LIMIT_COUNT = 8  # kube-apiserver's own limit of selectableFields

_COLUMN_TYPES = frozenset({"boolean", "date", "integer", "number", "string"})
_UNSUPPORTED = ("$ref", "definitions", "dependencies", "patternProperties", "additionalItems")
_DROPPED = ("const", "examples", "discriminator", "prefixItems", "propertyNames", "deprecated")
_JUNCTORS = ("anyOf", "oneOf", "allOf")
_TYPES = frozenset({"array", "boolean", "integer", "number", "object", "string"})


def resource_of(definition: Json) -> Resource:
    """Make the resource a (checked) definition describes.

    Raises:
        BadManifest: a printer column's path cannot be understood.
    """
    spec = mapping(definition.get("spec"))
    names = mapping(spec.get("names"))
    label = Label(group=spec["group"], plural=names["plural"], kind=names["kind"])
    served = {one["name"]: one for one in sequence(spec.get("versions")) if one.get("served")}
    return Resource(
        label=label,
        singular=names.get("singular") or label.kind.lower(),
        list_kind=names.get("listKind") or f"{label.kind}List",
        namespaced=spec.get("scope") == "Namespaced",
        versions={name: _version(label, served[name]) for name in in_order_of_age(served)},
        storage=(label.group, label.plural),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        custom=True,
        counts_generations=True,
    )


def _version(label: Label, spec: Json) -> Version:
    schema = mapping(mapping(spec.get("schema")).get("openAPIV3Schema"))
    subresources = mapping(spec.get("subresources"))
    selectable = [
        str(one.get("jsonPath", "")).lstrip(".") for one in sequence(spec.get("selectableFields"))
    ]
    return Version(
        name=spec["name"],
        schema=schema,
        shaper=Shaper(schema),
        judge=Judge(schema),
        columns=tables.custom_columns(
            label.resource, sequence(spec.get("additionalPrinterColumns"))
        ),
        status="status" in subresources,
        scale=_scale(mapping(subresources.get("scale"))) if "scale" in subresources else None,
        selectable=COMMON_FIELDS | frozenset(selectable),
    )


def _scale(spec: Json) -> Scale:
    return Scale(
        spec_replicas=spec.get("specReplicasPath", ""),
        status_replicas=spec.get("statusReplicasPath", ""),
        selector=spec.get("labelSelectorPath", ""),
    )


def completed(body: Json, now_text: str) -> Json:
    """Return a definition with its status filled in: names accepted, established at once.

    Real servers need some hundredths of a second for this; nobody should depend on the gap.
    """
    spec = mapping(body.get("spec"))
    names = dict(mapping(spec.get("names")))
    names.setdefault("singular", str(names.get("kind", "")).lower())
    names.setdefault("listKind", f"{names.get('kind', '')}List")
    versions = sequence(spec.get("versions"))
    stored = [one["name"] for one in versions if one.get("storage")]
    old = mapping(body.get("status"))
    before = sequence(old.get("storedVersions"))
    conditions = sequence(old.get("conditions")) or [
        _condition("NamesAccepted", "NoConflicts", "no conflicts found", now_text),
        _condition(
            "Established", "InitialNamesAccepted", "the initial names have been accepted", now_text
        ),
    ]
    status = {
        "acceptedNames": names,
        "storedVersions": list(dict.fromkeys([*before, *stored])),
        "conditions": conditions,
    }
    filled = {"conversion": {"strategy": "None"}, **spec, "names": names}
    return {**body, "spec": filled, "status": status}


def _condition(kind: str, reason: str, message: str, now_text: str) -> Json:
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": now_text,
    }


def causes(definition: Json) -> list[Cause]:
    """Return what is wrong with a definition."""
    return list(_faults(definition))


def warnings(definition: Json) -> list[str]:
    """Return what kube-apiserver warns of: schema keys that it accepts and drops."""
    found: list[str] = []
    for path, schema in _schemas(definition):
        found.extend(f'unknown field "{path}.{key}"' for key in _DROPPED if key in schema)
    return found


def _faults(definition: Json) -> Iterator[Cause]:
    spec = mapping(definition.get("spec"))
    names = mapping(spec.get("names"))
    name = mapping(definition.get("metadata")).get("name")
    for path, value in (
        ("spec.group", spec.get("group")),
        ("spec.names.plural", names.get("plural")),
        ("spec.names.kind", names.get("kind")),
        ("spec.versions", spec.get("versions")),
    ):
        if not value:
            yield required_value(path)
            return
    wanted = f"{names['plural']}.{spec['group']}"
    if name != wanted:
        yield invalid_value("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    scope = spec.get("scope", "")
    if scope not in {"Namespaced", "Cluster"}:
        message = f'Unsupported value: "{scope}": supported values: "Cluster", "Namespaced"'
        yield Cause(reason="FieldValueNotSupported", field="spec.scope", message=message)
    versions = sequence(spec["versions"])
    if sum(1 for one in versions if mapping(one).get("storage")) != 1:
        why = "must have exactly one version marked as storage version"
        yield invalid_value("spec.versions", [mapping(one).get("name") for one in versions], why)
    for index, one in enumerate(versions):
        yield from _version_faults(f"spec.versions[{index}]", mapping(one))
    if not any(True for _ in _shape_faults(definition)):
        yield from _unreadable(definition)
    yield from _shape_faults(definition)


def _unreadable(definition: Json) -> Iterator[Cause]:
    """Refuse what only building the resource reveals."""
    try:
        resource_of(definition)
    except (errors.BadManifest, ValueError, KeyError, TypeError, AttributeError) as problem:
        yield invalid_value("spec.versions", None, str(problem))


def _version_faults(path: str, spec: Json) -> Iterator[Cause]:
    if not spec.get("name"):
        yield required_value(f"{path}.name")
    if not mapping(mapping(spec.get("schema")).get("openAPIV3Schema")):
        yield required_value(f"{path}.schema.openAPIV3Schema", "schemas are required")
    for index, column in enumerate(sequence(spec.get("additionalPrinterColumns"))):
        where = f"{path}.additionalPrinterColumns[{index}]"
        kind = mapping(column).get("type")
        if kind not in _COLUMN_TYPES:
            why = f"must be one of {','.join(sorted(_COLUMN_TYPES))}"
            yield invalid_value(f"{where}.type", kind, why)
        if not str(mapping(column).get("jsonPath", "")).startswith("."):
            why = "must be a simple json path starting with ."
            yield invalid_value(f"{where}.jsonPath", mapping(column).get("jsonPath"), why)
    if len(sequence(spec.get("selectableFields"))) > SELECTABLE_LIMIT_COUNT:
        message = f"Too many: must have at most {SELECTABLE_LIMIT_COUNT} items"
        yield Cause(reason="FieldValueTooMany", field=f"{path}.selectableFields", message=message)


def _schemas(definition: Json) -> Iterator[tuple[str, Json]]:
    versions = sequence(mapping(definition.get("spec")).get("versions"))
    for index, version in enumerate(versions):
        schema = mapping(mapping(mapping(version).get("schema")).get("openAPIV3Schema"))
        yield from _walk(f"spec.versions[{index}].schema.openAPIV3Schema", schema)


def _walk(path: str, schema: Json) -> Iterator[tuple[str, Json]]:
    yield path, schema
    for name, below in mapping(schema.get("properties")).items():
        yield from _walk(f"{path}.properties[{name}]", mapping(below))
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _walk(f"{path}.{key}", schema[key])


def _shape_faults(definition: Json) -> Iterator[Cause]:
    for path, schema in _schemas(definition):
        yield from _structural(path, schema)


def _structural(path: str, schema: Json) -> Iterator[Cause]:
    for key in _UNSUPPORTED:
        if key in schema:
            yield forbidden_value(f"{path}.{key}", f"{key} is not supported")
    open_type = schema.get("x-kubernetes-int-or-string") or schema.get(
        "x-kubernetes-preserve-unknown-fields"
    )
    kind = schema.get("type")
    if not kind and not open_type:
        yield required_value(f"{path}.type", "must not be empty for specified object fields")
    if kind and kind not in _TYPES:
        supported = ", ".join(f'"{one}"' for one in sorted(_TYPES))
        message = f'Unsupported value: "{kind}": supported values: {supported}'
        yield Cause(reason="FieldValueNotSupported", field=f"{path}.type", message=message)
    yield from _container_faults(path, schema)
    for key in _JUNCTORS:
        yield from _junctor_faults(f"{path}.{key}", schema, key)


def _container_faults(path: str, schema: Json) -> Iterator[Cause]:
    if "properties" in schema and schema.get("additionalProperties") is not None:
        why = "additionalProperties and properties are mutual exclusive"
        yield forbidden_value(f"{path}.additionalProperties", why)
    if schema.get("uniqueItems") is True:
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden_value(f"{path}.uniqueItems", why)
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict):
        yield required_value(f"{path}.items", "must be specified")


def _junctor_faults(path: str, schema: Json, key: str) -> Iterator[Cause]:
    if schema.get("x-kubernetes-int-or-string"):
        return
    for index, below in enumerate(sequence(schema.get(key))):
        for forbidden in ("type", "description", "default", "nullable", "additionalProperties"):
            if forbidden in mapping(below):
                where = f"{path}[{index}].{forbidden}"
                yield forbidden_value(where, "must be empty to be structural")
