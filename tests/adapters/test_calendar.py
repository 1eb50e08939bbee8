"""When openings come: cron, time zones, and the two nights a year that are not like others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.adapters.calendar import CronCalendar
from rollout.api.window import Opening
from rollout.base.errors import BadManifest

BERLIN, SAO_PAULO = "Europe/Berlin", "America/Sao_Paulo"


def opening(cron: str, lasts: str = "8h", zone: str = BERLIN) -> Opening:
    return Opening.model_validate({"cron": cron, "for": lasts, "timezone": zone})


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def opens(at: str, *openings: Opening) -> str:
    """When it opens, in UTC; ``now`` when it is open."""
    moment = CronCalendar().opens_at(openings, utc(at))
    if moment == utc(at):
        return "now"
    return "never" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


OFFICE = opening("0 9 * * mon-fri")


@pytest.mark.parametrize(
    ("at", "then"),
    [
        ("2026-11-23T08:00", "now"),
        ("2026-11-23T07:59", "2026-11-23 08:00"),
        ("2026-11-23T15:59:59", "now"),
        ("2026-11-23T16:00", "2026-11-24 08:00"),
        ("2026-11-27T16:00", "2026-11-30 08:00"),
    ],
    ids=["begins", "before", "last second", "over", "friday night"],
)
def test_a_window_begins_on_its_minute_and_is_over_when_its_time_has_passed(
    at: str, then: str
) -> None:
    assert opens(at, OFFICE) == then


def test_when_it_opens_is_told_by_the_clock_of_the_window() -> None:
    moment = CronCalendar().opens_at((OFFICE,), utc("2026-11-28T12:00"))

    assert moment is not None
    assert f"{moment:%a %H:%M} {moment.tzinfo}" == "Mon 09:00 Europe/Berlin"


def test_of_several_windows_the_first_counts_and_any_that_is_open() -> None:
    night = opening("0 22 * * *", "2h", "UTC")

    assert opens("2026-11-28T12:00", OFFICE, night) == "2026-11-28 22:00"
    assert opens("2026-11-28T23:00", OFFICE, night) == "now"


def test_without_any_window_it_never_opens() -> None:
    assert opens("2026-11-28T12:00") == "never"


def test_a_window_of_a_leap_day_is_found_years_ahead() -> None:
    assert opens("2026-11-28T12:00", opening("0 0 29 2 *", "24h", "UTC")) == "2028-02-29 00:00"


@pytest.mark.parametrize(
    ("at", "then"),
    [
        # In winter nine o'clock is eight in UTC, in summer seven.
        ("2026-03-27T20:00", "2026-03-30 07:00"),
        ("2026-10-23T20:00", "2026-10-26 08:00"),
    ],
    ids=["spring", "autumn"],
)
def test_nine_o_clock_is_nine_o_clock_before_and_after_the_clock_is_changed(
    at: str, then: str
) -> None:
    assert opens(at, OFFICE) == then


@pytest.mark.parametrize(
    ("last_open", "closed"),
    [
        # 22:00 to 06:00 in a usual night; where an hour is missing the clock shows 07:00 at its
        # end, and where there is one more 05:00.
        ("2026-03-29T04:59", "2026-03-29T05:00"),
        ("2026-10-25T03:59", "2026-10-25T04:00"),
    ],
    ids=["spring", "autumn"],
)
def test_a_window_lasts_as_long_as_it_says_in_a_night_in_which_the_clock_is_changed(
    last_open: str, closed: str
) -> None:
    night = opening("0 22 * * *", "8h")

    assert opens(last_open, night) == "now"
    assert opens(closed, night) != "now"


def test_a_time_that_the_clock_skips_comes_an_hour_later_and_no_day_is_left_out() -> None:
    early = opening("30 2 * * *", "10m")
    midnight = opening("0 0 * * *", "10m", SAO_PAULO)  # skipped there on 4 November 2018

    assert opens("2026-03-28T12:00", early) == "2026-03-29 01:30"
    assert opens("2026-03-29T01:39", early) == "now"
    assert opens("2018-11-03T12:00", midnight) == "2018-11-04 03:00"


def test_a_time_that_the_clock_shows_twice_comes_twice() -> None:
    early = opening("30 2 * * *", "10m")

    assert opens("2026-10-24T12:00", early) == "2026-10-25 00:30"
    assert opens("2026-10-25T00:35", early) == "now"
    assert opens("2026-10-25T00:40", early) == "2026-10-25 01:30"
    assert opens("2026-10-25T01:35", early) == "now"
    assert opens("2026-10-25T01:40", early) == "2026-10-26 01:30"


NIGHTS = {
    "spring": (utc("2026-03-28T20:00"), BERLIN),
    "autumn": (utc("2026-10-24T20:00"), BERLIN),
    "midnight": (utc("2018-11-03T22:00"), SAO_PAULO),
    "half an hour": (utc("2026-04-04T10:00"), "Australia/Lord_Howe"),
}


def shown(moment: datetime, zone: str) -> tuple[int, int, datetime]:
    local = moment.astimezone(ZoneInfo(zone))
    return local.hour, local.minute, local


@pytest.mark.parametrize("night", NIGHTS)
@given(
    hours=st.sampled_from(["*", "0", "1", "2", "3", "1-3", "*/2", "0,2"]),
    minutes=st.sampled_from(["0", "30", "*/20", "10,50"]),
    begin=st.integers(0, 12 * 60),
)
@settings(max_examples=40, deadline=None)
def test_around_a_change_of_the_clock_every_time_that_it_shows_is_found(
    night: str, hours: str, minutes: str, begin: int
) -> None:
    """Against the simplest way there is: look at the clock each minute."""
    since, zone = NIGHTS[night]
    at = since + timedelta(minutes=begin)
    one = opening(f"{minutes} {hours} * * *", "1m", zone)
    everyday = opening(f"{minutes} {hours} * * *", "1m", "UTC")  # the same hands, never changed
    calendar = CronCalendar()

    found = calendar.opens_at((one,), at)

    assert found is not None
    for minute in range(int((found - at).total_seconds() // 60)):
        hour, past, _ = shown(at + timedelta(minutes=minute), zone)
        hands = datetime(2026, 1, 1, hour, past, tzinfo=UTC)
        assert calendar.opens_at((everyday,), hands) != hands, "one was passed over"


@given(begin=st.integers(0, 40 * 24 * 60), looks=st.lists(st.integers(1, 900), max_size=12))
@settings(max_examples=40, deadline=None)
def test_what_is_remembered_is_what_would_be_found(begin: int, looks: list[int]) -> None:
    calendar, at = CronCalendar(), utc("2026-10-01T00:00") + timedelta(minutes=begin)
    windows = (OFFICE, opening("0 22 * * *", "90m"))

    for minutes in looks:
        at += timedelta(minutes=minutes)
        assert calendar.opens_at(windows, at) == CronCalendar().opens_at(windows, at)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"cron": "60 9 * * *"}, "cron is '60 9 * * *'; mend this: Error validating"),
        ({"cron": "x 9 * * *"}, "cron is 'x 9 * * *'; use minutes such as"),
        ({"cron": "0 nine * * *"}, "use hours such as 9, 9-17 or */2"),
        ({"cron": "0 9 mon * *"}, "use days of the month such as"),
        ({"cron": "0 9 * jan/2 *"}, "use months such as"),
        ({"cron": "0 9 * * 1-5"}, "numbers mean other days elsewhere"),
        ({"cron": "0 9 * * monday"}, "use names of days from mon to sun"),
        ({"cron": "0 9 * * fri-mon"}, "mend this: The minimum value"),
        ({"cron": "0 9 30 feb *"}, "cron is '0 9 30 feb *'; name a day that there is"),
        ({"timezone": "Europe/Berlim"}, "timezone is 'Europe/Berlim'; use a name of the time zone"),
        ({"timezone": "../../etc/passwd"}, "use a name of the time zone database"),
        ({"timezone": "Europe"}, "use a name of the time zone database"),
    ],
)
def test_a_window_that_cannot_be_is_told_with_field_and_remedy(
    fields: dict[str, Any], told: str
) -> None:
    wrong = OFFICE.model_copy(update=fields)

    with pytest.raises(BadManifest) as caught:
        CronCalendar().check(wrong, at="spec.windows.allow[0]")

    assert str(caught.value).startswith("spec.windows.allow[0].")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "cron", ["0 9 * * Mon-Fri", "*/15 9-17 1-7 jan-nov sat,sun", "0 0 last * *", "0 0 29 2 *"]
)
def test_a_window_that_can_be_is_let_pass(cron: str) -> None:
    CronCalendar().check(opening(cron), at="spec.windows.allow[0]")


def test_a_window_over_the_end_of_summer_time_lasts_as_long_as_it_says() -> None:
    night = Opening.model_validate(
        {"cron": "0 22 * * sat", "for": "8h", "timezone": "Europe/Berlin"}
    )
    calendar = CronCalendar()
    inside = datetime(2026, 10, 24, 23, 0, tzinfo=UTC)
    assert calendar.opens_at((night,), inside) == inside

    over = datetime(2026, 10, 25, 4, 0, tzinfo=UTC)
    just_before = over - timedelta(seconds=1)
    assert calendar.opens_at((night,), just_before) == just_before
    assert calendar.opens_at((night,), over) != over
