"""What a back-test came to, in words and for programs."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from rollout.analysis.backtest import Score, Trial
from rollout.views import tested

HOST = "reviews.shop.svc.cluster.local"
GOOD = Trial(
    pod="reviews-v1-a",
    begin_seconds=1_764_298_800,
    failed_minutes=None,
    because="",
    passed_minutes=7,
    rule_minutes=None,
)
WRONG = replace(
    GOOD,
    pod="reviews-v1-b",
    failed_minutes=12,
    passed_minutes=None,
    rule_minutes=5,
    because="errors: 3 % of 900 canary requests failed",
)
SCORE = Score().with_trials([GOOD, replace(GOOD, passed_minutes=9, rule_minutes=30), GOOD, WRONG])


def told(score: Score, *, width: int = 250) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(
            tested.view(
                score, host=HOST, span_seconds=172_800, length_seconds=3_600, promised_percent=1
            )
        )
    return captured.get()


def test_both_rules_stand_beside_each_other_with_their_counts() -> None:
    lines = told(SCORE).splitlines()

    assert lines[0].startswith(
        f"{HOST}: 4 trials of 1h in the last 2d, each with one of 2 pods as the canary"
    )
    assert lines[2].split() == ["RULE", "TAKEN", "BACK"]
    assert lines[3].split() == ["gates", "of", "this", "Rollout", "1", "of", "4", "(25", "%)"]
    assert lines[4].endswith("2 of 4 (50 %)")


def test_the_first_that_was_taken_back_is_told_with_its_reason() -> None:
    text = told(SCORE)

    assert "First: reviews-v1-b, 12m after 2025-11-28 03:00 UTC: errors: 3 % of 900" in text
    assert "Promised of the gates is at most 1 %." in text
    assert "All proofs stood in 3 trials, in half of them within 7m." in text


def test_what_could_not_be_tried_is_told_only_where_there_is_some() -> None:
    assert "could not be tried" not in told(SCORE)
    assert "1 piece of that time could not be tried: no answer." in told(SCORE.without("no answer"))


def test_programs_get_counts_and_the_wrong_ones() -> None:
    found = tested.document(SCORE, host=HOST, length_seconds=3_600)

    assert (found["trials"], found["pods"]) == (4, 2)
    assert found["gates"] == {"takenBack": 1, "proved": 3, "provedMinutesMedian": 7}
    assert found["thresholds"] == {"takenBack": 2}
    assert found["wrong"][0]["begin"] == "2025-11-28T03:00:00+00:00"
    assert tested.document(Score(), host=HOST, length_seconds=60)["gates"]["takenBack"] == 0
