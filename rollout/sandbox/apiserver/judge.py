"""Validation of objects by their structural schema, with jsonschema as the judge.

A quick checker, compiled from the schema once, says "surely valid" in a few microseconds; whatever
it does not pass goes to jsonschema, which decides and names every error, worded as kube-apiserver
words it. So jsonschema has the last word on refusals, and a property test holds the quick checker
to it on acceptance. CEL rules (``x-kubernetes-validations``) are not evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import jsonschema
from jsonschema import validators
from jsonschema.exceptions import ValidationError

from rollout.sandbox.apiserver import formats, quick, refusals
from rollout.sandbox.apiserver.refusals import Cause
from rollout.sandbox.apiserver.trees import Json, Tree, mapping, same, sequence, shown, type_name

ERROR_LIMIT_COUNT = 50  # an object with more errors than this is described well enough

_COPIED = (
    "enum maximum minimum exclusiveMaximum exclusiveMinimum maxLength minLength pattern "
    "maxItems minItems maxProperties minProperties multipleOf required format"
).split()


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
    for key in ("properties",):
        if key in schema:
            plain[key] = {name: translated(below) for name, below in schema[key].items()}
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            plain[key] = translated(schema[key])
    for key in ("allOf", "anyOf", "oneOf"):
        if key in schema and not schema.get("x-kubernetes-int-or-string"):
            plain[key] = [translated(below) for below in schema[key]]
    if schema.get("x-kubernetes-list-type") in {"map", "set"}:
        plain["listKeys"] = sequence(schema.get("x-kubernetes-list-map-keys"))
    return plain


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
        yield ValidationError("duplicate", path=[index])


_Judge = validators.extend(
    jsonschema.Draft4Validator, {"required": _required, "listKeys": _duplicates}
)


class Judge:
    """Validates objects of one kind and version."""

    __slots__ = ("_has_rules", "_judge", "_quick")

    def __init__(self, schema: Json) -> None:
        plain = translated(schema)
        properties = mapping(plain.get("properties"))
        for name in ("apiVersion", "kind"):  # checked when the body is decoded
            properties.pop(name, None)
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
            found.append(cause(error))
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


def field_path(path: Sequence[str | int]) -> str:
    """Write a path as Kubernetes does, ``spec.steps[0].weight``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.lstrip(".") or "<nil>"


def cause(error: ValidationError) -> Cause:
    """Word one error of jsonschema as kube-apiserver does."""
    field = field_path(list(error.absolute_path))
    keyword = str(error.validator)
    limit: Tree = error.validator_value
    value: Tree = error.instance
    match keyword:
        case "required":
            name = error.message if field == "<nil>" else f"{field}.{error.message}"
            return refusals.required_value(name)
        case "type" | "format":
            return _type_cause(field, keyword, limit, value)
        case "enum":
            supported = ", ".join(shown(choice) for choice in limit if choice is not None)
            message = f"Unsupported value: {shown(value)}: supported values: {supported}"
            return Cause(reason="FieldValueNotSupported", field=field, message=message)
        case "listKeys":
            return _duplicate_cause(field, limit, value, error)
        case "maxLength":
            return refusals.too_long(field, limit)
        case "maxItems" | "maxProperties":
            message = f"Too many: {len(value)}: must have at most {limit} items"
            return Cause(reason="FieldValueTooMany", field=field, message=message)
    return refusals.invalid_value(field, _quoted(keyword, value), _rule(field, keyword, error))


def _quoted(keyword: str, value: Tree) -> Tree:
    return len(value) if keyword == "minItems" else value


def _type_cause(field: str, keyword: str, limit: Tree, value: Tree) -> Cause:
    wanted = limit if keyword == "format" else _wanted_type(limit)
    got = shown(value) if keyword == "format" else f'"{type_name(value)}"'
    message = f"Invalid value: {got}: {field} in body must be of type {wanted}: {got}"
    return Cause(reason="FieldValueTypeInvalid", field=field, message=message)


def _wanted_type(kinds: list[str]) -> str:
    named = [kind for kind in kinds if kind != "null"]
    return named[0] if len(named) == 1 else "int-or-string"


def _duplicate_cause(field: str, keys: list[str], value: Tree, error: ValidationError) -> Cause:
    item = value[error.path[-1]]
    said = {key: item[key] for key in keys if key in item} if keys else item
    message = f"Duplicate value: {shown(said)}"
    return Cause(reason="FieldValueDuplicate", field=field, message=message)


def _rule(field: str, keyword: str, error: ValidationError) -> str:
    limit: Tree = error.validator_value
    schema: Json = error.schema if isinstance(error.schema, dict) else {}
    match keyword:
        case "maximum":
            bound = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
            return f"{field} in body should be {bound} {limit}"
        case "minimum":
            bound = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
            return f"{field} in body should be {bound} {limit}"
        case "minLength":
            return f"{field} in body should be at least {limit} chars long"
        case "pattern":
            return f"{field} in body should match '{limit}'"
        case "minItems":
            return f"{field} in body should have at least {limit} items"
        case "minProperties":
            return f"{field} in body should have at least {limit} properties"
        case "multipleOf":
            return f"{field} in body should be a multiple of {limit}"
        case "oneOf":
            found = "Found none valid" if error.context else "Found more than one valid"
            return f"{field} in body must validate one and only one schema (oneOf). {found}"
        case "not":
            return f'"{field}" must not validate the schema (not)'
        case "anyOf":
            return f"{field} in body must validate at least one schema (anyOf)"
    return f"{field} in body breaks the rule {keyword}"
