"""What goes wrong between a client and the fake API server: by script, or by seed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random

from rollout.api.meta import Kind
from rollout.base import errors

SERVER = "the API server"


@dataclass(slots=True, kw_only=True)
class _Refusal:
    error: BaseException
    verb: str
    kind: Kind | None
    times: int
    after: bool

    def matches(self, verb: str, kind: Kind, *, after: bool) -> bool:
        return (
            self.times > 0
            and self.after == after
            and self.verb in {"", verb}
            and (self.kind is None or self.kind.plural == kind.plural)
        )


@dataclass(slots=True, kw_only=True)
class Faults:
    """A plan of misfortunes; the default plan has none.

    Attributes:
        random: where chance comes from; seed it, and print the seed.
        latency_seconds: least and most time that a request takes.
        refused_ratio: share of requests that fail before they had any effect.
        lost_answer_ratio: share of requests that take effect, and then fail.
        lost_event_ratio: share of watch events that never arrive, though later ones do. A real
            server does not do this; a client that survives it survives everything milder.
        doubled_event_ratio: share of watch events that arrive twice.
        event_delay_seconds: least and most time until a watch event arrives.
        reorder_events: whether delayed events overtake one another.
    """

    random: Random = field(default_factory=lambda: Random(0))
    latency_seconds: tuple[float, float] = (0.0, 0.0)
    refused_ratio: float = 0.0
    lost_answer_ratio: float = 0.0
    lost_event_ratio: float = 0.0
    doubled_event_ratio: float = 0.0
    event_delay_seconds: tuple[float, float] = (0.0, 0.0)
    reorder_events: bool = False
    _refusals: list[_Refusal] = field(default_factory=list)

    def refuse(
        self,
        error: BaseException | None = None,
        *,
        verb: str = "",
        kind: Kind | None = None,
        times: int = 1,
        after: bool = False,
    ) -> None:
        """Fail the next requests that match.

        Args:
            error: what the client meets; `Unreachable` unless told. Any exception will do, so that
                a test can also crash the program between two writes.
            verb: list, watch, get, create, replace, patch or delete; empty means any.
            kind: which kind; None means any.
            times: how many requests.
            after: fail once the request has had its effect, as when the answer is lost.
        """
        error = error or errors.Unreachable(SERVER, why="connection refused")
        self._refusals.append(_Refusal(error=error, verb=verb, kind=kind, times=times, after=after))

    def heal(self) -> None:
        """Let nothing go wrong from now on; what is delayed already stays so."""
        self._refusals.clear()
        self.latency_seconds = self.event_delay_seconds = (0.0, 0.0)
        self.refused_ratio = self.lost_answer_ratio = 0.0
        self.lost_event_ratio = self.doubled_event_ratio = 0.0
        self.reorder_events = False

    async def before(self, verb: str, kind: Kind) -> None:
        """The way there: takes time, and may fail."""
        if self.latency_seconds[1] > 0:
            await asyncio.sleep(self.random.uniform(*self.latency_seconds))
        self._scripted(verb, kind, after=False)
        if self.random.random() < self.refused_ratio:
            raise errors.Unreachable(SERVER, why="connection refused")

    def after(self, verb: str, kind: Kind) -> None:
        """The way back: may fail, although the request has had its effect."""
        self._scripted(verb, kind, after=True)
        if self.random.random() < self.lost_answer_ratio:
            raise errors.Unreachable(SERVER, why="connection reset by peer")

    def event_delays(self) -> tuple[float, ...]:
        """After how many seconds an event arrives, each time that it does: none, one or two."""
        if self.random.random() < self.lost_event_ratio:
            return ()
        count = 2 if self.random.random() < self.doubled_event_ratio else 1
        return tuple(self.random.uniform(*self.event_delay_seconds) for _ in range(count))

    def _scripted(self, verb: str, kind: Kind, *, after: bool) -> None:
        for refusal in self._refusals:
            if refusal.matches(verb, kind, after=after):
                refusal.times -= 1
                raise refusal.error
