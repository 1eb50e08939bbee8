"""Questions to Prometheus, safely quoted."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.analysis import query
from rollout.analysis.query import Shape, Variables
from rollout.base.errors import BadManifest

REVIEWS = "reviews.default.svc.cluster.local"
RATINGS = "ratings.default.svc.cluster.local"

VARIABLES = Variables(
    window="95s",
    revision="v3",
    stable="v1",
    canary="v3",
    host=REVIEWS,
    namespace="default",
    weight="12.5",
    step="2",
    name="reviews",
)


def test_requests_are_asked_for_raw_and_by_the_callers_side() -> None:
    asked = query.requests([REVIEWS, RATINGS], window_seconds=105)

    assert len(asked) == 1
    assert asked[0].promql == (
        'istio_requests_total{reporter=~"source|waypoint",destination_service=~'
        '"ratings\\\\.default\\\\.svc\\\\.cluster\\\\.local|'
        'reviews\\\\.default\\\\.svc\\\\.cluster\\\\.local"}[105s]'
    )
    assert asked[0].hosts == (RATINGS, REVIEWS)
    assert asked[0].shape is Shape.REQUESTS


def test_arrivals_are_asked_for_by_the_side_of_the_pods() -> None:
    counts = query.arrivals([REVIEWS], window_seconds=105)[0]
    times = query.durations({REVIEWS: [250.0]}, window_seconds=60, shape=Shape.ARRIVAL_DURATIONS)[0]

    assert counts.promql.startswith('istio_requests_total{reporter="destination",')
    assert counts.promql.endswith("[105s]")
    assert times.promql.startswith(
        'istio_request_duration_milliseconds_bucket{reporter="destination",'
    )
    assert {counts.shape, times.shape} == query.ARRIVED
    assert query.arrivals([], window_seconds=105) == ()


def test_batches_hold_at_most_the_hosts_that_prometheus_optimises() -> None:
    hosts = [f"svc-{number}.ns.svc.cluster.local" for number in range(501)]

    asked = query.requests([*hosts, *hosts], window_seconds=60)

    assert [len(question.hosts) for question in asked] == [250, 250, 1]
    assert {host for question in asked for host in question.hosts} == set(hosts)


def test_buckets_are_asked_for_in_every_spelling_and_only_at_the_edges_needed() -> None:
    asked = query.durations(
        {REVIEWS: [250.0, 0.5], RATINGS: [1_800_000.0], "other.x": [0.5, 250.0]}, window_seconds=60
    )

    assert [question.hosts for question in asked] == [("other.x", REVIEWS), (RATINGS,)]
    assert asked[0].promql.endswith('le=~"0\\\\.5|250|250\\\\.0|\\\\+Inf"}[60s]')
    assert 'le=~"1800000|1800000\\\\.0|1\\\\.8e\\\\+06|\\\\+Inf"' in asked[1].promql
    assert asked[0].promql.startswith("istio_request_duration_milliseconds_bucket{reporter=~")


def test_connections_are_asked_for_opened_and_closed_in_one_query() -> None:
    asked = query.tcp(["mongo.db"], window_seconds=30)

    assert len(asked) == 1
    assert asked[0].promql == (
        '{__name__=~"istio_tcp_connections_(opened|closed)_total",reporter=~"source|waypoint",'
        'destination_service=~"mongo\\\\.db"}[30s]'
    )


@pytest.mark.parametrize("host", ['x"} or up{job="self', "a b", "", "-a", "A.b", "x" * 254, "a\n"])
def test_a_host_that_is_no_name_is_refused_before_it_is_quoted(host: str) -> None:
    with pytest.raises(BadManifest, match="no DNS name"):
        query.requests([host], window_seconds=30)


@pytest.mark.parametrize(
    ("through", "until", "interval", "seconds"),
    [
        (60_000, 120_000, 15_000, 105),
        (60_000, 120_001, 15_000, 106),
        (120_000, 60_000, 15_000, 45),
        (0, 10**13, 15_000, 3600),
        (0, 0, 1, 1),
    ],
)
def test_the_window_reaches_back_three_intervals_before_what_is_known_but_not_for_ever(
    through: int, until: int, interval: int, seconds: int
) -> None:
    assert query.window_seconds(through_ms=through, until_ms=until, interval_ms=interval) == seconds


@pytest.mark.parametrize(
    ("wanted", "edge"), [(500, 500), (300, 250), (0.7, 0.5), (9_999_999, 3_600_000)]
)
def test_a_duration_moves_down_to_the_bucket_edge(wanted: float, edge: float) -> None:
    assert query.edge_below(wanted) == edge


def test_a_duration_below_every_bucket_is_refused() -> None:
    with pytest.raises(BadManifest, match=r"0\.4 ms, below the lowest bucket edge of 0\.5 ms"):
        query.edge_below(0.4)


def test_every_variable_of_a_template_is_filled_in() -> None:
    names = " ".join(f'"{{{{ {name} }}}}"' for name in query.variable_names())

    text = query.render(names, VARIABLES)

    assert text == (f'"95s" "v3" "v1" "v3" "{REVIEWS}" "default" "12.5" "2" "reviews"')


def test_a_window_stands_outside_quotes_and_blanks_do_not_matter() -> None:
    template = 'sum(rate(orders_total{version="{{revision}}"}[{{  window }}])) # {{ name }}'

    text = query.render(template, VARIABLES)

    assert text == 'sum(rate(orders_total{version="v3"}[95s])) # reviews'


def test_scenario_81_an_unknown_variable_is_refused_by_name() -> None:
    with pytest.raises(BadManifest, match=r"unknown variable 'revison'; use one of window, rev"):
        query.render('x{v="{{ revison }}"}', VARIABLES)


@pytest.mark.parametrize("template", ["x[{{ window ]", 'x{a="{{ host"}', "x{{"])
def test_a_variable_that_is_not_closed_is_refused(template: str) -> None:
    with pytest.raises(BadManifest, match="without closing"):
        query.render(template, VARIABLES)


@pytest.mark.parametrize("template", ["{{ name }}", "x # comment\n + {{ name }}", "'a' + {{name}}"])
def test_a_value_outside_quotes_must_be_one_word_or_number(template: str) -> None:
    with pytest.raises(BadManifest, match="outside quotes"):
        query.render(template, replace(VARIABLES, name="up) or (vector(1)"))


@given(st.text(), st.sampled_from("\"'`"))
def test_a_value_never_leaves_the_string_it_stands_in(value: str, mark: str) -> None:
    text = query.render(f"x{{a={mark}{{{{ name }}}}{mark}}}", replace(VARIABLES, name=value))

    body = text[len(f"x{{a={mark}") : -len(f"{mark}}}")]
    assert mark not in body
    assert "\n" not in body
    assert re.fullmatch(r"(?:[^\\]|\\[\\nx])*", body, re.DOTALL)


@given(st.text())
def test_a_quoted_value_reads_back_as_it_was(value: str) -> None:
    text = query.quote(value)

    assert text[0] == text[-1] == '"'
    unescaped = re.sub(
        r"\\(.)", lambda match: {"n": "\n"}.get(match.group(1), match.group(1)), text[1:-1]
    )
    assert unescaped == value
    assert "\n" not in text


def test_a_relative_query_is_asked_about_each_revision() -> None:
    canary, stable = query.render_pair('x{v="{{ revision }}",w="{{ weight }}"}', VARIABLES)

    assert canary == 'x{v="v3",w="12.5"}'
    assert stable == 'x{v="v1",w="12.5"}'


def test_a_query_that_compares_by_itself_can_compare_the_canary_with_itself() -> None:
    template = 'x{v="{{ canary }}"} / x{v="{{stable}}"} * x{v="{{ revision }}"}'

    assert query.render_itself(template, VARIABLES) == (
        'x{v="v3"} / x{v="v3"} * x{v="v3"}',
        'x{v="v1"} / x{v="v1"} * x{v="v1"}',
    )
    assert query.render_itself('x{v="{{ revision }}"}', VARIABLES) is None


def test_a_relative_query_that_asks_the_same_of_both_is_refused() -> None:
    with pytest.raises(BadManifest, match=r"use \{\{ revision \}\}"):
        query.render_pair('x{v="{{ canary }}"}', VARIABLES)
