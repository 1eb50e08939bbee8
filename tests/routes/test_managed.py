"""Routes of our own in front of those that people wrote, which stay as they are."""

from __future__ import annotations

import contextlib
import copy
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.api.guard import Retries
from rollout.api.match import Match, TextMatch
from rollout.api.traffic import ManagedRoutes, RouteRef
from rollout.base.errors import BadManifest
from rollout.routes import managed, ownership, virtualservice
from tests.routes.manifests import (
    HOST,
    NAMESPACE,
    damaged,
    leg,
    patched,
    percents,
    route,
    virtual_service,
    virtual_services,
    weights,
    without_weights,
)

OWNER = "bookinfo/reviews"
CANARY = Match(headers={"x-canary": TextMatch(exact="always")})
ASKED = {"headers": {"x-canary": {"exact": "always"}}}
MATCHING = ManagedRoutes(owner=OWNER, match=CANARY)
NOTHING = ManagedRoutes(owner=OWNER)
NAME = "rollout.dev/bookinfo/reviews/{}/primary"


def primary(**more: Any) -> dict[str, Any]:
    return route(leg("v1", 100), leg("v3", 0), name="primary", **more)


def patch(
    manifest: dict[str, Any],
    wanted: ManagedRoutes | None,
    percent: str | Decimal = "0",
    refs: tuple[RouteRef, ...] = (),
) -> list[dict[str, Any]]:
    return virtualservice.weight_patch(
        manifest,
        host=HOST,
        namespace=NAMESPACE,
        refs=refs,
        stable="v1",
        canary="v3",
        canary_percent=Decimal(percent),
        managed=wanted,
    )


def routed(
    manifest: dict[str, Any], wanted: ManagedRoutes | None, percent: str | Decimal = "0"
) -> list[dict[str, Any]]:
    """The http routes after the patch."""
    found: list[dict[str, Any]] = patched(manifest, patch(manifest, wanted, percent))["spec"][
        "http"
    ]
    return found


# --- a match ---


def test_a_match_is_the_owned_route_with_the_canary_alone_and_one_more_condition() -> None:
    own = primary(timeout="3s", headers={"request": {"set": {"a": "b"}}}, rewrite={"uri": "/"})

    first, second = routed(virtual_service(http=[own]), MATCHING)

    assert first == {
        **{key: own[key] for key in ("timeout", "headers", "rewrite")},
        "name": NAME.format("match"),
        "match": [ASKED],
        "route": [leg("v3")],
    }
    assert second == own


def test_a_match_is_asked_beside_each_condition_of_the_owned_route_peers_37_26() -> None:
    own = [
        {"uri": {"prefix": "/a"}, "queryParams": {"q": {"exact": "1"}}},
        {"headers": {"end-user": {"exact": "jason"}}, "port": 80},
    ]

    first, _ = routed(virtual_service(http=[primary(match=own)]), MATCHING)

    assert first["match"] == [
        {"uri": {"prefix": "/a"}, "queryParams": {"q": {"exact": "1"}}, **ASKED},
        {"headers": {"end-user": {"exact": "jason"}, **ASKED["headers"]}, "port": 80},
    ]


def test_a_match_stands_directly_before_its_route_so_that_earlier_ones_keep_winning() -> None:
    jason = route(leg("v2"), name="jason", match=[{"headers": {"end-user": {"exact": "j"}}}])
    last = route(leg("v2"), name="last")

    found = routed(virtual_service(http=[jason, primary(), last]), MATCHING)

    assert [one["name"] for one in found] == ["jason", NAME.format("match"), "primary", "last"]


def test_several_legs_of_the_canary_keep_their_proportions_whatever_the_weight() -> None:
    legs = [leg("v1", 60), leg("v3", 30, port={"number": 1}), leg("v3", 10)]
    manifest = virtual_service(http=[route(*legs, name="primary")])

    first, _ = routed(manifest, MATCHING, "40")

    assert [one["weight"] for one in first["route"]] == [3, 1]


def test_a_condition_that_the_route_asks_already_is_asked_once() -> None:
    own = [{"headers": {"X-Canary": {"exact": "always"}}}]

    first, _ = routed(virtual_service(http=[primary(match=own)]), MATCHING)

    assert first["match"] == own


def test_another_condition_for_the_same_header_is_in_the_way() -> None:
    own = [{"headers": {"X-Canary": {"exact": "never"}}}]
    manifest = virtual_service(http=[primary(match=own)])

    with pytest.raises(BadManifest, match="http route primary asks for header X-Canary itself"):
        patch(manifest, MATCHING)


