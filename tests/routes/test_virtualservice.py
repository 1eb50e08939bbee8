"""Moving weights in a VirtualService, and nothing else."""

from __future__ import annotations

import copy
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rollout.api.traffic import RouteRef, RouteState
from rollout.base.errors import BadManifest
from rollout.routes import ownership, virtualservice
from tests.routes.manifests import (
    HOST,
    NAMESPACE,
    damaged,
    entries,
    leg,
    patched,
    percents,
    route,
    virtual_service,
    virtual_services,
    weights,
    without_weights,
)

JASON = [{"headers": {"end-user": {"exact": "jason"}}}]


def patch(
    manifest: dict[str, Any], percent: str | Decimal, refs: tuple[RouteRef, ...] = ()
) -> list[dict[str, Any]]:
    return virtualservice.weight_patch(
        manifest,
        host=HOST,
        namespace=NAMESPACE,
        refs=refs,
        stable="v1",
        canary="v3",
        canary_percent=Decimal(percent),
    )


def shifted(
    manifest: dict[str, Any], percent: str | Decimal, refs: tuple[RouteRef, ...] = ()
) -> dict[str, Any]:
    return patched(manifest, patch(manifest, percent, refs))


def named(*routes: str, name: str = "reviews") -> tuple[RouteRef, ...]:
    return (RouteRef(namespace=NAMESPACE, name=name, routes=routes),)


# --- what is written ---


def test_the_patch_names_the_version_it_was_decided_on_and_only_weights() -> None:
    manifest = virtual_service(http=[route(leg("v1", 100), leg("v3"))])

    assert patch(manifest, "5") == [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "41"},
        {"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 95},
        {"op": "add", "path": "/spec/http/0/route/1/weight", "value": 5},
    ]


def test_a_manifest_from_a_file_has_no_version_to_name() -> None:
    manifest = virtual_service(http=[route(leg("v1", 100), leg("v3"))])
    del manifest["metadata"]["resourceVersion"]

    assert weights(shifted(manifest, "5")) == [95, 5]


def test_a_missing_weight_equals_0_and_is_not_written() -> None:
    manifest = virtual_service(http=[route(leg("v1", 100), leg("v3"))])

    assert patch(manifest, "0") == []


def test_only_the_weights_that_differ_are_written() -> None:
    manifest = virtual_service(http=[route(leg("v1", 50), leg("v3", 50), leg("v2", 0))])

    assert [each["path"] for each in patch(manifest, "100")] == [
        "/metadata/resourceVersion",
        "/spec/http/0/route/0/weight",
        "/spec/http/0/route/1/weight",
    ]


def test_equal_shares_with_another_total_are_equal() -> None:
    manifest = virtual_service(http=[route(leg("v1", 950), leg("v3", 50))])

    assert patch(manifest, "5") == []


def test_a_total_of_1000_is_kept_and_half_a_percent_is_exact() -> None:
    manifest = virtual_service(http=[route(leg("v1", 1000), leg("v3", 0))])

    assert weights(shifted(manifest, "0.5")) == [995, 5]


def test_a_total_grows_only_as_much_as_a_step_needs() -> None:
    manifest = virtual_service(http=[route(leg("v1", 100), leg("v3", 0))])

    assert weights(shifted(manifest, "0.5")) == [199, 1]
    assert weights(shifted(manifest, "33.3")) == [667, 333]


def test_a_foreign_destination_keeps_its_share() -> None:
    manifest = virtual_service(
        http=[route(leg("v1", 80), leg("v3", 0), leg("v1", 20, host="ratings"))]
    )

    assert weights(shifted(manifest, "90")) == [8, 72, 20]
    assert weights(shifted(manifest, "1")) == [396, 4, 100]


def test_an_experiment_of_our_own_host_keeps_its_share() -> None:
    manifest = virtual_service(http=[route(leg("v1", 80), leg("v2", 20), leg("v3", 0))])

    assert weights(shifted(manifest, "50")) == [40, 20, 40]


