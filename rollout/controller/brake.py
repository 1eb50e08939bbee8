"""Keeps apart what is done again and again because somebody else undoes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from rollout.api.meta import Key

GAP_SECONDS_MIN = 0.5
"""The distance after the first time: whoever was only once in the way is answered at once."""

GAP_SECONDS_MAX = 10.0
"""The longest distance: a fight costs six writes a minute, and its end is noticed soon."""

CALM_SECONDS = 60.0
"""After as long without a repetition the next one is the first again."""

_DOUBLINGS_MAX = 8
"""Enough to come from the shortest distance to the longest; more would only be large numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Struck:
    """How often in a row, and when last."""

    count: int
    at: datetime


class Brake:
    """Remembers, per Rollout, how often in a row something was done, and for how long to wait.

    The first time is free; the distance to the next doubles from `GAP_SECONDS_MIN` to
    `GAP_SECONDS_MAX`, and `CALM_SECONDS` of calm begin anew.
    """

    def __init__(self) -> None:
        self._struck: dict[Key, _Struck] = {}

    def strike(self, key: Key, *, now: datetime) -> None:
        """It was done once more."""
        known = self._struck.get(key)
        is_calm = known is None or _seconds(known.at, now) >= CALM_SECONDS
        count = 1 if known is None or is_calm else known.count + 1
        self._struck[key] = _Struck(count=count, at=now)

    def free_at(
        self, key: Key, *, now: datetime, longest_seconds: float = GAP_SECONDS_MAX
    ) -> datetime | None:
        """When it may be done again; None: now.

        Args:
            key: the Rollout.
            now: the moment.
            longest_seconds: a distance that is not exceeded, less than `GAP_SECONDS_MAX`.
        """
        known = self._struck.get(key)
        if known is None or _seconds(known.at, now) < 0:
            # A clock that was set back must not hold anything for hours.
            return None
        doubled = GAP_SECONDS_MIN * 2 ** min(known.count - 1, _DOUBLINGS_MAX)
        gap = min(doubled, GAP_SECONDS_MAX, longest_seconds)
        free_at = known.at + timedelta(seconds=gap)
        return free_at if now < free_at else None

    def forget(self, key: Key) -> None:
        """The Rollout, or what it was about, is gone."""
        self._struck.pop(key, None)


def _seconds(early: datetime, late: datetime) -> float:
    return (late - early).total_seconds()
