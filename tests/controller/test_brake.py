"""How far apart what is undone again and again is done again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rollout.api.meta import Key
from rollout.controller.brake import CALM_SECONDS, GAP_SECONDS_MAX, Brake

KEY = Key("shop", "reviews")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def wait_seconds(brake: Brake, now: datetime, *, longest_seconds: float = 100.0) -> float:
    free_at = brake.free_at(KEY, now=now, longest_seconds=longest_seconds)
    return 0.0 if free_at is None else (free_at - now).total_seconds()


def test_the_first_time_is_free() -> None:
    assert Brake().free_at(KEY, now=NOW) is None


def test_the_distance_doubles_up_to_the_longest() -> None:
    brake, now, waits = Brake(), NOW, []

    for _ in range(8):
        brake.strike(KEY, now=now)
        waits.append(wait_seconds(brake, now))
        now += timedelta(seconds=waits[-1])

    assert waits == [0.5, 1, 2, 4, 8, GAP_SECONDS_MAX, GAP_SECONDS_MAX, GAP_SECONDS_MAX]


def test_a_shorter_longest_distance_holds_whatever_came_before() -> None:
    brake = Brake()
    for _ in range(1000):
        brake.strike(KEY, now=NOW)

    assert wait_seconds(brake, NOW, longest_seconds=0.5) == 0.5
    assert wait_seconds(brake, NOW) == GAP_SECONDS_MAX


def test_after_a_minute_of_calm_it_begins_anew() -> None:
    brake = Brake()
    for _ in range(10):
        brake.strike(KEY, now=NOW)

    brake.strike(KEY, now=later(CALM_SECONDS))

    assert wait_seconds(brake, later(CALM_SECONDS)) == 0.5


def test_a_clock_that_was_set_back_holds_nothing() -> None:
    brake = Brake()
    brake.strike(KEY, now=NOW)

    assert brake.free_at(KEY, now=later(-3600)) is None


def test_one_rollout_does_not_hold_another_and_what_is_forgotten_is_free() -> None:
    brake = Brake()
    brake.strike(KEY, now=NOW)

    other = brake.free_at(Key("shop", "ratings"), now=NOW)
    brake.forget(KEY)

    assert other is None
    assert brake.free_at(KEY, now=NOW) is None
