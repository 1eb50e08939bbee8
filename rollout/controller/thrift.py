"""Decides what is worth a write: an API server takes few, and each wakes everybody who watches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rollout.api.meta import Key
from rollout.api.phase import ConditionType
from rollout.api.status import RolloutStatus, Run
from rollout.engine.decision import Happening
from rollout.engine.propagation import (
    PROXY_REJECTS,
    PROXY_SILENT,
    SEEN_IN_TRAFFIC,
    SETTLED,
    SETTLING,
)

FACTS_SECONDS = 10.0
"""The least time between two writes of a status that only tell what others brought about."""

PUT_BACK = "PutBack"
RESTORED = "StatusRestored"
FIGHTS = (PUT_BACK, RESTORED, PROXY_REJECTS, PROXY_SILENT)
"""Reasons of Events that a tool which fights us would bring about at each blow, or a proxy that
comes and goes."""

FIGHT_SECONDS = 60.0
"""The least time between two Events about one Rollout for one of these reasons."""


WRITES_COUNT_MAX = 20.0
"""Writes for one Rollout in a row; the busiest second of a run takes half of that."""

WRITES_PER_SECOND = 2.0
"""Writes for one Rollout in the long run. Whoever writes against us, be it a second controller that
sees another world, a webhook or a tool, is answered no more often."""


CLOCK_SECONDS = 1e-6
"""The least that a `datetime` can tell: a shorter wait would be over as it begins, without end."""


@dataclass(slots=True, kw_only=True)
class _Purse:
    """Writes that are left, as of a moment."""

    left_count: float
    at: datetime


class Thrift:
    """Remembers, per Rollout, what was written when.

    Args:
        status_seconds: how old what only people read may grow in the status before it is written.
    """

    def __init__(self, *, status_seconds: float) -> None:
        self._status_seconds = status_seconds
        self._written: dict[Key, datetime] = {}
        self._told_facts: dict[Key, datetime] = {}
        self._told_fights: dict[tuple[str, Key], datetime] = {}
        self._purses: dict[Key, _Purse] = {}

    def forget(self, key: Key) -> None:
        """The Rollout is gone."""
        for memory in (self._written, self._told_facts):
            memory.pop(key, None)
        for reason in FIGHTS:
            self._told_fights.pop((reason, key), None)
        self._purses.pop(key, None)

    def spend(self, key: Key, *, now: datetime) -> None:
        """Something was written for a Rollout."""
        self._purses[key] = _Purse(left_count=max(0.0, self._left_count(key, now=now) - 1), at=now)

    def wait_seconds(self, key: Key, *, now: datetime) -> float:
        """How long a Rollout must wait before it may be written for again; 0: not at all."""
        wait = (1 - self._left_count(key, now=now)) / WRITES_PER_SECOND
        return wait if wait >= CLOCK_SECONDS else 0.0

    def _left_count(self, key: Key, *, now: datetime) -> float:
        purse = self._purses.get(key)
        if purse is None:
            return WRITES_COUNT_MAX
        earned = max(0.0, (now - purse.at).total_seconds()) * WRITES_PER_SECOND
        return min(WRITES_COUNT_MAX, purse.left_count + earned)

    def wrote(self, key: Key, *, now: datetime) -> None:
        """The status was written."""
        self._written[key] = now

    def matters(self, old: RolloutStatus, new: RolloutStatus, *, key: Key, now: datetime) -> bool:
        """Whether a status is worth a write.

        What a restart needs, or a person waits for, is written at once; counts, verdicts and the
        words around them ride along, or follow when they have grown old.
        """
        if _decided(old) != _decided(new):
            return True
        if old == new:
            return False
        if new.run is None or new.run.ended_at is not None:
            # At rest nothing looks again by itself, and little changes: what is said is true.
            return True
        if _facts(old) != _facts(new) and self._may_flicker(key, now=now):
            return True
        written = self._written.get(key)
        if written is None:
            written = self._written[key] = now
        stale = (now - written).total_seconds() >= self._status_seconds
        return stale and _told(old) != _told(new)

    def _may_flicker(self, key: Key, *, now: datetime) -> bool:
        """Facts about others may come and go with every look: they are not written with each."""
        before = self._told_facts.get(key)
        if before is not None and (now - before).total_seconds() < FACTS_SECONDS:
            return False
        self._told_facts[key] = now
        return True

    def is_news(self, key: Key, happening: Happening, *, now: datetime) -> bool:
        """A tool that fights us is told of once in a while, and not at each blow."""
        if happening.reason not in FIGHTS:
            return True
        about = happening.reason, key
        before = self._told_fights.get(about)
        if before is not None and (now - before).total_seconds() < FIGHT_SECONDS:
            return False
        self._told_fights[about] = now
        return True


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
        status.waiting,
        status.closed,
        len(status.history),
        status.told,
        status.slack,
        # Each is told in an Event too, and again at every look until it stands there.
        status.notes,
        tuple((c.type, c.status) for c in status.conditions if c.type not in _FACTS),
        _decided_in_run(run) if run is not None else None,
    )


def _decided_in_run(run: Run) -> tuple[object, ...]:
    return (
        run.id,
        run.step,
        run.weight,
        run.step_started_at,
        run.settled_since,
        run.unrouted_since,
        run.closed_since,
        run.closed_ms,
        run.ended_at,
        run.paused,
        run.promoted_full,
        run.retreated,
        run.approvals,
        run.hooks,
        run.sent_on,
        run.ending,
        # Where counting begins: without it a restart would begin later. At first it may wait.
        run.step > 0 and run.evidence is not None and run.evidence.origin_ms > 0,
    )


_SLOW = frozenset({SETTLING, SETTLED, SEEN_IN_TRAFFIC})
"""What time and traffic say of weights comes by itself in every step: it is no fact of its own."""

_FACTS = frozenset({ConditionType.METRICS_AVAILABLE, ConditionType.TRAFFIC_MATCHES})


def _facts(status: RolloutStatus) -> tuple[object, ...]:
    """What of a status others bring about: a Prometheus that comes and goes, a hand on weights."""
    return tuple(
        (c.type, "", "") if c.reason in _SLOW else (c.type, c.status, c.reason)
        for c in status.conditions
        if c.type in _FACTS
    )


def _told(status: RolloutStatus) -> RolloutStatus:
    """A status without what changes by itself, to see whether there is anything to tell."""
    if status.run is None:
        return status
    return status.model_copy(update={"run": status.run.model_copy(update={"look_again_at": None})})
