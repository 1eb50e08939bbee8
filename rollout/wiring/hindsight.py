"""Asks Prometheus what past hours say of a service, once, for a person."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from typing import Any

from rollout import settings
from rollout.adapters.prometheus import Options, PrometheusMetrics
from rollout.analysis import history, past, sample
from rollout.analysis.arm import Arms
from rollout.analysis.history import History
from rollout.analysis.past import Asked
from rollout.analysis.sample import Missing, NoAnswer
from rollout.base.errors import BadInput, BrokenAnswer, Overloaded, RolloutError, Unreachable
from rollout.ports import Metrics

SERVER = "Prometheus"

QUERY_SECONDS_MAX = 30.0
"""A person waits longer than a controller may."""


@contextlib.asynccontextmanager
async def connected(flags: Mapping[str, Any]) -> AsyncIterator[Metrics | None]:
    """Prometheus where flags, or the variables of the controller, say; None: they say nothing.

    Raises:
        BadManifest: what they say is no address, or names no file.
    """
    chosen = settings.read(flags)
    if not chosen.prometheus_address:
        yield None
        return
    options = Options(bearer_token_file=chosen.prometheus_token_file)
    metrics = PrometheusMetrics(chosen.prometheus_address, options=options)
    try:
        yield metrics
    finally:
        await metrics.close()


async def of_service(
    metrics: Metrics, host: str, arms: Arms | None, *, edges_ms: Iterable[float]
) -> History:
    """The history of a service's stable revision.

    Questions that Prometheus cannot answer are asked of a shorter time, else cost only their part.

    Raises:
        Unreachable: Prometheus does not answer at all; likewise `Overloaded`, `BrokenAnswer`.
    """
    edges = tuple(edges_ms)
    asked = past.questions(host, arms, edges_ms=edges)
    shorter = past.questions(host, arms, edges_ms=edges, span_seconds=past.SHORT_SPAN_SECONDS)
    found: dict[Asked, Mapping[str, Any] | NoAnswer] = {}
    found[Asked.BASE] = await _ask(metrics, asked.pop(Asked.BASE))
    for name, text in asked.items():
        found[name] = await _try(metrics, text)
        if isinstance(found[name], NoAnswer) and shorter[name] != text:
            found[name] = await _try(metrics, shorter[name])
    return history.read(found)


async def pieces(
    metrics: Metrics, host: str, arms: Arms | None, *, count: int
) -> AsyncGenerator[Mapping[str, Any] | NoAnswer, None]:
    """What pods did minute by minute, in so many pieces of `past.SPAN_SECONDS`, the oldest first.

    Raises:
        Unreachable: Prometheus does not answer at all; likewise `Overloaded`, `BrokenAnswer`.
    """
    text = past.questions(host, arms)[Asked.PODS]
    clock = sample.parse_instant(await _ask(metrics, past.NOW))
    if isinstance(clock, NoAnswer):
        raise BrokenAnswer(SERVER, why=clock.sentence)
    now = clock[0].samples[0][1]
    newest = now - now % past.SPAN_SECONDS
    for number in reversed(range(count)):
        yield await _try(metrics, text, time_seconds=newest - number * past.SPAN_SECONDS)


async def _ask(
    metrics: Metrics, promql: str, *, time_seconds: float | None = None
) -> Mapping[str, Any]:
    return await metrics.query(promql, time_seconds=time_seconds, timeout_seconds=QUERY_SECONDS_MAX)


async def _try(
    metrics: Metrics, promql: str, *, time_seconds: float | None = None
) -> Mapping[str, Any] | NoAnswer:
    try:
        return await _ask(metrics, promql, time_seconds=time_seconds)
    except (BadInput, Overloaded, Unreachable) as error:
        return NoAnswer(reason=Missing.ERROR, sentence=_short(error))


def _short(error: RolloutError) -> str:
    return str(error).splitlines()[0][:200]
