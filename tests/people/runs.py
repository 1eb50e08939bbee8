"""Runs to look at in Slack: one service, with an approval in its ladder, at many moments."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from rollout.api.evidence import Verdict
from rollout.api.phase import Outcome, Phase
from rollout.api.rollout import Plan
from rollout.api.status import Command, Decided, Ending, GateStatus, RolloutStatus, Run
from rollout.api.step import Approval, Approvers, Step, Strategy
from rollout.views.subject import Subject, read
from tests.views.samples import NOW, PLAN, PROGRESSING, PROMOTED, RUN, manifest

APPROVERS = Approvers(
    slack_users=("U0ALICE", "U0BOB"),
    slack_groups=("S0MANAGERS",),
    users=("carol@example.com",),
)

LADDER: Plan = PLAN.model_copy(
    update={
        "strategy": Strategy(
            steps=(
                Step(weight=1, hold="2m"),
                Step(weight=25, hold="2m"),
                Step(approval=Approval(approvers=APPROVERS, quorum=2, expires_after="4h")),
                Step(weight=50, hold="5m"),
                Step(weight=100),
            ),
            bake="10m",
        )
    }
)

PASSING = (
    GateStatus(
        name="errors",
        verdict=Verdict.PASS,
        because="errors: 0.2 % of 1,204 requests to v3 failed, 0.3 % of 3,614 to v2",
    ),
    GateStatus(
        name="latency",
        verdict=Verdict.PASS,
        because="latency: 1.1 % of 1,204 requests took longer than 500 ms, 1.0 % of stable's",
    ),
)

CLIMBING = RUN.model_copy(
    update={
        "id": "14",
        "plan": LADDER,
        "step_count": 5,
        "gates": (
            PASSING[0],
            GateStatus(
                name="latency",
                verdict=Verdict.UNKNOWN,
                because="latency: 40 more requests are needed, in about 30s",
            ),
        ),
    }
)

ALICE = Decided(step=3, verdict="Approved", by="alice@example.com", via="slack", at=NOW, reason="")
BOB = Decided(step=3, verdict="Approved", by="slack:U0BOB", via="slack", at=NOW, reason="looks ok")
CAROL = Decided(
    step=3, verdict="Approved", by="carol@example.com", via="cli", at=NOW, reason="carts are fine"
)
NO = Decided(
    step=3, verdict="Rejected", by="slack:U0BOB", via="slack", at=NOW, reason="carts are empty"
)
ABORT = Command(by="carol@example.com", via="cli", at=NOW, reason="checkout is slow")
LUNCH = Command(by="slack:U0BOB", via="slack", at=NOW, reason="lunch")

WAITS = (
    "25 % of reviews goes to v3 (step 3 of 5); waits for approval by 2 of carol@example.com, "
    "Slack user U0ALICE, Slack user U0BOB, Slack group S0MANAGERS; goes back at 15:58 UTC: "
    "`rollout approve reviews`"
)


def status(run: Mapping[str, Any], **changes: Any) -> RolloutStatus:
    shown: Run = CLIMBING.model_copy(update=run)
    return PROGRESSING.model_copy(update={"history": (PROMOTED,), "run": shown, **changes})


def ending(outcome: Outcome, because: str, **changes: Any) -> Ending:
    return Ending(outcome=outcome, because=because, decided_at=NOW, **changes)


FAILED = "8.1 % of 86 requests to v3 failed, more than maxPercent 1"

STATES: Mapping[str, RolloutStatus] = MappingProxyType(
    {
        "preparing": status(
            {"step": 0, "weight": 0.0, "observed_weight": None, "gates": ()},
            phase=Phase.PREPARING,
            message="v3 gets no traffic yet; its subset and endpoints are made sure of",
        ),
        "progressing": status(
            {}, message="25 % of reviews goes to v3 (step 2 of 5) until 12:00:40"
        ),
        "approval": status(
            {"step": 3, "gates": PASSING, "approvals": (ALICE,)},
            phase=Phase.WAITING,
            message=WAITS,
        ),
        "approved": status(
            {"step": 4, "weight": 50.0, "gates": PASSING, "approvals": (ALICE, BOB, CAROL)},
            message="50 % of reviews goes to v3 (step 4 of 5)",
        ),
        "paused": status(
            {"paused": LUNCH},
            phase=Phase.WAITING,
            message="25 % of reviews goes to v3 (step 2 of 5); slack:U0BOB paused it: lunch",
        ),
        "baking": status(
            {"step": 6, "weight": 100.0, "observed_weight": 99.97, "gates": PASSING},
            phase=Phase.BAKING,
            message="all of reviews goes to v3, watched until 12:08:40",
        ),
        "rolling back": status(
            {
                "weight": 0.0,
                "gates": (
                    PASSING[1],
                    GateStatus(name="errors", verdict=Verdict.FAIL, because=f"errors: {FAILED}"),
                ),
                "ending": ending(Outcome.ROLLED_BACK, FAILED, gate="errors"),
            },
            phase=Phase.ROLLING_BACK,
            message=f"all of reviews goes back to v2: {FAILED}",
        ),
        "rolled back": status(
            {
                "weight": 0.0,
                "gates": (
                    PASSING[1],
                    GateStatus(name="errors", verdict=Verdict.FAIL, because=f"errors: {FAILED}"),
                ),
                "ending": ending(Outcome.ROLLED_BACK, FAILED, gate="errors"),
                "ended_at": NOW,
            },
            phase=Phase.ROLLED_BACK,
            message=f"all of reviews is on v2: {FAILED}",
            rejected_revision="v3",
        ),
        "rejected": status(
            {
                "step": 3,
                "weight": 0.0,
                "approvals": (ALICE, NO),
                "ending": ending(
                    Outcome.ABORTED,
                    "rejected by slack:U0BOB: carts are empty",
                    command=Command(
                        by="slack:U0BOB", via="slack", at=NOW, reason="carts are empty"
                    ),
                ),
                "ended_at": NOW,
            },
            phase=Phase.ROLLED_BACK,
            message="all of reviews is on v2: rejected by slack:U0BOB: carts are empty",
            rejected_revision="v3",
        ),
        "aborted": status(
            {
                "weight": 0.0,
                "ending": ending(
                    Outcome.ABORTED,
                    "aborted by carol@example.com: checkout is slow",
                    command=ABORT,
                ),
                "ended_at": NOW,
            },
            phase=Phase.ROLLED_BACK,
            message="all of reviews is on v2: aborted by carol@example.com: checkout is slow",
            rejected_revision="v3",
        ),
        "promoted": status(
            {
                "step": 6,
                "weight": 100.0,
                "gates": PASSING,
                "approvals": (ALICE, BOB, CAROL),
                "ending": ending(Outcome.PROMOTED, "promoted after 31m"),
                "ended_at": NOW + timedelta(minutes=27),
            },
            phase=Phase.STABLE,
            message="all of reviews is on v3 since 2026-11-23 12:27 UTC",
            stable_revision="v3",
        ),
        "blocked": status(
            {},
            phase=Phase.BLOCKED,
            message="VirtualService shop/reviews is not there; create it, or let traffic.create",
        ),
    }
)
"""Every state that a head message can show."""


def subject(name: str, **changes: Any) -> Subject:
    return of(STATES[name], **changes)


def of(found: RolloutStatus, **changes: Any) -> Subject:
    return read(manifest(found, **changes))
