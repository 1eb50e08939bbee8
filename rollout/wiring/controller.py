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
from rollout.adapters.clock import SystemClock
from rollout.adapters.prometheus import Options as PrometheusOptions
from rollout.adapters.prometheus import PrometheusMetrics
from rollout.api.meta import Key
from rollout.controller.lease import Election
from rollout.controller.manager import Manager, Options
from rollout.controller.record import Record
from rollout.ports import Clock, Cluster, Metrics
from rollout.settings import Settings
from rollout.web import health

log = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Run the controller until SIGTERM or SIGINT; what is under way is finished first."""
    configure_log(settings.log_format)
    asyncio.run(_main(settings))


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


async def _main(settings: Settings) -> None:
    """The whole program; ends when a signal says so, or with the error that stopped it."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with controller(settings) as manager, asyncio.TaskGroup() as tasks:
        work = tasks.create_task(manager.run())
        await ended.wait()
        log.info("ends", because="a signal")
        manager.queue.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.drain_seconds):
                await manager.queue.drained()
        work.cancel()


@contextlib.asynccontextmanager
async def controller(settings: Settings) -> AsyncIterator[Manager]:
    """A controller with its adapters, its pages served; everything is closed with the context."""
    clock, record, random = SystemClock(), Record(), SystemRandom()
    async with contextlib.AsyncExitStack() as stack:
        cluster = await kubernetes.connect(
            settings.kubeconfig or None,
            settings.context or None,
            random=random,
            observe=record.asked_api,
        )
        stack.push_async_callback(cluster.close)
        metrics = _metrics(settings)
        if metrics is not None:
            stack.push_async_callback(metrics.close)
        manager = Manager(
            cluster=cluster,
            metrics=metrics,
            clock=clock,
            alarms=SchedulerAlarms(),
            random=random,
            record=record,
            leadership=_election(settings, cluster, clock, random=random),
            options=Options(
                namespace=settings.namespace,
                workers_count=settings.workers_count,
                settle_seconds=settings.settle_seconds,
                status_seconds=settings.status_refresh_seconds,
                scrape_seconds=settings.scrape_interval_seconds,
            ),
        )
        await stack.enter_async_context(
            health.serving(
                manager, record.render, host=settings.health_host, port=settings.health_port
            )
        )
        yield manager


def _metrics(settings: Settings) -> Metrics | None:
    if not settings.prometheus_address:
        return None
    options = PrometheusOptions(bearer_token_file=settings.prometheus_token_file)
    return PrometheusMetrics(settings.prometheus_address, options=options)


def _election(
    settings: Settings, cluster: Cluster, clock: Clock, *, random: Random
) -> Election | None:
    if not settings.leader_election:
        return None
    return Election(
        cluster,
        Key(settings.lease_namespace, settings.lease_name),
        settings.identity,
        clock=clock,
        random=random,
    )
