"""Statuses: nothing is lost on the way to the API server and back, and they stay small."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rollout.api import evidence, reading
from rollout.api.gate import ErrorRate, Gate, Judge, Latency, Query
from rollout.api.phase import ConditionType, Outcome, Phase
from rollout.api.rollout import Plan, RolloutSpec
from rollout.api.status import (
    HISTORY_MAX,
    Command,
    Condition,
    Ending,
    GateStatus,
    PastRun,
    RolloutStatus,
    Run,
)
from rollout.api.step import Check, Pause, Step, Strategy
from rollout.api.webhook import (
    BECAUSE_LENGTH_MAX,
    WEBHOOKS_MAX,
    HookPoint,
    HookResult,
    Webhook,
)
from rollout.base.errors import BadManifest

STATUS_LIMIT_BYTES = 32 * 1024
"""What a status may take: watches carry it to everybody, at each change."""

NOW = datetime(2026, 11, 23, 10, 20, 30, 123000, tzinfo=UTC)
SENTENCE = (
    "0.42 % of 123456 requests failed, at most 1 % may; the stable revision had 0.40 % of"
    " 1234567; needs about 4m more traffic before it can pass"
)
PROMQL = (
    'sum(rate(orders_total{version="{{ revision }}",namespace="{{ namespace }}",'
    'outcome="completed"}[{{ window }}])) / sum(rate(orders_total{version="{{ revision }}"'
    "}[{{ window }}]))"
)


def written(status: RolloutStatus) -> dict[str, Any]:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def gate_of(i: int) -> Gate:
    name = f"gate-with-a-name-{i:02d}"
    kinds = (
        Gate(name=name, error_rate=ErrorRate(max_ratio=1.2, max_percent=1)),
        Gate(name=name, latency=Latency(max="500ms", max_ratio=1.25)),
        Gate(name=name, query=Query(promql=PROMQL, min=0.9, relative_to="stable")),
    )
    return kinds[i % len(kinds)]


def counted(i: int) -> evidence.GateEvidence:
    arm = evidence.ArmCounts(requests=123_456_789 + i, bad=1_234_567)
    return evidence.GateEvidence(canary=arm, stable=arm, stable_before=arm, canary_bad_ms=10**12)


def plan_of(steps_count: int, gates: tuple[Gate, ...]) -> Plan:
    steps = (
        *(Step(weight=2 * i + 1, hold="10m") for i in range(steps_count - 3)),
        Step(check=Check(gates=(gates[0].name,), for_="5m")),
        Step(pause=Pause(for_="1h")),
        Step(weight=100),
    )
    hooks = tuple(
        Webhook(
            name=f"webhook-with-a-name-{i:02d}",
            point=HookPoint.BEFORE_STEP,
            url="https://hooks.example.com/rollout/reviews/with/a/token/of/some/length",
            failure="Hold",
        )
        for i in range(WEBHOOKS_MAX)
    )
    return Plan(
        host="reviews",
        strategy=Strategy(steps=steps),
        gates=gates,
        judge=Judge(min_requests=500),
        webhooks=hooks,
    )


def past(i: int) -> PastRun:
    return PastRun(
        id=str(100 + i),
        revision=f"v{i}",
        stable_revision="v0",
        outcome=Outcome.ROLLED_BACK,
        because=f"gate errors failed in step 3 at 25 %: {SENTENCE}",
        started_at=NOW,
        ended_at=NOW + timedelta(hours=1),
        steps=3,
        max_weight=25,
        canary_requests=123_456_789,
        canary_failures=1_234_567,
        by="alice@example.com",
    )


def condition(kind: ConditionType) -> Condition:
    return Condition(
        type=kind,
        status="True",
        reason="CanaryIsJudged",
        message=SENTENCE,
        last_transition_time=NOW,
        observed_generation=7,
    )


def worst(*, gates_count: int, steps_count: int, cursors_count: int) -> RolloutStatus:
    """A status that is as full as a real one may become."""
    return RolloutStatus(
        observed_generation=7,
        phase=Phase.PROGRESSING,
        reason="CanaryIsJudged",
        message=SENTENCE,
        stable_revision="v23",
        stable_since=NOW,
        rejected_revision="v22",
        run=run_of(tuple(gate_of(i) for i in range(gates_count)), steps_count, cursors_count),
        history=tuple(past(i) for i in range(HISTORY_MAX)),
        retirable=("v21", "v22"),
        conditions=tuple(condition(kind) for kind in ConditionType),
    )


def said(i: int) -> HookResult:
    return HookResult(
        name=f"webhook-with-a-name-{i:02d}",
        point=HookPoint.BEFORE_FIRST_TRAFFIC,
        step=7,
        round=120,
        outcome="Failed",
        attempts=21,
        at=NOW,
        because="x" * BECAUSE_LENGTH_MAX,
    )


def run_of(gates: tuple[Gate, ...], steps_count: int, cursors_count: int) -> Run:
    who = Command(by="alice@example.com", via="cli", at=NOW, reason="the error budget is spent")
    return Run(
        id="123",
        canary_revision="v24",
        stable_revision="v23",
        step=steps_count - 1,
        step_count=steps_count,
        weight=87.5,
        observed_weight=87.4321,
        started_at=NOW,
        step_started_at=NOW,
        settled_since=NOW,
        look_again_at=NOW,
        paused=who,
        ending=Ending(
            outcome=Outcome.ABORTED, because=SENTENCE, decided_at=NOW, gate="g", command=who
        ),
        sent_on=who,
        hooks=tuple(said(i) for i in range(WEBHOOKS_MAX)),
        plan=plan_of(steps_count, gates),
        gates=tuple(
            GateStatus(
                name=gate.name,
                verdict=evidence.Verdict.FAIL,
                because=SENTENCE,
                failed_sample_at=NOW,
            )
            for gate in gates
        ),
        evidence=evidence.RunEvidence(
            origin_ms=1_795_000_000_000,
            newest_ms=1_795_003_600_000,
            through={f"{i:08x}": 3_600_000 + i for i in range(cursors_count)},
            gates={gate.name: counted(i) for i, gate in enumerate(gates)},
            traffic=counted(0),
            canary_run=evidence.ArmCounts(requests=123_456_789, bad=1_234_567),
            unattributed=12_345,
        ),
    )


FULL = worst(gates_count=16, steps_count=50, cursors_count=evidence.TARGETS_MAX)


def test_a_status_survives_the_way_through_json() -> None:
    text = json.dumps(written(FULL))

    again = reading.read_status({"status": json.loads(text)})

    assert again == FULL
    assert json.dumps(written(again)) == text


def test_a_status_is_written_in_camel_case_and_without_empty_fields() -> None:
    status = written(FULL)

    assert status["stableRevision"] == "v23"
    assert status["run"]["stepStartedAt"] == "2026-11-23T10:20:30.123Z"
    assert status["run"]["plan"]["strategy"]["steps"][-2] == {"pause": {"for": "1h"}}
    assert "endedAt" not in status["run"]
    assert "null" not in json.dumps(status)


def test_the_fullest_status_stays_below_its_bound() -> None:
    size_bytes = len(json.dumps(written(FULL), separators=(",", ":")))

    assert size_bytes <= STATUS_LIMIT_BYTES


def test_an_ordinary_status_is_much_smaller_than_the_fullest() -> None:
    fullest = worst(gates_count=2, steps_count=5, cursors_count=6)
    assert fullest.run is not None
    plan = fullest.run.plan.model_copy(update={"webhooks": ()})
    run = fullest.run.model_copy(update={"hooks": (), "plan": plan})
    ordinary = fullest.model_copy(update={"run": run})

    assert len(json.dumps(written(ordinary), separators=(",", ":"))) < STATUS_LIMIT_BYTES // 3


def test_a_status_of_a_newer_version_is_read_without_its_new_fields() -> None:
    newer = written(FULL)
    newer["mailbox"] = [{"text": "hello"}]
    newer["run"]["plan"]["strategy"]["warmUp"] = "5m"
    for one in (*newer["history"], *newer["run"]["gates"], *newer["conditions"]):
        one["colour"] = "green"
    for step in newer["run"]["plan"]["strategy"]["steps"]:
        step["shadow"] = 10

    assert reading.read_status({"status": newer}) == FULL


def test_a_status_as_the_first_version_wrote_it_is_still_read() -> None:
    first = {
        "observedGeneration": 1,
        "phase": "Stable",
        "message": "v1 takes all traffic",
        "stableRevision": "v1",
    }

    status = reading.read_status({"status": first})

    assert (status.phase, status.stable_revision, status.run) == (Phase.STABLE, "v1", None)


def test_the_history_keeps_ten_runs_and_no_more() -> None:
    eleven = [past(i).model_dump(mode="json") for i in range(HISTORY_MAX + 1)]

    with pytest.raises(BadManifest, match=r"^status\.history is .*; use at most 10 items$"):
        reading.read_status({"status": {"history": eleven}})


def test_the_plan_of_the_longest_ladder_fits_the_status() -> None:
    steps = [{"weight": 2 * i} for i in range(1, 51)]
    spec = reading.read_spec(
        {"spec": {"host": "reviews", "revision": "v3", "strategy": {"steps": steps}}}
    )
    assert isinstance(spec, RolloutSpec)

    plan = Plan(host=spec.host, strategy=spec.strategy, gates=spec.gates, judge=spec.judge)

    assert len(plan.strategy.steps) == 50
