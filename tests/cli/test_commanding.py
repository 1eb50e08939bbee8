"""What set, promote, abort, pause, resume, retry and undo do, and what they say."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from rollout.api.action import ActionOutcome, ActionSpec, Verb, action_name
from rollout.api.meta import ROLLOUT, ROLLOUT_ACTION, Manifest
from rollout.api.phase import Outcome, Phase
from rollout.api.status import Ending, RolloutStatus
from rollout.base import errors
from rollout.views.subject import REASON_ANNOTATION
from tests.cli.desk import Desk, applied, ignored, refused
from tests.views.samples import (
    BY_ALICE,
    NOW,
    PROGRESSING,
    PROMOTED,
    ROLLED_BACK,
    RUN,
    STABLE,
    manifest,
    run_with,
)


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.put(manifest(PROGRESSING))
    return desk


def going_back() -> RolloutStatus:
    ending = Ending(outcome=Outcome.ABORTED, because="aborted", decided_at=NOW)
    run = RUN.model_copy(update={"weight": 0.0, "ending": ending})
    return PROGRESSING.model_copy(update={"run": run, "phase": Phase.ROLLING_BACK})


def take_back(desk: Desk, action: Manifest) -> tuple[ActionOutcome, str]:
    del action
    desk.status(going_back())
    return ActionOutcome.APPLIED, "v3 loses all traffic"


# Set.


def test_set_writes_the_revision_and_the_reason(desk: Desk) -> None:
    result = desk.type("set", "reviews", "v4", "--reason", "ticket 4711")

    assert desk.rollout["spec"]["revision"] == "v4"
    assert desk.rollout["metadata"]["annotations"][REASON_ANNOTATION] == "ticket 4711"
    assert result.stdout == (
        "reviews: v4 is wanted instead of v3\nfollow it with: rollout get reviews --watch -n shop\n"
    )


def test_set_without_a_reason_takes_an_old_one_away(desk: Desk) -> None:
    desk.type("set", "reviews", "v4", "--reason", "ticket 4711")

    desk.type("set", "reviews", "v5")

    assert REASON_ANNOTATION not in desk.rollout["metadata"]["annotations"]


def test_set_to_what_is_wanted_already_writes_nothing_and_says_so(desk: Desk) -> None:
    result = desk.type("set", "reviews", "v3")

    assert result.stdout == "reviews: unchanged, v3 is wanted already\n"
    assert not desk.cluster.writes


def test_set_to_a_revision_that_was_taken_back_tells_of_retry(desk: Desk) -> None:
    desk.status(ROLLED_BACK)

    result = desk.type("set", "reviews", "v3")

    assert result.stdout.endswith("run it again with: rollout retry reviews -n shop\n")


# Commands name what they mean.


@pytest.mark.parametrize(
    ("words", "verb", "step"),
    [
        (["promote", "reviews"], Verb.PROMOTE, 2),
        (["promote", "reviews", "--full"], Verb.PROMOTE_FULL, None),
        (["pause", "reviews"], Verb.PAUSE, None),
        (["resume", "reviews"], Verb.RESUME, 2),
        (["retry", "reviews"], Verb.RETRY, None),
        (["promote", "reviews", "--step", "1"], Verb.PROMOTE, 1),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_a_command_names_run_step_person_and_reason(
    desk: Desk, words: list[str], verb: Verb, step: int | None
) -> None:
    desk.responder = applied("done")

    result = desk.type(*words, "--reason", "because")

    spec = ActionSpec(
        rollout="reviews", run="3", step=step, verb=verb, actor="alice", via="cli", reason="because"
    )
    assert [action["spec"] for action in desk.actions] == [
        spec.model_dump(mode="json", exclude_none=True)
    ]
    uid = desk.rollout["metadata"]["uid"]
    assert desk.actions[0]["metadata"]["name"] == action_name(spec, uid=uid)
    assert result.stdout == "reviews: done\n"


def test_the_run_that_is_meant_can_be_named(desk: Desk) -> None:
    desk.responder = ignored("run 2 is not the present one (3)")

    result = desk.type("abort", "reviews", "--run", "2")

    assert desk.actions[0]["spec"]["run"] == "2"
    assert (result.exit_code, result.stdout) == (
        0,
        "reviews: nothing done, run 2 is not the present one (3)\n",
    )


def test_a_refusal_is_an_error_with_the_reason(desk: Desk) -> None:
    desk.responder = refused("gate errors fails: 8 % failed")

    result = desk.type("promote", "reviews")

    assert result.exit_code == 1
    assert result.stderr == "rollout: reviews: refused: gate errors fails: 8 % failed\n"


def test_a_command_for_programs_prints_the_action_with_its_answer(desk: Desk) -> None:
    desk.responder = applied("step 2 ends")

    result = desk.type("promote", "reviews", "-o", "json")

    document = json.loads(result.stdout)
    assert document["kind"] == "RolloutAction"
    assert document["status"]["outcome"] == "Applied"


def test_a_command_to_a_run_that_cannot_be_read_says_so_and_where_the_remedy_stands(
    desk: Desk,
) -> None:
    broken = manifest(PROGRESSING)
    del broken["status"]["run"]["plan"]
    desk.put(broken)

    result = desk.type("abort", "reviews")

    assert result.exit_code == 1
    assert result.stderr == (
        "rollout: shop/reviews: status.run.plan is missing, so nobody knows what there is to abort;"
        " what to do says: rollout get reviews -n shop\n"
    )


def test_a_command_before_the_first_run_says_how_to_start_one(desk: Desk) -> None:
    desk.status(STABLE)

    result = desk.type("abort", "reviews")

    assert result.exit_code == 1
    assert result.stderr == (
        "rollout: shop/reviews: there has been no run yet, so there is nothing to abort; "
        "start one with: rollout set reviews REVISION -n shop\n"
    )


def test_a_command_that_nobody_answers_ends_after_the_timeout(desk: Desk) -> None:
    result = desk.type("pause", "reviews", "--timeout", "50ms")

    assert result.exit_code == 1
    assert result.stderr.endswith(
        "has had no answer for 0.05 s; it stands, and is obeyed once a controller runs; "
        "is one running?\n"
    )


def test_a_wrong_timeout_is_wrong_usage(desk: Desk) -> None:
    result = desk.type("pause", "reviews", "--timeout", "soon")

    assert result.exit_code == 2
    assert "'soon' is not a duration such as 90s, 10m or 1h30m" in result.stderr


def test_a_server_that_refuses_the_person_is_quoted(desk: Desk) -> None:
    desk.cluster.admit = lambda _verb, kind, _manifest: (
        "alice may not promote rollout shop/reviews" if kind == ROLLOUT_ACTION else None
    )

    result = desk.type("promote", "reviews")

    assert result.exit_code == 1
    assert "alice may not promote rollout shop/reviews" in result.stderr


def test_of_a_policys_refusal_its_own_sentence_is_told(desk: Desk) -> None:
    desk.cluster.admit = lambda _verb, kind, _manifest: (
        'rolloutactions.rollout.dev "a" is forbidden: ValidatingAdmissionPolicy '
        "'rollout-identity' with binding 'rollout-identity' denied request: alice may not promote "
        "Rollout shop/reviews"
        if kind == ROLLOUT_ACTION
        else None
    )

    result = desk.type("promote", "reviews")

    assert result.exit_code == 1
    assert result.stderr == "rollout: shop/reviews: alice may not promote Rollout shop/reviews\n"


def test_who_may_give_no_commands_is_told_which_role_lets_them(desk: Desk) -> None:
    desk.cluster.admit = lambda _verb, kind, _manifest: (
        'rolloutactions.rollout.dev is forbidden: User "alice" cannot create resource '
        '"rolloutactions" in API group "rollout.dev" in the namespace "shop"'
        if kind == ROLLOUT_ACTION
        else None
    )

    result = desk.type("promote", "reviews")

    assert result.stderr == (
        "rollout: shop/reviews: alice may give no commands in namespace shop; it takes a role "
        "there such as the ClusterRole rollout-operator\n"
    )


# Trying.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("promote", "reviews"), "would say Promote to run 3, step 2 as alice"),
        (("promote", "reviews", "--full"), "would say PromoteFull to run 3 as alice"),
        (("abort", "reviews"), "would say Abort to run 3 as alice"),
        (("pause", "reviews"), "would say Pause to run 3 as alice"),
        (("resume", "reviews"), "would say Resume to run 3, step 2 as alice"),
        (("retry", "reviews"), "would say Retry to run 3 as alice"),
        (("set", "reviews", "v4"), "v4 would be wanted instead of v3"),
    ],
)
def test_a_dry_run_tells_what_it_would_do_and_does_nothing(
    desk: Desk, words: tuple[str, ...], told: str
) -> None:
    result = desk.type(*words, "--dry-run")

    assert result.stdout == f"reviews: {told}; nothing was written\n"
    assert not desk.cluster.writes


def test_a_dry_run_is_refused_where_the_deed_would_be(desk: Desk) -> None:
    desk.cluster.admit = lambda _verb, _kind, _manifest: (
        "denied by policy 'a': ValidatingAdmissionPolicy 'a' denied request: alice may not"
    )

    assert desk.type("abort", "reviews", "--dry-run").stderr == (
        "rollout: shop/reviews: alice may not\n"
    )
    assert desk.type("set", "reviews", "v4", "--dry-run").stderr == "rollout: alice may not\n"


def test_a_dry_run_of_what_was_said_already_says_so(desk: Desk) -> None:
    desk.responder = applied("step 2 ends")
    desk.type("promote", "reviews")

    result = desk.type("promote", "reviews", "--dry-run")

    assert result.stdout == (
        "reviews: Promote was said to run 3, step 2 before; it would not be repeated\n"
    )


def test_a_dry_run_for_programs_is_the_object_that_would_be_made(desk: Desk) -> None:
    result = desk.type("abort", "reviews", "--dry-run", "-o", "json")

    assert json.loads(result.stdout)["spec"]["verb"] == "Abort"
    assert not desk.actions


# Saying it twice.


def test_what_was_said_already_is_not_said_again_but_its_answer_is_told(desk: Desk) -> None:
    desk.responder = applied("step 2 ends")
    desk.type("promote", "reviews")

    result = desk.type("promote", "reviews")

    assert len(desk.actions) == 1
    assert result.stdout == "reviews: step 2 ends (said before)\n"


def test_what_was_refused_may_be_said_again(desk: Desk) -> None:
    desk.responder = refused("gate errors fails")
    desk.type("promote", "reviews")
    desk.responder = applied("step 2 ends")

    result = desk.type("promote", "reviews")

    assert result.stdout == "reviews: step 2 ends\n"
    assert sorted(action["spec"]["sequence"] for action in desk.actions) == [1, 2]


def test_a_run_that_was_paused_and_resumed_can_be_paused_again(desk: Desk) -> None:
    desk.responder = applied("stays at 25 % until resumed")
    desk.type("pause", "reviews")

    desk.type("pause", "reviews")

    assert sorted(action["spec"]["sequence"] for action in desk.actions) == [1, 2]


def test_a_paused_run_is_not_paused_twice(desk: Desk) -> None:
    desk.responder = applied("stays at 25 % until resumed")
    desk.type("pause", "reviews")
    desk.status(run_with(paused=BY_ALICE))

    result = desk.type("pause", "reviews")

    assert len(desk.actions) == 1
    assert result.stdout.endswith("(said before)\n")


def test_a_command_whose_answer_was_lost_on_the_way_is_given_once(desk: Desk) -> None:
    desk.responder = applied("step 2 ends")
    desk.cluster.faults.refuse(verb="create", kind=ROLLOUT_ACTION, after=True)

    result = desk.type("promote", "reviews")

    assert (result.exit_code, len(desk.actions)) == (0, 1)


def test_a_server_that_stays_away_is_one_sentence(desk: Desk) -> None:
    refusal = errors.Unreachable("https://10.0.0.1:6443", why="connection refused")
    desk.cluster.faults.refuse(refusal, times=99)

    result = desk.type("abort", "reviews")

    assert result.exit_code == 1
    assert result.stderr == (
        "rollout: https://10.0.0.1:6443 cannot be reached: connection refused\n"
    )


# Abort.


def test_abort_returns_when_the_traffic_has_left(desk: Desk) -> None:
    desk.responder = applied("v3 loses all traffic")
    desk.later = [lambda: None, lambda: None, lambda: desk.status(going_back())]

    result = desk.type("abort", "reviews")

    words, seconds = result.stdout.removesuffix(" s after the command\n").split(", ")
    assert words == "reviews: v3 gets no traffic any more"
    assert float(seconds) >= 0.03


def test_abort_waits_in_vain_when_the_traffic_does_not_leave(desk: Desk) -> None:
    desk.responder = applied("v3 loses all traffic")

    result = desk.type("abort", "reviews", "--timeout", "100ms")

    assert result.exit_code == 1


def test_abort_said_again_tells_that_the_traffic_has_left(desk: Desk) -> None:
    desk.responder = take_back
    desk.type("abort", "reviews")

    result = desk.type("abort", "reviews")

    assert result.stdout == "reviews: v3 gets no traffic any more\n"


# Undo.


def promoted(**changes: object) -> RolloutStatus:
    return STABLE.model_copy(
        update={"history": (PROMOTED.model_copy(update=changes),), "stable_revision": "v2"}
    )


def start_run(desk: Desk) -> None:
    run = RUN.model_copy(
        update={"id": "4", "canary_revision": "v1", "step": 0, "weight": 0.0, "ended_at": None}
    )
    desk.status(STABLE.model_copy(update={"run": run, "phase": Phase.PREPARING}))


def test_undo_goes_back_at_once_to_what_was_stable_lately(desk: Desk) -> None:
    desk.put(manifest(promoted(), revision="v2"))
    desk.later = [lambda: start_run(desk)]
    desk.responder = applied("goes to 100 %; the bake follows")

    result = desk.type("undo", "reviews")

    assert desk.rollout["spec"]["revision"] == "v1"
    assert [(a["spec"]["verb"], a["spec"]["run"]) for a in desk.actions] == [("PromoteFull", "4")]
    assert result.stdout == (
        "reviews: goes back from v2 to v1, at once: it was stable until 07:00:00 UTC\n"
        "reviews: goes to 100 %; the bake follows\n"
    )


def test_undo_of_something_long_ago_goes_by_the_ladder(desk: Desk) -> None:
    desk.put(manifest(promoted(ended_at=NOW - timedelta(days=2)), revision="v2"))

    result = desk.type("undo", "reviews")

    assert desk.rollout["spec"]["revision"] == "v1"
    assert not desk.actions
    assert "by the ladder" in result.stdout


def test_undo_can_be_tried(desk: Desk) -> None:
    desk.put(manifest(promoted(), revision="v2"))

    result = desk.type("undo", "reviews", "--dry-run")

    assert result.stdout == (
        "reviews: would go back from v2 to v1, at once: it was stable until 07:00:00 UTC; "
        "nothing was written\n"
    )
    assert desk.rollout["spec"]["revision"] == "v2"


def test_undo_in_mid_run_points_to_abort(desk: Desk) -> None:
    result = desk.type("undo", "reviews")

    assert result.exit_code == 1
    assert result.stderr == (
        "rollout: shop/reviews: v3 is on trial and v2 still stable; "
        "take the trial back with: rollout abort reviews -n shop\n"
    )
    assert desk.rollout["spec"]["revision"] == "v3"


def test_undo_of_what_was_taken_back_already_goes_no_further_back(desk: Desk) -> None:
    desk.status(ROLLED_BACK)

    result = desk.type("undo", "reviews")

    assert result.stderr == (
        "rollout: shop/reviews: v3 was taken back already and v2 is live; "
        "to leave that, too, name another: rollout set reviews REVISION -n shop\n"
    )
    assert desk.rollout["spec"]["revision"] == "v3"


def test_undo_that_may_not_pass_an_approval_says_that_it_goes_by_the_ladder(desk: Desk) -> None:
    desk.put(manifest(promoted(), revision="v2"))
    desk.later = [lambda: start_run(desk)]
    desk.responder = refused("step 3 waits for an approval, and alice is none of its approvers")

    result = desk.type("undo", "reviews")

    assert result.exit_code == 1
    assert result.stderr.endswith("none of its approvers; so it goes by the ladder\n")


def test_undo_without_a_past_says_so(desk: Desk) -> None:
    desk.put(manifest(STABLE.model_copy(update={"history": ()}), revision="v2"))

    result = desk.type("undo", "reviews")

    assert result.exit_code == 1
    assert "its history knows no revision that was stable before v2" in result.stderr
    assert ROLLOUT.plural not in {write.plural for write in desk.cluster.writes}
