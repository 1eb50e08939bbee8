"""From a decision to the writes that make it true: routes first, status last, Events beside.

Every write names the version it was decided on, so a late writer loses; and each is left out when
the world already is so. A crash between two of them is therefore no special case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rollout.api.meta import (
    DESTINATION_RULE,
    EVENT,
    ROLLOUT,
    ROLLOUT_ACTION,
    VIRTUAL_SERVICE,
    Key,
    Kind,
    Manifest,
)
from rollout.api.status import RolloutStatus
from rollout.base.errors import BadManifest, Conflict, Denied, NotFound
from rollout.base.hosts import fqdn
from rollout.base.quantity import decimal_of
from rollout.controller.answering import Answers
from rollout.controller.brake import GAP_SECONDS_MAX, GAP_SECONDS_MIN, Brake
from rollout.controller.cache import Cache, Change, key_of
from rollout.controller.event import Event, event
from rollout.controller.guarding import Guards
from rollout.controller.observe import FINALIZER, Observer, Seen, refs_of
from rollout.controller.propagation import Propagations
from rollout.controller.refusals import WRITE_DENIED, Denial
from rollout.controller.thrift import PUT_BACK, RESTORED, Thrift
from rollout.controller.warned import Warned
from rollout.controller.world import World
from rollout.engine.decision import Decision, Guarding, Happening, Weights
from rollout.ports import Cluster, Patch, Written
from rollout.routes import remarks, virtualservice

DENIAL_SECONDS = 300.0
"""How long a refused write is not tried again while nothing changes: a webhook may be mended
without any of our objects changing."""

RETURN_DENIAL_SECONDS = 30.0
"""As above, for a write that takes traffic back: users are failing meanwhile."""


class Applier:
    """Writes decisions.

    Args:
        cluster: the API server.
        world: caches; answers to our own writes go in at once, so that their echo is no news.
        observer: is told what was refused.
        propagations: are told of weights that were written.
        status_seconds: how old what only people read may grow in the status before it is written.
        noticed: is told of what others have written, when a conflict shows it.
        moved: is told of what was written to a Rollout: others may wait for that.
    """

    def __init__(
        self,
        cluster: Cluster,
        world: World,
        observer: Observer,
        propagations: Propagations,
        *,
        status_seconds: float,
        noticed: Callable[[Cache, Change], object],
        moved: Callable[[Change], object],
    ) -> None:
        self._cluster = cluster
        self._world = world
        self._observer = observer
        self._propagations = propagations
        self._thrift = Thrift(status_seconds=status_seconds)
        self._noticed = noticed
        self._moved = moved
        self._guards = Guards(
            world, observer, self._thrift, write=self._write, make_sure=self._make_sure
        )
        self._put_backs = Brake()
        self._restores = Brake()
        self._held_until: dict[Key, datetime] = {}
        self._right: dict[tuple[Key, Key], tuple[object, ...]] = {}
        self._answers = Answers(write=self._write_answer)
        self._warned = Warned()

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._thrift.forget(key)
        self._guards.forget(key)
        self._put_backs.forget(key)
        self._restores.forget(key)
        self._held_until.pop(key, None)
        self._answers.forget(key)
        self._warned.forget(key)
        self._right = {pair: stamp for pair, stamp in self._right.items() if pair[0] != key}

    def wait_seconds(self, key: Key, *, now: datetime) -> float:
        """How long a Rollout must wait because it was written for too often; 0: not at all."""
        return self._thrift.wait_seconds(key, now=now)

    def held_until(self, key: Key) -> datetime | None:
        """When something may be written that somebody has undone too often; None: nothing waits."""
        return self._held_until.get(key)

    async def apply(self, seen: Seen, decision: Decision) -> tuple[Event, ...]:
        """Make a decision true; what is left to tell is returned.

        Raises:
            Conflict: somebody wrote meanwhile; the cache has the new state: decide again.
            Retry, Terminal, BrokenAnswer: as the cluster says.
        """
        o, key, rollout = seen.observation, seen.observation.key, seen.manifest
        self._held_until.pop(key, None)
        if decision.finalizer and not o.finalized:
            rollout = await self._hold(seen)
        guard = decision.guard
        if guard is not None and guard.is_on:
            await self._guard(seen, rollout, guard)
        if decision.weights is not None:
            await self._shift(seen, rollout, decision, decision.weights)
        if guard is not None and not guard.is_on:
            await self._guard(seen, rollout, guard)
        is_held = self.held_until(key) is not None
        news = [h for h in decision.happenings if not is_held or h.reason != PUT_BACK]
        matters = self._thrift.matters(o.status, decision.status, key=key, now=o.now)
        if matters or self._may_restore(seen):
            rollout = await self._write_status(seen, rollout, decision.status)
            news += self._restored(seen)
        await self._answers.give(key, decision.answers, now=o.now)
        if not decision.finalizer and FINALIZER in rollout["metadata"].get("finalizers", ()):
            await self._finalize(key, rollout, on=False)
        told = (h for h in news if self._thrift.is_news(key, h, now=o.now))
        run = decision.status.run
        # Whoever takes over in mid-run hears the same warnings again: their Events have its names.
        began = run.started_at if run is not None else None
        warnings = (event(rollout, h, now=o.now, since=began) for h in self._warned.take(key))
        return (*(event(rollout, h, now=o.now) for h in told), *warnings)

    def _may_restore(self, seen: Seen) -> bool:
        """Whether to write over what nobody can read; in a fight that is not at each blow."""
        if not _is_restorable(seen):
            return False
        o = seen.observation
        held_until = self._restores.free_at(o.key, now=o.now)
        if held_until is not None:
            self._hold_until(o.key, held_until)
            return False
        return True

    def _restored(self, seen: Seen) -> list[Happening]:
        """A status was written; what is to be told if nobody could read the one before."""
        if not _is_restorable(seen):
            return []
        self._restores.strike(seen.observation.key, now=seen.observation.now)
        message = f"{seen.torn}: somebody else wrote it; it was written anew from what is known"
        return [Happening(type="Warning", reason=RESTORED, message=message)]

    def _hold_until(self, key: Key, at: datetime) -> None:
        self._held_until[key] = min(at, self._held_until.get(key, at))

    def _put_back_at(self, seen: Seen, weights: Weights) -> datetime | None:
        """When weights that stand in the status may be written once more; None: now.

        Taking traffic from the canary must not become rare, however long somebody fights for it.
        """
        o = seen.observation
        longest = GAP_SECONDS_MAX if weights.percent > 0 else GAP_SECONDS_MIN
        return self._put_backs.free_at(o.key, now=o.now, longest_seconds=longest)

    async def _guard(self, seen: Seen, rollout: Manifest, guard: Guarding) -> None:
        """Write the guard: before weights that rise under it, and off it comes after them."""
        held_until = await self._guards.write(seen, rollout, guard)
        if held_until is not None:
            self._hold_until(seen.observation.key, held_until)
        self._decide_again_if_denials_changed(seen)

    async def _shift(
        self, seen: Seen, rollout: Manifest, decision: Decision, weights: Weights
    ) -> None:
        """Write the weights that differ, each VirtualService in one patch.

        What was decided just now is written at once; what somebody undid, not at each blow.
        """
        key, is_sure, was_written = seen.observation.key, False, False
        is_again = not is_new(seen.observation.status, decision.status)
        put_back_at = self._put_back_at(seen, weights) if is_again else None
        host = fqdn(weights.host, namespace=key.namespace)
        for manifest in self._observer.virtual_services(key, host, weights.traffic):
            target = key_of(manifest)
            if self._right.get((key, target)) == _stamp(manifest, weights):
                continue  # looked at before: it was as it should be
            try:
                patch = self._missing(seen, manifest, weights, host=host)
                if patch and put_back_at is not None:
                    self._hold_until(key, put_back_at)
                    continue
                if patch and not is_sure:
                    await self._propagations.before_write(seen.observation, weights.percent)
                    await self._make_sure(key, rollout)
                    is_sure = True
                if patch:
                    written = await self._write(self._world.virtual_services, target, patch)
                    self._hear(key, decision, written)
                    self._propagations.wrote(seen.observation, decision.status.run)
                    self._thrift.spend(key, now=seen.observation.now)
                    was_written = True
            except (BadManifest, Denied) as error:
                self._deny(seen, manifest, str(error), weights=weights)
        if was_written and is_again:
            self._put_backs.strike(key, now=seen.observation.now)
        self._decide_again_if_denials_changed(seen)

    def _missing(
        self, seen: Seen, manifest: Manifest, weights: Weights, *, host: str
    ) -> Sequence[Mapping[str, Any]]:
        """The patch that makes a VirtualService right, unless just that was refused before."""
        key, target = seen.observation.key, key_of(manifest)
        patch = virtualservice.weight_patch(
            manifest,
            host=host,
            namespace=key.namespace,
            refs=refs_of(weights.traffic, key.namespace),
            stable=weights.stable,
            canary=weights.canary,
            canary_percent=decimal_of(weights.percent),
            managed=weights.managed,
        )
        if not patch:
            self._right[key, target] = _stamp(manifest, weights)
            return ()
        known = self._observer.denial(key, target, now=seen.observation.now)
        return () if known is not None and known.weights == weights else patch

    async def _make_sure(self, key: Key, rollout: Manifest) -> None:
        """Traffic moves by the Rollout as it is now, and not as a watch that lags shows it.

        A leader that was deaf for a while must not undo what the last one decided, nor two
        controllers what either did: after the run's end nobody would put it right.
        """
        fresh = await self._cluster.get(ROLLOUT, key)
        if fresh["metadata"]["resourceVersion"] != rollout["metadata"]["resourceVersion"]:
            self._learn(self._world.rollouts, fresh)
            raise Conflict(_called(key))

    def _deny(
        self, seen: Seen, manifest: Manifest | None, message: str, *, weights: Weights | None = None
    ) -> None:
        """Remember a refusal about a VirtualService, or (None) about the Rollout itself."""
        seconds = RETURN_DENIAL_SECONDS if weights and weights.percent == 0 else DENIAL_SECONDS
        denial = Denial(
            version=manifest["metadata"].get("resourceVersion", "") if manifest else "",
            weights=weights,
            until=seen.observation.now + timedelta(seconds=seconds),
            message=message,
        )
        self._observer.deny(seen.observation.key, key_of(manifest) if manifest else None, denial)

    def _decide_again_if_denials_changed(self, seen: Seen) -> None:
        """What was decided did not know of a refusal, or of its end: decide again."""
        o = seen.observation
        problems = (*o.routing.problems, *o.subsets.problems)
        knew = any(problem.reason == WRITE_DENIED for problem in problems)
        if knew != bool(self._observer.denials(o.key, now=o.now)):
            raise Conflict(_permission(o.key))

    async def _write(
        self, cache: Cache, key: Key, patch: Patch, *, subresource: str = ""
    ) -> Written:
        """Patch an object; our cache knows the answer at once, and after a conflict the truth.

        A server applies a patch before it compares versions, so a patch that does not fit a newer
        object is refused like a bad one (422). Only of the version that we know is it a refusal.
        """
        try:
            written = await self._cluster.patch(cache.kind, key, patch, subresource=subresource)
        except (Conflict, Denied) as error:
            known, fresh = cache.get(key), await self._cluster.get(cache.kind, key)
            self._learn(cache, fresh)
            if isinstance(error, Conflict) or known is None or _version(known) == _version(fresh):
                raise
            newer = f"{cache.kind.kind} {key}"
            raise Conflict(newer) from error
        change = cache.put(written.object)
        if change is not None and cache is self._world.rollouts:
            self._moved(change)
        return written

    def _hear(self, key: Key, decision: Decision, written: Written) -> None:
        """Take in what was said to a VirtualService of ours; it is told once in a run."""
        run = decision.status.run
        self._warned.hear(
            key,
            run=run.id if run is not None else "",
            subject=f"{VIRTUAL_SERVICE.kind} {key_of(written.object)}",
            sentences=remarks.worth_telling(written.object, written.warnings),
        )

    def _learn(self, cache: Cache, manifest: Manifest) -> None:
        """What somebody else has written may matter to other Rollouts too; its echo will not."""
        change = cache.put(manifest)
        if change is not None:
            self._noticed(cache, change)

    async def _write_status(self, seen: Seen, rollout: Manifest, status: RolloutStatus) -> Manifest:
        """Write the status; what nobody can read and a person must mend stays in it."""
        key, now = seen.observation.key, seen.observation.now
        document = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        document |= seen.lost
        patch = [_same_version(rollout), {"op": "add", "path": "/status", "value": document}]
        written = await self._write(self._world.rollouts, key, patch, subresource="status")
        self._thrift.spend(key, now=now)
        self._thrift.wrote(key, now=now)
        self._observer.remember(key, written.object)
        return written.object

    async def _write_answer(self, action: Key, patch: Patch) -> Written:
        return await self._write(self._world.actions, action, patch, subresource="status")

    async def _hold(self, seen: Seen) -> Manifest:
        """Put our finalizer on before a run begins; that it may not be is as any refusal."""
        o = seen.observation
        if self._observer.denial(o.key, None, now=o.now) is not None:
            return seen.manifest
        try:
            return await self._finalize(o.key, seen.manifest, on=True)
        except Denied as error:
            self._deny(seen, None, f"{_called(o.key)}: {error}")
            raise Conflict(_permission(o.key)) from error

    async def _finalize(self, key: Key, rollout: Manifest, *, on: bool) -> Manifest:
        """Put our finalizer on, or take it off; others' stay."""
        others = [f for f in rollout["metadata"].get("finalizers", ()) if f != FINALIZER]
        finalizers = [*others, FINALIZER] if on else others
        version = rollout["metadata"]["resourceVersion"]
        metadata: dict[str, Any] = {"resourceVersion": version, "finalizers": finalizers}
        try:
            patched = {"metadata": metadata}
            return (await self._write(self._world.rollouts, key, patched)).object
        except NotFound:
            if on:
                raise
            return rollout


