"""Rounds: who is due is visited, some at a time; who does not answer is left alone for a while."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from rollout.api.meta import Key
from rollout.base.errors import HookRefused, Overloaded, RolloutError, Unreachable
from rollout.controller.rounds import (
    AT_ONCE_COUNT_MAX,
    BACK_OFF_SECONDS_MAX,
    REFUSED_SECONDS,
    RETRY_AFTER_SECONDS_MAX,
    Rounds,
)
from tests.stories import gray
from tests.world.clock import FakeClock

pytestmark = pytest.mark.looptime(noop_cycles=1)

A, B = Key("shop", "a"), Key("shop", "b")
DOWN = Unreachable("there", why="refused")
NO = HookRefused("there", status_code=401, told="")


@dataclass(kw_only=True)
class Visits:
    """Whom was delivered to and when; what goes wrong."""

    clock: FakeClock = field(default_factory=FakeClock)
    at: list[tuple[float, Key]] = field(default_factory=list)
    failed: list[tuple[Key, str]] = field(default_factory=list)
    errors: list[RolloutError | None] = field(default_factory=list)
    again: list[float | None] = field(default_factory=list)
    takes_seconds: float = 0.0
    now_count: int = 0
    most_count: int = 0

    async def deliver(self, key: Key) -> float | None:
        self.at.append((round(self.clock.monotonic_seconds(), 1), key))
        self.now_count += 1
        self.most_count = max(self.most_count, self.now_count)
        try:
            await asyncio.sleep(self.takes_seconds)
            error = self.errors.pop(0) if self.errors else None
            if error is not None:
                raise error
        finally:
            self.now_count -= 1
        return self.again.pop(0) if self.again else None

    def times(self) -> list[float]:
        return [when for when, _ in self.at]


@asynccontextmanager
async def going(visits: Visits) -> AsyncIterator[Rounds]:
    rounds = Rounds(
        "there", visits.deliver, lambda k, w: visits.failed.append((k, w)), visits.clock
    )
    async with gray.running(rounds.run):
        yield rounds


async def test_who_is_stirred_is_visited_once() -> None:
    visits = Visits()
    async with going(visits) as rounds:
        rounds.stir(A)
        rounds.stir(A)
        await asyncio.sleep(100)

        assert visits.at == [(0, A)]
        assert rounds.waiting_count == 0


async def test_who_is_stirred_during_a_visit_is_visited_after_it() -> None:
    visits = Visits(takes_seconds=3)
    async with going(visits) as rounds:
        rounds.stir(A)
        await asyncio.sleep(1)
        rounds.stir(A)
        assert rounds.waiting_count == 2
        await asyncio.sleep(100)

        assert visits.at == [(0, A), (3, A)]
        assert visits.most_count == 1


async def test_only_some_are_visited_at_one_time_and_the_first_come_first() -> None:
    visits = Visits(takes_seconds=1)
    keys = [Key("shop", f"r{i:02d}") for i in range(40)]
    async with going(visits) as rounds:
        for key in keys:
            rounds.stir(key)
        await asyncio.sleep(100)

        assert [key for _, key in visits.at] == keys
        assert visits.most_count == AT_ONCE_COUNT_MAX
        assert visits.times() == [0] * 16 + [1] * 16 + [2] * 8


async def test_who_does_not_answer_is_left_alone_longer_each_time_up_to_a_bound() -> None:
    visits = Visits(errors=[DOWN] * 9)
    async with going(visits) as rounds:
        rounds.stir(A)
        await asyncio.sleep(1000)

        gaps = [b - a for a, b in itertools.pairwise(visits.times())]
        assert [round(gap) for gap in gaps] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        assert max(gaps) <= BACK_OFF_SECONDS_MAX + 0.1
        assert visits.failed[0] == (A, str(DOWN)), "after half a minute it is told"
        assert visits.failed[-1] == (A, "")


async def test_one_receiver_that_does_not_answer_holds_no_other_one_up() -> None:
    visits = Visits(errors=[DOWN])
    async with going(visits) as rounds:
        rounds.stir(A)
        await asyncio.sleep(0.5)
        rounds.stir(B)
        await asyncio.sleep(100)

        assert visits.at == [(0, A), (0.5, B), (1, A)]


async def test_who_is_left_alone_is_not_visited_because_there_is_more_to_tell() -> None:
    visits = Visits(errors=[Overloaded("there", retry_after_seconds=20)])
    async with going(visits) as rounds:
        rounds.stir(A)
        for _ in range(10):
            await asyncio.sleep(1)
            rounds.stir(A)
        await asyncio.sleep(100)

        assert visits.times() == [0, 20]


async def test_a_defect_in_telling_one_stops_nobody_else() -> None:
    visits = Visits()

    async def crash(key: Key) -> float | None:
        if key == A:
            raise ZeroDivisionError
        return await visits.deliver(key)

    rounds = Rounds("there", crash, lambda _key, _why: None, visits.clock)
    async with gray.running(rounds.run):
        rounds.stir(A)
        rounds.stir(B)
        await asyncio.sleep(10)

        assert visits.at == [(0, B)]


async def test_after_an_answer_the_next_silence_is_short_again() -> None:
    visits = Visits(errors=[DOWN, DOWN, DOWN, None, DOWN])
    async with going(visits) as rounds:
        rounds.stir(A)
        await asyncio.sleep(50)
        rounds.stir(A)
        await asyncio.sleep(50)

        assert visits.times() == [0, 1, 3, 7, 50, 51]


@pytest.mark.parametrize(
    ("asked", "granted"),
    [(17.0, 17.0), (0.0, 1.0), (1e9, RETRY_AFTER_SECONDS_MAX)],
)
async def test_who_asks_for_patience_gets_it_within_reason(asked: float, granted: float) -> None:
    visits = Visits(errors=[Overloaded("there", retry_after_seconds=asked)])
    async with going(visits) as rounds:
        rounds.stir(A)
        await asyncio.sleep(2 * RETRY_AFTER_SECONDS_MAX)

        assert visits.times() == [0, granted]


async def test_a_no_is_told_and_tried_again_in_minutes_and_keeps_nobody_else_waiting() -> None:
    visits = Visits(errors=[NO])
    async with going(visits) as rounds:
        rounds.stir(A)
        await asyncio.sleep(1)
        rounds.stir(B)
        await asyncio.sleep(REFUSED_SECONDS + 10)

        assert visits.at == [(0, A), (1, B), (REFUSED_SECONDS, A)]
        assert visits.failed == [(A, str(NO)), (B, ""), (A, "")]


async def test_a_visit_may_ask_for_another() -> None:
    visits = Visits(again=[30.0])
    async with going(visits) as rounds:
        rounds.stir(A)
        await asyncio.sleep(100)

        assert visits.times() == [0, 30]


async def test_who_is_gone_is_visited_no_more() -> None:
    visits = Visits(errors=[DOWN])
    async with going(visits) as rounds:
        rounds.stir(A)
        await asyncio.sleep(0.5)
        rounds.forget(A)
        await asyncio.sleep(100)

        assert visits.times() == [0]


async def test_what_was_cut_short_is_visited_after_a_new_beginning() -> None:
    visits = Visits(takes_seconds=5)
    rounds = Rounds("there", visits.deliver, lambda *_: None, visits.clock)
    async with gray.running(rounds.run):
        rounds.stir(A)
        await asyncio.sleep(1)
    async with gray.running(rounds.run):
        rounds.stir(A)
        await asyncio.sleep(20)

        assert visits.times() == [0, 1]
