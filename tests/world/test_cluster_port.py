"""What a ports.Cluster does: the fake, and the real adapter on the sandbox's API server, alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from rollout.adapters import kubernetes
from rollout.api.crd import crds
from rollout.api.meta import LEASE, POD, ROLLOUT, VIRTUAL_SERVICE, Key, Kind, Manifest
from rollout.base import errors
from rollout.ports import Cluster, WatchEvent
from rollout.sandbox.apiserver import serve
from tests.world.clock import FakeClock
from tests.world.cluster import FakeCluster

KEY = Key("shop", "checkout")
WHOLE_POD = Kind(group="", version="v1", plural="pods", kind="Pod")


@pytest.fixture(params=["fake", "real"])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    if request.param == "fake":
        fake = FakeCluster(FakeClock())
        fake.uninstall(VIRTUAL_SERVICE)
        yield fake
        return
    async with serve(crds()) as server:
        (tmp_path / "kubeconfig").write_text(server.kubeconfig_text())
        real = await kubernetes.connect(tmp_path / "kubeconfig")
        try:
            yield real
        finally:
            await real.close()


def rollout(revision: str = "v1", **metadata: Any) -> Manifest:
    named = {"namespace": "shop", "name": "checkout", **metadata}
    steps = [{"weight": 100}]
    spec = {"host": "checkout", "revision": revision, "strategy": {"steps": steps}}
    return {"metadata": named, "spec": spec}


def version_of(manifest: Manifest) -> str:
    return str(manifest["metadata"]["resourceVersion"])


async def told(cluster: Cluster, kind: Kind, since: str, count: int) -> list[WatchEvent]:
    """The first events after a version, bookmarks aside."""
    seen: list[WatchEvent] = []
    async with asyncio.timeout(5), aclosing(cluster.watch(kind, resource_version=since)) as stream:
        async for event in stream:
            if event.type != "BOOKMARK":
                seen.append(event)
            if len(seen) == count:
                break
    return seen


async def test_a_new_object_has_a_uid_a_version_and_generation_1_and_no_status(
    cluster: Cluster,
) -> None:
    born = (await cluster.create(ROLLOUT, rollout() | {"status": {"message": "no"}})).object

    assert born["metadata"]["generation"] == 1
    assert born["metadata"]["uid"]
    assert int(version_of(born)) > 0
    assert "status" not in born
    assert (born["kind"], born["apiVersion"]) == ("Rollout", "rollout.dev/v1alpha1")


async def test_creating_twice_is_a_conflict(cluster: Cluster) -> None:
    await cluster.create(ROLLOUT, rollout())

    with pytest.raises(errors.Conflict):
        await cluster.create(ROLLOUT, rollout())


async def test_a_dry_run_is_answered_as_if_it_were_done_and_leaves_nothing(
    cluster: Cluster,
) -> None:
    tried = (await cluster.create(ROLLOUT, rollout(), dry_run=True)).object
    with pytest.raises(errors.NotFound):
        await cluster.get(ROLLOUT, KEY)
    await cluster.create(ROLLOUT, rollout())
    patched = await cluster.patch(ROLLOUT, KEY, {"spec": {"revision": "v2"}}, dry_run=True)

    assert tried["spec"]["revision"] == "v1"
    assert patched.object["spec"]["revision"] == "v2"
    assert (await cluster.get(ROLLOUT, KEY))["spec"]["revision"] == "v1"


async def test_spec_and_status_go_through_doors_of_their_own(cluster: Cluster) -> None:
    await cluster.create(ROLLOUT, rollout())
    both: Manifest = {"spec": {"revision": "v2"}, "status": {"message": "through the front"}}
    await cluster.patch(ROLLOUT, KEY, both)
    both = {"spec": {"revision": "v3"}, "status": {"message": "through the side"}}
    await cluster.patch(ROLLOUT, KEY, both, subresource="status")

    found = await cluster.get(ROLLOUT, KEY)

    assert found["spec"]["revision"] == "v2"
    assert found["status"]["message"] == "through the side"
    assert found["metadata"]["generation"] == 2


async def test_the_side_door_drops_finalizers_and_labels(cluster: Cluster) -> None:
    await cluster.create(ROLLOUT, rollout())
    patch = {"metadata": {"finalizers": ["a/b"], "labels": {"a": "b"}}, "status": {"message": "x"}}

    await cluster.patch(ROLLOUT, KEY, patch, subresource="status")

    found = await cluster.get(ROLLOUT, KEY)
    assert "finalizers" not in found["metadata"]
    assert "labels" not in found["metadata"]


async def test_a_version_in_a_patch_is_a_precondition(cluster: Cluster) -> None:
    born = (await cluster.create(ROLLOUT, rollout())).object
    await cluster.patch(ROLLOUT, KEY, {"spec": {"revision": "v2"}})
    stale = {"op": "replace", "path": "/metadata/resourceVersion", "value": version_of(born)}
    change = {"op": "replace", "path": "/spec/revision", "value": "v3"}

    with pytest.raises(errors.Conflict):
        await cluster.patch(ROLLOUT, KEY, [stale, change])
    with pytest.raises(errors.Conflict):
        await cluster.patch(
            ROLLOUT,
            KEY,
            {"metadata": {"resourceVersion": version_of(born)}, "status": {"message": "x"}},
            subresource="status",
        )

    assert (await cluster.get(ROLLOUT, KEY))["spec"]["revision"] == "v2"


@pytest.mark.parametrize(
    "step",
    [
        {"op": "test", "path": "/spec/revision", "value": "v9"},
        {"op": "remove", "path": "/spec/nothing"},
        {"op": "replace", "path": "/spec/a/b/c", "value": 1},
    ],
    ids=lambda step: step["op"],
)
async def test_a_json_patch_that_cannot_be_applied_is_denied(
    cluster: Cluster, step: Manifest
) -> None:
    await cluster.create(ROLLOUT, rollout())

    with pytest.raises(errors.Denied) as caught:
        await cluster.patch(ROLLOUT, KEY, [step])

    assert caught.value.status_code == 422


async def test_a_merge_patch_removes_what_is_null(cluster: Cluster) -> None:
    await cluster.create(ROLLOUT, rollout(labels={"a": "1", "b": "2"}))

    written = await cluster.patch(ROLLOUT, KEY, {"metadata": {"labels": {"a": None}}})

    assert written.object["metadata"]["labels"] == {"b": "2"}


async def test_replacing_needs_a_version_and_the_present_one(cluster: Cluster) -> None:
    lease: Manifest = {"metadata": {"namespace": "shop", "name": "checkout"}, "spec": {}}
    born = (await cluster.create(LEASE, lease)).object
    born["spec"] = {"holderIdentity": "a", "leaseDurationSeconds": 15}
    now = (await cluster.replace(LEASE, born)).object

    with pytest.raises(errors.Conflict):
        await cluster.replace(LEASE, born)
    with pytest.raises(errors.Denied):
        await cluster.replace(LEASE, lease)

    assert now["spec"]["holderIdentity"] == "a"


async def test_a_write_that_changes_nothing_makes_no_version_and_no_event(
    cluster: Cluster,
) -> None:
    born = (await cluster.create(ROLLOUT, rollout())).object
    again = (await cluster.patch(ROLLOUT, KEY, {"spec": {"revision": "v1"}})).object
    await cluster.patch(ROLLOUT, KEY, {"spec": {"revision": "v2"}})

    events = await told(cluster, ROLLOUT, version_of(born), 1)

    assert version_of(again) == version_of(born)
    assert events[0].object["spec"]["revision"] == "v2"


async def test_a_finalizer_holds_an_object_which_then_goes_with_an_event(cluster: Cluster) -> None:
    await cluster.create(ROLLOUT, rollout(finalizers=["rollout.dev/traffic"]))
    start = (await cluster.list(ROLLOUT)).resource_version

    await cluster.delete(ROLLOUT, KEY)
    held = await cluster.get(ROLLOUT, KEY)
    await cluster.patch(ROLLOUT, KEY, {"metadata": {"finalizers": None}})
    events = await told(cluster, ROLLOUT, start, 2)

    assert held["metadata"]["deletionTimestamp"]
    assert held["metadata"]["generation"] == 2
    assert [event.type for event in events] == ["MODIFIED", "DELETED"]
    assert int(version_of(events[1].object)) > int(version_of(held))
    with pytest.raises(errors.NotFound):
        await cluster.get(ROLLOUT, KEY)


async def test_a_watch_goes_on_where_a_list_ended_and_sees_one_namespace(cluster: Cluster) -> None:
    await cluster.create(ROLLOUT, rollout())
    listing = await cluster.list(ROLLOUT)
    await cluster.create(ROLLOUT, rollout(namespace="other"))
    await cluster.patch(ROLLOUT, KEY, {"spec": {"revision": "v2"}})
    await cluster.delete(ROLLOUT, KEY)

    all_of_it = await told(cluster, ROLLOUT, listing.resource_version, 3)
    stream = cluster.watch(ROLLOUT, namespace="shop", resource_version=listing.resource_version)
    first = await anext(stream)
    await stream.aclose()

    assert [event.type for event in all_of_it] == ["ADDED", "MODIFIED", "DELETED"]
    assert (first.type, first.object["spec"]["revision"]) == ("MODIFIED", "v2")
    assert len((await cluster.list(ROLLOUT, namespace="shop")).items) == 0
    assert len((await cluster.list(ROLLOUT)).items) == 1


async def test_a_watch_from_before_the_history_is_gone(cluster: Cluster) -> None:
    if isinstance(cluster, FakeCluster):
        cluster.forget_history()

    with pytest.raises(errors.Gone):
        await anext(cluster.watch(ROLLOUT, resource_version="1"))


async def test_a_kind_that_is_not_installed_is_not_found_by_any_request(cluster: Cluster) -> None:
    with pytest.raises(errors.NotFound):
        await cluster.list(VIRTUAL_SERVICE)
    with pytest.raises(errors.NotFound):
        await anext(cluster.watch(VIRTUAL_SERVICE, resource_version="1"))
    with pytest.raises(errors.NotFound):
        await cluster.create(VIRTUAL_SERVICE, {"metadata": {"namespace": "shop", "name": "a"}})


async def test_what_is_not_there_is_not_found_but_deleting_it_is_no_error(
    cluster: Cluster,
) -> None:
    with pytest.raises(errors.NotFound):
        await cluster.get(ROLLOUT, KEY)
    with pytest.raises(errors.NotFound):
        await cluster.patch(ROLLOUT, KEY, {"spec": {}})

    await cluster.delete(ROLLOUT, KEY)


async def test_of_pods_metadata_is_all_there_is(cluster: Cluster) -> None:
    metadata = {"namespace": "shop", "name": "a", "labels": {"version": "v1"}}
    spec = {"containers": [{"name": "a", "image": "a"}]}
    await cluster.create(WHOLE_POD, {"metadata": metadata, "spec": spec})

    listed = (await cluster.list(POD)).items[0]
    found = await cluster.get(POD, Key("shop", "a"))

    assert listed["metadata"]["labels"] == found["metadata"]["labels"] == {"version": "v1"}
    assert "spec" not in listed
    assert "spec" not in found


async def test_who_may_do_what_with_which_rollout_is_asked_and_answered(
    cluster: Cluster,
) -> None:
    if isinstance(cluster, FakeCluster):
        cluster.rights |= {("alice", "approve", KEY), ("managers", "abort", KEY)}

    by_name = await cluster.may(user="alice", groups=(), verb="approve", key=KEY)
    by_group = await cluster.may(user="bob", groups=["managers"], verb="abort", key=KEY)

    assert (by_name, by_group) == (True, True)


async def test_a_generated_name_is_made_of_its_beginning(cluster: Cluster) -> None:
    metadata = {"namespace": "shop", "generateName": "checkout-"}
    lease: Manifest = {"metadata": metadata, "spec": {}}

    names = [(await cluster.create(LEASE, lease)).object["metadata"]["name"] for _ in range(2)]

    assert all(name.startswith("checkout-") for name in names)
    assert len(set(names)) == 2
