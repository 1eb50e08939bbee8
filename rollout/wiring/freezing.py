"""Policies as the command line finds and writes them: lists, freezes, thaws."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rollout.api import merging
from rollout.api.merging import Policy
from rollout.api.meta import (
    CLUSTER_ROLLOUT_POLICY,
    ROLLOUT_POLICY,
    Key,
    Kind,
    Manifest,
    print_time,
)
from rollout.base import errors
from rollout.wiring.client import Client, key_of

NAME = "freeze"
"""The policy that the command line writes: of the namespace, or of the cluster."""

DESCRIPTION = "What `rollout freeze` keeps from moving; `rollout thaw` lets it go on."

EDITOR = "rollout-policy-editor"
"""The role that lets people write policies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Policies that could be read.

    Attributes:
        manifests: them.
        unread: why those of the cluster are not among them; empty: they are.
    """

    manifests: tuple[Manifest, ...]
    unread: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a freeze is for.

    Attributes:
        namespace: of which namespace; empty: of the whole cluster.
    """

    namespace: str

    @property
    def kind(self) -> Kind:
        """The kind of the policy."""
        return ROLLOUT_POLICY if self.namespace else CLUSTER_ROLLOUT_POLICY

    @property
    def key(self) -> Key:
        """The policy's name."""
        return Key(self.namespace, NAME)

    @property
    def where(self) -> str:
        """That in words."""
        return f"namespace {self.namespace}" if self.namespace else "the cluster"

    @property
    def option(self) -> str:
        """As it is typed."""
        return f"-n {self.namespace}" if self.namespace else "--cluster"


async def policies(client: Client, *, everywhere: bool) -> Found:
    """The policies of the namespace, or of all, and those of the cluster.

    Raises:
        UnknownName: the CRDs are not installed.
        Denied: not even those of the namespace may be read.
    """
    try:
        namespace = "" if everywhere else client.namespace
        near = (await client.cluster.list(ROLLOUT_POLICY, namespace=namespace)).items
    except errors.NotFound:
        raise _not_installed(ROLLOUT_POLICY) from None
    try:
        far = (await client.cluster.list(CLUSTER_ROLLOUT_POLICY)).items
    except errors.NotFound:
        raise _not_installed(CLUSTER_ROLLOUT_POLICY) from None
    except errors.Denied as error:
        return Found(manifests=near, unread=error.message)
    return Found(manifests=(*near, *far))


async def ruling(client: Client, manifest: Manifest) -> tuple[Policy, ...]:
    """The policies that have a say in a Rollout, the nearest first.

    One that it names must be there; a cluster that has no policies has none to say anything.

    Raises:
        UnknownName: the named one is not there.
    """
    spec, namespace = manifest.get("spec") or {}, key_of(manifest).namespace
    named = merging.named_by(spec)
    known: list[Policy] = []
    for kind, within in ((ROLLOUT_POLICY, namespace), (CLUSTER_ROLLOUT_POLICY, "")):
        try:
            listing = await client.cluster.list(kind, namespace=within)
        except (errors.NotFound, errors.Denied):
            if named is not None and named[0] == kind.kind:
                raise
            continue
        known += [merging.policy_of(item) for item in listing.items]
    found = merging.ruling(spec, known, namespace=namespace)
    if named is not None and named not in {(one.kind, one.key.name) for one in found}:
        remedy = f"{key_of(manifest)} names it in spec.policyRef: create it, or name another"
        raise errors.UnknownName(what=f"{named[0]} {named[1]}", remedy=remedy)
    return found


async def present(client: Client, reach: Reach) -> Manifest | None:
    """The policy of the command line as it stands; None: there is none.

    Raises:
        UnknownName: the CRDs are not installed.
        OutOfPlace: the person may not read it.
    """
    try:
        return await client.cluster.get(reach.kind, reach.key)
    except errors.NotFound:
        return None
    except errors.Denied as error:
        raise _not_allowed(reach, error) from error


