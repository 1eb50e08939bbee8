"""Which routes are a Rollout's own, and what a person must mend."""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.api.traffic import RouteRef
from tests.routes.manifests import (
    HOST,
    damaged,
    leg,
    route,
    virtual_service,
    virtual_services,
)
from tests.routes.owning import JASON, labels, messages, named, select

# --- without names ---


def test_every_route_with_a_destination_for_both_subsets_is_owned() -> None:
    manifest = virtual_service(
        http=[route(leg("v1", 90), leg("v3", 10), name="a"), route(leg("v1", 1), leg("v3", 1))],
        tcp=[route(leg("v3", 0), leg("v1", 100))],
        tls=[route(leg("v1", 100), leg("v3", 0), match=[{"sniHosts": ["reviews"]}])],
    )

    found = select(manifest)

    assert labels(found) == [
        "bookinfo/reviews a",
        "bookinfo/reviews http[1]",
        "bookinfo/reviews tcp[0]",
        "bookinfo/reviews tls[0]",
    ]
    assert [each.protocol for each in found.routes] == ["http", "http", "tcp", "tls"]
    assert found.problems == ()


def test_a_conditional_single_destination_route_stays_untouched() -> None:
    manifest = virtual_service(
        http=[route(leg("v3"), match=JASON), route(leg("v1", 100), leg("v3", 0))]
    )

    found = select(manifest)

    assert labels(found) == ["bookinfo/reviews http[1]"]
    assert found.has_others


def test_routes_to_other_hosts_are_no_other_ways_to_the_host() -> None:
    ratings = {"destination": {"host": "ratings", "subset": "v1"}}
    manifest = virtual_service(
        http=[{"route": [ratings], "match": JASON}, route(leg("v1", 100), leg("v3", 0))]
    )

    assert not select(manifest).has_others


@pytest.mark.parametrize("field", ["redirect", "directResponse", "delegate"])
def test_a_route_that_leads_elsewhere_is_never_owned(field: str) -> None:
    manifest = virtual_service(
        http=[
            route(leg("v1", 100), leg("v3", 0), **{field: {"x": 1}}),
            route(leg("v1", 1), leg("v3", 0)),
        ]
    )

    assert labels(select(manifest)) == ["bookinfo/reviews http[1]"]


def test_equal_subset_names_of_another_host_are_not_ours() -> None:
    other = [leg("v1", 100, host="ratings"), leg("v3", 0, host="reviews.other")]
    manifest = virtual_service(http=[route(*other), route(leg("v1", 1), leg("v3", 0))])

    assert labels(select(manifest)) == ["bookinfo/reviews http[1]"]


def test_virtual_services_of_other_hosts_give_nothing_and_no_problem() -> None:
    ratings = virtual_service(
        "ratings",
        hosts=["ratings"],
        http=[route(leg("v1", -1, host="ratings"))],
        tcp=7,
    )
    ours = virtual_service(http=[route(leg("v1", 100), leg("v3", 0))])

    found = select(ratings, ours)

    assert labels(found) == ["bookinfo/reviews http[0]"]
    assert found.problems == ()


def test_virtual_services_of_other_namespaces_are_left_alone_unless_named() -> None:
    pair = [leg("v1", 100, host=HOST), leg("v3", 0, host=HOST)]
    manifest = virtual_service(http=[route(*pair)])
    manifest["metadata"]["namespace"] = "ingress"

    assert select(manifest).problems[0].reason == "VirtualServiceMissing"
    assert labels(select(manifest, refs=named(namespace="ingress"))) == ["ingress/reviews http[0]"]


def test_the_first_of_several_virtual_services_may_have_no_routes_at_all() -> None:
    tcp_only = virtual_service("empty", http=None)
    ours = virtual_service(http=[route(leg("v1", 100), leg("v3", 0))])

    assert labels(select(tcp_only, ours)) == ["bookinfo/reviews http[0]"]


def test_two_virtual_services_with_routes_to_shift_are_ambiguous_and_both_are_held() -> None:
    pair = [leg("v1", 100), leg("v3", 0)]
    mesh = virtual_service(http=[route(*pair)])
    gateway = virtual_service("gateway", http=[route(*pair)], gateways=["ingress"])

    found = select(gateway, mesh)

    assert messages(found) == [
        (
            "AmbiguousRoutes: spec.traffic.virtualServices names none, and host reviews is routed "
            "by gateway, reviews; name there which of them to shift"
        )
    ]
    assert labels(found) == ["bookinfo/gateway http[0]", "bookinfo/reviews http[0]"]


