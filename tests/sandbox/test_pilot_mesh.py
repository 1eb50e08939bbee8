"""The pilot's translation of services, endpoints and DestinationRules."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from rollout.sandbox.pilot.translate import XdsFiles, translate
from rollout.sandbox.pilot.world import Proxy, duration
from rollout.sandbox.stage_objects import Manifest, objects
from tests.sandbox.meshes import (
    ALL,
    CAST,
    PROXY,
    V1,
    V2,
    addresses,
    cluster,
    istio,
    leg,
    mesh,
    only_route,
    routes,
    told,
    virtual_service,
    without,
)


def test_each_subset_is_a_cluster_with_the_pods_that_bear_its_labels() -> None:
    files = told()

    assert [c["name"] for c in files.clusters] == [ALL, V1, V2]
    assert addresses(files, V1) == ["127.9.1.1"]
    assert addresses(files, V2) == ["127.9.2.1"]


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

    assert addresses(files, V1.replace("v1", "v3")) == []


def test_a_subset_without_labels_has_all_endpoints() -> None:
    rule = istio("DestinationRule", "reviews", {"host": "reviews", "subsets": [{"name": "any"}]})

    files = told(rule)

    assert len(addresses(files, ALL.replace("||", "|any|"))) == 2


def test_endpoints_that_are_not_ready_are_left_out() -> None:
    slice_ = next(item for item in objects(CAST) if item["kind"] == "EndpointSlice")
    slice_["endpoints"][1]["conditions"]["ready"] = False

    files = told(slice_)

    assert addresses(files, V2) == []


def test_an_endpoint_that_does_not_say_whether_it_is_ready_counts_as_ready() -> None:
    slice_ = next(item for item in objects(CAST) if item["kind"] == "EndpointSlice")
    slice_["endpoints"][1]["conditions"] = {}

    files = told(slice_)

    assert addresses(files, V2) == ["127.9.2.1"]


def test_the_zone_of_an_endpoint_names_its_workload_for_the_metrics() -> None:
    files = told()

    zones = [g["locality"]["zone"] for g in files.endpoints[ALL]["endpoints"]]
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

    assert addresses(files, V1) == ["127.9.2.1"]
    assert addresses(files, V2) == ["127.9.2.1"]


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

    assert addresses(files, V2) == ["127.9.7.1"]
    assert addresses(files, V1) == []


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

    found = files.endpoints["outbound|80||ratings.example.com"]
    place = found["endpoints"][0]["lb_endpoints"][0]["endpoint"]
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


def test_files_are_written_before_those_that_name_them() -> None:
    names = list(told().encoded())

    assert names == [
        "eds-outbound_9080__reviews.bookinfo.svc.cluster.local.json",
        "eds-outbound_9080_v1_reviews.bookinfo.svc.cluster.local.json",
        "eds-outbound_9080_v2_reviews.bookinfo.svc.cluster.local.json",
        "cds.json",
        "rds-9080.json",
        "rds-all.json",
        "lds.json",
    ]


def test_each_file_says_which_version_it_is() -> None:
    first = orjson.loads(told().encoded()["rds-9080.json"])
    second = orjson.loads(told(virtual_service({"route": [leg("v2")]})).encoded()["rds-9080.json"])

    assert first["version_info"] != second["version_info"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", "5s"), ("100ms", "0.1s"), ("1h30m", "5400s"), ("1.5s", "1.5s")]
)
def test_go_durations_become_seconds(text: str, seconds: str) -> None:
    assert duration(text) == seconds


def test_endpoints_that_come_and_go_leave_the_clusters_as_they_are() -> None:
    slice_ = next(item for item in objects(CAST) if item["kind"] == "EndpointSlice")
    slice_["endpoints"][1]["conditions"]["ready"] = False

    before, after = told().encoded(), told(slice_).encoded()

    assert [name for name in after if after[name] != before[name]] == [
        "eds-outbound_9080__reviews.bookinfo.svc.cluster.local.json",
        "eds-outbound_9080_v2_reviews.bookinfo.svc.cluster.local.json",
    ]