def frozen(
    before: Manifest | None, reach: Reach, *, reason: str, until: datetime | None, now: datetime
) -> Manifest:
    """The policy with a freeze that is on; without an end it is a stop.

    It takes the place of one that is on; freezes to come stay.
    """
    manifest = _begun(before, reach)
    coming = _coming(manifest, now=now)
    if until is None:
        return _with(manifest, freezes=coming, stop={"reason": reason})
    freeze = {"from": print_time(now), "until": print_time(until), "reason": reason}
    return _with(manifest, freezes=[freeze, *coming], stop=None)


def thawed(before: Manifest, *, now: datetime) -> Manifest | None:
    """The policy without what is on; None: then it says nothing any more."""
    manifest = _with(before, freezes=_coming(before, now=now), stop=None)
    says = manifest["spec"].keys() - {"description"}
    return manifest if says else None


def is_on(manifest: Manifest, *, now: datetime) -> bool:
    """Whether a policy stops or freezes anything now."""
    spec = manifest.get("spec") or {}
    return bool(spec.get("stop")) or len(_coming(manifest, now=now)) < len(_freezes(manifest))


async def write(client: Client, reach: Reach, before: Manifest | None, after: Manifest) -> Manifest:
    """Have a policy stand as it should.

    Raises:
        OutOfPlace: the person may not.
        UnknownName: the CRDs are not installed.
    """
    try:
        if before is None:
            return (await client.cluster.create(reach.kind, after)).object
        return (await client.cluster.replace(reach.kind, after)).object
    except errors.NotFound:
        raise _not_installed(reach.kind) from None
    except errors.Denied as error:
        raise _not_allowed(reach, error) from error


async def remove(client: Client, reach: Reach) -> None:
    """Have the policy gone.

    Raises:
        OutOfPlace: the person may not.
    """
    try:
        await client.cluster.delete(reach.kind, reach.key)
    except errors.Denied as error:
        raise _not_allowed(reach, error) from error


def _begun(before: Manifest | None, reach: Reach) -> Manifest:
    if before is not None:
        return before
    namespace = {"namespace": reach.namespace} if reach.namespace else {}
    return {
        "apiVersion": reach.kind.api_version,
        "kind": reach.kind.kind,
        "metadata": {"name": NAME, **namespace},
        "spec": {"description": DESCRIPTION},
    }


def _with(manifest: Manifest, *, freezes: list[Any], stop: Manifest | None) -> Manifest:
    """A policy with these freezes and this stop, and whatever else it says."""
    spec = {k: v for k, v in (manifest.get("spec") or {}).items() if k not in {"windows", "stop"}}
    windows = dict((manifest.get("spec") or {}).get("windows") or {})
    windows.pop("freeze", None)
    if freezes:
        windows["freeze"] = freezes
    spec |= {"windows": windows} if windows else {}
    spec |= {"stop": stop} if stop else {}
    return {**manifest, "spec": spec}


def _freezes(manifest: Manifest) -> list[Any]:
    windows = (manifest.get("spec") or {}).get("windows") or {}
    return list(windows.get("freeze") or ())


def _coming(manifest: Manifest, *, now: datetime) -> list[Any]:
    """Freezes that have not begun."""
    return [f for f in _freezes(manifest) if f.get("from") and _moment(f["from"]) > now]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _not_installed(kind: Kind) -> errors.UnknownName:
    remedy = "install it with `rollout crds | kubectl apply -f -`"
    return errors.UnknownName(what=f"the CRD of {kind.kind}", remedy=remedy)


def _not_allowed(reach: Reach, error: errors.Denied) -> errors.OutOfPlace:
    return errors.OutOfPlace(
        subject=f"{reach.kind.kind} {reach.key}",
        why=f"you may not write it: {error.message}",
        remedy=f"have somebody bind you to the ClusterRole {EDITOR} for {reach.where}",
    )
