"""What policies say: which of them rule a Rollout, what is closed now, and whose turn it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rollout.api import merging, reading
from rollout.api.merging import Merged, Policy
from rollout.api.meta import CLUSTER_ROLLOUT_POLICY, ROLLOUT_POLICY, Key, Manifest
from rollout.api.policy import PolicySpec
from rollout.api.window import Closed, Windows
from rollout.base.errors import BadManifest
from rollout.controller.cache import Cache, key_of
from rollout.controller.standing import IN_LINE, RUNNING, place, standing
from rollout.controller.world import World
from rollout.engine import turns, windows
from rollout.engine.turns import TOLD_PLACES_MAX, Limit, Turn
from rollout.engine.windows import Rule
from rollout.ports import Calendar

KNOWN_POLICIES_MAX = 4096
"""Policies whose reading is remembered; then all are read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A policy that was read.

    Attributes:
        version: the resource version that was read.
        policy: as it is written.
        problem: why it cannot be read, with the remedy; empty: it can.
        rule: what it says of when traffic may move.
        limit: how many runs there may be; None: any number.
    """

    version: str
    policy: Policy
    problem: str
    rule: Rule
    limit: Limit | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """The policies that have a say in a Rollout's spec.

    Attributes:
        policies: them, the nearest first.
        problem: why its spec cannot be known, with the remedy; empty: it can.
        stamp: which they are and how new; equal: nothing about them has changed.
    """

    policies: tuple[Policy, ...] = ()
    problem: str = ""
    stamp: tuple[object, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Them, in words."""
        return tuple(str(policy) for policy in self.policies)

    def merged(self, spec: Manifest) -> Merged:
        """A spec with what they say."""
        return merging.merged(spec, self.policies)


