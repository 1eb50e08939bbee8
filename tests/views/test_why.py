"""Explanations, as a person reads them in 80 columns, without colour."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rollout.api.notify import News, Sink, Telling
from rollout.api.status import Note, RolloutStatus
from rollout.views import subject, why
from tests.views.samples import (
    ASKING,
    BY_ALICE,
    NOW,
    PROGRESSING,
    ROLLED_BACK,
    STABLE,
    WAITING,
    manifest,
    printed,
    run_with,
)


def explained(status: RolloutStatus | None, revision: str = "v3") -> str:
    return printed(why.why(subject.read(manifest(status, revision=revision)), now=NOW))


def test_why_tells_causes_then_the_future_then_commands() -> None:
    assert (
        explained(PROGRESSING)
        == """\
reviews is Progressing: 25 % of reviews goes to v3 (step 2 of 4); a pause at
12:00:40 UTC if latency passes.
  because gate errors passes: 0.2 % of 1,204 requests failed
  because gate latency cannot say yet: 40 more requests are needed
Next: a pause in 40s, if latency then passes.
You can:
  rollout promote reviews -n shop          end this step now
  rollout promote reviews --full -n shop   go to 100 % at once
  rollout pause reviews -n shop            stay at 25 %
  rollout abort reviews -n shop            take all traffic back to v2"""
    )


def test_why_names_the_gate_that_ended_a_run() -> None:
    text = explained(ROLLED_BACK)

    assert "it was decided at 11:59:59 UTC to go back to v2: gate errors failed" in text
    assert "rollout retry reviews -n shop" in text


def test_why_names_the_person_who_paused() -> None:
    text = explained(run_with(paused=BY_ALICE))

    assert "because alice@example.com paused it at 12:00:00 UTC (lunch)" in text


def test_why_tells_that_the_controller_has_not_looked() -> None:
    assert "the newest edit has not been looked at yet" in explained(None)


def test_why_tells_what_the_revision_was_asked_for() -> None:
    document = manifest(PROGRESSING, annotations={subject.REASON_ANNOTATION: "ticket 4711"})

    text = printed(why.why(subject.read(document), now=NOW))

    assert "because v3 was asked for: ticket 4711" in text


@pytest.mark.parametrize("status", [PROGRESSING, STABLE, ROLLED_BACK, None])
def test_why_takes_at_most_a_dozen_lines(status: RolloutStatus | None) -> None:
    assert len(explained(status).splitlines()) <= 12


def test_why_tells_who_has_approved_and_what_nobody_was_told() -> None:
    telling = Telling(
        id=1,
        news=News.WAITING,
        run="3",
        at=NOW - timedelta(minutes=5),
        message="waits",
        still=(Sink.SLACK,),
    )
    text = explained(WAITING.model_copy(update={"outbox": (telling,)}))

    assert "because step 3 was approved by bob@example.com (slack)" in text
    assert "  note: 1 message still to be told to slack, since 11:55:00 UTC.\n" in text
    assert "rollout approve reviews -n shop" in text


def test_an_approval_that_is_given_is_offered_to_nobody() -> None:
    run = ASKING.model_copy(
        update={
            "approvals": (
                *ASKING.approvals,
                ASKING.approvals[0].model_copy(update={"by": "carol@example.com"}),
            )
        }
    )

    assert "rollout approve" not in explained(
        WAITING.model_copy(update={"run": run, "message": "goes on"})
    )


def test_notes_of_the_run_stand_after_the_causes() -> None:
    note = Note(reason="FaultInjected", message="http route primary injects faults")

    told = explained(PROGRESSING.model_copy(update={"notes": (note,)})).splitlines()

    assert told[4] == "  note: http route primary injects faults."
    assert told[5].startswith("Next:")
