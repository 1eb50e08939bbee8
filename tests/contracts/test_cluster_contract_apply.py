"""What any API server does with apply, scale, deletion and owners.

Only cases that every backend must pass are here; what the sandbox does in its own way is tested in
``tests/sandbox``.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.apiclient import APPLY, Api, Json
from tests.sandbox.apiserver_samples import BASE, parcel

COLLECTOR_SECONDS = 60.0
"""Kubernetes' garbage collector looks every 30 s whether there are new kinds."""

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _ready(status: str) -> list[Json]:
    return [{"type": "Ready", "status": status, "reason": "Because"}]


async def test_an_apply_creates_changes_and_takes_back_what_it_left_out(apiserver: Api) -> None:
    async def apply(**spec: Any) -> tuple[int, Json]:
        body = parcel("a", **spec)
        answer = await apiserver.ask(
            "PATCH", f"{BASE}/a", body, media_type=APPLY, fieldManager="me", force="true"
        )
        return answer.code, answer.body

    created, _ = await apply(count=1, code="x")
    await apiserver.merge(f"{BASE}/a", {"spec": {"mode": "Fast"}})
    changed, body = await apply(count=2)

    assert (created, changed) == (201, 200)
    assert body["spec"]["count"] == 2
    assert "code" not in body["spec"]
    assert body["spec"]["mode"] == "Fast"


async def test_an_apply_merges_conditions_by_their_type(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))
    other = {"type": "Other", "status": "True"}
    await apiserver.merge(f"{BASE}/a/status", {"status": {"conditions": [other]}})
    body = parcel("a") | {"status": {"conditions": _ready("True")}}
    del body["spec"]

    answer = await apiserver.ask(
        "PATCH", f"{BASE}/a/status", body, media_type=APPLY, fieldManager="me", force="true"
    )

    assert answer.code == 200, answer.text
    assert [one["type"] for one in answer.body["status"]["conditions"]] == ["Other", "Ready"]


async def test_an_apply_of_anothers_field_is_a_conflict_unless_forced(apiserver: Api) -> None:
    query = {"fieldManager": "first"}
    await apiserver.ask("PATCH", f"{BASE}/a", parcel("a", count=1), media_type=APPLY, params=query)
    query = {"fieldManager": "second"}

    refused = await apiserver.ask(
        "PATCH", f"{BASE}/a", parcel("a", count=2), media_type=APPLY, params=query
    )
    forced = await apiserver.ask(
        "PATCH", f"{BASE}/a", parcel("a", count=2), media_type=APPLY, force="true", params=query
    )

    assert (refused.code, refused.body["reason"]) == (409, "Conflict")
    assert refused.body["message"] == (
        'Apply failed with 1 conflict: conflict with "first": .spec.count'
    )
    assert forced.body["spec"]["count"] == 2


async def test_scale_reads_and_writes_one_number(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a", replicas=1))

    scaled = await apiserver.merge(f"{BASE}/a/scale", {"spec": {"replicas": 3}})

    assert scaled.body["kind"] == "Scale"
    assert scaled.body["spec"] == {"replicas": 3}
    assert scaled.body["status"] == {"replicas": 0}
    assert (await apiserver.get(f"{BASE}/a"))["spec"]["replicas"] == 3


async def test_a_body_beyond_three_mebibytes_is_413(apiserver: Api) -> None:
    answer = await apiserver.ask("POST", BASE, raw=b" " * (3 * 1024 * 1024 + 1))

    assert answer.code == 413
    assert answer.body["message"] == "Request entity too large: limit is 3145728"


async def test_a_delete_without_finalizers_says_success_and_the_uid(apiserver: Api) -> None:
    made = await apiserver.create(BASE, parcel("a"))

    answer = await apiserver.ask("DELETE", f"{BASE}/a", {"propagationPolicy": "Background"})

    assert (answer.code, answer.body["status"]) == (200, "Success")
    assert answer.body["details"]["uid"] == made["metadata"]["uid"]
    assert (await apiserver.ask("GET", f"{BASE}/a")).code == 404


async def test_finalizers_hold_an_object_until_the_last_one_goes(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a", metadata={"finalizers": ["a.b/c"]}))

    first = await apiserver.ask("DELETE", f"{BASE}/a")
    again = await apiserver.ask("DELETE", f"{BASE}/a")
    late = await apiserver.merge(f"{BASE}/a", {"metadata": {"finalizers": ["a.b/c", "d.e/f"]}})
    gone = await apiserver.merge(f"{BASE}/a", {"metadata": {"finalizers": None}})

    assert first.body["metadata"]["deletionTimestamp"]
    assert first.body["metadata"]["generation"] == 2
    assert again.body == first.body
    assert late.code == 422
    assert "no new finalizers can be added" in late.body["message"]
    assert gone.code == 200
    assert (await apiserver.ask("GET", f"{BASE}/a")).code == 404


async def test_a_delete_of_another_uid_is_a_conflict(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))

    answer = await apiserver.ask("DELETE", f"{BASE}/a", {"preconditions": {"uid": "nope"}})

    assert answer.code == 409
    assert (
        "the UID in the precondition (nope) does not match the UID in record"
        in (answer.body["message"])
    )


async def test_a_collection_is_deleted_by_selector_and_returned(apiserver: Api) -> None:
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        await apiserver.create(BASE, parcel(name, metadata={"labels": {"app": label}}))

    answer = await apiserver.ask("DELETE", BASE, labelSelector="app=x")

    assert [one["metadata"]["name"] for one in answer.body["items"]] == ["a", "b"]
    left = await apiserver.get(BASE)
    assert [one["metadata"]["name"] for one in left["items"]] == ["c"]


async def test_an_owner_takes_its_objects_along(apiserver: Api) -> None:
    owner = await apiserver.create(BASE, parcel("owner"))
    reference = {
        "apiVersion": "shop.example/v1",
        "kind": "Parcel",
        "name": "owner",
        "uid": owner["metadata"]["uid"],
    }
    await apiserver.create(BASE, parcel("child", metadata={"ownerReferences": [reference]}))
    version = (await apiserver.get(BASE))["metadata"]["resourceVersion"]

    async with apiserver.watch(BASE, resourceVersion=version) as watch:
        await apiserver.ask("DELETE", f"{BASE}/owner")
        events = await watch.take(2, seconds=COLLECTOR_SECONDS)

    gone = [(one["type"], one["object"]["metadata"]["name"]) for one in events]
    assert gone == [("DELETED", "owner"), ("DELETED", "child")]
