"""When endpoints that come and go are believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rollout.api.meta import Key
from rollout.controller.damper import Damper

KEY = Key("shop", "reviews")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def flap(damper: Damper, *, times: int, revision: str = "v2") -> None:
    for _ in range(times):
        damper.doubted_until(KEY, revision, serves=True, now=NOW)
        damper.doubted_until(KEY, revision, serves=False, now=NOW)


def test_a_revision_that_becomes_ready_for_the_first_time_is_believed_at_once() -> None:
    damper = Damper()
    damper.doubted_until(KEY, "v2", serves=False, now=NOW)

    assert damper.doubted_until(KEY, "v2", serves=True, now=NOW) is None


def test_one_that_was_lost_is_believed_a_little_later_and_one_that_flaps_much_later() -> None:
    damper = Damper()

    flap(damper, times=1)
    once = damper.doubted_until(KEY, "v2", serves=True, now=NOW)
    flap(damper, times=9)
    often = damper.doubted_until(KEY, "v2", serves=True, now=NOW)

    assert once == later(0.5)
    assert often == later(10)
    assert damper.doubted_until(KEY, "v2", serves=True, now=later(10)) is None


def test_that_it_is_gone_is_never_doubted() -> None:
    damper = Damper()
    flap(damper, times=9)

    assert damper.doubted_until(KEY, "v2", serves=False, now=NOW) is None


def test_another_revision_does_not_pay_for_the_last_one() -> None:
    damper = Damper()
    flap(damper, times=9)

    assert damper.doubted_until(KEY, "v3", serves=True, now=NOW) is None


def test_after_the_run_nothing_is_remembered() -> None:
    damper = Damper()
    flap(damper, times=9)

    damper.forget(KEY)

    assert damper.doubted_until(KEY, "v2", serves=True, now=NOW) is None
