"""The guard of a run on one subset of a DestinationRule, and nothing else of it."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.base.errors import BadManifest
from rollout.routes.guard import guard_patch
from tests.routes.manifests import damaged, destination_rule, patched, subset

EJECTS = {"consecutive5xxErrors": 3, "baseEjectionTime": "30s"}
POOL = {"tcp": {"maxConnections": 1}, "http": {"http1MaxPendingRequests": 1}}
GUARD: dict[str, dict[str, Any]] = {"outlierDetection": EJECTS, "connectionPool": POOL}
OFF: dict[str, None] = dict.fromkeys(GUARD)


def rule(*subsets: dict[str, Any], **spec: Any) -> dict[str, Any]:
    found = destination_rule(subsets=list(subsets), **spec)
    found["metadata"]["resourceVersion"] = "41"
    return found


def test_a_subset_without_a_policy_gets_one_and_loses_it_again() -> None:
    before = rule(subset("v1"), subset("v2"))

    on = guard_patch(before, subset="v2", policies=GUARD)
    off = guard_patch(patched(before, on), subset="v2", policies=OFF)

    version = {"op": "replace", "path": "/metadata/resourceVersion", "value": "41"}
    assert on == [version, {"op": "add", "path": "/spec/subsets/1/trafficPolicy", "value": GUARD}]
    assert off == [version, {"op": "remove", "path": "/spec/subsets/1/trafficPolicy"}]


def test_a_policy_that_says_something_else_too_is_kept_around_the_guard() -> None:
    balancing = {"loadBalancer": {"simple": "RANDOM"}}
    before = rule(subset("v2", trafficPolicy=balancing))

    on = guard_patch(before, subset="v2", policies=GUARD)
    after = patched(before, on)

    assert [each["path"] for each in on[1:]] == [
        "/spec/subsets/0/trafficPolicy/outlierDetection",
        "/spec/subsets/0/trafficPolicy/connectionPool",
    ]
    assert after["spec"]["subsets"][0]["trafficPolicy"] == {**balancing, **GUARD}
    assert patched(after, guard_patch(after, subset="v2", policies=OFF)) == before


def test_another_value_is_replaced_whole() -> None:
    before = rule(subset("v2", trafficPolicy={"outlierDetection": {"interval": "5s"}}))

    operations = guard_patch(before, subset="v2", policies={"outlierDetection": EJECTS})

    path = "/spec/subsets/0/trafficPolicy/outlierDetection"
    assert operations[1:] == [{"op": "replace", "path": path, "value": EJECTS}]


def test_of_a_subset_that_is_there_twice_the_first_counts_as_for_istio() -> None:
    operations = guard_patch(rule(subset("v2"), subset("v2")), subset="v2", policies=GUARD)

    assert [each["path"] for each in operations[1:]] == ["/spec/subsets/0/trafficPolicy"]


def test_a_rule_from_a_file_has_no_version_to_name() -> None:
    operations = guard_patch(destination_rule(subsets=[subset("v2")]), subset="v2", policies=GUARD)

    assert [each["path"] for each in operations] == ["/spec/subsets/0/trafficPolicy"]


def test_a_write_on_an_old_version_does_not_apply() -> None:
    operations = guard_patch(rule(subset("v2")), subset="v2", policies=GUARD)

    assert operations[0]["path"] == "/metadata/resourceVersion"


def test_there_is_nothing_to_take_off_from_a_subset_that_is_gone() -> None:
    assert guard_patch(rule(subset("v1")), subset="v2", policies=OFF) == []


def test_a_subset_that_is_not_there_cannot_be_guarded() -> None:
    with pytest.raises(BadManifest, match=r"spec\.subsets has no subset v2; add it there"):
        guard_patch(rule(subset("v1")), subset="v2", policies=GUARD)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"subsets": 5}, r"spec\.subsets is 5; make it a list"),
        ({"subsets": [5]}, r"spec\.subsets\[0\] is 5; make it an object"),
        (
            {"subsets": [{"name": "v2", "trafficPolicy": [1]}]},
            r"spec\.subsets\[0\]\.trafficPolicy is \[1\]; make it an object",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_field(spec: dict[str, Any], told: str) -> None:
    with pytest.raises(BadManifest, match=told):
        guard_patch(destination_rule(**spec), subset="v2", policies=OFF)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
FIELDS = st.sampled_from(["loadBalancer", "tls", "portLevelSettings", "ünknown/~"])
OWN = st.dictionaries(FIELDS, JSON, min_size=1, max_size=3)
POLICIES = st.fixed_dictionaries({}, optional={k: st.just(v) for k, v in GUARD.items()})


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    """Rules in which subset v2 has no guard of its own, whatever else it has."""
    subsets = []
    for name in draw(st.permutations(["v1", "v2", "v3"])):
        more: dict[str, Any] = draw(st.dictionaries(st.sampled_from(["x", "y"]), JSON, max_size=2))
        policy = draw(st.none() | OWN)
        if policy is not None:
            more["trafficPolicy"] = policy
        subsets.append(subset(name, **more))
    return rule(*subsets, exportTo=draw(JSON), trafficPolicy=draw(st.none() | OWN))


@given(before=rules(), policies=POLICIES)
def test_a_guard_that_was_put_on_and_taken_off_has_changed_nothing(
    before: dict[str, Any], policies: dict[str, Any]
) -> None:
    given_before = copy.deepcopy(before)

    on = patched(before, guard_patch(before, subset="v2", policies=policies))
    off = guard_patch(on, subset="v2", policies=dict.fromkeys(policies))

    guarded = next(one for one in on["spec"]["subsets"] if one["name"] == "v2")
    assert policies.items() <= guarded.get("trafficPolicy", {}).items()
    assert guard_patch(on, subset="v2", policies=policies) == []
    assert before == given_before
    assert patched(on, off) == before
    assert guard_patch(before, subset="v2", policies=dict.fromkeys(policies)) == []


@given(before=rules(), policies=POLICIES)
def test_other_subsets_and_fields_stay_as_they_are(
    before: dict[str, Any], policies: dict[str, Any]
) -> None:
    on = patched(before, guard_patch(before, subset="v2", policies=policies))

    for manifest in (on, before := copy.deepcopy(before)):
        for one in manifest["spec"]["subsets"]:
            policy = one.get("trafficPolicy", {})
            for field in policies if one["name"] == "v2" else ():
                policy.pop(field, None)
            if not policy:
                one.pop("trafficPolicy", None)
    assert on == before


WHOLE = rule(subset("v1"), subset("v2", trafficPolicy={"tls": {}}))


@given(manifest=damaged(st.just(WHOLE)))
def test_nothing_in_a_rule_is_a_surprise(manifest: dict[str, Any]) -> None:
    try:
        operations = guard_patch(manifest, subset="v2", policies=GUARD)
    except BadManifest:
        return
    jsonpatch.JsonPatch(operations)
