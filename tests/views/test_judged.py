"""What a gate says to recorded ticks, as people and programs read it."""

from __future__ import annotations

import json

from rich.console import Console

from rollout.analysis.judge.ratio import Counts
from rollout.analysis.judge.ratio_gate import Promises
from rollout.analysis.judge.replay import replay
from rollout.views import judged

OUTAGE = (Counts(750, 14_250, 750, 14),)


def shown(ticks: tuple[Counts, ...]) -> str:
    promises = Promises()
    console = Console(width=120)
    with console.capture() as captured:
        console.print(judged.view(replay(ticks, promises), promises))
    return captured.get()


def test_an_outage_is_told_in_numbers_that_people_can_read() -> None:
    told = shown(OUTAGE)

    assert "Fail: canary fails 1,018× as often as stable [431, ∞]" in told
    assert "10^" in told
    assert "tick 1" in told


def test_nothing_bad_is_nothing_to_compare() -> None:
    assert "Unknown: 0 of 100 canary requests were bad" in shown((Counts(100, 900, 0, 0),))


def test_programs_get_json_without_infinities() -> None:
    promises = Promises()

    found = judged.document(replay(OUTAGE, promises), promises)

    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["ratio"]["interval"][1] is None
    assert found["firstFailTick"] == 1
