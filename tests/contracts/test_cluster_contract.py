"""What any API server does with writes of custom resources.

Only cases that every backend must pass are here; what the sandbox does in its own way is tested in
``tests/sandbox``.
"""

from __future__ import annotations

import pytest

from tests.sandbox.apiclient import JSON_PATCH, Api, Json
from tests.sandbox.apiserver_samples import BASE, parcel

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_created_object_gets_identity_defaults_and_generation_one(apiserver: Api) -> None:
    made = await apiserver.create(BASE, parcel("a") | {"status": {"phase": "Told"}})

    assert made["metadata"]["generation"] == 1
    assert made["metadata"]["uid"]
    assert made["spec"] == {"host": "reviews", "mode": "Slow", "limits": {"seconds": 30}}
    assert "status" not in made


async def test_a_taken_name_is_already_exists(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))

    answer = await apiserver.ask("POST", BASE, parcel("a"))

    assert answer.code == 409
    assert answer.body["reason"] == "AlreadyExists"
    assert answer.body["message"] == 'parcels.shop.example "a" already exists'
    assert answer.body["details"] == {"name": "a", "group": "shop.example", "kind": "parcels"}


async def test_generate_name_appends_five_characters(apiserver: Api) -> None:
    body = parcel("x", metadata={"generateName": "gen-"})
    del body["metadata"]["name"]

    made = await apiserver.create(BASE, body)

    assert made["metadata"]["name"].startswith("gen-")
    assert len(made["metadata"]["name"]) == 9


async def test_a_missing_object_is_a_status_and_a_missing_resource_is_plain_text(
    apiserver: Api,
) -> None:
    missing = await apiserver.ask("GET", f"{BASE}/b")
    unknown = await apiserver.ask("GET", "/apis/shop.example/v1/namespaces/default/boxes")

    assert (missing.code, missing.body["reason"]) == (404, "NotFound")
    assert missing.body["message"] == 'parcels.shop.example "b" not found'
    assert (unknown.code, unknown.text) == (404, "404 page not found\n")
    assert unknown.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("spec", "reason", "message"),
    [
        pytest.param(
            {"steps": [{"weight": 101}]},
            "FieldValueInvalid",
            "spec.steps[0].weight: Invalid value: 101: spec.steps[0].weight in body should be less "
            "than or equal to 100",
            id="maximum",
        ),
        pytest.param(
            {"steps": [{"weight": 1, "hold": 5}]},
            "FieldValueTypeInvalid",
            'spec.steps[0].hold: Invalid value: "integer": spec.steps[0].hold in body must be of '
            'type string: "integer"',
            id="type",
        ),
        pytest.param(
            {"mode": "x"},
            "FieldValueNotSupported",
            'spec.mode: Unsupported value: "x": supported values: "Fast", "Slow"',
            id="enum",
        ),
        pytest.param(
            {"steps": [{}]},
            "FieldValueRequired",
            "spec.steps[0].weight: Required value",
            id="required",
        ),
        pytest.param(
            {"code": "A"},
            "FieldValueInvalid",
            "spec.code: Invalid value: \"A\": spec.code in body should match '^[a-z]+$'",
            id="pattern",
        ),
        pytest.param(
            {"tags": ["a", "a"]},
            "FieldValueDuplicate",
            'spec.tags[1]: Duplicate value: "a"',
            id="set",
        ),
    ],
)
async def test_the_schema_refuses_with_the_field_and_the_reason(
    apiserver: Api, spec: Json, reason: str, message: str
) -> None:
    answer = await apiserver.ask("POST", BASE, parcel("w", **spec))

    assert answer.code == 422
    assert answer.body["reason"] == "Invalid"
    assert answer.body["message"] == f'Parcel.shop.example "w" is invalid: {message}'
    assert answer.body["details"]["kind"] == "Parcel"
    assert [cause["reason"] for cause in answer.body["details"]["causes"]] == [reason]


