"""The whole world in a box, up and down: ``async with stage() as world: …``.

An API server with the sample service in it, the pilot, Envoy, Prometheus, the workloads and the
load. It knows nothing of rollouts; who uses it brings CRDs and manifests. ``python -m
rollout.sandbox.stage`` keeps one up for trying things out.

Everything is on 127.0.0.0/8: each stage takes a network ``127.N`` of its own, and holds it with a
bound socket, so that several stages can live on one machine. Linux only, for that and for prctl.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from rollout.base.errors import BadInput, CannotStart, Unreachable
from rollout.sandbox import envoy, prometheus
from rollout.sandbox.kubeclient import KubeClient, access_from
from rollout.sandbox.pilot.files import write_empty
from rollout.sandbox.processes import READY_SECONDS_MAX, Command, Process, Processes
from rollout.sandbox.stage_ground import own_folder, own_network
from rollout.sandbox.stage_objects import PORT, REPLICAS_MAX, Cast, Manifest, collection, objects

DEFAULT_CACHE = Path("~/.cache/rollout")
"""Where the Prometheus binary is kept between runs, unless the caller says otherwise."""

POLL_SECONDS = 0.02
"""Between two looks whether the service answers."""

CONTROL_SECONDS_MAX = 5.0
"""For one call to a control port."""

MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What to put on.

    Attributes:
        rps: requests a second, 0 to 2000.
        seed: of the load's gaps and the workloads' errors.
        crds: files or folders of CRDs to serve besides Istio's.
        manifests: objects to create after the sample service's; applied in order.
        targets: further scrape targets, name to ``host:port``.
        cache: folder of the Prometheus binary.
        with_prometheus: False saves a second where metrics do not matter.
    """

    cast: Cast = field(default_factory=Cast)
    rps: float = 300.0
    seed: int = 1
    crds: Sequence[Path] = ()
    manifests: Sequence[Manifest] = ()
    targets: Mapping[str, str] = field(default_factory=dict)
    cache: Path = DEFAULT_CACHE
    with_prometheus: bool = True


