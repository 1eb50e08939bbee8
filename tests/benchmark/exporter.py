"""Stands in for the proxies of many services: one page of Istio's request counters that grow.

``python -m tests.benchmark.exporter --count 200`` prints a line with its port when it listens.
Counters are functions of the time since the start, so a page costs one pass over the services and
nothing happens between two scrapes. Each service's counters have an offset of their own, so that
not all of them tick at once.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

import orjson
from aiohttp import web

from rollout.sandbox.parent import die_with_parent

STABLE_RPS = 95.0
CANARY_RPS = 5.0
"""Requests a second to each service, whatever the weights are: a verdict needs requests, and the
benchmark times the controller, not the wait for traffic."""

GOLDEN_RATIO = 0.6180339887498949
"""Its multiples modulo 1 are spread as evenly as can be, however many there are."""

BODY_BYTES_MAX = 1 << 20
"""Of a request to the control port; the names of 10,000 services are half of it."""

OK, FAILED = "200", "503"


def name_of(index: int) -> str:
    """The short name of a service."""
    return f"svc-{index:03d}"


def host_of(index: int, namespace: str) -> str:
    """The full name of a service."""
    return f"{name_of(index)}.{namespace}.svc.cluster.local"


@dataclass(slots=True, kw_only=True)
class Service:
    """A service with two versions.

    Attributes:
        offset: what its counters are ahead by, 0 to 1 request.
        bad_from_count: canary requests before the first that may fail; None: none fails.
        bad_ratio: how many of those after it fail.
        served_at: when the first failure stood on a page, Unix time; 0 before.
        heads: the four series up to their values, in the order of `Page.values`.
    """

    offset: float
    bad_from_count: int | None = None
    bad_ratio: float = 0.0
    served_at: float = 0.0
    heads: tuple[str, ...]

    def canary_count(self, seconds: float) -> int:
        """Canary requests in the seconds since the start."""
        return floor(self.offset + CANARY_RPS * seconds)

    def values(self, seconds: float) -> tuple[int, int, int, int]:
        """Requests so far: stable good and failed, canary good and failed.

        Failed requests are a part of all, so that neither counter ever falls.
        """
        stable = floor(self.offset + STABLE_RPS * seconds)
        canary, failed = self.canary_count(seconds), 0
        if self.bad_from_count is not None:
            failed = floor(self.offset + self.bad_ratio * (canary - self.bad_from_count))
        return stable, 0, canary - failed, failed


class Mesh:
    """All services, and the page about them."""

    def __init__(self, count: int, namespace: str) -> None:
        self._began = time.monotonic()
        self.services = {
            host_of(i, namespace): Service(
                offset=i * GOLDEN_RATIO % 1.0, heads=_heads(i, namespace=namespace)
            )
            for i in range(count)
        }

    def page(self) -> bytes:
        """The counters as Prometheus reads them."""
        seconds = time.monotonic() - self._began
        lines = ["# TYPE istio_requests_total counter"]
        for service in self.services.values():
            values = service.values(seconds)
            lines += [f"{head} {n}" for head, n in zip(service.heads, values, strict=True)]
            if values[3] and not service.served_at:
                service.served_at = time.time()
        lines.append("")
        return "\n".join(lines).encode()

    def turn_bad(self, hosts: Sequence[str], *, percent: float) -> float:
        """Let canaries fail from now on; returns now, as Unix time."""
        seconds = time.monotonic() - self._began
        for host in hosts:
            service = self.services[host]
            service.bad_from_count = service.canary_count(seconds)
            service.bad_ratio = percent / 100.0
        return time.time()


def _heads(index: int, *, namespace: str) -> tuple[str, ...]:
    return tuple(
        _head(index, namespace=namespace, version=version, code=code)
        for version in ("v1", "v2")
        for code in (OK, FAILED)
    )


def _head(index: int, *, namespace: str, version: str, code: str) -> str:
    """A series of Istio's standard metrics as a caller's proxy reports it, all labels included."""
    name = name_of(index)
    principal = f"spiffe://cluster.local/ns/{namespace}/sa"
    labels = {
        "reporter": "source",
        "source_workload": "gateway",
        "source_canonical_service": "gateway",
        "source_canonical_revision": "latest",
        "source_workload_namespace": namespace,
        "source_principal": f"{principal}/gateway",
        "source_app": "gateway",
        "source_version": "unknown",
        "source_cluster": "Kubernetes",
        "destination_workload": f"{name}-{version}",
        "destination_workload_namespace": namespace,
        "destination_principal": f"{principal}/{name}",
        "destination_app": name,
        "destination_version": version,
        "destination_service": host_of(index, namespace),
        "destination_canonical_service": name,
        "destination_canonical_revision": version,
        "destination_service_name": name,
        "destination_service_namespace": namespace,
        "destination_cluster": "Kubernetes",
        "request_protocol": "http",
        "response_code": code,
        "grpc_response_status": "",
        "response_flags": "-",
        "connection_security_policy": "unknown",
    }
    inside = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"istio_requests_total{{{inside}}}"


def application(mesh: Mesh) -> web.Application:
    """``/metrics`` for Prometheus; ``PUT /bad`` and ``GET /served`` for the benchmark."""

    async def metrics(_: web.Request) -> web.Response:
        kind = "text/plain; version=0.0.4; charset=utf-8"
        return web.Response(body=mesh.page(), headers={"Content-Type": kind})

    async def bad(request: web.Request) -> web.Response:
        wanted = orjson.loads(await request.read())
        at = mesh.turn_bad(wanted["hosts"], percent=float(wanted["percent"]))
        return web.json_response({"at": at})

    async def served(_: web.Request) -> web.Response:
        told = {host: one.served_at for host, one in mesh.services.items() if one.served_at}
        return web.json_response(told)

    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.add_routes([web.get("/metrics", metrics), web.put("/bad", bad), web.get("/served", served)])
    return app


async def _run(mesh: Mesh) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    runner = web.AppRunner(application(mesh), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        sys.stdout.write(orjson.dumps({"port": runner.addresses[0][1]}).decode() + "\n")
        sys.stdout.flush()
        await ended.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Serve until SIGTERM, SIGINT or the end of the parent."""
    die_with_parent()
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark.exporter", description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--namespace", default="bench")
    arguments = parser.parse_args()
    asyncio.run(_run(Mesh(arguments.count, arguments.namespace)))


if __name__ == "__main__":
    main()
