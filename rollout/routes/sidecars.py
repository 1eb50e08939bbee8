"""Sidecar objects: which callers import a host, and with it the VirtualService that weighs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rollout.api.traffic import Note
from rollout.routes import fields
from rollout.routes.callers import ROOT_NAMESPACE
from rollout.routes.fields import Manifest, Meta
from rollout.routes.fronts import Front, items

_ANY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """What some callers import.

    Attributes:
        meta: who it is.
        selective: whether it is for some workloads of its namespace only.
        imports: namespace and host of what is let in; ``*`` is any.
        refused: namespace and host of what is kept out all the same.
    """

    meta: Meta
    selective: bool
    imports: tuple[tuple[str, str], ...]
    refused: tuple[tuple[str, str], ...]

    def lets_in(self, host: str, *, namespace: str) -> bool:
        """Whether it imports a host of a namespace, be it a service's or a VirtualService's."""
        return _any(self.imports, host, namespace) and not _any(self.refused, host, namespace)


def read(manifest: Manifest) -> Sidecar:
    """Read a Sidecar; one that says nothing of what it imports imports all."""
    who = fields.meta(manifest, namespace="")
    imports: list[tuple[str, str]] = []
    refused: list[tuple[str, str]] = []
    egress = items(fields.dig(manifest, "spec", "egress"))
    for listener in egress:
        for word in items(fields.dig(listener, "hosts")):
            namespace, _, host = fields.text(word).partition("/")
            kept_out = namespace.startswith("~")
            namespace = namespace.removeprefix("~") or (_ANY if kept_out else "")
            near = who.namespace if namespace == "." else namespace
            (refused if kept_out else imports).append((near, host))
    return Sidecar(
        meta=who,
        selective=bool(fields.dig(manifest, "spec", "workloadSelector")),
        imports=tuple(imports) if egress else ((_ANY, _ANY),),
        refused=tuple(refused),
    )


def _any(entries: Sequence[tuple[str, str]], host: str, namespace: str) -> bool:
    return any(near in {_ANY, namespace} and _covers(name, host) for near, name in entries)


def _covers(name: str, host: str) -> bool:
    return host.endswith(name.removeprefix("*")) if name.startswith("*") else host == name


def look(
    sidecars: Sequence[Sidecar], *, host: str, where: str, near: frozenset[str], door: Front
) -> Iterator[Note]:
    """Callers who do not follow a door because their Sidecar keeps it, or the host, from them.

    A list that leaves a service out most often means that it is not called; so of those that import
    neither service nor door only such are told as are for neighbours, in the namespaces ``near``.
    ``where`` is the service's namespace.
    """
    kept: list[str] = []
    for sidecar in sidecars:
        with_service = sidecar.lets_in(host, namespace=where)
        with_door = sidecar.lets_in(host, namespace=door.meta.namespace)
        reached = near & _reach(sidecar, sidecars, near=near)
        if not with_door and (with_service or reached):
            kept.append(str(sidecar.meta))
    if kept:
        yield Note(
            reason="CallersNotGoverned",
            message=f"Sidecar {fields.listed(kept)}: spec.egress does not import host "
            f"{fields.spoken_host(host, namespace=where)} of namespace {door.meta.namespace}, so "
            f"callers that it is for do not follow the weights of {door.subject}",
        )


def _reach(
    sidecar: Sidecar, sidecars: Sequence[Sidecar], *, near: frozenset[str]
) -> frozenset[str]:
    """The namespaces of callers it is for; the root's is for those without one of their own."""
    if sidecar.meta.namespace != ROOT_NAMESPACE:
        return frozenset({sidecar.meta.namespace})
    if sidecar.selective:
        return frozenset()
    return near - {each.meta.namespace for each in sidecars if not each.selective}
