"""What a rollout of gRPC and TCP services looks like in the sandbox's metrics."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from rollout.sandbox.stage import Script, Stage, stage
from rollout.sandbox.stage_objects import ISTIO, Cast, Manifest, objects

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(90),
    pytest.mark.asyncio(loop_scope="module"),
]

REQUESTS = 40


def another(cast: Cast, name: str, *, port_name: str, last: int) -> list[Manifest]:
    """A further service before the same pods, with an even split of v1 and v2."""
    service, slice_, rule = (
        next(item for item in objects(cast) if item["kind"] == kind)
        for kind in ("Service", "EndpointSlice", "DestinationRule")
    )
    address = f"{cast.network}.0.{last}"
    service["metadata"]["name"] = name
    service["spec"].update(clusterIP=address, clusterIPs=[address])
    service["spec"]["ports"][0]["name"] = port_name
    slice_["metadata"].update(name=name, labels={"kubernetes.io/service-name": name})
    slice_["ports"][0]["name"] = port_name
    rule["metadata"]["name"] = rule["spec"]["host"] = name
    legs = [{"destination": {"host": name, "subset": v}, "weight": 1} for v in ("v1", "v2")]
    meta = {"name": name, "namespace": cast.namespace}
    kind = "tcp" if port_name.startswith("tcp") else "http"
    spec = {"hosts": [name], kind: [{"route": legs}]}
    routing = {"apiVersion": ISTIO, "kind": "VirtualService", "metadata": meta, "spec": spec}
    return [service, slice_, rule, routing]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[Stage]:
    async with stage(Script(rps=0.0)) as up:
        added = [
            *another(up.cast, "talk", port_name="grpc", last=2),
            *another(up.cast, "echo", port_name="tcp", last=3),
        ]
        for item in added:
            await up.create(item)
        await up.until_scraped()
        yield up


async def raw(world: Stage, query: str, *labels: str) -> Counter[tuple[str, ...]]:
    await asyncio.sleep(2.2)
    found: Counter[tuple[str, ...]] = Counter()
    for series in await world.ask(query):
        key = tuple(series["metric"].get(label, "") for label in labels)
        found[key] += int(series["value"][1])
    return +found


async def talks_to(address: str) -> bytes:
    """The first bytes of an answer; none when the connection is ended instead."""
    reader, writer = await asyncio.open_connection(address, 9080)
    try:
        writer.write(b"GET / HTTP/1.1\r\nhost: echo\r\n\r\n")
        return await asyncio.wait_for(reader.read(15), 5)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_grpc_requests_are_counted_once_by_their_own_status(world: Stage) -> None:
    await world.dial("v1", grpcStatus=0)
    await world.dial("v2", grpcStatus=14)
    statuses: Counter[Any] = Counter()
    headers = {"content-type": "application/grpc", "host": "talk"}

    async with aiohttp.ClientSession(headers=headers) as session:
        for _ in range(REQUESTS):
            async with session.post(f"http://{world.cast.network}.0.2:9080/a.B/C") as response:
                statuses[response.headers["x-version"], response.headers["grpc-status"]] += 1

    query = 'istio_requests_total{reporter="source",destination_service_name="talk"}'
    labels = "destination_workload", "request_protocol", "response_code", "grpc_response_status"
    grown = await raw(world, query, *labels)
    assert statuses.total() == REQUESTS
    assert grown == {
        (f"talk-{version}", "grpc", "200", status): count
        for (version, status), count in statuses.items()
    }


async def test_tcp_connections_are_counted_by_version_and_refused_ones_as_uf(world: Stage) -> None:
    await world.crash("v2")

    answers = [await talks_to(f"{world.cast.network}.0.3") for _ in range(REQUESTS)]

    closed_at_once = answers.count(b"")

    query = 'istio_tcp_connections_opened_total{destination_service_name="echo"}'
    labels = "destination_workload", "request_protocol", "response_flags"
    grown = await raw(world, query, *labels)
    assert closed_at_once > 0
    assert grown == {
        ("echo-v1", "tcp", "-"): REQUESTS - closed_at_once,
        ("echo-v2", "tcp", "-"): closed_at_once,
    }
    query = 'istio_tcp_connections_closed_total{destination_service_name="echo"}'
    closed = await raw(world, query, *labels)
    assert closed["echo-v1", "tcp", "-"] == REQUESTS - closed_at_once
    assert closed["echo-v2", "tcp", "UF"] == closed_at_once
