"""Settings into a running controller: its adapters, its loop, its pages, its clean end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from random import Random, SystemRandom

import structlog

from rollout.adapters import kubernetes
from rollout.adapters.alarms import SchedulerAlarms
from rollout.adapters.calendar import CronCalendar
from rollout.adapters.clock import SystemClock
from rollout.adapters.istiod import IstiodMesh
from rollout.adapters.prometheus import Options as PrometheusOptions
from rollout.adapters.prometheus import PrometheusMetrics
from rollout.api.meta import Key
from rollout.controller.lease import Election
from rollout.controller.manager import Manager, Options
from rollout.controller.record import Record
from rollout.ports import Clock, Cluster, Mesh, Metrics
from rollout.settings import Settings
from rollout.web import health
from rollout.wiring import outlets
from rollout.wiring.replicas import Replicas

log = structlog.get_logger(__name__)


def run(chosen: Settings) -> None:
    """Run the controller until SIGTERM or SIGINT; what is under way is finished first."""
    configure_log(chosen.log_format)
    asyncio.run(_main(chosen))


def configure_log(form: str) -> None:
    """Structured lines on stdout: JSON for machines, coloured text for a terminal."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if form == "json"
        else [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )


async def _main(chosen: Settings) -> None:
    """The whole program; ends when a signal says so, or with the error that stopped it."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with controller(chosen) as manager, asyncio.TaskGroup() as tasks:
        work = tasks.create_task(manager.run())
        await ended.wait()
        log.info("ends", because="a signal")
        manager.queue.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(chosen.drain_seconds):
                await manager.queue.drained()
        work.cancel()


@contextlib.asynccontextmanager
async def controller(chosen: Settings) -> AsyncIterator[Manager]:
    """A controller with its adapters, its pages served; everything is closed with the context."""
    clock, record, random = SystemClock(), Record(), SystemRandom()
    async with contextlib.AsyncExitStack() as stack:
        cluster = await kubernetes.connect(
            chosen.kubeconfig or None,
            chosen.context or None,
            random=random,
            observe=record.asked_api,
        )
        stack.push_async_callback(cluster.close)
        metrics = _metrics(chosen)
        if metrics is not None:
            stack.push_async_callback(metrics.close)
        mesh = _mesh(chosen, cluster, clock)
        if mesh is not None:
            stack.push_async_callback(mesh.close)
        manager = Manager(
            cluster=cluster,
            metrics=metrics,
            mesh=mesh,
            clock=clock,
            alarms=SchedulerAlarms(),
            calendar=CronCalendar(),
            random=random,
            record=record,
            leadership=_election(chosen, cluster, clock, random=random),
            outlets=await outlets.of(chosen, clock, stack),
            options=Options(
                namespace=chosen.namespace,
                workers_count=chosen.workers_count,
                settle_seconds=chosen.settle_seconds,
                status_seconds=chosen.status_refresh_seconds,
                scrape_seconds=chosen.scrape_interval_seconds,
                identity_policy=chosen.identity_policy,
                trust_actors=chosen.trust_actors,
            ),
        )
        await outlets.door(chosen, manager, clock, stack)
        await stack.enter_async_context(
            health.serving(manager, record.render, host=chosen.health_host, port=chosen.health_port)
        )
        yield manager


def _metrics(chosen: Settings) -> Metrics | None:
    if not chosen.prometheus_address:
        return None
    options = PrometheusOptions(bearer_token_file=chosen.prometheus_token_file)
    return PrometheusMetrics(chosen.prometheus_address, options=options)


def _mesh(chosen: Settings, cluster: Cluster, clock: Clock) -> Mesh | None:
    if not chosen.istiod_address:
        return None
    return IstiodMesh(
        chosen.istiod_address,
        token_file=chosen.istiod_token_file,
        resolve=Replicas(cluster, clock),
    )


def _election(
    chosen: Settings, cluster: Cluster, clock: Clock, *, random: Random
) -> Election | None:
    if not chosen.leader_election:
        return None
    return Election(
        cluster,
        Key(chosen.lease_namespace, chosen.lease_name),
        chosen.identity,
        clock=clock,
        random=random,
    )