def test_equal_names_on_another_host_do_not_change() -> None:
    manifest = virtual_service(
        http=[
            route(
                leg("v1", 60),
                leg("v3", 0),
                leg("v3", 20, host="reviews.other"),
                leg("v3", 20, host="ratings"),
            )
        ]
    )

    assert weights(shifted(manifest, "50")) == [30, 30, 20, 20]


def test_every_owned_route_moves_whatever_its_protocol_total_and_order() -> None:
    manifest = virtual_service(
        http=[route(leg("v3", 0), leg("v1", 100)), route(leg("v1", 8), leg("v3", 0))],
        tcp=[route(leg("v1", 1000), leg("v3", 0), match=[{"port": 1}])],
        tls=[route(leg("v1", 4), leg("v3", 0), match=[{"sniHosts": ["a.example"]}])],
    )

    found = shifted(manifest, "25")

    assert weights(found) == [25, 75]
    assert weights(found, 1) == [6, 2]
    assert weights(found, 0, "tcp") == [750, 250]
    assert weights(found, 0, "tls") == [3, 1]


def test_routes_that_are_not_ours_do_not_move() -> None:
    pair = [leg("v1", 100), leg("v3", 0)]
    manifest = virtual_service(
        http=[route(leg("v3", 0), match=JASON), route(*pair, name="a"), route(*pair, name="b")],
        tls=["whatever this is"],
    )

    found = shifted(manifest, "25", named("b"))

    assert [weights(found, at) for at in range(3)] == [[0], [100, 0], [75, 25]]


def test_repeated_destinations_of_a_subset_share_in_proportion() -> None:
    manifest = virtual_service(
        http=[route(leg("v1", 60), leg("v1", 30), leg("v3", 6), leg("v3", 4), leg(weight=10))]
    )

    assert weights(shifted(manifest, "40")) == [40, 20, 24, 16, 10]


def test_a_route_in_which_nobody_has_a_weight_gets_one() -> None:
    manifest = virtual_service(http=[route(leg("v1"), leg("v3"))])

    assert weights(shifted(manifest, "0")) == [100, 0]
    assert weights(shifted(manifest, "5")) == [95, 5]


def test_going_to_0_and_back_leads_where_it_came_from() -> None:
    manifest = virtual_service(http=[route(leg("v1", 90), leg("v3", 10), leg("v2", 7))])

    there = shifted(manifest, "0")

    assert weights(there) == [100, 0, 7]
    assert shifted(there, "10") == manifest


# --- what is not written ---


def test_objects_that_the_rollout_does_not_name_are_left_alone() -> None:
    manifest = virtual_service(http=[route(leg("v1", 100), leg("v3", 0))])

    assert patch(manifest, "5", named(name="other")) == []


def test_an_object_without_anything_of_ours_is_left_alone() -> None:
    manifest = virtual_service(http=[route(leg("v1", 100)), route(leg("v1", -1, host="ratings"))])

    assert patch(manifest, "5") == []


def test_a_missing_canary_destination_is_refused_and_never_added() -> None:
    manifest = virtual_service(http=[route(leg("v1", 100), name="primary")])

    with pytest.raises(BadManifest) as caught:
        patch(manifest, "5", named("primary"))

    assert str(caught.value) == (
        "VirtualService bookinfo/reviews: http route primary has no destination for host reviews "
        "subset v3; add one with weight 0"
    )


def test_a_canary_alone_in_a_route_is_never_given_0_for_it_would_get_everything() -> None:
    manifest = virtual_service(http=[route(leg("v3", 100), name="primary")])

    assert patch(manifest, "0", named("primary")) == []
    with pytest.raises(BadManifest, match="has no destination for host reviews subset v1"):
        patch(manifest, "5", named("primary"))


