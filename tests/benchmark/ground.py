"""What a benchmark runs on: API server, exporter, Prometheus, controller, each a real process."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from rollout.api.crd import crds
from rollout.api.meta import VIRTUAL_SERVICE, Kind, Manifest
from rollout.sandbox import prometheus
from rollout.sandbox.kubeclient import KubeClient, access_from
from rollout.sandbox.processes import Command, Process, Processes, free_port
from rollout.sandbox.stage import DEFAULT_CACHE, MERGE_PATCH
from rollout.sandbox.stage_ground import own_folder
from tests.benchmark import manifests
from tests.benchmark.manifests import NAMESPACE

SCRAPE_SECONDS = 1
CALL_SECONDS_MAX = 10.0
CREATIONS_AT_ONCE = 8
POLL_SECONDS = 0.25

SETTLE = "1s"
"""Nothing here has proxies that would need time; it only begins the runs earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Everything that runs, and how to reach it."""

    folder: Path
    processes: Processes
    session: aiohttp.ClientSession
    client: KubeClient
    api_url: str
    kubeconfig: Path
    api: Process
    exporter: Process
    prometheus: Process
    count: int

    async def start_controller(self) -> Process:
        """The controller as its users start it, its lease election on; returns when it is warm."""
        port = free_port()
        command = [sys.executable, "-m", "rollout", "controller"]
        options = {
            "--kubeconfig": str(self.kubeconfig),
            "--prometheus": f"http://127.0.0.1:{self.prometheus.port}",
            "--scrape-interval": f"{SCRAPE_SECONDS}s",
            "--settle": SETTLE,
            "--lease-namespace": NAMESPACE,
            "--health-port": str(port),
        }

        async def is_ready() -> bool:
            return await _is_up(self.session, f"http://127.0.0.1:{port}/readyz")

        words = [word for option in options.items() for word in option]
        argv = [*command, *words]
        return await self.processes.start(
            Command(name="controller", argv=argv, is_ready=is_ready, port=port)
        )

    async def json(self, method: str, url: str, body: object = None) -> Any:
        """What a server answers."""
        data = None if body is None else orjson.dumps(body)
        async with self.session.request(method, url, data=data) as response:
            response.raise_for_status()
            return orjson.loads(await response.read())

    async def account(self) -> dict[str, Any]:
        """What the API server has been asked since its start, by user agent, verb and resource."""
        told: dict[str, Any] = await self.json("GET", f"{self.api_url}/debug/requests")
        return told

    async def turn_bad(self, hosts: list[str], *, percent: float) -> float:
        """Let canaries fail from now on; returns now, as Unix time."""
        url = f"http://127.0.0.1:{self.exporter.port}/bad"
        told = await self.json("PUT", url, {"hosts": hosts, "percent": percent})
        return float(told["at"])

    async def served(self) -> dict[str, float]:
        """When each host's first failure was shown to Prometheus, Unix time."""
        url = f"http://127.0.0.1:{self.exporter.port}/served"
        told: dict[str, float] = await self.json("GET", url)
        return told

    async def page(self, process: Process) -> str:
        """A process's own metrics."""
        async with self.session.get(f"http://127.0.0.1:{process.port}/metrics") as response:
            response.raise_for_status()
            return await response.text()

    async def rollouts(self) -> dict[str, Manifest]:
        """All Rollouts as they stand, by name."""
        items, _ = await self.client.list("/apis/rollout.dev/v1alpha1/rollouts")
        return {item["metadata"]["name"]: item for item in items}

    async def want(self, name: str, revision: str) -> None:
        """Set a Rollout's revision."""
        path = f"/apis/rollout.dev/v1alpha1/namespaces/{NAMESPACE}/rollouts/{name}"
        body = {"spec": {"revision": revision}}
        await self.client.call("PATCH", path, body=body, content_type=MERGE_PATCH)

    async def until_scraped(self) -> None:
        """Return when Prometheus shows the counters of every service."""
        url = f"http://127.0.0.1:{self.prometheus.port}/api/v1/query"
        while True:
            text = "count(istio_requests_total)"
            async with self.session.post(url, data={"query": text}) as response:
                result = (await response.json())["data"]["result"]
            if result and int(result[0]["value"][1]) >= 4 * self.count:
                return
            await asyncio.sleep(POLL_SECONDS)


