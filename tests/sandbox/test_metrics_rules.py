"""What Envoy is asked for: neither too much nor too little for the rules."""

from __future__ import annotations

import re

import pytest

from rollout.sandbox import metrics_rules


@pytest.mark.parametrize(
    "statistic",
    [
        "cluster.outbound|9080|v1|a.b;.zone.client.reviews-v1/bookinfo/v1/v1;.upstream_rq_200",
        "cluster.outbound|9080|v1|a.b;.zone.client.w/n/v/r;.upstream_rq_time",
        "cluster.outbound|9080|v1|a.b;.upstream_cx_none_healthy",
        "cluster.outbound|9080|v1|a.b;grpc;.grpc.14",
        "cluster.outbound|9080|v1|a.b;tcp;.upstream_cx_connect_fail",
        "http.outbound|9080||a.b;.no_cluster",
        "http.all;.no_route",
    ],
)
def test_what_the_rules_need_passes_the_filter(statistic: str) -> None:
    assert re.search(metrics_rules.FILTER, statistic)


@pytest.mark.parametrize(
    "statistic",
    [
        "cluster.outbound|9080|v1|a.b;.upstream_rq_200",
        "cluster.outbound|9080|v1|a.b;.zone.client.w/n/v/r;.upstream_rq_2xx",
        "cluster.mirror_outbound|9080|v1|a.b;.zone.client.w/n/v/r;.upstream_rq_200",
        "server.uptime",
    ],
)
def test_what_would_count_twice_or_not_at_all_is_not_asked_for(statistic: str) -> None:
    assert not re.search(metrics_rules.FILTER, statistic)


@pytest.mark.parametrize(
    ("statistic", "tells"),
    [
        ("cluster.outbound|9080|v1|a.b;.zone.client.w/n/v/r;.upstream_rq_200", True),
        ("cluster.mirror_outbound|9080|v1|a.b;.zone.client.w/n/v/r;.upstream_rq_200", True),
        ("cluster.outbound|9080|v1|a.b;.retry.upstream_rq_503", True),
        ("cluster.outbound|9080|v1|a.b;.retry.upstream_rq_5xx", False),
        ("cluster.outbound|9080|v1|a.b;.upstream_cx_none_healthy", False),
        ("cluster.outbound|9080|v1|a.b;grpc;.grpc.14", False),
    ],
)
def test_arrivals_are_answers_of_hosts_copies_and_attempts(statistic: str, *, tells: bool) -> None:
    assert bool(re.search(metrics_rules.ARRIVAL_FILTER, statistic)) is tells


def test_every_regular_expression_of_the_rules_can_be_compiled() -> None:
    rules = (*metrics_rules.RULES, *metrics_rules.ARRIVAL_RULES)
    assert all(re.compile(rule.get("regex", "")) for rule in rules)