def test_two_virtual_services_are_ambiguous_at_adoption_already() -> None:
    mesh = virtual_service(http=[route(leg("v1"))])
    gateway = virtual_service("gateway", http=[route(leg("v1"))])

    found = select(mesh, gateway, stable=None, canary=None)

    assert [each.reason for each in found.problems] == ["AmbiguousRoutes"]


def test_of_two_virtual_services_those_that_are_named_are_no_riddle() -> None:
    pair = [leg("v1", 100), leg("v3", 0)]
    mesh = virtual_service(http=[route(*pair)])
    gateway = virtual_service("gateway", http=[route(*pair)])

    one = select(mesh, gateway, refs=named(name="gateway"))
    both = select(mesh, gateway, refs=named() + named(name="gateway"))

    assert labels(one) == ["bookinfo/gateway http[0]"]
    assert labels(both) == ["bookinfo/reviews http[0]", "bookinfo/gateway http[0]"]
    assert one.problems == both.problems == ()


def test_a_second_virtual_service_without_a_route_to_shift_is_no_riddle() -> None:
    ours = virtual_service(http=[route(leg("v1", 100), leg("v3", 0))])
    jason = virtual_service("jason", http=[route(leg("v1"), match=JASON)])

    found = select(jason, ours)

    assert labels(found) == ["bookinfo/reviews http[0]"]
    assert found.problems == ()


def test_a_missing_canary_destination_is_told_with_its_remedy() -> None:
    manifest = virtual_service(
        http=[route(leg("v1"), match=JASON), route(leg("v1", 100), name="primary")]
    )

    found = select(manifest)

    assert messages(found) == [
        (
            "DestinationMissing: VirtualService bookinfo/reviews: http route primary has no "
            "destination for host reviews subset v3; add one with weight 0"
        )
    ]
    assert labels(found) == ["bookinfo/reviews primary"]


def test_a_missing_destination_beside_a_weightless_one_asks_for_that_weight_too() -> None:
    found = select(virtual_service(http=[route(leg("v1"))]))

    assert messages(found) == [
        (
            "DestinationMissing: VirtualService bookinfo/reviews: route http[0] has no destination "
            "for host reviews subset v3; add one with weight 0, and give the present one weight 100"
        )
    ]


def test_the_route_that_comes_nearest_is_the_one_that_is_told_about() -> None:
    manifest = virtual_service(
        http=[route(leg("v2", 1), name="other"), route(leg("v3", 1), match=JASON, name="jason")]
    )

    assert messages(select(manifest)) == [
        (
            "DestinationMissing: VirtualService bookinfo/reviews: http route jason has no "
            "destination for host reviews subset v1; add one with weight 0"
        )
    ]


def test_a_destination_without_a_subset_is_told_to_name_one() -> None:
    found = select(virtual_service(http=[route(leg())]))

    assert messages(found) == [
        (
            "SubsetMissing: VirtualService bookinfo/reviews: route http[0] names host reviews "
            "without a subset; name a subset in its destination"
        )
    ]


def test_a_virtual_service_of_the_host_that_routes_elsewhere_is_told() -> None:
    found = select(virtual_service(http=[route(leg("v1", host="ratings"))]))

    assert messages(found) == [
        (
            "RouteMissing: VirtualService bookinfo/reviews: spec has no route with a destination "
            "of host reviews; name the VirtualService that has under "
            "spec.traffic.virtualServices[].name"
        )
    ]


def test_no_virtual_service_at_all_is_told() -> None:
    assert messages(select()) == [
        (
            "VirtualServiceMissing: namespace bookinfo has no VirtualService that routes host "
            "reviews; create one whose route has a destination for each subset"
        )
    ]


def test_a_host_written_half_in_full_is_given_its_whole_name() -> None:
    (told,) = messages(select(host="reviews.bookinfo"))

    assert told.endswith("or name the service in full: reviews.bookinfo.svc.cluster.local")


# --- before and between runs ---


