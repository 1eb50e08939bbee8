"""The pilot's translation: what Istio's objects make Envoy do."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from rollout.sandbox.pilot.translate import XdsFiles, translate
from rollout.sandbox.pilot.world import Proxy, duration
from rollout.sandbox.stage_objects import Cast, Manifest, objects

CAST = Cast(versions=("v1", "v2"), network="127.9")
PROXY = Proxy(folder="/xds", listen_port=18080)
V1 = "outbound|9080|v1|reviews.bookinfo.svc.cluster.local"
V2 = "outbound|9080|v2|reviews.bookinfo.svc.cluster.local"
ALL = "outbound|9080||reviews.bookinfo.svc.cluster.local"


def istio(kind: str, name: str, spec: Manifest, **meta: str) -> Manifest:
    metadata = {"name": name, "namespace": "bookinfo", **meta}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }


def virtual_service(*http: Manifest, name: str = "reviews", **spec: Any) -> Manifest:
    return istio("VirtualService", name, {"hosts": ["reviews"], "http": list(http), **spec})


def leg(subset: str, weight: int | None = None, **more: Any) -> Manifest:
    found: Manifest = {"destination": {"host": "reviews", "subset": subset}, **more}
    return found if weight is None else {**found, "weight": weight}


def mesh(*changes: Manifest) -> list[Manifest]:
    """The sample service with some objects replaced or added, by kind, namespace and name."""
    found = {key(item): item for item in [*objects(CAST), *changes]}
    return list(found.values())


def key(item: Manifest) -> tuple[str, str, str]:
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]


def without(*kinds: str) -> list[Manifest]:
    return [item for item in objects(CAST) if item["kind"] not in kinds]


def told(*changes: Manifest) -> XdsFiles:
    return translate(mesh(*changes), proxy=PROXY)


def routes(files: XdsFiles, *, config: str = "9080", host: str = "reviews.bookinfo") -> Any:
    """The routes of the first virtual host whose domains hold ``host``."""
    hosts = files.routes[config]["virtual_hosts"]
    return next(h["routes"] for h in hosts if host in h["domains"])


def only_route(files: XdsFiles) -> Any:
    found = routes(files)
    assert len(found) == 1
    return found[0]


def weights(files: XdsFiles) -> dict[str, int]:
    clusters = only_route(files)["route"]["weighted_clusters"]["clusters"]
    return {cluster["name"]: cluster["weight"] for cluster in clusters}


def cluster(files: XdsFiles, name: str) -> Any:
    return next(c for c in files.clusters if c["name"] == name)


def addresses(found: Manifest) -> list[str]:
    return [
        host["endpoint"]["address"]["socket_address"]["address"]
        for group in found["load_assignment"]["endpoints"]
        for host in group["lb_endpoints"]
    ]


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
    assert addresses(cluster(files, ALL)) == ["127.9.1.1", "127.9.2.1"]


def test_a_short_host_name_belongs_to_the_namespace_of_its_object() -> None:
    elsewhere = virtual_service({"route": [leg("v2")]})
    elsewhere["metadata"]["namespace"] = "elsewhere"

    files = told(elsewhere)

    assert weights(files) == {V1: 100}


def test_each_subset_is_a_cluster_with_the_pods_that_bear_its_labels() -> None:
    files = told()

    assert [c["name"] for c in files.clusters] == [ALL, V1, V2]
    assert addresses(cluster(files, V1)) == ["127.9.1.1"]
    assert addresses(cluster(files, V2)) == ["127.9.2.1"]


def test_a_subset_that_no_rule_defines_leads_to_a_cluster_that_is_not_there() -> None:
    files = told(virtual_service({"route": [leg("v9")]}))

    target = only_route(files)["route"]["cluster"]
    assert target == "outbound|9080|v9|reviews.bookinfo.svc.cluster.local"
    assert target not in {c["name"] for c in files.clusters}
    assert files.routes["9080"]["validate_clusters"] is False


def test_a_subset_whose_labels_no_pod_bears_is_a_cluster_without_endpoints() -> None:
    rule = istio(
        "DestinationRule",
        "reviews",
        {"host": "reviews", "subsets": [{"name": "v3", "labels": {"version": "v3"}}]},
    )

    files = told(rule)

    assert addresses(cluster(files, V1.replace("v1", "v3"))) == []


def test_a_subset_without_labels_has_all_endpoints() -> None:
    rule = istio("DestinationRule", "reviews", {"host": "reviews", "subsets": [{"name": "any"}]})

    files = told(rule)

    assert len(addresses(cluster(files, ALL.replace("||", "|any|")))) == 2


def test_endpoints_that_are_not_ready_are_left_out() -> None:
    slice_ = next(item for item in objects(CAST) if item["kind"] == "EndpointSlice")
    slice_["endpoints"][1]["conditions"]["ready"] = False

    files = told(slice_)

    assert addresses(cluster(files, V2)) == []


def test_an_endpoint_that_does_not_say_whether_it_is_ready_counts_as_ready() -> None:
    slice_ = next(item for item in objects(CAST) if item["kind"] == "EndpointSlice")
    slice_["endpoints"][1]["conditions"] = {}

    files = told(slice_)

    assert addresses(cluster(files, V2)) == ["127.9.2.1"]


def test_the_zone_of_an_endpoint_names_its_workload_for_the_metrics() -> None:
    files = told()

    zones = [g["locality"]["zone"] for g in cluster(files, ALL)["load_assignment"]["endpoints"]]
    assert zones == ["reviews-v1/bookinfo/v1/v1;", "reviews-v2/bookinfo/v2/v2;"]


def test_the_destination_rule_of_the_callers_namespace_hides_that_of_the_service() -> None:
    host = "reviews.shop.svc.cluster.local"
    service = {**next(i for i in objects(CAST) if i["kind"] == "Service")}
    service["metadata"] = {"name": "reviews", "namespace": "shop"}
    own = istio("DestinationRule", "own", {"host": host, "subsets": [{"name": "mine"}]})
    theirs = istio("DestinationRule", "r", {"host": host, "subsets": [{"name": "theirs"}]})
    theirs["metadata"]["namespace"] = "shop"

    files = translate([service, theirs, own], proxy=PROXY)

    assert [c["name"] for c in files.clusters] == [
        f"outbound|9080||{host}",
        f"outbound|9080|mine|{host}",
    ]


def test_rules_of_one_namespace_are_merged_and_the_elder_subset_wins() -> None:
    elder = istio(
        "DestinationRule",
        "a",
        {"host": "reviews", "subsets": [{"name": "v1", "labels": {"version": "v2"}}]},
        creationTimestamp="2025-01-01T00:00:00Z",
    )
    ours = next(item for item in objects(CAST) if item["kind"] == "DestinationRule")
    ours["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"

    files = told(elder, ours)

    assert addresses(cluster(files, V1)) == ["127.9.2.1"]
    assert addresses(cluster(files, V2)) == ["127.9.2.1"]


def test_a_subsets_policy_lies_over_that_of_the_rule() -> None:
    rule = istio(
        "DestinationRule",
        "reviews",
        {
            "host": "reviews",
            "trafficPolicy": {
                "loadBalancer": {"simple": "ROUND_ROBIN"},
                "connectionPool": {"tcp": {"maxConnections": 7, "connectTimeout": "250ms"}},
            },
            "subsets": [
                {"name": "v1", "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}},
            ],
        },
    )

    files = told(rule)

    found = cluster(files, V1)
    assert found["lb_policy"] == "RANDOM"
    assert found["connect_timeout"] == "0.25s"
    assert found["circuit_breakers"]["thresholds"][0]["max_connections"] == 7
    assert cluster(files, ALL)["lb_policy"] == "ROUND_ROBIN"


def test_outlier_detection_is_passed_on() -> None:
    policy = {"outlierDetection": {"consecutive5xxErrors": 3, "baseEjectionTime": "1m"}}
    rule = istio("DestinationRule", "reviews", {"host": "reviews", "trafficPolicy": policy})

    files = told(rule)

    assert cluster(files, ALL)["outlier_detection"] == {
        "max_ejection_percent": 10,
        "consecutive_5xx": 3,
        "base_ejection_time": "60s",
    }


def test_a_consistent_hash_makes_a_ring_and_says_what_to_hash() -> None:
    policy = {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user"}}}
    subset = {"name": "v1", "labels": {"version": "v1"}, "trafficPolicy": policy}
    rule = istio("DestinationRule", "reviews", {"host": "reviews", "subsets": [subset]})

    files = told(rule, virtual_service({"route": [leg("v1")]}))

    assert cluster(files, V1)["lb_policy"] == "RING_HASH"
    hashes = only_route(files)["route"]["hash_policy"]
    assert hashes == [{"header": {"header_name": "x-user"}}]


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
    assert addresses(cluster(files, f"mirror:{V2}")) == ["127.9.2.1"]


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


def test_a_host_answers_to_all_its_names_with_and_without_port() -> None:
    files = told()

    domains = files.routes["9080"]["virtual_hosts"][0]["domains"]
    assert {
        "reviews",
        "reviews:9080",
        "reviews.bookinfo",
        "reviews.bookinfo.svc.cluster.local:9080",
        "127.9.0.1:9080",
    } <= set(domains)


def test_the_short_name_means_nothing_to_a_caller_in_another_namespace() -> None:
    files = translate(mesh(), proxy=Proxy(namespace="shop"))

    domains = files.routes["9080"]["virtual_hosts"][0]["domains"]
    assert "reviews" not in domains
    assert "reviews.bookinfo" in domains


def test_envoy_listens_on_the_cluster_ip_and_on_the_shared_port() -> None:
    files = told()

    assert [item["name"] for item in files.listeners] == ["127.9.0.1_9080", "127.0.0.1_18080"]


def test_a_cluster_ip_that_is_not_on_loopback_gets_no_listener() -> None:
    service = next(item for item in objects(CAST) if item["kind"] == "Service")
    service["spec"]["clusterIP"] = "10.0.0.7"

    files = told(service)

    assert [item["name"] for item in files.listeners] == ["127.0.0.1_18080"]


def tcp_service() -> list[Manifest]:
    found = without("VirtualService")
    service = next(item for item in found if item["kind"] == "Service")
    service["spec"]["ports"][0]["name"] = "tcp-reviews"
    slice_ = next(item for item in found if item["kind"] == "EndpointSlice")
    slice_["ports"][0]["name"] = "tcp-reviews"
    return found


def proxy_of(files: XdsFiles) -> Any:
    return files.listeners[0]["filter_chains"][0]["filters"][0]["typed_config"]


def test_tcp_connections_are_split_by_weight() -> None:
    split = {"hosts": ["reviews"], "tcp": [{"route": [leg("v1", 80), leg("v2", 20)]}]}
    files = translate([*tcp_service(), istio("VirtualService", "r", split)], proxy=PROXY)

    clusters = proxy_of(files)["weighted_clusters"]["clusters"]
    assert clusters == [{"name": V1, "weight": 80}, {"name": V2, "weight": 20}]


def test_http_rules_do_nothing_on_a_port_that_is_not_called_http() -> None:
    files = translate([*tcp_service(), virtual_service({"route": [leg("v2")]})], proxy=PROXY)

    assert proxy_of(files)["cluster"] == ALL
    assert cluster(files, V1)["alt_stat_name"] == f"{V1};tcp;"


@pytest.mark.parametrize(
    ("name", "app_protocol", "protocol"),
    [
        ("http", "", "http"),
        ("http-web", "", "http"),
        ("HTTP2", "", "http"),
        ("grpc-web", "", "grpc"),
        ("grpc-echo", "", "grpc"),
        ("web", "", "tcp"),
        ("", "", "tcp"),
        ("web", "http", "http"),
        ("http", "tcp", "tcp"),
    ],
)
def test_the_protocol_follows_port_name_and_app_protocol(
    name: str, app_protocol: str, protocol: str
) -> None:
    found = without("VirtualService")
    service = next(item for item in found if item["kind"] == "Service")
    service["spec"]["ports"][0].update(name=name, appProtocol=app_protocol)

    files = translate(found, proxy=PROXY)

    marker = "" if protocol == "http" else f"{protocol};"
    assert cluster(files, V1)["alt_stat_name"] == f"{V1};{marker}"


def test_workload_entries_stand_behind_a_service_that_selects_them() -> None:
    found = without("EndpointSlice", "Pod")
    spec = {"address": "127.9.7.1", "labels": {"app": "reviews", "version": "v2"}}
    entry = istio("WorkloadEntry", "vm-2", spec)

    files = translate([*found, entry], proxy=PROXY)

    assert addresses(cluster(files, V2)) == ["127.9.7.1"]
    assert addresses(cluster(files, V1)) == []


def test_a_service_entry_is_a_host_with_endpoints_of_its_own() -> None:
    entry = istio(
        "ServiceEntry",
        "ratings",
        {
            "hosts": ["ratings.example.com"],
            "addresses": ["127.9.0.2"],
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "resolution": "STATIC",
            "endpoints": [{"address": "127.9.8.1", "ports": {"http": 8080}}],
        },
    )

    files = told(entry)

    found = cluster(files, "outbound|80||ratings.example.com")
    place = found["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    assert place["address"]["socket_address"] == {"address": "127.9.8.1", "port_value": 8080}
    assert routes(files, config="80", host="ratings.example.com")


def test_a_destination_may_name_a_port() -> None:
    target = {"host": "reviews", "subset": "v1", "port": {"number": 7}}
    files = told(virtual_service({"route": [{"destination": target}]}))

    assert only_route(files)["route"]["cluster"] == V1.replace("9080", "7")


def test_the_same_world_gives_the_same_bytes_in_whatever_order_it_came() -> None:
    forward = translate(mesh(), proxy=PROXY).encoded()

    backward = translate(list(reversed(mesh())), proxy=PROXY).encoded()

    assert forward == backward


def test_clusters_are_written_before_the_routes_that_lead_to_them() -> None:
    names = list(told().encoded())

    assert names == ["cds.json", "rds-9080.json", "rds-all.json", "lds.json"]


def test_each_file_says_which_version_it_is() -> None:
    first = orjson.loads(told().encoded()["rds-9080.json"])
    second = orjson.loads(told(virtual_service({"route": [leg("v2")]})).encoded()["rds-9080.json"])

    assert first["version_info"] != second["version_info"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", "5s"), ("100ms", "0.1s"), ("1h30m", "5400s"), ("1.5s", "1.5s")]
)
def test_go_durations_become_seconds(text: str, seconds: str) -> None:
    assert duration(text) == seconds