class Stage:
    """A world that is up.

    Attributes:
        folder: a temporary one, with a log for each process; removed at the end.
        kubeconfig: for kubectl and the controller.
        client: a small client of the API server.
    """

    def __init__(
        self, script: Script, *, folder: Path, processes: Processes, session: aiohttp.ClientSession
    ) -> None:
        self.script = script
        self.cast = script.cast
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.api_url = ""
        self.client: KubeClient
        self._processes = processes
        self._session = session
        self._named: dict[str, Process] = {}

    @property
    def namespace(self) -> str:
        """Of the sample service, and of the caller."""
        return self.cast.namespace

    @property
    def service_url(self) -> str:
        """Where Envoy listens for the sample service."""
        return f"http://{self.cast.cluster_ip}:{PORT}/"

    @property
    def prometheus_url(self) -> str:
        """Without a slash at the end."""
        return f"http://127.0.0.1:{self._named['prometheus'].port}"

    @property
    def envoy_admin_url(self) -> str:
        """Without a slash at the end."""
        return f"http://{envoy.admin_address(self.folder)}"

    @property
    def processes(self) -> tuple[Process, ...]:
        """Those that run: name, pid, port, log. Envoy's port is its admin interface's."""
        return self._processes.table

    async def dial(self, version: str, **dials: object) -> None:
        """Turn dials of a version: ``errorPercent``, ``latencyMs``, ``hang``; see `workload`.

        Raises:
            BadInput: the workload refuses them; says why.
        """
        await self._control("workload", "PUT", f"/dials?version={version}", json=dials)

    async def crash(self, version: str) -> None:
        """Let a version's processes be gone; its pods still count as ready."""
        await self._control("workload", "POST", f"/crash?version={version}")

    async def revive(self, version: str) -> None:
        """Bring a crashed version back."""
        await self._control("workload", "POST", f"/revive?version={version}")

    async def counters(self, *, seconds: int = 0) -> dict[str, Any]:
        """What the load has counted, and each of the last ``seconds`` seconds; see `load`."""
        return await self._control("load", "GET", f"/counters?seconds={seconds}")

    async def set_rate(self, rps: float) -> None:
        """Requests a second from now on; 0 pauses."""
        await self._control("load", "PUT", "/rate", json={"rps": rps})

    async def create(self, item: Manifest) -> Manifest:
        """Post an object, and its status if it has one. Raises what `KubeClient.call` raises."""
        path = collection(item)
        created = await self.client.call("POST", path, body=item)
        if "status" in item and created.get("status") != item["status"]:
            path = f"{path}/{item['metadata']['name']}/status"
            body = {"status": item["status"]}
            created = await self.client.call("PATCH", path, body=body, content_type=MERGE_PATCH)
        return created

    async def set_ready(self, version: str, *, is_ready: bool) -> None:
        """Let a version's endpoints be ready or not, as a readiness probe would."""
        root = f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices"
        found, _ = await self.client.list(root)
        own = {address for name, address in self.cast.places() if name == version}
        for slice_ in found:
            for endpoint in slice_["endpoints"]:
                if own & set(endpoint["addresses"]):
                    endpoint["conditions"] = {"ready": is_ready, "serving": is_ready}
            path = f"{root}/{slice_['metadata']['name']}"
            body = {"endpoints": slice_["endpoints"]}
            await self.client.call("PATCH", path, body=body, content_type=MERGE_PATCH)

    async def ask(self, query: str) -> list[dict[str, Any]]:
        """The result of an instant query to Prometheus.

        Raises:
            Unreachable: it did not answer. BadInput: it refused the query.
        """
        url = f"{self.prometheus_url}/api/v1/query"
        answer = await self._json("prometheus", "POST", url, data={"query": query})
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    async def until_scraped(self) -> None:
        """Return when Prometheus has the first samples: it begins to scrape 5 s after its start.

        Raises:
            CannotStart: it has none after half a minute.
        """
        try:
            async with asyncio.timeout(READY_SECONDS_MAX):
                while not await self.ask('up{job="envoy"} == 1'):  # noqa: ASYNC110 - it must be asked
                    await asyncio.sleep(POLL_SECONDS * 5)
        except TimeoutError:
            why = "it has no samples of Envoy"
            raise CannotStart(prometheus.NAME, why=why) from None

    async def probe(self, url: str) -> bool:
        """Whether ``url`` answers 200 now."""
        try:
            async with self._session.get(url) as response:
                await response.read()
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def start(self, command: Command) -> Process:
        """Start a process that belongs to the stage. Raises `CannotStart`."""
        process = await self._processes.start(command)
        self._named[command.name] = process
        return process

    async def _control(
        self, name: str, method: str, path: str, *, json: object = None
    ) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self._named[name].port}{path}"
        data = None if json is None else orjson.dumps(json)
        return await self._json(name, method, url, data=data)

    async def _json(self, name: str, method: str, url: str, *, data: Any) -> dict[str, Any]:  # noqa: ANN401 - as aiohttp takes it
        try:
            async with self._session.request(method, url, data=data) as response:
                answer: dict[str, Any] = await response.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(name, why=str(error) or type(error).__name__) from error
        if response.status >= 400:
            raise BadInput(answer.get("error", f"{name} answered {response.status}"))
        return answer


@contextlib.asynccontextmanager
async def stage(script: Script | None = None) -> AsyncIterator[Stage]:
    """Bring a world up; leaving the context ends every process and removes the folder.

    Raises:
        CannotStart: something is not installed or did not come up; says what and why.
    """
    script = script or Script()
    assert 1 <= script.cast.replicas <= REPLICAS_MAX
    with contextlib.ExitStack() as held:
        cast = held.enter_context(own_network(script.cast))
        folder = held.enter_context(own_folder())
        script = dataclasses.replace(script, cast=cast)
        timeout = aiohttp.ClientTimeout(total=CONTROL_SECONDS_MAX)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            Processes(folder) as processes,
        ):
            world = Stage(script, folder=folder, processes=processes, session=session)
            async with contextlib.AsyncExitStack() as clients:
                await _raise_curtain(world, clients)
                yield world


async def _raise_curtain(world: Stage, clients: contextlib.AsyncExitStack) -> None:
    write_empty(world.folder / "xds")
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_bring_cluster(world, clients))
            tasks.create_task(_bring_metrics(world))
            tasks.create_task(world.start(_workload(world)))
    except* CannotStart as group:
        raise _first(group) from None
    await world.start(_load(world))


