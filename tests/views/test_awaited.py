"""How a revision fares that somebody waits for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rollout.api.phase import Outcome, Phase
from rollout.api.status import Ending, RolloutStatus
from rollout.views import awaited, subject
from rollout.views.awaited import Awaited, Fate, Told
from tests.views.samples import (
    ABORTED,
    BY_ALICE,
    FAILED_GATES,
    NOW,
    PROGRESSING,
    ROLLED_BACK,
    STABLE,
    WAITING,
    manifest,
    run_with,
)

V3 = Awaited(revision="v3")
RUN_3 = Awaited(revision="v3", run="3")


def ending(outcome: Outcome, **changes: object) -> Ending:
    made = Ending(outcome=outcome, because="8 % failed", decided_at=NOW)
    return made.model_copy(update=changes)


def seen(
    status: RolloutStatus | None, revision: str = "v3", generation: int = 2
) -> subject.Subject:
    return subject.read(manifest(status, revision=revision, generation=generation))


def test_the_run_of_the_revision_is_followed_once_it_has_begun() -> None:
    assert awaited.follow(V3, seen(STABLE)) == V3
    assert awaited.follow(V3, seen(PROGRESSING)) == RUN_3
    assert awaited.follow(Awaited(revision="v4"), seen(PROGRESSING)).run == ""
    assert awaited.follow(RUN_3, seen(run_with(id="4"))) == RUN_3


@pytest.mark.parametrize(
    "given_up", [ending(Outcome.SUPERSEDED), ending(Outcome.ROLLED_BACK, revived=True)]
)
def test_a_run_that_makes_room_for_another_revision_is_not_the_one(given_up: Ending) -> None:
    assert awaited.follow(V3, seen(run_with(ending=given_up))) == V3


def test_a_run_that_is_taken_back_is_followed_to_its_end() -> None:
    assert awaited.follow(V3, seen(run_with(ending=ending(Outcome.ABORTED)))) == RUN_3


@pytest.mark.parametrize(
    ("outcome", "fate"),
    [
        (Outcome.PROMOTED, Fate.PROMOTED),
        (Outcome.ROLLED_BACK, Fate.ROLLED_BACK),
        (Outcome.ABORTED, Fate.ABORTED),
        (Outcome.SUPERSEDED, Fate.SUPERSEDED),
        (Outcome.DELETED, Fate.ABORTED),
    ],
)
def test_a_run_ends_as_history_says_even_if_the_next_has_begun(
    outcome: Outcome, fate: Fate
) -> None:
    past = ABORTED.model_copy(update={"id": "3", "outcome": outcome, "because": "so"})
    status = run_with(id="4").model_copy(update={"history": (past,)})

    assert awaited.end(RUN_3, seen(status)) == Told(fate=fate, because="so")


def test_a_run_in_progress_has_no_end_unless_it_is_invalid() -> None:
    invalid = PROGRESSING.model_copy(update={"phase": Phase.INVALID, "message": "odd"})

    assert awaited.end(RUN_3, seen(PROGRESSING)) is None
    assert awaited.end(RUN_3, seen(invalid)) == Told(fate=Fate.STUCK, because="odd")


def test_a_run_that_history_has_forgotten_was_superseded() -> None:
    told = awaited.end(RUN_3, seen(run_with(id="40").model_copy(update={"history": ()})))

    assert told == Told(fate=Fate.SUPERSEDED, because="run 3 is not on record any more")


def test_before_its_run_has_begun_a_revision_can_be_replaced() -> None:
    told = awaited.end(V3, seen(STABLE, "v4"))

    assert told == Told(fate=Fate.SUPERSEDED, because="v4 is wanted instead")


@pytest.mark.parametrize(
    ("status", "generation"),
    [
        (STABLE, 2),
        (STABLE, 3),
        (run_with(canary_revision="v2"), 2),
        (STABLE.model_copy(update={"phase": Phase.PENDING}), 2),
        (ROLLED_BACK.model_copy(update={"rejected_revision": "v2"}), 2),
    ],
    ids=["yet to begin", "unseen", "another goes back", "pending", "another was rejected"],
)
def test_a_run_that_has_yet_to_begin_is_waited_for(status: RolloutStatus, generation: int) -> None:
    assert awaited.end(V3, seen(status, generation=generation)) is None


def test_at_rest_the_present_state_is_the_end() -> None:
    invalid = STABLE.model_copy(update={"phase": Phase.INVALID, "message": "odd"})
    forgotten = ROLLED_BACK.model_copy(update={"history": ()})

    assert awaited.end(Awaited(revision="v2"), seen(STABLE, "v2")) == Told(
        fate=Fate.PROMOTED, because=STABLE.message
    )
    assert awaited.end(V3, seen(ROLLED_BACK)) == Told(fate=Fate.ABORTED, because=ABORTED.because)
    assert awaited.end(V3, seen(forgotten)) == Told(
        fate=Fate.ROLLED_BACK, because=ROLLED_BACK.message
    )
    assert awaited.end(V3, seen(invalid)) == Told(fate=Fate.STUCK, because="odd")


def test_when_the_time_is_over_what_is_decided_counts_as_decided() -> None:
    back = run_with(ending=ending(Outcome.ROLLED_BACK))
    blocked = PROGRESSING.model_copy(update={"phase": Phase.BLOCKED, "message": "no subset"})

    assert awaited.late(RUN_3, seen(back)) == Told(fate=Fate.ROLLED_BACK, because="8 % failed")
    assert awaited.late(RUN_3, seen(blocked)) == Told(fate=Fate.STUCK, because="no subset")
    assert awaited.late(RUN_3, seen(PROGRESSING)).fate is Fate.UNDECIDED
    assert awaited.late(V3, seen(None)).because == (
        "the controller has not answered yet; is it running?"
    )


# Lines.


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (PROGRESSING, "Progressing    25 %  step 2/4: a pause in 40s, if latency then passes"),
        (STABLE, "Stable            -  all of reviews is on v2 since 2026-11-23 07:00..."),
        (
            run_with(step=0, weight=0.0),
            "Progressing     0 %  before traffic: 1 % of the traffic, once v3 is...",
        ),
        (
            run_with(step=5, weight=100.0),
            "Progressing   100 %  bake: v3 becomes the stable revision in 3m40s,...",
        ),
        (run_with(paused=BY_ALICE), "Progressing    25 %  step 2/4: paused by alice@example.com"),
        (
            run_with(ending=ending(Outcome.ROLLED_BACK)),
            "Progressing    25 %  goes back: 8 % failed",
        ),
        (
            run_with(gates=FAILED_GATES),
            "Progressing    25 %  step 2/4: gate errors fails: 8.1 % of 86 reque...",
        ),
        (WAITING, "Waiting        25 %  step 3/4: asks (1 of 2) bob@example.com, group..."),
        (
            PROGRESSING.model_copy(update={"phase": Phase.BLOCKED, "message": "no\nsubset v3"}),
            "Blocked        25 %  no subset v3",
        ),
    ],
)
def test_a_line_of_progress_fits_80_columns(status: RolloutStatus, line: str) -> None:
    told = awaited.line(seen(status), now=NOW)

    assert told == f"12:00:00  {line}"
    assert len(told) <= 80


def test_a_line_asks_one_person_without_counting_and_tells_of_an_edit_not_looked_at() -> None:
    run = WAITING.run
    assert run is not None
    approval = run.plan.strategy.steps[2].approval
    assert approval is not None
    steps = list(run.plan.strategy.steps)
    steps[2] = steps[2].model_copy(update={"approval": approval.model_copy(update={"quorum": 1})})
    strategy = run.plan.strategy.model_copy(update={"steps": tuple(steps)})
    plan = run.plan.model_copy(update={"strategy": strategy})
    alone = run.model_copy(update={"plan": plan, "approvals": ()})
    status = WAITING.model_copy(update={"run": alone})

    assert "step 3/4: asks bob@example.com" in awaited.line(seen(status), now=NOW)
    assert "the controller has yet to look at the edit" in awaited.line(
        seen(status, generation=9), now=NOW
    )


def test_only_what_matters_makes_a_new_line() -> None:
    here = awaited.mark(seen(PROGRESSING))
    same = PROGRESSING.model_copy(update={"message": "other counts"})
    later = run_with(weight=26.0, step_started_at=NOW + timedelta(seconds=1))

    assert awaited.mark(seen(same)) == awaited.mark(seen(later)) == here
    for other in (
        run_with(step=3),
        run_with(weight=50.0),
        run_with(paused=BY_ALICE),
        run_with(gates=FAILED_GATES),
        run_with(ending=ending(Outcome.ABORTED)),
        WAITING,
        STABLE,
    ):
        assert awaited.mark(seen(other)) != here
    assert awaited.mark(seen(STABLE, "v2")) != awaited.mark(seen(STABLE))