def test_a_pair_without_weight_beside_others_is_refused() -> None:
    manifest = virtual_service(http=[route(leg("v1", 0), leg("v3"), leg("v2", 100))])

    with pytest.raises(BadManifest, match="sends nothing to subset v1 or v3"):
        patch(manifest, "5")


def test_a_total_beyond_all_bounds_is_refused_with_object_route_and_remedy() -> None:
    manifest = virtual_service(http=[route(leg("v1", 999_999), leg("v3", 0), name="primary")])

    with pytest.raises(BadManifest) as caught:
        patch(manifest, "0.1")

    assert str(caught.value) == (
        "VirtualService bookinfo/reviews: http route primary cannot give 0.1 percent to subset v3 "
        "with weights that sum to 999999, or to a multiple up to 1000000; use weights that sum to "
        "100 or 1000, or a percent with fewer digits"
    )


def test_taking_traffic_away_from_the_canary_does_all_that_can_be_done() -> None:
    manifest = virtual_service(
        http=[
            route(leg("v1", 50), leg("v3", 50), name="a"),
            route(leg("v1", 1), leg("v3", -1), name="broken"),
            route(leg("v3", 1), name="alone"),
            route(leg("v1"), leg("v3"), leg("v2", 1), name="foreign"),
            route(leg("v1", 9), leg("v3", 1), name="twice"),
            route(leg("v1", 8), leg("v3", 2), name="twice"),
        ]
    )
    refs = named("a", "absent", "broken", "alone", "foreign", "twice")

    found = shifted(manifest, "0", refs)

    assert [weights(found, at) for at in range(6)] == [
        [100, 0],
        [1, -1],
        [1],
        [0, 0, 1],
        [10, 0],
        [10, 0],
    ]
    with pytest.raises(BadManifest):
        patch(manifest, "5", refs)


# --- the canary's percent ---


@pytest.mark.parametrize(
    ("shares", "percent"),
    [
        ((("v1", "9/10"), ("v3", "1/10")), 10),
        ((("v1", "1/3"), ("v2", "1/3"), ("v3", "1/3")), 50),
        ((("v3", "1"),), 100),
        ((("v2", "1"),), 0),
        ((("v1", "0"), ("v3", "0")), 0),
        ((), 0),
    ],
)
def test_the_canary_percent_is_its_share_of_the_pair(
    shares: tuple[tuple[str, str], ...], percent: int
) -> None:
    state = RouteState(
        virtual_service="bookinfo/reviews",
        protocol="http",
        route="a",
        shares=tuple((subset, Fraction(share)) for subset, share in shares),
        foreign_share=Fraction(0),
        total=100,
    )

    assert virtualservice.canary_percent(state, stable="v1", canary="v3") == percent


# --- whatever the manifest looks like ---


def is_ours(found: dict[str, Any], subset: str) -> bool:
    destination = found["destination"]
    return destination["host"] in {"reviews", HOST} and destination.get("subset") == subset


def parts(entry: dict[str, Any]) -> tuple[int, int, list[int], int]:
    """Stable, canary, everybody else, total; read here independently of the code under test."""
    stable = sum(each.get("weight", 0) for each in entry["route"] if is_ours(each, "v1"))
    canary = sum(each.get("weight", 0) for each in entry["route"] if is_ours(each, "v3"))
    others = [
        each.get("weight", 0)
        for each in entry["route"]
        if not is_ours(each, "v1") and not is_ours(each, "v3")
    ]
    return stable, canary, others, stable + canary + sum(others)


def owned(entry: dict[str, Any], refs: tuple[RouteRef, ...]) -> bool:
    both = all(any(is_ours(each, subset) for each in entry["route"]) for subset in ("v1", "v3"))
    by_name = not refs or not refs[0].routes or entry.get("name") in refs[0].routes
    return both and "redirect" not in entry and by_name


