"""What a recorded release adds up to."""

from __future__ import annotations

import pytest

from rollout.views import measure
from rollout.views.measure import Damage, Rung, Sample, Written

VERSIONS = ("v1", "v2")


def written(at_seconds: float, weight: float) -> Written:
    return Written(at_seconds=at_seconds, shares={"v1": 100 - weight, "v2": weight})


def steady(*weights: float) -> list[Sample]:
    """One sample a second, 100 answers a second, of which so many percent were the canary's."""
    stable = canary = 0.0
    samples = []
    for second, weight in enumerate(weights):
        samples.append(
            Sample(at_seconds=second, answers={"v1": int(stable), "v2": int(canary)}, failures={})
        )
        stable, canary = stable + 100 - weight, canary + weight
    return samples


def test_counters_become_a_sample_in_which_errors_are_failures() -> None:
    counters = {
        "answers": {
            "v1": {"200": 90, "404": 2},
            "v2": {"200": 5, "500": 3, "200/13": 1, "200/0": 4},
            "unknown": {"503": 7},
        },
        "outcomes": {"timeout": 2, "closed": 1},
    }

    sample = measure.sample(counters, at_seconds=5.0, versions=VERSIONS)

    assert sample == Sample(
        at_seconds=5.0,
        answers={"v1": 92, "v2": 13, "": 7},
        failures={"v1": 0, "v2": 4, "": 7},
        lost_count=3,
    )


def test_a_weight_is_measured_from_when_it_is_in_force_to_the_next_write() -> None:
    writes = [written(0, 0), written(2, 10), written(6, 50)]
    samples = steady(0, 0, 0, 10, 10, 10, 50, 50, 50, 50, 50)

    rungs = measure.rungs(writes, samples, canary="v2", until=10)

    assert rungs == (
        Rung(weight=10, requests=300, observed_percent=10),
        Rung(weight=50, requests=300, observed_percent=50),
    )


def test_a_weight_that_was_written_twice_is_one_weight() -> None:
    writes = [written(0, 10), written(3, 10)]

    rungs = measure.rungs(writes, steady(*[10] * 9), canary="v2", until=8)

    assert [(rung.weight, rung.requests) for rung in rungs] == [(10, 700)]


def test_a_weight_that_was_in_force_too_briefly_has_no_share() -> None:
    writes = [written(0, 10), written(1.5, 0)]

    rungs = measure.rungs(writes, steady(10, 10, 0), canary="v2", until=2)

    assert rungs == (Rung(weight=10, requests=0, observed_percent=None),)


def test_no_answer_gives_no_share() -> None:
    idle = [Sample(at_seconds=second, answers={}, failures={}) for second in range(5)]

    rungs = measure.rungs([written(0, 10)], idle, canary="v2", until=4)

    assert rungs == (Rung(weight=10, requests=0, observed_percent=None),)


def test_what_was_written_after_the_end_does_not_count() -> None:
    rungs = measure.rungs([written(9, 10)], steady(*[0] * 12), canary="v2", until=8)

    assert rungs == ()


def test_damage_is_what_came_to_pass_between_two_moments() -> None:
    before = Sample(
        at_seconds=0, answers={"v1": 100, "v2": 0}, failures={"v1": 1, "": 1}, lost_count=1
    )
    within = Sample(
        at_seconds=5, answers={"v1": 150, "v2": 9}, failures={"v1": 1, "v2": 3, "": 1}, lost_count=1
    )
    after = Sample(
        at_seconds=11,
        answers={"v1": 200, "v2": 20},
        failures={"v1": 2, "v2": 4, "": 3},
        lost_count=2,
    )

    damage = measure.damage([before, within, after], canary="v2", since=1, until=10)

    assert damage == Damage(canary_requests=20, canary_failures=4, outside_failures=4)


def test_without_samples_there_is_no_damage() -> None:
    damage = measure.damage([], canary="v2", since=0, until=1)

    assert damage == Damage(canary_requests=0, canary_failures=0, outside_failures=0)


def test_the_return_is_the_first_write_without_the_canary_after_the_cause() -> None:
    writes = [written(0, 0), written(2, 10), written(6, 0), written(7, 0)]

    assert measure.returned_at(writes, canary="v2", since=3) == 6
    assert measure.returned_at(writes, canary="v2", since=8) is None


@pytest.mark.parametrize(("seconds", "share"), [(1, 50), (0.5, None), (10, 30)])
def test_a_share_is_that_of_the_last_seconds(seconds: float, share: float | None) -> None:
    samples = steady(10, 10, 50, 50, 50)

    assert measure.shares(samples, version="v2", seconds=seconds, until=4) == share
