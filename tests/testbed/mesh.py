"""A scene of a mesh: a namespace with a sample service, its caller's Envoy, and load."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from rollout.sandbox.processes import Command, Process, Processes
from rollout.sandbox.stage_ground import own_network
from rollout.sandbox.stage_objects import PORT, Cast
from tests.testbed import meshobjects, proxy
from tests.testbed.bed import Bed, bed
from tests.testbed.istio import until
from tests.testbed.meshobjects import Manifest
from tests.testbed.proxy import Proxy

MERGE_PATCH = "application/merge-patch+json"

OVER_SECONDS_MAX = 120.0
"""No run of a test takes longer."""

OVER = frozenset({"Stable", "RolledBack"})
"""Phases in which no run is under way."""


@dataclass(slots=True, kw_only=True)
class Mesh:
    """A scene that is up.

    Attributes:
        processes: end with the scene.
        workloads: by version; each is a process of its own.
    """

    bed: Bed
    cast: Cast
    folder: Path
    processes: Processes
    workloads: dict[str, Process] = field(default_factory=dict)
    sidecar: Proxy | None = None

    @property
    def host(self) -> str:
        """The service's full name."""
        return f"{self.cast.service}.{self.cast.namespace}.svc.cluster.local"

    @property
    def service_url(self) -> str:
        """Where the caller's Envoy listens for the service."""
        return f"http://{self.cast.cluster_ip}:{PORT}/"

    def path(self, plural: str, name: str | None = None, *, group: str = meshobjects.ISTIO) -> str:
        """Of an object of this namespace; without a name: that of the service."""
        root = f"/apis/{group}/namespaces/{self.cast.namespace}/{plural}"
        return root if name == "" else f"{root}/{name or self.cast.service}"

    async def get(self, plural: str, name: str | None = None) -> Manifest:
        """An object of Istio's."""
        return await self.bed.client.call("GET", self.path(plural, name))

    async def patch(self, plural: str, body: Manifest, name: str | None = None) -> Manifest:
        """Merge a patch into an object of Istio's."""
        path = self.path(plural, name)
        return await self.bed.client.call("PATCH", path, body=body, content_type=MERGE_PATCH)

    async def create(self, kind: str, name: str, **spec: Any) -> Manifest:
        """Create an object of Istio's."""
        return await self.bed.create(meshobjects.istio_object(self.cast, kind, name, **spec))

    async def start(self, command: Command) -> Process:
        """Start a process that ends with the scene."""
        return await self.processes.start(command)

    # The Rollout.

    async def put_on(self, *steps: Manifest, **spec: Any) -> None:
        """Create the Rollout at the first version; it returns when the service is taken over."""
        await self.bed.create(meshobjects.rollout(self.cast, *steps, **spec))
        await self.until(lambda s: bool(s.get("stableRevision")))

    async def want(self, revision: str) -> None:
        """Change ``spec.revision``."""
        path = self.path("rollouts", group=meshobjects.OURS)
        body = {"spec": {"revision": revision}}
        await self.bed.client.call("PATCH", path, body=body, content_type=MERGE_PATCH)

    async def tell(self, verb: str) -> None:
        """Command the run in progress."""
        run = (await self.status())["run"]["id"]
        await self.bed.create(meshobjects.action(self.cast, verb, run=run))

    async def remove_rollout(self) -> None:
        """Delete it; it returns when it is gone."""
        path = self.path("rollouts", group=meshobjects.OURS)
        await self.bed.client.call("DELETE", path)

        async def is_gone() -> bool:
            found, _ = await self.bed.client.list(self.path("rollouts", "", group=meshobjects.OURS))
            return not found

        await until(is_gone, what="the end of a deleted Rollout")

    async def status(self) -> Manifest:
        """Of the Rollout."""
        path = self.path("rollouts", group=meshobjects.OURS)
        found = await self.bed.client.call("GET", path)
        status: Manifest = found.get("status") or {}
        return status

    async def until(
        self, is_so: Callable[[Manifest], bool], *, seconds: float = OVER_SECONDS_MAX
    ) -> Manifest:
        """The Rollout's status when it is so; `AssertionError` with the last one when never."""
        status: Manifest = {}
        try:
            async with asyncio.timeout(seconds):
                while not is_so(status := await self.status()):  # noqa: ASYNC110 - as people do
                    await asyncio.sleep(0.02)
        except TimeoutError:
            run = status.get("run") or {}
            told = {key: status.get(key) for key in ("phase", "message")}
            pytest.fail(f"{told} {run.get('weight')} {run.get('gates')}")
        return status

    async def until_at(self, weight: float) -> Manifest:
        """The status when the run has written this weight."""
        return await self.until(lambda s: (s.get("run") or {}).get("weight") == weight)

    async def until_step(self, step: int) -> Manifest:
        """The status when the run is at a step, counted from 1."""
        return await self.until(lambda s: (s.get("run") or {}).get("step") == step)

    async def until_over(self) -> Manifest:
        """The status when the run is over."""

        def is_over(status: Manifest) -> bool:
            return status["phase"] in OVER and bool((status.get("run") or {}).get("endedAt"))

        return await self.until(is_over)

    # What traffic does.

    async def dial(self, version: str, **dials: object) -> None:
        """Turn a version's dials, such as ``errorPercent``."""
        url = f"http://127.0.0.1:{self.workloads[version].port}/dials"
        async with self.bed.session.put(url, data=orjson.dumps(dials)) as answer:
            assert answer.status == 200, await answer.text()

    async def set_weights(self, **weights: int) -> None:
        """Write weights in percent, by version, into the VirtualService."""
        await self.patch("virtualservices", {"spec": {"http": self.routes(**weights)}})

    def routes(self, **weights: int) -> list[Manifest]:
        """The `http` part of the VirtualService that sends each version so many percent."""
        return meshobjects.routes(self.cast, weights)

    async def answered(self, version: str) -> int:
        """How many requests a version has answered, copies included."""
        url = f"http://127.0.0.1:{self.workloads[version].port}/answered"
        async with self.bed.session.get(url) as answer:
            counts: dict[str, int] = orjson.loads(await answer.read())
        return counts[version]

    async def weights(self) -> dict[str, int]:
        """The weights, by version, that the caller's Envoy holds; versions without are left out.

        Empty until it has a route to the service.
        """
        return await self.weights_of(f"{self.host}:{PORT}")

    async def written_weights(self) -> dict[str, int]:
        """The weights, by version, of the last route in the VirtualService of the service."""
        spec = (await self.get("virtualservices"))["spec"]
        legs = (spec.get("http") or spec.get("tcp") or spec["tls"])[-1]["route"]
        return {leg["destination"]["subset"]: int(leg.get("weight", 0)) for leg in legs}

    async def weights_of(self, virtual_host: str, at: Proxy | None = None) -> dict[str, int]:
        """As `weights`, for another virtual host, or at another Envoy than the caller's."""
        place = at or self.sidecar
        assert place is not None
        found = await place.routes(self.bed.session, virtual_host)
        return _weights(found[-1]["route"]) if found else {}

    async def until_weights(self, **weights: int) -> None:
        """Return when Envoy holds these weights. Raises `CannotStart` when it never does."""
        wanted = {version: weight for version, weight in weights.items() if weight}

        async def are_held() -> bool:
            return await self.weights() == wanted

        await until(are_held, what=f"weights {wanted} in Envoy")

    async def ask(self, **headers: str) -> tuple[int, str]:
        """Send one request through Envoy; its status, and the version that answered."""
        sent = {"Host": self.cast.service, **headers}
        async with self.bed.session.get(self.service_url, headers=sent) as answer:
            await answer.read()
            return answer.status, answer.headers.get("x-version", "")

    async def start_load(
        self, *, rps: float, url: str = "", host: str = "", headers: tuple[str, ...] = ()
    ) -> Load:
        """Send ``rps`` requests a second, 0 to 2000, whatever the answers do, until the end."""
        options = ["--rps", str(rps), "--host", host or self.cast.service]
        options += [word for header in headers for word in ("--header", header)]
        name = f"load-{self.cast.namespace}-{len(self.processes.table)}"
        command = _python("load", name, "--url", url or self.service_url, *options)
        return Load(process=await self.start(command), session=self.bed.session)

    async def add_proxy(
        self, name: str, *, kind: str, labels: dict[str, str], namespace: str = ""
    ) -> Proxy:
        """Start one more Envoy of this namespace, or of another, scraped like the others."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        found = await proxy.start(
            self.processes,
            folder,
            who=proxy.Who(
                kind=kind, name=name, namespace=namespace or self.cast.namespace, labels=labels
            ),
            istiod=self.bed.istiod,
            probe=self.bed.probe,
        )
        address = found.admin_url.removeprefix("http://")
        self.bed.metrics.scrape(
            name, address=address, namespace=self.cast.namespace, host=self.host
        )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A process that asks, and counts the answers."""

    process: Process
    session: aiohttp.ClientSession

    async def counters(self) -> dict[str, Any]:
        """``answers`` by version and code, ``flags``, ``outcomes`` without answer, ``sent``."""
        url = f"http://127.0.0.1:{self.process.port}/counters?seconds=0"
        async with self.session.get(url) as answer:
            read: dict[str, Any] = orjson.loads(await answer.read())
            return read

    async def answers(self) -> dict[str, int]:
        """How often each version has answered 200; everything else counts as ``failed``."""
        counters = await self.counters()
        counts: dict[str, int] = {"failed": sum(counters["outcomes"].values())}
        for version, codes in counters["answers"].items():
            for code, count in codes.items():
                name = version if code == "200" else "failed"
                counts[name] = counts.get(name, 0) + count
        return counts

    async def stop(self) -> None:
        """Send nothing more; returns when all that was sent is answered or given up."""
        url = f"http://127.0.0.1:{self.process.port}/rate"
        async with self.session.put(url, data=b'{"rps": 0}') as answer:
            assert answer.status == 200

        async def is_quiet() -> bool:
            return bool((await self.counters())["inFlight"] == 0)

        await until(is_quiet, what="the last answers")


