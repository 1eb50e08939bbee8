"""All replicas of a Service are found, and who may not list them asks the resolver."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rollout.api.meta import ENDPOINT_SLICE, Manifest
from rollout.wiring.replicas import KEPT_SECONDS, Replicas, service_of
from tests.world.clock import FakeClock
from tests.world.cluster import FakeCluster

HOST = "istiod.istio-system"


def piece(*endpoints: dict[str, Any], service: str = "istiod", name: str = "") -> Manifest:
    return {
        "metadata": {
            "name": name or f"{service}-1",
            "namespace": "istio-system",
            "labels": {"kubernetes.io/service-name": service},
        },
        "endpoints": list(endpoints),
    }


def world(*pieces: Manifest) -> tuple[Replicas, FakeCluster]:
    clock = FakeClock()
    cluster = FakeCluster(clock)
    for one in pieces:
        cluster.put(ENDPOINT_SLICE, one)
    return Replicas(cluster, clock), cluster


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("istiod.istio-system", "istio-system/istiod"),
        ("istiod.istio-system.svc", "istio-system/istiod"),
        ("istiod-canary.mesh.svc.cluster.local", "mesh/istiod-canary"),
        ("istiod", "None"),
        ("10.0.0.7", "None"),
        ("istiod.example.com", "None"),
        ("::1", "None"),
    ],
)
def test_hosts_of_services_are_told_from_others(host: str, service: str) -> None:
    assert str(service_of(host)) == service


@pytest.mark.looptime(noop_cycles=1)
async def test_every_replica_that_serves_is_found_also_one_about_to_end() -> None:
    replicas, _ = world(
        piece({"addresses": ["10.0.0.1"], "conditions": {"ready": True}}, {"addresses": None}),
        piece({"addresses": ["10.0.0.2"], "conditions": {"ready": False}}, name="istiod-2"),
        piece(
            {"addresses": ["10.0.0.3"], "conditions": {"ready": False, "serving": True}},
            {"addresses": ["10.0.0.4"]},
            name="istiod-3",
        ),
        piece({"addresses": ["10.0.0.9"]}, service="istio-ingress"),
    )

    assert await replicas(HOST) == ["10.0.0.1", "10.0.0.3", "10.0.0.4"]


@pytest.mark.looptime(noop_cycles=1)
async def test_a_new_replica_is_found_within_seconds_and_not_by_a_list_for_each_look() -> None:
    replicas, cluster = world(piece({"addresses": ["10.0.0.1"]}))
    assert await replicas(HOST) == ["10.0.0.1"]
    cluster.put(ENDPOINT_SLICE, piece({"addresses": ["10.0.0.2"]}, name="istiod-2"))

    assert await replicas(HOST) == ["10.0.0.1"]
    await asyncio.sleep(KEPT_SECONDS)
    assert await replicas(HOST) == ["10.0.0.1", "10.0.0.2"]


async def test_what_is_no_service_is_left_to_the_resolver() -> None:
    replicas, _ = world()

    assert await replicas("127.0.0.1") == ["127.0.0.1"]
    assert "127.0.0.1" in await replicas("localhost")


async def test_a_service_without_endpoints_or_rights_to_see_them_is_too() -> None:
    replicas, _ = world()

    with pytest.raises(OSError, match=r".+"):
        await replicas("istiod.invalid")
