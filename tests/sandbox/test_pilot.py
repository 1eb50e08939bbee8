"""The pilot's translation of routes: what a VirtualService makes Envoy do."""

from __future__ import annotations

import pytest

from rollout.sandbox.pilot.translate import translate
from rollout.sandbox.stage_objects import Manifest
from tests.sandbox.meshes import (
    ALL,
    PROXY,
    V1,
    V2,
    addresses,
    istio,
    leg,
    only_route,
    routes,
    told,
    virtual_service,
    weights,
    without,
)


def test_weights_are_passed_on_as_they_are() -> None:
    files = told(virtual_service({"route": [leg("v1", 90), leg("v2", 10)]}))

    assert weights(files) == {V1: 90, V2: 10}


def test_weights_need_not_sum_to_a_hundred() -> None:
    files = told(virtual_service({"route": [leg("v1", 995), leg("v2", 5)]}))

    assert weights(files) == {V1: 995, V2: 5}


def test_a_leg_with_weight_zero_is_left_out() -> None:
    files = told(virtual_service({"route": [leg("v1", 0), leg("v2", 100)]}))

    assert weights(files) == {V2: 100}


def test_a_leg_without_a_weight_gets_nothing_beside_another() -> None:
    files = told(virtual_service({"route": [leg("v1"), leg("v2", 3)]}))

    assert weights(files) == {V2: 3}


@pytest.mark.parametrize("weight", [None, 0, 7])
def test_a_single_leg_takes_everything_whatever_its_weight(weight: int | None) -> None:
    files = told(virtual_service({"route": [leg("v2", weight)]}))

    assert only_route(files)["route"]["cluster"] == V2


def test_legs_that_are_all_zero_give_a_list_that_envoy_refuses() -> None:
    files = told(virtual_service({"route": [leg("v1", 0), leg("v2", 0)]}))

    assert weights(files) == {}


def test_the_first_of_the_sample_service_takes_everything() -> None:
    files = told()

    assert weights(files) == {V1: 100}


def test_nothing_behind_a_route_that_takes_everything_is_kept() -> None:
    files = told(virtual_service({"route": [leg("v1")]}, {"name": "late", "route": [leg("v2")]}))

    assert only_route(files)["route"]["cluster"] == V1


def test_a_match_on_the_root_prefix_takes_everything_too() -> None:
    first = {"match": [{"uri": {"prefix": "/"}}], "route": [leg("v1")]}
    files = told(virtual_service(first, {"route": [leg("v2")]}))

    assert only_route(files)["route"]["cluster"] == V1


def test_routes_keep_their_order() -> None:
    insiders = {
        "name": "insiders",
        "match": [{"headers": {"x-user": {"exact": "jason"}}}],
        "route": [leg("v2")],
    }
    files = told(virtual_service(insiders, {"name": "primary", "route": [leg("v1")]}))

    assert [route["name"] for route in routes(files)] == ["insiders", "primary"]
    assert routes(files)[0]["match"]["headers"] == [
        {"name": "x-user", "string_match": {"exact": "jason"}}
    ]


def test_each_entry_of_a_match_becomes_a_route_of_its_own() -> None:
    either = {"match": [{"uri": {"exact": "/a"}}, {"uri": {"regex": "/b.*"}}], "route": [leg("v2")]}
    files = told(virtual_service(either))

    assert [route["match"] for route in routes(files)] == [
        {"path": "/a"},
        {"safe_regex": {"regex": "/b.*"}},
    ]


def test_the_fields_of_one_entry_all_have_to_hold() -> None:
    entry = {
        "uri": {"prefix": "/api"},
        "method": {"exact": "GET"},
        "headers": {"cookie": {"regex": ".*canary.*"}, "x-flag": {}},
        "withoutHeaders": {"x-bot": {"prefix": "g"}},
        "queryParams": {"v": {"exact": "2"}},
        "ignoreUriCase": True,
    }
    files = told(virtual_service({"match": [entry], "route": [leg("v2")]}))

    assert only_route(files)["match"] == {
        "prefix": "/api",
        "case_sensitive": False,
        "headers": [
            {"name": ":method", "string_match": {"exact": "GET"}},
            {"name": "cookie", "string_match": {"safe_regex": {"regex": ".*canary.*"}}},
            {"name": "x-flag", "present_match": True},
            {
                "name": "x-bot",
                "string_match": {"prefix": "g"},
                "invert_match": True,
                "treat_missing_header_as_empty": True,
            },
        ],
        "query_parameters": [{"name": "v", "string_match": {"exact": "2"}}],
    }