def test_at_adoption_the_routes_that_split_are_found() -> None:
    manifest = virtual_service(
        http=[route(leg("v2"), match=JASON), route(leg("v1", 100), leg("v2", 0))]
    )

    found = select(manifest, stable=None, canary=None)

    assert labels(found) == ["bookinfo/reviews http[1]"]
    assert found.routes[0].shares == (("v1", Fraction(1)), ("v2", Fraction(0)))


def test_at_adoption_without_a_split_unconditional_single_destinations_are_found() -> None:
    manifest = virtual_service(http=[route(leg("v2"), match=JASON), route(leg("v1"))])

    found = select(manifest, stable=None, canary="v3")

    assert labels(found) == ["bookinfo/reviews http[1]"]
    assert found.routes[0].shares == (("v1", Fraction(1)),)
    assert found.problems == ()


def test_at_adoption_conditional_routes_alone_are_not_guessed_from() -> None:
    manifest = virtual_service(http=[route(leg("v2"), match=JASON, name="jason")])

    found = select(manifest, stable=None, canary=None)

    assert messages(found) == [
        (
            "AmbiguousRoutes: VirtualService bookinfo/reviews: http route jason gets only some of "
            "the host's requests; name the routes to shift under "
            "spec.traffic.virtualServices[].routes"
        )
    ]


@pytest.mark.parametrize("canary", [None, "v1"])
def test_between_runs_the_stable_subset_alone_is_sought(canary: str | None) -> None:
    manifest = virtual_service(
        http=[
            route(leg("v1", 1), leg("v2", 0)),
            route(leg("v2", 1), leg("v3", 0)),
            route(leg("v1")),
        ]
    )

    assert labels(select(manifest, canary=canary)) == ["bookinfo/reviews http[0]"]


def test_between_runs_a_missing_stable_destination_is_told() -> None:
    found = select(virtual_service(http=[route(leg("v2", 1))]), canary=None)

    assert [each.reason for each in found.problems] == ["DestinationMissing"]


# --- broken manifests ---


def test_a_broken_virtual_service_is_told_and_the_others_are_still_processed() -> None:
    broken = virtual_service("broken", http=[route(leg("v1", -1), leg("v3", 0))])
    ours = virtual_service(http=[route(leg("v1", 100), leg("v3", 0))])

    found = select(broken, ours)

    assert labels(found) == ["bookinfo/reviews http[0]"]
    assert messages(found) == [
        (
            "BrokenManifest: VirtualService bookinfo/broken: spec.http[0].route[0].weight is -1; "
            "make it a whole number from 0 to 2147483647"
        )
    ]


def test_what_cannot_be_read_is_told_when_nothing_of_ours_is_found() -> None:
    broken = [
        virtual_service("a", hosts=["ratings"], http=7),
        virtual_service("b", hosts=["ratings"], http=["x"]),
        {"metadata": {"name": "c"}},
    ]

    assert [each.reason for each in select(*broken).problems] == [
        "BrokenManifest",
        "BrokenManifest",
        "BrokenManifest",
        "VirtualServiceMissing",
    ]


def test_a_broken_virtual_service_of_the_host_is_told_once() -> None:
    assert messages(select(virtual_service(http=7))) == [
        "BrokenManifest: VirtualService bookinfo/reviews: spec.http is 7; make it a list"
    ]
    assert messages(select(virtual_service(http=[route(leg("v1", -1))]))) == [
        (
            "BrokenManifest: VirtualService bookinfo/reviews: spec.http[0].route[0].weight is -1; "
            "make it a whole number from 0 to 2147483647"
        )
    ]


def test_a_named_route_within_an_unreadable_list_is_not_called_absent() -> None:
    assert messages(select(virtual_service(http=7), refs=named("a"))) == [
        "BrokenManifest: VirtualService bookinfo/reviews: spec.http is 7; make it a list"
    ]


def test_an_unrelated_broken_route_beside_a_named_one_is_not_ours_to_judge() -> None:
    manifest = virtual_service(http=[route(leg("v1", 1), leg("v3", 0), name="a")], tls=7, tcp=["x"])

    assert select(manifest, refs=named("a")).problems == ()
    assert select(manifest).problems == ()


# --- shares ---


