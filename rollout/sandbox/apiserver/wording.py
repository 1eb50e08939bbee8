"""Words validation errors of jsonschema as kube-apiserver words them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jsonschema.exceptions import ValidationError

from rollout.sandbox.apiserver import refusals
from rollout.sandbox.apiserver.refusals import Cause
from rollout.sandbox.apiserver.trees import Json, Tree, shown, type_name


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
            return _type_cause(field, keyword, limit, value=value)
        case "enum":
            supported = ", ".join(shown(choice) for choice in limit if choice is not None)
            message = f"Unsupported value: {shown(value)}: supported values: {supported}"
            return Cause(reason="FieldValueNotSupported", field=field, message=message)
        case "listKeys":
            return _duplicate_cause(field, limit, value)
        case "maxLength":
            return refusals.too_long(field, limit)
        case "maxItems" | "maxProperties":
            message = f"Too many: {len(value)}: must have at most {limit} items"
            return Cause(reason="FieldValueTooMany", field=field, message=message)
        case _:
            return refusals.invalid_value(field, _quoted(keyword, value), _rule(field, error))


def _quoted(keyword: str, value: Tree) -> Tree:
    return len(value) if keyword == "minItems" else value


def _type_cause(field: str, keyword: str, limit: Tree, *, value: Tree) -> Cause:
    wanted = limit if keyword == "format" else _wanted_type(limit)
    got = shown(value) if keyword == "format" else f'"{type_name(value)}"'
    message = f"Invalid value: {got}: {field} in body must be of type {wanted}: {got}"
    return Cause(reason="FieldValueTypeInvalid", field=field, message=message)


def _wanted_type(kinds: list[str]) -> str:
    named = [kind for kind in kinds if kind != "null"]
    return named[0] if len(named) == 1 else "int-or-string"


def _duplicate_cause(field: str, keys: list[str], item: Tree) -> Cause:
    said = {key: item[key] for key in keys if key in item} if keys else item
    message = f"Duplicate value: {shown(said)}"
    return Cause(reason="FieldValueDuplicate", field=field, message=message)


def _at_most(schema: Json) -> str:
    return "less than" if schema.get("exclusiveMaximum") else "less than or equal to"


def _at_least(schema: Json) -> str:
    return "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"


_RULES: dict[str, Callable[[Tree, Json], str]] = {
    "maximum": lambda limit, schema: f"should be {_at_most(schema)} {limit}",
    "minimum": lambda limit, schema: f"should be {_at_least(schema)} {limit}",
    "minLength": lambda limit, _: f"should be at least {limit} chars long",
    "pattern": lambda limit, _: f"should match '{limit}'",
    "minItems": lambda limit, _: f"should have at least {limit} items",
    "minProperties": lambda limit, _: f"should have at least {limit} properties",
    "multipleOf": lambda limit, _: f"should be a multiple of {limit}",
    "anyOf": lambda _, __: "must validate at least one schema (anyOf)",
}


def _rule(field: str, error: ValidationError) -> str:
    keyword = str(error.validator)
    schema: Json = error.schema if isinstance(error.schema, dict) else {}
    if keyword == "not":
        return f'"{field}" must not validate the schema (not)'
    if keyword == "oneOf":
        found = "Found none valid" if error.context else "Found more than one valid"
        return f"{field} in body must validate one and only one schema (oneOf). {found}"
    words = _RULES.get(keyword)
    said = f"breaks the rule {keyword}" if words is None else words(error.validator_value, schema)
    return f"{field} in body {said}"
