"""The verb that foretells a run, from what its service usually does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rollout.analysis.history import History
from rollout.base.errors import BadInput, BadManifest
from rollout.cli import subjects, terminal
from rollout.cli.place import Place
from rollout.cli.subjects import Subject
from rollout.engine import foresight
from rollout.ports import Metrics
from rollout.views import planned


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says of the service; what it does not say Prometheus is asked."""

    requests_per_second: float | None
    error_percent: float | None
    dispersion_factor: float | None
    prometheus: str | None
    prometheus_token_file: str | None

    @property
    def flags(self) -> dict[str, str | None]:
        """Where Prometheus is, as the settings take it."""
        return {
            "prometheus_address": self.prometheus,
            "prometheus_token_file": self.prometheus_token_file,
        }

    @property
    def is_enough(self) -> bool:
        """Whether nobody need be asked."""
        told = self.requests_per_second is not None and self.error_percent is not None
        return told and self.prometheus is None


def plan(place: Place, source: str, asked: Asked) -> None:
    """``rollout plan``."""
    subject = subjects.read(place, source)
    resolved = subject.plan()
    try:
        edges = foresight.edges_ms(resolved)
    except BadManifest as error:
        raise subject.about(error) from error
    known = _told(asyncio.run(_history(place, subject, asked, edges)), asked)
    rps = known.expected_requests_per_second
    if not rps or known.bad_ratio is None:
        raise BadInput(_unknown(subject, asked))
    found = foresight.foresee(resolved, known, requests_per_second=rps)
    if place.output is not None:
        terminal.dump(planned.document(found), place.output)
    else:
        terminal.show(planned.view(found))


def _unknown(subject: Subject, asked: Asked) -> str:
    if asked.is_enough:
        return f"{subject.name}: a plan needs traffic; use an --rps above 0"
    return (
        f"{subject.name}: nothing is known of the traffic of {subject.host}; let Prometheus be"
        " asked with --prometheus URL, or say it with --rps N and --error-rate PERCENT"
    )


async def _history(
    place: Place, subject: Subject, asked: Asked, edges_ms: Sequence[float]
) -> History:
    """What is usual as Prometheus has it; nothing where nobody need be asked."""
    if asked.is_enough:
        return History(why="")
    from rollout.wiring import hindsight  # noqa: PLC0415 - only who asks Prometheus pays for it

    async with prometheus(place, asked.flags) as metrics:
        if metrics is None:
            return History(why="")
        return await hindsight.of_service(metrics, subject.host, subject.arms, edges_ms=edges_ms)


@contextlib.asynccontextmanager
async def prometheus(
    place: Place, flags: Mapping[str, str | None]
) -> AsyncIterator[Metrics | None]:
    """Prometheus where flags or variables say; None: they say nothing."""
    if place.metrics is not None:
        yield place.metrics
        return
    from rollout.wiring import hindsight  # noqa: PLC0415 - as above

    async with hindsight.connected(flags) as metrics:
        yield metrics


def _told(known: History, asked: Asked) -> History:
    if asked.requests_per_second is not None:
        rps = asked.requests_per_second
        known = replace(known, requests_per_second=rps, earlier_requests_per_second={})
    if asked.error_percent is not None:
        known = replace(known, bad_ratio=asked.error_percent / 100, is_spotless=False)
    if asked.dispersion_factor is not None:
        factor = asked.dispersion_factor
        why = f"errors are taken to need {factor:g} times the evidence"
        known = replace(known, dispersion_factor=factor, slow_dispersion_factors={}, why=why)
    elif asked.is_enough:
        why = "errors are taken to come one by one; say --dispersion where they come in bursts"
        known = replace(known, dispersion_factor=1.0, why=why)
    return known
