"""Asks Prometheus once per question shape for all runs that are due, just after their next sample.

The loop never waits for Prometheus: runs say what they want to see, the telescope looks when a new
sample should have come, keeps the newest answers, and has the keys looked at again. How long a
sample takes to become visible is learnt from what is seen, so that Prometheus' clock and ours are
never compared for anything but the time of the next look.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rollout.analysis import query, sample
from rollout.analysis.query import Question, Shape
from rollout.analysis.sample import NoAnswer, Series
from rollout.api.meta import Key
from rollout.controller import asking
from rollout.controller.asking import Asker, Document
from rollout.controller.record import Record
from rollout.controller.sight import Own, Sight, Wish
from rollout.ports import Clock, Metrics

LOOK_SECONDS_MIN = 0.05
"""The least time between two looks."""

TIMER_SECONDS = 0.001
"""What a timer may be early by: sleeping for less than it can tell would not let time pass."""

MISSED_SECONDS_MIN = 3.0
"""How long no new sample may come before it is said, if that is more than `MISSED_INTERVALS`."""

MISSED_INTERVALS = 4
"""Scrape intervals without a new sample after which it is said."""

FIRST_LAG_SECONDS = 0.04
"""How long after its stamp a sample is looked for at first: a fast target's takes 4 to 11 ms."""

LAG_MARGIN_SECONDS = 0.01
"""How much later than a look that was too early the next sample is looked for."""

LAG_CREEP_SECONDS = 0.002
"""What the expected lag shrinks by after the first hit, so that it follows when samples come
earlier; twice as much after each further one."""

NOT_SEEN = "Prometheus has shown nothing new since the controller started"
"""Why a run cannot go on right after a restart."""

FIRST_SIGHT_SECONDS = 2.0
"""How long the first answer about a run is worth waiting for: longer than a healthy query takes,
and shorter than anybody would notice."""

RUNS_MAX = 20_000
"""Runs watched at a time; as many as the queue has keys."""


@dataclass(slots=True, kw_only=True)
class _Watched:
    """A run under observation: its wish, when it is due, and what was seen."""

    wish: Wish
    due_seconds: float
    begun_seconds: float
    looked: bool = False
    is_fresh: bool = False
    sight: Sight = field(default_factory=Sight)
    newest_ms: int = 0
    newest_sent_ms: int = 0
    advanced_seconds: float
    misses: int = 0
    missed_at_seconds: float = -math.inf
    asked_seconds: float = -math.inf
    answered_from_seconds: float = -math.inf
    round_seconds: float = 0.0
    pending_count: int = 0
    arrived: dict[str, Document | NoAnswer] = field(default_factory=dict)


