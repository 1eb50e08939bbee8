"""The telescope asks for all runs at once, and no oftener than there is something new."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from rollout.analysis.query import Shape
from rollout.api.meta import Key
from rollout.controller.record import Record
from rollout.controller.sight import Wish
from rollout.controller.telescope import LOOK_SECONDS_MIN, Telescope
from tests.world.clock import FakeClock
from tests.world.metrics import FakeMetrics

pytestmark = pytest.mark.looptime

SCRAPE_SECONDS = 1.0
KEYS = [Key("shop", f"svc-{i}") for i in range(20)]


class LateMetrics(FakeMetrics):
    """Shows each sample some time after its stamp only.

    Attributes:
        delay_seconds: how long after.
    """

    delay_seconds = 0.0

    async def query(
        self, promql: str, *, time_seconds: float | None, timeout_seconds: float
    ) -> Mapping[str, Any]:
        assert time_seconds is None, "the telescope asks for now"
        seen_until = FakeClock().now().timestamp() - self.delay_seconds
        return await super().query(promql, time_seconds=seen_until, timeout_seconds=timeout_seconds)


class Runs:
    """Runs that look at what they were rung for, and say what they want next, after a while.

    Attributes:
        rung: how often each was rung.
        thinking_seconds: from being rung to saying what is wanted next.
        ages_seconds: how old the newest sample was at each ring.
    """

    def __init__(self, *, thinking_seconds: float) -> None:
        self.thinking_seconds = thinking_seconds
        self.rung = dict.fromkeys(KEYS, 0)
        self.ages_seconds: list[float] = []
        self.metrics = LateMetrics(FakeClock(), scrape_seconds=SCRAPE_SECONDS)
        for key in KEYS:
            labels = {"destination_service": _host(key), "reporter": "source"}
            self.metrics.counter("istio_requests_total", labels, per_second=10.0)
        self.telescope = Telescope(
            self.metrics, FakeClock(), self._ring, Record(), interval_seconds=SCRAPE_SECONDS
        )

    async def go_on(self, *, seconds: float) -> None:
        """Have all of them looked for, for so long; counts begin anew."""
        self.metrics.asked.clear()
        self.ages_seconds.clear()
        for key in KEYS:
            self.telescope.want(key, Wish(host=_host(key)))
        async with asyncio.TaskGroup() as tasks:
            looks = tasks.create_task(self.telescope.run())
            await asyncio.sleep(seconds)
            looks.cancel()

    def _ring(self, key: Key) -> None:
        self.rung[key] += 1
        if newest_ms := self._newest_ms(key):
            self.ages_seconds.append(FakeClock().now().timestamp() - newest_ms / 1000)
        asyncio.get_running_loop().call_later(self.thinking_seconds, self._think, key)

    def _think(self, key: Key) -> None:
        newest_ms = self._newest_ms(key)
        next_ms = newest_ms + round(1000 * SCRAPE_SECONDS) if newest_ms else None
        wish = replace(Wish(host=_host(key)), since_ms=newest_ms, next_ms=next_ms)
        self.telescope.want(key, wish)

    def step_ends(self, key: Key, due: int) -> None:
        """A step ends with what is known of a run; the sample that is due has not come yet."""
        start_ms = round(1000 * FakeClock().start.timestamp())
        wish = Wish(host=_host(key), since_ms=1, next_ms=start_ms + due, about=("step", due))
        self.telescope.want(key, wish)

    def _newest_ms(self, key: Key) -> int:
        series = self.telescope.seen(key).answers.get(Shape.REQUESTS, ())
        return max((one.samples[-1][0] for one in series), default=0)


def _host(key: Key) -> str:
    return f"{key.name}.{key.namespace}.svc.cluster.local"


async def test_all_runs_are_asked_for_together_and_hardly_oftener_than_they_are_scraped() -> None:
    runs = Runs(thinking_seconds=0.01)

    await runs.go_on(seconds=60.5)

    assert all(58 <= count <= 61 for count in runs.rung.values())
    assert len(runs.metrics.asked) <= 1.5 * 60


async def test_runs_that_take_long_to_say_what_they_want_next_are_not_asked_for_twice() -> None:
    runs = Runs(thinking_seconds=0.4)

    await runs.go_on(seconds=60.5)

    assert all(58 <= count <= 61 for count in runs.rung.values())
    assert len(runs.metrics.asked) <= 1.5 * 60


async def test_samples_that_always_come_late_are_looked_for_late() -> None:
    runs = Runs(thinking_seconds=0.01)
    runs.metrics.delay_seconds = 0.3
    await runs.go_on(seconds=20)

    await runs.go_on(seconds=60)

    assert len(runs.metrics.asked) <= 1.6 * 60
    assert statistics.median(runs.ages_seconds) <= 0.3 + LOOK_SECONDS_MIN


async def test_one_late_sample_is_soon_forgotten() -> None:
    runs = Runs(thinking_seconds=0.01)
    await runs.go_on(seconds=20)
    runs.metrics.delay_seconds = 0.8
    await runs.go_on(seconds=2)
    runs.metrics.delay_seconds = 0.0

    await runs.go_on(seconds=10)
    await runs.go_on(seconds=10)

    assert max(runs.ages_seconds) <= 3 * LOOK_SECONDS_MIN


async def test_looks_for_runs_that_begin_in_between_make_nobody_look_too_early() -> None:
    runs = Runs(thinking_seconds=0.01)
    runs.metrics.delay_seconds = 0.1
    await runs.go_on(seconds=20)

    for _ in range(10):
        runs.telescope.forget(KEYS[0])
        await runs.go_on(seconds=0.47)
    await runs.go_on(seconds=20)

    assert len(runs.metrics.asked) <= 1.6 * 20
    assert max(runs.ages_seconds[-100:]) <= 0.1 + 2 * LOOK_SECONDS_MIN


async def test_a_run_that_wants_what_is_being_asked_for_is_not_asked_for_again() -> None:
    runs = Runs(thinking_seconds=0.01)
    runs.metrics.latency_seconds = 0.1
    loop = asyncio.get_running_loop()
    for second in range(5, 25):
        # While the answer with this second's sample is under way, a step of the run ends.
        loop.call_at(second + 0.06, runs.step_ends, KEYS[0], 1000 * second)

    await runs.go_on(seconds=30)

    assert len(runs.metrics.asked) <= 1.5 * 30