def is_new(old: RolloutStatus, new: RolloutStatus) -> bool:
    """Whether the weights of a decision were decided just now, or stand in the status already."""
    return _share(old) != _share(new)


def _stamp(manifest: Manifest, weights: Weights) -> tuple[object, ...]:
    """Which version of an object, and what was wanted of it."""
    return manifest["metadata"].get("uid"), manifest["metadata"].get("resourceVersion"), weights


def _is_restorable(seen: Seen) -> bool:
    """Whether the status cannot be read, and we know all the same what it should say."""
    return bool(seen.torn) and not seen.lost


def _share(status: RolloutStatus) -> tuple[object, ...]:
    run = status.run
    if run is None:
        return ()
    return run.id, run.step, run.weight, run.retreated, run.ending is None


def _called(key: Key) -> str:
    return f"Rollout {key}"


def _permission(key: Key) -> str:
    return f"what may be written for Rollout {key}"


def _version(manifest: Manifest) -> str:
    found: str = manifest["metadata"].get("resourceVersion", "")
    return found


def _same_version(manifest: Manifest) -> Mapping[str, Any]:
    """The operation that makes a JSON patch a conflict when the object has changed."""
    return {"op": "replace", "path": "/metadata/resourceVersion", "value": _version(manifest)}


WRITTEN_KINDS: tuple[Kind, ...] = (
    ROLLOUT,
    ROLLOUT_ACTION,
    VIRTUAL_SERVICE,
    DESTINATION_RULE,
    EVENT,
)
"""The kinds that are ever written here: what the controller's role must allow."""
