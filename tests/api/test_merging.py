"""Which policies rule a Rollout, and what becomes of what it says: the laws of the merge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.api import merging, reading
from rollout.api.merging import Merged, Policy
from rollout.api.meta import Key, Manifest
from rollout.base.errors import BadManifest

SPEC: Manifest = {"host": "reviews", "revision": "v2"}
STEPS = [{"weight": 1, "hold": "10m"}, {"weight": 100}]
APPROVED = [{"weight": 5}, {"approval": {"approvers": {"groups": ["sre"]}}}, {"weight": 100}]
ERRORS = {"name": "errors", "errorRate": {"maxPercent": 1}}
LOOSE = {"name": "errors", "errorRate": {"maxPercent": 50}, "mode": "Observe"}
SLOW = {"name": "slow", "latency": {"max": "500ms"}}


def policy(name: str = "standard", *, namespace: str = "", **spec: Any) -> Policy:
    kind = "RolloutPolicy" if namespace else "ClusterRolloutPolicy"
    return Policy(kind=kind, key=Key(namespace, name), spec=spec)


def merge(spec: Manifest, *policies: Policy) -> Manifest:
    return merging.merged({**SPEC, **spec}, policies).spec


def refusal(merged: Merged) -> str:
    with pytest.raises(BadManifest) as caught:
        reading.read_merged(merged)
    return str(caught.value)


# What wins.


def test_what_the_rollout_leaves_open_comes_from_the_policy() -> None:
    found = merge({}, policy(defaults={"strategy": {"steps": STEPS}, "onFailure": "Hold"}))

    assert found["strategy"]["steps"] == STEPS
    assert found["onFailure"] == "Hold"


def test_what_the_rollout_says_wins_over_defaults_field_by_field() -> None:
    defaults = {"judge": {"minRequests": 500, "provenRatio": 3}, "strategy": {"bake": "1h"}}

    found = merge({"judge": {"minRequests": 50}}, policy(defaults=defaults))

    assert found["judge"] == {"minRequests": 50, "provenRatio": 3}
    assert found["strategy"] == {"bake": "1h"}


def test_nothing_wins_over_what_is_enforced() -> None:
    enforce = {"judge": {"minRequests": 500}, "onFailure": "Rollback"}

    found = merge(
        {"judge": {"minRequests": 1, "provenRatio": "Off"}, "onFailure": "Hold"},
        policy(enforce=enforce),
    )

    assert found["judge"] == {"minRequests": 500, "provenRatio": "Off"}
    assert found["onFailure"] == "Rollback"


def test_enforced_steps_take_the_place_of_the_rollouts_own_so_no_approval_is_edited_away() -> None:
    own = {"strategy": {"steps": [{"weight": 100}], "bake": "1m"}}

    found = merge(own, policy(enforce={"strategy": {"steps": APPROVED}}))

    assert found["strategy"] == {"steps": APPROVED, "bake": "1m"}


def test_an_enforced_gate_is_whole_so_that_nothing_beside_it_makes_it_toothless() -> None:
    found = merge({"gates": [LOOSE, SLOW]}, policy(enforce={"gates": [ERRORS]}))

    assert found["gates"] == [ERRORS, SLOW]


def test_a_gate_that_is_there_twice_does_not_outlive_the_enforced_one() -> None:
    found = merge({"gates": [LOOSE, SLOW, LOOSE]}, policy(enforce={"gates": [ERRORS]}))

    assert found["gates"] == [ERRORS, SLOW]


def test_gates_of_defaults_stand_behind_those_of_the_rollout_whose_own_are_whole() -> None:
    found = merge({"gates": [LOOSE]}, policy(defaults={"gates": [ERRORS, SLOW]}))

    assert found["gates"] == [LOOSE, SLOW]


def test_windows_are_one_thing_and_taken_whole() -> None:
    own = {"windows": {"freeze": [{"until": "2027-01-02T00:00:00Z", "reason": "mine"}]}}
    theirs = {"allow": [{"cron": "0 9 * * mon-thu", "for": "8h"}]}

    assert merge(own, policy(defaults={"windows": theirs}))["windows"] == own["windows"]
    assert merge(own, policy(enforce={"windows": theirs}))["windows"] == theirs


def test_a_part_that_is_no_map_says_nothing() -> None:
    assert merge({}, policy(defaults="careful", enforce=["steps"])) == SPEC


# Who rules.


def ruling(spec: Manifest, *policies: Policy) -> list[str]:
    return [str(one) for one in merging.ruling(spec, policies, namespace="shop")]


def test_the_policy_that_is_named_rules_and_others_only_if_they_are_for_all() -> None:
    careful = policy("careful", namespace="shop")
    every = policy("every", appliesTo="All")
    spec = {"policyRef": {"kind": "RolloutPolicy", "name": "careful"}}

    assert ruling(spec, policy("other"), every, careful) == [
        "RolloutPolicy careful",
        "ClusterRolloutPolicy every",
    ]
    assert ruling(SPEC, policy("other"), every, careful) == ["ClusterRolloutPolicy every"]


def test_a_policy_of_another_namespace_has_no_say() -> None:
    spec = {"policyRef": {"kind": "RolloutPolicy", "name": "careful"}}

    assert ruling(spec, policy("careful", namespace="bank", appliesTo="All")) == []


@pytest.mark.parametrize("ref", ["careful", {}, {"kind": "RolloutPolicy"}, None, {"name": 1}])
def test_a_reference_that_cannot_be_read_names_nobody(ref: object) -> None:
    assert merging.named_by({"policyRef": ref}) is None


def test_of_two_defaults_the_nearer_wins_and_of_two_enforced_things_the_farther() -> None:
    near = policy(
        "a",
        namespace="shop",
        appliesTo="All",
        defaults={"onFailure": "Hold"},
        enforce={"strategy": {"bake": "0s"}},
    )
    far = policy(
        "b",
        appliesTo="All",
        defaults={"onFailure": "Rollback"},
        enforce={"strategy": {"bake": "1h"}},
    )

    found = merge({}, *merging.ruling(SPEC, (far, near), namespace="shop"))

    assert found["onFailure"] == "Hold"
    assert found["strategy"] == {"bake": "1h"}


def test_what_the_cluster_enforces_wins_though_the_rollout_names_it_itself() -> None:
    """The named one is the nearest; that must not make it weaker than a namespace's."""
    spec = {"policyRef": {"kind": "ClusterRolloutPolicy", "name": "b"}, **SPEC}
    near = policy("a", namespace="shop", appliesTo="All", enforce={"onFailure": "Hold"})
    far = policy("b", enforce={"onFailure": "Rollback"})

    found = merging.merged(spec, merging.ruling(spec, (near, far), namespace="shop")).spec

    assert found["onFailure"] == "Rollback"


