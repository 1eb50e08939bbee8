"""Asks Prometheus what past hours say of a service, once, for a person."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from rollout import settings
from rollout.adapters.prometheus import Options, PrometheusMetrics
from rollout.analysis import history, past
from rollout.analysis.arm import Arms
from rollout.analysis.history import History
from rollout.analysis.past import Asked
from rollout.analysis.sample import Missing, NoAnswer
from rollout.base.errors import BadInput, Overloaded, RolloutError, Unreachable
from rollout.ports import Metrics

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

    Questions that Prometheus cannot answer cost only their part of it.

    Raises:
        Unreachable: Prometheus does not answer at all; likewise `Overloaded`, `BrokenAnswer`.
    """
    asked = past.questions(host, arms, edges_ms=edges_ms)
    first = {Asked.BASE: await _ask(metrics, asked.pop(Asked.BASE))}
    return history.read({**first, **{name: await _try(metrics, asked[name]) for name in asked}})


async def _ask(metrics: Metrics, promql: str) -> Mapping[str, Any]:
    return await metrics.query(promql, time_seconds=None, timeout_seconds=QUERY_SECONDS_MAX)


async def _try(metrics: Metrics, promql: str) -> Mapping[str, Any] | NoAnswer:
    try:
        return await _ask(metrics, promql)
    except (BadInput, Overloaded, Unreachable) as error:
        return NoAnswer(reason=Missing.ERROR, sentence=_short(error))


def _short(error: RolloutError) -> str:
    return str(error).splitlines()[0][:200]
