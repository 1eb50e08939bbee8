"""Validation of objects by their structural schema, with jsonschema as the judge.

A quick checker, compiled from the schema once, says "surely valid" in a few microseconds; whatever
it does not pass goes to jsonschema, which decides and names every error, worded as kube-apiserver
words it. So jsonschema has the last word on refusals, and a property test holds the quick checker
to it on acceptance. CEL rules (``x-kubernetes-validations``) are not evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator

import jsonschema
from jsonschema import validators
from jsonschema.exceptions import ValidationError

from rollout.sandbox.apiserver import formats, quick, wording
from rollout.sandbox.apiserver.refusals import Cause
from rollout.sandbox.apiserver.trees import Json, Tree, mapping, same, sequence, shown

ERROR_LIMIT_COUNT = 50  # an object with more errors than this is described well enough

_COPIED = (
    "enum",
    "maximum",
    "minimum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "maxProperties",
    "minProperties",
    "multipleOf",
    "required",
    "format",
)


def translated(schema: Json) -> Json:
    """Translate a structural schema to JSON Schema draft 4 (the draft of OpenAPI v3.0's booleans).

    Keys that only annotate are left out; ``nullable`` and ``x-kubernetes-int-or-string`` become
    types; list types become a keyword of our own.
    """
    plain = {key: schema[key] for key in _COPIED if key in schema}
    kinds = _types(schema)
    if kinds:
        plain["type"] = kinds
    if schema.get("nullable") is True and "enum" in plain:
        plain["enum"] = [*plain["enum"], None]
    if schema.get("x-kubernetes-list-type") in {"map", "set"}:
        plain["listKeys"] = sequence(schema.get("x-kubernetes-list-map-keys"))
    return plain | _translated_below(schema)


def _translated_below(schema: Json) -> Json:
    below: Json = {}
    if "properties" in schema:
        below["properties"] = {name: translated(one) for name, one in schema["properties"].items()}
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            below[key] = translated(schema[key])
    for key in ("allOf", "anyOf", "oneOf"):
        if key in schema and not schema.get("x-kubernetes-int-or-string"):
            below[key] = [translated(one) for one in schema[key]]
    return below


def _types(schema: Json) -> list[str]:
    if schema.get("x-kubernetes-int-or-string"):
        kinds = ["integer", "string"]
    else:
        kinds = [schema["type"]] if schema.get("type") else []
    return [*kinds, "null"] if kinds and schema.get("nullable") is True else kinds


def _required(_: object, names: list[str], instance: Tree, __: object) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        yield from (ValidationError(name) for name in names if name not in instance)


def _duplicates(
    _: object, keys: list[str], instance: Tree, __: object
) -> Iterator[ValidationError]:
    for index in quick.duplicates(instance, keys):
        yield ValidationError("duplicate", path=[index], instance=instance[index])


_KEYWORDS = {"required": _required, "listKeys": _duplicates}
_Judge = validators.extend(jsonschema.Draft4Validator, _KEYWORDS)  # type: ignore[no-untyped-call]


_ENVELOPE = frozenset({"apiVersion", "kind", "metadata"})


class Judge:
    """Validates objects of one kind and version."""

    __slots__ = ("_has_rules", "_judge", "_quick")

    def __init__(self, schema: Json) -> None:
        plain = translated(schema)
        properties = mapping(plain.get("properties"))
        for name in ("apiVersion", "kind"):  # checked when the body is decoded
            properties.pop(name, None)
        if "required" in plain:
            plain["required"] = [name for name in plain["required"] if name not in _ENVELOPE]
        self._judge = _Judge(plain, format_checker=formats.CHECKER)
        self._quick = quick.compiled(plain)
        self._has_rules = "x-kubernetes-validations" in shown(schema)

    def causes(self, body: Json, before: Json | None) -> list[Cause]:
        """Return what is wrong with `body`; an old sin that was not touched is forgiven.

        Args:
            body: the shaped object.
            before: the stored object, None at creation.
        """
        if self._quick(body, before):
            return []
        found: list[Cause] = []
        for error in self._judge.iter_errors(body):
            if before is not None and _untouched(error, body, before):
                continue
            found.append(wording.cause(error))
            if len(found) >= ERROR_LIMIT_COUNT:
                break
        if found and self._has_rules:
            found.append(_UNCHECKED_RULES)
        return found


_UNCHECKED_RULES = Cause(
    reason="FieldValueInvalid",
    field="<nil>",
    message='Invalid value: "null": some validation rules were not checked because the object was '
    "invalid; correct the existing errors to complete validation",
)


def _untouched(error: ValidationError, body: Json, before: Json) -> bool:
    """Tell whether the faulty value stood there already (kube-apiserver's ratcheting)."""
    old: Tree = before
    new: Tree = body
    for step in error.absolute_path:
        try:
            old, new = old[step], new[step]
        except (KeyError, IndexError, TypeError):
            return False
    return same(old, new)
