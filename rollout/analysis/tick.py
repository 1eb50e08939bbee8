"""Cuts time into ticks of one scrape interval, on a grid that no look can move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def end_ms(stamp_ms: int, *, origin_ms: int, step_ms: int) -> int:
    """The end of the tick that a stamp lies in; ticks are open at their begin, closed at their end.

    All numbers are milliseconds; ``step_ms`` is positive. A stamp on the grid ends its own tick.
    """
    return origin_ms + step_ms * -(-(stamp_ms - origin_ms) // step_ms)


def gather(
    increments: Iterable[tuple[int, Name, int]], *, origin_ms: int, step_ms: int
) -> dict[tuple[int, Name], int]:
    """Sums increments by the end of their tick and by a name of the caller's.

    An increment (stamp in milliseconds, name, count) belongs to the tick of its later sample.
    Ticks without any are left out. Sums over consecutive looks equal those over one long look.
    """
    ticks: Counter[tuple[int, Name]] = Counter()
    for stamp_ms, name, count in increments:
        ticks[end_ms(stamp_ms, origin_ms=origin_ms, step_ms=step_ms), name] += count
    return dict(ticks)
