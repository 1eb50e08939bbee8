"""Which Rollouts a changed object matters to; whatever an object looks like, nothing is raised."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.api.meta import Key, Manifest
from rollout.controller import world as worlds
from rollout.controller.world import World

REVIEWS, RATINGS = Key("shop", "reviews"), Key("shop", "ratings")


REVIEWS_HOST = "reviews.shop.svc.cluster.local"


def manifest(name: str, *, namespace: str = "shop", **parts: Any) -> Manifest:
    return {"metadata": {"name": name, "namespace": namespace}, **parts}


def furnished() -> World:
    found = World()
    for name in ("reviews", "ratings"):
        found.rollouts.put(manifest(name, spec={"host": name}))
    return found


def routing(*hosts: str) -> dict[str, Any]:
    return {"http": [{"route": [{"destination": {"host": host}}]} for host in hosts]}


def test_a_virtual_service_matters_to_the_rollouts_of_the_hosts_it_sends_to() -> None:
    found = furnished()

    about = manifest("gateway", spec={"hosts": ["books.example.com"], **routing("ratings")})

    assert found.concerned(found.virtual_services, about) == {RATINGS}


def test_a_virtual_service_matters_to_the_rollout_that_names_it() -> None:
    found = furnished()
    named = {"host": "reviews", "traffic": {"virtualServices": [{"name": "odd"}]}}
    found.rollouts.put(manifest("reviews", spec=named))

    assert found.concerned(found.virtual_services, manifest("odd", spec={})) == {REVIEWS}


def test_short_and_full_names_of_a_host_are_one() -> None:
    found = furnished()
    rule = manifest("r", namespace="mesh", spec={"host": "reviews.shop.svc.cluster.local"})

    assert found.concerned(found.destination_rules, rule) == {REVIEWS}
    short = manifest("r", namespace="mesh", spec={"host": "reviews"})
    assert found.concerned(found.destination_rules, short) == set()


def test_a_pod_matters_through_the_endpoint_slice_that_lists_it() -> None:
    found = furnished()
    labels = {"kubernetes.io/service-name": "reviews"}
    piece = manifest("reviews-1", endpoints=[{"targetRef": {"name": "pod-1"}}])
    piece["metadata"]["labels"] = labels
    found.slices.put(piece)

    assert found.concerned(found.pods, manifest("pod-1")) == {REVIEWS}
    assert found.concerned(found.pods, manifest("pod-2")) == set()
    assert found.concerned(found.slices, piece) == {REVIEWS}


def test_a_command_matters_to_its_rollout_also_when_that_is_not_there() -> None:
    found = furnished()

    assert found.concerned(found.actions, manifest("a", spec={"rollout": "gone"})) == {
        Key("shop", "gone")
    }


def test_a_rollout_matters_to_its_rivals_on_the_host_of_its_run() -> None:
    found = furnished()
    status = {"run": {"plan": {"host": "reviews"}}}
    moved = manifest("ratings", spec={"host": "elsewhere"}, status=status)

    assert found.concerned(found.rollouts, moved) == {RATINGS, REVIEWS}
    assert list(worlds.running_hosts(moved)) == ["reviews.shop.svc.cluster.local"]
    status["run"]["endedAt"] = {"x": "2026-11-23T12:00:00Z"}
    assert list(worlds.running_hosts(moved)) == []


def test_a_workload_entry_matters_to_all_rollouts_of_its_namespace() -> None:
    found = furnished()

    assert found.concerned(found.workload_entries, manifest("vm")) == {REVIEWS, RATINGS}
    other = manifest("vm", namespace="else")
    assert found.concerned(found.workload_entries, other) == set()


@pytest.mark.parametrize(
    "spec",
    [
        *(None, 7, [], {}, {"hosts": 5}, {"http": {"a": 1}}, {"http": [None, {"route": "x"}]}),
        *({"hosts": [None]}, {"http": [{"route": [None, {"destination": "x"}]}]}, {"host": ["a"]}),
        *({"traffic": {"virtualServices": [None, {"name": None}]}}, {"traffic": 3}, {"rollout": 4}),
        *({"http": [{"delegate": 3}, {"delegate": {"name": 4}}]}, {"egress": [1]}, {"ports": [2]}),
        {"configPatches": [{"match": {"routeConfiguration": [1]}}, 2]},
    ],
)
def test_broken_objects_are_passed_over(spec: object) -> None:
    found = furnished()
    broken = manifest("broken", spec=spec, status=spec)

    for cache in found.caches():
        cache.put(broken)
        found.concerned(cache, broken)

    assert all(Key("shop", "broken") in cache for cache in found.caches())


def test_a_service_wakes_the_rollouts_of_its_host() -> None:
    found = furnished()

    assert found.concerned(found.services, manifest("reviews")) == {REVIEWS}
    assert found.concerned(found.services, manifest("details")) == set()


def test_a_service_entry_wakes_the_rollouts_of_its_hosts() -> None:
    found = furnished()
    entry = manifest("entry", spec={"hosts": ["books.example.com", REVIEWS_HOST, 7]})

    assert found.concerned(found.service_entries, entry) == {REVIEWS}
    assert found.concerned(found.service_entries, manifest("odd", spec={})) == set()


def test_a_machine_wakes_those_whose_service_entry_selects_in_its_namespace() -> None:
    found = furnished()
    entry = manifest("entry", spec={"hosts": [REVIEWS_HOST]})
    entry["metadata"]["namespace"] = "machines"
    found.service_entries.put(entry)
    machine = manifest("vm-1")
    machine["metadata"]["namespace"] = "machines"

    assert found.concerned(found.workload_entries, machine) == {REVIEWS}


def test_a_rule_for_a_domain_wakes_the_rollouts_of_all_its_hosts() -> None:
    found = furnished()

    wild = manifest("all", namespace="web", spec={"host": "*.shop.svc.cluster.local"})
    other = manifest("other", namespace="web", spec={"host": "*.example.com"})

    assert found.concerned(found.destination_rules, wild) == {REVIEWS, RATINGS}
    assert found.concerned(found.destination_rules, other) == set()


def test_a_root_wakes_those_whose_delegate_it_names_and_a_delegate_those_of_its_roots() -> None:
    found = furnished()
    delegate = manifest("d", namespace="web", spec=routing(REVIEWS_HOST))
    away = {"hosts": ["r.example.com"], "http": [{"delegate": {"name": "d", "namespace": "web"}}]}
    root = manifest("root", spec=away)
    beta = manifest("beta", spec={"http": [{"redirect": {"uri": "/"}}]})
    near = {"hosts": ["ratings"], "http": [{"delegate": {"name": "beta"}}]}
    for virtual_service in (delegate, root, manifest("ratings", spec=near)):
        found.virtual_services.put(virtual_service)

    assert found.concerned(found.virtual_services, root) == {REVIEWS}
    assert found.concerned(found.virtual_services, beta) == {RATINGS}


def test_sidecars_and_filters_wake_nobody_since_they_stop_nothing() -> None:
    found = furnished()

    assert found.concerned(found.sidecars, manifest("s", spec={})) == set()
    assert found.concerned(found.envoy_filters, manifest("f", spec={})) == set()


def test_a_machine_wakes_the_rollout_of_a_service_of_its_namespace_wherever_that_lives() -> None:
    found = World()
    found.rollouts.put(manifest("reviews", namespace="team", spec={"host": REVIEWS_HOST}))

    entry = manifest("vm", spec={"labels": {"app": "reviews"}})

    assert found.concerned(found.workload_entries, entry) == {Key("team", "reviews")}


def test_a_pod_and_its_slice_wake_those_whose_service_entry_selects_the_pod() -> None:
    found = World()
    found.rollouts.put(manifest("books", spec={"host": "books.example.com"}))
    chosen = {"hosts": ["books.example.com"], "workloadSelector": {"labels": {"app": "books"}}}
    found.service_entries.put(manifest("books", spec=chosen))
    pod, other = manifest("a"), manifest("b")
    pod["metadata"]["labels"] = {"app": "books"}
    found.pods.put(pod)
    found.pods.put(other)
    piece = manifest("odd-1", endpoints=[{"targetRef": {"name": "a"}}])

    assert found.concerned(found.pods, pod) == {Key("shop", "books")}
    assert found.concerned(found.pods, other) == set()
    assert found.concerned(found.slices, piece) == {Key("shop", "books")}


def test_kinds_that_may_not_be_read_are_noted_with_what_to_grant() -> None:
    found = World()
    assert found.notes() == ()

    found.sidecars.denied = "forbidden"
    (note,) = found.notes()

    assert note.reason == "KindsNotRead"
    assert "may not read Sidecar" in note.message
    assert "list and watch sidecars" in note.message