# Whose mistake it is.


def test_a_mistake_of_a_policy_names_the_policy_its_field_and_the_remedy() -> None:
    enforce = {"strategy": {"steps": [{"weight": 50}, {"weight": 25}]}}

    told = refusal(merging.merged(SPEC, [policy(enforce=enforce)]))

    assert told == (
        "ClusterRolloutPolicy standard: spec.enforce.strategy.steps[1].weight is 25 after 50; "
        "weights must rise along the ladder: use more than 50"
    )


def test_a_mistake_in_a_gate_that_moved_is_told_where_it_stands_in_the_policy() -> None:
    wrong = {"name": "slow", "latency": {"max": "0s"}}
    careful = policy("careful", namespace="shop", defaults={"gates": [ERRORS, wrong]})

    told = refusal(merging.merged({**SPEC, "gates": [ERRORS]}, [careful]))

    assert told.startswith("RolloutPolicy careful: spec.defaults.gates[1].latency.max is zero")


def test_a_mistake_of_the_rollout_stays_the_rollouts() -> None:
    merged = merging.merged({**SPEC, "gates": [{"name": "none"}]}, [policy(defaults={"judge": {}})])

    assert refusal(merged).startswith("spec.gates[0] has no kind")


def test_a_mistake_of_both_names_the_policy_too() -> None:
    gates = [{"name": f"g{i}", "errorRate": {"maxPercent": 1}} for i in range(4)]
    more = [{"name": f"h{i}", "errorRate": {"maxPercent": 1}} for i in range(4)]

    told = refusal(merging.merged({**SPEC, "gates": gates}, [policy(defaults={"gates": more})]))

    assert told.startswith("spec.gates has 8 gates that count requests")
    assert "with what ClusterRolloutPolicy standard says; use at most 5" in told


# Laws.

