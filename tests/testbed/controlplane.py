"""Starts a real etcd and kube-apiserver on free loopback ports, and ends them on every way out."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml

from rollout.base.errors import CannotStart
from rollout.sandbox.processes import Command, Processes, free_port
from tests.testbed import build

READY_SECONDS_MAX = 120.0
"""Some 3 s on a free machine; one that is busy with builds takes many times that."""

PROBE_SECONDS_MAX = 2.0
"""For one look at a server that may hang while it starts."""

APISERVER = "kube-apiserver"

ADMIN = "admin"
"""The user that may do everything, a member of `system:masters`."""

CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "clusterrole-aggregation-controller",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """A running control plane.

    Attributes:
        url: of the API server, https on loopback.
        ca: file with the certificate to trust.
        tokens: user name to bearer token; `ADMIN` is always there.
        folder: certificates, logs, data.
    """

    url: str
    ca: Path
    tokens: Mapping[str, str]
    folder: Path

    @property
    def audit(self) -> Path:
        """A line of JSON for every answered request, if that was wanted."""
        return self.folder / "audit.log"

    def kubeconfig(self, user: str = ADMIN) -> Path:
        """Write a kubeconfig file for ``user``."""
        path = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        cluster = {"server": self.url, "certificate-authority": str(self.ca)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "testbed", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": user}}],
            "current-context": "testbed",
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path


@contextlib.asynccontextmanager
async def control_plane(
    folder: Path,
    *,
    users: Mapping[str, Sequence[str]] | None = None,
    has_controllers: bool = False,
    has_audit: bool = False,
) -> AsyncIterator[ControlPlane]:
    """An empty cluster under ``folder`` for as long as the context lasts.

    Args:
        folder: for certificates, data and logs; made if absent.
        users: further users and their groups, for tests of RBAC.
        has_controllers: also run the controllers of Deployments, ReplicaSets, EndpointSlices, of
            garbage collection and of aggregated roles.
        has_audit: keep a line of JSON about every request in `ControlPlane.audit`.

    Raises:
        CannotStart: a program is missing or did not come up.
    """
    tokens = _write_tokens(folder, {ADMIN: ("system:masters",), **(users or {})})
    await _make_key(folder / "accounts.key")
    async with Processes(folder / "logs") as processes:
        etcd = await _start_etcd(processes, folder)
        port = free_port()
        world = ControlPlane(
            url=f"https://127.0.0.1:{port}",
            ca=folder / "certs" / "apiserver.crt",
            tokens=tokens,
            folder=folder,
        )
        audit = _audit_flags(world) if has_audit else []
        await _start_apiserver(processes, world, etcd=etcd, port=port, audit=audit)
        if has_controllers:
            await _start_controllers(processes, world)
        yield world


def _write_tokens(folder: Path, users: Mapping[str, Sequence[str]]) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    tokens = {user: secrets.token_hex(16) for user in users}
    file = folder / "tokens.csv"
    file.touch(mode=0o600)
    rows = [f'{tokens[user]},{user},{user},"{",".join(of)}"\n' for user, of in users.items()]
    file.write_text("".join(rows), encoding="utf-8")
    return tokens


async def _make_key(path: Path) -> None:
    words = ("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(path))
    quiet = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            "openssl", *words, stdin=quiet, stdout=quiet, stderr=quiet
        )
    except FileNotFoundError:
        raise CannotStart(APISERVER, why="openssl is not on PATH, for its key") from None
    if await process.wait():
        raise CannotStart(APISERVER, why="openssl made no key for it")


def _program(name: str) -> str:
    found = build.find(name)
    if found is None:
        raise CannotStart(name, why=build.why_not(name))
    return str(found)


async def _start_etcd(processes: Processes, folder: Path) -> str:
    url, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    argv = [
        _program("etcd"),
        "--name=testbed",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=testbed={peer}",
        "--unsafe-no-fsync",  # nothing here outlives the test
        "--log-level=warn",
    ]

    async def is_ready() -> bool:
        return await _answers(f"{url}/health")

    command = Command(name="etcd", argv=argv, is_ready=is_ready)
    await processes.start(command, ready_seconds_max=READY_SECONDS_MAX)
    return url


def _audit_flags(world: ControlPlane) -> list[str]:
    rules = [{"level": "Metadata", "omitStages": ["RequestReceived"]}]
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}
    path = world.folder / "audit-policy.yaml"
    path.write_text(yaml.safe_dump(policy), encoding="utf-8")
    return [f"--audit-policy-file={path}", f"--audit-log-path={world.audit}"]


async def _start_apiserver(
    processes: Processes, world: ControlPlane, *, etcd: str, port: int, audit: Sequence[str]
) -> None:
    key = world.folder / "accounts.key"
    argv = [
        _program(APISERVER),
        f"--etcd-servers={etcd}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--cert-dir={world.ca.parent}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        f"--service-account-issuer={world.url}",
        f"--token-auth-file={world.folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.0.0.0/24",
        # Nobody makes the accounts that it would wait for.
        "--disable-admission-plugins=ServiceAccount",
        # Loopback is refused as an endpoint, that of the server itself included.
        "--endpoint-reconciler-type=none",
        *audit,
    ]

    async def is_ready() -> bool:
        if not world.ca.exists():  # it makes its own certificate first
            return False
        return await _answers(f"{world.url}/readyz", ca=world.ca, token=world.tokens[ADMIN])

    command = Command(name=APISERVER, argv=argv, is_ready=is_ready, port=port)
    await processes.start(command, ready_seconds_max=READY_SECONDS_MAX)


async def _start_controllers(processes: Processes, world: ControlPlane) -> None:
    port = free_port()
    certs = world.folder / "certs-of-controllers"
    argv = [
        _program("kube-controller-manager"),
        f"--kubeconfig={world.kubeconfig()}",
        f"--controllers={','.join(CONTROLLERS)}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={certs}",
    ]

    async def is_ready() -> bool:
        cert = certs / "kube-controller-manager.crt"
        return cert.exists() and await _answers(f"https://127.0.0.1:{port}/healthz", ca=cert)

    command = Command(name="kube-controller-manager", argv=argv, is_ready=is_ready, port=port)
    await processes.start(command, ready_seconds_max=READY_SECONDS_MAX)


async def _answers(url: str, *, ca: Path | None = None, token: str = "") -> bool:
    timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS_MAX)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        trust = ssl.create_default_context(cafile=ca) if ca else True
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.get(url, ssl=trust) as answer,
        ):
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError, ssl.SSLError, OSError):
        return False
