"""Stories at rest: adopting a service, starting or not, wrong specs, retry, deletion, edits."""

from __future__ import annotations

from fractions import Fraction

import pytest

from rollout.api.action import ActionOutcome, Verb
from rollout.api.phase import Outcome, Phase
from rollout.api.status import HISTORY_MAX, PastRun, RolloutStatus
from rollout.api.traffic import Problem
from tests.world.engine_world import MORNING, World, at_step, spec_of

APPLIED, IGNORED, REFUSED = ActionOutcome.APPLIED, ActionOutcome.IGNORED, ActionOutcome.REFUSED

SHADOWED = Problem(reason="SubsetShadowed", message="subset v2 is defined twice; remove one")


def at_rest(**fields: object) -> World:
    """A service whose stable revision v1 is wanted."""
    return World(spec=spec_of(revision="v1"), **fields).settle()  # type: ignore[arg-type]


def rolled_back() -> World:
    world = at_step(2)
    world.tell(Verb.ABORT, reason="too slow")
    return world.until(Phase.ROLLED_BACK)


def test_adoption_moves_nothing_and_starts_nothing_peers_11() -> None:
    world = World(spec=spec_of(revision="v1"))

    world.settle()

    assert world.phase == "Stable"
    assert world.status.stable_revision == "v1"
    assert world.status.run is None
    assert world.writes == 1
    assert world.on_stable
    assert world.message == "all of reviews is on v1 since 2026-03-02 09:00 UTC"


def test_another_host_is_adopted_anew_whatever_was_stable_before() -> None:
    world = rolled_back()
    assert world.spec is not None
    world.shares = {"v3": Fraction(1)}

    world.edit(world.spec.model_copy(update={"host": "ratings", "revision": "v3"})).settle()

    assert world.status.host == "ratings"
    assert world.status.stable_revision == "v3"
    assert world.phase == "Stable"


def test_the_same_host_in_full_is_not_another() -> None:
    world = rolled_back()
    assert world.spec is not None
    full = f"{world.spec.host}.bookinfo.svc.cluster.local"

    world.edit(world.spec.model_copy(update={"host": full})).settle()

    assert world.phase == "RolledBack"
    assert world.status.rejected_revision == "v2"


def test_adoption_with_another_revision_wanted_starts_a_run_from_the_one_with_all_traffic() -> None:
    world = World()

    world.settle()

    assert world.phase == "Preparing"
    assert (world.run.stable_revision, world.run.canary_revision) == ("v1", "v2")
    assert world.on_stable


def test_a_split_found_at_adoption_is_blocked_and_names_both_ways_out() -> None:
    world = World(shares={"v1": Fraction(3, 4), "v2": Fraction(1, 4)})

    world.settle()

    assert world.phase == "Blocked"
    assert world.status.reason == "TrafficSplit"
    assert "traffic of reviews is split (v1 75 %, v2 25 %)" in world.message
    assert "all to v1 and the run to v2 starts" in world.message
    assert "all to v2 and it is stable at once" in world.message
    assert world.writes == 1

    world.shares = {"v1": Fraction(0), "v2": Fraction(1)}
    world.settle()

    assert world.phase == "Stable"
    assert world.status.stable_revision == "v2"


def test_a_split_among_revisions_that_nobody_wants_names_what_to_do() -> None:
    world = World(shares={"v1": Fraction(1, 2), "v3": Fraction(1, 2)})

    world.settle()

    assert world.status.reason == "TrafficSplit"
    assert "give all to v1 or v3 and the run to v2 starts" in world.message


def test_adoption_of_a_service_without_any_traffic_is_blocked() -> None:
    world = World(shares={"v1": Fraction(0), "v2": Fraction(0)})

    world.settle()

    assert world.phase == "Blocked"
    assert "give the subset that is stable the whole weight" in world.message


def test_adoption_of_a_split_with_a_misspelt_revision_names_the_near_one() -> None:
    world = World(spec=spec_of(revision="v22"), shares={"v1": Fraction(3, 4), "v2": Fraction(1, 4)})

    world.settle()

    assert world.status.reason == "SubsetMissing"
    assert "spec.revision: v22 is no subset" in world.message
    assert "did you mean v2?" in world.message


def test_adoption_without_routes_is_blocked_until_there_is_one_peers_116() -> None:
    world = World(shares={"v1": Fraction(0)})
    world.shares = {}

    world.settle()

    assert world.phase == "Blocked"
    assert world.status.reason == "VirtualServiceMissing"

    world.shares = {"v1": Fraction(1), "v2": Fraction(0)}
    world.settle()

    assert world.phase == "Preparing"


def test_a_revision_without_a_subset_starts_no_run_and_says_what_is_there() -> None:
    world = at_rest()

    world.want("blue").settle()

    assert world.phase == "Blocked"
    assert world.status.reason == "SubsetMissing"
    assert "which has v1, v2, v3; add it there, or correct spec.revision" in world.message
    assert world.on_stable

    assert world.subsets is not None
    world.subsets["blue"], world.ready["blue"] = {"version": "blue"}, 1
    world.settle()

    assert world.phase == "Preparing"


