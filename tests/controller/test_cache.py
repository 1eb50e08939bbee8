"""What the cache keeps, and in which order of arrival."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from rollout.api.meta import ENDPOINT_SLICE, POD, VIRTUAL_SERVICE, Key
from rollout.controller import cache

KEY = Key("shop", "checkout")


def thing(version: int, *, name: str = "checkout", **rest: Any) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": name, "resourceVersion": str(version)}
    return {"metadata": metadata, **rest}


def new_cache() -> cache.Cache:
    return cache.Cache(VIRTUAL_SERVICE)


def test_an_object_is_new_then_changed_then_the_same_although_its_version_rises() -> None:
    known = new_cache()

    first = known.put(thing(1, spec="a"))
    second = known.put(thing(2, spec="b"))
    third = known.put(thing(3, spec="b"))

    assert first == cache.Change(key=KEY, old=None, new=thing(1, spec="a"))
    assert second == cache.Change(key=KEY, old=thing(1, spec="a"), new=thing(2, spec="b"))
    assert third is None
    assert known.get(KEY) == thing(3, spec="b")


def test_the_answer_to_a_write_and_its_event_may_come_in_any_order() -> None:
    states = [thing(8, spec="a"), thing(9, spec="b"), thing(10, spec="c")]

    for order in permutations(states):
        known = new_cache()
        for state in order:
            known.put(state)

        assert known.get(KEY) == thing(10, spec="c")


def test_a_late_answer_does_not_raise_a_deleted_object_from_the_dead() -> None:
    known = new_cache()
    known.put(thing(1))
    known.remove(thing(5))

    late = known.put(thing(4))
    born_again = known.put(thing(6))

    assert late is None
    assert born_again is not None


def test_a_deletion_of_an_earlier_namesake_leaves_the_present_one() -> None:
    known = new_cache()
    known.put(thing(7))

    change = known.remove(thing(5))

    assert change is None
    assert KEY in known


def test_a_list_deletes_what_it_lacks_but_not_what_was_written_since() -> None:
    known = new_cache()
    known.put(thing(1, name="vanished"))
    known.put(thing(12, name="written-since"))
    known.put(thing(2, name="stays", spec="a"))

    changes = known.replace_all([thing(9, name="stays", spec="a")], version="10")

    assert [(change.key.name, change.new) for change in changes] == [("vanished", None)]
    keys = known.keys()
    assert {key.name for key in keys} == {"stays", "written-since"}


def test_what_a_list_lacks_is_not_brought_back_by_an_answer_from_before_it() -> None:
    known = new_cache()
    known.replace_all([], version="10")

    late = known.put(thing(9))

    assert late is None


def test_after_a_restored_backup_the_list_alone_counts() -> None:
    known = new_cache()
    known.replace_all([thing(900, spec="new")], version="1000")

    changes = known.replace_all([thing(50, spec="old")], version="60", rewound=True)

    assert [change.new for change in changes] == [thing(50, spec="old")]
    assert known.get(KEY) == thing(50, spec="old")


def test_versions_that_are_no_numbers_are_taken_as_they_come() -> None:
    known = new_cache()
    opaque = thing(1, spec="a")
    opaque["metadata"]["resourceVersion"] = "x-1"
    known.put(opaque)

    changed = known.put(thing(1, spec="b"))

    assert changed is not None


def test_an_index_finds_objects_by_what_they_name_and_follows_changes() -> None:
    known = cache.Cache(VIRTUAL_SERVICE, indexes={"host": lambda it: it["hosts"]})
    known.put(thing(1, name="a", hosts=["x", "y"]))
    known.put(thing(2, name="b", hosts=["y"]))

    before = [it["metadata"]["name"] for it in known.by("host", "y")]
    known.put(thing(3, name="a", hosts=["z"]))
    known.remove(thing(4, name="b"))

    assert before == ["a", "b"]
    assert [it["metadata"]["name"] for it in known.by("host", "z")] == ["a"]
    assert known.by("host", "x") == known.by("host", "y") == ()


def test_the_bookkeeping_of_other_tools_is_dropped() -> None:
    noisy = thing(1, spec={"http": []})
    noisy["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    noisy["metadata"]["annotations"] = {cache.LAST_APPLIED: "{}", "team": "shop"}

    kept = cache.whole(noisy)

    assert kept["metadata"]["annotations"] == {"team": "shop"}
    assert "managedFields" not in kept["metadata"]
    assert kept["spec"] == {"http": []}


def test_of_a_pod_name_labels_and_controller_are_kept() -> None:
    manifest = thing(1, spec={"containers": []}, status={"phase": "Running"})
    manifest["metadata"] |= {
        "labels": {"version": "v1"},
        "annotations": {"a": "b"},
        "ownerReferences": [
            {"kind": "Job", "name": "j", "uid": "0"},
            {"kind": "ReplicaSet", "name": "r", "uid": "1", "controller": True},
        ],
    }
    known = cache.Cache(POD, trim=cache.pod)

    known.put(manifest)

    assert known.get(KEY) == {
        "metadata": {
            "namespace": "shop",
            "name": "checkout",
            "resourceVersion": "1",
            "labels": {"version": "v1"},
            "ownerReferences": [
                {"kind": "ReplicaSet", "name": "r", "uid": "1", "controller": True}
            ],
        }
    }


def test_of_an_endpoint_slice_the_service_and_ready_pods_are_kept() -> None:
    known = cache.Cache(ENDPOINT_SLICE, trim=cache.endpoint_slice)
    manifest = thing(
        1,
        ports=[{"port": 80}],
        endpoints=[
            {
                "addresses": ["10.0.0.1"],
                "conditions": {"ready": True, "serving": True},
                "targetRef": {"kind": "Pod", "name": "checkout-1", "uid": "u"},
            },
            {"addresses": ["10.0.0.2"]},
        ],
    )
    manifest["metadata"]["labels"] = {cache.SERVICE_NAME: "checkout", "other": "label"}

    known.put(manifest)
    again = thing(2, ports=[{"port": 81}], endpoints=manifest["endpoints"])
    again["metadata"]["labels"] = {cache.SERVICE_NAME: "checkout"}
    changed = known.put(again)

    kept = known.get(KEY)
    assert kept is not None
    assert kept["metadata"]["labels"] == {cache.SERVICE_NAME: "checkout"}
    assert kept["endpoints"] == [
        {"conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": "checkout-1"}},
        {},
    ]
    assert changed is None


def test_of_a_service_what_it_selects_its_ports_and_who_sees_it_are_kept() -> None:
    port = {"name": "http", "port": 80, "appProtocol": "http", "protocol": "TCP"}
    manifest = thing(1, spec={"selector": {"a": "b"}, "ports": [{**port, "nodePort": 3}, 5]})
    manifest["spec"]["clusterIP"] = "10.0.0.1"
    manifest["metadata"]["annotations"] = {cache.EXPORT_TO: ".", "other": "x"}

    kept = cache.service(manifest)

    assert kept["spec"] == {"selector": {"a": "b"}, "ports": [port]}
    assert kept["metadata"]["annotations"] == {cache.EXPORT_TO: "."}


def test_of_a_sidecar_whom_it_is_for_and_what_they_import_are_kept() -> None:
    listener = {"port": {"number": 80}, "hosts": ["./*"]}
    spec = {"workloadSelector": {"labels": {}}, "egress": [listener, None], "ingress": [{}]}

    kept = cache.sidecar(thing(1, spec=spec))

    assert kept["spec"] == {"workloadSelector": {"labels": {}}, "egress": [{"hosts": ["./*"]}]}


def test_of_an_envoy_filter_the_names_of_routes_are_kept() -> None:
    named = {"routeConfiguration": {"vhost": {"route": {"name": "primary"}}}}
    patches = [{"match": named}, {"match": named}, {"match": {"routeConfiguration": 5}}, None]

    assert cache.envoy_filter(thing(1, spec={"configPatches": patches}))["routes"] == ["primary"]
    assert cache.envoy_filter(thing(1, spec=None))["routes"] == []


def test_versions_tell_objects_of_one_name_apart_and_one_object_from_what_it_was() -> None:
    one, other = thing(1), thing(1)
    other["metadata"]["namespace"] = "else"

    assert cache.versions([one]) == cache.versions([thing(1, spec="unread")])
    assert cache.versions([one]) != cache.versions([other])
    assert cache.versions([one]) != cache.versions([thing(2)])


@pytest.mark.parametrize("count", [cache.BURIED_COUNT_MAX + 10])
def test_the_memory_of_deletions_is_bounded(count: int) -> None:
    known = new_cache()

    for number in range(count):
        known.remove(thing(number + 1, name=f"n{number}"))

    assert len(known._buried) == cache.BURIED_COUNT_MAX
