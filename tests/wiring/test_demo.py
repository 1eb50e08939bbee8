"""The whole demo, as a person starts it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

BAND_Z = 3.89
"""Standard deviations within which 99.99 percent of honest samples fall."""


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "demo.svg"


@pytest.fixture(scope="module")
def summary(picture: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "rollout", "demo", "-o", "json", "--svg", str(picture)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    read: dict[str, Any] = json.loads(told.stdout)
    return read


def test_the_three_releases_end_as_they_should(summary: dict[str, Any]) -> None:
    assert [(run["revision"], run["outcome"]) for run in summary["runs"]] == [
        ("v2", "Promoted"),
        ("v3", "RolledBack"),
        ("v4", "Aborted"),
    ]


def test_the_healthy_version_climbs_the_whole_ladder(summary: dict[str, Any]) -> None:
    assert [step["weight"] for step in summary["runs"][0]["steps"]] == [1, 5, 25, 50, 100]


def test_callers_of_other_versions_notice_nothing(summary: dict[str, Any]) -> None:
    assert [run["failuresOutsideCanary"] for run in summary["runs"]] == [0, 0, 0]


def test_the_bad_version_fails_for_few_callers(summary: dict[str, Any]) -> None:
    bad = summary["runs"][1]

    assert 0 < bad["canaryFailures"] < bad["canaryRequests"]
    assert "errors" in bad["because"]


def test_the_shares_seen_in_traffic_are_those_written(summary: dict[str, Any]) -> None:
    for step in (step for run in summary["runs"] for step in run["steps"]):
        share, count = step["weight"] / 100, step["requests"]
        if count == 0:
            continue
        # The band is widened by one request on both sides, since counts are whole.
        spread = BAND_Z * math.sqrt(share * (1 - share) / count) + 1 / count
        assert abs(step["observedWeight"] / 100 - share) <= spread, step


def test_traffic_left_after_a_cause_and_not_before(summary: dict[str, Any]) -> None:
    promoted, rolled_back, aborted = (run["reactionSeconds"] for run in summary["runs"])

    assert promoted is None
    assert rolled_back > 0
    assert aborted >= 0


def test_the_picture_shows_the_bad_version_being_taken_back(
    summary: dict[str, Any], picture: Path
) -> None:
    assert summary
    text = picture.read_text().replace("&#160;", " ")

    assert text.startswith("<svg")
    assert "RollingBack" in text