def hopeless(entry: dict[str, Any], percent: Decimal) -> bool:
    stable, canary, _, total = parts(entry)
    factor = (Fraction(percent) / 100 * (stable + canary)).denominator
    return (not stable + canary and total > 0) or (total or 100) * factor > 1_000_000


REFS = st.sampled_from([(), named(), named("r0"), named("r0", "r2")])


@given(manifest=virtual_services(), percent=percents, refs=REFS)
@example(
    manifest=virtual_service(http=[route(leg("v1", 7), leg("v3", 0), leg(weight=3), name="r0")]),
    percent=Decimal("0.1"),
    refs=(),
)
def test_only_weights_of_owned_routes_change_and_every_share_is_exact(
    manifest: dict[str, Any], percent: Decimal, refs: tuple[RouteRef, ...]
) -> None:
    before = copy.deepcopy(manifest)
    try:
        operations = patch(manifest, percent, refs)
    except BadManifest:
        assert percent > 0
        chosen = [each for each in entries(manifest) if owned(each, refs)]
        lacking = bool(refs) and len(chosen) < max(1, len(refs[0].routes))
        assert lacking or any(hopeless(each, percent) for each in chosen)
        return
    after = patched(manifest, operations)

    assert manifest == before
    assert without_weights(after) == without_weights(manifest)
    assert patch(after, percent, refs) == []
    for old, new in zip(entries(manifest), entries(after), strict=True):
        if not owned(old, refs):
            assert new == old
            continue
        old_others, old_total = parts(old)[2:]
        stable, canary, others, total = parts(new)
        if stable + canary == 0:
            assert new == old
            assert percent == 0
            continue
        assert Fraction(canary, stable + canary) == Fraction(percent) / 100
        assert total % (old_total or 100) == 0
        assert total == old_total or total <= 1_000_000
        for one, other in zip(old_others, others, strict=True):
            assert not old_total or Fraction(one, old_total) == Fraction(other, total)


@given(manifest=virtual_services(), steps=st.lists(percents, min_size=1, max_size=4))
def test_a_whole_ladder_and_back_to_0_is_one_step_to_0(
    manifest: dict[str, Any], steps: list[Decimal]
) -> None:
    found = manifest
    for percent in steps:
        try:
            found = shifted(found, percent)
        except BadManifest:
            assume(False)

    found = shifted(found, "0")

    direct = shifted(manifest, "0")
    for one, other in zip(entries(found), entries(direct), strict=True):
        assert {share(one, at) for at in range(4)} == {share(other, at) for at in range(4)}


def share(entry: dict[str, Any], at: int) -> tuple[Any, ...]:
    stable, canary, others, total = parts(entry)
    numbers = (stable, canary, *others)
    return (at, Fraction(numbers[at], total) if total and at < len(numbers) else None)


@given(manifest=virtual_services(), percent=percents)
def test_a_patch_makes_true_what_selecting_then_sees(
    manifest: dict[str, Any], percent: Decimal
) -> None:
    try:
        after = shifted(manifest, percent)
    except BadManifest:
        return

    routing = ownership.select(
        [after], host=HOST, namespace=NAMESPACE, refs=(), stable="v1", canary="v3"
    )

    if not routing.problems:
        assert {
            virtualservice.canary_percent(each, stable="v1", canary="v3") for each in routing.routes
        } == {Fraction(percent)}


@given(manifest=damaged(virtual_services()), percent=percents, refs=REFS)
def test_a_broken_manifest_is_refused_or_patched_and_never_raises_anything_else(
    manifest: dict[str, Any], percent: Decimal, refs: tuple[RouteRef, ...]
) -> None:
    before = copy.deepcopy(manifest)
    try:
        operations = patch(manifest, percent, refs)
    except BadManifest:
        assert percent > 0
        operations = []

    assert manifest == before
    assert all(
        each["path"] == "/metadata/resourceVersion" or each["path"].endswith("/weight")
        for each in operations
    )
    patched(manifest, operations)