@contextlib.asynccontextmanager
async def ground(count: int, *, log_copy: Path | None = None) -> AsyncIterator[Ground]:
    """All but the controller, which is started on it; leaving ends every process.

    Args:
        count: services that the exporter stands in for.
        log_copy: where the controller's log is kept afterwards.
    """
    program = await prometheus.find_binary(DEFAULT_CACHE.expanduser())
    timeout = aiohttp.ClientTimeout(total=CALL_SECONDS_MAX)
    with own_folder() as folder:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            try:
                async with (
                    Processes(folder) as processes,
                    _up(folder, processes, session, program, count=count) as up,
                ):
                    yield up
            finally:
                log = folder / "controller.log"
                if log_copy is not None and log.exists():
                    shutil.copyfile(log, log_copy)


@contextlib.asynccontextmanager
async def _up(
    folder: Path,
    processes: Processes,
    session: aiohttp.ClientSession,
    program: Path,
    *,
    count: int,
) -> AsyncIterator[Ground]:
    kubeconfig = folder / "kubeconfig"
    api = await processes.start(_api_server(folder, kubeconfig))
    exporter = await processes.start(_exporter(count))

    async def probe(url: str) -> bool:
        return await _is_up(session, url)

    config = _scraping(f"127.0.0.1:{exporter.port}")
    metrics = await processes.start(
        prometheus.command(program, folder=folder, config=config, probe=probe)
    )
    async with KubeClient(access_from(kubeconfig)) as client:
        yield Ground(
            folder=folder,
            processes=processes,
            session=session,
            client=client,
            api_url=api.answer["url"],
            kubeconfig=kubeconfig,
            api=api,
            exporter=exporter,
            prometheus=metrics,
            count=count,
        )


def _api_server(folder: Path, kubeconfig: Path) -> Command:
    definitions = folder / "crds"
    definitions.mkdir()
    for crd in crds():
        (definitions / f"{crd['metadata']['name']}.json").write_bytes(orjson.dumps(crd))
    argv = [sys.executable, "-m", "rollout.sandbox.apiserver", "--istio"]
    argv += ["--crds", str(definitions), "--kubeconfig-out", str(kubeconfig)]
    return Command(name="apiserver", argv=argv)


def _exporter(count: int) -> Command:
    argv = [sys.executable, "-m", "tests.benchmark.exporter"]
    argv += ["--count", str(count), "--namespace", NAMESPACE]
    return Command(name="exporter", argv=argv)


def _scraping(target: str) -> dict[str, Any]:
    timeout = f"{round(1000 * prometheus.SCRAPE_TIMEOUT_SECONDS)}ms"
    return {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": timeout},
        "scrape_configs": [{"job_name": "mesh", "static_configs": [{"targets": [target]}]}],
    }


async def _is_up(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            await response.read()
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def create_all(ground: Ground, *, hold_seconds: float) -> None:
    """Create every service's objects, a few services at a time."""
    await ground.client.call("POST", "/api/v1/namespaces", body=manifests.namespace())
    left = iter(range(ground.count))

    async def create() -> None:
        for index in left:
            for kind, item in manifests.service(index, hold_seconds=hold_seconds):
                path = kind.path(namespace=NAMESPACE)
                await ground.client.call("POST", path, body=item)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CREATIONS_AT_ONCE):
            tasks.create_task(create())


def path_of(kind: Kind) -> str:
    """Where the benchmark's objects of a kind are."""
    return kind.path(namespace=NAMESPACE)


ROUTES = path_of(VIRTUAL_SERVICE)
