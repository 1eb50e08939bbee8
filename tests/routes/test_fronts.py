"""A VirtualService as callers meet it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from rollout.routes import fronts
from rollout.routes.fronts import ELSEWHERE, Front
from tests.routes.around import NEW, OLD, front, manifest
from tests.routes.manifests import HOST, damaged, leg, route, virtual_services


def path(**entry: Any) -> fronts.Path:
    return front(http=[entry]).paths[0]


def test_without_gateways_it_is_for_sidecars_and_gateways_are_of_its_own_namespace() -> None:
    assert front().gateways == {"mesh"}
    assert front(gateways=["edge", "mesh", "infra/edge"]).gateways == {
        *("bookinfo/edge", "mesh", "infra/edge")
    }
    assert front(gateways=["edge", "mesh"]).edges == {"bookinfo/edge"}


def test_sidecars_follow_it_for_the_hosts_that_it_names_in_full_or_in_short() -> None:
    assert front(hosts=["reviews"]).fronts(HOST)
    assert front(hosts=[HOST.upper()], namespace="web").fronts(HOST)
    assert not front(hosts=["reviews"], namespace="web").fronts(HOST)
    assert not front(hosts=["reviews"], gateways=["edge"]).fronts(HOST)
    assert not front(hosts=["*.bookinfo.svc.cluster.local"]).fronts(HOST)


def test_export_to_says_where_its_callers_are() -> None:
    assert front().acts_in(ELSEWHERE)
    assert front(exportTo=["*", "."]).acts_in("web")
    near = front(exportTo=[".", "web"])
    assert [near.acts_in(name) for name in ("bookinfo", "web", ELSEWHERE)] == [True, True, False]
    assert not front(exportTo=["~"]).acts_in("bookinfo")


def test_who_wins_is_near_first_then_meant_for_the_namespace_then_old() -> None:
    private = front("private", created=NEW, namespace="web", exportTo=["."])
    meant = front("meant", created=NEW, exportTo=["web"])
    old, young = front("old", created=OLD), front("young", created=NEW)
    everyone = [young, old, meant, private]

    assert sorted(everyone, key=lambda f: f.rank("web")) == [private, meant, old, young]


def test_a_route_is_for_every_caller_unless_a_match_leaves_some_out() -> None:
    every: list[dict[str, Any]] = [{}, {"match": []}, {"match": [{"uri": {"prefix": "/a"}}]}]
    every += [{"match": [{"port": 8080}, {"gateways": ["edge", "mesh"]}]}]
    some = [{"port": 8080}, {"sourceLabels": {"app": "a"}}, {"sourceNamespace": "web"}]
    some += [{"gateways": ["edge"]}]

    assert all(path(**entry).for_every_caller for entry in every)
    assert not any(path(match=[entry]).for_every_caller for entry in some)


def test_a_route_catches_all_when_every_request_takes_it_and_it_answers_itself() -> None:
    assert path(route=[leg("v1")]).catches_all
    assert path(redirect={"uri": "/"}).catches_all
    assert not path(delegate={"name": "d"}).catches_all
    assert not path(match=[{"uri": {"exact": "/"}}]).catches_all


def test_a_delegate_without_a_namespace_is_of_the_same_one() -> None:
    assert path(delegate={"name": "d"}).delegate == "bookinfo/d"
    assert path(delegate={"name": "d", "namespace": "web"}).delegate == "web/d"
    assert path(route=[leg("v1")]).delegate == ""


def test_destinations_are_told_by_their_full_names() -> None:
    assert path(**route(leg("v1"), leg(host="a.example.com"))).hosts == {HOST, "a.example.com"}


def test_a_moved_weight_makes_no_difference() -> None:
    before = manifest(hosts=["reviews"], http=[route(leg("v1", 100), leg("v2", 0))])
    after = manifest(hosts=["reviews"], http=[route(leg("v1", 50), leg("v2", 50))])
    after["metadata"]["resourceVersion"] = "42"

    assert fronts.read(before) == fronts.read(after)


@pytest.mark.parametrize(
    "spec",
    [
        *(None, 7, [], {"hosts": 3}, {"hosts": [None], "gateways": "mesh"}, {"http": [None, 3]}),
        *({"http": [{"match": {}, "delegate": []}]}, {"http": [{"match": [None], "route": [3]}]}),
        {"exportTo": [None]},
    ],
)
def test_what_cannot_be_read_is_not_there(spec: Any) -> None:
    read = fronts.read({**manifest(), "spec": spec})

    assert isinstance(read, Front)
    assert read.exports == {"*"}


@given(damaged(virtual_services()))
def test_no_manifest_raises(broken: dict[str, Any]) -> None:
    fronts.read(broken)
