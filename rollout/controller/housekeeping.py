"""Removes commands that were answered a while ago, or that nobody will ever answer."""

from __future__ import annotations

from datetime import datetime

import structlog

from rollout.api.action import ActionStatus
from rollout.api.meta import ROLLOUT_ACTION, Manifest
from rollout.api.reading import read
from rollout.base.errors import BadManifest, Retry, RolloutError
from rollout.controller.cache import key_of
from rollout.controller.world import World
from rollout.ports import Clock, Cluster

HOUSEKEEPING_SECONDS = 300.0
"""How often answered commands are looked through."""

ANSWERED_SECONDS_MAX = 3600.0
"""How long an answered command stays: long enough for whoever gave it to read the answer."""

REMOVALS_MAX = 50
"""Answered commands removed in one round, so that a flood does not become another."""

log = structlog.get_logger(__name__)


class Housekeeper:
    """Tidies up now and then."""

    def __init__(self, cluster: Cluster, world: World, clock: Clock) -> None:
        self._cluster = cluster
        self._world = world
        self._clock = clock

    async def run(self) -> None:
        """Look through the commands, for ever."""
        while True:
            now = self._clock.now()
            old = [a for a in self._world.actions if self._is_done_with(a, now)]
            for action in old[:REMOVALS_MAX]:
                try:
                    await self._cluster.delete(ROLLOUT_ACTION, key_of(action))
                except Retry as error:
                    log.info("commands are removed later", error=str(error))
                    break
                except RolloutError as error:
                    log.info("a command was not removed", error=str(error))
            await self._clock.sleep(HOUSEKEEPING_SECONDS)

    def _is_done_with(self, action: Manifest, now: datetime) -> bool:
        """Whether a command was answered a while ago, or was given to nobody a while ago."""
        if any(
            key in self._world.rollouts
            for key in self._world.concerned(self._world.actions, action)
        ):
            return _age_seconds(action, now) > ANSWERED_SECONDS_MAX
        return (now - _born_at(action, now)).total_seconds() > ANSWERED_SECONDS_MAX


def _born_at(action: Manifest, now: datetime) -> datetime:
    """When a command was given, as the API server says; now when it does not."""
    born = action["metadata"].get("creationTimestamp")
    return now if born is None else datetime.fromisoformat(born)


def _age_seconds(action: Manifest, now: datetime) -> float:
    """How long ago a command was answered; 0 when it was not, or nobody can tell."""
    try:
        said = read(ActionStatus, action.get("status") or {}, at="status")
    except BadManifest:
        return 0.0
    return float((now - said.at).total_seconds())