NAMES = st.sampled_from(["errors", "slow", "tcp"])
LEAVES = st.integers(0, 3) | st.sampled_from(["Hold", "Off", None]) | st.booleans()
GATES = st.lists(
    st.fixed_dictionaries({"name": NAMES}, optional={"mode": LEAVES, "weight": LEAVES}),
    max_size=3,
    unique_by=lambda gate: gate["name"],
)
MAPS = st.dictionaries(st.sampled_from(["a", "b", "c"]), LEAVES, max_size=3)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        # Maps and lists are what they are: the schema lets nothing else come so far.
        "gates": GATES,
        "judge": MAPS,
        "strategy": st.fixed_dictionaries(
            {}, optional={"steps": st.lists(MAPS, max_size=3), "bake": LEAVES, "deep": MAPS}
        ),
        "windows": st.fixed_dictionaries({}, optional={"allow": st.lists(MAPS), "freeze": LEAVES}),
        "onFailure": LEAVES,
    },
)
POLICIES = st.lists(
    st.builds(
        lambda name, namespace, spec: Policy(
            kind="RolloutPolicy" if namespace else "ClusterRolloutPolicy",
            key=Key(namespace, name),
            spec=spec,
        ),
        st.sampled_from(["x", "y", "z"]),
        st.sampled_from(["", "shop"]),
        st.fixed_dictionaries({}, optional={"defaults": PARTS, "enforce": PARTS}),
    ),
    max_size=3,
    unique_by=str,
)
LAWFUL = settings(max_examples=100, deadline=None)


def leaves(part: object, path: merging.Path = ()) -> Iterator[tuple[merging.Path, object]]:
    """What is said at which place; things that are taken whole are one, gates go by name."""
    if isinstance(part, dict) and part and path[:1] != ("windows",):
        for name, value in part.items():
            yield from leaves(value, (*path, name))
    elif isinstance(part, list) and path == ("gates",):
        for item in part:
            yield (*path, item["name"]), item
    else:
        yield path, part


def at(spec: object, path: merging.Path) -> object:
    for part in path:
        if isinstance(spec, list):
            spec = next((item for item in spec if item["name"] == part), "nothing")
        else:
            spec = spec.get(part, "nothing") if isinstance(spec, dict) else "nothing"
    return spec


@given(spec=PARTS, enforce=PARTS, defaults=PARTS)
@LAWFUL
def test_all_that_is_enforced_holds_whatever_the_rollout_says(
    spec: Manifest, enforce: Manifest, defaults: Manifest
) -> None:
    found = merging.merged(spec, [policy(enforce=enforce, defaults=defaults)]).spec

    for path, value in leaves(enforce):
        if value != {}:
            assert at(found, path) == value


@given(spec=PARTS, policies=POLICIES)
@LAWFUL
def test_defaults_override_nothing_that_is_said(spec: Manifest, policies: list[Policy]) -> None:
    mild = [Policy(kind=p.kind, key=p.key, spec={"defaults": p.part("defaults")}) for p in policies]

    found = merging.merged(spec, mild).spec

    for path, value in leaves(spec):
        if value != {} and not (path == ("gates",) and value == []):
            assert at(found, path) == value


@given(spec=PARTS, policies=POLICIES)
@LAWFUL
def test_merging_what_was_merged_changes_nothing(spec: Manifest, policies: list[Policy]) -> None:
    once = merging.merged(spec, policies).spec

    assert merging.merged(once, policies).spec == once


def atoms(node: object, path: merging.Path = ()) -> Iterator[tuple[merging.Path, object]]:
    """All that a spec says, down to the last, with where it stands."""
    below: list[tuple[str | int, object]] = []
    if isinstance(node, dict):
        below = list(node.items())
    elif isinstance(node, list):
        below = list(enumerate(node))
    if not below:
        yield path, node
    for name, value in below:
        yield from atoms(value, (*path, name))


def found(node: Any, path: merging.Path) -> object:
    for name in path:
        node = node[name]
    return node


@given(spec=PARTS, policies=POLICIES)
@LAWFUL
def test_a_merge_invents_nothing_and_knows_of_each_word_whose_it_is(
    spec: Manifest, policies: list[Policy]
) -> None:
    merged = merging.merged(spec, policies)

    for path, value in atoms(merged.spec):
        lengths = [n for n in range(len(path), 0, -1) if path[:n] in merged.origins]
        if not lengths:
            assert value in ({}, []) or found(spec, path) == value
            continue
        origin = merged.origins[path[: lengths[0]]]
        there = merging._parsed(origin.path)
        assert found(origin.policy.spec, (*there, *path[lengths[0] :])) == value