def test_shares_are_told_of_our_subsets_and_the_rest_is_foreign() -> None:
    manifest = virtual_service(
        http=[route(leg("v1", 30), leg("v3", 10), leg("v1", 20), leg("v2", 20), leg(weight=20))]
    )

    found = select(manifest).routes[0]

    assert found.shares == (
        ("v1", Fraction(5, 8)),
        ("v3", Fraction(1, 8)),
        ("v2", Fraction(1, 4)),
    )
    assert found.foreign_share == Fraction(1, 5)
    assert found.total == 100


def test_a_single_destination_gets_everything_even_with_weight_0() -> None:
    found = select(virtual_service(http=[route(leg("v1", 0))])).routes[0]

    assert found.shares == (("v1", Fraction(1)),)
    assert found.total == 0


def test_shares_are_0_when_nobody_has_a_weight() -> None:
    found = select(virtual_service(http=[route(leg("v1"), leg("v3"))])).routes[0]

    assert found.shares == (("v1", Fraction(0)), ("v3", Fraction(0)))
    assert found.foreign_share == 0


def test_a_route_that_leads_elsewhere_is_foreign_as_a_whole() -> None:
    manifest = virtual_service(http=[route(leg("v1", 1), redirect={}, name="a")])

    found = select(manifest, refs=named("a")).routes[0]

    assert found.shares == ()
    assert found.foreign_share == 1


@given(
    manifests=st.lists(virtual_services() | damaged(virtual_services()), max_size=2),
    refs=st.sampled_from([(), named(), named("r0", "tcp[1]")]),
    pair=st.sampled_from([("v1", "v3"), ("v1", None), (None, None), (None, "v3")]),
)
def test_selecting_never_raises_and_changes_nothing(
    manifests: list[dict[str, Any]],
    refs: tuple[RouteRef, ...],
    pair: tuple[str | None, str | None],
) -> None:
    before = copy.deepcopy(manifests)

    found = select(*manifests, refs=refs, stable=pair[0], canary=pair[1])

    assert manifests == before
    assert found.routes or found.problems
    for each in found.routes:
        assert sum(share for _, share in each.shares) in {0, 1}
        assert 0 <= each.foreign_share <= 1


# --- notes ---


def test_a_fault_on_an_owned_route_is_noted_peers_174() -> None:
    fault = {"abort": {"httpStatus": 500, "percentage": {"value": 10}}}
    manifest = virtual_service(http=[route(leg("v1", 100), leg("v3", 0), name="a", fault=fault)])

    found = select(manifest)

    assert found.problems == ()
    assert [(note.reason, note.message) for note in found.notes] == [
        (
            "FaultInjected",
            (
                "VirtualService bookinfo/reviews: http route a injects faults, which gates count "
                "against both revisions; its timeout and retries do not act meanwhile"
            ),
        )
    ]


@pytest.mark.parametrize(
    ("retries", "known"),
    [
        ({"attempts": 3, "retryOn": "5xx"}, True),
        ({"attempts": 0}, False),
        ({"retryOn": "5xx"}, False),
        (None, False),
        ("many", False),
        ({"attempts": "3"}, False),
    ],
)
def test_retries_that_a_route_has_itself_are_known(retries: object, *, known: bool) -> None:
    legs = (leg("v1", 100), leg("v3", 0))
    manifest = virtual_service(http=[route(*legs, name="a", retries=retries)])

    assert [each.retries for each in select(manifest).routes] == [known]


def test_a_fault_on_a_route_of_somebody_else_is_none_of_our_business() -> None:
    ours = route(leg("v1", 100), leg("v3", 0), name="a")
    other = route(leg("v2", 100), match=JASON, fault={"abort": {"httpStatus": 500}})

    assert select(virtual_service(http=[other, ours])).notes == ()


@pytest.mark.parametrize("protocol", ["tcp", "tls"])
def test_of_connections_it_is_noted_that_open_ones_stay_peers_183(protocol: str) -> None:
    match = [{"sniHosts": ["reviews"]}] if protocol == "tls" else [{"port": 9000}]
    spec: dict[str, Any] = {protocol: [route(leg("v1", 100), leg("v3", 0), match=match)]}
    manifest = virtual_service(**spec)

    (note,) = select(manifest).notes

    assert note.reason == "OnlyNewConnections"
    assert f"route {protocol}[0]" in note.message
    assert "drainDuration" in note.message
