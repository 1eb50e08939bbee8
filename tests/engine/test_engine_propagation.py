"""Who knows whether proxies use what was written, and what a run does until somebody does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from rollout.api.action import Verb
from rollout.api.evidence import ArmCounts, GateEvidence, RunEvidence
from rollout.api.phase import Phase
from rollout.api.traffic import Propagation, Spread
from rollout.engine import propagation
from rollout.engine.observation import Observation
from rollout.engine.propagation import RETURN_SECONDS_MAX
from tests.world.engine_world import SETTLE_SECONDS, World, at_step, spec_of

SILENT = "client-1.shop has not acknowledged RDS for more than 3 s"
REJECTED = "client-1.shop has rejected RDS: no such cluster"


def ladder_of(*steps: dict[str, Any]) -> World:
    return World(spec=spec_of(strategy={"steps": list(steps)}, gates=[]))


def known(spread: Spread, percent: float | None, message: str = "", **told: bool) -> Propagation:
    return Propagation(spread=spread, percent=percent, message=message, **told)


def pending(percent: float | None) -> Propagation:
    return known(Spread.PENDING, percent, "proxies have yet to acknowledge it")


def done(percent: float | None) -> Propagation:
    return known(Spread.DONE, percent, "acknowledged by all 7 proxies")


def rejected(percent: float | None) -> Propagation:
    return known(Spread.PENDING, percent, REJECTED, refused=True, hindered=True)


def silent(percent: float | None) -> Propagation:
    return known(Spread.PENDING, percent, SILENT, hindered=True)


def quick() -> World:
    """A ladder without a hold, before any traffic; istiod is asked."""
    world = ladder_of({"weight": 10}, {"weight": 50})
    world.propagation = pending(None)
    return world.settle()


def at_ten(spoken: Propagation) -> World:
    """The quick ladder at 10 percent, with what is said of it."""
    world = quick()
    world.propagation = done(None)
    world.settle()
    assert world.percent == 10
    world.propagation = spoken
    return world.settle()


def counted(o: Observation, *, canary: int, stable: int) -> Observation:
    seen = GateEvidence(canary=ArmCounts(requests=canary), stable=ArmCounts(requests=stable))
    return replace(o, evidence=RunEvidence(traffic=seen))


# Before any traffic.


def test_no_traffic_moves_before_proxies_know_the_subset_however_long_that_takes() -> None:
    world = quick().after(10 * SETTLE_SECONDS)

    assert world.percent == 0
    assert (world.phase, world.status.reason) == ("Preparing", "WaitingForProxies")
    assert "traffic moves when proxies know it" in world.message


def test_it_moves_at_once_when_they_do() -> None:
    world = quick()

    world.propagation = done(None)
    world.settle()

    assert world.percent == 10


@pytest.mark.parametrize(
    ("spoken", "reason", "told"),
    [(rejected(None), "ProxyRejects", REJECTED), (silent(None), "ProxySilent", SILENT)],
)
def test_a_proxy_in_the_way_is_named_before_traffic_moves(
    spoken: Propagation, reason: str, told: str
) -> None:
    world = quick()

    world.propagation = spoken
    world.after(10 * SETTLE_SECONDS)

    assert world.percent == 0
    assert world.status.reason == reason
    assert told in world.message
    assert "`rollout promote reviews --full` goes on without" in world.message


def test_who_sends_it_to_100_percent_gives_a_proxy_in_the_way_the_settle_time() -> None:
    world = quick()
    world.propagation = rejected(None)
    world.after(SETTLE_SECONDS)

    world.tell(Verb.PROMOTE_FULL)
    world.settle()

    assert world.percent == 100


def test_who_does_so_does_not_hurry_proxies_that_are_well() -> None:
    world = quick().after(10 * SETTLE_SECONDS)

    world.tell(Verb.PROMOTE_FULL)
    world.settle()

    assert world.percent == 0


def test_where_istiod_cannot_tell_time_does_and_it_is_said_why() -> None:
    world = quick()

    world.propagation = known(Spread.UNKNOWN, None, "istiod cannot be reached: refused")
    world.settle()
    assert world.status.reason == "Settling"

    world.after(SETTLE_SECONDS)
    assert world.percent == 10


# In a step.


def test_what_is_known_of_another_weight_ends_no_step() -> None:
    world = at_ten(done(None))

    assert world.percent == 10
    assert world.status.reason == "WaitingForProxies"
    assert world.condition("TrafficMatches") == {
        "status": "Unknown",
        "reason": "WaitingForProxies",
        "message": "10 % is written in every owned route; proxies have yet to acknowledge it",
    }


def test_a_step_without_a_hold_ends_as_soon_as_proxies_have_it() -> None:
    world = at_ten(done(10))

    assert world.percent == 50


def test_a_hold_is_no_shorter_for_it() -> None:
    world = at_step(2)
    world.propagation = done(world.percent)

    world.settle().after(15)

    assert world.run.step == 2
    assert world.status.reason == "Holding"
    found = world.condition("TrafficMatches")
    assert found is not None
    assert (found["status"], found["reason"]) == ("True", "SeenByProxies")
    assert found["message"].startswith("5 % is written in every owned route, ")
    assert found["message"].endswith(" requests was observed; acknowledged by all 7 proxies")


@pytest.mark.parametrize(
    ("spoken", "reason", "told"),
    [(rejected(10), "ProxyRejects", REJECTED), (silent(10), "ProxySilent", SILENT)],
)
def test_a_proxy_in_the_way_holds_the_step_and_is_named(
    spoken: Propagation, reason: str, told: str
) -> None:
    world = at_ten(spoken).after(10 * SETTLE_SECONDS)

    assert world.percent == 10
    assert world.status.reason == reason
    assert told in world.message
    found = world.condition("TrafficMatches")
    assert found is not None
    assert (found["status"], found["reason"]) == ("False", reason)
    warned = [h for h in world.happenings if h.reason == reason]
    assert [h.type for h in warned] == ["Warning"]


def test_it_is_named_in_a_hold_already() -> None:
    world = at_step(2)
    world.propagation = rejected(world.percent)

    world.after(15)

    assert world.status.reason == "ProxyRejects"
    assert REJECTED in world.message


def test_a_person_may_go_on_without_it() -> None:
    world = at_ten(silent(10))

    world.tell(Verb.PROMOTE)
    world.settle()

    assert world.percent == 50


def test_the_deadline_runs_meanwhile() -> None:
    world = at_ten(silent(10))

    world.after(3600)

    assert world.phase == "RollingBack"
    assert world.percent == 0


def test_100_percent_is_no_promotion_before_proxies_have_it() -> None:
    world = ladder_of({"weight": 100})
    world.propagation = done(None)
    world.settle().after(60)
    assert world.phase == "Promoting"

    world.propagation = done(100)
    world.settle()

    assert world.phase in {"Baking", "Stable"}


# On the way back.


def returning(spoken: Propagation) -> World:
    world = at_ten(silent(10))
    world.tell(Verb.ABORT)
    world.settle()
    assert (world.phase, world.percent) == ("RollingBack", 0)
    world.propagation = spoken
    return world.settle()


def as_it_ended(world: World) -> tuple[str, str]:
    """What TrafficMatches said when the run was closed; at rest it speaks of routes again."""
    (closed, *_) = (
        beat.decision.status
        for beat in world.beats
        if beat.decision.status.run is not None and beat.decision.status.run.ended_at is not None
    )
    (found,) = (c for c in closed.conditions if c.type == "TrafficMatches")
    return found.status, found.reason


def test_the_way_back_ends_when_proxies_have_it() -> None:
    world = returning(done(0))

    assert world.phase == "RolledBack"
    assert as_it_ended(world) == ("True", "SeenByProxies")


def test_the_way_back_waits_for_proxies_for_a_while_and_then_says_who_was_not_waited_for() -> None:
    world = returning(rejected(0))
    world.after(RETURN_SECONDS_MAX - 1)
    assert world.phase == "RollingBack"
    assert REJECTED in world.message

    world.after(1)

    assert world.phase == "RolledBack"
    assert f"{REJECTED}; not waited for after 30s" in world.message
    assert f"{REJECTED}; not waited for" in world.status.history[0].because
    assert as_it_ended(world) == ("Unknown", "ProxyRejects")


def test_the_way_back_settles_where_nobody_can_tell() -> None:
    world = returning(known(Spread.UNKNOWN, 0, "istiod cannot be reached: refused"))
    assert world.phase == "RollingBack"

    world.after(SETTLE_SECONDS)

    assert world.phase == "RolledBack"


# As traffic shows.


def observed(world: World, *, canary: int, stable: int, later_seconds: float = 0) -> str:
    """Who knows of the weight, given so many requests."""
    o = world.observe()
    run = o.status.run
    assert run is not None
    o = replace(o, now=o.now + timedelta(seconds=later_seconds))
    found = propagation.of_weight(counted(o, canary=canary, stable=stable), run)
    return found.reason


def held_at(percent: int) -> World:
    """At 10 and then so many percent, in a long hold, the moment it begins."""
    world = ladder_of({"weight": 10}, {"weight": percent, "hold": "30m"}).settle()
    world.until(Phase.PROGRESSING)
    while world.percent != percent:
        world.after(1)
    return world


@pytest.mark.parametrize(
    ("canary", "stable", "reason"),
    [
        (500, 500, "SeenInTraffic"),
        (100, 900, "Settling"),
        (300, 700, "Settling"),
        (900, 100, "Settling"),
        (0, 1000, "Settling"),
        (45, 45, "Settling"),
        (0, 0, "Settling"),
    ],
    ids=["new", "old", "between", "beyond", "none", "few", "nothing"],
)
def test_traffic_shows_the_new_weight_when_it_is_one_of_it_and_none_of_the_old(
    canary: int, stable: int, reason: str
) -> None:
    assert observed(held_at(50), canary=canary, stable=stable) == reason


MATCHED = {"match": {"headers": {"x-canary": {"exact": "always"}}}, "hold": "30m"}
COPIED = {"mirror": 5, "hold": "30m"}


@pytest.mark.parametrize(
    "steps",
    [
        ({"weight": 5}, MATCHED),
        (MATCHED, {"weight": 5, "hold": "30m"}),
        ({"weight": 5}, MATCHED, {"match": {}, "hold": "30m"}),
        (COPIED, {"weight": 5, "hold": "30m"}),
    ],
    ids=["match", "weight beside a match", "end of a match", "after copies"],
)
def test_a_share_tells_nothing_where_more_than_the_weight_goes_to_the_canary(
    steps: tuple[dict[str, Any], ...],
) -> None:
    world = ladder_of(*steps).settle()
    while world.run.step < len(steps):
        world.tell(Verb.PROMOTE)
        world.settle().after(SETTLE_SECONDS)
    run = world.run
    o = counted(replace(world.observe(), now=run.step_started_at), canary=50, stable=950)

    assert (run.weight, propagation.of_weight(o, run).reason) == (5, "Settling")


def test_a_pause_writes_nothing_and_the_share_still_tells_of_the_weight() -> None:
    world = ladder_of({"weight": 5}, {"pause": {}}).settle().until(Phase.WAITING)

    assert observed(world, canary=50, stable=950) == "SeenInTraffic"


def test_long_after_the_step_began_the_requests_from_before_it_are_allowed_for() -> None:
    world = held_at(50)

    assert observed(world, canary=4_600, stable=5_400, later_seconds=10) == "Settled"
    assert observed(world, canary=4_600, stable=5_400, later_seconds=200) == "SeenInTraffic"
    assert observed(world, canary=4_600, stable=5_400, later_seconds=2_000) == "Settled"
    assert observed(world, canary=5_400, stable=4_600, later_seconds=200) == "Settled"


def test_at_100_percent_the_last_requests_to_stable_are_no_contradiction() -> None:
    world = held_at(100)

    assert observed(world, canary=9_000, stable=300, later_seconds=1) == "Settling"
    assert observed(world, canary=9_000, stable=300, later_seconds=100) == "SeenInTraffic"


def test_what_istiod_knows_comes_before_what_traffic_shows() -> None:
    world = held_at(50)
    world.propagation = rejected(50)

    assert observed(world, canary=500, stable=500) == "ProxyRejects"


def test_a_step_whose_weight_traffic_shows_does_not_wait_for_the_settle_time() -> None:
    o = held_at(50).observe()
    assert o.status.run is not None

    found = propagation.of_weight(counted(o, canary=500, stable=500), o.status.run)

    assert found.is_over
    assert found.due is None


def test_a_weight_of_nothing_is_never_seen_in_traffic() -> None:
    world = ladder_of({"pause": {}}, {"weight": 20}).settle().until(Phase.WAITING)
    world.shares = {"v1": Fraction(1), "v2": Fraction(0)}

    assert observed(world, canary=0, stable=1000) == "Settling"
