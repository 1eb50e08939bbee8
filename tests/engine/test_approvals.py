"""Steps that wait for people: who may say yes, how many must, and what comes of a no."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rollout.api.action import Verb
from rollout.api.phase import Outcome, Phase
from tests.world.engine_world import FAIL, UNKNOWN, World, always, at_step, spec_of

ALICE, BOB, EVE = "alice@example.com", "bob@example.com", "eve@example.com"


def waiting(**approval: Any) -> World:
    """A run at its approval: step 2, after 5 percent."""
    fields = {"approvers": {"users": [ALICE, BOB]}, **approval}
    steps = [{"weight": 5, "hold": "30s"}, {"approval": fields}, {"weight": 100}]
    return at_step(2, spec=spec_of(strategy={"steps": steps, "maxDuration": "8h"})).after(10)


def says(world: World, verb: Verb, by: str, **fields: Any) -> tuple[str, str]:
    """Give a command and return its answer."""
    name = world.give(verb, actor=by, **{"step": world.run.step, **fields})
    world.settle()
    answer = world.answers[name]
    return answer.outcome, answer.message


def test_it_waits_at_the_present_weight_and_names_whom_it_waits_for() -> None:
    world = waiting()
    world.after(3000)

    assert (world.phase, world.percent) == ("Waiting", 5)
    assert world.status.reason == "WaitingForApproval"
    assert world.message == (
        "5 % of reviews goes to v2 (step 2 of 3); waits for approval by alice@example.com, "
        "bob@example.com: `rollout approve reviews`"
    )


def test_an_approver_sends_it_on_and_is_remembered() -> None:
    world = waiting()

    assert says(world, Verb.APPROVE, ALICE, reason="looks good", via="cli") == (
        "Applied",
        "step 2 is approved",
    )

    (decided,) = world.run.approvals
    assert (decided.step, decided.verdict, decided.by) == (2, "Approved", ALICE)
    assert (decided.via, decided.reason) == ("cli", "looks good")
    assert (world.run.step, world.percent) == (3, 100)
    world.until(Phase.STABLE)


def test_a_stranger_is_told_who_may_and_changes_nothing() -> None:
    world = waiting()

    assert says(world, Verb.APPROVE, EVE) == (
        "Refused",
        f"{EVE} is none of the approvers of step 2; those are {ALICE}, {BOB}",
    )
    assert says(world, Verb.REJECT, EVE)[0] == "Refused"
    assert world.run.step == 2
    assert world.run.approvals == ()


def test_a_group_may_approve_and_a_name_that_only_looks_like_one_of_slack_may_not() -> None:
    world = waiting(approvers={"groups": ["release"], "slackUsers": ["U0001"]})
    assert says(world, Verb.APPROVE, EVE, groups=["slack:U0001"])[0] == "Refused"

    assert says(world, Verb.APPROVE, EVE, groups=["release"])[0] == "Applied"


@pytest.mark.parametrize("group", ["slack:U0001", "slack:S0001"])
def test_members_and_groups_of_slack_may_where_slack_vouches_for_them(group: str) -> None:
    world = waiting(approvers={"slackUsers": ["U0001"], "slackGroups": ["S0001"]})

    said = says(world, Verb.APPROVE, "slack:U0001", groups=[group], via="slack")

    assert said[0] == "Applied"
    assert world.run.approvals[0].by == "slack:U0001"


def test_a_quorum_wants_different_people() -> None:
    world = waiting(quorum=2)

    assert says(world, Verb.APPROVE, ALICE)[1] == "step 2 is approved; 1 more must approve"
    assert says(world, Verb.APPROVE, ALICE, sequence=2)[1] == "is in effect already"
    assert world.run.step == 2
    assert "by 2 of alice@example.com, bob@example.com (1 so far: alice@" in world.message

    assert says(world, Verb.APPROVE, BOB)[0] == "Applied"
    assert world.run.step == 3


def test_one_person_under_two_names_is_no_quorum() -> None:
    approvers = {"users": [ALICE, BOB], "slackUsers": ["U0001"]}
    world = waiting(quorum=2, approvers=approvers)

    says(world, Verb.APPROVE, ALICE)
    says(world, Verb.APPROVE, "slack:U0001", groups=["slack:U0001"], via="slack")

    assert world.run.step == 2


def test_who_rejects_ends_the_run_and_is_named() -> None:
    world = waiting(quorum=2)
    says(world, Verb.APPROVE, ALICE)

    assert says(world, Verb.REJECT, BOB, reason="not on a Friday")[0] == "Applied"
    world.until(Phase.ROLLED_BACK)

    assert world.run.ending is not None
    assert world.run.ending.outcome is Outcome.ABORTED
    assert world.run.ending.because == ("step 2 was rejected by bob@example.com: not on a Friday")
    assert world.status.history[0].by == BOB
    assert world.on_stable


def test_nobody_approves_in_time_and_the_run_ends() -> None:
    world = waiting(expiresAfter="4h")
    began = world.run.step_started_at
    assert "; goes back at " in world.message

    world.until(Phase.ROLLED_BACK)

    assert world.run.ending is not None
    assert world.run.ending.decided_at - began == timedelta(hours=4)
    assert world.run.ending.because == "nobody approved step 2 within 4h"
    assert world.run.ending.outcome is Outcome.ABORTED


def test_an_expired_approval_that_holds_can_still_be_given() -> None:
    world = waiting(expiresAfter="10m", onExpiry="Hold")
    world.after(1200)
    assert "; late since " in world.message

    assert says(world, Verb.APPROVE, ALICE)[0] == "Applied"
    assert world.run.step == 3


def test_gates_go_on_judging_while_people_think() -> None:
    world = waiting()
    world.says = always(FAIL)

    world.until(Phase.ROLLED_BACK)

    assert world.run.approvals == ()
    assert world.on_stable


def test_a_failing_gate_that_came_first_makes_an_approval_late() -> None:
    world = waiting()
    world.says = always(FAIL)
    name = world.give(Verb.APPROVE, actor=ALICE, step=2)
    world.settle()

    assert world.answers[name].outcome == "Ignored"
    assert world.run.ending is not None


def test_nobody_promotes_past_an_approval() -> None:
    world = waiting()

    assert says(world, Verb.PROMOTE, ALICE) == (
        "Refused",
        "step 2 waits for an approval: `rollout approve reviews`",
    )


def test_who_goes_straight_to_100_percent_past_an_approval_needs_the_right_to_approve() -> None:
    steps = [{"weight": 5, "hold": "30s"}, {"approval": {"approvers": {"users": [ALICE]}}}]
    world = at_step(1, spec=spec_of(strategy={"steps": steps}))

    assert says(world, Verb.PROMOTE_FULL, EVE) == (
        "Refused",
        f"step 2 waits for an approval, and {EVE} is none of its approvers ({ALICE})",
    )
    assert says(world, Verb.PROMOTE_FULL, ALICE)[0] == "Applied"
    assert world.percent == 100


def test_nobody_alone_goes_past_an_approval_that_wants_two() -> None:
    world = waiting(quorum=2)
    assert says(world, Verb.PROMOTE_FULL, ALICE) == (
        "Refused",
        "step 2 waits for 2 people to approve, which one cannot pass",
    )

    says(world, Verb.APPROVE, BOB)
    assert says(world, Verb.PROMOTE_FULL, ALICE, sequence=2)[0] == "Applied"


@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.REJECT])
def test_an_approval_names_run_and_step_and_does_nothing_for_others(verb: Verb) -> None:
    world = waiting()

    assert says(world, verb, ALICE, step=1)[0] == "Ignored"
    assert says(world, verb, ALICE, step=3)[0] == "Ignored"
    assert says(world, verb, ALICE, run="0")[0] == "Ignored"
    assert world.run.approvals == ()


def test_a_step_that_asks_for_none_ignores_an_approval() -> None:
    world = at_step(1)

    assert says(world, Verb.APPROVE, ALICE) == ("Ignored", "step 1 asks for no approval")


def test_what_is_said_twice_or_answered_late_is_in_effect_already() -> None:
    world = waiting()
    says(world, Verb.APPROVE, ALICE)
    assert world.run.step == 3

    assert says(world, Verb.APPROVE, ALICE, step=2, sequence=2) == (
        "Applied",
        "is in effect already",
    )
    assert says(world, Verb.APPROVE, BOB, step=2)[0] == "Ignored"
    assert len(world.run.approvals) == 1


def test_names_that_nobody_has_checked_approve_nothing() -> None:
    world = waiting()
    world.unverified = "nobody checks who speaks; install manifests/identity.yaml"

    for verb in (Verb.APPROVE, Verb.REJECT, Verb.PROMOTE_FULL):
        assert says(world, verb, ALICE) == ("Refused", world.unverified)
    assert says(world, Verb.ABORT, ALICE)[0] == "Applied"


def test_a_paused_run_is_approved_and_goes_on_when_it_is_resumed() -> None:
    world = waiting()
    says(world, Verb.PAUSE, BOB)

    says(world, Verb.APPROVE, ALICE)
    assert world.run.step == 2

    says(world, Verb.RESUME, BOB)
    assert world.run.step == 3


def test_people_may_approve_while_all_is_closed_and_the_run_goes_on_when_it_opens() -> None:
    world = waiting()
    world.suspended = True
    world.settle().after(60)
    assert world.status.reason == "WaitingForApproval"

    assert says(world, Verb.APPROVE, ALICE)[0] == "Applied"
    assert (world.run.step, world.status.reason) == (2, "Suspended")

    world.suspended = False
    world.settle()
    assert world.run.step == 3


def test_an_edit_of_the_spec_in_mid_run_takes_no_approval_away() -> None:
    world = waiting()
    world.spec = spec_of(strategy={"steps": [{"weight": 5, "hold": "1s"}, {"weight": 100}]})
    world.generation += 1

    world.after(3600)

    assert world.run.step == 2
    assert world.phase == "Waiting"


def test_who_approved_and_then_skips_has_still_said_it_once() -> None:
    world = waiting(quorum=2)
    says(world, Verb.APPROVE, ALICE)

    assert says(world, Verb.PROMOTE_FULL, ALICE) == (
        "Refused",
        "step 2 waits for 2 people to approve, which one cannot pass",
    )


@pytest.mark.parametrize("name", ["oidc:alice@example.com", "Alice@Example.com", "alice"])
def test_a_name_of_slack_and_one_of_the_cluster_may_be_one_person(name: str) -> None:
    world = waiting(quorum=2, approvers={"groups": ["release"], "slackUsers": ["U0001"]})

    says(world, Verb.APPROVE, name, groups=["release"], via="cli")
    says(world, Verb.APPROVE, ALICE, groups=["slack:U0001"], via="slack")

    assert world.run.step == 2


def test_users_whom_the_approvers_name_count_together_whatever_their_tool() -> None:
    world = waiting(quorum=2)

    says(world, Verb.APPROVE, ALICE, via="slack", groups=["slack:U0001"])
    says(world, Verb.APPROVE, BOB, via="cli")

    assert world.run.step == 3


def test_nobodys_abort_sends_traffic_to_a_stable_revision_that_cannot_take_it() -> None:
    world = waiting(expiresAfter="10m")
    world.ready = {"v1": 0, "v2": 2}
    world.settle().after(1200)

    assert world.percent == 5
    assert world.status.reason == "StableNotReady"


def test_an_approval_that_ends_the_run_waits_for_gates_as_a_pause_would() -> None:
    approval = {"approvers": {"users": [ALICE]}}
    steps = [{"weight": 100, "hold": "30s"}, {"approval": approval}]
    spec = spec_of(strategy={"steps": steps, "bake": "0s"})
    world = at_step(2, spec=spec).after(10)
    world.says = always(UNKNOWN)
    says(world, Verb.APPROVE, ALICE)

    assert world.phase == "Waiting"


def test_what_was_said_in_time_counts_though_nobody_was_there_to_hear_it() -> None:
    world = waiting(expiresAfter="10m")
    said_at = world.now
    world.now += timedelta(hours=1)
    name = world.give(Verb.APPROVE, actor=ALICE, step=2)
    world.waiting[-1] = replace(world.waiting[-1], given_at=said_at)
    world.settle()

    assert world.answers[name].outcome == "Applied"
    assert world.run.step == 3


def test_what_was_said_too_late_does_not() -> None:
    world = waiting(expiresAfter="10m")
    world.now += timedelta(hours=1)
    world.give(Verb.APPROVE, actor=ALICE, step=2)
    world.waiting[-1] = replace(world.waiting[-1], given_at=world.now)
    world.settle()

    assert world.run.ending is not None


def test_who_is_heard_beside_a_reject_is_told_that_it_came_to_nothing() -> None:
    world = waiting()
    pause = world.give(Verb.PAUSE, actor=BOB)
    reject = world.give(Verb.REJECT, actor=ALICE, step=2)
    world.settle()

    assert world.answers[reject].outcome == "Applied"
    assert world.answers[pause].outcome == "Ignored"
    assert world.answers[pause].message == f"{ALICE} rejected step 2"
