"""From a decision to the writes that make it true: routes first, status last, Events beside.

Every write names the version it was decided on, so a late writer loses; and each is left out when
the world already is so. A crash between two of them is therefore no special case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rollout.api.action import ActionStatus
from rollout.api.meta import (
    EVENT,
    ROLLOUT,
    ROLLOUT_ACTION,
    VIRTUAL_SERVICE,
    Key,
    Kind,
    Manifest,
    print_time,
)
from rollout.api.status import RolloutStatus, Run
from rollout.api.traffic import Problem
from rollout.base.errors import BadManifest, Conflict, Denied, NotFound
from rollout.base.hosts import fqdn
from rollout.base.quantity import decimal_of
from rollout.controller.cache import Cache, key_of
from rollout.controller.observe import FINALIZER, Observer, Seen, refs_of
from rollout.controller.world import World
from rollout.engine.decision import Decision, Happening, Weights
from rollout.ports import Cluster, Patch
from rollout.routes import virtualservice

DENIAL_SECONDS = 300.0
"""How long a refused write is not tried again while nothing changes: a webhook may be mended
without any of our objects changing."""

EVENT_MESSAGE_LENGTH_MAX = 1024
"""Characters in an Event's message, as the API bounds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An Event to be told some time soon; nothing waits for it."""

    name: str
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class _Denial:
    """What was refused: the same is not tried again before ``until``."""

    version: str
    percent: float
    until: datetime
    message: str


class Applier:
    """Writes decisions.

    Args:
        cluster: the API server.
        world: caches; answers to our own writes go in at once, so that their echo is no news.
        observer: is told what was refused.
        status_seconds: how old what only people read may grow in the status before it is written.
    """

    def __init__(
        self, cluster: Cluster, world: World, observer: Observer, *, status_seconds: float
    ) -> None:
        self._cluster = cluster
        self._world = world
        self._observer = observer
        self._status_seconds = status_seconds
        self._written: dict[Key, datetime] = {}
        self._right: dict[tuple[Key, Key], tuple[object, ...]] = {}
        self._denials: dict[tuple[Key, Key], _Denial] = {}

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._written.pop(key, None)
        for memory in (self._denials, self._right):
            for pair in [pair for pair in memory if pair[0] == key]:
                del memory[pair]

    async def apply(self, seen: Seen, decision: Decision) -> tuple[Event, ...]:
        """Make a decision true; what is left to tell is returned.

        Raises:
            Conflict: somebody wrote meanwhile; the cache has the new state: decide again.
            Retry, Terminal, BrokenAnswer: as the cluster says.
        """
        o, key = seen.observation, seen.observation.key
        rollout = seen.manifest
        if decision.finalizer and not o.finalized:
            rollout = await self._finalize(key, rollout, on=True)
        if decision.weights is not None:
            await self._shift(key, decision.weights, now=o.now)
        if self.matters(o.status, decision.status, key=key, now=o.now):
            rollout = await self._write_status(key, rollout, decision.status, now=o.now)
        for answer in decision.answers:
            said = ActionStatus(outcome=answer.outcome, message=answer.message[:1024], at=o.now)
            await self._answer(Key(key.namespace, answer.action), said)
        if not decision.finalizer and FINALIZER in rollout["metadata"].get("finalizers", ()):
            await self._finalize(key, rollout, on=False)
        return tuple(_event(rollout, h, now=o.now) for h in decision.happenings)

    def matters(self, old: RolloutStatus, new: RolloutStatus, *, key: Key, now: datetime) -> bool:
        """Whether a status is worth a write.

        What a restart needs, or a person waits for, is written at once; counts, verdicts and the
        words around them ride along, or follow when they have grown old.
        """
        if _decided(old) != _decided(new):
            return True
        if old == new:
            return False
        written = self._written.get(key)
        if written is None:
            written = self._written[key] = now
        stale = (now - written).total_seconds() >= self._status_seconds
        return stale and _told(old) != _told(new)

    async def _shift(self, key: Key, weights: Weights, *, now: datetime) -> None:
        """Write the weights that differ, each VirtualService in one patch."""
        host = fqdn(weights.host, namespace=key.namespace)
        denied: list[_Denial] = []
        for manifest in self._observer.virtual_services(key, host, weights.traffic):
            metadata = manifest["metadata"]
            stamp = (metadata.get("uid"), metadata.get("resourceVersion"), weights)
            if self._right.get((key, key_of(manifest))) == stamp:
                continue  # looked at before: it was as it should be
            denial = await self._shift_one(key, host, weights, manifest, now=now)
            if denial is None:
                self._right[key, key_of(manifest)] = stamp
            else:
                denied.append(denial)
        before = self._observer.denied.get(key)
        if denied:
            now_denied = Problem(reason="WriteDenied", message=denied[0].message)
            self._observer.denied[key] = now_denied
        else:
            now_denied = None
            self._observer.denied.pop(key, None)
        if (before is None) != (now_denied is None):
            # What was decided did not know of the refusal, or of its end: decide again.
            raise Conflict(str(key))

    async def _shift_one(
        self, key: Key, host: str, weights: Weights, manifest: Manifest, *, now: datetime
    ) -> _Denial | None:
        """Write the weights of one VirtualService; a refusal is told, and not tried again."""
        target = key_of(manifest)
        try:
            patch = virtualservice.weight_patch(
                manifest,
                host=host,
                namespace=key.namespace,
                refs=refs_of(weights.traffic, key.namespace),
                stable=weights.stable,
                canary=weights.canary,
                canary_percent=decimal_of(weights.percent),
            )
        except BadManifest as error:
            return self._deny(key, manifest, weights, str(error), now=now)
        known = self._denials.get((key, target))
        if patch and known is not None and _still(known, manifest, weights, now=now):
            return known
        if patch:
            try:
                await self._write(self._world.virtual_services, target, patch)
            except Denied as error:
                return self._deny(key, manifest, weights, str(error), now=now)
        self._denials.pop((key, target), None)
        return None

    def _deny(
        self, key: Key, manifest: Manifest, weights: Weights, message: str, *, now: datetime
    ) -> _Denial:
        target = key_of(manifest)
        denial = _Denial(
            version=manifest["metadata"].get("resourceVersion", ""),
            percent=weights.percent,
            until=now + timedelta(seconds=DENIAL_SECONDS),
            message=f"VirtualService {target}: {message}",
        )
        self._denials[key, target] = denial
        return denial

    async def _write(
        self, cache: Cache, key: Key, patch: Patch, *, subresource: str = ""
    ) -> Manifest:
        """Patch an object; our cache knows the answer at once, and after a conflict the truth."""
        try:
            written = await self._cluster.patch(cache.kind, key, patch, subresource=subresource)
        except Conflict:
            cache.put(await self._cluster.get(cache.kind, key))
            raise
        cache.put(written.object)
        return written.object

    async def _write_status(
        self, key: Key, rollout: Manifest, status: RolloutStatus, *, now: datetime
    ) -> Manifest:
        document = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        patch = [_same_version(rollout), {"op": "add", "path": "/status", "value": document}]
        written = await self._write(self._world.rollouts, key, patch, subresource="status")
        self._written[key] = now
        return written

    async def _answer(self, key: Key, said: ActionStatus) -> None:
        """Answer a command; that it is gone by now is fine."""
        document = said.model_dump(mode="json", by_alias=True, exclude_none=True)
        patch = [{"op": "add", "path": "/status", "value": document}]
        try:
            await self._write(self._world.actions, key, patch, subresource="status")
        except NotFound:
            return

    async def _finalize(self, key: Key, rollout: Manifest, *, on: bool) -> Manifest:
        """Put our finalizer on, or take it off; others' stay."""
        others = [f for f in rollout["metadata"].get("finalizers", ()) if f != FINALIZER]
        finalizers = [*others, FINALIZER] if on else others
        metadata: dict[str, Any] = {
            "resourceVersion": rollout["metadata"]["resourceVersion"],
            "finalizers": finalizers,
        }
        try:
            return await self._write(self._world.rollouts, key, {"metadata": metadata})
        except NotFound:
            if on:
                raise
            return rollout


