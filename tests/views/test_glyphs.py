"""Bars and sparklines."""

from __future__ import annotations

import pytest

from rollout.views.glyphs import ASCII, UNICODE, bar, sparkline


@pytest.mark.parametrize(
    ("percent", "drawn"),
    [(0, "...."), (0.01, "#..."), (25, "#..."), (50, "##.."), (100, "####"), (140, "####")],
)
def test_a_bar_is_filled_by_the_percent_and_never_longer_than_it_is_wide(
    percent: float, drawn: str
) -> None:
    assert bar(percent, width=4, glyphs=ASCII) == drawn


def test_a_bar_in_unicode_shows_eighths_of_a_cell() -> None:
    assert bar(30, width=4, glyphs=UNICODE) == "█▎··"


def test_a_sparkline_shows_the_newest_values_at_the_right() -> None:
    assert sparkline([100, 0, 50, 100], top=100, width=3, glyphs=UNICODE) == " ▄█"
    assert sparkline([100], top=100, width=3, glyphs=UNICODE) == "  █"


def test_a_small_value_shows_in_a_sparkline() -> None:
    assert sparkline([0.1], top=100, width=1, glyphs=UNICODE) == "▁"