def test_that_a_header_is_there_at_all_is_asked_by_any_condition_of_ours() -> None:
    own: list[dict[str, Any]] = [
        {"headers": {"X-Canary": {}, "end-user": {}}, "withoutHeaders": {"x-canary": {}}}
    ]

    first, _ = routed(virtual_service(http=[primary(match=own)]), MATCHING)

    assert first["match"] == [
        {"headers": {"end-user": {}, **ASKED["headers"]}, "withoutHeaders": {"x-canary": {}}}
    ]


def test_a_match_that_asks_nothing_takes_nobody_to_the_canary() -> None:
    wanted = ManagedRoutes(owner=OWNER, match=Match())

    assert patch(virtual_service(http=[primary()]), wanted, "0") == []


def test_a_weight_of_null_is_0_as_everywhere() -> None:
    legs = [leg("v1", 100), leg("v3"), leg("v3")]
    manifest = virtual_service(http=[route(*legs, name="primary")])
    manifest["spec"]["http"][0]["route"][1]["weight"] = None

    first, _ = routed(manifest, MATCHING)

    assert [one["weight"] for one in first["route"]] == [1, 1]


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"match": ["x"]}, "spec.http[0].match[0] is 'x'; make it an object"),
        ({"mirrors": {}}, "spec.http[0].mirrors is {}; make it a list"),
    ],
)
def test_a_route_that_cannot_be_read_where_we_would_add_to_it_is_told(
    own: dict[str, Any], words: str
) -> None:
    manifest = virtual_service(http=[primary(**own)])

    with pytest.raises(BadManifest, match=re.escape(words)):
        patch(manifest, EVERYTHING)


@pytest.mark.parametrize(
    ("text", "header", "is_taken"),
    [
        (TextMatch(exact="b.1"), "group=b.1", True),
        (TextMatch(exact="b.1"), "a=2; group=b.1; z=3", True),
        (TextMatch(exact="b.1"), "group=b.1;z=3", True),
        (TextMatch(exact="b.1"), "group=b.11", False),
        (TextMatch(exact="b.1"), "group=bx1", False),
        (TextMatch(exact="b.1"), "agroup=b.1", False),
        (TextMatch(exact="b.1"), "a=group=b.1", False),
        (TextMatch(prefix="b"), "a=2; group=beta; z=3", True),
        (TextMatch(prefix="b"), "group=a; z=b", False),
        (TextMatch(regex="b[0-9]|c"), "z=1; group=b7", True),
        (TextMatch(regex="b[0-9]|c"), "group=cc", False),
    ],
)
def test_a_cookie_is_found_wherever_it_stands_and_no_other_is_taken_for_it(
    text: TextMatch, header: str, is_taken: bool
) -> None:
    assert bool(re.fullmatch(managed.cookie_pattern("group", text), header)) is is_taken


def test_a_cookie_is_asked_in_the_header_that_carries_it() -> None:
    wanted = ManagedRoutes(owner=OWNER, match=Match(cookies={"group": TextMatch(exact="b")}))

    first, _ = routed(virtual_service(http=[primary()]), wanted)

    assert first["match"] == [{"headers": {"cookie": {"regex": r"(?:.*;\s*)?group=b\s*(?:;.*)?"}}}]


# --- a copy ---


def test_copies_are_mirrored_by_a_copy_of_the_route_whose_weights_are_those_written() -> None:
    wanted = ManagedRoutes(owner=OWNER, mirror_percent=10)

    first, second = routed(virtual_service(http=[primary()]), wanted, "5")

    assert second == route(leg("v1", 95), leg("v3", 5), name="primary")
    assert first == {
        **second,
        "name": NAME.format("copy"),
        "mirrors": [
            {"destination": {"host": "reviews", "subset": "v3"}, "percentage": {"value": 10}}
        ],
    }


