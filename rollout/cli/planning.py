"""The verb that foretells a run, from what its service usually does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import typer
import yaml

from rollout.analysis.arm import Arms
from rollout.analysis.history import History
from rollout.api.meta import ROLLOUT, Manifest
from rollout.api.reading import read_spec
from rollout.api.rollout import Plan, RolloutSpec
from rollout.base import hosts
from rollout.base.errors import BadInput, BadManifest
from rollout.cli import terminal
from rollout.cli.place import Place
from rollout.engine import foresight
from rollout.engine import plan as plans
from rollout.ports import Metrics
from rollout.views import planned

FILE_BYTES_MAX = 4 * 2**20

FILE_ENDINGS = (".yaml", ".yml", ".json")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What is planned.

    Attributes:
        name: what sentences call it.
        namespace: the Rollout's.
        spec: what it wants.
    """

    name: str
    namespace: str
    spec: RolloutSpec


def plan(place: Place, source: str, asked: Asked) -> None:
    """``rollout plan``."""
    subject = _of_file(place, source) if _is_file(source) else asyncio.run(_of(place, source))
    try:
        plans.check_queries(subject.spec)
        resolved = plans.resolve(subject.spec)
        known = asyncio.run(_history(place, subject, resolved, asked))
    except BadManifest as error:
        raise _about(subject, error) from error
    rps = known.expected_requests_per_second
    if not rps or known.bad_ratio is None:
        raise BadInput(_unknown(subject, asked))
    found = foresight.foresee(resolved, known, requests_per_second=rps)
    if place.output is not None:
        terminal.dump(planned.document(found), place.output)
    else:
        terminal.show(planned.view(found))


def _unknown(subject: _Subject, asked: Asked) -> str:
    host = hosts.fqdn(subject.spec.host, namespace=subject.namespace)
    if asked.is_enough:
        return f"{subject.name}: a plan needs traffic; use an --rps above 0"
    return (
        f"{subject.name}: nothing is known of the traffic of {host}; let Prometheus be asked with"
        " --prometheus URL, or say it with --rps N and --error-rate PERCENT"
    )


async def _history(place: Place, subject: _Subject, resolved: Plan, asked: Asked) -> History:
    """What is usual: as Prometheus has it, with what the command line says in its place."""
    known = History(why="")
    if not asked.is_enough:
        arm = resolved.metrics.arm
        arms = None if arm is None else Arms(label=arm.label, stable=arm.stable, canary=arm.canary)
        host = hosts.fqdn(resolved.host, namespace=subject.namespace)
        from rollout.wiring import hindsight  # noqa: PLC0415 - only who asks Prometheus pays for it

        async with _prometheus(place, asked) as metrics:
            if metrics is not None:
                edges = foresight.edges_ms(resolved)
                known = await hindsight.of_service(metrics, host, arms, edges_ms=edges)
    return _told(known, asked)


@contextlib.asynccontextmanager
async def _prometheus(place: Place, asked: Asked) -> AsyncIterator[Metrics | None]:
    if place.metrics is not None:
        yield place.metrics
        return
    from rollout.wiring import hindsight  # noqa: PLC0415 - as above

    async with hindsight.connected(asked.flags) as metrics:
        yield metrics


def _told(known: History, asked: Asked) -> History:
    if asked.requests_per_second is not None:
        rps = asked.requests_per_second
        known = replace(known, requests_per_second=rps, earlier_requests_per_second={})
    if asked.error_percent is not None:
        known = replace(known, bad_ratio=asked.error_percent / 100)
    if asked.dispersion_factor is not None:
        factor = asked.dispersion_factor
        why = f"errors are taken to need {factor:g} times the evidence"
        known = replace(known, dispersion_factor=factor, slow_dispersion_factors={}, why=why)
    elif asked.is_enough:
        why = "errors are taken to come one by one; say --dispersion where they come in bursts"
        known = replace(known, dispersion_factor=1.0, why=why)
    return known


def _is_file(source: str) -> bool:
    return source == "-" or "/" in source or source.endswith(FILE_ENDINGS)


async def _of(place: Place, name: str) -> _Subject:
    async with place.open() as client:
        manifest = await client.rollout(name)
    return _subject(manifest, namespace=client.namespace, name="")


def _of_file(place: Place, source: str) -> _Subject:
    """The Rollout in a file; its namespace is its own, else what the options say."""
    try:
        documents = [one for one in yaml.safe_load_all(_text(source)) if one]
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise BadManifest(
            field=source, problem=f"is no YAML ({where[:200]})", remedy="name a file with a Rollout"
        ) from error
    found = [one for one in documents if isinstance(one, dict) and one.get("kind") == ROLLOUT.kind]
    if len(found) != 1:
        raise BadManifest(
            field=source,
            problem=f"holds {len(found) or 'no'} {'Rollouts' if len(found) > 1 else 'Rollout'}",
            remedy="name a file with one",
        )
    return _subject(found[0], namespace=place.namespace or "default", name=source)


def _text(source: str) -> str:
    try:
        if source == "-":
            data = typer.get_binary_stream("stdin").read(FILE_BYTES_MAX + 1)
        else:
            with Path(source).open("rb") as opened:
                data = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise BadManifest(
            field=source,
            problem=f"cannot be read ({error.strerror})",
            remedy="name a Rollout, a file, or - for standard input",
        ) from error
    if len(data) > FILE_BYTES_MAX:
        problem = f"has more than {FILE_BYTES_MAX // 2**20} MiB"
        raise BadManifest(field=source, problem=problem, remedy="name a file with one Rollout")
    return data.decode("utf-8-sig", errors="replace")


def _subject(manifest: Manifest, *, namespace: str, name: str) -> _Subject:
    metadata = manifest.get("metadata") or {}
    space = str(metadata.get("namespace") or namespace)
    name = name or f"{space}/{metadata.get('name', '')}"
    try:
        return _Subject(name=name, namespace=space, spec=read_spec(manifest))
    except BadManifest as error:
        raise BadManifest(
            subject=name, field=error.field, problem=error.problem, remedy=error.remedy
        ) from error


def _about(subject: _Subject, error: BadManifest) -> BadManifest:
    """Errors of the spec are about the subject; those of options are not."""
    if not error.field.startswith(("spec", "latency", "query")):
        return error
    return BadManifest(
        subject=subject.name, field=error.field, problem=error.problem, remedy=error.remedy
    )
