"""One look at one Rollout: observe, decide, apply; it ends in one of four ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

import structlog

from rollout.api import phase
from rollout.api.action import ActionOutcome
from rollout.api.meta import Key
from rollout.api.status import Run
from rollout.base.errors import Conflict, Overloaded, Retry, RolloutError
from rollout.controller import unreadable
from rollout.controller.apply import Applier, is_new
from rollout.controller.event import Event
from rollout.controller.hooking import Hooking
from rollout.controller.judging import Judging
from rollout.controller.observe import Observer, Seen
from rollout.controller.propagation import Propagations
from rollout.controller.telescope import FIRST_SIGHT_SECONDS
from rollout.engine import ending, guards
from rollout.engine.decide import decide
from rollout.engine.decision import Decision
from rollout.engine.observation import Observation
from rollout.ports import Alarms, Clock

CONFLICTS_MAX = 4
"""Conflicts met at once by deciding again; more of them back off like any trouble."""

TERMINAL_SECONDS = 300.0
"""How long after a refusal we look again though nothing has changed: a right may have been given, a
webhook mended, and neither makes an event of our objects."""

_log = structlog.get_logger(__name__)


class Outcome(Enum):
    """How a reconcile ends; each has a metric and a log line."""

    DONE = "done"
    """Nothing more to do until something happens."""
    LOOK_AGAIN = "look_again"
    """Something to do at a known time."""
    RETRY = "retry"
    """The world was not ready: back off."""
    TERMINAL = "terminal"
    """Refused for good: wait for a change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How it ended.

    Attributes:
        outcome: in which of the four ways.
        decision: what was decided; None when it did not come to that.
        retry_after_seconds: what a server asked us to wait.
    """

    outcome: Outcome
    decision: Decision | None = None
    retry_after_seconds: float = 0.0


class Reconciler:
    """Brings one Rollout after the other nearer to what it should be."""

    def __init__(
        self,
        observer: Observer,
        applier: Applier,
        judging: Judging,
        propagations: Propagations,
        *,
        hooking: Hooking,
        alarms: Alarms,
        clock: Clock,
        tell: Callable[[Event], object],
    ) -> None:
        self._observer = observer
        self._applier = applier
        self._judging = judging
        self._propagations = propagations
        self._hooking = hooking
        self._alarms = alarms
        self._clock = clock
        self._tell = tell

    async def reconcile(self, key: Key) -> Result:
        """One look; errors that we foresaw become outcomes, others are ours and are raised."""
        try:
            return await self._until_written(key)
        except Overloaded as error:
            _log.warning("the API server asks for patience", rollout=str(key), error=str(error))
            return Result(outcome=Outcome.RETRY, retry_after_seconds=error.retry_after_seconds)
        except Retry as error:
            _log.warning("will try again", rollout=str(key), error=str(error))
            return Result(outcome=Outcome.RETRY)
        except RolloutError as error:
            _log.error("cannot go on until something changes", rollout=str(key), error=str(error))
            self._alarms.set(key, self._clock.now() + timedelta(seconds=TERMINAL_SECONDS))
            return Result(outcome=Outcome.TERMINAL)

    async def _until_written(self, key: Key) -> Result:
        """Decide on the present state until no one is in the way."""
        for attempt in range(CONFLICTS_MAX):
            seen = self._observer.observe(key)
            if seen is None:
                self.forget(key)
                return Result(outcome=Outcome.DONE)
            seen = self._informed(seen)
            decision = _decide(seen)
            wait = self._applier.wait_seconds(key, now=seen.observation.now)
            if wait > 0 and not _takes_away(seen.observation, decision):
                return self._wait_for_calm(key, wait, now=seen.observation.now)
            run = seen.observation.status.run
            if run is not None and self._is_rash(key, run, seen.observation, decision):
                return self._wait_for_sight(run, seen.observation)
            try:
                events = await self._applier.apply(seen, decision)
            except Conflict as error:
                if attempt == CONFLICTS_MAX - 1:
                    raise
                _log.info("decides again", rollout=str(key), because=str(error))
                continue
            for event in events:
                self._tell(event)
            self._log(key, decision, events)
            return self._afterwards(seen, decision)
        raise AssertionError  # the last attempt raises

    def _is_rash(self, key: Key, run: Run, o: Observation, decision: Decision) -> bool:
        """Whether a decision lacks what was known before a restart, and can wait for it.

        The last controller may have been killed between the weights of the next step, or the
        removal of the guard, and the status: they are not yet somebody else's doing. Or the canary
        may have failed while nobody looked: time alone is no reason to go on. What takes the run
        back, and what a person says, does not wait.
        """
        after = decision.status.run
        if after is None or run.ended_at is not None or run.step == 0:
            return False
        is_told = any(a.outcome is ActionOutcome.APPLIED for a in decision.answers)
        if is_told or not self._judging.is_blind(key):
            return False
        if after.ending is not None:
            return after.ending.outcome is phase.Outcome.PROMOTED
        moved = any(share != run.weight for share in ending.shares(o, run))
        moved = moved or not guards.stands(o, run)
        return after.step != run.step or (moved and after.weight == run.weight)

    def _informed(self, seen: Seen) -> Seen:
        """The same, with what istiod knows and what webhooks have said."""
        known = self._propagations.seen(seen.observation)
        observation = self._hooking.seen(seen.manifest, seen.observation)
        return replace(seen, observation=replace(observation, propagation=known))

    def _wait_for_sight(self, run: Run, o: Observation) -> Result:
        self._judging.want(o.key, run, o.routing, now=o.now)
        self._alarms.set(o.key, o.now + timedelta(seconds=FIRST_SIGHT_SECONDS))
        return Result(outcome=Outcome.LOOK_AGAIN)

    def _wait_for_calm(self, key: Key, seconds: float, *, now: datetime) -> Result:
        """Somebody undoes what is written. Looks go on: one may find a reason to hurry."""
        _log.debug("writes too often; somebody else undoes it", rollout=str(key))
        self._alarms.set(key, now + timedelta(seconds=seconds))
        return Result(outcome=Outcome.LOOK_AGAIN)

    def _afterwards(self, seen: Seen, decision: Decision) -> Result:
        """Set the alarm, and have Prometheus asked for what the run needs, or no more."""
        key, now = seen.observation.key, seen.observation.now
        run = decision.status.run
        if run is not None and run.ended_at is None and decision.finalizer:
            self._judging.want(key, run, seen.observation.routing, now=now)
            self._propagations.want(key, run)
        else:
            self._observer.forget_run(key)
            self._propagations.forget_run(key)
        self._hooking.want(seen.manifest, decision)
        denied = self._observer.denials(key, now=now)
        held_until = self._applier.held_until(key)
        looks = [decision.look_again_at, seen.look_again_at, held_until]
        looks.extend(known.until for known in denied)
        look = min((at for at in looks if at is not None), default=None)
        if look is None:
            self._alarms.drop(key)
            return Result(outcome=Outcome.DONE, decision=decision)
        self._alarms.set(key, look)
        return Result(outcome=Outcome.LOOK_AGAIN, decision=decision)

    def begin(self) -> None:
        """A term as the leader begins: what was read in an earlier one may be long out of date."""
        self._observer.forget_statuses()
        self._judging.begin()

    def forget(self, key: Key) -> None:
        """A Rollout is gone: so are its alarm, its evidence and everything else about it."""
        self._alarms.drop(key)
        self._observer.forget(key)
        self._applier.forget(key)
        self._hooking.forget(key)
        self._propagations.forget(key)

    def _log(self, key: Key, decision: Decision, events: tuple[Event, ...]) -> None:
        for event in events:
            run = decision.status.run
            _log.info(
                "decided",
                rollout=str(key),
                reason=event.manifest["reason"],
                because=event.manifest["message"],
                phase=str(decision.status.phase),
                weight_percent=run.weight if run else None,
            )


def _decide(seen: Seen) -> Decision:
    if seen.lost:
        return unreadable.decide(seen.observation, seen.torn, seen.lost)
    return decide(seen.observation)


def _takes_away(o: Observation, decision: Decision) -> bool:
    """Whether a decision, made just now, takes traffic from the canary: that waits for nothing."""
    before, after = o.status.run, decision.status.run
    if before is None or after is None or not is_new(o.status, decision.status):
        return False
    retreats = after.retreated and not before.retreated
    return after.ending is not None or retreats or after.weight < before.weight
