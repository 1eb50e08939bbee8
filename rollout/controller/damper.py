"""Believes endpoints that come and go only when they stay.

That they are gone is believed at once: the canary loses its traffic. That they are back is believed
the later the more often they were lost; or each flap would be two writes, and some requests lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rollout.api.meta import Key
from rollout.controller.brake import Brake


@dataclass(frozen=True, slots=True, kw_only=True)
class _Last:
    """What the last look found."""

    revision: str
    serves: bool


class Damper:
    """Remembers, per Rollout, how often its canary was lost."""

    def __init__(self) -> None:
        self._losses = Brake()
        self._last: dict[Key, _Last] = {}

    def doubted_until(
        self, key: Key, revision: str, *, serves: bool, now: datetime
    ) -> datetime | None:
        """Until when a revision that serves now is taken as one that does not; None: it is not.

        Args:
            key: the Rollout.
            revision: its canary.
            serves: whether the world says that it has a subset with ready endpoints.
            now: the moment.
        """
        last = self._last.get(key)
        if last is not None and last.revision != revision:
            self._losses.forget(key)
            last = None
        if last is not None and last.serves and not serves:
            self._losses.strike(key, now=now)
        self._last[key] = _Last(revision=revision, serves=serves)
        return self._losses.free_at(key, now=now) if serves else None

    def forget(self, key: Key) -> None:
        """The run is over."""
        self._losses.forget(key)
        self._last.pop(key, None)
