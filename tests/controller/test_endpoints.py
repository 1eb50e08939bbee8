"""Who answers for a host, and how two revisions' series are told apart."""

from __future__ import annotations

from typing import Any

import pytest

from rollout.analysis.arm import Arms
from rollout.api.meta import Key, Manifest
from rollout.api.traffic import Problem, SubsetTable
from rollout.controller import endpoints
from rollout.controller.world import World

HOST = "reviews.shop.svc.cluster.local"
SUBSETS = SubsetTable(
    destination_rule="shop/reviews",
    subsets={"v1": {"version": "v1"}, "v2": {"version": "v2"}},
    problems=(),
)


def pod(name: str, *, owner: str = "", kind: str = "ReplicaSet", **labels: str) -> Manifest:
    metadata: dict[str, Any] = {"name": name, "namespace": "shop", "labels": labels}
    if owner:
        metadata["ownerReferences"] = [{"kind": kind, "name": owner, "controller": True}]
    return {"metadata": metadata}


def world(*pods: Manifest, unready: tuple[str, ...] = ()) -> World:
    found = World()
    for one in pods:
        found.pods.put(one)
    names = [one["metadata"]["name"] for one in pods]
    found.slices.put(
        {
            "metadata": {
                "name": "reviews-1",
                "namespace": "shop",
                "labels": {"kubernetes.io/service-name": "reviews"},
            },
            "endpoints": [
                {"conditions": {"ready": n not in unready}, "targetRef": {"name": n}} for n in names
            ],
        }
    )
    return found


def apart(found: World) -> Arms | Problem | None:
    return endpoints.tell_apart(found, HOST, SUBSETS, namespace="shop", stable="v1", canary="v2")


@pytest.mark.parametrize(
    ("host", "service"),
    [
        (HOST, Key("shop", "reviews")),
        ("reviews.other.svc", Key("other", "reviews")),
        ("books.example.com", Key("shop", "books.example.com")),
        ("reviews", Key("shop", "reviews")),
    ],
)
def test_a_host_names_its_service(host: str, service: Key) -> None:
    assert endpoints.service_of(host, namespace="shop") == service


def test_ready_endpoints_are_counted_by_the_labels_of_a_subset() -> None:
    found = world(
        pod("a", version="v1"), pod("b", version="v1"), pod("c", version="v2"), unready=("b",)
    )

    ready = endpoints.ready_by_subset(found, HOST, SUBSETS, namespace="shop")

    assert ready == {"v1": 1, "v2": 1}


def test_an_endpoint_whose_readiness_is_not_said_is_ready() -> None:
    found = world(pod("a", version="v1"))
    found.slices.put(
        {
            "metadata": {
                "name": "reviews-1",
                "namespace": "shop",
                "labels": {"kubernetes.io/service-name": "reviews"},
            },
            "endpoints": [{"targetRef": {"name": "a"}}],
        }
    )

    assert endpoints.ready_by_subset(found, HOST, SUBSETS, namespace="shop")["v1"] == 1


def test_pods_of_other_services_and_pods_nobody_knows_do_not_count() -> None:
    found = world(pod("a", version="v1"))
    found.pods.put(pod("stray", version="v2"))
    found.pods.remove(pod("a", version="v1"))

    assert endpoints.ready_by_subset(found, HOST, SUBSETS, namespace="shop") == {"v1": 0, "v2": 0}


def test_different_owners_tell_revisions_apart_before_version_labels_do() -> None:
    hashed = {"pod-template-hash": "abc12"}
    found = world(
        pod("a", owner="reviews-v1-abc12", version="v1", **hashed),
        pod("b", owner="reviews-v2-abc12", version="v2", **hashed),
    )

    expected = Arms(label="destination_workload", stable="reviews-v1", canary="reviews-v2")
    assert apart(found) == expected


def test_one_owner_with_two_version_labels_is_told_apart_by_these() -> None:
    found = world(
        pod("a", owner="reviews", kind="StatefulSet", version="v1"),
        pod("b", owner="reviews", kind="StatefulSet", version="v2"),
    )

    expected = Arms(label="destination_canonical_revision", stable="v1", canary="v2")
    assert apart(found) == expected


def test_one_owner_and_one_canonical_revision_cannot_be_told_apart_peers_173() -> None:
    same = {"service.istio.io/canonical-revision": "x"}
    found = world(
        pod("a", owner="reviews", kind="StatefulSet", version="v1", **same),
        pod("b", owner="reviews", kind="StatefulSet", version="v2", **same),
    )

    problem = apart(found)

    assert isinstance(problem, Problem)
    assert problem.reason == "CannotTellApart"
    assert "spec.metrics.arm" in problem.message


