"""Routes that a Rollout names, and what is said of names that do not fit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from tests.routes.manifests import (
    leg,
    route,
    virtual_service,
)
from tests.routes.owning import labels, messages, named, select


def test_named_routes_are_owned_and_no_others() -> None:
    pair = [leg("v1", 100), leg("v3", 0)]
    manifest = virtual_service(
        http=[route(*pair, name="a"), route(*pair, name="b")],
        tcp=[route(*pair)],
        tls=[route(*pair)],
    )

    found = select(manifest, refs=named("b", "tls[0]", "b"))

    assert labels(found) == ["bookinfo/reviews b", "bookinfo/reviews tls[0]"]
    assert found.problems == ()


def test_a_virtual_service_named_without_routes_gets_the_default_selection() -> None:
    first = virtual_service(http=[route(leg("v1", 100), leg("v3", 0))])
    second = virtual_service("second", http=[route(leg("v1", 100))])

    found = select(first, second, refs=named() + named(name="second"))

    assert labels(found) == ["bookinfo/reviews http[0]", "bookinfo/second http[0]"]
    assert [each.reason for each in found.problems] == ["DestinationMissing"]


def test_a_named_virtual_service_that_is_absent_is_told_with_what_is_there() -> None:
    found = select(virtual_service("ratings"), virtual_service("details"), refs=named())

    assert messages(found) == [
        (
            "VirtualServiceMissing: VirtualService bookinfo/reviews does not exist; name one of "
            "ratings, details"
        )
    ]


def test_a_named_virtual_service_that_is_absent_among_none_is_to_be_created() -> None:
    assert messages(select(refs=named())) == [
        "VirtualServiceMissing: VirtualService bookinfo/reviews does not exist; create it"
    ]


def test_a_named_route_that_is_absent_is_told_with_what_is_there() -> None:
    manifest = virtual_service(http=[route(name="a"), route()], tcp=[route()])

    assert messages(select(manifest, refs=named("primary"))) == [
        (
            "RouteMissing: VirtualService bookinfo/reviews: route primary does not exist; name one "
            "of a, http[1] (which needs a name), tcp[0]"
        )
    ]
    assert messages(select(virtual_service(), refs=named("primary"))) == [
        "RouteMissing: VirtualService bookinfo/reviews: route primary does not exist; add it"
    ]


def test_an_http_route_is_not_named_by_its_place_because_places_move() -> None:
    manifest = virtual_service(http=[route(leg("v1", 100), leg("v3", 0))])

    assert select(manifest, refs=named("http[0]")).problems[0].reason == "RouteMissing"


def test_a_name_borne_twice_is_ambiguous_and_both_are_held() -> None:
    pair = [leg("v1", 100), leg("v3", 0)]
    manifest = virtual_service(http=[route(*pair, name="a"), route(*pair, name="a")])

    found = select(manifest, refs=named("a"))

    assert messages(found) == [
        (
            "AmbiguousRoutes: VirtualService bookinfo/reviews: route a is the name of http[0], "
            "http[1]; give each its own name"
        )
    ]
    assert len(found.routes) == 2


def test_a_named_route_that_lacks_a_destination_is_seen_as_it_stands() -> None:
    manifest = virtual_service(http=[route(leg("v3", 7), name="a")])

    found = select(manifest, refs=named("a"))

    assert found.routes[0].shares == (("v3", Fraction(1)),)
    assert [each.reason for each in found.problems] == ["DestinationMissing"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            route(leg("v1"), redirect={"uri": "/"}),
            (
                "DestinationMissing: VirtualService bookinfo/reviews: http route a has a redirect "
                "in place of destinations; name a route with destinations"
            ),
        ),
        (
            route(leg("v1", host="ratings")),
            (
                "DestinationMissing: VirtualService bookinfo/reviews: http route a has no "
                "destination for host reviews; name a route of that host"
            ),
        ),
        (
            route(leg(weight=3)),
            (
                "SubsetMissing: VirtualService bookinfo/reviews: http route a names host reviews "
                "without a subset; name a subset in its destination"
            ),
        ),
        (
            {"route": 7},
            (
                "BrokenManifest: VirtualService bookinfo/reviews: spec.http[0].route is 7; make it "
                "a list"
            ),
        ),
    ],
)
def test_a_named_route_that_cannot_be_shifted_is_told(entry: dict[str, Any], message: str) -> None:
    manifest = virtual_service(http=[{**entry, "name": "a"}])

    assert messages(select(manifest, refs=named("a"))) == [message]


def test_a_named_virtual_service_of_another_host_is_told() -> None:
    found = select(virtual_service(hosts=["ratings"]), refs=named())

    assert [each.reason for each in found.problems] == ["RouteMissing"]


def test_a_pair_without_any_weight_beside_others_has_nothing_to_share() -> None:
    manifest = virtual_service(http=[route(leg("v1"), leg("v3", 0), leg("v2", 100), name="a")])

    assert messages(select(manifest)) == [
        (
            "ForeignOnly: VirtualService bookinfo/reviews: http route a sends nothing to subset v1 "
            "or v3, so there is nothing to share; give the destination of subset v1 a weight"
        )
    ]
