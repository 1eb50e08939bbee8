"""Manifests into models; what is wrong becomes one sentence with field and remedy."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from rollout.api import remedies
from rollout.api.action import ActionSpec
from rollout.api.merging import Merged
from rollout.api.meta import Manifest
from rollout.api.policy import PolicySpec
from rollout.api.rollout import RolloutSpec
from rollout.api.rules import check, check_windows
from rollout.api.status import RolloutStatus
from rollout.base.errors import BadManifest

M = TypeVar("M", bound=BaseModel)


def read_spec(manifest: Manifest) -> RolloutSpec:
    """The spec of a Rollout, checked for meaning.

    Raises:
        BadManifest: naming the field and the remedy; ``subject`` is left empty.
    """
    spec = read(RolloutSpec, _part(manifest, "spec"), at="spec")
    check(spec)
    return spec


def read_merged(merged: Merged) -> RolloutSpec:
    """A spec with what policies say, checked for meaning.

    Raises:
        BadManifest: naming the field and the remedy; ``subject`` is the policy that is wrong.
    """
    try:
        return read_spec({"spec": merged.spec})
    except BadManifest as error:
        raise merged.blame(error) from error


def read_policy(manifest: Manifest) -> PolicySpec:
    """What a policy says, checked for meaning as far as it can be without a Rollout.

    Raises:
        BadManifest: naming the field and the remedy; ``subject`` is left empty.
    """
    spec = read(PolicySpec, _part(manifest, "spec"), at="spec")
    for problem in check_windows(spec.windows, at="spec.windows"):
        raise problem
    return spec


def read_status(manifest: Manifest) -> RolloutStatus:
    """The status of a Rollout as any version wrote it; absent: the empty one.

    Fields of a newer version are dropped rather than refused, so that a downgrade can go on.

    Raises:
        BadManifest: when what is known of it cannot be read.
    """
    status = _part(manifest, "status") or {}
    try:
        return RolloutStatus.model_validate(status, extra="ignore")
    except ValidationError as error:
        raise _sentence(RolloutStatus, error, at="status") from error


def read_action(manifest: Manifest) -> ActionSpec:
    """The command in a RolloutAction.

    Raises:
        BadManifest: naming the field and the remedy.
    """
    return read(ActionSpec, _part(manifest, "spec"), at="spec")


def read(model: type[M], data: object, *, at: str) -> M:
    """Data as a model; ``at`` is the path of the data within its object.

    As strict as the API server: text is no number, and fields have one spelling. Data go through
    JSON, since that is what a manifest is, whatever YAML made of it before.

    Raises:
        BadManifest: naming the field and the remedy.
    """
    try:
        text = json.dumps(data, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        remedy = "use text, numbers, lists and maps, without references to themselves"
        raise BadManifest(field=at, problem="cannot be put as JSON", remedy=remedy) from error
    try:
        return model.model_validate_json(text, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise _sentence(model, error, at=at) from error


def nearest(name: str, known: list[str]) -> str | None:
    """The known name that a misspelt one most likely means, if any is near."""
    lowered = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


def _part(manifest: object, name: str) -> object:
    """The spec or status of what may be anything: a file can hold a list or a word."""
    if not isinstance(manifest, Mapping):
        given = remedies.shown(manifest)
        remedy = "use a map with apiVersion, kind, metadata and spec"
        raise BadManifest(field="the object", problem=f"is {given}", remedy=remedy)
    return manifest.get(name, {})


def _sentence(model: type[BaseModel], error: ValidationError, *, at: str) -> BadManifest:
    """The first error as a sentence; a misspelt field before what is missing because of it."""
    errors = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    first = errors[0]
    location = tuple(first["loc"])
    field = at + "".join(remedies.place(part) for part in location)
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, location[:-1])
        near = nearest(str(location[-1]), known)
        remedy = f"did you mean {near}?" if near else f"known here: {', '.join(sorted(known))}"
        return BadManifest(field=field, problem="is not a field", remedy=remedy)
    problem, remedy = remedies.of(first, known=_fields_at(model, location))
    return BadManifest(field=field, problem=problem, remedy=remedy)


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
