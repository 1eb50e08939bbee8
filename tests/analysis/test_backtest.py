"""Past hours of the same code: gates take next to nothing of it back, thresholds what they meet."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from rollout.analysis import backtest
from rollout.analysis.backtest import Score, Trial
from rollout.analysis.history import Minutes
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.evidence import Baseline

GATE = GateQuestion(
    name="errors",
    kind=GateKind.ERRORS,
    max_ratio=1.2,
    max_percent=5,
    proven_ratio=2.0,
    steps_count=2,
)
BASELINE = Baseline(dispersion_factor=1, bad_ratios={"errors": 0.01})
BEGIN = 28_333_320


def pods(
    *, count: int = 3, minutes: int = 240, bad: float = 0.01, seed: int = 1
) -> dict[str, Minutes]:
    """Pods that get 600 requests a minute."""
    dice = random.Random(seed)
    return {
        f"p{number}": {
            BEGIN + minute: (600, sum(dice.random() < bad for _ in range(600)))
            for minute in range(minutes)
        }
        for number in range(count)
    }


def tried(found: dict[str, Minutes], *, length: int = 60, gate: GateQuestion = GATE) -> Score:
    return Score().with_trials(backtest.trials(found, [gate], BASELINE, length_minutes=length))


def test_each_pod_is_a_canary_in_each_stretch() -> None:
    score = tried(pods())

    assert len(score.trials) == 12
    assert score.pods_count == 3
    assert {one.begin_seconds % 3_600 for one in score.trials} == {0}
    assert [one.failed_minutes for one in score.trials] == [None] * 12
    assert len(score.passed_minutes) == 12


def test_what_is_usual_for_all_pods_a_threshold_takes_back_and_the_gate_does_not() -> None:
    score = tried(pods())

    assert score.ruled_out_count == 12
    assert score.failed == ()


def test_one_bad_pod_is_taken_back_and_the_gate_says_why() -> None:
    found = pods()
    worse = pods(count=1, bad=0.04, seed=2)["p0"]

    score = tried({**found, "p1": worse}, length=120)

    assert {one.pod for one in score.failed} == {"p1"}
    first = score.failed[0]
    assert first.failed_minutes is not None
    assert first.failed_minutes < 20
    assert first.passed_minutes is None
    assert "canary requests failed" in first.because


def test_bursts_that_nobody_told_of_are_taken_for_regressions_and_with_their_factor_hardly() -> (
    None
):
    dice = random.Random(3)
    bursts: dict[str, Minutes] = {
        f"p{number}": {BEGIN + minute: (600, 40 * (dice.random() < 0.1)) for minute in range(480)}
        for number in range(4)
    }

    raw = tried(bursts)
    calm = Score().with_trials(
        backtest.trials(
            bursts,
            [GATE],
            BASELINE.model_copy(update={"dispersion_factor": 40.0}),
            length_minutes=60,
        )
    )

    assert len(raw.failed) > 5
    assert len(calm.failed) <= 1


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_a_pod_with_a_gap_is_left_out_of_that_stretch_and_one_alone_is_no_trial(kept: int) -> None:
    found = pods(count=kept + 1, minutes=60)
    gap = {m: counts for m, counts in found["p0"].items() if m != BEGIN + 30}

    score = tried({**found, "p0": gap})

    assert len(score.trials) == (kept if kept > 1 else 0)
    assert "p0" not in {one.pod for one in score.trials}


def test_of_many_pods_a_few_are_tried_and_others_the_next_time() -> None:
    score = tried(pods(count=20, minutes=120, bad=0))

    assert len(score.trials) == 2 * backtest.CANARIES_MAX
    assert score.pods_count == 16


def test_a_minute_without_a_request_has_failed_by_the_threshold_rule() -> None:
    found = pods(minutes=60, bad=0)
    idle = {m: (0, 0) if m < BEGIN + 10 else counts for m, counts in found["p0"].items()}

    first = next(one for one in tried({**found, "p0": idle}).trials if one.pod == "p0")

    assert first.rule_minutes == 5
    assert first.failed_minutes is None


def test_any_gate_takes_a_release_back_and_all_must_pass() -> None:
    found = {**pods(), "p1": pods(count=1, bad=0.04, seed=2)["p0"]}
    lenient = replace(GATE, name="lenient", max_ratio=None, max_percent=50)
    unsure = replace(GATE, name="unsure", min_requests=10**9)

    def together(*gates: GateQuestion) -> Score:
        return Score().with_trials(backtest.trials(found, gates, BASELINE, length_minutes=120))

    assert together(lenient).failed == ()
    assert {one.pod for one in together(lenient, GATE).failed} == {"p1"}
    assert len(together(lenient).passed_minutes) == 6
    assert together(lenient, unsure).passed_minutes == ()


def test_a_score_adds_up() -> None:
    one = Trial(
        pod="a", begin_seconds=0, failed_minutes=None, because="", passed_minutes=9, rule_minutes=5
    )
    score = Score().with_trials([one]).with_trials([replace(one, pod="b", passed_minutes=4)])
    score = score.without("no answer").without("too much")

    assert score.passed_minutes == (4, 9)
    assert (score.pods_count, score.ruled_out_count) == (2, 2)
    assert (score.missing_count, score.missing) == (2, "too much")
