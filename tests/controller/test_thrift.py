"""What is worth a write, and how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rollout.api.meta import Key
from rollout.api.phase import ConditionType, Phase
from rollout.api.rollout import Plan
from rollout.api.status import Condition, RolloutStatus, Run
from rollout.api.step import Step
from rollout.controller.thrift import (
    FACTS_SECONDS,
    FIGHT_SECONDS,
    WRITES_COUNT_MAX,
    WRITES_PER_SECOND,
    Thrift,
)
from rollout.engine.decision import Happening
from tests.world.engine_world import spec_of

KEY = Key("shop", "reviews")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
STATUS_SECONDS = 60.0


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def thrift() -> Thrift:
    return Thrift(status_seconds=STATUS_SECONDS)


def in_run(**fields: Any) -> RolloutStatus:
    spec = spec_of()
    plan = Plan(host=spec.host, strategy=spec.strategy, gates=spec.gates, judge=spec.judge)
    assert isinstance(plan.strategy.steps[0], Step)
    run = Run(
        id="1",
        canary_revision="v2",
        stable_revision="v1",
        step=1,
        weight=1,
        started_at=NOW,
        step_started_at=NOW,
        plan=plan,
    )
    return RolloutStatus(phase=Phase.PROGRESSING, run=run).model_copy(update=fields)


def with_metrics(status: str) -> RolloutStatus:
    condition = Condition(
        type=ConditionType.METRICS_AVAILABLE, status=status, reason="R", last_transition_time=NOW
    )
    return in_run(conditions=(condition,))


def test_a_decision_is_written_at_once() -> None:
    old = in_run()
    assert old.run is not None
    new = old.model_copy(update={"run": old.run.model_copy(update={"step": 2})})

    assert thrift().matters(old, new, key=KEY, now=NOW)


def test_the_same_status_is_never_written() -> None:
    assert not thrift().matters(in_run(), in_run(), key=KEY, now=later(9999))


def test_words_follow_when_they_have_grown_old() -> None:
    frugal, old, new = thrift(), in_run(), in_run(message="45 of 100 requests")
    frugal.wrote(KEY, now=NOW)

    assert not frugal.matters(old, new, key=KEY, now=later(STATUS_SECONDS - 1))
    assert frugal.matters(old, new, key=KEY, now=later(STATUS_SECONDS))


def test_a_time_that_only_moved_on_is_not_worth_a_write_however_old() -> None:
    frugal, old = thrift(), in_run()
    assert old.run is not None
    new = old.model_copy(update={"run": old.run.model_copy(update={"look_again_at": later(15)})})
    frugal.wrote(KEY, now=NOW)

    assert not frugal.matters(old, new, key=KEY, now=later(9999))


def test_at_rest_what_is_said_is_written_at_once_for_nothing_looks_again() -> None:
    old = RolloutStatus(phase=Phase.BLOCKED, message="v2 is no subset")
    new = RolloutStatus(phase=Phase.BLOCKED, message="v2 is a subset twice")

    assert thrift().matters(old, new, key=KEY, now=NOW)


def test_facts_that_flicker_are_told_at_once_and_then_once_in_a_while() -> None:
    frugal, well, ill = thrift(), with_metrics("True"), with_metrics("False")
    frugal.wrote(KEY, now=NOW)

    assert frugal.matters(well, ill, key=KEY, now=later(1))
    assert not frugal.matters(ill, well, key=KEY, now=later(2))
    assert frugal.matters(ill, well, key=KEY, now=later(1 + FACTS_SECONDS))


@pytest.mark.parametrize("reason", ["PutBack", "ProxyRejects", "ProxySilent"])
def test_what_somebody_does_again_and_again_is_news_once_a_minute_and_all_else_always(
    reason: str,
) -> None:
    frugal = thrift()
    back = Happening(type="Warning", reason=reason, message="…")
    other = Happening(type="Normal", reason="StepBegan", message="…")

    told = [frugal.is_news(KEY, back, now=later(s)) for s in (0, 1, FIGHT_SECONDS)]

    assert told == [True, False, True]
    assert all(frugal.is_news(KEY, other, now=NOW) for _ in range(3))


def test_many_writes_in_a_row_are_followed_by_few() -> None:
    frugal = thrift()
    for _ in range(int(WRITES_COUNT_MAX)):
        assert frugal.wait_seconds(KEY, now=NOW) == 0
        frugal.spend(KEY, now=NOW)

    assert frugal.wait_seconds(KEY, now=NOW) == pytest.approx(1 / WRITES_PER_SECOND)
    assert frugal.wait_seconds(KEY, now=later(1 / WRITES_PER_SECOND)) == 0
    assert frugal.wait_seconds(Key("shop", "other"), now=NOW) == 0


def test_no_wait_is_shorter_than_a_clock_can_tell() -> None:
    frugal, waits = thrift(), []
    for tick in range(1000):
        now = later(tick * 0.1)
        waits.append(frugal.wait_seconds(KEY, now=now))
        if waits[-1] == 0:
            frugal.spend(KEY, now=now)

    assert all(later(wait) > NOW for wait in waits if wait)


def test_a_wall_clock_that_is_set_back_earns_and_costs_nothing() -> None:
    frugal = thrift()
    for _ in range(int(WRITES_COUNT_MAX)):
        frugal.spend(KEY, now=NOW)

    assert frugal.wait_seconds(KEY, now=later(-3600)) == pytest.approx(1 / WRITES_PER_SECOND)


def test_a_rollout_that_is_gone_is_forgotten() -> None:
    frugal = thrift()
    for _ in range(int(WRITES_COUNT_MAX)):
        frugal.spend(KEY, now=NOW)

    frugal.forget(KEY)

    assert frugal.wait_seconds(KEY, now=NOW) == 0


def test_that_a_run_lost_its_route_is_written_at_once_for_its_time_is_counted_from_there() -> None:
    old = in_run()
    assert old.run is not None
    new = old.model_copy(update={"run": old.run.model_copy(update={"unrouted_since": NOW})})

    assert thrift().matters(old, new, key=KEY, now=NOW)
