"""What is gathered around a Rollout, and that it is read again only when something has changed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from rollout.api.meta import Key, Manifest
from rollout.api.rollout import DestinationRuleRef, Traffic
from rollout.api.traffic import Outlook, RouteState, Routing
from rollout.controller.surroundings import Lookout, Place
from rollout.controller.world import World

KEY = Key("shop", "reviews")
HOST = "reviews.shop.svc.cluster.local"
ROUTE = {"route": [{"destination": {"host": HOST, "subset": name}} for name in ("v1", "v2")]}


def manifest(name: str, *, namespace: str = "shop", version: int = 1, **spec: Any) -> Manifest:
    metadata = {"name": name, "namespace": namespace, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": spec}


OURS = manifest("reviews", hosts=["reviews"], http=[ROUTE])


def furnished(**world: Any) -> World:
    found = World(**world)
    found.virtual_services.put(OURS)
    found.destination_rules.put(rule("reviews", "v1", "v2"))
    return found


def rule(name: str, *subsets: str, namespace: str = "shop", version: int = 1) -> Manifest:
    found = [{"name": each, "labels": {"version": each}} for each in subsets]
    return manifest(name, namespace=namespace, version=version, host=HOST, subsets=found)


def look(
    lookout: Lookout, *, mine: Manifest = OURS, traffic: Traffic | None = None, owned: str = ""
) -> Outlook:
    place = Place(key=KEY, host=HOST, traffic=traffic or Traffic(), pair=("v1", "v2"), mine=[mine])
    state = RouteState(
        virtual_service=owned or "shop/reviews",
        protocol="http",
        route="http[0]",
        shares=(("v1", Fraction(1)),),
        foreign_share=Fraction(0),
        total=100,
    )
    return lookout.look(place, Routing(routes=(state,), problems=()))


def reasons(outlook: Outlook) -> list[str]:
    found = [problem.reason for problem in outlook.problems]
    return found + [note.reason for note in outlook.notes]


def test_a_service_that_nothing_undoes_has_a_clear_outlook() -> None:
    assert look(Lookout(furnished())) == Outlook()


def test_the_same_is_said_until_something_has_changed() -> None:
    world = furnished()
    lookout = Lookout(world)

    first, again = look(lookout), look(lookout)
    world.destination_rules.put(rule("mine", "v1", namespace="web"))
    changed = look(lookout)
    world.destination_rules.put(rule("mine", "v1", "v2", namespace="web", version=2))

    assert again is first
    assert reasons(changed) == ["CallersWithoutSubset"]
    assert reasons(look(lookout)) == []


def test_a_weight_that_moves_is_no_change() -> None:
    world = furnished()
    lookout = Lookout(world)
    first = look(lookout)
    moved = [{**ROUTE, "route": [{**leg, "weight": 50} for leg in ROUTE["route"]]}]
    mine = manifest("reviews", version=2, hosts=["reviews"], http=moved)
    world.virtual_services.put(mine)

    assert look(lookout, mine=mine) is first


def test_what_is_known_of_objects_that_are_gone_is_dropped() -> None:
    world = furnished()
    lookout = Lookout(world)
    for number in range(20):
        outside = manifest(f"o{number}", hosts=["o"], gateways=["edge"], http=[ROUTE])
        world.virtual_services.put(outside)
        look(lookout)
        world.virtual_services.remove(outside)

    assert len(lookout._fronts) < 10
    lookout.forget(KEY)
    assert lookout._known == {}


def test_roots_elsewhere_lead_to_a_delegate_of_ours() -> None:
    world = furnished()
    delegate = manifest("d", http=[ROUTE])
    http = [{"delegate": {"name": "d", "namespace": "shop"}}]
    root = manifest("root", namespace="web", hosts=["r.example.com"], gateways=["e"], http=http)
    other = manifest("o", namespace="web", hosts=["r.example.com"], gateways=["e"], http=[{}])
    for each in (delegate, root):
        world.virtual_services.put(each)
    lookout = Lookout(world)

    alone = reasons(look(lookout, mine=delegate, owned="shop/d"))
    world.virtual_services.put(other)

    assert alone == []
    world.virtual_services.put(
        manifest(
            "s",
            namespace="web",
            version=2,
            hosts=["r.example.com"],
            gateways=["e"],
            http=[{"redirect": {"uri": "/"}}],
        )
    )
    assert reasons(look(lookout, mine=delegate, owned="shop/d")) == ["SeveralCatchAlls"]


def test_with_one_namespace_to_look_at_nothing_elsewhere_is_called_missing() -> None:
    http = [ROUTE, {"delegate": {"name": "d", "namespace": "web"}}]
    mine = manifest("reviews", version=2, hosts=["reviews"], http=http)
    one, every = furnished(namespace="shop"), furnished()
    for world in (one, every):
        world.virtual_services.put(mine)

    assert reasons(look(Lookout(one), mine=mine)) == []
    assert reasons(look(Lookout(every), mine=mine)) == ["DelegateMissing"]


def test_a_rule_that_the_rollout_names_takes_the_place_of_the_services() -> None:
    world = furnished()
    world.destination_rules.put(rule("named", "v1", "v2", namespace="web"))
    traffic = Traffic(destination_rule=DestinationRuleRef(namespace="web", name="named"))
    lookout = Lookout(world)

    both = look(lookout, traffic=traffic)
    world.destination_rules.put(rule("reviews", "v1", version=2))
    (problem,) = look(lookout, traffic=traffic).problems

    assert both == Outlook()
    assert "hides DestinationRule web/named from callers in namespace shop" in problem.message


def test_who_sees_the_service_is_said_by_its_annotation_or_its_service_entry() -> None:
    near = manifest("reviews", version=2, hosts=["reviews"], http=[ROUTE], exportTo=["."])
    service = manifest("reviews", ports=[{"name": "http", "port": 80}])
    private = {**service["metadata"], "annotations": {"networking.istio.io/exportTo": ". , shop"}}
    world = furnished()
    world.virtual_services.put(near)
    outlooks = []
    for version, metadata in (("1", service["metadata"]), ("2", private)):
        world.services.put({**service, "metadata": {**metadata, "resourceVersion": version}})
        outlooks.append(reasons(look(Lookout(world), mine=near)))
    world.service_entries.put(manifest("e", hosts=[HOST], ports=[], exportTo=["shop", "web"]))

    assert outlooks == [["CallersNotGoverned"], []]
    assert reasons(look(Lookout(world), mine=near)) == ["CallersNotGoverned"]


def test_at_a_gateway_the_names_of_ports_do_not_matter() -> None:
    world = furnished()
    both = manifest("reviews", version=2, hosts=["reviews"], gateways=["mesh", "e"], http=[ROUTE])
    world.services.put(manifest("reviews", ports=[{"name": "tcp", "port": 80}]))
    lookout = Lookout(world)

    inside = reasons(look(lookout))
    world.virtual_services.put(both)

    assert inside == ["PortProtocol"]
    assert reasons(look(lookout, mine=both)) == []


def test_far_sidecars_matter_where_service_and_routes_are_apart() -> None:
    world = furnished()
    egress = [{"hosts": ["shop/*"]}]
    world.sidecars.put(manifest("s", namespace="web", egress=egress))
    afar = manifest("reviews", namespace="routes", hosts=[HOST], http=[ROUTE])
    world.virtual_services.put(afar)
    world.virtual_services.remove({**OURS})
    place = Place(
        key=Key("routes", "reviews"), host=HOST, traffic=Traffic(), pair=("v1", "v2"), mine=[afar]
    )
    state = RouteState(
        virtual_service="routes/reviews",
        protocol="http",
        route="http[0]",
        shares=(),
        foreign_share=Fraction(0),
        total=100,
    )

    outlook = Lookout(world).look(place, Routing(routes=(state,), problems=()))

    assert reasons(outlook) == ["CallersNotGoverned"]
    assert "Sidecar web/s" in outlook.notes[0].message
