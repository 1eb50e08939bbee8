"""What is closed, because of what and until when; and what that keeps a run from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.adapters.calendar import CronCalendar
from rollout.api.action import ActionOutcome, Verb
from rollout.api.evidence import Verdict
from rollout.api.phase import Phase
from rollout.api.window import Closed, Opening, Windows
from rollout.engine import windows
from rollout.engine.windows import Rule
from tests.world.engine_world import MORNING, World, always, at_step, spec_of

CLUSTER, NEAR = "ClusterRolloutPolicy calm", "RolloutPolicy calm"
OFFICE: dict[str, Any] = {
    "allow": [{"cron": "0 9 * * mon-fri", "for": "8h", "timezone": "Europe/Berlin"}]
}
YEAR_END: dict[str, Any] = {
    "freeze": [
        {"from": "2026-12-20T00:00:00Z", "until": "2027-01-02T00:00:00Z", "reason": "year end."}
    ]
}


def rule(by: str = "", stop: str = "", problem: str = "", **said: Any) -> Rule:
    return Rule(by=by, windows=Windows.model_validate(said), stop=stop, problem=problem)


def closed(at: str, *rules: Rule, suspended: bool = False) -> Closed | None:
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    opens_at = CronCalendar().opens_at
    return windows.closed(rules, suspended=suspended, now=now, opens_at=opens_at)


def told(at: str, *rules: Rule, suspended: bool = False) -> str:
    found = closed(at, *rules, suspended=suspended)
    return found.because if found is not None else "open"


# What closes.


def test_without_any_rule_all_is_open() -> None:
    assert told("2026-12-24T18:00", rule(), rule(CLUSTER)) == "open"


def test_outside_of_its_windows_it_says_when_they_open_by_their_own_clock() -> None:
    assert told("2026-11-28T12:00", rule(**OFFICE)) == (
        "closed until Mon 09:00 Europe/Berlin (outside of spec.windows)"
    )
    assert told("2026-11-30T08:00", rule(**OFFICE)) == "open"


def test_on_the_same_day_the_day_is_not_told_and_in_a_distant_week_the_date_is() -> None:
    assert told("2026-11-30T07:00", rule(**OFFICE)).startswith("closed until 09:00 Europe/Berlin (")
    assert told("2026-12-20T00:00", rule(**YEAR_END)).startswith(
        "closed until Sat 2027-01-02 00:00 UTC ("
    )


def test_a_freeze_says_its_reason_and_who_said_it() -> None:
    assert told("2026-12-31T12:00", rule(CLUSTER, **YEAR_END)) == (
        "closed until Sat 00:00 UTC (freeze by ClusterRolloutPolicy calm: year end)"
    )
    assert told("2026-12-19T23:59:59", rule(CLUSTER, **YEAR_END)) == "open"
    assert told("2027-01-02T00:00:00", rule(CLUSTER, **YEAR_END)) == "open"


def test_it_opens_only_when_nothing_is_closed_any_more() -> None:
    """The freeze ends on a Saturday, when no window is open."""
    assert told("2026-12-31T12:00", rule(**OFFICE), rule(NEAR, **YEAR_END)) == (
        "closed until Mon 09:00 Europe/Berlin (freeze by RolloutPolicy calm: year end)"
    )


def test_windows_that_never_meet_are_closed_and_looked_at_again_all_the_same() -> None:
    night: dict[str, Any] = {"allow": [{"cron": "0 22 * * *", "for": "2h"}]}

    found = closed("2026-11-28T12:00", rule(**OFFICE), rule(CLUSTER, **night))

    assert found is not None
    assert found.until is not None
    assert found.because.startswith("closed at least until ")
    assert found.because.endswith(" (outside of spec.windows)")


def test_windows_that_meet_for_the_first_time_after_a_long_while_are_found_on_the_way() -> None:
    odd: dict[str, Any] = {"allow": [{"cron": "1-59/2 * * * *", "for": "1m"}]}
    even: dict[str, Any] = {
        "allow": [{"cron": "*/2 * * * *", "for": "1m"}, {"cron": "0 14 * * *", "for": "1h"}]
    }
    at, looks = "2026-11-28T12:00", 0
    while (found := closed(at, rule(**odd), rule(CLUSTER, **even))) is not None:
        assert found.until is not None
        at, looks = found.until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M"), looks + 1
        assert looks < 10

    assert at == "2026-11-28T14:01"


def test_what_a_person_must_end_is_told_before_what_time_ends() -> None:
    rules: Sequence[Rule] = (rule(**YEAR_END), rule(CLUSTER, stop="incident 4711."))

    stopped = closed("2026-12-31T12:00", *rules)

    assert stopped is not None
    assert stopped.until is None
    assert stopped.because == (
        "stopped by ClusterRolloutPolicy calm (incident 4711): nothing starts or increases"
    )
    assert told("2026-12-31T12:00", *rules, suspended=True).startswith("spec.suspend is true: ")


def test_what_may_be_a_freeze_and_cannot_be_read_is_closed() -> None:
    wrong = rule(CLUSTER, problem="ClusterRolloutPolicy calm: spec.windows is 5; use a map")

    found = closed("2026-12-31T12:00", wrong)

    assert found is not None
    assert found.reason == "WindowUnreadable"
    assert found.because.endswith("mended: ClusterRolloutPolicy calm: spec.windows is 5; use a map")


def test_however_long_a_problem_is_what_is_told_of_it_fits_a_status() -> None:
    found = closed("2026-12-31T12:00", rule(CLUSTER, problem="x" * 5000))

    assert found is not None
    assert len(found.because) == windows.TOLD_LENGTH_MAX
    assert found.because.endswith("x…")


def test_a_freeze_is_told_before_a_window() -> None:
    found = closed("2027-01-01T12:00", rule(**OFFICE), rule(CLUSTER, **YEAR_END))

    assert found is not None
    assert found.reason == "Frozen"


def test_openings_are_looked_for_only_where_there_are_some() -> None:
    asked: list[Sequence[Opening]] = []

    def opens_at(openings: Sequence[Opening], at: datetime) -> datetime | None:
        asked.append(openings)
        return at

    windows.closed(
        [rule(), rule(CLUSTER, **YEAR_END)], suspended=False, now=MORNING, opens_at=opens_at
    )

    assert asked == []


MINUTES = st.integers(0, 14 * 24 * 60)
OPENINGS = st.builds(
    lambda hour, days, lasts, zone: {
        "cron": f"30 {hour} * * {days}",
        "for": f"{lasts}h",
        "timezone": zone,
    },
    st.integers(0, 23),
    st.sampled_from(["*", "mon-fri", "sat,sun", "wed"]),
    st.integers(1, 20),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"]),
)
SPRING = datetime(2026, 3, 23, tzinfo=UTC)
FREEZES = st.builds(
    lambda begin, lasts: {
        "from": (SPRING + timedelta(minutes=begin)).isoformat(),
        "until": (SPRING + timedelta(minutes=begin + lasts)).isoformat(),
        "reason": "x",
    },
    MINUTES,
    st.integers(1, 5000),
)
SAID = st.fixed_dictionaries(
    {"allow": st.lists(OPENINGS, max_size=2), "freeze": st.lists(FREEZES, max_size=2)}
)


@given(said=st.lists(SAID, min_size=1, max_size=3), minute=MINUTES)
@settings(deadline=None)
def test_until_when_it_is_closed_is_the_first_moment_at_which_nothing_is(
    said: list[dict[str, Any]], minute: int
) -> None:
    """Around a change of the clock, by clocks of three zones."""
    rules, now = [rule(**one) for one in said], SPRING + timedelta(minutes=minute)
    opens_at = CronCalendar().opens_at

    def at(moment: datetime) -> Closed | None:
        return windows.closed(rules, suspended=False, now=moment, opens_at=opens_at)

    found = at(now)
    if found is None or found.until is None or "at least until" in found.because:
        return

    assert at(found.until) is None
    assert at(found.until - timedelta(milliseconds=1)) is not None
    middle = now + (found.until - now) * 0.37
    assert at(middle) is not None


# What that keeps a run from. A day in March 2026: it is nine o'clock in UTC.

AFTERNOON: dict[str, Any] = {"allow": [{"cron": "0 14 * * *", "for": "8h"}]}
TILL_TEN: dict[str, Any] = {
    "freeze": [{"until": "2026-03-02T10:00:00Z", "reason": "release of the year"}]
}


def frozen() -> Rule:
    return rule(CLUSTER, **TILL_TEN)


def test_nothing_starts_until_the_minute_in_which_it_opens_and_then_it_does() -> None:
    world = World(rules=(frozen(),)).settle()

    assert world.phase == "Pending"
    assert world.message == (
        "v2 is wanted; closed until 10:00 UTC (freeze by ClusterRolloutPolicy calm: release of"
        " the year)"
    )
    assert world.look_again_at == MORNING + timedelta(hours=1)
    assert world.status.closed is not None
    assert world.status.waiting is not None
    assert world.status.waiting.since == MORNING

    world.after(3600)
    assert world.run.started_at == MORNING + timedelta(hours=1)

    assert world.status.closed is None
    assert world.status.waiting is None


def test_windows_of_the_plan_hold_a_run_and_its_time_does_not_count_for_the_deadline() -> None:
    again = {"allow": [*AFTERNOON["allow"], {"cron": "0 23 * * *", "for": "1h"}]}
    spec = spec_of(windows=again, strategy={"maxDuration": "10m"})
    world = World(spec=spec, now=MORNING.replace(hour=21, minute=59)).settle().until_step(2)

    world.after(2 * 60)
    held = world.status

    assert held.phase == "Waiting"
    assert "closed until 23:00 UTC (outside of spec.windows)" in held.message
    assert world.percent == 5

    world.after(3600 + 600)

    assert world.status.stable_revision == "v2"
    assert [past.outcome for past in world.status.history] == ["Promoted"]


def test_a_freeze_acts_at_once_on_a_run_and_lets_it_go_on_when_it_is_taken_away() -> None:
    world = at_step(3)

    world.rules = (rule(CLUSTER, stop="incident 4711"),)
    world.settle().after(1200)
    assert (world.phase, world.percent) == ("Waiting", 25)
    assert world.message.endswith("(incident 4711): nothing starts or increases")

    world.rules = ()
    world.settle()
    assert world.percent == 50


def test_windows_edited_in_mid_run_rule_the_next_run() -> None:
    world = at_step(3)

    world.edit(spec_of(windows=AFTERNOON)).settle().after(40)

    assert world.percent == 50
    assert "that rules the next run" in world.message


def test_while_it_is_closed_a_failing_gate_takes_the_run_back() -> None:
    world = at_step(3)
    world.rules, world.says = (frozen(),), always(Verdict.FAIL)

    world.settle().until(Phase.ROLLED_BACK)

    assert world.on_stable


def test_while_it_is_closed_an_abort_is_obeyed() -> None:
    world = at_step(3)
    world.rules = (rule(CLUSTER, stop="incident 4711"),)

    answer = world.tell(Verb.ABORT)

    assert answer.outcome is ActionOutcome.APPLIED
    assert world.percent == 0


@pytest.mark.parametrize("verb", [Verb.PROMOTE, Verb.PROMOTE_FULL])
def test_while_it_is_closed_nobody_is_sent_on_and_the_answer_says_until_when(verb: Verb) -> None:
    world = at_step(2)
    world.rules = (frozen(),)
    world.settle()

    answer = world.tell(verb)

    assert answer.outcome is ActionOutcome.REFUSED
    assert answer.message.startswith("closed until 10:00 UTC (freeze by ")
    assert world.percent == 5


def test_who_was_sent_to_100_percent_before_it_closed_waits_all_the_same() -> None:
    world = World(ready={"v1": 2}).settle()
    world.tell(Verb.PROMOTE_FULL)
    world.rules, world.ready["v2"] = (frozen(),), 2

    world.settle().after(600)
    assert world.percent == 0

    world.after(3600)
    assert world.status.stable_revision == "v2"


def test_at_100_percent_a_closed_window_keeps_nobody_from_being_promoted() -> None:
    world = at_step(5)
    world.rules = (rule(CLUSTER, stop="incident 4711"),)

    world.settle().until(Phase.STABLE)

    assert world.status.stable_revision == "v2"


def test_a_canary_that_lost_its_endpoints_gets_no_traffic_back_while_it_is_closed() -> None:
    world = at_step(3)
    world.ready["v2"] = 0
    world.settle()
    world.rules, world.ready["v2"] = (frozen(),), 2

    world.settle().after(600)
    assert world.percent == 0
    assert world.phase == "Waiting"

    world.after(3600)
    assert world.percent > 0


def test_a_ramp_does_not_grow_while_it_is_closed() -> None:
    steps = [{"ramp": {"maxWeight": 50, "minHold": "10s"}}, {"weight": 100}]
    world = at_step(1, spec=spec_of(strategy={"steps": steps}), says=always(Verdict.PASS))
    before = world.percent
    world.rules = (frozen(),)

    world.settle().after(1200)

    assert world.percent == before
    assert world.phase == "Waiting"


def test_a_pause_of_a_person_is_told_before_a_closed_window() -> None:
    world = at_step(3)
    world.rules = (frozen(),)
    world.tell(Verb.PAUSE)

    assert "paused by alice@example.com" in world.message
    assert world.status.closed is None


def test_a_retry_in_a_freeze_is_refused_with_its_end() -> None:
    world = at_step(3)
    world.says = always(Verdict.FAIL)
    world.settle().until(Phase.ROLLED_BACK)
    world.rules = (frozen(),)

    answer = world.tell(Verb.RETRY)

    assert answer.outcome is ActionOutcome.REFUSED
    assert answer.message.startswith("closed until 10:00 UTC")
    assert world.phase == "RolledBack"
    assert world.look_again_at is None


def test_the_times_in_which_a_run_was_held_are_added_up() -> None:
    world = at_step(3)
    for _ in range(2):
        world.rules = (rule(CLUSTER, stop="incident"),)
        world.settle().after(30)
        world.rules = ()
        world.says = always(Verdict.UNKNOWN)
        world.settle().after(5)

    assert world.run.closed_ms == 60_000
    assert world.run.closed_since is None