@contextlib.asynccontextmanager
async def scene(on: Bed, cast: Cast) -> AsyncIterator[Mesh]:
    """A namespace with the sample service; leaving the context ends its processes.

    Raises:
        CannotStart: something did not come up; says what and why.
    """
    with own_network(cast) as own:
        folder = on.plane.folder / own.namespace
        try:
            async with Processes(folder / "logs") as processes:
                world = Mesh(bed=on, cast=own, folder=folder, processes=processes)
                await _bring_up(world)
                yield world
        finally:
            on.metrics.forget(own.namespace)
            with contextlib.suppress(Exception):  # what a failed test leaves is not its report
                path = f"/apis/{meshobjects.OURS}/namespaces/{own.namespace}/rollouts"
                await on.client.call("DELETE", path)


async def _bring_up(world: Mesh) -> None:
    cast = world.cast
    await world.bed.create(meshobjects.namespace(cast.namespace))
    for item in meshobjects.objects(cast):
        await world.bed.create(item)
    for version in cast.versions:
        places = [
            f"--version={name}={address}:{PORT}"
            for name, address in cast.places()
            if name == version
        ]
        name = f"{cast.namespace}-{version}"
        command = _python("workload", name, "--name", cast.service, *places)
        world.workloads[version] = await world.start(command)
    world.sidecar = await world.add_proxy("client", kind="sidecar", labels={"app": proxy.APP})
    await until(lambda: _serves(world), what="the sample service")


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


def _python(module: str, name: str, *arguments: str) -> Command:
    argv = [sys.executable, "-m", f"rollout.sandbox.{module}", *arguments]
    return Command(name=name, argv=argv)


async def _keep(folder: Path) -> None:
    start = time.monotonic()
    async with bed(folder) as on, scene(on, Cast()) as world:
        assert world.sidecar is not None
        print(f"up in {time.monotonic() - start:.1f} s")  # noqa: T201 - for people
        print(f"export KUBECONFIG={on.plane.kubeconfig()}")  # noqa: T201
        print(f"service    {world.service_url}")  # noqa: T201
        print(f"envoy      {world.sidecar.admin_url}")  # noqa: T201
        print(f"prometheus {on.metrics.url}")  # noqa: T201
        print(f"istiod     {on.istiod.url}/debug", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_keep(Path(sys.argv[1])))
