"""The sample service's objects, and where they are posted to."""

from __future__ import annotations

import pytest

from rollout.sandbox.stage_objects import Cast, collection, objects


def test_owners_come_before_what_they_own() -> None:
    seen: set[tuple[str, str]] = set()

    for item in objects(Cast(replicas=2)):
        for owner in item["metadata"].get("ownerReferences", ()):
            assert (owner["kind"], owner["name"]) in seen
        seen.add((item["kind"], item["metadata"]["name"]))

    assert len([name for kind, name in seen if kind == "Pod"]) == 8


def test_every_pod_has_an_address_of_its_own_and_an_endpoint() -> None:
    cast = Cast(versions=("v1", "v2"), replicas=3)
    found = objects(cast)

    addresses = [i["status"]["podIP"] for i in found if i["kind"] == "Pod"]
    slice_ = next(i for i in found if i["kind"] == "EndpointSlice")

    assert len(set(addresses)) == 6
    assert [e["addresses"][0] for e in slice_["endpoints"]] == addresses
    assert cast.cluster_ip not in addresses


def test_all_weight_is_on_the_first_version() -> None:
    item = objects(Cast())[-1]

    legs = item["spec"]["http"][0]["route"]
    assert [leg["weight"] for leg in legs] == [100, 0, 0, 0]


@pytest.mark.parametrize(
    ("version", "kind", "namespace", "path"),
    [
        ("v1", "Namespace", None, "/api/v1/namespaces"),
        ("apps/v1", "ReplicaSet", "a", "/apis/apps/v1/namespaces/a/replicasets"),
        ("x/v1", "ServiceEntry", "a", "/apis/x/v1/namespaces/a/serviceentries"),
        ("x/v1", "RolloutPolicy", None, "/apis/x/v1/rolloutpolicies"),
        ("v1", "Ingress", "a", "/api/v1/namespaces/a/ingresses"),
    ],
)
def test_the_path_of_a_collection_follows_from_the_object(
    version: str, kind: str, namespace: str | None, path: str
) -> None:
    metadata = {"name": "x"} | ({"namespace": namespace} if namespace else {})

    assert collection({"apiVersion": version, "kind": kind, "metadata": metadata}) == path
