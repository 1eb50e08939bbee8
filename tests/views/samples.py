"""Rollouts to look at: one service, seen at different moments of its life."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

from rich.console import Console, RenderableType

from rollout.api.evidence import Verdict
from rollout.api.gate import ErrorRate, Gate, Judge, Latency
from rollout.api.meta import ROLLOUT, Manifest
from rollout.api.phase import Outcome, Phase
from rollout.api.rollout import Plan
from rollout.api.status import Command, Decided, Ending, GateStatus, PastRun, RolloutStatus, Run
from rollout.api.step import Approval, Approvers, Pause, Step, Strategy

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

PLAN = Plan(
    host="reviews",
    strategy=Strategy(
        steps=(
            Step(weight=1, hold="2m"),
            Step(weight=25, hold="2m"),
            Step(pause=Pause()),
            Step(weight=100),
        ),
        bake="5m",
    ),
    gates=(
        Gate(name="errors", error_rate=ErrorRate(max_percent=1)),
        Gate(name="latency", latency=Latency(max="500ms")),
    ),
    judge=Judge(),
)

GATES = (
    GateStatus(name="errors", verdict=Verdict.PASS, because="0.2 % of 1,204 requests failed"),
    GateStatus(name="latency", verdict=Verdict.UNKNOWN, because="40 more requests are needed"),
)

RUN = Run(
    id="3",
    canary_revision="v3",
    stable_revision="v2",
    step=2,
    step_count=4,
    weight=25,
    observed_weight=24.6,
    started_at=NOW - timedelta(minutes=4),
    step_started_at=NOW - timedelta(seconds=80),
    plan=PLAN,
    gates=GATES,
)

PROMOTED = PastRun(
    id="1",
    revision="v2",
    stable_revision="v1",
    outcome=Outcome.PROMOTED,
    because="promoted after 12m",
    started_at=NOW - timedelta(hours=5, minutes=12),
    ended_at=NOW - timedelta(hours=5),
    steps=4,
    max_weight=100,
    canary_requests=120_345,
    canary_failures=12,
)

ABORTED = PastRun(
    id="2",
    revision="v3",
    stable_revision="v2",
    outcome=Outcome.ABORTED,
    because="aborted by alice@example.com: checkout is slow",
    started_at=NOW - timedelta(hours=2, minutes=3),
    ended_at=NOW - timedelta(hours=2),
    steps=2,
    max_weight=25,
    canary_requests=1_204,
    canary_failures=96,
    by="alice@example.com",
)

PROGRESSING = RolloutStatus(
    observed_generation=2,
    phase=Phase.PROGRESSING,
    reason="Holding",
    message="25 % of reviews goes to v3 (step 2 of 4); a pause at 12:00:40 UTC if latency passes",
    stable_revision="v2",
    run=RUN,
    history=(ABORTED, PROMOTED),
)

STABLE = RolloutStatus(
    observed_generation=2,
    phase=Phase.STABLE,
    reason="Promoted",
    message="all of reviews is on v2 since 2026-11-23 07:00 UTC",
    stable_revision="v2",
    history=(PROMOTED,),
    retirable=("v1",),
)

FAILED_GATES = (
    GateStatus(
        name="errors",
        verdict=Verdict.FAIL,
        because="8.1 % of 86 requests failed, more than maxPercent 1",
        failed_sample_at=NOW - timedelta(seconds=2),
    ),
    GATES[1],
)

ROLLED_BACK = PROGRESSING.model_copy(
    update={
        "phase": Phase.ROLLED_BACK,
        "message": "all of reviews is on v2: 8.1 % of 86 requests failed, more than maxPercent 1",
        "rejected_revision": "v3",
        "run": RUN.model_copy(
            update={
                "weight": 0.0,
                "gates": FAILED_GATES,
                "ended_at": NOW,
                "ending": Ending(
                    outcome=Outcome.ROLLED_BACK,
                    because="8.1 % of 86 requests failed, more than maxPercent 1",
                    decided_at=NOW - timedelta(seconds=1),
                    gate="errors",
                ),
            }
        ),
    }
)

ASKING = RUN.model_copy(
    update={
        "step": 3,
        "weight": 25.0,
        "plan": PLAN.model_copy(
            update={
                "strategy": Strategy(
                    steps=(
                        Step(weight=1, hold="2m"),
                        Step(weight=25, hold="2m"),
                        Step(
                            approval=Approval(
                                approvers=Approvers(
                                    users=("bob@example.com",), groups=("release-managers",)
                                ),
                                quorum=2,
                                expires_after="4h",
                            )
                        ),
                        Step(weight=100),
                    )
                )
            }
        ),
        "approvals": (
            Decided(
                step=3,
                verdict="Approved",
                by="bob@example.com",
                via="slack",
                at=NOW - timedelta(seconds=20),
                reason="seen in staging",
            ),
        ),
    }
)
"""A run that waits for a second person to approve."""

WAITING = PROGRESSING.model_copy(
    update={
        "phase": Phase.WAITING,
        "reason": "WaitingForApproval",
        "message": "25 % of reviews goes to v3 (step 3 of 4); waits for approval by 2 of "
        "bob@example.com, group release-managers (1 so far: bob@example.com); goes back at "
        "15:58:40 UTC: `rollout approve reviews`",
        "run": ASKING,
    }
)

BY_ALICE = Command(by="alice@example.com", via="cli", at=NOW, reason="lunch")


def manifest(
    status: RolloutStatus | None = None,
    *,
    name: str = "reviews",
    revision: str = "v3",
    generation: int = 2,
    **metadata: Any,
) -> Manifest:
    document: Manifest = {
        "apiVersion": ROLLOUT.api_version,
        "kind": ROLLOUT.kind,
        "metadata": {
            "name": name,
            "namespace": "shop",
            "generation": generation,
            "creationTimestamp": "2026-11-20T12:00:00Z",
            **metadata,
        },
        "spec": {"host": "reviews", "revision": revision},
    }
    if status is not None:
        document["status"] = status.model_dump(mode="json", exclude_none=True)
    return document


def run_with(**changes: Any) -> RolloutStatus:
    """The Rollout in progress, with a run that differs so."""
    return PROGRESSING.model_copy(update={"run": RUN.model_copy(update=changes)})


def printed(view: RenderableType, *, width: int = 80) -> str:
    """What a person reads, without colour; trailing spaces gone."""
    console = Console(file=StringIO(), width=width, highlight=False, color_system=None)
    console.print(view)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines())
