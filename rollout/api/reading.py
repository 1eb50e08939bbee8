"""Manifests into models; what is wrong becomes one sentence with field and remedy."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rollout.api.action import ActionSpec
from rollout.api.meta import Manifest
from rollout.api.rollout import RolloutSpec
from rollout.api.rules import check
from rollout.api.status import RolloutStatus
from rollout.base.errors import BadManifest

M = TypeVar("M", bound=BaseModel)


def read_spec(manifest: Manifest) -> RolloutSpec:
    """The spec of a Rollout, checked for meaning.

    Raises:
        BadManifest: naming the field and the remedy; ``subject`` is left empty.
    """
    spec = read(RolloutSpec, manifest.get("spec", {}), at="spec")
    check(spec)
    return spec


def read_status(manifest: Manifest) -> RolloutStatus:
    """The status of a Rollout as this version or an older one wrote it; absent: the empty one.

    Fields of a newer version are dropped rather than refused, so that a downgrade can go on.
    """
    status = manifest.get("status") or {}
    for _ in range(_UNKNOWN_FIELDS_MAX):
        try:
            return RolloutStatus.model_validate(status)
        except ValidationError as error:
            unknown = [e["loc"] for e in error.errors() if e["type"] == "extra_forbidden"]
            if not unknown:
                raise _sentence(RolloutStatus, error, at="status") from error
            status = _without(status, unknown[0])
    raise BadManifest(field="status", problem="has too many unknown fields", remedy="remove it")


_UNKNOWN_FIELDS_MAX = 32
"""How many fields of a newer version are dropped before the status is given up as foreign."""


def read_action(manifest: Manifest) -> ActionSpec:
    """The command in a RolloutAction.

    Raises:
        BadManifest: naming the field and the remedy.
    """
    return read(ActionSpec, manifest.get("spec", {}), at="spec")


def read(model: type[M], data: object, *, at: str) -> M:
    """Data as a model; ``at`` is the path of the data within its object."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _sentence(model, error, at=at) from error


def nearest(name: str, known: list[str]) -> str | None:
    """The known name that a misspelt one most likely means, if any is near."""
    lowered = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


def _without(data: Mapping[str, Any], location: tuple[int | str, ...]) -> dict[str, Any]:
    """A copy of nested data lacking one field."""
    head, rest = location[0], location[1:]
    copy: Any = dict(data) if isinstance(data, Mapping) else list(data)
    if rest:
        copy[head] = _without(copy[head], rest)
    else:
        del copy[head]
    result: dict[str, Any] = copy
    return result


def _sentence(model: type[BaseModel], error: ValidationError, *, at: str) -> BadManifest:
    """The first error as a sentence; a misspelt field before what is missing because of it."""
    errors = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    first = errors[0]
    location = tuple(first["loc"])
    field = at + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, location[:-1])
        near = nearest(str(location[-1]), known)
        remedy = f"did you mean {near}?" if near else f"known here: {', '.join(sorted(known))}"
        return BadManifest(field=field, problem="is not a field", remedy=remedy)
    if first["type"] == "missing":
        return BadManifest(field=field, problem="is missing", remedy="add it")
    said = first["msg"].removeprefix("Value error, ")
    problem = f"is {_short(first['input'])}"
    if first["type"] == "string_pattern_mismatch" and "h)?" in str(first.get("ctx")):
        said = "use a duration such as 90s, 10m or 1h30m"
    remedy = (said[:1].lower() + said[1:]).replace("input should", "it should")
    return BadManifest(field=field, problem=problem, remedy=remedy)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The outside names of the fields that may stand at a place in a model."""
    here: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, int) or here is None:
            continue
        here = next(
            (
                _model_in(field.annotation)
                for name, field in here.model_fields.items()
                if part in {field.alias, name}
            ),
            None,
        )
    return [field.alias or name for name, field in here.model_fields.items()] if here else []


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model class inside an annotation such as ``tuple[Step, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found is not None:
            return found
    return None
