"""Dividing weights: whole numbers, exact shares."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.routes import split
from tests.routes.manifests import percents

_weights = st.lists(st.integers(0, 1000), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("total", "percent", "stable", "canary", "factor"),
    [
        (100, "5", 95, 5, 1),
        (1000, "0.5", 995, 5, 1),
        (100, "0.5", 199, 1, 2),
        (100, "33.3", 667, 333, 10),
        (80, "25", 60, 20, 1),
        (7, "50", 7, 7, 2),
        (100, "0", 100, 0, 1),
        (100, "100", 0, 100, 1),
        (0, "50", 0, 0, 1),
    ],
)
def test_a_pair_divides_exactly_and_keeps_its_total_unless_a_finer_one_is_needed(
    total: int, percent: str, stable: int, canary: int, factor: int
) -> None:
    assert split.share(total, Decimal(percent)) == split.Split(
        stable=stable, canary=canary, factor=factor
    )


@given(total=st.integers(1, 10_000), percent=percents)
def test_the_factor_is_the_smallest_that_makes_the_share_exact(
    total: int, percent: Decimal
) -> None:
    found = split.share(total, percent)

    assert found.stable + found.canary == total * found.factor
    assert Fraction(found.canary, total * found.factor) == Fraction(percent) / 100
    for smaller in range(1, min(found.factor, 50)):
        assert (total * smaller * Fraction(percent) / 100).denominator > 1


@given(whole=st.integers(0, 1000), parts=_weights)
def test_spreading_sums_exactly_and_is_nowhere_off_by_one(whole: int, parts: list[int]) -> None:
    found = split.spread(whole, parts)

    old = sum(parts)
    assert sum(found) == whole
    for new, part in zip(found, parts, strict=True):
        wanted = Fraction(whole * part, old) if old else Fraction(whole, len(parts))
        assert abs(new - wanted) < 1


def test_what_spreading_leaves_over_goes_to_the_largest_remainder_and_then_to_the_first() -> None:
    assert split.spread(10, [1, 1, 1]) == (4, 3, 3)
    assert split.spread(10, [1, 2, 4]) == (1, 3, 6)
    assert split.spread(5, [0, 0]) == (3, 2)


def test_another_destination_keeps_its_weight_while_the_pair_moves() -> None:
    assert split.reweigh([70, 10, 20], stable=[0], canary=[1], percent=Decimal(50)) == (40, 40, 20)


def test_another_destination_is_scaled_with_the_pair_when_the_total_is_too_coarse() -> None:
    assert split.reweigh([80, 0, 20], stable=[0], canary=[1], percent=Decimal(1)) == (396, 4, 100)


def test_a_route_in_which_nobody_has_a_weight_gets_a_total_of_100() -> None:
    assert split.reweigh([0, 0], stable=[1], canary=[0], percent=Decimal(5)) == (5, 95)
    assert split.reweigh([0, 0, 0], stable=[0], canary=[1], percent=Decimal("0.5")) == (199, 1, 0)


def test_repeated_destinations_keep_their_proportions_even_through_one_percent() -> None:
    before = [45, 45, 5, 5]

    one = split.reweigh(before, stable=[0, 1], canary=[2, 3], percent=Decimal(1))
    assert one == (99, 99, 1, 1)
    assert split.reweigh(one, stable=[0, 1], canary=[2, 3], percent=Decimal(50)) == (50, 50, 50, 50)


def test_repeated_destinations_are_rounded_when_exact_proportions_need_too_large_a_total() -> None:
    before = [30_001, 9_999, 0, 10_003, 49_997]

    found = split.reweigh(before, stable=[0, 1], canary=[2, 3], percent=Decimal(50))

    assert found is not None
    factor = sum(found) // sum(before)
    assert found[0] + found[1] == found[2] + found[3]
    assert found[4] == 49_997 * factor


def test_a_percent_that_needs_a_total_beyond_the_limit_is_not_divided() -> None:
    assert split.reweigh([999, 0], stable=[0], canary=[1], percent=Decimal("0.01")) is None


def test_a_total_beyond_the_limit_is_kept_when_it_divides_as_it_is() -> None:
    huge = [2_000_000_000, 0]

    assert split.reweigh(huge, stable=[0], canary=[1], percent=Decimal(5)) == (
        1_900_000_000,
        100_000_000,
    )


@given(
    others=st.lists(st.integers(0, 1000), max_size=3),
    stable=_weights,
    canary=_weights,
    percent=percents,
)
def test_shares_are_exact_whatever_the_route_looked_like(
    others: list[int], stable: list[int], canary: list[int], percent: Decimal
) -> None:
    pair = sum(stable) + sum(canary)
    before = [*stable, *canary, *others]
    if pair == 0 and sum(others) > 0:
        return
    middle, end = len(stable), len(stable) + len(canary)

    found = split.reweigh(
        before, stable=list(range(middle)), canary=list(range(middle, end)), percent=percent
    )

    if found is None:
        assert (sum(before) or 100) * 10_000 > split.TOTAL_MAX
        return
    old_total, new_total = sum(before), sum(found)
    assert all(weight >= 0 for weight in found)
    assert Fraction(sum(found[middle:end]), sum(found[:end])) == Fraction(percent) / 100
    for new, old in zip(found[end:], others, strict=True):
        assert not old_total or Fraction(new, new_total) == Fraction(old, old_total)
