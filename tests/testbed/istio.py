"""Starts a real istiod against a control plane: Istio's CRDs, its certificate, its webhook."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from rollout.base.errors import CannotStart
from rollout.sandbox.kubeclient import KubeClient
from rollout.sandbox.processes import Command, Probe, Processes, free_port
from tests.testbed import build, certificate
from tests.testbed.controlplane import ControlPlane

DATA = Path(os.environ.get("ROLLOUT_TEST_DATA", "/nonexistent")) / "istio"
CRDS = DATA / "crd-all.gen.yaml"

PROGRAM = "pilot-discovery"
NAME = "istiod"

ROOT_NAMESPACE = "istio-system"

READY_SECONDS_MAX = 120.0
"""Up to 2 s on a free machine; one that is busy with builds takes many times that."""

POLL_SECONDS = 0.02
"""Between two looks at something that nobody can tell us."""

SWITCHES = {
    # Nothing here speaks mTLS, and a CA would need service accounts.
    "ENABLE_CA_SERVER": "false",
    # Filters that only Istio's build of Envoy has; a stock one refuses clusters that name them.
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "PILOT_ENABLE_ALPN_FILTER": "false",
}

CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WEBHOOK_PATH = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
WEBHOOK = "validation.istio.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Istiod:
    """A running istiod.

    Attributes:
        xds_port: where it gives out configuration, in plain text.
        http_port: its readiness and debug pages.
    """

    xds_port: int
    http_port: int

    @property
    def url(self) -> str:
        """Of its pages, without a slash at the end."""
        return f"http://127.0.0.1:{self.http_port}"


def why_not() -> str:
    """Why tests with istiod cannot run, in one line; empty when they can."""
    if not CRDS.is_file():
        return "ROLLOUT_TEST_DATA does not name Istio's data"
    return build.why_not("etcd", "kube-apiserver", PROGRAM)


async def until(holds: Callable[[], Awaitable[bool]], *, what: str) -> None:
    """Return when ``holds`` says yes.

    Raises:
        CannotStart: it did not within `READY_SECONDS_MAX`; ``what`` names what was waited for.
    """
    try:
        async with asyncio.timeout(READY_SECONDS_MAX):
            while not await holds():  # noqa: ASYNC110 - nobody can tell us
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        why = f"it did not come about within {READY_SECONDS_MAX:g} s"
        raise CannotStart(what, why=why) from None


async def install_crds(client: KubeClient) -> None:
    """Create Istio's CRDs and return when all of them are served."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    crds = [one for one in yaml.load_all(CRDS.read_bytes(), Loader=loader) if one]
    async with asyncio.TaskGroup() as tasks:
        for crd in crds:
            tasks.create_task(client.call("POST", CRD_PATH, body=crd))

    async def are_served() -> bool:
        served, _ = await client.list(CRD_PATH)
        return sum(_is_established(crd) for crd in served) >= len(crds)

    await until(are_served, what="Istio's CRDs")


def _is_established(crd: Mapping[str, Any]) -> bool:
    conditions = crd.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


async def start(
    processes: Processes, plane: ControlPlane, *, client: KubeClient, probe: Probe
) -> Istiod:
    """Start istiod, with its webhook in force; it ends with ``processes``.

    Needs the CRDs and the root namespace.

    Raises:
        CannotStart: the program is missing or did not come up.
    """
    program = build.find(PROGRAM)
    if program is None:
        raise CannotStart(NAME, why=build.why_not(PROGRAM))
    folder = plane.folder / NAME
    folder.mkdir()
    await certificate.make(folder, name=NAME, alternative="IP:127.0.0.1")
    # Of one path istiod takes one watch; a second look at it is an error, and then no certificate.
    shutil.copyfile(folder / "tls.crt", folder / "ca.crt")
    istiod = Istiod(xds_port=free_port(), http_port=free_port())
    webhook_port = free_port()
    mesh = {
        # With it every cluster waits for a certificate that never comes, and says nothing.
        "enableAutoMtls": False,
        "defaultConfig": {"discoveryAddress": f"127.0.0.1:{istiod.xds_port}"},
    }
    (folder / "mesh.yaml").write_bytes(orjson.dumps(mesh))  # JSON is YAML
    command = Command(
        name=NAME,
        argv=[
            str(program),
            "discovery",
            f"--kubeconfig={plane.kubeconfig()}",
            "--registries=Kubernetes",
            "--clusterID=Kubernetes",
            f"--meshConfig={folder / 'mesh.yaml'}",
            f"--grpcAddr=127.0.0.1:{istiod.xds_port}",
            f"--httpAddr=127.0.0.1:{istiod.http_port}",
            f"--monitoringAddr=127.0.0.1:{free_port()}",
            f"--httpsAddr=127.0.0.1:{webhook_port}",
            "--secureGRPCAddr=",
            "--ctrlz_port=0",
            f"--tlsCertFile={folder / 'tls.crt'}",
            f"--tlsKeyFile={folder / 'tls.key'}",
            f"--caCertFile={folder / 'ca.crt'}",
        ],
        env=_environment(folder),
        is_ready=lambda: probe(f"{istiod.url}/ready"),
        port=istiod.http_port,
    )
    await processes.start(command, ready_seconds_max=READY_SECONDS_MAX)
    webhook = _webhook(webhook_port, certificate=(folder / "tls.crt").read_bytes())
    await client.call("POST", WEBHOOK_PATH, body=webhook)
    return istiod


def _environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "POD_NAME": f"{NAME}-1",
        "POD_NAMESPACE": ROOT_NAMESPACE,
        **SWITCHES,
    }


def _webhook(port: int, *, certificate: bytes) -> dict[str, Any]:
    rule = {
        "apiGroups": ["networking.istio.io"],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["*"],
        "scope": "*",
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        # istiod looks after those with its own labels, for which it wants a Service: no labels.
        "metadata": {"name": "istio-validator-testbed"},
        "webhooks": [
            {
                "name": WEBHOOK,
                "clientConfig": {
                    "url": f"https://127.0.0.1:{port}/validate",
                    "caBundle": base64.b64encode(certificate).decode(),
                },
                "rules": [rule],
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "failurePolicy": "Fail",
            }
        ],
    }
