"""The golden ticks, and others cut by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.analysis import tick


@pytest.mark.parametrize(
    ("stamp", "end"),
    [(100, 100), (101, 115), (114, 115), (115, 115), (116, 130), (99, 100), (85, 85), (84, 85)],
)
def test_a_tick_is_open_at_its_begin_and_closed_at_its_end(stamp: int, end: int) -> None:
    assert tick.end_ms(stamp, origin_ms=100, step_ms=15) == end


@given(st.integers(0, 10**13), st.integers(0, 10**13), st.integers(1, 60_000))
def test_the_grid_hangs_on_the_origin_alone(stamp: int, origin: int, step: int) -> None:
    end = tick.end_ms(stamp, origin_ms=origin, step_ms=step)

    assert (end - origin) % step == 0
    assert end - step < stamp <= end


def test_increments_are_summed_per_tick_and_name() -> None:
    increments = [(101, "canary", 2), (110, "canary", 3), (116, "canary", 4), (101, "stable", 5)]

    ticks = tick.gather(increments, origin_ms=100, step_ms=15)

    assert ticks == {(115, "canary"): 5, (130, "canary"): 4, (115, "stable"): 5}
