"""Bets on a bounded number."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.analysis.judge import betting
from rollout.analysis.judge.betting import Bets

BLOCKS = st.lists(st.floats(0, 1), max_size=40)


def after(bets: Bets, values: list[float]) -> Bets:
    for value in values:
        bets = bets.with_block(value)
    return bets


def test_the_first_bets_by_hand() -> None:
    bets = Bets(limit_ratio=0.4)
    assert bets.stake == pytest.approx(0.1 / 0.26)

    bets = bets.with_block(0.7)

    assert bets.evidence_nats == pytest.approx(math.log(1 + 0.1 / 0.26 * 0.3))
    # Mean of ½ and 0.7 is 0.6; variance (¼ + 0.01)/2.
    assert bets.stake == pytest.approx(0.2 / (0.13 + 0.04))


def test_a_number_above_its_limit_is_found_and_one_at_it_hardly_ever() -> None:
    dice = random.Random(4)

    def ever_found(mean: float) -> bool:
        bets = Bets(limit_ratio=0.1)
        for _ in range(300):
            bets = bets.with_block(mean * 2 * dice.random())
            if bets.evidence_nats >= math.log(20):
                return True
        return False

    assert all(ever_found(0.15) for _ in range(50))
    assert sum(ever_found(0.1) for _ in range(400)) <= 20


@given(before=BLOCKS, limit=st.floats(0.05, 0.95))
def test_a_bet_at_the_limit_wins_nothing_on_average_and_never_loses_all(
    before: list[float], limit: float
) -> None:
    """Of all blocks with that mean those at 0 and 1 vary most."""
    bets = after(Bets(limit_ratio=limit), before)

    won = math.exp(bets.with_block(1).evidence_nats - bets.evidence_nats)
    lost = math.exp(bets.with_block(0).evidence_nats - bets.evidence_nats)

    assert limit * won + (1 - limit) * lost == pytest.approx(1, rel=1e-9)
    assert lost >= 0.5 - 1e-9


@given(before=BLOCKS, limit=st.floats(0.05, 0.95), value=st.floats(0, 1))
def test_a_bet_does_not_know_the_block_that_it_is_on(
    before: list[float], limit: float, value: float
) -> None:
    bets = after(Bets(limit_ratio=limit), before)
    gained = bets.with_block(value).evidence_nats - bets.evidence_nats

    assert gained == pytest.approx(math.log1p(bets.stake * (value - limit)))


def test_a_difference_of_two_numbers_is_a_number_against_a_half() -> None:
    dice = random.Random(5)
    worse = same = betting.on_difference()
    for _ in range(200):
        stable = dice.random() * 0.5
        worse = worse.with_block(betting.difference(stable + 0.2, stable))
        same = same.with_block(betting.difference(0.5 * dice.random(), stable))

    assert worse.evidence_nats > math.log(1_000)
    assert same.evidence_nats < math.log(20)
