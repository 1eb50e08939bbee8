"""Explanations, as a person reads them in 80 columns, without colour."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rollout.api.notify import News, Sink, Telling
from rollout.api.status import Note, RolloutStatus
from rollout.api.webhook import HookPoint, HookResult, Webhook
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


SMOKE = Webhook(
    name="smoke", point=HookPoint.BEFORE_STEP, url="https://hooks.example.com/", failure="Hold"
)
SAID = HookResult(
    name="smoke",
    point=HookPoint.BEFORE_STEP,
    step=3,
    outcome="Failed",
    attempts=4,
    at=NOW,
    because="https://hooks.example.com answered 409: two tests fail",
)


def waiting(reason: str, *said: HookResult, **fields: Any) -> RolloutStatus:
    plan = PROGRESSING.run.plan.model_copy(update={"webhooks": (SMOKE,)})  # type: ignore[union-attr]
    message = "25 % of reviews goes to v3 (step 2 of 4); a pause when webhook smoke passes"
    return run_with(plan=plan, hooks=said, **fields).model_copy(
        update={"reason": reason, "message": message}
    )


def test_why_tells_which_webhook_is_waited_for() -> None:
    text = explained(waiting("WaitingForWebhook"))

    assert "a pause when webhook smoke passes." in " ".join(text.split())
    assert "Next: a pause once webhook smoke passes." in text
    assert "rollout promote reviews -n shop" in text


def test_why_tells_what_a_webhook_said_and_offers_nothing_that_would_be_refused() -> None:
    text = explained(waiting("WebhookFails", SAID))

    assert "because webhook smoke failed before step 3" in text
    assert "two tests fail (asked 4 times)" in " ".join(text.split())
    assert "it is asked anew every 60 s" in " ".join(text.split())
    assert "rollout promote" not in text
    assert "rollout abort reviews -n shop" in text


def test_why_tells_a_run_that_was_sent_to_100_percent_what_it_waits_for() -> None:
    last = SMOKE.model_copy(update={"point": HookPoint.BEFORE_PROMOTION})
    status = waiting("WaitingForWebhook", promoted_full=BY_ALICE)
    assert status.run is not None
    plan = status.run.plan.model_copy(update={"webhooks": (last,)})
    run = status.run.model_copy(update={"plan": plan})

    text = explained(status.model_copy(update={"run": run}))

    assert "Next: 100 % of the traffic once webhook smoke passes." in text
