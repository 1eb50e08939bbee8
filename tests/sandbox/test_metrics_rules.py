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
        "cluster.mirror:outbound|9080|v1|a.b;.zone.client.w/n/v/r;.upstream_rq_200",
        "server.uptime",
    ],
)
def test_what_would_count_twice_or_not_at_all_is_not_asked_for(statistic: str) -> None:
    assert not re.search(metrics_rules.FILTER, statistic)


def test_every_regular_expression_of_the_rules_can_be_compiled() -> None:
    assert all(re.compile(rule["regex"]) for rule in metrics_rules.RULES)
