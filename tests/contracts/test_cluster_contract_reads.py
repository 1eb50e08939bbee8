"""What any API server does with lists and watches.

Only cases that every backend must pass are here; what the sandbox does in its own way is tested in
``tests/sandbox``.
"""

from __future__ import annotations

import pytest

from tests.sandbox.apiclient import PARTIAL, PARTIAL_LIST, TABLE, Api, Json
from tests.sandbox.apiserver_samples import BASE, parcel

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _ready(status: str) -> list[Json]:
    return [{"type": "Ready", "status": status, "reason": "Because"}]


async def _names(apiserver: Api, **query: str) -> list[str]:
    found = await apiserver.get(BASE, params=query)
    return [one["metadata"]["name"] for one in found["items"]]


async def _with_labels(apiserver: Api) -> None:
    for name, labels in (("a", {"app": "x", "tier": "1"}), ("b", {"app": "y"}), ("c", {})):
        await apiserver.create(BASE, parcel(name, metadata={"labels": labels}))


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=x", ["a"]),
        ("app==x,tier=1", ["a"]),
        ("app!=x", ["b", "c"]),
        ("app in (x, y)", ["a", "b"]),
        ("app notin (x)", ["b", "c"]),
        ("app", ["a", "b"]),
        ("!app", ["c"]),
        ("tier>0", ["a"]),
    ],
)
async def test_label_selectors(apiserver: Api, selector: str, names: list[str]) -> None:
    await _with_labels(apiserver)

    assert await _names(apiserver, labelSelector=selector) == names


async def test_field_selectors_know_names_and_selectable_fields_only(apiserver: Api) -> None:
    await _with_labels(apiserver)
    await apiserver.merge(f"{BASE}/b/status", {"status": {"phase": "Sent"}})

    unknown = await apiserver.ask("GET", BASE, fieldSelector="spec.host=x")

    assert await _names(apiserver, fieldSelector="metadata.name=a") == ["a"]
    assert await _names(apiserver, fieldSelector="metadata.name!=a") == ["b", "c"]
    assert await _names(apiserver, fieldSelector="status.phase=Sent") == ["b"]
    assert unknown.code == 400
    assert unknown.body["message"] == "field label not supported: spec.host"


async def test_a_broken_label_selector_is_a_bad_request(apiserver: Api) -> None:
    assert (await apiserver.ask("GET", BASE, labelSelector="a in b")).code == 400


async def test_pages_keep_the_version_of_the_first(apiserver: Api) -> None:
    for name in ("a", "b", "c"):
        await apiserver.create(BASE, parcel(name))

    first = await apiserver.get(BASE, limit="2")
    await apiserver.create(BASE, parcel("bb"))
    await apiserver.ask("DELETE", f"{BASE}/c")
    token = first["metadata"]["continue"]
    second = await apiserver.get(BASE, limit="2", params={"continue": token})

    assert first["metadata"]["remainingItemCount"] == 1
    assert [one["metadata"]["name"] for one in second["items"]] == ["c"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert second["metadata"]["continue"] == ""


async def test_a_list_at_version_zero_ignores_the_limit(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))
    made = await apiserver.create(BASE, parcel("b"))
    # Version zero is whatever the server has at hand: after an answer for this one it has both.
    await _names(apiserver, resourceVersion=made["metadata"]["resourceVersion"])

    assert await _names(apiserver, limit="1", resourceVersion="0") == ["a", "b"]


async def test_continue_with_a_version_is_a_bad_request(apiserver: Api) -> None:
    answer = await apiserver.ask("GET", BASE, resourceVersion="5", params={"continue": "e30"})

    assert answer.code == 400


@pytest.mark.timeout(20)
async def test_a_version_of_the_future_is_waited_for_and_then_a_timeout(apiserver: Api) -> None:
    answer = await apiserver.ask("GET", BASE, resourceVersion="99999999999999")

    assert (answer.code, answer.body["reason"]) == (504, "Timeout")
    assert answer.headers["Retry-After"] == "1"


async def test_a_table_has_the_columns_of_the_crd_and_ages_as_text(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))
    await apiserver.merge(f"{BASE}/a/status", {"status": {"conditions": _ready("True")}})

    answer = await apiserver.ask("GET", BASE, accept=TABLE)

    columns = [(one["name"], one["priority"]) for one in answer.body["columnDefinitions"]]
    assert columns == [("Name", 0), ("Host", 0), ("Ready", 0), ("Note", 1), ("Age", 0)]
    row = answer.body["rows"][0]
    assert row["cells"][:4] == ["a", "reviews", "True", None]
    assert row["cells"][4].endswith("s")
    assert row["object"]["kind"] == "PartialObjectMetadata"