class Policies:
    """What policies say; read from caches, and again only when one is another version."""

    def __init__(self, world: World, calendar: Calendar) -> None:
        self._world = world
        self._calendar = calendar
        self._known: dict[tuple[str, Key], _Known] = {}

    def check(self, spec_windows: Windows, *, at: str) -> None:
        """Refuse windows that never come, or whose clock nobody knows.

        Raises:
            BadManifest: naming the field below ``at`` and the remedy.
        """
        for i, opening in enumerate(spec_windows.allow):
            self._calendar.check(opening, at=f"{at}.allow[{i}]")

    def ruling(self, key: Key, manifest: Manifest) -> Ruling:
        """The policies that have a say in a Rollout's spec."""
        spec = manifest.get("spec")
        if not isinstance(spec, dict):
            return Ruling()
        near, named = list(self._near(key)), merging.named_by(spec)
        found = merging.ruling(spec, [one.policy for one in near], namespace=key.namespace)
        rules = [one for one in near if one.policy in found]
        problem = next((one.problem for one in rules if one.problem), "")
        if named is not None and named not in {(p.kind, p.key.name) for p in found}:
            problem = self._missing(*named, key=key)
        stamp = (problem, *(one.version for one in rules))
        return Ruling(policies=found, problem=problem, stamp=stamp)

    def closed(self, key: Key, own: Windows, *, suspended: bool, now: datetime) -> Closed | None:
        """What keeps a Rollout from starting and increasing now; None: nothing does."""
        rules = [known.rule for known in self._near(key)]
        opens_at = self._calendar.opens_at
        own_rule = Rule(windows=own)
        return windows.closed([own_rule, *rules], suspended=suspended, now=now, opens_at=opens_at)

    def turn(self, key: Key) -> Turn | None:
        """How a Rollout that wants to run stands to limits; None: there is none for it."""
        limits = self._limits()
        if not limits:
            return None
        return turns.turn(key, line=self._line(), running=self._running(), limits=limits)

    def woken_by(self, old: Manifest | None, new: Manifest | None) -> set[Key]:
        """Those in the line to whom it matters that a Rollout has begun, ended, come or gone.

        Those whose turn has come, and those who are told their place.
        """
        before, after = (tuple(standing(m)) if m is not None else () for m in (old, new))
        if before == after:
            return set()
        line = self._line()
        if not line:
            return set()
        admitted = turns.admitted(line, running=self._running(), limits=self._limits())
        themselves = {key_of(manifest) for manifest in (old, new) if manifest is not None}
        return {*admitted, *line[:TOLD_PLACES_MAX]} - themselves

    def _line(self) -> Sequence[Key]:
        waiting = self._world.rollouts.by("standing", IN_LINE)
        return [key_of(manifest) for manifest in sorted(waiting, key=place)]

    def _running(self) -> Sequence[Key]:
        return [key_of(manifest) for manifest in self._world.rollouts.by("standing", RUNNING)]

    def _limits(self) -> Sequence[Limit]:
        caches = (self._world.policies, self._world.cluster_policies)
        known = (self._read(cache, manifest) for cache in caches for manifest in cache)
        return [one.limit for one in known if one.limit is not None]

    def _near(self, key: Key) -> Iterator[_Known]:
        """The policies of a Rollout's namespace and of the cluster."""
        for manifest in self._world.policies.by("namespace", key.namespace):
            yield self._read(self._world.policies, manifest)
        for manifest in self._world.cluster_policies:
            yield self._read(self._world.cluster_policies, manifest)

    def _read(self, cache: Cache, manifest: Manifest) -> _Known:
        key = key_of(manifest)
        version = f"{manifest['metadata'].get('uid')} {manifest['metadata'].get('resourceVersion')}"
        known = self._known.get((cache.kind.kind, key))
        if known is None or known.version != version:
            if len(self._known) >= KNOWN_POLICIES_MAX:
                self._known.clear()
            known = self._known[cache.kind.kind, key] = self._known_of(manifest, version=version)
        return known

    def _known_of(self, manifest: Manifest, *, version: str) -> _Known:
        policy = merging.policy_of(manifest)
        try:
            spec = reading.read_policy(manifest)
        except BadManifest as error:
            problem = _told(policy, error)
            # What may be a freeze is taken for one until it can be read.
            holds = any(policy.spec.get(name) for name in ("windows", "stop", "limits"))
            rule = Rule(by=str(policy), problem=problem if holds else "")
            return _Known(version=version, policy=policy, problem=problem, rule=rule, limit=None)
        return _Known(
            version=version,
            policy=policy,
            problem="",
            rule=self._rule(policy, spec),
            limit=_limit(policy, spec),
        )

    def _rule(self, policy: Policy, spec: PolicySpec) -> Rule:
        try:
            self.check(spec.windows, at="spec.windows")
        except BadManifest as error:
            return Rule(by=str(policy), problem=_told(policy, error))
        stop = spec.stop.reason if spec.stop is not None else ""
        return Rule(by=str(policy), windows=spec.windows, stop=stop)

    def _missing(self, kind: str, name: str, *, key: Key) -> str:
        """What is told of a policy that is named and not there."""
        is_near = kind == ROLLOUT_POLICY.kind
        cache = self._world.policies if is_near else self._world.cluster_policies
        told = f"spec.policyRef names {kind} {name}, which"
        if cache.denied:
            plural = (ROLLOUT_POLICY if is_near else CLUSTER_ROLLOUT_POLICY).plural
            return f"{told} the controller may not read; grant its role to list and watch {plural}"
        keys = [key_of(manifest) for manifest in cache]
        others = [one.name for one in keys if not is_near or one.namespace == key.namespace]
        near = reading.nearest(name, others)
        remedy = f"did you mean {near}?" if near else "create it, or remove spec.policyRef"
        return f"{told} does not exist; {remedy}"


def _told(policy: Policy, error: BadManifest) -> str:
    return f"{policy}: {error}"


def _limit(policy: Policy, spec: PolicySpec) -> Limit | None:
    runs_max = spec.limits.runs_at_once
    if runs_max is None:
        return None
    return Limit(runs_max=runs_max, by=str(policy), namespace=policy.key.namespace)
