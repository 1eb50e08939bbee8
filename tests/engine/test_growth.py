"""How a ramp is foretold to grow."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from rollout.api.step import Ramp
from rollout.engine import growth
from rollout.engine.prospects import Piece

RAMP = Ramp(max_weight=50, risk_budget_requests=30, min_hold="1m")


def pieces(*, rps: float = 1_000, bad: float = 0.001, ramp: Ramp = RAMP) -> tuple[Piece, ...]:
    return growth.pieces(
        ramp,
        requests_per_second=rps,
        bad_ratio=bad,
        usual_ratio=0.001,
        miss_ratio=0.01,
        dispersion_factor=1,
    )


def test_a_good_canary_grows_to_the_maximum_within_minutes() -> None:
    found = pieces()

    # 30 requests in the 30 seconds that a reaction takes, of 1,000 a second.
    assert found[0].share == pytest.approx(0.001)
    assert {one.seconds for one in found} == {15}
    assert all(before.share <= after.share <= 3 * before.share for before, after in pairwise(found))
    assert 60 <= growth.seconds(found) <= 180
    assert found[-1].share < 0.5


def test_a_canary_that_always_fails_stays_at_about_its_first_share() -> None:
    found = pieces(bad=1.0)

    assert max(one.share for one in found) < 1.01 * found[0].share
    assert math.isinf(growth.seconds(found))


def test_a_larger_budget_begins_with_more_and_one_that_pays_for_all_has_nothing_to_grow() -> None:
    larger = pieces(ramp=RAMP.model_copy(update={"risk_budget_requests": 300}))

    assert larger[0].share == pytest.approx(0.01)
    assert growth.seconds(larger) < growth.seconds(pieces())
    assert pieces(rps=1) == ()
    assert growth.seconds(()) == 0


def test_it_begins_with_no_less_than_routes_can_say() -> None:
    assert pieces(rps=1_000_000)[0].share == 0.001
