"""Serving: the API server on a free port of this machine, for tests and for its own process."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import yaml
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

from rollout.sandbox.apiserver.cluster import Cluster
from rollout.sandbox.apiserver.front import Front
from rollout.sandbox.apiserver.refusals import BODY_LIMIT_BYTES
from rollout.sandbox.apiserver.trees import Json

HOST = "127.0.0.1"
SECRET_BYTES = 16  # of randomness in the path prefix: no web page guesses it
SWEEP_SECONDS = 60.0  # how often old events are looked for
SHUTDOWN_SECONDS = 1.0  # what open requests get to finish when the server stops


@dataclass(slots=True, kw_only=True)
class Server:
    """A running API server.

    Attributes:
        url: where it is, with the secret prefix.
        cluster: what it serves; tests may look inside.
        front: its HTTP side, with the account of requests.
    """

    url: str
    cluster: Cluster
    front: Front

    def kubeconfig_text(self, namespace: str = "default") -> str:
        """Return a kubeconfig with one context, ``sandbox``."""
        context = {"cluster": "sandbox", "user": "sandbox", "namespace": namespace}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "sandbox", "cluster": {"server": self.url}}],
                "users": [{"name": "sandbox", "user": {}}],
                "contexts": [{"name": "sandbox", "context": context}],
                "current-context": "sandbox",
            },
            sort_keys=False,
        )


@contextlib.asynccontextmanager
async def serve(
    crds: Sequence[Json] = (),
    port: int = 0,
    *,
    secret: str | None = None,
    version: int | None = None,
) -> AsyncIterator[Server]:
    """Run an API server in the present event loop.

    Args:
        crds: CustomResourceDefinitions to begin with.
        port: 0 takes a free one.
        secret: the path prefix; None draws one, the empty text means none.
        version: where resource versions begin; drawn from the time of day unless given.

    Raises:
        BadManifest: one of the CRDs is refused.
        OSError: the port is taken.
    """
    loop = asyncio.get_running_loop()
    cluster = Cluster(crds, schedule=loop.call_soon, version=version)
    prefix = secrets.token_urlsafe(SECRET_BYTES) if secret is None else secret
    front = Front(cluster, secret=prefix)

    def request_factory(  # noqa: PLR0917  aiohttp's own signature
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> BaseRequest:
        return BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=BODY_LIMIT_BYTES
        )

    server = web.Server(front.handle, request_factory=request_factory, handler_cancellation=True)
    runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        await site.start()
        bound = runner.addresses[0][1]
        url = f"http://{HOST}:{bound}" + (f"/{prefix}" if prefix else "")
        async with _sweeping(cluster):
            yield Server(url=url, cluster=cluster, front=front)
    finally:
        cluster.watches.end_all()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _sweeping(cluster: Cluster) -> AsyncIterator[None]:
    """Forget old events every now and then."""

    async def sweep() -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            cluster.forget_old_events()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(sweep())
        try:
            yield
        finally:
            task.cancel()
