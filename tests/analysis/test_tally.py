"""Who is counted for what, series by series."""

from __future__ import annotations

from rollout.analysis.arm import Arms
from rollout.analysis.delta import Row
from rollout.analysis.query import Shape
from rollout.analysis.tally import Grid, Tally
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.evidence import ArmCounts

ARMS = Arms(label="destination_workload", stable="reviews-v1", canary="reviews-v2")
ERRORS = GateQuestion(name="errors", kind=GateKind.ERRORS, max_percent=1)
GRID = Grid(origin_ms=0, tick_ms=1_000)
QUERY = GateQuestion(name="orders", kind=GateKind.QUERY, promql="1", min=0)


def row(count: int, *, workload: str = "reviews-v2", code: str = "200", flags: str = "-") -> Row:
    metric = {
        "destination_workload": workload,
        "response_code": code,
        "response_flags": flags,
    }
    return Row(metric=metric, increments=((1000, count),))


def test_a_failed_canary_request_counts_for_the_gate_and_for_the_traffic() -> None:
    tally = Tally(arms=ARMS, gates=[ERRORS], grid=GRID)

    tally.add(Shape.REQUESTS, (), [row(90), row(10, code="503")])

    assert tally.gates({})["errors"].canary == ArmCounts(requests=100, bad=10)
    assert tally.traffic.canary == ArmCounts(requests=100, bad=10)
    assert tally.gates({})["errors"].canary_bad_ms == 1000


def test_another_workload_of_the_host_belongs_to_neither_arm() -> None:
    tally = Tally(arms=ARMS, gates=[ERRORS], grid=GRID)

    tally.add(Shape.REQUESTS, (), [row(50, workload="reviews-v3", code="500")])

    assert tally.traffic.canary == ArmCounts()
    assert tally.gates({})["errors"].stable == ArmCounts()


def test_a_request_without_an_upstream_is_nobodys_and_is_told_apart() -> None:
    tally = Tally(arms=ARMS, gates=[ERRORS], grid=GRID)

    tally.add(Shape.REQUESTS, (), [row(7, workload="unknown", code="503", flags="UH")])

    assert tally.unattributed == 7
    assert tally.gates({})["errors"].canary == ArmCounts()


def test_a_client_that_went_away_is_traffic_but_no_judgement() -> None:
    tally = Tally(arms=ARMS, gates=[ERRORS], grid=GRID)

    tally.add(Shape.REQUESTS, (), [row(5, code="0", flags="DC")])

    assert tally.traffic.canary == ArmCounts(requests=5)
    assert tally.gates({})["errors"].canary == ArmCounts()


def test_a_query_gate_counts_nothing() -> None:
    tally = Tally(arms=ARMS, gates=[QUERY], grid=GRID)

    tally.add(Shape.REQUESTS, (), [row(5)])

    assert tally.gates({}) == {}
