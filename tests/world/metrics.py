"""A Prometheus in memory: counters that grow in simulated time, and scripted answers."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollout.base import errors
from rollout.ports import Clock

SERVER = "Prometheus"
LOOKBACK_SECONDS = 300.0
ASKED_COUNT_MAX = 10_000

Labels = Mapping[str, str]
Answer = Callable[[str, float], Mapping[str, Any]]
"""(query, time in seconds) to a whole answer document; see `vector`."""

_SELECTOR = re.compile(r"(?P<name>[a-zA-Z_:]\w*)?(?:\{(?P<labels>.*)\})?(?:\[(?P<range>\w+)\])?")
_MATCHER = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*,?')
_GROUPED = re.compile(r"sum by ?\((?P<by>[\w, ]*)\) ?\((?P<inner>.*)\)", re.DOTALL)
_UNIT_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


@dataclass(slots=True, kw_only=True, eq=False)
class Counter:
    """One series; scraped on a grid of its own, as each target of a real Prometheus is.

    Attributes:
        labels: all labels, ``__name__`` among them.
        scrape_seconds: from one scrape to the next.
        offset_seconds: where on that grid this target stands.
        samples: (seconds, value) so far; a test may append or remove some.
    """

    labels: dict[str, str]
    scrape_seconds: float
    offset_seconds: float
    clock: Clock
    samples: list[tuple[float, float]] = field(default_factory=list)
    _per_second: float = 0.0
    _exact: float = 0.0
    _scraped_until: float = 0.0
    _alive: bool = True

    def flow(self, per_second: float) -> None:
        """Grow at another rate from now on."""
        self.catch_up()
        self._per_second = per_second

    def restart(self) -> None:
        """Begin at zero again, as after a restart of the process."""
        self.catch_up()
        self._exact = 0.0

    def vanish(self) -> None:
        """Be scraped no more."""
        self.catch_up()
        self._alive = False

    def catch_up(self) -> None:
        """Take the scrapes that are due by now."""
        now = self.clock.now().timestamp()
        scrape = self._next_scrape(self._scraped_until)
        while scrape <= now:
            self._exact += self._per_second * (scrape - self._scraped_until)
            self._scraped_until = scrape
            if self._alive:
                self.samples.append((scrape, float(int(self._exact + 1e-6))))
            scrape = self._next_scrape(scrape)
        self._exact += self._per_second * (now - self._scraped_until)
        self._scraped_until = now

    def _next_scrape(self, after: float) -> float:
        steps = int((after - self.offset_seconds) // self.scrape_seconds) + 1
        return self.offset_seconds + steps * self.scrape_seconds


class FakeMetrics:
    """A ports.Metrics that a test fills.

    It reads selectors (``name{a="b",c=~"d|e"}``), the same over a range (``[45s]``) and
    ``sum by (…) (…)`` of selectors; whatever else a program asks must be scripted with `script`,
    and is otherwise `BadInput`, as of a query that the server cannot read.

    Attributes:
        asked: the newest queries, the latest last.
        down: while True, nothing answers.
        latency_seconds: how long each answer takes; above the caller's timeout it never comes.
        scrape_seconds: the scrape interval of new counters.
    """

    def __init__(self, clock: Clock, *, scrape_seconds: float = 15.0) -> None:
        self.asked: deque[str] = deque(maxlen=ASKED_COUNT_MAX)
        self.down = False
        self.latency_seconds = 0.0
        self.scrape_seconds = scrape_seconds
        self._clock = clock
        self._counters: list[Counter] = []
        self._scripts: list[tuple[re.Pattern[str], Answer]] = []

    def counter(
        self, name: str, labels: Labels, *, per_second: float = 0.0, offset_seconds: float = 0.0
    ) -> Counter:
        """A series that is scraped from now on."""
        counter = Counter(
            labels={"__name__": name, **labels},
            scrape_seconds=self.scrape_seconds,
            offset_seconds=offset_seconds,
            clock=self._clock,
            _per_second=per_second,
            _scraped_until=self._clock.now().timestamp(),
        )
        self._counters.append(counter)
        return counter

    def script(self, pattern: str, answer: Answer) -> None:
        """Answer queries in which a regular expression is found; the newest script comes first."""
        self._scripts.insert(0, (re.compile(pattern), answer))

    async def query(
        self, promql: str, *, time_seconds: float | None, timeout_seconds: float
    ) -> Mapping[str, Any]:
        self.asked.append(promql)
        await asyncio.sleep(min(self.latency_seconds, timeout_seconds))
        if self.down:
            raise errors.Unreachable(SERVER, why="connection refused")
        if self.latency_seconds > timeout_seconds:
            raise errors.Unreachable(SERVER, why=f"no answer within {timeout_seconds:g} s")
        at = self._clock.now().timestamp() if time_seconds is None else time_seconds
        for pattern, answer in self._scripts:
            if pattern.search(promql):
                return answer(promql, at)
        return self._evaluate(promql.strip(), at)

    async def close(self) -> None:
        """Nothing is held."""

    def _evaluate(self, promql: str, at: float) -> Mapping[str, Any]:
        if grouped := _GROUPED.fullmatch(promql):
            by = [label.strip() for label in grouped["by"].split(",") if label.strip()]
            return _sum(self._evaluate(grouped["inner"].strip(), at), by=by, at=at)
        selector = _SELECTOR.fullmatch(promql)
        if selector is None:
            raise errors.BadInput(promql)
        found = self._select(selector["name"], selector["labels"] or "")
        if selector["range"] is None:
            newest = [(one.labels, _window(one, at - LOOKBACK_SECONDS, at)) for one in found]
            return vector([(labels, rows[-1][1]) for labels, rows in newest if rows], at=at)
        since = at - _seconds(selector["range"])
        return matrix([(one.labels, _window(one, since, at)) for one in found])

    def _select(self, name: str | None, matchers: str) -> list[Counter]:
        wanted = [match.groups() for match in _MATCHER.finditer(matchers)]
        if name:
            wanted.append(("__name__", "=", name))
        found = [
            one
            for one in self._counters
            if all(_fits(one.labels.get(label, ""), sign, value) for label, sign, value in wanted)
        ]
        for one in found:
            one.catch_up()
        return found


def vector(rows: Sequence[tuple[Labels, float]], *, at: float) -> Mapping[str, Any]:
    """The answer to an instant query: one value per series."""
    result = [{"metric": dict(labels), "value": [at, _number(value)]} for labels, value in rows]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def matrix(rows: Sequence[tuple[Labels, Sequence[tuple[float, float]]]]) -> Mapping[str, Any]:
    """The answer to a range selector: the samples of each series that has any."""
    result = [
        {"metric": dict(labels), "values": [[at, _number(value)] for at, value in samples]}
        for labels, samples in rows
        if samples
    ]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def _sum(answer: Mapping[str, Any], *, by: Sequence[str], at: float) -> Mapping[str, Any]:
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for row in answer["data"]["result"]:
        group = tuple((label, row["metric"][label]) for label in by if label in row["metric"])
        sums[group] = sums.get(group, 0.0) + float(row["value"][1])
    return vector([(dict(group), value) for group, value in sums.items()], at=at)


def _window(counter: Counter, since: float, until: float) -> list[tuple[float, float]]:
    """Samples in (since, until], as Prometheus 3 cuts windows."""
    return [sample for sample in counter.samples if since < sample[0] <= until]


def _fits(label: str, sign: str, value: str) -> bool:
    text = value.replace('\\"', '"').replace("\\\\", "\\")
    equal = re.fullmatch(text, label) is not None if "~" in sign else label == text
    return equal != sign.startswith("!")


def _seconds(duration: str) -> float:
    return sum(
        int(number) * _UNIT_SECONDS[unit]
        for number, unit in re.findall(r"(\d+)(ms|s|m|h)", duration)
    )


def _number(value: float) -> str:
    return f"{value:.17g}"
