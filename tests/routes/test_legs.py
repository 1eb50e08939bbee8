"""Reading a VirtualService into routes and legs."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given

from rollout.routes import legs
from rollout.routes.legs import Leg, Service
from tests.routes.manifests import (
    HOST,
    NAMESPACE,
    anything,
    damaged,
    leg,
    route,
    virtual_service,
    virtual_services,
)


def read(manifest: dict[str, Any]) -> Service:
    return legs.read(manifest, host=HOST, namespace=NAMESPACE)


def only(*destinations: dict[str, Any], **more: Any) -> legs.Route:
    return read(virtual_service(http=[route(*destinations, **more)])).routes[0]


def test_hosts_are_compared_as_full_names_and_a_dotted_one_is_taken_as_written() -> None:
    found = only(leg("v1"), leg("v1", host=HOST), leg("v1", host="reviews.other"), leg())

    assert [each.subset for each in found.legs] == ["v1", "v1", "", ""]
    assert found.concerns


def test_a_missing_weight_is_0_and_known_to_be_missing() -> None:
    found = only(leg("v1"), leg("v3", 0))

    assert found.legs == (
        Leg(subset="v1", weight=0, written=False),
        Leg(subset="v3", weight=0, written=True),
    )


def test_routes_are_called_by_name_or_place() -> None:
    found = read(virtual_service(http=[route(name="primary"), route()], tcp=[route()], tls=None))

    assert [each.label for each in found.routes] == ["primary", "http[1]", "tcp[0]"]
    assert [each.title for each in found.routes] == [
        "http route primary",
        "route http[1]",
        "route tcp[0]",
    ]


@pytest.mark.parametrize(
    ("match", "conditional"),
    [
        (None, False),
        ([], False),
        ([{"headers": {"end-user": {"exact": "jason"}}}], True),
        ([{"uri": {"prefix": "/api"}}], True),
        ([{"uri": {"prefix": "/"}}], False),
        ([{"uri": {"prefix": "/"}, "headers": {"x": {"exact": "y"}}}], True),
        ([{"port": 80, "gateways": ["mesh"], "name": "all"}], False),
        ([{"uri": {"prefix": "/api"}}, {"port": 80}], False),
        (["broken"], True),
    ],
)
def test_a_route_is_conditional_when_only_some_requests_reach_it(
    match: object, conditional: bool
) -> None:
    assert only(leg("v1"), match=match).conditional is conditional


def test_a_port_or_server_name_says_where_a_service_is_called_and_is_no_condition() -> None:
    found = read(
        virtual_service(
            tcp=[route(leg("v1"), match=[{"port": 31400}])],
            tls=[route(leg("v1"), match=[{"sniHosts": ["a.example"]}])],
        )
    )

    assert [each.conditional for each in found.routes] == [False, False]


@pytest.mark.parametrize("field", ["redirect", "directResponse", "delegate"])
def test_a_route_that_leads_elsewhere_has_no_subsets(field: str) -> None:
    found = only(leg("v1"), **{field: {}})

    assert found.elsewhere == field
    assert found.subsets == ()


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("text", "spec.http[0] is 'text'; make it an object"),
        ({"route": {}}, "spec.http[0].route is {}; make it a list"),
        ({"route": [7]}, "spec.http[0].route[0] is 7; make it an object"),
        ({"route": [{}]}, "spec.http[0].route[0].destination is missing; make it an object"),
        (
            {"route": [{"destination": {"host": ""}}]},
            "spec.http[0].route[0].destination.host is ''; make it a non-empty string",
        ),
        (
            {"route": [{"destination": {"host": "reviews", "subset": 1}}]},
            "spec.http[0].route[0].destination.subset is 1; make it a string",
        ),
        (
            route(leg("v1", -5)),
            "spec.http[0].route[0].weight is -5; make it a whole number from 0 to 2147483647",
        ),
        (
            route(leg("v1", True)),
            "spec.http[0].route[0].weight is True; make it a whole number from 0 to 2147483647",
        ),
        (
            route({**leg("v1"), "weight": "80"}),
            "spec.http[0].route[0].weight is '80'; make it a whole number from 0 to 2147483647",
        ),
        (
            route(leg("v1", 2**31 - 1), leg("v3", 1)),
            "spec.http[0].route has weights that sum to 2147483648; use weights that sum to 100",
        ),
    ],
)
def test_a_broken_route_says_what_is_wrong_and_does_not_hide_the_next(
    entry: object, sentence: str
) -> None:
    found = read(virtual_service(http=[entry, route(leg("v1"))])).routes

    assert str(found[0].fault) == f"VirtualService bookinfo/reviews: {sentence}"
    assert found[0].legs == ()
    assert found[1].subsets == ("v1",)


def test_a_broken_protocol_does_not_hide_the_others() -> None:
    found = read(virtual_service(http="no list", tcp=[route(leg("v1"))]))

    assert [str(fault) for fault in found.faults] == [
        "VirtualService bookinfo/reviews: spec.http is 'no list'; make it a list"
    ]
    assert [each.label for each in found.routes] == ["tcp[0]"]
    assert found.broken


def test_a_manifest_without_a_spec_is_a_fault() -> None:
    found = read({"metadata": {"name": "x"}})

    assert str(found.faults[0]) == "VirtualService bookinfo/x: spec is missing; make it an object"
    assert not found.serves


def test_a_virtual_service_serves_a_host_that_its_hosts_name() -> None:
    assert read(virtual_service()).serves
    assert not read(virtual_service(hosts=["ratings", 7])).serves
    assert not read(virtual_service(hosts="reviews")).serves


@given(manifest=damaged(virtual_services()))
def test_reading_never_raises_and_never_changes_what_it_reads(manifest: dict[str, Any]) -> None:
    before = copy.deepcopy(manifest)

    read(manifest)

    assert manifest == before


@given(spec=anything)
def test_reading_any_json_as_a_spec_never_raises(spec: object) -> None:
    assert read({"spec": spec}).meta.namespace == NAMESPACE