@pytest.mark.parametrize(
    ("own", "kept"),
    [
        ({"mirror": {"host": "a"}}, {"destination": {"host": "a"}}),
        (
            {"mirror": {"host": "a"}, "mirrorPercentage": {"value": 3}},
            {"destination": {"host": "a"}, "percentage": {"value": 3}},
        ),
        (
            {"mirror": {"host": "a"}, "mirrorPercent": 3},
            {"destination": {"host": "a"}, "percentage": {"value": 3}},
        ),
        (
            {"mirrors": [{"destination": {"host": "a"}, "percentage": {"value": 3}}]},
            {"destination": {"host": "a"}, "percentage": {"value": 3}},
        ),
    ],
)
def test_a_mirror_that_people_wrote_goes_on_beside_ours_however_it_is_spelt(
    own: dict[str, Any], kept: dict[str, Any]
) -> None:
    wanted = ManagedRoutes(owner=OWNER, mirror_percent=0.5)

    first, second = routed(virtual_service(http=[primary(**own)]), wanted)

    assert first["mirrors"][0] == kept
    assert first["mirrors"][1]["percentage"] == {"value": 0.5}
    assert not first.keys() & {"mirror", "mirrorPercent", "mirrorPercentage"}
    assert {key: second[key] for key in own} == own


def test_a_guard_of_routes_stands_on_the_copy_and_on_the_match() -> None:
    wanted = ManagedRoutes(
        owner=OWNER, match=CANARY, timeout="2s", retries=Retries(attempts=3, retry_on="5xx")
    )
    guard = {"timeout": "2s", "retries": {"attempts": 3, "retryOn": "5xx"}}

    match, doubled, own = routed(virtual_service(http=[primary()]), wanted)

    assert {key: match[key] for key in guard} == guard
    assert doubled == {**own, **guard, "name": NAME.format("copy")}
    assert own == primary()


def test_a_route_with_a_timeout_and_retries_of_its_own_needs_no_copy_and_keeps_them() -> None:
    own = primary(timeout="7s", retries={"attempts": 0})
    wanted = ManagedRoutes(owner=OWNER, timeout="2s", retries=Retries(attempts=3))

    assert patch(virtual_service(http=[own]), wanted) == []
    (match, _) = routed(
        virtual_service(http=[own]), ManagedRoutes(owner=OWNER, match=CANARY, timeout="2s")
    )
    assert match["timeout"] == "7s"


# --- there, and gone ---


EVERYTHING = ManagedRoutes(owner=OWNER, match=CANARY, mirror_percent=10, timeout="2s")


def test_what_stands_right_is_not_written_again_though_a_zero_is_left_out() -> None:
    manifest = patched(
        virtual_service(http=[primary()]), patch(virtual_service(http=[primary()]), EVERYTHING)
    )
    for one in manifest["spec"]["http"]:
        for each in one["route"]:
            if each.get("weight") == 0:
                del each["weight"]

    assert patch(manifest, EVERYTHING) == []


@pytest.mark.parametrize(
    "harm",
    [
        lambda http: http.pop(0),
        lambda http: http.pop(1),
        lambda http: http.insert(0, http.pop(2)),
        lambda http: http.append(http.pop(0)),
        lambda http: http.insert(0, copy.deepcopy(http[0])),
        lambda http: http[0].update(match=[]),
        lambda http: http[1]["route"].pop(),
        lambda http: http[0].update(route=7),
    ],
)
def test_what_somebody_removed_moved_doubled_or_edited_is_put_right(harm: Any) -> None:
    manifest = virtual_service(http=[primary()])
    right = patched(manifest, patch(manifest, EVERYTHING))
    harmed = copy.deepcopy(right)
    harm(harmed["spec"]["http"])

    assert patched(harmed, patch(harmed, EVERYTHING)) == right


def test_managed_routes_of_another_rollout_stay_and_nobody_owns_them() -> None:
    theirs = {**primary(), "name": "rollout.dev/bookinfo/other/copy/primary"}
    manifest = virtual_service(http=[theirs, primary()])

    found = routed(manifest, MATCHING, "5")

    assert found[0] == theirs
    assert [one["name"] for one in found[1:]] == [NAME.format("match"), "primary"]
    assert patch(virtual_service(http=found), MATCHING, "5") == []


def test_an_abort_removes_what_is_ours_even_of_a_route_that_is_gone_or_broken() -> None:
    manifest = virtual_service(http=[primary(), route(leg("v1", 100), leg("v3", 0), name="b")])
    manifest = patched(manifest, patch(manifest, EVERYTHING, "5"))
    http = manifest["spec"]["http"]
    del http[2]
    http[-1]["route"][0]["weight"] = "many"

    after = patched(manifest, patch(manifest, NOTHING))

    assert [one["name"] for one in after["spec"]["http"]] == ["b"]


