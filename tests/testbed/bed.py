"""What all scenes of a mesh share: control plane, istiod, Prometheus, and our controller.

The controller runs under its own role as the shipped manifests give it, and under nothing else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from rollout.base.errors import NotFound
from rollout.sandbox.kubeclient import KubeClient, access_from
from rollout.sandbox.processes import Command, Process, Processes, free_port
from rollout.sandbox.stage_objects import collection
from tests.testbed import istio, metrics
from tests.testbed.controlplane import ControlPlane, control_plane
from tests.testbed.istio import Istiod, until
from tests.testbed.metrics import Metrics

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"

ACCOUNT = "system:serviceaccount:rollout-system:rollout-controller"
GROUPS = ("system:serviceaccounts", "system:serviceaccounts:rollout-system")

ASK_SECONDS_MAX = 5.0
"""For one look at a page on loopback."""

READY_SECONDS_MAX = 60.0
"""A controller is ready in a second on a free machine."""

Manifest = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Bed:
    """A mesh that is up, without a service in it.

    Attributes:
        client: of the API server, as its admin.
        session: for everything else on loopback.
        processes: end with the bed.
        controllers: those that we have started, the newest last.
        flags: what they are told besides the usual.
    """

    plane: ControlPlane
    client: KubeClient
    session: aiohttp.ClientSession
    processes: Processes
    istiod: Istiod
    metrics: Metrics
    controllers: list[Process] = field(default_factory=list)
    flags: Mapping[str, str] = field(default_factory=dict)

    async def create(self, item: Manifest) -> Manifest:
        """Create an object."""
        return await self.client.call("POST", collection(item), body=item)

    async def probe(self, url: str) -> bool:
        """Whether a page answers 200."""
        return await _answers(self.session, url)

    async def start_controller(self) -> Process:
        """Start one under its own role; it returns when it leads."""
        port = free_port()
        flags = {
            "prometheus": self.metrics.url,
            "istiod": self.istiod.url,
            "settle": "1s",
            "status-refresh": "1s",
            "scrape-interval": "1s",
            "lease-namespace": "rollout-system",
            "health-port": str(port),
            **self.flags,
        }
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.plane.folder),
            "KUBECONFIG": str(self.plane.kubeconfig(ACCOUNT)),
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(ROOT),
        }
        url = f"http://127.0.0.1:{port}/readyz"
        command = Command(
            name=f"controller-{len(self.controllers) + 1}",
            argv=[
                sys.executable,
                *("-m", "rollout", "controller"),
                *(f"--{name}={value}" for name, value in flags.items()),
            ],
            env=environment,
            is_ready=lambda: self.probe(url),
            port=port,
        )
        process = await self.processes.start(command, ready_seconds_max=READY_SECONDS_MAX)
        self.controllers.append(process)

        async def leads() -> bool:
            async with self.session.get(url) as answer:
                return bool((await answer.json())["leading"])

        await until(leads, what="a controller that leads")
        return process

    async def replace_controller(self) -> None:
        """Kill the controller as a failing node would, and start another."""
        self.controllers[-1].signal_group(signal.SIGKILL)
        await self.start_controller()


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


@contextlib.asynccontextmanager
async def bed(
    folder: Path,
    *,
    users: Mapping[str, Sequence[str]] | None = None,
    flags: Mapping[str, str] | None = None,
) -> AsyncIterator[Bed]:
    """Bring a mesh up under ``folder``; leaving the context ends every process.

    ``users`` have their groups; ``flags`` are given to controllers.

    Raises:
        CannotStart: something is not installed or did not come up; says what and why.
    """
    timeout = aiohttp.ClientTimeout(total=ASK_SECONDS_MAX)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        control_plane(folder, users={ACCOUNT: GROUPS, **(users or {})}) as plane,
        KubeClient(access_from(plane.kubeconfig())) as client,
        Processes(folder / "mesh-logs") as processes,
    ):

        async def probe(url: str) -> bool:
            return await _answers(session, url)

        root = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": istio.ROOT_NAMESPACE}}
        await client.call("POST", collection(root), body=root)
        await install_ours(client)
        await istio.install_crds(client)
        istiod = await istio.start(processes, plane, client=client, probe=probe)
        watcher = await metrics.start(processes, folder / "metrics", probe=probe)
        world = Bed(
            plane=plane,
            client=client,
            session=session,
            processes=processes,
            istiod=istiod,
            metrics=watcher,
            flags=flags or {},
        )
        await world.start_controller()
        yield world


async def install_ours(client: KubeClient) -> None:
    """Create what `manifests/` has, the Deployment aside; it returns when the CRDs are served."""
    files = [
        *sorted((MANIFESTS / "crds").glob("*.yaml")),
        MANIFESTS / "rbac.yaml",
        MANIFESTS / "identity.yaml",
    ]
    for file in files:
        for item in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            await client.call("POST", collection(item), body=item)

    async def are_served() -> bool:
        try:
            await client.list("/apis/rollout.dev/v1alpha1/rollouts")
            await client.list("/apis/rollout.dev/v1alpha1/rolloutactions")
        except NotFound:
            return False
        return True

    await until(are_served, what="our CRDs")