@pytest.mark.parametrize(
    "entry",
    [
        {"gateways": ["istio-system/front"]},
        {"port": 80},
        {"sourceLabels": {"app": "other"}},
        {"sourceNamespace": "elsewhere"},
    ],
)
def test_a_match_that_is_for_others_is_left_out(entry: Manifest) -> None:
    files = told(virtual_service({"match": [entry], "route": [leg("v2")]}, {"route": [leg("v1")]}))

    assert only_route(files)["route"]["cluster"] == V1


@pytest.mark.parametrize("entry", [{"port": 9080}, {"sourceLabels": {"app": "load"}}])
def test_a_match_that_always_holds_for_us_takes_everything(entry: Manifest) -> None:
    files = told(virtual_service({"match": [entry], "route": [leg("v2")]}, {"route": [leg("v1")]}))

    assert only_route(files)["route"]["cluster"] == V2


def test_a_virtual_service_for_gateways_alone_means_nothing_to_a_sidecar() -> None:
    files = told(virtual_service({"route": [leg("v2")]}, gateways=["front"]))

    assert only_route(files)["route"]["cluster"] == ALL


def test_a_virtual_service_for_gateways_and_the_mesh_is_obeyed() -> None:
    files = told(virtual_service({"route": [leg("v2")]}, gateways=["front", "mesh"]))

    assert only_route(files)["route"]["cluster"] == V2