def test_managed_routes_move_no_place_by_which_people_are_told_of_theirs() -> None:
    manifest = virtual_service(http=[route(leg("v1", 100), leg("v3", 0))])
    after = patched(manifest, patch(manifest, EVERYTHING, "5"))

    found = ownership.select(
        [after],
        host=HOST,
        namespace=NAMESPACE,
        refs=(),
        stable="v1",
        canary="v3",
        owner=OWNER,
        managed=(EVERYTHING,),
    )

    assert [one.route for one in found.routes] == ["http[0]"]
    assert found.problems == ()
    assert [one.route for one in found.managed] == [
        "rollout.dev/bookinfo/reviews/match/http-0",
        "rollout.dev/bookinfo/reviews/copy/http-0",
    ]


def test_connections_have_no_requests_to_match_or_mirror() -> None:
    manifest = virtual_service(tcp=[route(leg("v1", 100), leg("v3", 0))])

    found = ownership.select(
        [manifest],
        host=HOST,
        namespace=NAMESPACE,
        refs=(),
        stable="v1",
        canary="v3",
        owner=OWNER,
        managed=(EVERYTHING,),
    )

    assert [one.reason for one in found.problems] == ["OnlyHttp"]
    assert "GuardOnlyHttp" in [one.reason for one in found.notes]
    assert patch(manifest, NOTHING) == []


def test_connections_beside_requests_move_on_while_only_the_requests_are_matched() -> None:
    tcp = virtual_service("tcp", tcp=[route(leg("v1", 100), leg("v3", 0))])
    http = virtual_service(http=[primary()])
    refs = tuple(RouteRef(namespace=NAMESPACE, name=name) for name in ("reviews", "tcp"))

    found = ownership.select(
        [http, tcp],
        host=HOST,
        namespace=NAMESPACE,
        refs=refs,
        stable="v1",
        canary="v3",
        owner=OWNER,
        managed=(EVERYTHING,),
    )

    assert found.problems == ()
    assert weights(patched(tcp, patch(tcp, EVERYTHING, "5", refs)), protocol="tcp") == [95, 5]


def test_managed_routes_of_another_rollout_make_nobody_elses_object_ours() -> None:
    theirs = {**primary(), "name": "rollout.dev/bookinfo/other/copy/legacy"}
    legacy = route(leg("v2", 100), leg("v3", 0), name="legacy")

    assert patch(virtual_service(http=[theirs, legacy]), EVERYTHING, "5") == []


@pytest.mark.parametrize("percent", ["0", "5"])
def test_what_is_ours_goes_from_an_object_in_which_nothing_is_owned_any_more(percent: str) -> None:
    right = patched(
        virtual_service(http=[primary()]), patch(virtual_service(http=[primary()]), EVERYTHING)
    )
    right["spec"]["http"][-1] = legacy = route(leg("v2", 100), name="legacy")
    others = (RouteRef(namespace=NAMESPACE, name="other"),)

    for refs in ((), others):
        assert patched(right, patch(right, EVERYTHING, percent, refs))["spec"]["http"] == [legacy]


wanted_routes = st.builds(
    ManagedRoutes,
    owner=st.just(OWNER),
    match=st.sampled_from([None, CANARY, Match(cookies={"a": TextMatch(prefix="b")})]),
    mirror_percent=st.sampled_from([0, 0.5, 100]),
    timeout=st.sampled_from(["", "2s"]),
    retries=st.sampled_from([None, Retries(attempts=1)]),
)


@pytest.mark.timeout(60)
@given(manifest=virtual_services(), wanted=wanted_routes, other=wanted_routes, percent=percents)
def test_peoples_routes_stay_whatever_is_wanted_and_nothing_of_ours_is_left_in_the_end(
    manifest: dict[str, Any], wanted: ManagedRoutes, other: ManagedRoutes, percent: Decimal
) -> None:
    try:
        first = patched(manifest, patch(manifest, wanted, percent))
        second = patched(first, patch(first, other, percent))
    except BadManifest:
        return
    last = patched(second, patch(second, NOTHING))

    assert patch(first, wanted, percent) == []
    assert patch(second, other, percent) == []
    assert patch(last, NOTHING) == []
    assert without_weights(last) == without_weights(manifest)


@pytest.mark.timeout(60)
@given(manifest=damaged(virtual_services()), wanted=wanted_routes)
def test_a_broken_manifest_is_told_and_never_keeps_what_is_ours_from_going(
    manifest: dict[str, Any], wanted: ManagedRoutes
) -> None:
    if not isinstance(manifest.get("metadata"), dict):
        return
    with contextlib.suppress(BadManifest):
        manifest = patched(manifest, patch(manifest, wanted))

    after = patched(manifest, patch(manifest, NOTHING))

    assert patch(after, NOTHING) == []
