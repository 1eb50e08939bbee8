"""The API servers that the cluster contract runs against: the sandbox's, and a real one.

Another backend is one more name in ``BACKENDS`` and one more branch in the fixture.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from rollout.sandbox.apiserver import serve
from tests.sandbox.apiclient import Api, Json, connected
from tests.sandbox.apiserver_samples import crd
from tests.testbed import build
from tests.testbed.controlplane import ADMIN, ControlPlane, control_plane

WHY_NOT = build.why_not("etcd", "kube-apiserver", "kube-controller-manager")

BACKENDS = (
    "sandbox",
    pytest.param(
        "kube-apiserver",
        marks=[
            pytest.mark.servers,
            pytest.mark.timeout(180),
            pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is there"),
        ],
    ),
)

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
POLL_SECONDS = 0.05
SETTLE_SECONDS_MAX = 60.0


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _plane(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    async with control_plane(tmp_path_factory.mktemp("plane"), has_controllers=True) as plane:
        yield plane


@pytest.fixture(params=BACKENDS)
def _real(request: pytest.FixtureRequest) -> ControlPlane | None:
    """The real one, which is started when the first test wants it; None for the sandbox."""
    return None if request.param == "sandbox" else request.getfixturevalue("_plane")


@pytest_asyncio.fixture(loop_scope="session")
async def apiserver(_real: ControlPlane | None) -> AsyncIterator[Api]:
    """An API server with the kind of the samples, and nothing of it."""
    if _real is None:
        async with serve([crd()]) as server, connected(server.url) as api:
            yield api
        return
    async with _connected(_real) as api:
        await _furnish(api)
        yield api
        await _clear(api)


@contextlib.asynccontextmanager
async def _connected(plane: ControlPlane) -> AsyncIterator[Api]:
    headers = {"Authorization": f"Bearer {plane.tokens[ADMIN]}", "User-Agent": "tester/1"}
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=plane.ca))
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(
        timeout=timeout, headers=headers, connector=connector, read_bufsize=2**21
    ) as session:
        yield Api(plane.url, session)


async def _furnish(api: Api) -> None:
    """The namespace and the kind, served and empty."""
    definition = crd()
    await api.ask("POST", CRDS, definition)
    path = f"/apis/{definition['spec']['group']}/v1/namespaces/default/parcels"
    async with asyncio.timeout(SETTLE_SECONDS_MAX):
        while (await api.ask("GET", path)).code != 200:  # noqa: ASYNC110 - nobody can tell us
            await asyncio.sleep(POLL_SECONDS)


async def _clear(api: Api) -> None:
    """Delete what the test made in its namespace, finalizers or not."""
    kinds = (await api.get("/apis/shop.example/v1"))["resources"]
    paths = [f"/apis/shop.example/v1/namespaces/default/{one['name']}" for one in kinds]
    paths = [path for path in paths if path.count("/") == 6]
    paths += [f"/api/v1/namespaces/default/{name}" for name in ("configmaps", "pods", "events")]
    paths += ["/apis/coordination.k8s.io/v1/namespaces/default/leases"]
    for path in paths:
        listed = await api.get(path)
        for item in listed["items"]:
            await _delete(api, path, item)


async def _delete(api: Api, path: str, item: Json) -> None:
    name = item["metadata"]["name"]
    if item["metadata"].get("finalizers"):
        await api.merge(f"{path}/{name}", {"metadata": {"finalizers": None}})
    await api.ask("DELETE", f"{path}/{name}", params={"gracePeriodSeconds": "0"})
