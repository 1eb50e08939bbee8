"""The subsets of a host, as Istio merges them from DestinationRules."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.api.traffic import SubsetTable
from rollout.routes import destinationrule
from tests.routes.manifests import HOST, NAMESPACE, anything, damaged, destination_rule, subset

OLD, NEW = "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"
PASSTHROUGH = {"loadBalancer": {"simple": "PASSTHROUGH"}}
ROUND_ROBIN = {"loadBalancer": {"simple": "ROUND_ROBIN"}}


def read(
    *rules: dict[str, Any],
    ref: tuple[str, str] | None = None,
    namespace: str = NAMESPACE,
    host: str = HOST,
) -> SubsetTable:
    return destinationrule.subsets(
        rules, host=host, namespace=namespace, service_namespace=NAMESPACE, ref=ref
    )


def messages(table: SubsetTable) -> list[str]:
    return [f"{each.reason}: {each.message}" for each in table.problems]


def test_subsets_and_their_labels_are_read() -> None:
    found = read(destination_rule(subsets=[subset("v1"), {"name": "all"}]))

    assert found.destination_rule == "bookinfo/reviews"
    assert found.subsets == {"v1": {"version": "v1"}, "all": {}}
    assert found.problems == ()
    assert found.notes == ()


def test_a_short_host_is_a_service_of_the_rules_own_namespace() -> None:
    elsewhere = destination_rule(subsets=[subset("v9")])
    elsewhere["metadata"]["namespace"] = "shop"
    full = destination_rule("full", host=HOST, subsets=[subset("v1")])

    assert read(elsewhere, full).subsets == {"v1": {"version": "v1"}}


def test_a_rule_in_the_services_namespace_serves_a_rollout_in_another() -> None:
    found = read(destination_rule(subsets=[subset("v1")]), namespace="releases")

    assert found.destination_rule == "bookinfo/reviews"
    assert found.problems == ()


def test_a_rule_from_a_file_is_in_the_rollouts_namespace() -> None:
    manifest = destination_rule(subsets=[subset("v1")])
    del manifest["metadata"]["namespace"]

    assert read(manifest).destination_rule == "bookinfo/reviews"


def test_several_rules_are_merged_and_the_oldest_definition_wins() -> None:
    new = destination_rule("a", NEW, subsets=[subset("v1", "new"), subset("v3")])
    old = destination_rule("b", OLD, subsets=[subset("v1", "old"), subset("v2")])

    found = read(new, old)

    assert found.destination_rule == "bookinfo/b"
    assert found.subsets == {
        "v1": {"version": "old"},
        "v2": {"version": "v2"},
        "v3": {"version": "v3"},
    }
    assert found.problems == ()


def test_rules_of_equal_age_are_merged_by_name() -> None:
    second = destination_rule("b", OLD, subsets=[subset("v1", "b")])
    first = destination_rule("a", OLD, subsets=[subset("v1", "a")])

    assert read(second, first).subsets == {"v1": {"version": "a"}}


def test_the_rule_that_defines_subsets_is_named_rather_than_an_older_one_without_any() -> None:
    policy = destination_rule("policy", OLD, trafficPolicy=ROUND_ROBIN)
    found = read(policy, destination_rule("subsets", NEW, subsets=[subset("v1")]))

    assert found.destination_rule == "bookinfo/subsets"
    assert found.problems == ()


def test_a_subset_that_one_rule_defines_twice_counts_once() -> None:
    found = read(destination_rule(subsets=[subset("v1", "first"), subset("v1", "second")]))

    assert found.subsets == {"v1": {"version": "first"}}


def test_no_rule_at_all_is_told() -> None:
    found = read()

    assert found.destination_rule is None
    assert found.subsets == {}
    assert messages(found) == [
        (
            "DestinationRuleMissing: namespace bookinfo has no DestinationRule for host reviews; "
            "create one with a subset for each revision"
        )
    ]


def test_a_rule_that_acts_elsewhere_only_is_pointed_out() -> None:
    elsewhere = destination_rule(host=HOST, subsets=[subset("v1")])
    elsewhere["metadata"]["namespace"] = "shop"

    assert messages(read(elsewhere)) == [
        (
            "DestinationRuleMissing: namespace bookinfo has no DestinationRule for host reviews; "
            "create one with a subset for each revision; elsewhere, for callers there only, is "
            "shop/reviews"
        )
    ]


def test_a_rule_without_subsets_is_told() -> None:
    assert messages(read(destination_rule())) == [
        (
            "SubsetMissing: DestinationRule bookinfo/reviews: spec.subsets is empty; "
            "define a subset for each revision"
        )
    ]


def test_a_rule_for_some_workloads_only_is_left_out_with_a_note() -> None:
    some = destination_rule("some", OLD, subsets=[subset("v1", "some")], workloadSelector={})
    found = read(some, destination_rule(subsets=[subset("v1")]))

    assert found.subsets == {"v1": {"version": "v1"}}
    assert found.problems == ()
    (note,) = found.notes
    assert note.message == (
        "DestinationRule bookinfo/some has a workloadSelector and acts for some callers only; "
        "it is left out"
    )


# --- a rule by name ---


def test_a_named_rule_is_the_one_that_is_reported() -> None:
    old = destination_rule("old", OLD, subsets=[subset("v1")])
    new = destination_rule("new", NEW, subsets=[subset("v1"), subset("v3")])

    found = read(old, new, ref=(NAMESPACE, "new"))

    assert found.destination_rule == "bookinfo/new"
    assert set(found.subsets) == {"v1", "v3"}
    assert found.problems == ()


def test_a_named_rule_in_another_namespace_takes_the_place_of_the_services() -> None:
    shop = destination_rule(host=HOST, subsets=[subset("v1", "shop")])
    shop["metadata"]["namespace"] = "shop"
    near = destination_rule(subsets=[subset("v1")])

    assert read(near, shop, ref=("shop", "reviews")).subsets == {"v1": {"version": "shop"}}


def test_a_named_rule_hidden_by_an_older_one_is_told() -> None:
    old = destination_rule("old", OLD, subsets=[subset("v1", "old")])
    new = destination_rule("new", NEW, subsets=[subset("v3"), subset("v1", "new")])

    found = read(old, new, ref=(NAMESPACE, "new"))

    assert found.subsets["v1"] == {"version": "old"}
    assert messages(found) == [
        (
            "SubsetShadowed: DestinationRule bookinfo/new: spec.subsets[1] defines subset v1, "
            "which the older DestinationRule bookinfo/old defines otherwise; remove one of the two"
        )
    ]


def test_a_named_rule_that_is_absent_is_told_with_what_is_there() -> None:
    there = destination_rule("there", subsets=[subset("v1")])
    other = destination_rule("ratings", host="ratings")

    assert messages(read(there, other, ref=(NAMESPACE, "reviews"))) == [
        (
            "DestinationRuleMissing: DestinationRule bookinfo/reviews does not exist; "
            "name one of there"
        )
    ]
    assert messages(read(other, ref=(NAMESPACE, "reviews"))) == [
        (
            "DestinationRuleMissing: DestinationRule bookinfo/reviews does not exist; "
            "create it for host reviews"
        )
    ]


def test_a_named_rule_for_another_host_is_told() -> None:
    found = read(destination_rule("ratings", host="ratings"), ref=(NAMESPACE, "ratings"))

    assert messages(found) == [
        (
            "HostMismatch: DestinationRule bookinfo/ratings: spec.host is ratings; "
            "name a rule for host reviews"
        )
    ]


def test_a_named_rule_for_some_workloads_only_is_told() -> None:
    some = destination_rule(subsets=[subset("v1")], workloadSelector={"matchLabels": {}})

    assert messages(read(some, ref=(NAMESPACE, "reviews"))) == [
        (
            "DestinationRuleMissing: DestinationRule bookinfo/reviews: spec.workloadSelector makes "
            "the rule act for some callers only; name a rule without it"
        )
    ]


# --- balancing that ignores labels ---

TOP = "DestinationRule bookinfo/reviews: spec.trafficPolicy"
OWN = "DestinationRule bookinfo/reviews: spec.subsets[0].trafficPolicy"
PORTS = {"portLevelSettings": [{"port": {"number": 80}}, {"port": {"number": 81}, **PASSTHROUGH}]}


@pytest.mark.parametrize(
    ("top", "own", "places"),
    [
        (PASSTHROUGH, None, [f"{TOP}.loadBalancer.simple"]),
        (PASSTHROUGH, ROUND_ROBIN, []),
        (ROUND_ROBIN, PASSTHROUGH, [f"{OWN}.loadBalancer.simple"]),
        (None, PASSTHROUGH, [f"{OWN}.loadBalancer.simple"]),
        (PORTS, None, [f"{TOP}.portLevelSettings[1].loadBalancer.simple"]),
        (None, PORTS, [f"{OWN}.portLevelSettings[1].loadBalancer.simple"]),
        (ROUND_ROBIN, None, []),
        ({"loadBalancer": 7, "portLevelSettings": 7}, {"portLevelSettings": [7]}, []),
    ],
)
def test_balancing_by_original_destination_is_told_where_it_stands(
    top: object, own: object, places: list[str]
) -> None:
    found = read(destination_rule(trafficPolicy=top, subsets=[subset("v1", trafficPolicy=own)]))

    assert messages(found) == [
        (
            f"PassthroughBalancing: {place} is PASSTHROUGH, so the labels of subsets do not steer; "
            "choose another balancing such as LEAST_REQUEST"
        )
        for place in places
    ]


def test_only_the_oldest_top_level_policy_counts_and_it_is_told_once() -> None:
    old = destination_rule("old", OLD, trafficPolicy=ROUND_ROBIN)
    new = destination_rule("new", NEW, trafficPolicy=PASSTHROUGH, subsets=[subset("v1")])

    assert read(old, new).problems == ()

    new["metadata"]["creationTimestamp"] = "2024-01-01T00:00:00Z"
    new["spec"]["subsets"].append(subset("v3"))
    assert len(read(old, new).problems) == 1


# --- broken manifests ---


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"subsets": 7}, "spec.subsets is 7; make it a list"),
        ({"subsets": [7]}, "spec.subsets[0] is 7; make it an object"),
        ({"subsets": [{}]}, "spec.subsets[0].name is missing; make it a non-empty string"),
        (
            {"subsets": [{"name": "v1", "labels": 7}]},
            "spec.subsets[0].labels is 7; make it an object",
        ),
        (
            {"subsets": [{"name": "v1", "labels": {"version": 1}}]},
            "spec.subsets[0].labels.version is 1; make it a string",
        ),
        (
            {"subsets": [{"name": "v1", "trafficPolicy": 7}]},
            "spec.subsets[0].trafficPolicy is 7; make it an object",
        ),
        ({"trafficPolicy": 7}, "spec.trafficPolicy is 7; make it an object"),
    ],
)
def test_a_broken_rule_is_told_and_the_others_still_count(
    spec: dict[str, Any], sentence: str
) -> None:
    found = read(destination_rule("a", **spec), destination_rule("b", subsets=[subset("v1")]))

    assert found.destination_rule == "bookinfo/b"
    assert found.subsets == {"v1": {"version": "v1"}}
    assert messages(found) == [f"BrokenManifest: DestinationRule bookinfo/a: {sentence}"]


def test_a_rule_whose_host_cannot_be_read_is_told_only_when_ours_is_not_found() -> None:
    broken = {"metadata": {"name": "a", "namespace": NAMESPACE}}
    ours = destination_rule(subsets=[subset("v1")])

    assert read(broken, ours).problems == ()
    assert messages(read(broken, ours, ref=(NAMESPACE, "a"))) == [
        "BrokenManifest: DestinationRule bookinfo/a: spec is missing; make it an object"
    ]
    assert [each.reason for each in read(broken, destination_rule("b", host=7)).problems] == [
        "BrokenManifest",
        "BrokenManifest",
        "DestinationRuleMissing",
    ]


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    names = st.sampled_from(["v1", "v2", "v3"])
    policies = st.sampled_from([None, PASSTHROUGH, ROUND_ROBIN, PORTS]) | anything
    return destination_rule(
        draw(st.sampled_from(["a", "b", "c"])),
        draw(st.sampled_from(["", OLD, NEW])),
        host=draw(st.sampled_from(["reviews", HOST, "ratings"])),
        subsets=[
            subset(name, trafficPolicy=draw(policies)) for name in draw(st.lists(names, max_size=3))
        ],
        trafficPolicy=draw(policies),
    )


@given(
    manifests=st.lists(rules() | damaged(rules()), max_size=3),
    ref=st.sampled_from([None, (NAMESPACE, "a"), ("shop", "a")]),
)
def test_reading_never_raises_and_changes_nothing(
    manifests: list[dict[str, Any]], ref: tuple[str, str] | None
) -> None:
    before = copy.deepcopy(manifests)

    found = read(*manifests, ref=ref)

    assert manifests == before
    assert found.subsets or found.problems
    assert (found.destination_rule is None) <= (not found.subsets)


def test_the_table_does_not_share_labels_with_the_manifest() -> None:
    manifest = destination_rule(subsets=[subset("v1")])
    found = read(manifest)

    manifest["spec"]["subsets"][0]["labels"]["version"] = "changed"

    assert found.subsets == {"v1": {"version": "v1"}}


HASHING = {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user"}}}


@pytest.mark.parametrize(
    "changes",
    [
        {"trafficPolicy": HASHING},
        {"trafficPolicy": {"portLevelSettings": [{"port": {"number": 80}, **HASHING}]}},
        {"subsets": [{**subset("v1"), "trafficPolicy": HASHING}]},
    ],
)
def test_of_a_consistent_hash_it_is_noted_that_weights_are_not_sticky_peers_175(
    changes: dict[str, Any],
) -> None:
    rule = destination_rule(subsets=[subset("v1")])
    rule["spec"] |= changes

    found = read(rule)

    assert found.problems == ()
    assert [note.reason for note in found.notes] == ["WeightsNotSticky"]
    assert "DestinationRule bookinfo/reviews" in found.notes[0].message