def test_subsets_that_would_not_be_used_are_found_before_traffic_moves_peers_164() -> None:
    world = at_rest()
    world.route_problems = (SHADOWED,)

    world.want("v2").settle()

    assert world.phase == "Blocked"
    assert world.message == SHADOWED.message


def test_a_missing_destination_is_told_after_a_missing_subset() -> None:
    world = at_rest()
    lacks = Problem(
        reason="DestinationMissing", message="route primary has no destination for subset v9"
    )
    world.route_problems = (lacks,)

    world.want("v9").settle()
    assert world.status.reason == "SubsetMissing"

    world.want("v2").settle()
    assert world.status.reason == "DestinationMissing"


def test_revisions_that_metrics_cannot_tell_apart_start_no_run() -> None:
    alike = Problem(reason="ArmsAlike", message="v1 and v2 are pods of one owner; set metrics.arm")
    world = at_rest(arms_problem=alike)

    world.want("v2").settle()

    assert world.phase == "Blocked"
    assert world.status.reason == "ArmsAlike"


def test_traffic_that_somebody_split_at_rest_is_left_alone_and_starts_no_run_peers_21() -> None:
    world = at_rest()
    world.shares = {"v1": Fraction(1, 2), "v2": Fraction(1, 2)}

    world.settle()

    assert world.phase == "Stable"
    assert world.condition("TrafficMatches") == {
        "status": "False",
        "reason": "MovedAtRest",
        "message": "traffic was moved by somebody else: v1 50 %, v2 50 %; it is left alone",
    }
    assert world.message == (
        "v1 is the stable revision of reviews; but traffic was moved by somebody else: "
        "v1 50 %, v2 50 %; it is left alone"
    )

    world.want("v2").settle()

    assert world.phase == "Blocked"
    assert "is not all on v1 but v1 50 %, v2 50 %" in world.message
    assert world.shares == {"v1": Fraction(1, 2), "v2": Fraction(1, 2)}


def test_a_problem_at_rest_is_told_and_does_not_make_the_service_unready() -> None:
    world = at_rest()
    world.route_problems = (SHADOWED,)

    world.settle()

    assert world.phase == "Stable"
    assert f"before another run: {SHADOWED.message}" in world.message


def test_suspended_nothing_starts_and_it_starts_when_that_ends() -> None:
    world = at_rest()
    world.suspend(True).want("v2").settle()
    world.suspended = True
    world.settle()

    assert world.phase == "Pending"
    assert "v2 is wanted; spec.suspend is true" in world.message
    assert world.look_again_at is None

    world.suspended = False
    world.settle()

    assert world.phase == "Preparing"


def test_a_wrong_spec_at_rest_is_invalid_and_touches_nothing() -> None:
    world = at_rest()

    world.edit(None, problem="spec.strategy.bake is 'soon'; use a duration such as 90s").settle()

    assert world.phase == "Invalid"
    assert world.message == "spec.strategy.bake is 'soon'; use a duration such as 90s"
    assert world.on_stable

    world.edit(spec_of(revision="v1")).settle()
    assert world.phase == "Stable"


def test_a_wrong_spec_from_the_beginning_is_invalid_until_mended() -> None:
    world = World(spec=None, spec_problem="spec.host is missing; add it", revision="v2")

    world.settle()
    assert world.phase == "Invalid"

    world.edit(spec_of()).settle()
    assert world.phase == "Preparing"


def test_retry_runs_the_rejected_revision_again_without_a_fake_change_peers_58() -> None:
    world = rolled_back()

    answer = world.tell(Verb.RETRY)

    assert answer.outcome is APPLIED
    assert answer.message == "runs v2 again"
    assert (world.run.id, world.run.canary_revision) == ("2", "v2")
    world.until(Phase.STABLE)
    assert [past.id for past in world.status.history] == ["2", "1"]


def test_two_retries_start_one_run_peers_92() -> None:
    world = rolled_back()
    first, second = world.give(Verb.RETRY), world.give(Verb.RETRY, actor="bob@example.com")

    world.settle()

    assert world.answers[first].outcome is APPLIED
    assert world.answers[second].outcome is IGNORED
    assert world.answers[second].message == "asked already by alice@example.com"
    assert world.run.id == "2"
    assert world.tell(Verb.RETRY, run="1").outcome is IGNORED


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ("suspend", "spec.suspend is true: nothing starts or increases until it is false"),
        ("subset", "spec.revision: v2 is no subset"),
        ("spec", "spec.host is missing; add it"),
    ],
)
def test_retry_is_refused_when_nothing_can_start(spoil: str, told: str) -> None:
    world = rolled_back()
    world.suspended = spoil == "suspend"
    if spoil == "subset":
        assert world.subsets is not None
        del world.subsets["v2"]
    if spoil == "spec":
        world.edit(None, problem=told)

    answer = world.tell(Verb.RETRY)

    assert answer.outcome is REFUSED
    assert told in answer.message
    assert world.run.id == "1"


