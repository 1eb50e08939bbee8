"""Rollouts as they are read: with what policies say, and what is left of a status."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rollout.api import reading, salvage
from rollout.api.meta import Key, Manifest
from rollout.api.rollout import RolloutSpec, Traffic
from rollout.api.salvage import Salvaged
from rollout.api.status import RolloutStatus, Run
from rollout.api.window import Windows
from rollout.base.errors import BadManifest
from rollout.controller.policies import Policies, Ruling
from rollout.engine import plan as plans


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A Rollout as read; kept until its resource version or a policy changes.

    Attributes:
        uid: the object's.
        resource_version: which version was read.
        ruling: the policies that had a say in it.
        spec: what is wanted, with what they say; None when it cannot be read.
        spec_problem: why, in a sentence; empty when ``spec`` is there.
        salvaged: the status as far as it can be read.
    """

    uid: str
    resource_version: str
    ruling: Ruling
    spec: RolloutSpec | None
    spec_problem: str
    salvaged: Salvaged

    @property
    def status(self) -> RolloutStatus:
        """The status, as far as it is known."""
        return self.salvaged.status

    @property
    def run(self) -> Run | None:
        """The run in progress."""
        run = self.status.run
        return run if run is not None and run.ended_at is None else None

    def aim(self) -> tuple[str, Traffic]:
        """Host and objects as the run's plan says; without a run as the spec says."""
        if self.run is not None:
            return self.run.plan.host, self.run.plan.traffic
        if self.spec is not None:
            return self.spec.host, self.spec.traffic
        return "", Traffic()

    def windows(self) -> Windows:
        """When traffic may move, as the run's plan says; without a run as the spec says."""
        if self.run is not None:
            return self.run.plan.windows
        return self.spec.windows if self.spec is not None else Windows()

    def wants_to_run(self, revision: str) -> bool:
        """Whether another revision than the stable one is wanted, and no run is on."""
        return self.run is None and bool(revision) and revision != self.status.stable_revision


class Parser:
    """Reads Rollouts, each version once."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        self._parsed: dict[Key, Parsed] = {}

    def clear(self) -> None:
        """Forget all."""
        self._parsed.clear()

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._parsed.pop(key, None)

    def read(self, key: Key, manifest: Manifest) -> Parsed:
        """A Rollout as it stands."""
        uid = manifest["metadata"].get("uid", "")
        version = manifest["metadata"].get("resourceVersion", "")
        ruling = self._policies.ruling(key, manifest)
        known = self._parsed.get(key)
        if known is not None and known.uid != uid:
            known = None
        is_same = known is not None and known.resource_version == version
        if known is not None and is_same and known.ruling.stamp == ruling.stamp:
            return known
        spec, problem = self._spec(manifest, ruling)
        parsed = self._parsed[key] = Parsed(
            uid=uid,
            resource_version=version,
            ruling=ruling,
            spec=spec,
            spec_problem=problem,
            salvaged=_salvaged(manifest, known, is_same=is_same),
        )
        return parsed

    def _spec(self, manifest: Manifest, ruling: Ruling) -> tuple[RolloutSpec | None, str]:
        """What is wanted, or why nobody can tell."""
        if ruling.problem:
            return None, ruling.problem
        merged = ruling.merged(manifest["spec"]) if ruling.policies else None
        try:
            return self._read(manifest if merged is None else {"spec": merged.spec}), ""
        except BadManifest as error:
            return None, str(error if merged is None else merged.blame(error))

    def _read(self, manifest: Manifest) -> RolloutSpec:
        spec = reading.read_spec(manifest)
        plans.check_queries(spec)
        self._policies.check(spec.windows, at="spec.windows")
        return spec


def _salvaged(manifest: Manifest, known: Parsed | None, *, is_same: bool) -> Salvaged:
    """The status; where it cannot be read the one before, or after a restart what is left of it."""
    if known is not None and is_same:
        return known.salvaged
    found = salvage.read_status(manifest)
    if found.problem and known is not None and not known.salvaged.lost:
        return replace(known.salvaged, problem=found.problem)
    return found
