"""Durations and percents: what people write is read exactly, or refused with what is wanted."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.base import quantity
from rollout.base.errors import BadQuantity

PARTS = st.tuples(*[st.integers(0, 999) | st.none()] * 4)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("500ms", 0.5),
        ("1h2m3s4ms", 3723.004),
        ("0s", 0.0),
        ("8784h", 31_622_400.0),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert quantity.parse_duration(text) == pytest.approx(seconds, abs=1e-9)


def test_half_a_millisecond_is_refused_rather_than_cut_to_nothing() -> None:
    with pytest.raises(BadQuantity, match="is not a duration such as 90s, 10m or 1h30m"):
        quantity.parse_duration("0.5ms")


@pytest.mark.parametrize(
    "text",
    [
        "1mfoo",
        "foo1m",
        "",
        "5",
        "m",
        "1d",
        "1s1m",
        "-1m",
        "1.5h",
        "1m ",
        " 1m",
        "1m\n",
        "1M",
        "\u0661m",
    ],
)
def test_what_is_no_duration_is_refused_and_never_read_in_part(text: str) -> None:
    with pytest.raises(BadQuantity) as caught:
        quantity.parse_duration(text)

    assert str(caught.value) == f"{text!r} is not a duration such as 90s, 10m or 1h30m"


def test_a_duration_of_more_than_a_year_is_taken_for_a_typing_error() -> None:
    with pytest.raises(BadQuantity) as caught:
        quantity.parse_duration("8785h")

    assert str(caught.value) == "'8785h' is not a duration of at most a year (8784h)"


@given(parts=PARTS)
def test_the_units_of_a_duration_add_up(parts: tuple[int | None, ...]) -> None:
    given_parts = [(n, unit) for n, unit in zip(parts, ("h", "m", "s", "ms"), strict=True) if n]
    text = "".join(f"{n}{unit}" for n, unit in given_parts) or "0s"
    worth_ms = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}

    seconds = quantity.parse_duration(text)

    assert round(seconds * 1000) == sum(n * worth_ms[unit] for n, unit in given_parts)


@given(text=st.text(max_size=12))
def test_any_text_is_either_a_duration_or_refused(text: str) -> None:
    try:
        seconds = quantity.parse_duration(text)
    except BadQuantity:
        return

    assert 0 <= seconds <= quantity.DURATION_SECONDS_MAX


@given(seconds=st.integers(1, 3599))
def test_whole_seconds_below_an_hour_survive_printing_and_reading(seconds: int) -> None:
    assert quantity.parse_duration(quantity.print_duration(seconds)) == seconds


@given(milliseconds=st.integers(0, 999))
def test_milliseconds_below_a_second_survive_printing_and_reading(milliseconds: int) -> None:
    text = quantity.print_duration(milliseconds / 1000)

    assert round(quantity.parse_duration(text) * 1000) == milliseconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.45, "450ms"),
        (0.9996, "1s"),
        (8.3, "8.3s"),
        (9.96, "10s"),
        (59.6, "1m"),
        (125, "2m05s"),
        (3599.6, "1h"),
        (5400, "1h30m"),
        (86_400, "1d"),
        (273_600, "3d04h"),
        (-3, "-3s"),
        (-0.0001, "0ms"),
    ],
)
def test_a_time_span_is_printed_short_and_carries_over_when_rounded(
    seconds: float, text: str
) -> None:
    assert quantity.print_duration(seconds) == text


@pytest.mark.parametrize(
    ("percent", "text"),
    [
        (5, "5"),
        (0.5, "0.5"),
        (33.3333, "33.3"),
        (0, "0"),
        (100, "100"),
        (0.0123456, "0.0123"),
        (0.00001, "0.00001"),
        (12.0, "12"),
    ],
)
def test_a_percent_is_printed_without_needless_digits(percent: float, text: str) -> None:
    assert quantity.print_percent(percent) == text


@given(percent=st.floats(0, 100, exclude_max=True))
def test_less_than_everything_is_never_printed_as_a_hundred(percent: float) -> None:
    text = quantity.print_percent(percent)

    assert text != "100"
    assert "e" not in text
    assert math.isclose(float(text), percent, rel_tol=0.06, abs_tol=0.0)


@pytest.mark.parametrize("percent", [0.1, 0.01, 33.3, 12.34, 100.0])
def test_the_decimal_of_a_percent_is_the_number_that_was_written(percent: float) -> None:
    assert quantity.decimal_of(percent) == Decimal(str(percent))
