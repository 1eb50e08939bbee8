"""``rollout judge``: what recorded ticks say, in words, in JSON and as an exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rollout.analysis import recorded
from tests.cli.desk import Desk

HEADER = ",".join(recorded.COLUMNS)
RISING = ("750,14250,4,13", "760,14240,3,15", "1500,13500,9,12")
EVEN = ("7500,7500,7,8",)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def written(folder: Path, *lines: str, header: str = HEADER) -> str:
    file = folder / "ticks.csv"
    file.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return str(file)


def test_a_canary_that_fails_oftener_is_told_in_one_sentence_with_its_interval(
    desk: Desk, tmp_path: Path
) -> None:
    result = desk.type("judge", written(tmp_path, *RISING))

    assert result.exit_code == 1
    told = " ".join(result.stdout.split())
    assert told.startswith(
        "Fail: canary fails 5.6× as often as stable [1.8, 15] (16 of 3,010 canary requests were"
        " bad); rollback at 99 % confidence"
    )
    assert "for a rollback 3,751 to 1 100 to 1 tick 3" in told
    assert "for a promotion 0.024 to 1 20 to 1 never" in told


def test_programs_get_the_evidence_in_logarithms(desk: Desk, tmp_path: Path) -> None:
    file = written(tmp_path, *RISING)
    result = desk.type("judge", file, "--tolerance", "1", "--dispersion", "2", "-o", "json")

    found = json.loads(result.stdout)
    assert found["ratio"]["logEvidenceRollback"] == pytest.approx(4.568391457903, rel=1e-9)
    assert found["combined"]["rollbackAt"] == pytest.approx(4.605170185988)
    assert (found["verdict"], found["firstFailTick"]) == ("Unknown", None)
    assert result.exit_code == 2


def test_a_canary_proved_to_be_well_exits_with_0_and_says_how_well(
    desk: Desk, tmp_path: Path
) -> None:
    result = desk.type("judge", written(tmp_path, *EVEN * 5), "-o", "json")

    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert found["verdict"] == "Pass"
    assert found["because"].endswith("less than 2× at 95 % confidence")
    assert found["firstPassTick"] == 4
    assert 0 < found["ratio"]["interval"][0] < 1 < found["ratio"]["interval"][1] < 2


def test_columns_come_in_any_order_and_others_are_passed_over(desk: Desk, tmp_path: Path) -> None:
    header = "time,stable_bad,canary_bad,stable_requests,canary_requests"
    lines = ("12:00,13,4,14250,750", "", "12:01,15,3,14240,760", "12:02,12,9,13500,1500")
    result = desk.type("judge", written(tmp_path, *lines, header=header), "-o", "json")

    assert json.loads(result.stdout)["firstFailTick"] == 3


def test_steps_begin_views_of_their_own(desk: Desk, tmp_path: Path) -> None:
    lines = (*["1500,13500,1,14"] * 60, *["7500,7500,15,7"] * 20)
    file = written(tmp_path, *lines)

    def first(*options: str) -> int:
        result = desk.type("judge", file, "--tolerance", "1", "-o", "json", *options)
        tick: int = json.loads(result.stdout)["firstFailTick"]
        return tick

    assert 60 < first("--step-at", "61") < first()


@pytest.mark.parametrize(
    ("header", "line", "told"),
    [
        ("canary_requests,stable_requests", "1,2", "line 1 has no column canary_bad; begin the"),
        (HEADER, "1,2,3", "line 2 column stable_bad is empty; make it a whole number"),
        (HEADER, "1,2,x,0", "line 2 column canary_bad is 'x'; make it a whole number from 0 to"),
        (HEADER, "1,2,1.5,0", "line 2 column canary_bad is '1.5'"),
        (HEADER, "1,2,-1,0", "line 2 column canary_bad is '-1'"),
        (HEADER, "1,2,3,0", "line 2 column canary_bad is 3, more than the 1 of canary_requests"),
    ],
)
def test_a_wrong_file_is_told_by_line_and_column_and_exits_with_3(
    desk: Desk, tmp_path: Path, header: str, line: str, told: str
) -> None:
    result = desk.type("judge", written(tmp_path, line, header=header))

    assert result.exit_code == 3
    assert told in result.stderr
    assert result.stdout == ""


def test_a_file_that_is_not_there_is_said_to_be_so(desk: Desk, tmp_path: Path) -> None:
    result = desk.type("judge", str(tmp_path / "none.csv"))

    assert result.exit_code == 3
    assert "cannot be read (No such file or directory); name a CSV file" in result.stderr
