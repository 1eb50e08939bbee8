"""What the caches say of policies: who rules, what is missing, what is closed, who is woken."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from rollout.adapters.calendar import CronCalendar
from rollout.api.meta import Key, Manifest
from rollout.api.window import Windows
from rollout.controller.cache import Cache
from rollout.controller.policies import Policies
from rollout.controller.world import World
from rollout.engine.turns import TOLD_PLACES_MAX

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
REVIEWS = Key("shop", "reviews")


def policy(key: Key, version: int = 1, **spec: Any) -> Manifest:
    namespace = {"namespace": key.namespace} if key.namespace else {}
    metadata = {"name": key.name, "uid": str(key), "resourceVersion": str(version), **namespace}
    return {"metadata": metadata, "spec": spec}


def rollout(key: Key = REVIEWS, *, version: int = 1, status: Any = None, **spec: Any) -> Manifest:
    metadata = {"name": key.name, "namespace": key.namespace, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"host": key.name, **spec}, "status": status or {}}


def naming(name: str, kind: str = "ClusterRolloutPolicy") -> Manifest:
    return rollout(policyRef={"kind": kind, "name": name})


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def policies(world: World) -> Policies:
    return Policies(world, CronCalendar())


def test_a_policy_that_is_nearly_called_so_is_proposed(world: World, policies: Policies) -> None:
    world.cluster_policies.put(policy(Key("", "standard")))
    world.policies.put(policy(Key("bank", "standart")))

    ruling = policies.ruling(REVIEWS, naming("standart"))

    assert ruling.policies == ()
    assert ruling.problem == (
        "spec.policyRef names ClusterRolloutPolicy standart, which does not exist; "
        "did you mean standard?"
    )
    assert "create it, or remove" in policies.ruling(REVIEWS, naming("x", "RolloutPolicy")).problem


def test_a_policy_that_may_not_be_read_is_not_called_missing(
    world: World, policies: Policies
) -> None:
    world.cluster_policies.denied = "forbidden"

    assert policies.ruling(REVIEWS, naming("standard")).problem.endswith(
        "which the controller may not read; grant its role to list and watch clusterrolloutpolicies"
    )


def test_the_stamp_changes_with_the_policies_that_rule_and_with_no_other(
    world: World, policies: Policies
) -> None:
    standard, other = Key("", "standard"), Key("", "other")
    world.cluster_policies.put(policy(standard))
    first = policies.ruling(REVIEWS, naming("standard")).stamp

    world.cluster_policies.put(policy(other, 2))
    assert policies.ruling(REVIEWS, naming("standard")).stamp == first

    world.cluster_policies.put(policy(standard, 3, defaults={"onFailure": "Hold"}))
    assert policies.ruling(REVIEWS, naming("standard")).stamp != first


def test_a_policy_that_rules_and_cannot_be_read_is_the_rollouts_problem(
    world: World, policies: Policies
) -> None:
    world.cluster_policies.put(policy(Key("", "standard"), defaults={"bake": "1h"}))

    ruling = policies.ruling(REVIEWS, naming("standard"))

    assert ruling.problem.startswith("ClusterRolloutPolicy standard: spec.defaults.bake is not a")


@pytest.mark.parametrize(
    ("spec", "is_closed"),
    [
        ({"defaults": {"bake": "1h"}}, False),
        ({"defaults": {"bake": "1h"}, "stop": {"reason": "x"}}, True),
        ({"limits": {"runsAtOnce": "few"}}, True),
    ],
    ids=["a plan", "a plan and a stop", "a limit"],
)
def test_what_cannot_be_read_closes_only_where_it_might_have_closed(
    world: World, policies: Policies, spec: dict[str, Any], is_closed: bool
) -> None:
    world.cluster_policies.put(policy(Key("", "standard"), **spec))

    found = policies.closed(REVIEWS, Windows(), suspended=False, now=NOW)

    assert (found is not None) == is_closed


def test_a_spec_that_is_no_map_is_ruled_by_nobody(world: World, policies: Policies) -> None:
    world.cluster_policies.put(policy(Key("", "every"), appliesTo="All"))

    assert policies.ruling(REVIEWS, {**rollout(), "spec": "wrong"}).policies == ()


# Who is woken.


def waiting(name: str, *, since: str = "2026-11-23T10:00:00.000Z") -> Manifest:
    status = {"waiting": {"since": since, "inLineSince": since}}
    return rollout(Key("shop", name), status=status)


def running(name: str, version: int = 1, **run: Any) -> Manifest:
    return rollout(Key("shop", name), version=version, status={"run": {"id": "1", **run}})


def test_the_end_of_a_run_wakes_the_first_of_the_line_and_whoever_is_told_a_place(
    world: World, policies: Policies
) -> None:
    for number in range(TOLD_PLACES_MAX + 5):
        world.rollouts.put(waiting(f"r{number:02}"))
    old, new = running("a"), running("a", 2, endedAt="2026-11-23T11:00:00.000Z")
    world.policies.put(policy(Key("shop", "one"), limits={"runsAtOnce": 1}))
    world.rollouts.put(old)
    world.rollouts.put(new)

    woken = policies.woken_by(old, new)

    assert {key.name for key in woken} == {f"r{number:02}" for number in range(TOLD_PLACES_MAX)}


def test_a_status_that_changes_nothing_for_the_line_wakes_nobody(
    world: World, policies: Policies
) -> None:
    world.rollouts.put(waiting("b"))

    old, new = running("a"), running("a", 2, weight=50)

    assert policies.woken_by(old, new) == set()


def test_whoever_is_being_deleted_stands_in_no_line(world: World, policies: Policies) -> None:
    dying = waiting("a", since="2026-11-23T09:00:00.000Z")
    dying["metadata"]["deletionTimestamp"] = "2026-11-23T10:00:00Z"
    world.rollouts.put(dying)
    world.rollouts.put(waiting("b"))
    world.policies.put(policy(Key("shop", "one"), limits={"runsAtOnce": 1}))

    turn = policies.turn(Key("shop", "b"))

    assert turn is not None
    assert turn.is_next


@pytest.mark.parametrize("status", ["broken", {"run": 5, "waiting": 6}, {"waiting": {}}])
def test_a_status_that_cannot_be_read_stands_nowhere(
    world: World, policies: Policies, status: Any
) -> None:
    world.rollouts.put({**rollout(), "status": status})
    world.policies.put(policy(Key("shop", "one"), limits={"runsAtOnce": 1}))

    turn = policies.turn(Key("shop", "b"))

    assert turn is not None
    assert (turn.running_count, turn.ahead_count) == (0, 0)


# Whom a change concerns.


def test_a_policy_of_plans_concerns_those_that_name_it_and_one_that_acts_all_it_reaches(
    world: World,
) -> None:
    other, far = Key("shop", "ratings"), Key("bank", "ledger")
    world.rollouts.put(naming("standard"))
    world.rollouts.put(rollout(other))
    world.rollouts.put(rollout(far, policyRef={"kind": "RolloutPolicy", "name": "standard"}))

    def concerned(cache: Cache, manifest: Manifest) -> set[Key]:
        return world.concerned(cache, manifest)

    near, cluster = world.policies, world.cluster_policies
    assert concerned(cluster, policy(Key("", "standard"))) == {REVIEWS}
    assert concerned(near, policy(Key("bank", "standard"))) == {far}
    assert concerned(near, policy(Key("shop", "x"), stop={"reason": "x"})) == {REVIEWS, other}
    assert concerned(cluster, policy(Key("", "x"), appliesTo="All")) == {REVIEWS, other, far}
    assert concerned(cluster, {**policy(Key("", "standard")), "spec": None}) == {REVIEWS}


def test_where_one_namespace_is_looked_after_nobody_misses_the_policies_of_the_cluster() -> None:
    alone, whole = World(namespace="shop"), World()
    for world in (alone, whole):
        world.cluster_policies.denied = "forbidden"

    assert alone.notes() == ()
    assert len(whole.notes()) == 1
