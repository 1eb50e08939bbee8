"""Whom a run waits for, in lines that a person reads."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rollout.api.evidence import Verdict
from rollout.api.phase import Outcome, Phase
from rollout.api.status import Ending, RolloutStatus, Run
from rollout.api.step import Approval, Pause, Step
from rollout.views import asked, subject
from tests.views.samples import (
    ASKING,
    BY_ALICE,
    GATES,
    NOW,
    PROGRESSING,
    RUN,
    STABLE,
    WAITING,
    manifest,
)

ENDING = Ending(outcome=Outcome.ABORTED, because="rejected", decided_at=NOW)


def waiting(**changes: object) -> RolloutStatus:
    return PROGRESSING.model_copy(
        update={"phase": Phase.WAITING, "run": RUN.model_copy(update=changes)}
    )


TIMED = PROGRESSING.run
assert TIMED is not None
BRIEF = TIMED.plan.model_copy(
    update={
        "strategy": TIMED.plan.strategy.model_copy(
            update={"steps": (Step(pause=Pause(for_="5m")),)}
        )
    }
)


@pytest.mark.parametrize(
    ("status", "waits"),
    [
        (WAITING, True),
        (waiting(step=3), True),
        (waiting(paused=BY_ALICE), True),
        (waiting(gates=(GATES[0].model_copy(update={"verdict": Verdict.FAIL}),)), True),
        (waiting(step=1, plan=BRIEF), False),
        (waiting(ending=ENDING, step=3), False),
        (PROGRESSING, False),
        (STABLE, False),
    ],
    ids=["approval", "pause", "paused", "failing", "timed", "ending", "progressing", "stable"],
)
def test_people_are_waited_for_where_only_their_word_helps(
    status: RolloutStatus, waits: bool
) -> None:
    assert asked.waits(subject.read(manifest(status))) is waits


def with_approval(run: Run, **changes: object) -> Run:
    steps = list(run.plan.strategy.steps)
    approval = steps[2].approval
    assert approval is not None
    changed: Approval = approval.model_copy(update=changes)
    steps[2] = Step(approval=changed)
    strategy = run.plan.strategy.model_copy(update={"steps": tuple(steps)})
    return run.model_copy(update={"plan": run.plan.model_copy(update={"strategy": strategy})})


def test_who_may_until_when_and_who_has_are_told() -> None:
    assert list(asked.lines(ASKING, now=NOW)) == [
        "step 3 waits for 1 more of bob@example.com, group release-managers",
        "until 2026-11-23 15:58:40 UTC, for 3h58m more; then it goes back",
        "step 3 was approved by bob@example.com (slack), 2026-11-23 11:59:40 UTC: seen in staging",
    ]


def test_where_one_is_enough_nobody_is_counted() -> None:
    run = with_approval(ASKING.model_copy(update={"approvals": ()}), quorum=1, expires_after=None)

    assert list(asked.lines(run, now=NOW)) == [
        "step 3 waits for bob@example.com, group release-managers"
    ]


def test_an_approval_that_may_be_late_says_so_before_and_after() -> None:
    run = with_approval(ASKING, on_expiry="Hold")

    before = list(asked.lines(run, now=NOW))[1]
    after = list(asked.lines(run, now=NOW + timedelta(hours=5)))[1]

    assert before.endswith("for 3h58m more; then it waits on, and is late")
    assert after == "late since 2026-11-23 15:58:40 UTC"


def test_what_is_given_or_ends_is_waited_for_no_more() -> None:
    given = with_approval(ASKING, quorum=1)
    ending = ASKING.model_copy(update={"ending": ENDING})

    for run in (given, ending):
        assert [line.split(" by ")[0] for line in asked.lines(run, now=NOW)] == [
            "step 3 was approved"
        ]


def test_a_decision_without_tool_and_reason_is_told_without() -> None:
    bare = ASKING.approvals[0].model_copy(update={"via": "", "reason": "", "verdict": "Rejected"})

    assert asked.decided(bare) == "step 3 was rejected by bob@example.com, 2026-11-23 11:59:40 UTC"