def _same_version(manifest: Manifest) -> Mapping[str, Any]:
    """The operation that makes a JSON patch a conflict when the object has changed."""
    version = manifest["metadata"]["resourceVersion"]
    return {"op": "replace", "path": "/metadata/resourceVersion", "value": version}


def _still(denial: _Denial, manifest: Manifest, weights: Weights, *, now: datetime) -> bool:
    same = denial.version == manifest["metadata"].get("resourceVersion", "")
    return same and denial.percent == weights.percent and now < denial.until


def _decided(status: RolloutStatus) -> tuple[object, ...]:
    """What of a status is a decision, and therefore written at once."""
    run = status.run
    return (
        status.observed_generation,
        status.phase,
        status.reason,
        status.stable_revision,
        status.rejected_revision,
        status.retirable,
        len(status.history),
        tuple((c.type, c.status) for c in status.conditions),
        _decided_in_run(run) if run is not None else None,
    )


def _decided_in_run(run: Run) -> tuple[object, ...]:
    return (
        run.id,
        run.step,
        run.weight,
        run.step_started_at,
        run.settled_since,
        run.ended_at,
        run.paused,
        run.promoted_full,
        run.retreated,
        run.ending,
        # Where counting begins: without it a restart would begin later. At first it may wait.
        run.step > 0 and run.evidence is not None and run.evidence.origin_ms > 0,
    )


def _told(status: RolloutStatus) -> RolloutStatus:
    """A status without what changes by itself, to see whether there is anything to tell."""
    if status.run is None:
        return status
    return status.model_copy(update={"run": status.run.model_copy(update={"look_again_at": None})})


def _event(rollout: Manifest, happening: Happening, *, now: datetime) -> Event:
    """A core Event, named by what it says: saying it twice is a conflict and no second Event."""
    meta = rollout["metadata"]
    said = f"{meta.get('uid')}\n{happening.reason}\n{happening.message}\n{print_time(now)}"
    name = f"{meta['name'][:236]}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"
    stamp = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    manifest: Manifest = {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": name, "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": ROLLOUT.api_version,
            "kind": ROLLOUT.kind,
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta.get("uid", ""),
        },
        "type": happening.type,
        "reason": happening.reason,
        "message": happening.message[:EVENT_MESSAGE_LENGTH_MAX],
        "source": {"component": "rollout"},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
    return Event(name=name, manifest=manifest)


WRITTEN_KINDS: tuple[Kind, ...] = (ROLLOUT, ROLLOUT_ACTION, VIRTUAL_SERVICE, EVENT)
"""The kinds that are ever written here: what the controller's role must allow."""
