"""Other VirtualServices that hide ours, shadow them, or lead past them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rollout.routes import ownership, virtualservice, visibility
from rollout.routes.fronts import Front
from tests.routes.around import NEW, OLD, front, manifest, scene, told
from tests.routes.manifests import HOST, leg, route

OURS = front(created=NEW)
V3 = [route(leg("v3", host=HOST))]


def rivalry(*others: Front, ours: Front = OURS) -> list[str]:
    return told(visibility.rivals(scene(ours, *others)))


def test_an_older_virtual_service_for_the_host_is_a_problem_that_names_both_peers_163() -> None:
    """Peers 163: another, older mesh VirtualService for the host is refused with IST0109."""
    older = front("old", namespace="web", hosts=[HOST], http=V3, created=OLD)

    message = (
        "! VirtualServiceOverruled: VirtualService web/old: spec.hosts names reviews too, and "
        "it comes before VirtualService bookinfo/reviews, so sidecars follow it alone "
        "(IST0109); merge the two into one, or delete one of them"
    )
    assert rivalry(older) == [message]


def test_of_the_same_second_the_name_decides() -> None:
    before = front("a", http=V3, created=NEW)
    after = front("z", http=V3, created=NEW)

    assert "VirtualServiceOverruled" in rivalry(before)[0]
    message = (
        "VirtualServiceIgnored: VirtualService bookinfo/z: spec.hosts names reviews too, and "
        "VirtualService bookinfo/reviews comes first, so sidecars ignore it (IST0109)"
    )
    assert rivalry(after) == [message]


def test_a_younger_virtual_service_is_a_note_since_ours_is_followed_peers_163() -> None:
    younger = front("new", namespace="web", hosts=[HOST], http=V3, created=NEW)

    found = rivalry(younger, ours=front(created=OLD))

    assert [line.partition(":")[0] for line in found] == ["VirtualServiceIgnored"]


def test_older_ones_for_other_hosts_gateways_or_protocols_are_nothing() -> None:
    others = [
        front("host", hosts=["ratings"], http=V3),
        front("wild", hosts=["*.bookinfo.svc.cluster.local"], http=V3),
        front("edge", hosts=[HOST], gateways=["edge"], http=V3),
        front("tcp", hosts=[HOST], http=[], tcp=V3),
        front("delegate", hosts=[], http=V3),
    ]

    assert rivalry(*others) == []


def test_an_older_one_that_few_callers_get_is_a_note() -> None:
    few = [{"match": [{"sourceLabels": {"app": "old"}}], **V3[0]}]

    found = rivalry(front("old", created=OLD, http=few))

    message = (
        "CallersNotGoverned: VirtualService bookinfo/old: spec.hosts names reviews too, and "
        "callers follow it before VirtualService bookinfo/reviews, so the weights do not rule "
        "all they ask"
    )
    assert found == [message]


def test_an_older_one_whose_only_route_is_dropped_takes_nothing() -> None:
    older = front("old", created=OLD, http=[{"delegate": {"name": "gone"}}])

    assert rivalry(older)[0].startswith("CallersNotGoverned")
    assert "VirtualServiceOverruled" in rivalry(older, front("gone", hosts=[]))[0]


def test_one_that_is_meant_for_some_namespace_only_is_a_note_that_names_it() -> None:
    near = front("mine", namespace="web", hosts=[HOST], http=V3, exportTo=["."], created=NEW)

    found = rivalry(near, ours=front(created=OLD))

    assert len(found) == 1
    assert found[0].startswith("CallersNotGoverned: VirtualService web/mine")
    assert "callers in namespace web follow it" in found[0]


def test_one_that_callers_of_ours_do_not_see_is_nothing() -> None:
    away = front("away", namespace="web", hosts=[HOST], http=V3, exportTo=["."], created=OLD)

    assert rivalry(away, ours=front(created=NEW, exportTo=["."])) == []


def test_ours_for_its_own_namespace_comes_before_an_older_one_for_all() -> None:
    older = front("old", namespace="web", hosts=[HOST], http=V3, created=OLD)

    found = rivalry(older, ours=front(created=NEW, exportTo=["."]))

    assert [line.partition(":")[0] for line in found] == ["VirtualServiceIgnored"]


def test_two_that_are_both_ours_do_not_rival() -> None:
    second = front("second", created=OLD)
    both = scene(OURS, second, owned=("bookinfo/reviews", "bookinfo/second"))

    assert told(visibility.rivals(both)) == []


def test_a_delegate_is_overruled_with_the_root_that_leads_to_it() -> None:
    delegate = front("reviews", hosts=[])
    root = front("root", http=[{"delegate": {"name": "reviews"}}], created=NEW)
    older = front("old", http=V3, created=OLD)

    found = told(visibility.rivals(scene(delegate, root, older)))

    assert "comes before VirtualService bookinfo/root" in found[0]


def delegation(*everyone: Front, owned: tuple[str, ...] = (), watched: str = "") -> list[str]:
    return told(visibility.delegation(scene(*everyone, owned=owned), watched=watched))


def root(**delegate: str) -> Front:
    return front("reviews", http=[{"name": "all", "delegate": {"name": "d", **delegate}}])


def test_a_missing_delegate_of_a_route_to_the_host_is_a_problem_peers_178() -> None:
    """Peers 178: a root whose delegate is missing is refused, since that route answers 404."""
    mine = ("bookinfo/reviews",)

    found = delegation(root(), owned=mine)

    message = (
        "! DelegateMissing: VirtualService bookinfo/reviews: http route all delegates to "
        "VirtualService bookinfo/d, which does not exist, so Istio drops it; create it, or "
        "remove the route"
    )
    assert found == [message]


def test_a_delegate_that_is_not_exported_to_its_root_is_a_problem_peers_178() -> None:
    kept = front("d", namespace="web", hosts=[], exportTo=["."])

    found = delegation(root(namespace="web"), kept, owned=("web/d",))

    assert "web/d, which spec.exportTo keeps from namespace bookinfo" in found[0]
    assert found[0].endswith("add bookinfo to its spec.exportTo")


def test_a_delegate_with_hosts_of_its_own_is_none() -> None:
    own = front("d", hosts=["ratings"])

    found = delegation(root(), own, owned=("bookinfo/reviews",))

    assert "has spec.hosts and so is no delegate" in found[0]


def test_delegates_that_are_there_and_seen_are_nothing() -> None:
    away = front("d", namespace="web", hosts=[], exportTo=["bookinfo"])

    assert delegation(root(), front("d", hosts=[]), owned=("bookinfo/d",)) == []
    assert delegation(root(namespace="web"), away, owned=("web/d",)) == []


def test_missing_delegates_of_others_at_a_shared_gateway_are_not_our_problem() -> None:
    entries = [{"delegate": {"name": name}} for name in ("reviews", "gone")]
    shared = front("edge", hosts=["shop.example.com"], gateways=["edge"], http=entries)

    assert delegation(shared, front("reviews", hosts=[]), owned=("bookinfo/reviews",)) == []


def test_what_is_not_watched_may_be_there() -> None:
    seen = delegation(root(namespace="web"), owned=("bookinfo/reviews",), watched="bookinfo")

    assert seen == []


def test_a_delegate_that_nothing_leads_to_is_a_note_peers_178() -> None:
    lonely = front("reviews", hosts=[])

    message = (
        "DelegateUnreached: VirtualService bookinfo/reviews: spec.hosts is empty and no "
        "VirtualService delegates to it, so nobody follows its weights"
    )
    assert delegation(lonely, owned=("bookinfo/reviews",)) == [message]
    assert delegation(lonely, owned=("bookinfo/reviews",), watched="bookinfo") == []


def edges(*everyone: Front, owned: tuple[str, ...] = ("bookinfo/reviews",)) -> list[str]:
    return told(visibility.edges(scene(*everyone, owned=owned)))


def test_an_ingress_with_weights_of_its_own_is_a_note_peers_167() -> None:
    """Peers 167: a service reachable through ingress while only the mesh VirtualService moves."""
    outside = front("outside", hosts=["r.example.com"], gateways=["edge"], http=[route(leg())])

    message = (
        "IngressNotGoverned: VirtualService bookinfo/outside: route http[0] sends what comes in"
        " by gateway bookinfo/edge to host reviews, and its weights do not move with this "
        "Rollout (IST0140); to have them moved, name it under spec.traffic.virtualServices"
    )
    assert edges(OURS, outside) == [message]


def test_an_ingress_that_moves_with_ours_or_leads_elsewhere_is_nothing_peers_167() -> None:
    outside = front("outside", hosts=["r.example.com"], gateways=["edge"])
    other = front("other", gateways=["edge"], http=[route(leg(host="ratings"))])
    inside = front("inside", hosts=["ratings"], http=[route(leg())])

    assert edges(OURS, outside, owned=("bookinfo/reviews", "bookinfo/outside")) == []
    assert edges(OURS, other, inside) == []


def test_an_ingress_through_a_delegate_that_is_not_ours_is_a_note() -> None:
    door = front(
        "door", hosts=["r.example.com"], gateways=["edge"], http=[{"delegate": {"name": "d"}}]
    )
    behind = front("d", hosts=[])

    found = edges(OURS, door, behind)

    assert found[0].startswith("IngressNotGoverned: VirtualService bookinfo/d: http route primary")


def test_of_a_gateway_host_in_parts_more_than_one_catch_all_is_a_note_peers_179() -> None:
    """Peers 179: a gateway host split over several VirtualServices; one of them may catch all."""
    at_edge: dict[str, Any] = {"hosts": ["r.example.com"], "gateways": ["edge"]}
    ours = front(created=NEW, **at_edge)
    greedy = front("greedy", created=OLD, http=[route(leg(host="ratings"))], **at_edge)
    modest = [{"match": [{"uri": {"prefix": "/a"}}], "redirect": {"uri": "/"}}]

    message = (
        "SeveralCatchAlls: VirtualService bookinfo/greedy: at gateway bookinfo/edge its route "
        "for all other requests to r.example.com is followed, and those of bookinfo/reviews are"
        " not"
    )
    assert edges(ours, greedy) == [message]
    assert edges(ours, front("modest", http=modest, **at_edge)) == []
    away = [route(leg(host="ratings"))]
    assert edges(ours, front("o", hosts=["o.example.com"], gateways=["edge"], http=away)) == []


def test_of_a_gateway_host_in_parts_only_the_one_with_our_route_is_patched_peers_179() -> None:
    """Peers 179: parts of one host at a gateway; the weights are in one of them."""
    at_edge: dict[str, Any] = {"hosts": ["r.example.com"], "gateways": ["edge"]}
    ours = manifest("ours", http=[route(leg("v1", 100), leg("v2", 0))], **at_edge)
    other = manifest("other", http=[route(leg("v1", 100), name="static")], **at_edge)
    found = ownership.select(
        [other, ours], host=HOST, namespace="bookinfo", refs=(), stable="v1", canary="v2"
    )

    patches = [
        virtualservice.weight_patch(
            part,
            host=HOST,
            namespace="bookinfo",
            refs=(),
            stable="v1",
            canary="v2",
            canary_percent=Decimal(10),
        )
        for part in (other, ours)
    ]

    assert [state.virtual_service for state in found.routes] == ["bookinfo/ours"]
    assert found.problems == ()
    assert [len(patch) for patch in patches] == [0, 2]


def unseen(*everyone: Front, service_exports: set[str]) -> list[str]:
    found = scene(*everyone)
    return told(visibility.unseen(found, service_exports=frozenset(service_exports)))


def test_callers_that_see_the_service_without_its_weights_are_told_peers_176() -> None:
    near = front(exportTo=["."])

    message = (
        "CallersNotGoverned: VirtualService bookinfo/reviews: spec.exportTo is bookinfo, so "
        "callers in other namespaces do not follow its weights but reach all revisions alike"
    )
    assert unseen(near, service_exports={"*"}) == [message]
    assert "callers in web do" in unseen(near, service_exports={"bookinfo", "web"})[0]
    assert unseen(near, service_exports={"bookinfo"}) == []
    assert unseen(OURS, service_exports={"*"}) == []
    assert unseen(front(gateways=["edge"], exportTo=["."]), service_exports={"*"}) == []


def test_a_filter_that_names_our_route_misses_the_managed_ones_before_it_peers_168() -> None:
    """Peers 168: names that EnvoyFilters match stay; a route of another name is not filtered."""
    filters = [("bookinfo/limit", frozenset({"primary"})), ("web/other", frozenset({"other"}))]

    found = told(visibility.filtered(scene(OURS), filters))

    message = (
        "EnvoyFilterMissesRoute: EnvoyFilter bookinfo/limit names route primary; the managed "
        "routes that a run puts before it in VirtualService bookinfo/reviews have names of their "
        "own, so the filter does not act on the requests that they take"
    )
    assert found == [message]
