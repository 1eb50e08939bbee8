"""A real mesh, up and down: etcd, kube-apiserver, istiod, an Envoy, workloads and load."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from rollout.sandbox.kubeclient import KubeClient, access_from
from rollout.sandbox.processes import Command, Process, Processes
from rollout.sandbox.stage_ground import own_network
from rollout.sandbox.stage_objects import PORT, Cast, collection
from tests.testbed import istio, meshobjects, sidecar
from tests.testbed.controlplane import ControlPlane, control_plane
from tests.testbed.istio import Istiod, until
from tests.testbed.meshobjects import Manifest
from tests.testbed.sidecar import Sidecar

ASK_SECONDS_MAX = 5.0
"""For one look at a page on loopback."""

MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """A mesh that is up.

    Attributes:
        client: of the API server, as its admin.
        session: for everything else on loopback.
    """

    cast: Cast
    plane: ControlPlane
    client: KubeClient
    istiod: Istiod
    proxy: Sidecar
    session: aiohttp.ClientSession
    processes: Processes

    @property
    def host(self) -> str:
        """The service's full name."""
        return f"{self.cast.service}.{self.cast.namespace}.svc.cluster.local"

    @property
    def service_url(self) -> str:
        """Where Envoy listens for the service."""
        return f"http://{self.cast.cluster_ip}:{PORT}/"

    async def set_weights(self, **weights: int) -> None:
        """Write weights in percent, by version, into the VirtualService."""
        body = {"spec": {"http": meshobjects.routes(self.cast, weights)}}
        root = f"/apis/{meshobjects.ISTIO}/namespaces/{self.cast.namespace}/virtualservices"
        path = f"{root}/{self.cast.service}"
        await self.client.call("PATCH", path, body=body, content_type=MERGE_PATCH)

    async def weights(self) -> dict[str, int]:
        """The weights in percent, by version, that Envoy holds now; versions without are left out.

        Empty until it has a route to the service.
        """
        url = f"{self.proxy.admin_url}/config_dump?resource=dynamic_route_configs"
        async with self.session.get(url) as answer:
            dump = orjson.loads(await answer.read())
        for config in dump.get("configs", ()):
            for place in config["route_config"].get("virtual_hosts", ()):
                if place["name"] == f"{self.host}:{PORT}":
                    return _weights(place["routes"][0]["route"])
        return {}

    async def until_weights(self, **weights: int) -> None:
        """Return when Envoy holds these weights. Raises `CannotStart` when it never does."""
        wanted = {version: weight for version, weight in weights.items() if weight}

        async def are_held() -> bool:
            return await self.weights() == wanted

        await until(are_held, what=f"weights {wanted} in Envoy")

    async def ask(self) -> tuple[int, str]:
        """Send one request through Envoy; its status, and the version that answered."""
        headers = {"Host": self.cast.service}
        async with self.session.get(self.service_url, headers=headers) as answer:
            await answer.read()
            return answer.status, answer.headers.get("x-version", "")

    async def start_load(self, *, rps: float, seed: int = 1) -> Load:
        """Send ``rps`` requests a second, 0 to 2000, whatever the answers do, until the end."""
        options = ["--rps", str(rps), "--seed", str(seed), "--host", self.cast.service]
        command = _python("load", "--url", self.service_url, *options)
        return Load(process=await self.processes.start(command), session=self.session)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A process that asks, and counts the answers."""

    process: Process
    session: aiohttp.ClientSession

    async def answers(self) -> dict[str, int]:
        """How often each version has answered 200; everything else counts as ``failed``."""
        counters = await self._read()
        counts: dict[str, int] = {"failed": sum(counters["outcomes"].values())}
        for version, codes in counters["answers"].items():
            for code, count in codes.items():
                name = version if code == "200" else "failed"
                counts[name] = counts.get(name, 0) + count
        return counts

    async def until_sent(self, count: int) -> dict[str, int]:
        """Return when ``count`` more requests have been answered: how, each as in `answers`."""
        before = await self.answers()

        async def are_answered() -> bool:
            return sum((await self.answers()).values()) >= sum(before.values()) + count

        await until(are_answered, what=f"{count} answers")
        after = await self.answers()
        return {name: after[name] - before.get(name, 0) for name in after}

    async def _read(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.process.port}/counters?seconds=0"
        async with self.session.get(url) as answer:
            read: dict[str, Any] = orjson.loads(await answer.read())
            return read


@contextlib.asynccontextmanager
async def mesh(folder: Path, cast: Cast | None = None) -> AsyncIterator[Mesh]:
    """Bring a mesh up under ``folder``; leaving the context ends every process.

    Raises:
        CannotStart: something is not installed or did not come up; says what and why.
    """
    timeout = aiohttp.ClientTimeout(total=ASK_SECONDS_MAX)
    with own_network(cast or Cast()) as own:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            control_plane(folder) as plane,
            KubeClient(access_from(plane.kubeconfig())) as client,
            Processes(folder / "mesh-logs") as processes,
        ):
            yield await _bring_up(own, plane, client, session, processes)


async def _bring_up(
    cast: Cast,
    plane: ControlPlane,
    client: KubeClient,
    session: aiohttp.ClientSession,
    processes: Processes,
) -> Mesh:
    async def probe(url: str) -> bool:
        try:
            async with session.get(url) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def create(item: Manifest) -> None:
        await client.call("POST", collection(item), body=item)

    for name in (istio.ROOT_NAMESPACE, cast.namespace):
        await create(meshobjects.namespace(name))
    await istio.install_crds(client)
    istiod = await istio.start(processes, plane, client=client, probe=probe)
    for item in meshobjects.objects(cast):
        await create(item)
    places = [f"--version={name}={address}:{PORT}" for name, address in cast.places()]
    await processes.start(_python("workload", "--name", cast.service, *places))
    place = plane.folder / "envoy"
    place.mkdir()
    proxy = await sidecar.start(
        processes, place, istiod=istiod, namespace=cast.namespace, probe=probe
    )
    world = Mesh(
        cast=cast,
        plane=plane,
        client=client,
        istiod=istiod,
        proxy=proxy,
        session=session,
        processes=processes,
    )
    await until(lambda: _serves(world), what="the sample service")
    return world


async def _serves(world: Mesh) -> bool:
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        return await world.ask() == (200, world.cast.versions[0])
    return False


def _weights(action: dict[str, Any]) -> dict[str, int]:
    if "cluster" in action:
        return {_subset(action["cluster"]): 100}
    clusters = action["weighted_clusters"]["clusters"]
    return {_subset(one["name"]): one["weight"] for one in clusters if one.get("weight")}


def _subset(cluster: str) -> str:
    """The third part of ``outbound|9080|v2|reviews.shop.svc.cluster.local``."""
    return cluster.split("|")[2]


def _python(module: str, *arguments: str) -> Command:
    argv = [sys.executable, "-m", f"rollout.sandbox.{module}", *arguments]
    return Command(name=module, argv=argv)


async def _keep(folder: Path) -> None:
    async with mesh(folder) as world:
        print(f"export KUBECONFIG={world.plane.kubeconfig()}")  # noqa: T201 - for people
        print(f"service {world.service_url}")  # noqa: T201
        print(f"envoy   {world.proxy.admin_url}")  # noqa: T201
        print(f"istiod  {world.istiod.url}/debug", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_keep(Path(sys.argv[1])))
