"""The Rollout that a verb is about: one of the cluster, or one in a file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
import yaml

from rollout.analysis.arm import Arms
from rollout.api import merging
from rollout.api.merging import Policy
from rollout.api.meta import CLUSTER_ROLLOUT_POLICY, ROLLOUT, ROLLOUT_POLICY, Manifest
from rollout.api.reading import read_merged, read_spec
from rollout.api.rollout import Plan, RolloutSpec
from rollout.base import hosts
from rollout.base.errors import BadManifest
from rollout.cli.place import Place
from rollout.engine import plan as plans
from rollout.wiring import freezing

FILE_BYTES_MAX = 4 * 2**20

FILE_ENDINGS = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is planned.

    Attributes:
        name: what sentences call it.
        namespace: the Rollout's.
        spec: what it wants.
    """

    name: str
    namespace: str
    spec: RolloutSpec

    @property
    def host(self) -> str:
        """The service's full name."""
        return hosts.fqdn(self.spec.host, namespace=self.namespace)

    @property
    def arms(self) -> Arms | None:
        """How its series are told apart, where the spec says it."""
        arm = self.spec.metrics.arm
        return None if arm is None else Arms(label=arm.label, stable=arm.stable, canary=arm.canary)

    def plan(self) -> Plan:
        """What a run that starts now would obey.

        Raises:
            BadManifest: a query names what there is not.
        """
        try:
            plans.check_queries(self.spec)
        except BadManifest as error:
            raise self.about(error) from error
        return plans.resolve(self.spec)

    def about(self, error: BadManifest) -> BadManifest:
        """The same error, with whom it is about."""
        return BadManifest(
            subject=self.name, field=error.field, problem=error.problem, remedy=error.remedy
        )


def read(place: Place, source: str) -> Subject:
    """The Rollout of a name, or the one in a file.

    Raises:
        BadManifest: the file holds none, or a wrong one; likewise `UnknownName` of the cluster.
    """
    return _of_file(place, source) if _is_file(source) else asyncio.run(_of(place, source))


def _is_file(source: str) -> bool:
    return source == "-" or "/" in source or source.endswith(FILE_ENDINGS)


async def _of(place: Place, name: str) -> Subject:
    async with place.open() as client:
        manifest = await client.rollout(name)
        policies = await freezing.ruling(client, manifest)
    return _subject(manifest, policies, namespace=client.namespace, name="")


def _of_file(place: Place, source: str) -> Subject:
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
    space = place.namespace or "default"
    manifest, policies = found[0], [one for one in documents if _is_policy(one)]
    return _subject(
        manifest, _ruling(place, manifest, policies, space), namespace=space, name=source
    )


def _is_policy(document: object) -> bool:
    kinds = {ROLLOUT_POLICY.kind, CLUSTER_ROLLOUT_POLICY.kind}
    return isinstance(document, dict) and document.get("kind") in kinds


def _ruling(
    place: Place, manifest: Manifest, policies: Sequence[Manifest], namespace: str
) -> Sequence[Policy]:
    """The policies beside a Rollout in a file; one that is not there the cluster must know."""
    metadata = {"namespace": namespace, **(manifest.get("metadata") or {})}
    spec = manifest.get("spec")
    if not isinstance(spec, dict):
        return ()
    known = [merging.policy_of(_placed(policy, namespace)) for policy in policies]
    near = str(metadata.get("namespace"))
    found = merging.ruling(spec, known, namespace=near)
    named = merging.named_by(spec)
    if named is None or named in {(one.kind, one.key.name) for one in found}:
        return found
    return asyncio.run(_known(place, {**manifest, "metadata": {"name": "", **metadata}}))


async def _known(place: Place, manifest: Manifest) -> Sequence[Policy]:
    async with place.open() as client:
        return await freezing.ruling(client, manifest)


def _placed(policy: Manifest, namespace: str) -> Manifest:
    """A policy of a file with a name, and with a namespace if its kind has one."""
    metadata = {"name": "", **(policy.get("metadata") or {})}
    if policy["kind"] == ROLLOUT_POLICY.kind:
        metadata = {"namespace": namespace, **metadata}
    return {**policy, "metadata": metadata}


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


def _subject(
    manifest: Manifest, policies: Sequence[Policy], *, namespace: str, name: str
) -> Subject:
    metadata = manifest.get("metadata") or {}
    space = str(metadata.get("namespace") or namespace)
    name = name or f"{space}/{metadata.get('name', '')}"
    try:
        spec = manifest.get("spec")
        if not policies or not isinstance(spec, dict):
            return Subject(name=name, namespace=space, spec=read_spec(manifest))
        return Subject(name=name, namespace=space, spec=read_merged(merging.merged(spec, policies)))
    except BadManifest as error:
        raise BadManifest(
            subject=error.subject or name,
            field=error.field,
            problem=error.problem,
            remedy=error.remedy,
        ) from error