def _first(group: BaseExceptionGroup[CannotStart]) -> CannotStart:
    error = group.exceptions[0]
    return error if isinstance(error, CannotStart) else _first(error)


async def _bring_cluster(world: Stage, clients: contextlib.AsyncExitStack) -> None:
    api = await world.start(_api_server(world))
    world.api_url = api.answer["url"]
    api.port = urlsplit(world.api_url).port or 0
    world.client = await clients.enter_async_context(KubeClient(access_from(world.kubeconfig)))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(world.start(_pilot(world)))
        tasks.create_task(_bring_objects(world))
    await _until_served(world)


async def _bring_objects(world: Stage) -> None:
    uids: dict[tuple[str, str], str] = {}
    for item in [*objects(world.cast), *world.script.manifests]:
        for owner in item["metadata"].get("ownerReferences") or ():
            owner.setdefault("uid", uids.get((owner["kind"], owner["name"]), ""))
        created = await world.create(item)
        uids[item["kind"], item["metadata"]["name"]] = created["metadata"]["uid"]


async def _until_served(world: Stage) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS_MAX):
            while not await world.probe(world.service_url):  # noqa: ASYNC110 - nobody can tell us
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        why = f"{world.service_url} did not answer 200 within {READY_SECONDS_MAX:g} s"
        name = "the sample service"
        raise CannotStart(name, why=why) from None


async def _bring_metrics(world: Stage) -> None:
    namespace, folder = world.namespace, world.folder
    proxy = await world.start(
        envoy.command(folder, xds=folder / "xds", namespace=namespace, probe=world.probe)
    )
    proxy.port = urlsplit(world.envoy_admin_url).port or 0
    if not world.script.with_prometheus:
        return
    program = await prometheus.find_binary(world.script.cache.expanduser())
    config = prometheus.configuration(
        envoy.admin_address(folder), namespace=namespace, targets=world.script.targets
    )
    await world.start(prometheus.command(program, folder=folder, config=config, probe=world.probe))


def _python(name: str, module: str, *arguments: str) -> Command:
    return Command(name=name, argv=[sys.executable, "-m", f"rollout.sandbox.{module}", *arguments])


def _api_server(world: Stage) -> Command:
    options = ["--kubeconfig-out", str(world.kubeconfig), "--namespace", world.namespace]
    crds = ["--crds", *map(str, world.script.crds)] if world.script.crds else []
    return _python("apiserver", "apiserver", "--istio", "--port", "0", *options, *crds)


def _pilot(world: Stage) -> Command:
    options = ["--out", str(world.folder / "xds"), "--namespace", world.namespace]
    return _python("pilot", "pilot", "--kubeconfig", str(world.kubeconfig), *options)


def _workload(world: Stage) -> Command:
    places = [f"--version={name}={address}:{PORT}" for name, address in world.cast.places()]
    seed = ["--seed", str(world.script.seed)]
    return _python("workload", "workload", "--name", world.cast.service, *seed, *places)


def _load(world: Stage) -> Command:
    script = world.script
    options = ["--rps", str(script.rps), "--seed", str(script.seed)]
    host = ["--host", world.cast.service]
    return _python("load", "load", "--url", world.service_url, *host, *options)


async def _keep(script: Script) -> None:
    async with stage(script) as world:
        print(f"export KUBECONFIG={world.kubeconfig}")  # noqa: T201 - for people
        print(f"service    {world.service_url}")  # noqa: T201
        print(f"envoy      {world.envoy_admin_url}")  # noqa: T201
        print(f"prometheus {world.prometheus_url}")  # noqa: T201
        for process in world.processes:
            print(f"{process.name:<11}pid {process.pid:<8}port {process.port}", flush=True)  # noqa: T201
        await asyncio.Event().wait()


def main() -> None:
    """Keep a stage up until it is interrupted."""
    script = Script()
    parser = argparse.ArgumentParser(prog="python -m rollout.sandbox.stage", description=__doc__)
    parser.add_argument("--rps", type=float, default=script.rps)
    parser.add_argument("--seed", type=int, default=script.seed)
    parser.add_argument(
        "--keep", action="store_true", help="the only thing it does; may be omitted"
    )
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(_keep(Script(rps=arguments.rps, seed=arguments.seed)))


if __name__ == "__main__":
    main()
