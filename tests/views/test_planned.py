"""What is foretold of a run, in words and for programs."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from rollout.analysis.history import History
from rollout.api.reading import read_spec
from rollout.engine import foresight
from rollout.engine import plan as plans
from rollout.engine.foretold import Foresight
from rollout.views import planned

HISTORY = History(
    dispersion_factor=3.1,
    bad_ratio=0.00123,
    slow_ratios={500.0: 0.004},
    pods_count=6,
    span_seconds=14_400,
    why="errors are bursty: 3.1 times the evidence is needed",
)


def foretold(history: History = HISTORY, *, rps: float = 100, **spec: Any) -> Foresight:
    read = read_spec({"spec": {"host": "reviews", "revision": "v2", **spec}})
    return foresight.foresee(plans.resolve(read), history, requests_per_second=rps)


def text(found: Foresight, *, width: int = 200) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(planned.view(found))
    return captured.get()


def test_what_is_usual_stands_first_with_where_it_is_from() -> None:
    told = text(foretold())

    assert told.startswith(
        "reviews: 100 requests/s, 0.0012 % of which fail by the last 4h of 6 pods.".replace(
            "0.0012", "0.12"
        )
    )
    assert "Errors are bursty: 3.1 times the evidence is needed." in told


def test_each_gate_has_a_table_with_a_line_for_each_step() -> None:
    gates = [
        {"name": "errors", "errorRate": {"maxRatio": 1.2, "maxPercent": 1}},
        {"name": "latency", "latency": {"max": "600ms"}},
    ]

    lines = text(foretold(gates=gates)).splitlines()

    assert "errors: failed requests, at most 1.2 times stable's and at most 1 %" in lines
    assert "latency: requests slower than 500 ms, at most 1 %; 0.4 % are usual" in lines
    titles = [line.split() for line in lines if line.startswith("STEP")]
    assert titles == [["STEP", "DOES", "LASTS", "FINDS", "OUTAGE", "10×", "2×"]] * 2
    full = [line.split()[:4] for line in lines if line.lstrip().startswith("4  100")]
    assert full == [["4", "100", "%", "15s"]] * 2


def test_the_wait_for_the_proof_is_told_and_what_to_do_about_it() -> None:
    gates = [{"name": "errors", "errorRate": {"maxRatio": 1.2, "maxPercent": 0.2}}]
    strategy = {"maxDuration": "20m"}

    told = " ".join(text(foretold(rps=5, gates=gates, strategy=strategy)).split())

    assert "Step 3 also waits for the proof that errors are less than 2 times stable's" in told
    assert "That is more than strategy.maxDuration allows (20m, then Rollback)" in told
    assert "not waited for with judge.provenRatio: Off" in told


def test_a_proof_that_stands_in_time_is_said_to_do_so() -> None:
    told = text(foretold(rps=2_000))

    assert "which stands before the hold is over." in told
    assert "100 % comes after about 6m if all is well, and is watched for 5m." in told


def test_a_proof_that_never_comes_is_not_given_a_time() -> None:
    usual = History(dispersion_factor=1, bad_ratio=0.01, why="")
    found = foretold(usual, gates=[{"name": "errors", "errorRate": {"maxPercent": 1}}])
    never = planned.document(found)
    assert never["totalSeconds"] is not None  # the ratio proves it, however slowly

    gates = [{"name": "tcp", "tcpFailures": {"maxPercent": 1}}]
    told = text(foretold(gates=gates))
    assert "tcp is not foretold: past hours are not asked about connections." in told


def test_a_ramp_is_told_by_how_it_grows() -> None:
    ramp = {"maxWeight": 50, "riskBudgetRequests": 30, "minHold": "1m"}
    gates = [{"name": "errors", "errorRate": {"maxRatio": 1.2, "maxPercent": 1}}]

    told = text(foretold(rps=1_000, strategy={"steps": [{"ramp": ramp}]}, gates=gates))

    assert "Step 1 grows to 50 % in about" in told
    assert "which stands before the hold is over" in told


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_the_terminal(width: int) -> None:
    gates = [{"name": "errors", "errorRate": {"maxRatio": 1.2, "maxPercent": 1}}]
    steps = [{"weight": 1, "hold": "5m"}, {"pause": {}}, {"weight": 50, "hold": "10m"}]

    told = text(foretold(gates=gates, strategy={"steps": steps}), width=width)

    assert max(map(len, told.splitlines())) <= width
    assert "until promoted" in told
    assert "The time until somebody promotes a pause is not counted." in told.replace("\n", " ")


def test_programs_get_numbers_and_null_where_there_is_none() -> None:
    steps = [{"weight": 10, "hold": "1h"}, {"pause": {}}]

    gates = [{"name": "errors", "errorRate": {"maxPercent": 1}}]

    found = planned.document(foretold(strategy={"steps": steps}, gates=gates))

    assert found["requestsPerSecond"] == 100
    assert found["dispersionFactor"] == 3.1
    assert [one["lastsSeconds"] for one in found["steps"]] == [3_600, None, 15]
    gate = found["gates"][0]
    first, pause = gate["steps"]
    assert (first["number"], pause["number"]) == (1, 2)
    assert first["proofSeconds"] == pytest.approx(3_035, abs=1)  # of less than 2 times 0.123 %
    assert first["failures"]["outage"]["found"] is True
    assert first["failures"]["double"] == {"count": pytest.approx(88.56), "found": False}
    assert pause["failures"]["double"] == {"count": None, "found": False}
