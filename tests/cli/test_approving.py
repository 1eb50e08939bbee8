"""What approve and reject do: what they show, what they say, whom they name when refused."""

from __future__ import annotations

import json

import pytest

from rollout.api.action import Verb
from rollout.api.meta import ROLLOUT_ACTION
from tests.cli.desk import Desk, applied, ignored, refused
from tests.views.samples import PROGRESSING, ROLLED_BACK, WAITING, manifest


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.put(manifest(WAITING))
    return desk


def said(desk: Desk) -> list[tuple[str, str, int | None, str]]:
    specs = [action["spec"] for action in desk.actions]
    return [(s["verb"], s["run"], s.get("step"), s.get("reason", "")) for s in specs]


def test_what_is_approved_is_shown_before_the_answer(desk: Desk) -> None:
    desk.responder = applied("step 3 is approved; the run goes on")

    result = desk.type("approve", "reviews", "--reason", "fine")

    assert (
        result.stdout
        == """\
shop/reviews v2 → v3, run 3, step 3 of 4
  now       25 % of the traffic (24.6 % seen), since 1m20s
  then      100 % of the traffic
  approval  step 3 waits for 1 more of bob@example.com, group release-managers
            until 2026-11-23 15:58:40 UTC, for 3h58m more; then it goes back
            step 3 was approved by bob@example.com (slack), 2026-11-23 11:59:40
            UTC: seen in staging
  gates     errors   Pass     0.2 % of 1,204 requests failed
            latency  Unknown  40 more requests are needed
reviews: step 3 is approved; the run goes on
"""
    )
    assert said(desk) == [(Verb.APPROVE, "3", 3, "fine")]


def test_an_approval_for_programs_is_the_action_alone(desk: Desk) -> None:
    desk.responder = applied("step 3 is approved")

    result = desk.type("approve", "reviews", "-o", "json")

    assert json.loads(result.stdout)["status"]["outcome"] == "Applied"


def test_what_is_meant_can_be_named_and_what_comes_late_does_nothing(desk: Desk) -> None:
    desk.responder = ignored("step 2 is not the present one (3)")

    result = desk.type("approve", "reviews", "--step", "2")

    assert said(desk) == [(Verb.APPROVE, "3", 2, "")]
    assert result.stdout == "reviews: nothing done, step 2 is not the present one (3)\n"


def test_where_nothing_is_asked_nothing_is_said_and_the_step_that_will_is_named(
    desk: Desk,
) -> None:
    before = WAITING.run
    assert before is not None
    desk.status(PROGRESSING.model_copy(update={"run": before.model_copy(update={"step": 2})}))

    result = desk.type("approve", "reviews")

    assert result.exit_code == 1
    assert result.stderr == (
        "rollout: shop/reviews: step 2 of 4 asks for no approval (step 3 will); "
        "what it waits for says: rollout why reviews -n shop\n"
    )
    assert not desk.actions


def test_a_run_that_is_over_is_approved_by_nobody(desk: Desk) -> None:
    desk.status(ROLLED_BACK)

    result = desk.type("approve", "reviews")

    assert result.stderr == (
        "rollout: shop/reviews: run 3 is over; how it ended says: rollout history reviews -n shop\n"
    )


def test_who_is_no_approver_is_told_who_is(desk: Desk) -> None:
    people = "bob@example.com, group release-managers"
    desk.responder = refused(f"alice is none of the approvers of step 3; those are {people}")

    result = desk.type("approve", "reviews")

    assert result.exit_code == 1
    assert result.stderr == (
        f"rollout: reviews: refused: alice is none of the approvers of step 3; those are {people}\n"
    )


def test_who_lacks_the_right_is_told_the_role_and_whom_to_ask(desk: Desk) -> None:
    desk.cluster.admit = lambda _verb, kind, _manifest: (
        'rolloutactions.rollout.dev is forbidden: User "alice" cannot create resource '
        '"rolloutactions" in API group "rollout.dev" in the namespace "shop"'
        if kind == ROLLOUT_ACTION
        else None
    )

    result = desk.type("approve", "reviews")

    assert result.stderr == (
        "rollout: shop/reviews: alice may give no commands in namespace shop; it takes a role "
        "there such as the ClusterRole rollout-approver; step 3 waits for bob@example.com, "
        "group release-managers\n"
    )


def test_a_rejection_without_a_reason_is_wrong_usage_where_nobody_can_be_asked(
    desk: Desk,
) -> None:
    result = desk.type("reject", "reviews")

    assert result.exit_code == 2
    assert 'a rejection says why; add --reason "..."' in result.stderr
    assert not desk.actions


def test_a_person_who_rejects_is_shown_what_and_then_asked_why(desk: Desk) -> None:
    desk.responder = applied("v3 loses all traffic")
    desk.says = "no release notes"

    result = desk.type("reject", "reviews")

    assert said(desk) == [(Verb.REJECT, "3", 3, "no release notes")]
    assert result.stdout.count("shop/reviews v2 → v3, run 3, step 3 of 4\n") == 1
    assert result.stdout.endswith("reviews: v3 loses all traffic\n")


def test_a_rejection_with_its_reason_asks_nothing(desk: Desk) -> None:
    desk.responder = applied("v3 loses all traffic")

    desk.type("reject", "reviews", "--reason", "too slow")

    assert said(desk) == [(Verb.REJECT, "3", 3, "too slow")]


def test_a_dry_run_is_judged_by_the_server_and_leaves_nothing(desk: Desk) -> None:
    result = desk.type("approve", "reviews", "--dry-run")

    assert result.stdout.splitlines()[-1] == (
        "reviews: would say Approve to run 3, step 3 as alice; nothing was written"
    )
    assert not desk.actions