def test_while_a_revision_has_no_pods_nothing_is_said() -> None:
    assert apart(world(pod("a", owner="reviews-v1", version="v1"))) is None


@pytest.mark.parametrize(
    ("manifest", "workload"),
    [
        (pod("a", owner="web-7d9", **{"pod-template-hash": "7d9"}), "web"),
        (pod("a", owner="web-7d9", **{"rollouts-pod-template-hash": "7d9"}), "web"),
        (pod("a", owner="web-7d9", kind="StatefulSet", **{"pod-template-hash": "7d9"}), "web-7d9"),
        (pod("a", owner="web-7d9"), "web-7d9"),
        (pod("alone"), "alone"),
        (pod("a", owner="x", **{"service.istio.io/workload-name": "named"}), "named"),
    ],
)
def test_the_workload_is_the_owner_without_its_hash(manifest: Manifest, workload: str) -> None:
    assert endpoints.workload_of(manifest, manifest["metadata"]["labels"]) == workload


def test_the_canonical_revision_is_the_first_label_that_istio_reads() -> None:
    labels = {"version": "c", "app.kubernetes.io/version": "b"}

    assert endpoints.canonical_revision_of(labels) == "b"
    assert endpoints.canonical_revision_of({"version": ""}) == "latest"


def machine(name: str, **labels: str) -> Manifest:
    metadata = {"name": name, "namespace": "shop"}
    return {"metadata": metadata, "spec": {"address": "10.0.0.7", "labels": labels}}


def selecting(found: World, **selector: str) -> World:
    metadata = {"name": "reviews", "namespace": "shop"}
    found.services.put({"metadata": metadata, "spec": {"selector": selector}})
    return found


def test_machines_that_the_service_selects_are_its_endpoints() -> None:
    found = selecting(World(), app="reviews")
    found.workload_entries.put(machine("vm-1", app="reviews", version="v1"))
    found.workload_entries.put(machine("vm-2", app="reviews", version="v2"))

    ready = endpoints.ready_by_subset(found, HOST, SUBSETS, namespace="shop")

    assert ready == {"v1": 1, "v2": 1}


def test_machines_of_another_service_are_not() -> None:
    found = selecting(World(), app="reviews")
    found.workload_entries.put(machine("vm-1", app="ratings", version="v1"))

    ready = endpoints.ready_by_subset(found, HOST, SUBSETS, namespace="shop")

    assert ready == {"v1": 0, "v2": 0}


def test_a_service_without_a_selector_selects_no_machine() -> None:
    found = selecting(World())
    found.workload_entries.put(machine("vm-1", version="v1"))

    assert endpoints.ready_by_subset(found, HOST, SUBSETS, namespace="shop")["v1"] == 0


def test_a_machine_is_of_the_workload_that_its_spec_labels_name() -> None:
    found = selecting(World(), app="reviews")
    name = "service.istio.io/workload-name"
    for version in ("v1", "v2"):
        labels = {"app": "reviews", "version": version, name: f"reviews-{version}"}
        found.workload_entries.put(machine(f"vm-{version}", **labels))

    expected = Arms(label="destination_workload", stable="reviews-v1", canary="reviews-v2")
    assert apart(found) == expected


def entry(**spec: Any) -> Manifest:
    metadata = {"name": "books", "namespace": "shop"}
    return {"metadata": metadata, "spec": {"hosts": ["books.example.com"], **spec}}


def test_endpoints_listed_in_a_service_entry_answer_for_its_host() -> None:
    found = World()
    listed = [{"address": f"10.0.0.{n}", "labels": {"version": f"v{n}"}} for n in (1, 2)]
    found.service_entries.put(entry(endpoints=listed))

    ready = endpoints.ready_by_subset(found, "books.example.com", SUBSETS, namespace="shop")

    assert ready == {"v1": 1, "v2": 1}


def test_machines_that_a_service_entry_selects_answer_for_its_host() -> None:
    found = World()
    found.service_entries.put(entry(workloadSelector={"labels": {"app": "books"}}))
    found.workload_entries.put(machine("vm-1", app="books", version="v2"))
    found.workload_entries.put(machine("vm-2", app="films", version="v2"))

    ready = endpoints.ready_by_subset(found, "books.example.com", SUBSETS, namespace="shop")

    assert ready == {"v1": 0, "v2": 1}


@pytest.mark.parametrize(
    "broken", [{"workloadSelector": "books"}, {"endpoints": "books"}, {"endpoints": ["books"]}]
)
def test_a_broken_service_entry_has_no_endpoints(broken: dict[str, Any]) -> None:
    found = World()
    found.service_entries.put(entry(**broken))
    found.workload_entries.put(machine("vm-1", version="v1"))

    ready = endpoints.ready_by_subset(found, "books.example.com", SUBSETS, namespace="shop")

    assert ready == {"v1": 0, "v2": 0}


