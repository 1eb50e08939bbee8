"""A Rollout as the views see it: what its manifest says, read once, wrong specs included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rollout.api import merging, salvage
from rollout.api.meta import Key, Manifest
from rollout.api.status import RolloutStatus, Run

REASON_ANNOTATION = "rollout.dev/reason"
"""Why the revision was set, in the words of the person who set it with the command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A Rollout.

    Attributes:
        key: its namespace and name.
        host: the service, as the spec spells it; empty when the spec lacks it.
        revision: the revision that is wanted; empty when the spec lacks it.
        created_at: when the object was made; None when the manifest does not say.
        asked_because: why the revision was set, if the person said so.
        policies: those that have, or will have, a say in the plan, as far as it names them.
        suspended: the spec asks for no increase.
        deleting: the object is on its way out.
        unseen: the controller has not yet answered to the newest spec.
        status: where it is and why.
    """

    key: Key
    host: str
    revision: str
    created_at: datetime | None
    asked_because: str
    policies: tuple[str, ...]
    suspended: bool
    deleting: bool
    unseen: bool
    status: RolloutStatus

    @property
    def run(self) -> Run | None:
        """The run in progress, or the last one."""
        return self.status.run

    @property
    def active(self) -> Run | None:
        """The run in progress; None when all is at rest."""
        run = self.status.run
        return run if run is not None and run.ended_at is None else None


def _policies(spec: Mapping[str, Any], status: RolloutStatus) -> tuple[str, ...]:
    """Those of the run in progress; without one the one that is named."""
    run = status.run
    if run is not None and run.ended_at is None:
        return run.policies
    named = merging.named_by(dict(spec))
    return () if named is None else (" ".join(named),)


def read(manifest: Manifest) -> Subject:
    """What a manifest says.

    Both spec and status are read leniently, since a view must show a wrong Rollout too.
    """
    metadata: Mapping[str, Any] = manifest.get("metadata", {})
    spec: Mapping[str, Any] = manifest.get("spec") or {}
    created = metadata.get("creationTimestamp")
    status = salvage.read_status(manifest).status
    return Subject(
        key=Key(metadata.get("namespace", ""), metadata.get("name", "")),
        host=str(spec.get("host", "")),
        revision=str(spec.get("revision", "")),
        created_at=datetime.fromisoformat(created) if created else None,
        asked_because=str((metadata.get("annotations") or {}).get(REASON_ANNOTATION, "")),
        policies=_policies(spec, status),
        suspended=spec.get("suspend") is True,
        deleting="deletionTimestamp" in metadata,
        unseen=status.observed_generation < int(metadata.get("generation", 0)),
        status=status,
    )
