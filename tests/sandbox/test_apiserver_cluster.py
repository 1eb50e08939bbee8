"""The cluster behind the embedded API server, without HTTP: history, owners, namespaces."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rollout.base import errors
from rollout.sandbox.apiserver import cluster as clusters
from rollout.sandbox.apiserver import store as stores
from rollout.sandbox.apiserver.calls import Call
from rollout.sandbox.apiserver.cluster import Cluster
from rollout.sandbox.apiserver.refusals import Refusal
from rollout.sandbox.apiserver.writes import Outcome
from tests.sandbox.apiserver_samples import crd, parcel

Json = dict[str, Any]

PARCELS = ("shop.example", "parcels")


class World:
    """A cluster whose background work is done when a test says so."""

    def __init__(self) -> None:
        self.time = datetime(2026, 2, 1, tzinfo=UTC)
        self.soon: list[Callable[[], None]] = []
        self.cluster = Cluster(
            [crd()], schedule=self.soon.append, now=lambda: self.time, version=100
        )

    def call(self, name: str = "", *, plural: tuple[str, str] = PARCELS, **query: str) -> Call:
        group, resource = plural
        found = self.cluster.registry.find(group, "v1", resource)
        assert found is not None
        return Call(
            resource=found[0],
            version=found[1],
            namespace="default" if found[0].namespaced else "",
            name=name,
            subresource="",
            query=query,
            agent="tester",
        )

    def create(self, name: str, *, owners: list[Json] | None = None, **metadata: Any) -> str:
        """Create a parcel; return its uid."""
        meta = {**metadata, "ownerReferences": owners} if owners else metadata
        outcome = self.cluster.writer.create(self.call(), parcel(name, metadata=meta), [])
        return outcome.entry.uid

    def delete(self, name: str, **options: Any) -> Outcome:
        return self.cluster.writer.delete(self.call(name), options)

    def settle(self) -> None:
        """Do the background work until there is none."""
        while self.soon:
            self.soon.pop(0)()

    def names(self) -> list[str]:
        return [entry.name for entry in self.cluster.store.entries(PARCELS)]


def _owner(name: str, uid: str, **more: Any) -> Json:
    return {"apiVersion": "shop.example/v1", "kind": "Parcel", "name": name, "uid": uid, **more}


@pytest.fixture
def world() -> World:
    return World()


def test_versions_begin_above_those_of_a_former_life() -> None:
    earlier = clusters.first_version(datetime(2026, 3, 1, tzinfo=UTC))
    later = clusters.first_version(datetime(2026, 3, 1, 0, 0, 10, tzinfo=UTC))

    assert later - earlier == 10_000


def test_the_past_can_be_read_as_far_as_the_history_goes(world: World) -> None:
    world.create("a")
    then = world.cluster.store.version
    world.create("b")
    world.delete("a")
    topic = world.cluster.store.topic(PARCELS)

    past = topic.at(then)

    assert past is not None
    assert [entry.name for entry in past] == ["a"]
    assert topic.at(99) is None


def test_the_history_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "HISTORY_LIMIT_COUNT", 3)
    start = world.cluster.store.version
    for name in "abcde":
        world.create(name)
    topic = world.cluster.store.topic(PARCELS)

    assert topic.since(start) is None
    recent = topic.since(start + 2)
    assert recent is not None
    assert [event.entry.name for event in recent] == ["c", "d", "e"]


def test_too_many_and_too_large_objects_are_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "OBJECT_LIMIT_COUNT", 1)
    monkeypatch.setattr(stores, "OBJECT_LIMIT_BYTES", 2_000)
    world.create("a")

    with pytest.raises(Refusal) as many:
        world.create("b")
    with pytest.raises(Refusal) as large:
        world.create("c", annotations={"a": "x" * 2_000})

    assert (many.value.code, large.value.code) == (500, 500)
    assert large.value.message == "etcdserver: request is too large"


def test_children_go_when_their_last_owner_goes(world: World) -> None:
    one, two = world.create("one"), world.create("two")
    world.create("child", owners=[_owner("one", one), _owner("two", two)])
    world.delete("one")
    world.settle()
    kept = world.names()
    world.delete("two")
    world.settle()

    assert kept == ["child", "two"]
    assert world.names() == []


def test_a_child_of_an_owner_that_never_was_goes_too(world: World) -> None:
    world.create("child", owners=[_owner("ghost", "no-such-uid")])

    world.settle()

    assert world.names() == []


def test_orphans_lose_their_reference_and_stay(world: World) -> None:
    uid = world.create("owner")
    world.create("child", owners=[_owner("owner", uid)])

    world.delete("owner", propagationPolicy="Orphan")
    world.settle()

    assert world.names() == ["child"]
    child = world.cluster.store.get(PARCELS, "default", "child")
    assert child is not None
    assert "ownerReferences" not in child.body["metadata"]


def test_in_the_foreground_an_owner_waits_for_its_children(world: World) -> None:
    uid = world.create("owner")
    world.create("child", owners=[_owner("owner", uid)], finalizers=["a.b/c"])

    held = world.delete("owner", propagationPolicy="Foreground")
    world.settle()
    waiting = world.names()
    child = world.call("child")
    nothing = {"metadata": {"finalizers": None}}
    world.cluster.writer.patch(child, "application/merge-patch+json", nothing)
    world.settle()

    assert not held.gone
    assert waiting == ["child", "owner"]
    assert world.names() == []


def test_two_controlling_owners_are_refused(world: World) -> None:
    owners = [_owner(name, name, controller=True) for name in ("a", "b")]

    with pytest.raises(Refusal, match="Only one reference can have Controller set to true"):
        world.create("child", owners=owners)


def test_a_namespace_that_is_going_takes_no_new_objects(world: World) -> None:
    world.create("held", finalizers=["a.b/c"])
    namespaces = world.call("default", plural=("", "namespaces"))

    world.cluster.writer.delete(namespaces, {})

    with pytest.raises(Refusal) as caught:
        world.create("new")
    assert caught.value.code == 403
    assert caught.value.details["causes"][0]["reason"] == "NamespaceTerminating"
    nothing = {"metadata": {"finalizers": None}}
    world.cluster.writer.patch(world.call("held"), "application/merge-patch+json", nothing)
    world.settle()
    assert world.cluster.store.get(("", "namespaces"), "", "default") is None


def test_a_definition_waits_for_its_last_object(world: World) -> None:
    world.create("held", finalizers=["a.b/c"])
    definition = world.call(
        "parcels.shop.example", plural=("apiextensions.k8s.io", "customresourcedefinitions")
    )
    held = world.call("held")

    outcome = world.cluster.writer.delete(definition, {})
    served_meanwhile = world.cluster.registry.find("shop.example", "v1", "parcels")
    nothing = {"metadata": {"finalizers": None}}
    world.cluster.writer.patch(held, "application/merge-patch+json", nothing)
    world.settle()

    assert not outcome.gone
    assert served_meanwhile is not None
    assert world.cluster.registry.find("shop.example", "v1", "parcels") is None


def test_events_are_forgotten_after_an_hour(world: World) -> None:
    event = {"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}}
    world.cluster.writer.create(world.call(plural=("", "events")), event, [])

    world.time += timedelta(minutes=59)
    world.cluster.forget_old_events()
    kept = len(world.cluster.store.entries(("", "events")))
    world.time += timedelta(minutes=2)
    world.cluster.forget_old_events()

    assert kept == 1
    assert world.cluster.store.entries(("", "events")) == []


def test_a_crd_that_cannot_be_served_stops_the_start() -> None:
    broken = crd()
    broken["spec"]["versions"][0]["additionalPrinterColumns"][0]["jsonPath"] = ".a[1:2]"

    with pytest.raises(errors.BadManifest, match=r"parcels\.shop\.example"):
        Cluster([broken], schedule=lambda _: None)