class Telescope:
    """Looks for all runs together.

    Args:
        metrics: Prometheus; None when no address is configured, which every run is then told.
        clock: time.
        ring: has a key looked at again.
        record: our own metrics.
        interval_seconds: the scrape interval until it has been learnt from the data.
    """

    def __init__(
        self,
        metrics: Metrics | None,
        clock: Clock,
        ring: Callable[[Key], object],
        record: Record,
        *,
        interval_seconds: float,
    ) -> None:
        self._metrics = metrics
        self._clock = clock
        self._ring = ring
        self._asker = Asker(metrics, record)
        self._interval_seconds = interval_seconds
        self._lag_seconds = FIRST_LAG_SECONDS
        self._creep_seconds = LAG_CREEP_SECONDS
        self._watched: dict[Key, _Watched] = {}
        self._wakes_seconds = math.inf
        self._stirred = asyncio.Event()

    @property
    def step_ms(self) -> int:
        """The scrape interval in milliseconds, as far as it is known."""
        return round(1000 * self._interval_seconds)

    def want(self, key: Key, wish: Wish) -> None:
        """Have a run's samples looked for from now on; repeated with what it wants next."""
        now = self._clock.monotonic_seconds()
        known = self._watched.get(key)
        if known is None:
            if len(self._watched) >= RUNS_MAX:
                return
            known = _Watched(
                wish=wish,
                due_seconds=now,
                begun_seconds=now,
                advanced_seconds=now,
                newest_ms=wish.seen_ms,
                newest_sent_ms=wish.seen_ms,
                sight=Sight(about=wish.about),
            )
            self._watched[key] = known
        elif wish == known.wish:
            return
        if wish.about != known.wish.about:
            known.sight = replace(known.sight, documents={}, about=wish.about)
            known.asked_seconds = -math.inf
        known.wish = wish
        known.due_seconds = self._due(known, now=now)
        if known.due_seconds < self._wakes_seconds:
            self._stirred.set()

    @property
    def is_watching(self) -> bool:
        """Whether any run is in progress."""
        return bool(self._watched)

    def forget(self, key: Key) -> None:
        """A run is over: nothing is asked for it any more."""
        self._watched.pop(key, None)

    def seen(self, key: Key) -> Sight:
        """What was last seen for a run; nothing at first."""
        if self._metrics is None:
            told = "no Prometheus address is configured: set --prometheus"
            return Sight(problem=told, is_out=True)
        known = self._watched.get(key)
        if known is None:
            return Sight(doubt=NOT_SEEN)
        return replace(known.sight, age=self._age(known), doubt="" if known.is_fresh else NOT_SEEN)

    def _age(self, watched: _Watched) -> str:
        """That answers to own queries are old; slow ones may be as old as they take to come."""
        age_seconds = self._clock.monotonic_seconds() - watched.answered_from_seconds
        if not watched.sight.documents or age_seconds <= self._missed_seconds + (
            2 * watched.round_seconds
        ):
            return ""
        return f"Prometheus last answered the query {age_seconds:.0f} s ago"

    @property
    def _missed_seconds(self) -> float:
        return max(MISSED_SECONDS_MIN, MISSED_INTERVALS * self._interval_seconds)

    def is_blind(self, key: Key) -> bool:
        """Whether nothing has been heard of a run yet, and soon should be: after a start."""
        known = self._watched.get(key)
        if self._metrics is None:
            return False
        if known is None:
            return True
        waited = self._clock.monotonic_seconds() - known.begun_seconds
        return not known.looked and waited < FIRST_SIGHT_SECONDS

    async def run(self) -> None:
        """Look, for ever; without runs nothing is asked at all."""
        if self._metrics is None:
            await asyncio.Event().wait()
        for watched in self._watched.values():
            watched.pending_count = 0  # whoever asked before is no more
        async with asyncio.TaskGroup() as tasks:
            await self._look_for_ever(tasks)

    async def _look_for_ever(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            self._stirred.clear()
            now = self._clock.monotonic_seconds()
            soonest = min((w.due_seconds for w in self._watched.values()), default=math.inf)
            self._wakes_seconds = soonest
            if soonest == math.inf:
                await self._stirred.wait()
                continue
            if soonest > now + TIMER_SECONDS:
                await self._sleep(soonest - now)
                continue
            await self._look(now + self._interval_seconds / 20, tasks)

    async def _sleep(self, seconds: float) -> None:
        """Until something is due, or somebody wants something new."""
        try:
            async with asyncio.timeout(seconds):
                await self._stirred.wait()
        except TimeoutError:
            return

    def _due(self, watched: _Watched, *, now: float) -> float:
        """When to look, on our monotonic clock.

        What was wished for may have been seen meanwhile: then the run has been rung, and this only
        bounds looks until it says what it wants next.
        """
        soonest, next_ms = now + LOOK_SECONDS_MIN, watched.wish.next_ms
        if watched.newest_ms >= (next_ms or 1):
            return max(soonest, now + self._interval_seconds)
        if next_ms is None:
            return soonest
        ahead = next_ms / 1000 + self._lag_seconds - self._clock.now().timestamp()
        return max(soonest, now + min(ahead, 2 * self._interval_seconds))

    async def _look(self, horizon_seconds: float, tasks: asyncio.TaskGroup) -> None:
        due = {k: w for k, w in self._watched.items() if w.due_seconds <= horizon_seconds}
        begun, asked_at_seconds = self._clock.monotonic_seconds(), self._clock.now().timestamp()
        for watched in due.values():
            # Until the run says what it wants next; also what bounds looks when it never does.
            watched.due_seconds = begun + max(LOOK_SECONDS_MIN, self._interval_seconds)
        wished = {key: watched.wish for key, watched in due.items()}
        found = await self._asker.series(self._questions(tuple(wished.values())))
        self._learn_interval(found)
        answers = asking.by_host(found)
        hits: list[tuple[int, float]] = []
        asked: dict[Key, _Watched] = {}
        now = self._clock.monotonic_seconds()
        for key, watched in due.items():
            if self._watched.get(key) is not watched:
                continue
            missed_at_seconds = watched.missed_at_seconds
            hit = self._tell(key, watched, wished[key], answers.get(wished[key].host, {}))
            if hit or now >= watched.asked_seconds + self._interval_seconds:
                asked[key] = watched
            watched.missed_at_seconds = -math.inf if hit else asked_at_seconds
            if hit:
                hits.append((watched.newest_ms, missed_at_seconds))
        self._begin_own(tasks, asked)
        if hits:
            self._learn_lag(hits, asked_at_seconds=asked_at_seconds)

    def _questions(self, wishes: Sequence[Wish]) -> list[Question]:
        """One question per shape, however many runs there are."""
        window = max(self._window_seconds(wish) for wish in wishes)
        hosts = {wish.host for wish in wishes}
        edges = {wish.host: wish.edges_ms for wish in wishes if wish.edges_ms}
        arrived = {w.host: w.arrival_edges_ms for w in wishes if w.arrival_edges_ms}
        return [
            *query.requests(hosts, window_seconds=window),
            *query.durations(edges, window_seconds=window),
            *query.tcp({wish.host for wish in wishes if wish.tcp}, window_seconds=window),
            *query.arrivals({w.host for w in wishes if w.arrivals}, window_seconds=window),
            *query.durations(arrived, window_seconds=window, shape=Shape.ARRIVAL_DURATIONS),
        ]

    def _window_seconds(self, wish: Wish) -> int:
        """The window that shows all that a run has not used; its end is the server's now.

        How far that is past the newest stamp seen is not known exactly, so one more interval and
        the time since our last good look are added.
        """
        waited_ms = 0
        if wish.since_ms:
            now_ms = self._clock.now().timestamp() * 1000
            waited_ms = round(min(max(0.0, now_ms - wish.since_ms), 1000.0 * 3600))
        return query.window_seconds(
            through_ms=0, until_ms=waited_ms + self.step_ms, interval_ms=self.step_ms
        )

    def _begin_own(self, tasks: asyncio.TaskGroup, due: Mapping[Key, _Watched]) -> None:
        """Ask runs' own queries beside everything else: nobody waits for another's slow one."""
        texts: dict[Own, list[tuple[Key, _Watched, str]]] = {}
        for key, watched in due.items():
            if watched.pending_count:
                continue
            watched.asked_seconds = self._clock.monotonic_seconds()
            watched.pending_count, watched.arrived = len(watched.wish.queries), {}
            for name, own in watched.wish.queries.items():
                texts.setdefault(own, []).append((key, watched, name))
        for own, askers in texts.items():
            tasks.create_task(self._ask_own(own, [(*who, who[1].wish.about) for who in askers]))

    async def _ask_own(
        self, own: Own, askers: Sequence[tuple[Key, _Watched, str, tuple[object, ...]]]
    ) -> None:
        answer = await self._asker.own(own.text, at_ms=own.at_ms)
        for key, watched, name, about in askers:
            watched.pending_count -= 1
            watched.arrived[name] = answer
            is_meant = self._watched.get(key) is watched and about == watched.wish.about
            if is_meant and not watched.pending_count:
                watched.sight = replace(watched.sight, documents=watched.arrived)
                watched.answered_from_seconds = watched.asked_seconds
                watched.round_seconds = self._clock.monotonic_seconds() - watched.asked_seconds
                self._ring(key)

    def _learn_interval(self, found: Mapping[Question, tuple[Series, ...] | NoAnswer]) -> None:
        for answer in found.values():
            spacing = None if isinstance(answer, NoAnswer) else sample.spacing_ms(answer)
            if spacing:
                self._interval_seconds = max(0.1, round(spacing / 100) / 10)
                return

    def _tell(
        self,
        key: Key,
        watched: _Watched,
        wish: Wish,
        answers: Mapping[Shape, tuple[Series, ...] | NoAnswer],
    ) -> bool:
        """Keep what was seen; ring when there is something new, or newly nothing.

        Returns:
            Whether there was a new sample.
        """
        good = {s: a for s, a in answers.items() if not isinstance(a, NoAnswer)}
        bad = [a.sentence for a in answers.values() if isinstance(a, NoAnswer)]
        newest = sample.newest_ms(good.values())
        sent = sample.newest_ms(a for s, a in good.items() if s not in query.ARRIVED)
        now = self._clock.monotonic_seconds()
        hit = newest > watched.newest_ms
        if sent > watched.newest_sent_ms:
            watched.newest_sent_ms, watched.advanced_seconds = sent, now
        if hit:
            watched.newest_ms, watched.misses, watched.is_fresh = newest, 0, True
            watched.due_seconds = self._due(watched, now=now)
        elif wish is watched.wish:
            watched.misses += 1
            first = max(LOOK_SECONDS_MIN, self._interval_seconds / 50)
            again = first * 2.0 ** min(watched.misses - 1, 10)
            watched.due_seconds = now + min(again, self._interval_seconds)
        problem = bad[0] if bad else self._silence(watched, now=now)
        changed = hit or bool(problem) != bool(watched.sight.problem) or not watched.looked
        watched.looked = True
        watched.sight = replace(watched.sight, answers=good, problem=problem, is_out=bool(bad))
        if changed:
            self._ring(key)
        return hit

    def _silence(self, watched: _Watched, *, now: float) -> str:
        """Prometheus answers, but nothing new comes: that is no good news either."""
        missed = self._missed_seconds
        if now - watched.advanced_seconds < missed:
            return ""
        if not watched.newest_sent_ms:
            return f"Prometheus has no istio_requests_total for {watched.wish.host}"
        return (
            f"Prometheus has had no new sample for {watched.wish.host} for {missed:.0f} s or more"
        )

    def _learn_lag(self, hits: Sequence[tuple[int, float]], *, asked_at_seconds: float) -> None:
        """Follow how long after its stamp a sample can be seen; once a look.

        Only a look that came too early proves that it takes longer. That a sample was seen late
        proves nothing: the look may have been late. After a look in time the lag is perhaps less;
        the longer nothing contradicts, the faster it shrinks, so one late sample is soon forgotten.
        It may be longer than a scrape interval (remote storage), or below zero (Prometheus' clock
        is ahead of ours).

        Args:
            hits: the newest stamp of each run with news, in milliseconds, and when it was looked
                for in vain last, Unix time; infinitely long ago if it was not.
            asked_at_seconds: when the look began, Unix time.
        """
        newest = max(stamp for stamp, _ in hits) / 1000
        proved = (
            max(missed_at_seconds - stamp / 1000 for stamp, missed_at_seconds in hits)
            + LAG_MARGIN_SECONDS
        )
        if proved > self._lag_seconds:
            self._lag_seconds, self._creep_seconds = proved, LAG_CREEP_SECONDS
        elif asked_at_seconds - newest <= self._lag_seconds + LOOK_SECONDS_MIN:
            self._lag_seconds -= self._creep_seconds
            self._creep_seconds *= 2
        self._lag_seconds = min(self._lag_seconds, self._clock.now().timestamp() - newest)
