"""Whose the requests were that found no upstream."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from rollout.analysis.judge.lost import of_canary
from rollout.analysis.verdict import Share

TEN_OF_HUNDRED = Share(canary_count=0, stable_count=900)


def test_a_canary_that_got_nothing_of_its_share_has_lost_what_is_missing() -> None:
    assert of_canary(100, weight_percent=10, share=TEN_OF_HUNDRED) == 100


def test_a_canary_that_got_its_share_has_lost_nothing() -> None:
    share = Share(canary_count=100, stable_count=800)

    assert of_canary(100, weight_percent=10, share=share) == 0


def test_what_stable_lost_entirely_is_not_the_canarys() -> None:
    share = Share(canary_count=100, stable_count=0)

    assert of_canary(900, weight_percent=10, share=share) == 0


def test_a_canary_with_half_of_its_share_has_lost_the_other_half() -> None:
    share = Share(canary_count=500, stable_count=9_000)

    assert of_canary(500, weight_percent=10, share=share) == 500


def test_losses_that_began_before_the_step_are_left_out() -> None:
    noise = replace(TEN_OF_HUNDRED, lost_before_count=50, before_count=9_000)

    assert of_canary(105, weight_percent=10, share=noise) == 100
    assert of_canary(5, weight_percent=10, share=noise) == 0


def test_numbers_that_do_not_meet_prove_nothing() -> None:
    """The canary lacks more than was lost: callers come whom the weights do not rule."""
    share = Share(canary_count=100, stable_count=9_000)

    assert of_canary(100, weight_percent=10, share=share) == 0


def test_few_requests_prove_nothing() -> None:
    assert of_canary(3, weight_percent=10, share=Share(canary_count=0, stable_count=30)) == 0


def test_a_step_that_has_just_begun_proves_nothing() -> None:
    """Its counts may be of the weight before, which sent the canary nothing."""
    just_begun = replace(TEN_OF_HUNDRED, blur_ratio=1.0)

    assert of_canary(100, weight_percent=10, share=just_begun) == 0


@pytest.mark.parametrize("weight_percent", [0, 100])
def test_without_a_second_revision_weights_tell_nothing(weight_percent: float) -> None:
    assert of_canary(100, weight_percent=weight_percent, share=TEN_OF_HUNDRED) == 0


def test_where_others_than_weights_decide_nothing_is_told() -> None:
    assert of_canary(100, weight_percent=10, share=None) == 0


def split(random: Random, *, requests: int, ratio: float) -> int:
    return sum(random.random() < ratio for _ in range(requests))


@pytest.mark.timeout(20)
def test_what_stable_loses_by_chance_is_never_taken_for_the_canarys() -> None:
    random = Random(7)
    blamed = 0
    for _ in range(400):
        canary = split(random, requests=1_000, ratio=0.1)
        lost = split(random, requests=1_000 - canary, ratio=random.random())
        share = Share(canary_count=canary, stable_count=1_000 - canary - lost)
        blamed += of_canary(lost, weight_percent=10, share=share) > 0

    assert blamed == 0


@pytest.mark.timeout(20)
def test_a_canary_that_loses_most_is_found_out_in_nearly_every_world() -> None:
    random = Random(7)
    found = 0
    for _ in range(100):
        sent = split(random, requests=1_000, ratio=0.1)
        lost = split(random, requests=sent, ratio=0.9)
        share = Share(canary_count=sent - lost, stable_count=1_000 - sent)
        found += of_canary(lost, weight_percent=10, share=share) == lost

    assert found >= 97