async def test_a_missing_spec_is_a_required_value(apiserver: Api) -> None:
    body = parcel("w")
    del body["spec"]

    answer = await apiserver.ask("POST", BASE, body)

    assert answer.body["message"].endswith("is invalid: spec: Required value")


async def test_unknown_fields_are_refused_warned_of_or_dropped(apiserver: Api) -> None:
    body = parcel("w", bogus=1, steps=[{"weight": 1, "weigth": 2}])

    strict = await apiserver.ask("POST", BASE, body, fieldValidation="Strict")
    warned = await apiserver.ask("POST", BASE, body)
    ignored = await apiserver.ask("POST", BASE, parcel("v", bogus=1), fieldValidation="Ignore")

    assert strict.code == 400
    assert strict.body["message"] == (
        'Parcel in version "v1" cannot be handled as a Parcel: strict decoding error: '
        'unknown field "spec.bogus", unknown field "spec.steps[0].weigth"'
    )
    assert warned.warnings == (
        '299 - "unknown field \\"spec.bogus\\""',
        '299 - "unknown field \\"spec.steps[0].weigth\\""',
    )
    assert "bogus" not in warned.body["spec"]
    assert (ignored.code, ignored.warnings) == (201, ())


async def test_a_patch_with_an_unknown_field_is_made_and_warned_of(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))

    answer = await apiserver.merge(f"{BASE}/a", {"spec": {"count": 3, "bogus": 1}})

    assert (answer.code, answer.body["spec"]["count"]) == (200, 3)
    assert answer.warnings == ('299 - "unknown field \\"spec.bogus\\""',)


async def test_a_null_is_dropped_and_defaulted_unless_nullable(apiserver: Api) -> None:
    made = await apiserver.create(BASE, parcel("a", mode=None, maybe=None, count=5.0))

    assert made["spec"]["mode"] == "Slow"
    assert made["spec"]["maybe"] is None
    assert made["spec"]["count"] == 5


async def test_spec_raises_the_generation_and_labels_do_not(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))

    labelled = await apiserver.merge(f"{BASE}/a", {"metadata": {"labels": {"x": "y"}}})
    changed = await apiserver.merge(f"{BASE}/a", {"spec": {"count": 3}})

    assert labelled.body["metadata"]["generation"] == 1
    assert changed.body["metadata"]["generation"] == 2


async def test_status_and_spec_are_written_through_their_own_doors(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))
    patch = {
        "metadata": {"labels": {"x": "y"}, "finalizers": ["a.b/c"]},
        "spec": {"count": 9},
        "status": {"phase": "Sent"},
    }

    status = await apiserver.merge(f"{BASE}/a/status", patch)
    main = await apiserver.merge(f"{BASE}/a", {"spec": {"count": 1}, "status": {"phase": "Lost"}})

    assert status.code == 200
    assert status.body["status"] == {"phase": "Sent"}
    assert "labels" not in status.body["metadata"]
    assert "finalizers" not in status.body["metadata"]
    assert "count" not in status.body["spec"]
    assert status.body["metadata"]["generation"] == 1
    assert main.body["status"] == {"phase": "Sent"}
    assert main.body["spec"]["count"] == 1


