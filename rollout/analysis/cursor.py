"""Remembers per scrape target which samples were used, in a bounded number of stamps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rollout.analysis import delta, query
from rollout.analysis.query import Shape
from rollout.analysis.sample import Series
from rollout.api.evidence import COMMON, TARGETS_MAX

SETTLE_MS = 5_000
"""How much later than one scrape interval a sample may become visible and still be counted, for the
targets that share a cursor. Those with their own have no such limit."""

FORGET_MS = query.WINDOW_SECONDS_MAX * 1000
"""A target silent for longer than any window loses its cursor: no answer shows its old samples."""

_KEY_BITS = {
    Shape.REQUESTS: 0,
    Shape.DURATIONS: 0x5555_5555,
    Shape.TCP: 0xAAAA_AAAA,
    Shape.ARRIVALS: 0x3333_3333,
    Shape.ARRIVAL_DURATIONS: 0xCCCC_CCCC,
}


class Cursors:
    """The newest stamps used, while a look moves them.

    A target has a cursor per question, because one answer may hold a scrape that another, asked a
    moment earlier, misses. Targets beyond the `TARGETS_MAX` first share one per question, which
    stays a scrape interval and `SETTLE_MS` behind what is seen.

    Args:
        through: what `kept` gave after the last look.
        origin_ms: what stamps are counted from; nothing up to it counts.
        newest_ms: the newest stamp seen at all.
        step_ms: the scrape interval.
    """

    def __init__(
        self, through: Mapping[str, int], *, origin_ms: int, newest_ms: int, step_ms: int
    ) -> None:
        self.origin_ms = origin_ms
        self._behind_ms = step_ms + SETTLE_MS
        horizon = newest_ms - origin_ms - FORGET_MS
        known = through.items()
        self._common = {key: at for key, at in known if key.startswith(COMMON)}
        self._own = {key: at for key, at in known if not key.startswith(COMMON) and at >= horizon}

    def spans(self, shape: Shape, series: Sequence[Series]) -> Callable[[str], delta.Span]:
        """What of a target's samples is still to be counted in an answer to a question."""
        newest_ms = max((one.samples[-1][0] for one in series), default=self.origin_ms)
        settled = max(0, newest_ms - self._behind_ms - self.origin_ms)
        shared = COMMON + shape.value
        common = self._common.get(shared, 0)
        if shared in self._common:
            self._common[shared] = max(common, settled)

        def span_of(target: str) -> delta.Span:
            key = _key(shape, target)
            if key in self._own or len(self._own) < TARGETS_MAX:
                return delta.Span(self.origin_ms + self._own.setdefault(key, common), newest_ms)
            self._common[shared] = max(common, settled)
            return delta.Span(self.origin_ms + common, self.origin_ms + settled)

        return span_of

    def advance(self, shape: Shape, newest_ms: Mapping[str, int]) -> None:
        """Moves the cursors of targets to the newest stamps that were used."""
        for target, stamp_ms in newest_ms.items():
            key = _key(shape, target)
            if key in self._own:
                self._own[key] = max(self._own[key], stamp_ms - self.origin_ms)

    def kept(self) -> dict[str, int]:
        """All cursors by their key, in milliseconds after the origin."""
        return {**self._own, **self._common}


def _key(shape: Shape, target: str) -> str:
    return f"{int(target, 16) ^ _KEY_BITS[shape]:08x}"