def test_retry_of_a_run_in_progress_or_of_a_promoted_one_is_ignored() -> None:
    world = at_step(2)
    assert world.tell(Verb.RETRY).message == "run 1 is in progress"

    world.until(Phase.STABLE)

    answer = world.tell(Verb.RETRY)
    assert answer.outcome is IGNORED
    assert answer.message == "spec.revision is not one that was taken back"


def test_a_revision_pushed_at_the_last_moment_has_its_own_run_peers_53() -> None:
    world = at_step(6)
    world.after(59)

    world.want("v3").settle()

    assert world.percent == 0
    world.after(9)
    assert world.status.stable_revision == "v1"
    assert (world.run.canary_revision, world.run.step) == ("v3", 0)
    assert world.on_stable


def test_after_a_promotion_the_next_revision_starts_from_it_peers_54() -> None:
    world = World().settle().until(Phase.STABLE)

    world.want("v3").settle()

    assert (world.run.id, world.run.stable_revision, world.run.canary_revision) == ("2", "v2", "v3")
    assert not world.status.retirable
    world.until(Phase.STABLE)
    assert world.status.retirable == ("v2", "v1")


def test_history_keeps_the_last_runs_and_the_status_stays_readable() -> None:
    world = World().settle()
    world.subsets = {f"v{n}": {"version": f"v{n}"} for n in range(30)}
    world.ready = dict.fromkeys(world.subsets, 1)
    world.shares = {name: Fraction(int(name == "v1")) for name in world.subsets}

    for n in range(2, 25):
        world.want(f"v{n}").settle()
        world.tell(Verb.ABORT)
        world.until(Phase.ROLLED_BACK)
        world.settle()

    assert len(world.status.history) == HISTORY_MAX
    assert world.run.id == "23" or int(world.run.id) > HISTORY_MAX
    assert "v23" in world.status.retirable
    assert "v1" not in world.status.retirable


def test_more_revisions_than_the_status_takes_are_not_all_called_retirable() -> None:
    past = [
        PastRun(
            id=str(n),
            revision=f"v{2 * n}",
            stable_revision=f"v{2 * n + 1}",
            outcome=Outcome.PROMOTED,
            because="promoted after 3m",
            started_at=MORNING,
            ended_at=MORNING,
        )
        for n in range(1, 11)
    ]
    subsets = {f"v{n}": {"version": f"v{n}"} for n in range(1, 30)}
    world = at_rest(subsets=subsets)
    world.status = world.status.model_copy(update={"history": tuple(past)})

    world.settle()

    assert len(world.status.retirable) == 16


def test_a_run_whose_number_somebody_spoilt_is_followed_by_run_1() -> None:
    world = rolled_back()
    world.status = world.status.model_copy(
        update={"run": world.run.model_copy(update={"id": "spoilt"})}
    )

    world.want("v3").settle()

    assert world.run.id == "1"


def test_a_rejected_run_whose_end_nobody_dated_is_told_without_a_date() -> None:
    world = rolled_back()
    world.status = RolloutStatus(
        phase=Phase.ROLLED_BACK,
        stable_revision="v1",
        rejected_revision="v2",
        run=world.run.model_copy(update={"ending": None}),
    )

    world.settle()

    assert world.status.reason == "RolledBack"
    assert world.message == "all traffic is on v1; v2 was taken back before"


def test_a_stable_revision_of_unknown_age_is_told_without_a_date() -> None:
    world = World(spec=spec_of(revision="v1"), status=RolloutStatus(stable_revision="v1"))

    world.settle()

    assert world.message == "all of reviews is on v1"


def test_a_rejected_revision_without_a_run_on_record_still_does_not_run() -> None:
    world = World(status=RolloutStatus(stable_revision="v1", rejected_revision="v2"))

    world.settle()

    assert world.phase == "RolledBack"
    assert world.message == "all traffic is on v1; v2 was taken back before"


def test_a_misspelt_host_put_right_again_has_changed_nothing() -> None:
    world = rolled_back()
    assert world.spec is not None
    right, shares = world.spec, world.shares
    world.shares = {}

    world.edit(right.model_copy(update={"host": "review"})).settle()
    blocked = world.phase
    answer = world.tell(Verb.RETRY)
    world.shares = shares
    world.edit(right).settle()

    assert blocked == "Blocked"
    assert answer.outcome == "Refused"
    assert world.phase == "RolledBack"
    assert (world.status.stable_revision, world.status.rejected_revision) == ("v1", "v2")


def test_revisions_of_another_host_are_not_called_retirable() -> None:
    world = rolled_back()
    assert world.spec is not None
    world.shares = {"v3": Fraction(1)}

    world.edit(world.spec.model_copy(update={"host": "ratings", "revision": "v3"})).settle()

    assert world.status.retirable == ()
