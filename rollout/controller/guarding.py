"""The guard of a run, written on the canary's subset and taken off it again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NoReturn

from rollout.api.meta import DESTINATION_RULE, Key, Manifest
from rollout.base.errors import BadManifest, Conflict, Denied, NotFound, Overloaded, Retry
from rollout.base.hosts import fqdn
from rollout.controller.brake import Brake
from rollout.controller.cache import Cache, key_of
from rollout.controller.observe import Observer, Seen
from rollout.controller.refusals import Denial
from rollout.controller.thrift import Thrift
from rollout.controller.world import World
from rollout.engine.decision import Guarding
from rollout.ports import Patch
from rollout.routes.guard import guard_patch

DENIAL_SECONDS = 300.0
"""How long a refused guard is not tried again while nothing changes."""

REMOVAL_SECONDS = 30.0
"""As above, for a guard that is to come off: a run waits for its end meanwhile."""

SILENCE_SECONDS = 5.0
"""As above, where nobody refused: the server, or a webhook of it, did not answer."""


class Guards:
    """Writes guards.

    Args:
        world: caches.
        observer: knows the rules, and is told what was refused.
        thrift: counts writes.
        write: patches an object of a cache.
        make_sure: raises `Conflict` when the Rollout is not the one that was decided on.
    """

    def __init__(
        self,
        world: World,
        observer: Observer,
        thrift: Thrift,
        *,
        write: Callable[[Cache, Key, Patch], Awaitable[object]],
        make_sure: Callable[[Key, Manifest], Awaitable[None]],
    ) -> None:
        self._world = world
        self._observer = observer
        self._thrift = thrift
        self._write = write
        self._make_sure = make_sure
        self._put_backs = Brake()

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        self._put_backs.forget(key)

    async def write(self, seen: Seen, rollout: Manifest, guard: Guarding) -> datetime | None:
        """Write what differs; when that may be, if somebody undid it too often of late.

        A rule, or a subset, that is gone has taken the guard with it.

        Raises:
            Conflict: somebody wrote meanwhile, or it was refused: what was decided on does not
                hold, and above all no run may end as if its guard were gone.
            Retry: the Rollout itself cannot be read. A server that is not ready for the rule alone
                is remembered like a refusal: weights that do not rise, the status and answers must
                not wait for it, nor an ending for ever.
        """
        key, now = seen.observation.key, seen.observation.now
        host = fqdn(guard.host, namespace=key.namespace)
        manifest = self._observer.definition(key, host, guard.traffic, subset=guard.subset)
        if manifest is None:
            return None
        try:
            patch = guard_patch(manifest, subset=guard.subset, policies=guard.policies)
            if not patch or self._was_refused(seen, manifest, guard):
                return None
            free_at = self._put_backs.free_at(key, now=now) if guard.is_on else None
            if free_at is not None:
                return free_at
            await self._make_sure(key, rollout)
            await self._patch(seen, manifest, patch, guard)
        except (BadManifest, Denied) as error:
            seconds = DENIAL_SECONDS if guard.is_on else REMOVAL_SECONDS
            self._deny(seen, manifest, guard, message=str(error), seconds=seconds)
        return None

    async def _patch(self, seen: Seen, manifest: Manifest, patch: Patch, guard: Guarding) -> None:
        key, now = seen.observation.key, seen.observation.now
        try:
            await self._write(self._world.destination_rules, key_of(manifest), patch)
        except NotFound:
            return  # The watch will tell.
        except Conflict:
            raise
        except Retry as error:
            asked = error.retry_after_seconds if isinstance(error, Overloaded) else 0.0
            seconds = max(SILENCE_SECONDS, asked)
            self._deny(seen, manifest, guard, message=str(error), seconds=seconds)
        else:
            self._thrift.spend(key, now=now)
            if guard.is_on:
                self._put_backs.strike(key, now=now)

    def _was_refused(self, seen: Seen, manifest: Manifest, guard: Guarding) -> bool:
        key, now = seen.observation.key, seen.observation.now
        known = self._observer.denial(key, key_of(manifest), now=now, kind=DESTINATION_RULE)
        return known is not None and known.policies == guard.policies

    def _deny(
        self, seen: Seen, manifest: Manifest, guard: Guarding, *, message: str, seconds: float
    ) -> NoReturn:
        """Remember a refusal, and have it decided again."""
        target, now = key_of(manifest), seen.observation.now
        denial = Denial(
            kind=DESTINATION_RULE,
            version=manifest["metadata"].get("resourceVersion", ""),
            policies=guard.policies,
            until=now + timedelta(seconds=seconds),
            message=f"DestinationRule {target}: {message}",
        )
        self._observer.deny(seen.observation.key, target, denial)
        what = f"what may be written to DestinationRule {target}"
        raise Conflict(what)
