"""The telescope asks for all runs at once, and no oftener than there is something new."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from rollout.analysis.query import Shape
from rollout.api.meta import Key
from rollout.controller.record import Record
from rollout.controller.telescope import Telescope, Wish
from tests.world.clock import FakeClock
from tests.world.metrics import FakeMetrics

pytestmark = pytest.mark.looptime

SCRAPE_SECONDS = 1.0
KEYS = [Key("shop", f"svc-{i}") for i in range(20)]


class Runs:
    """Runs that look at what they were rung for, and say what they want next, after a while.

    Attributes:
        rung: how often each was rung.
        thinking_seconds: from being rung to saying what is wanted next.
    """

    def __init__(self, *, thinking_seconds: float) -> None:
        self.thinking_seconds = thinking_seconds
        self.rung = dict.fromkeys(KEYS, 0)
        self.metrics = FakeMetrics(FakeClock(), scrape_seconds=SCRAPE_SECONDS)
        for key in KEYS:
            labels = {"destination_service": _host(key), "reporter": "source"}
            self.metrics.counter("istio_requests_total", labels, per_second=10.0)
        self.telescope = Telescope(
            self.metrics, FakeClock(), self._ring, Record(), interval_seconds=SCRAPE_SECONDS
        )

    async def go_on(self, *, seconds: float) -> None:
        """Have all of them looked for, for so long."""
        for key in KEYS:
            self.telescope.want(key, Wish(host=_host(key)))
        async with asyncio.TaskGroup() as tasks:
            looks = tasks.create_task(self.telescope.run())
            await asyncio.sleep(seconds)
            looks.cancel()

    def _ring(self, key: Key) -> None:
        self.rung[key] += 1
        asyncio.get_running_loop().call_later(self.thinking_seconds, self._think, key)

    def _think(self, key: Key) -> None:
        series = self.telescope.seen(key).answers.get(Shape.REQUESTS, ())
        newest_ms = max((one.samples[-1][0] for one in series), default=0)
        next_ms = newest_ms + round(1000 * SCRAPE_SECONDS) if newest_ms else None
        wish = replace(Wish(host=_host(key)), since_ms=newest_ms, next_ms=next_ms)
        self.telescope.want(key, wish)


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
