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
    low, high = found["ratio"]["interval"]
    assert 0 < low < 1 < high <= 2


def test_steps_begin_views_of_their_own(desk: Desk, tmp_path: Path) -> None:
    lines = (*["1500,13500,1,14"] * 60, *["7500,7500,15,7"] * 20)
    file = written(tmp_path, *lines)

    def first(*options: str) -> int | None:
        result = desk.type("judge", file, "--tolerance", "1", "-o", "json", *options)
        tick: int | None = json.loads(result.stdout)["firstFailTick"]
        return tick

    assert first() is None
    assert first("--step-at", "61") == 66


def test_a_wrong_file_exits_with_3_and_prints_nothing_for_programs(
    desk: Desk, tmp_path: Path
) -> None:
    result = desk.type("judge", written(tmp_path, "1,2,x,0"), "-o", "json")

    assert result.exit_code == 3
    assert "ticks.csv: line 2 column canary_bad is 'x'" in result.stderr
    assert result.stdout == ""


def test_a_file_that_is_not_there_is_said_to_be_so(desk: Desk, tmp_path: Path) -> None:
    result = desk.type("judge", str(tmp_path / "none.csv"))

    assert result.exit_code == 3
    assert "cannot be read (No such file or directory); name a CSV file" in result.stderr
