"""What can still be read of a status that somebody else has scribbled on, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from rollout.api import reading
from rollout.api.meta import Manifest
from rollout.api.phase import Outcome
from rollout.api.status import RolloutStatus, Run
from rollout.base.errors import BadManifest

RUN_FIELDS_TO_SPARE = frozenset(
    {"evidence", "gates", "observedWeight", "lookAgainAt", "settledSince", "promotedFull"}
    | {"policies", "hooks", "sentOn"}
)
"""Without these a run goes on, only slower: counting, settling and asking begin again. Without any
other it might move traffic that it should not."""

_KEPT = (Outcome.PROMOTED, Outcome.SUPERSEDED)
"""Endings after which a revision is not rejected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvaged:
    """A status as far as it can be read.

    Attributes:
        status: what was read; fields that could not be have their defaults.
        problem: what is wrong, with the field, without a full stop; empty: nothing.
        lost: fields that decide about traffic and cannot be read, by their outside names, as they
            stand; empty when one can go on.
    """

    status: RolloutStatus
    problem: str = ""
    lost: Mapping[str, object] = field(default_factory=dict)


def read_status(manifest: Manifest) -> Salvaged:
    """The status of a Rollout, or what is left of it; never fails.

    A status that is no map holds nothing: it is as one that was removed.
    """
    try:
        return Salvaged(status=reading.read_status(manifest))
    except BadManifest as error:
        first = _told(error)
    raw = manifest.get("status")
    if not isinstance(raw, Mapping):
        return Salvaged(status=RolloutStatus(), problem=first)
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, known in RolloutStatus.model_fields.items():
        outside = known.alias or name
        if outside not in raw:
            continue
        part = {outside: _without_spare(raw[outside]) if name == "run" else raw[outside]}
        try:
            values[name] = getattr(reading.read_status({"status": part}), name)
        except BadManifest as error:
            problems[outside] = _told(error)
    lost = _lost(values.get("run"), problems)
    if not lost and values.get("run") is not None:
        values |= _known_by(values["run"], problems)
    return Salvaged(
        status=RolloutStatus.model_construct(**(dict(RolloutStatus()) | values)),
        problem=problems[lost[0]] if lost else first,
        lost={name: raw[name] for name in lost},
    )


def _told(error: BadManifest) -> str:
    return f"{error.field} {error.problem}"


def _lost(run: Run | None, problems: Mapping[str, str]) -> tuple[str, ...]:
    """The fields without which nobody knows what may be done, the most important first."""
    if "run" in problems:
        return tuple(f for f in ("run", "stableRevision", "rejectedRevision") if f in problems)
    # The last run tells what is stable and what is rejected; what is stable also the traffic does.
    return ("rejectedRevision",) if run is None and "rejectedRevision" in problems else ()


def _known_by(run: Run, problems: Mapping[str, str]) -> dict[str, str]:
    """What a run says of the revisions that could not be read."""
    ending = run.ending if run.ended_at is not None else None
    promoted = ending is not None and ending.outcome is Outcome.PROMOTED
    stable = run.canary_revision if promoted else run.stable_revision
    turned_down = ending is not None and ending.outcome not in _KEPT and not ending.revived
    rejected = run.canary_revision if turned_down else ""
    found = {}
    if "stableRevision" in problems:
        found["stable_revision"] = stable
    if "rejectedRevision" in problems:
        found["rejected_revision"] = rejected
    return found


def _without_spare(raw: object) -> object:
    """A run without those of its broken fields that it can do without."""
    if not isinstance(raw, Mapping):
        return raw
    try:
        Run.model_validate(raw, extra="ignore")
    except ValidationError as error:
        broken = {str(found["loc"][0]) for found in error.errors() if found["loc"]}
        return {k: v for k, v in raw.items() if k not in broken & RUN_FIELDS_TO_SPARE}
    return raw