async def test_a_write_that_changes_nothing_keeps_the_version(apiserver: Api) -> None:
    made = await apiserver.create(BASE, parcel("a"))

    merged = await apiserver.merge(f"{BASE}/a", {"spec": {"host": "reviews"}})
    put = await apiserver.ask("PUT", f"{BASE}/a", made)

    assert merged.body["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert put.body["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_a_stale_version_is_a_conflict_in_every_kind_of_write(apiserver: Api) -> None:
    made = await apiserver.create(BASE, parcel("a"))
    stale = made["metadata"]["resourceVersion"]
    await apiserver.merge(f"{BASE}/a", {"spec": {"count": 1}})

    put = await apiserver.ask("PUT", f"{BASE}/a", made)
    merge = await apiserver.merge(f"{BASE}/a", {"metadata": {"resourceVersion": stale}})
    replace = [{"op": "replace", "path": "/metadata/resourceVersion", "value": stale}]
    json_patch = await apiserver.ask("PATCH", f"{BASE}/a", replace, media_type=JSON_PATCH)
    test = [{"op": "test", "path": "/metadata/resourceVersion", "value": stale}]
    tested = await apiserver.ask("PATCH", f"{BASE}/a", test, media_type=JSON_PATCH)

    assert [put.code, merge.code, json_patch.code] == [409, 409, 409]
    assert put.body["message"] == (
        'Operation cannot be fulfilled on parcels.shop.example "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    assert (tested.code, tested.body["reason"]) == (422, "Invalid")


async def test_a_put_must_name_a_version(apiserver: Api) -> None:
    made = await apiserver.create(BASE, parcel("a"))
    del made["metadata"]["resourceVersion"]

    answer = await apiserver.ask("PUT", f"{BASE}/a", made)

    assert answer.code == 422
    assert "must be specified for an update" in answer.body["message"]


async def test_another_name_in_the_body_is_a_bad_request(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))

    answer = await apiserver.merge(f"{BASE}/a", {"metadata": {"name": "other"}})

    assert answer.code == 400
    assert answer.body["message"] == (
        "the name of the object (other) does not match the name on the URL (a)"
    )


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param({"op": "test", "path": "/spec/host", "value": "x"}, id="test fails"),
        pytest.param({"op": "remove", "path": "/spec/none"}, id="nothing to remove"),
        pytest.param({"op": "replace", "path": "/spec/no/ne", "value": 1}, id="no such path"),
        pytest.param({"op": "add", "path": "/spec/tags/-", "value": "x"}, id="no such list"),
    ],
)
async def test_every_failing_json_patch_is_the_same_riddle(apiserver: Api, operation: Json) -> None:
    await apiserver.create(BASE, parcel("a"))

    answer = await apiserver.ask("PATCH", f"{BASE}/a", [operation], media_type=JSON_PATCH)

    assert answer.code == 422
    assert answer.body["message"] == (
        "the server rejected our request due to an error in our request"
    )
    assert answer.body["details"] == {}


async def test_a_test_for_null_passes_where_nothing_is(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))
    operations = [
        {"op": "test", "path": "/spec/none", "value": None},
        {"op": "add", "path": "/spec/count", "value": 4},
    ]

    answer = await apiserver.ask("PATCH", f"{BASE}/a", operations, media_type=JSON_PATCH)

    assert (answer.code, answer.body["spec"]["count"]) == (200, 4)


async def test_a_wrong_uid_in_a_patch_is_immutable(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))

    answer = await apiserver.merge(f"{BASE}/a", {"metadata": {"uid": "nope"}})

    assert answer.code == 422
    assert "field is immutable" in answer.body["message"]


async def test_a_strategic_patch_of_a_custom_resource_is_415(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))
    media_type = "application/strategic-merge-patch+json"

    answer = await apiserver.ask("PATCH", f"{BASE}/a", {}, media_type=media_type)

    assert answer.code == 415
    assert answer.body["message"] == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )


async def test_duplicates_in_a_list_map_are_refused(apiserver: Api) -> None:
    await apiserver.create(BASE, parcel("a"))
    twice = [{"type": "A", "status": "True"}, {"type": "A", "status": "False"}]

    answer = await apiserver.merge(f"{BASE}/a/status", {"status": {"conditions": twice}})

    assert answer.code == 422
    assert 'status.conditions[1]: Duplicate value: {"type":"A"}' in answer.body["message"]


async def test_a_dry_run_answers_and_keeps_nothing(apiserver: Api) -> None:
    made = await apiserver.ask("POST", BASE, parcel("a"), dryRun="All")
    wrong = await apiserver.ask("POST", BASE, parcel("a"), dryRun="Some")

    assert made.code == 201
    assert wrong.code == 422
    assert (await apiserver.ask("GET", f"{BASE}/a")).code == 404