def test_of_two_virtual_services_for_a_host_the_elder_wins() -> None:
    elder = virtual_service({"route": [leg("v2")]}, name="zz")
    elder["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    younger = virtual_service({"route": [leg("v1")]})
    younger["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"

    files = told(younger, elder)

    assert only_route(files)["route"]["cluster"] == V2


def test_a_virtual_service_for_the_host_itself_wins_over_a_wildcard() -> None:
    wide = virtual_service({"route": [leg("v2")]}, name="wide", hosts=["*.svc.cluster.local"])
    narrow = virtual_service({"route": [leg("v1")]})
    narrow["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"

    files = told(wide, narrow)

    assert only_route(files)["route"]["cluster"] == V1


def test_a_virtual_service_that_is_not_exported_to_the_caller_is_not_seen() -> None:
    files = told(virtual_service({"route": [leg("v2")]}, exportTo=["elsewhere"]))

    assert only_route(files)["route"]["cluster"] == ALL


def test_a_host_without_a_virtual_service_is_balanced_over_all_versions() -> None:
    files = translate(without("VirtualService"), proxy=PROXY)

    assert only_route(files)["route"]["cluster"] == ALL
    assert addresses(files, ALL) == ["127.9.1.1", "127.9.2.1"]


def test_a_short_host_name_belongs_to_the_namespace_of_its_object() -> None:
    elsewhere = virtual_service({"route": [leg("v2")]})
    elsewhere["metadata"]["namespace"] = "elsewhere"

    files = told(elsewhere)

    assert weights(files) == {V1: 100}


def test_without_a_word_on_retries_istios_default_holds_and_no_timeout() -> None:
    files = told(virtual_service({"route": [leg("v1")]}))

    action = only_route(files)["route"]
    assert action["timeout"] == "0s"
    assert action["retry_policy"]["num_retries"] == 2
    assert "retriable-status-codes" in action["retry_policy"]["retry_on"]
    assert "retriable_status_codes" not in action["retry_policy"]


def test_timeout_and_retries_are_passed_on() -> None:
    retries = {"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx,503"}
    files = told(virtual_service({"timeout": "1m30s", "retries": retries, "route": [leg("v1")]}))

    action = only_route(files)["route"]
    assert action["timeout"] == "90s"
    assert action["retry_policy"] == {
        "num_retries": 3,
        "retry_on": "5xx,retriable-status-codes",
        "retriable_status_codes": [503],
        "per_try_timeout": "2s",
    }


def test_no_attempts_mean_no_retries() -> None:
    files = told(virtual_service({"retries": {"attempts": 0}, "route": [leg("v1")]}))

    assert "retry_policy" not in only_route(files)["route"]


def test_a_fault_is_injected_and_switches_timeout_and_retries_off() -> None:
    fault = {
        "delay": {"percentage": {"value": 10}, "fixedDelay": "500ms"},
        "abort": {"percentage": {"value": 0.5}, "httpStatus": 418},
    }
    files = told(virtual_service({"fault": fault, "timeout": "1s", "route": [leg("v1")]}))

    route = only_route(files)
    assert route["route"]["timeout"] == "0s"
    assert "retry_policy" not in route["route"]
    injected = route["typed_per_filter_config"]["envoy.filters.http.fault"]
    assert injected["delay"]["fixed_delay"] == "0.5s"
    assert injected["abort"]["http_status"] == 418
    assert injected["abort"]["percentage"] == {"numerator": 5000, "denominator": "MILLION"}


def test_a_mirror_gets_a_cluster_of_its_own_so_that_metrics_leave_it_out() -> None:
    mirror = {"mirror": {"host": "reviews", "subset": "v2"}, "mirrorPercentage": {"value": 25}}
    files = told(virtual_service({"route": [leg("v1")], **mirror}))

    policy = only_route(files)["route"]["request_mirror_policies"][0]
    assert policy["cluster"] == f"mirror:{V2}"
    assert policy["runtime_fraction"]["default_value"]["numerator"] == 250_000
    assert addresses(files, f"mirror:{V2}") == ["127.9.2.1"]


def test_headers_of_a_leg_are_set_for_that_leg_alone() -> None:
    marked = leg("v2", 10, headers={"request": {"set": {"x-leg": "canary"}}})
    files = told(virtual_service({"route": [leg("v1", 90), marked]}))

    first, second = only_route(files)["route"]["weighted_clusters"]["clusters"]
    assert "request_headers_to_add" not in first
    assert second["request_headers_to_add"] == [
        {
            "header": {"key": "x-leg", "value": "canary"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
    ]


def test_headers_of_a_route_are_added_and_removed() -> None:
    headers = {"response": {"add": {"x-a": "1"}, "remove": ["server"]}}
    files = told(virtual_service({"route": [leg("v1")], "headers": headers}))

    route = only_route(files)
    assert route["response_headers_to_add"][0]["append_action"] == "APPEND_IF_EXISTS_OR_ADD"
    assert route["response_headers_to_remove"] == ["server"]


def test_redirects_and_direct_responses_forward_nothing() -> None:
    moved = {"match": [{"uri": {"exact": "/old"}}], "redirect": {"uri": "/new"}}
    gone = {"directResponse": {"status": 410, "body": {"string": "gone"}}}
    files = told(virtual_service(moved, gone))

    first, second = routes(files)
    assert first["redirect"] == {"response_code": "MOVED_PERMANENTLY", "path_redirect": "/new"}
    assert second["direct_response"] == {"status": 410, "body": {"inline_string": "gone"}}


def test_a_rewrite_changes_path_and_authority() -> None:
    rewrite = {"uri": "/v2", "authority": "inner"}
    files = told(virtual_service({"route": [leg("v1")], "rewrite": rewrite}))

    action = only_route(files)["route"]
    assert (action["prefix_rewrite"], action["host_rewrite_literal"]) == ("/v2", "inner")


def test_a_delegates_routes_stand_where_the_root_left_them_to_it() -> None:
    root = virtual_service(
        {
            "match": [{"uri": {"prefix": "/api"}}],
            "delegate": {"name": "inner"},
            "timeout": "3s",
        },
        {"route": [leg("v1")]},
    )
    inner = istio(
        "VirtualService",
        "inner",
        {
            "http": [
                {"match": [{"uri": {"prefix": "/api/new"}}], "route": [leg("v2")]},
                {"match": [{"uri": {"prefix": "/other"}}], "route": [leg("v2")]},
            ]
        },
    )

    files = told(root, inner)

    first, second = routes(files)
    assert first["match"] == {"prefix": "/api/new"}
    assert first["route"]["cluster"] == V2
    assert first["route"]["timeout"] == "3s"
    assert second["route"]["cluster"] == V1


def test_a_missing_delegate_leaves_no_route_at_all() -> None:
    files = told(virtual_service({"delegate": {"name": "nobody"}}))

    assert routes(files) == []