EXTERNAL = "x.example.com"
SELECTED = {"hosts": [EXTERNAL], "workloadSelector": {"labels": {"app": "x"}}}


def of_entry(spec: object, *, namespace: str = "shop") -> World:
    found = World()
    found.service_entries.put({"metadata": {"name": "x", "namespace": namespace}, "spec": spec})
    return found


def probed(*, healthy: str = "", labels: object = None, **metadata: Any) -> Manifest:
    status = {"conditions": [{"type": "Healthy", "status": healthy}]} if healthy else {}
    return {
        "metadata": {"name": "vm", "namespace": "shop", **metadata},
        "spec": {"labels": {"app": "x", "version": "v1"} if labels is None else labels},
        "status": status,
    }


def ready_of(found: World, **around: Any) -> int:
    return endpoints.ready_by_subset(found, EXTERNAL, SUBSETS, namespace="shop", **around)["v1"]


def test_endpoints_listed_in_a_service_entry_are_told_apart_by_their_version_alone() -> None:
    listed = [{"address": f"10.0.0.{i}", "labels": {"version": f"v{i}"}} for i in (1, 2)]
    found = of_entry({"hosts": [EXTERNAL], "endpoints": listed})

    told = endpoints.tell_apart(
        found, EXTERNAL, SUBSETS, namespace="shop", stable="v1", canary="v2"
    )

    assert told == Arms(label="destination_canonical_revision", stable="v1", canary="v2")


@pytest.mark.parametrize(
    ("checked", "healthy", "count"),
    [("", "False", 1), ("false", "", 1), ("true", "", 0), ("1", "False", 0), ("true", "True", 1)],
)
def test_a_machine_whose_health_is_checked_counts_once_it_is_proved(
    checked: str, healthy: str, count: int
) -> None:
    found = of_entry(SELECTED)
    annotations = {"proxy.istio.io/health-checks-enabled": checked}
    found.workload_entries.put(probed(healthy=healthy, annotations=annotations))

    assert ready_of(found) == count


def test_of_two_values_of_a_machines_label_the_one_in_its_metadata_counts() -> None:
    found = of_entry(SELECTED)
    found.workload_entries.put(probed(labels={"app": "x", "version": "v2"}))
    assert ready_of(found) == 0

    metadata_labels = {"labels": {"version": "v1"}}
    entry = probed(labels={"app": "x", "version": "v2"})
    entry["metadata"] |= metadata_labels
    found.workload_entries.put(entry)

    assert ready_of(found) == 1


def test_a_pod_that_a_service_entry_selects_is_ready_when_a_service_says_so() -> None:
    found = world(pod("a", app="x", version="v1"), pod("b", app="x", version="v1"), unready=("b",))
    found.pods.put(pod("c", app="x", version="v1"))
    found.service_entries.put({"metadata": {"name": "x", "namespace": "shop"}, "spec": SELECTED})

    assert ready_of(found) == 1


@pytest.mark.parametrize(
    ("exported", "near", "count"),
    [([], (), 1), (["*"], (), 1), (["shop"], (), 1), (["."], (), 0), (["."], ("mesh",), 1)],
)
def test_a_service_entry_counts_where_it_is_exported_to(
    exported: list[str], near: tuple[str, ...], count: int
) -> None:
    listed = [{"address": "10.0.0.1", "labels": {"version": "v1"}}]
    spec = {"hosts": [EXTERNAL], "exportTo": exported, "endpoints": listed}

    assert ready_of(of_entry(spec, namespace="mesh"), near=near) == count


def test_a_service_entry_for_a_whole_domain_is_no_destination_of_a_host_in_it() -> None:
    listed = [{"address": "10.0.0.1", "labels": {"version": "v1"}}]

    assert ready_of(of_entry({"hosts": ["*.example.com"], "endpoints": listed})) == 0


def test_labels_that_are_none_match_nothing_and_crash_nothing() -> None:
    found = of_entry({"hosts": [EXTERNAL], "endpoints": [{"labels": "x"}, {"labels": {"app": 7}}]})
    found.workload_entries.put(probed(labels="x"))

    assert ready_of(found) == 0


def test_what_is_not_read_is_told_where_it_may_bring_endpoints() -> None:
    found = World()
    found.sidecars.denied = "forbidden"
    assert endpoints.unread(found) == ""

    found.service_entries.denied = "forbidden"
    assert "may not read ServiceEntry" in endpoints.unread(found)
