"""/healthz, /readyz and /metrics: the truth about the loop, served on a port of its own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from aiohttp import web

API_SILENT_SECONDS_MAX = 150.0
"""How long all watches together may say nothing: bookmarks come about once a minute, and a stream
that is silent for 90 s is dropped and opened anew."""

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The content type of Prometheus' text format."""


class Patient(Protocol):
    """What is examined."""

    leading: bool

    def unhealthy(self) -> str:
        """Why the loop is stuck; empty when it is not."""
        ...

    def unheard_seconds(self) -> float:
        """How long the API server has said nothing."""
        ...

    def synced(self) -> bool:
        """Whether all caches have been filled."""
        ...

    def denied(self) -> tuple[str, ...]:
        """The kinds that may not be read, and without which work goes on."""
        ...


def application(patient: Patient, render: Callable[[], bytes]) -> web.Application:
    """The three pages.

    ``/healthz`` fails when the loop is stuck or the API server cannot be reached; ``/readyz``
    until the caches are filled. A standby is ready: it is warm.
    """

    async def healthz(_: web.Request) -> web.Response:
        return _told(_sick(patient))

    async def readyz(_: web.Request) -> web.Response:
        return _told("" if patient.synced() else "the caches are not filled yet", patient=patient)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=render(), headers={"Content-Type": METRICS_TYPE})

    app = web.Application(client_max_size=1024)
    app.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
        ]
    )
    return app


@contextlib.asynccontextmanager
async def serving(
    patient: Patient, render: Callable[[], bytes], *, host: str, port: int
) -> AsyncIterator[int]:
    """The pages, served while inside; gives the port."""
    runner = web.AppRunner(application(patient, render), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _sick(patient: Patient) -> str:
    stuck = patient.unhealthy()
    if stuck:
        return stuck
    silent = patient.unheard_seconds()
    if silent > API_SILENT_SECONDS_MAX:
        return f"the API server has said nothing for {silent:.0f} s"
    return ""


def _told(problem: str, *, patient: Patient | None = None) -> web.Response:
    told: dict[str, object] = {"ok": not problem, "because": problem}
    if patient is not None:
        told["leading"] = patient.leading
        if patient.denied():
            told["denied"] = patient.denied()
    return web.json_response(told, status=503 if problem else 200)