async def test_metadata_alone_can_be_listed(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))

    answer = await apiserver.ask("GET", BASE, accept=PARTIAL_LIST)

    assert answer.body["kind"] == "PartialObjectMetadataList"
    assert set(answer.body["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_a_watch_without_a_version_begins_with_everything(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("b"))
    await apiserver.create(BASE, parcel("a"))

    async with apiserver.watch(BASE) as watch:
        events = await watch.take(2)

    assert [one["type"] for one in events] == ["ADDED", "ADDED"]
    assert [one["object"]["metadata"]["name"] for one in events] == ["a", "b"]


async def test_a_watch_from_a_version_tells_what_followed(apiserver: Api) -> None:
    made = await apiserver.create(BASE, parcel("a"))
    version = made["metadata"]["resourceVersion"]
    await apiserver.merge(f"{BASE}/a", {"spec": {"count": 1}})

    async with apiserver.watch(BASE, resourceVersion=version) as watch:
        changed = await watch.next()
        await apiserver.merge(f"{BASE}/a", {"spec": {"count": 1}})
        await apiserver.ask("DELETE", f"{BASE}/a")
        deleted = await watch.next()

    assert (changed["type"], changed["object"]["spec"]["count"]) == ("MODIFIED", 1)
    assert deleted["type"] == "DELETED"
    last = deleted["object"]["metadata"]["resourceVersion"]
    assert int(last) > int(changed["object"]["metadata"]["resourceVersion"])


async def test_a_version_too_old_is_an_error_event_and_the_end(apiserver: Api) -> None:
    async with apiserver.watch(BASE, resourceVersion="1") as watch:
        error = await watch.next()
        end = await watch.next()

    assert watch.response.status == 200
    assert (error["type"], error["object"]["code"]) == ("ERROR", 410)
    assert error["object"]["reason"] == "Expired"
    assert error["object"]["message"].startswith("too old resource version: 1 (")
    assert end == {}


async def test_objects_come_and_go_as_a_selector_begins_and_ceases_to_match(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))
    version = (await apiserver.get(BASE))["metadata"]["resourceVersion"]
    query = {"resourceVersion": version, "labelSelector": "app=x"}

    async with apiserver.watch(BASE, params=query) as watch:
        await apiserver.merge(f"{BASE}/a", {"metadata": {"labels": {"app": "x"}}})
        await apiserver.merge(f"{BASE}/a", {"spec": {"count": 2}})
        await apiserver.merge(f"{BASE}/a", {"metadata": {"labels": {"app": "y"}}})
        events = await watch.take(3)

    assert [one["type"] for one in events] == ["ADDED", "MODIFIED", "DELETED"]


async def test_initial_events_can_be_asked_for_and_end_with_a_bookmark(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))
    query = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }

    async with apiserver.watch(BASE, params=query) as watch:
        first, bookmark = await watch.take(2)
        await apiserver.create(BASE, parcel("b"))
        live = await watch.next()

    assert first["type"] == "ADDED"
    assert bookmark["type"] == "BOOKMARK"
    marks = bookmark["object"]["metadata"]["annotations"]
    assert marks == {"k8s.io/initial-events-end": "true"}
    assert live["object"]["metadata"]["name"] == "b"


async def test_a_watch_ends_cleanly_after_its_timeout_with_a_bookmark_before(
    apiserver: Api,
) -> None:
    query = {"timeoutSeconds": "1", "allowWatchBookmarks": "true"}

    async with apiserver.watch(BASE, params=query) as watch:
        events = []
        while event := await watch.next():
            events.append(event["type"])

    assert set(events) == {"BOOKMARK"}


async def test_a_table_watch_names_its_columns_once(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))

    async with apiserver.watch(BASE, accept=TABLE) as watch:
        await apiserver.merge(f"{BASE}/a", {"spec": {"count": 1}})
        first, second = await watch.take(2)

    assert first["object"]["columnDefinitions"][0]["name"] == "Name"
    assert second["object"]["columnDefinitions"] is None
    assert second["object"]["rows"][0]["cells"][0] == "a"


async def test_metadata_alone_can_be_watched(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a", metadata={"labels": {"app": "x"}}))

    async with apiserver.watch(BASE, accept=PARTIAL) as watch:
        event = await watch.next()

    assert event["object"]["kind"] == "PartialObjectMetadata"
    assert event["object"]["metadata"]["labels"] == {"app": "x"}
    assert "spec" not in event["object"]


async def test_a_watch_in_the_shape_of_a_list_breaks_off_before_its_first_event(
    apiserver: Api,
) -> None:
    await apiserver.create(BASE, parcel("a"))

    async with apiserver.watch(BASE, accept=PARTIAL_LIST) as watch:
        event = await watch.next()

    assert watch.response.status == 200
    assert event == {}


async def test_a_list_is_refused_in_the_shape_of_one_object(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))

    answer = await apiserver.ask("GET", BASE, accept=PARTIAL)

    assert (answer.code, answer.body.get("reason")) == (406, "NotAcceptable")
