"""Patches of the embedded API server."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.sandbox.apiserver import patches, strategic
from rollout.sandbox.apiserver.refusals import Refusal
from rollout.sandbox.apiserver.trees import same

Json = dict[str, Any]

_TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.sampled_from(["x", "y"])),
    lambda below: st.one_of(
        st.lists(below, max_size=3), st.dictionaries(st.sampled_from("abc"), below, max_size=3)
    ),
    max_leaves=12,
)
_OBJECTS = st.dictionaries(st.sampled_from("abc"), _TREES, max_size=3)
_POINTERS = st.lists(st.sampled_from(["a", "b", "0", "1", "-"]), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
_OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {
            "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
            "path": _POINTERS,
            "from": _POINTERS,
            "value": _TREES,
        }
    ),
    max_size=4,
)


def test_a_merge_patch_removes_by_null_replaces_lists_and_shares_the_rest() -> None:
    target = {"a": {"b": 1, "c": [1, 2]}, "d": {"e": 2}}

    result = patches.merged(target, {"a": {"b": None, "c": [3]}})

    assert result == {"a": {"c": [3]}, "d": {"e": 2}}
    assert result["d"] is target["d"]
    assert target["a"] == {"b": 1, "c": [1, 2]}


@given(_OBJECTS, _OBJECTS)
def test_a_merge_patch_leaves_its_target_alone(target: Json, patch: Json) -> None:
    kept = copy.deepcopy(target)

    patches.merged(target, patch)

    assert target == kept


@given(_OBJECTS, _OPERATIONS)
def test_a_json_patch_leaves_its_target_alone(target: Json, operations: list[Json]) -> None:
    kept = copy.deepcopy(target)

    try:
        patches.json_patched(target, operations)
    except Refusal as refusal:
        assert refusal.code == 422  # noqa: PT017  refusing is as good as patching

    assert same(target, kept)


def test_a_json_patch_edits_deep_and_shares_what_it_passes_by() -> None:
    target = {"a": {"b": [{"c": 1}, {"d": 2}]}, "e": {}}
    operations = [
        {"op": "replace", "path": "/a/b/0/c", "value": 5},
        {"op": "add", "path": "/a/b/-", "value": 9},
        {"op": "remove", "path": "/a/b/1"},
    ]

    result = patches.json_patched(target, operations)

    assert result == {"a": {"b": [{"c": 5}, 9]}, "e": {}}
    assert result["e"] is target["e"]


def test_something_that_is_no_list_of_operations_is_a_bad_request() -> None:
    with pytest.raises(Refusal) as caught:
        patches.json_patched({}, {"op": "add"})

    assert caught.value.code == 400


def test_apply_merges_list_maps_by_key_and_forgets_what_it_left_out() -> None:
    keyed: Json = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]}
    schema = {"properties": {"l": {**keyed, "items": {}}}}
    live = {"l": [{"n": 1, "other": 1}, {"n": 2}, {"n": 3}], "z": 1}

    result = patches.applied(
        live, {"l": [{"n": 1, "v": 1}, {"n": 4}]}, {"l": [{"n": 2}], "z": 1}, schema
    )

    assert result == {"l": [{"n": 1, "other": 1, "v": 1}, {"n": 3}, {"n": 4}]}


def test_a_strategic_patch_knows_containers_by_name() -> None:
    live = {"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "x"}]}]}
    patch = {
        "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
        "containers": [
            {"name": "a", "image": "2", "env": [{"name": "X", "$patch": "delete"}]},
            {"name": "b"},
        ],
    }

    result = strategic.merged(live, patch)

    assert result == {"containers": [{"name": "b"}, {"name": "a", "image": "2", "env": []}]}


def test_strategic_directives_replace_retain_and_delete_values() -> None:
    live = {"m": {"a": 1, "b": 2}, "finalizers": ["x", "y"], "s": {"c": 1, "d": 2}, "l": [1]}
    patch = {
        "m": {"$patch": "replace", "c": 3},
        "$deleteFromPrimitiveList/finalizers": ["x"],
        "finalizers": ["z"],
        "s": {"$retainKeys": ["d"]},
        "l": [2],
    }

    result = strategic.merged(live, patch)

    assert result == {"m": {"c": 3}, "finalizers": ["y", "z"], "s": {"d": 2}, "l": [2]}


@pytest.mark.parametrize(("left", "right"), [(1, True), (1, 1.0), ([0], [False]), ("1", 1)])
def test_python_equals_that_are_different_json_differ(left: object, right: object) -> None:
    assert not same({"a": left}, {"a": right})
