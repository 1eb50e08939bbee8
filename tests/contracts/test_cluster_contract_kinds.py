"""What any API server does with built-in kinds, discovery and definitions.

Only cases that every backend must pass are here; what the sandbox does in its own way is tested in
``tests/sandbox``.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.sandbox.apiclient import Api, Json
from tests.sandbox.apiserver_samples import crd, parcel

pytestmark = pytest.mark.asyncio(loop_scope="session")

POLL_COUNT, POLL_SECONDS = 160, 0.05
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


@pytest.mark.parametrize("stamp", ["2026-11-23T20:00:01Z", "2026-11-23T20:00:01.123Z"])
async def test_a_lease_wants_exactly_six_decimals(apiserver: Api, stamp: str) -> None:
    lease = {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 15}}
    await apiserver.create(LEASES, lease)

    refused = await apiserver.merge(f"{LEASES}/l", {"spec": {"renewTime": stamp}})
    exact = {"spec": {"renewTime": "2026-11-23T20:00:01.000000+00:00"}}
    accepted = await apiserver.merge(f"{LEASES}/l", exact)

    assert (refused.code, accepted.code) == (422, 200)


async def test_racing_for_a_lease_has_one_winner(apiserver: Api) -> None:
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "", "leaseDurationSeconds": 15}}
    made = await apiserver.create(LEASES, lease)

    async def run(name: str) -> int:
        body = made | {"spec": {**made["spec"], "holderIdentity": name}}
        return (await apiserver.ask("PUT", f"{LEASES}/l", body)).code

    codes = await asyncio.gather(*(run(name) for name in "abcde"))

    assert sorted(codes) == [200, 409, 409, 409, 409]


async def test_an_event_of_the_new_api_reads_as_one_of_the_old(apiserver: Api) -> None:
    event = {
        "metadata": {"name": "e"},
        "eventTime": "2026-11-23T20:00:01.000000Z",
        "reportingController": "shop.example/postman",
        "reportingInstance": "one",
        "action": "Sending",
        "reason": "Sent",
        "type": "Normal",
        "regarding": {"kind": "Parcel", "name": "a", "namespace": "default"},
        "note": "on its way",
    }
    await apiserver.create("/apis/events.k8s.io/v1/namespaces/default/events", event)

    path = "/api/v1/namespaces/default/events"
    found = await apiserver.get(path, fieldSelector="involvedObject.name=a")

    assert found["items"][0]["message"] == "on its way"
    assert found["items"][0]["involvedObject"]["kind"] == "Parcel"


async def test_reviews_are_answered_with_201(apiserver: Api) -> None:
    body = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

    answer = await apiserver.ask("POST", path, body)

    assert (answer.code, answer.body["status"]["allowed"]) == (201, True)


async def test_a_review_of_anothers_rights_is_asked_in_the_namespace_that_it_is_about(
    apiserver: Api,
) -> None:
    asked = {"verb": "promote", "group": "shop.example", "resource": "parcels", "name": "a"}
    spec = {
        "user": "alice",
        "groups": ["system:masters"],
        "resourceAttributes": {**asked, "namespace": "default"},
    }
    reviews = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews"
    listed = (await apiserver.get("/apis/authorization.k8s.io/v1"))["resources"]

    answer = await apiserver.ask("POST", reviews, {"spec": spec}, fieldValidation="Strict")

    assert (answer.code, answer.body["status"]["allowed"]) == (201, True)
    assert answer.body["metadata"] is not None
    assert {one["name"]: one["namespaced"] for one in listed}["localsubjectaccessreviews"] is True


async def test_discovery_is_not_sent_twice_to_those_who_know_it(apiserver: Api) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    first = await apiserver.ask("GET", "/apis", accept=accept)
    known = {"If-None-Match": first.headers["ETag"]}

    again = await apiserver.ask("GET", "/apis", accept=accept, headers=known)

    assert first.headers["Content-Type"].startswith(
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )
    assert again.code == 304


async def test_a_new_crd_is_served_and_its_end_takes_its_objects_along(apiserver: Api) -> None:
    definition = crd()
    definition["metadata"]["name"] = "boxes.shop.example"
    names = {"plural": "boxes", "kind": "Box", "singular": "box", "listKind": "BoxList"}
    definition["spec"]["names"] = names
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await apiserver.create(crds, definition)
    boxes = "/apis/shop.example/v1/namespaces/default/boxes"
    box = parcel("a") | {"kind": "Box"}
    await _until(apiserver, "GET", boxes, wanted=200)
    await _until(apiserver, "POST", boxes, box, wanted=201)

    await apiserver.ask("DELETE", f"{crds}/boxes.shop.example")

    await _until(apiserver, "GET", boxes, wanted=404)


async def _until(
    apiserver: Api, method: str, path: str, body: Json | None = None, *, wanted: int
) -> None:
    """Ask until the answer has the wanted code: a real server takes some seconds over a CRD."""
    code = 0
    for _ in range(POLL_COUNT):
        code = (await apiserver.ask(method, path, body)).code
        if code == wanted:
            return
        await asyncio.sleep(POLL_SECONDS)
    pytest.fail(f"{method} {path} never answered {wanted}, last {code}")
