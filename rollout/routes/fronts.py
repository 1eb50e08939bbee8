"""A VirtualService as callers meet it: for which hosts, at which gateways, from which namespaces.

The rules are those of istiod's index of VirtualServices. One without ``hosts`` is a delegate: it is
met through the routes of others that name it. Nothing here raises for what an object says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rollout.base.hosts import fqdn
from rollout.routes import fields, legs
from rollout.routes.fields import Manifest, Meta

MESH = "mesh"
"""The gateway that stands for all sidecars."""

EVERYWHERE = "*"
OWN_NAMESPACE = "."

ELSEWHERE = ""
"""A namespace that no object names: that of callers nobody has thought of."""

_FOR_SOME = ("port", "sourceLabels", "sourceNamespace")
"""Fields of a match that leave some callers in the mesh without the route, whatever they ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One route.

    Attributes:
        title: what sentences call it.
        protocol: ``http``, ``tcp`` or ``tls``.
        hosts: the full names of its destinations.
        delegate: ``namespace/name`` of the VirtualService that answers in its place; else empty.
        catches_all: whether every request that comes so far takes it.
        for_every_caller: whether every sidecar gets it, whatever its requests must look like.
    """

    title: str
    protocol: str
    hosts: frozenset[str]
    delegate: str
    catches_all: bool
    for_every_caller: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """One VirtualService.

    Attributes:
        meta: who it is.
        hosts: the full names it is for; empty for a delegate.
        gateways: where it acts: ``mesh``, ``namespace/name``.
        exports: the namespaces of callers it acts for, or ``*``.
        paths: its routes, in list order; managed ones stand for those behind them.
    """

    meta: Meta
    hosts: frozenset[str]
    gateways: frozenset[str]
    exports: frozenset[str]
    paths: tuple[Path, ...]

    def __str__(self) -> str:
        return str(self.meta)

    @property
    def subject(self) -> str:
        """What sentences call it."""
        return f"VirtualService {self.meta}"

    @property
    def edges(self) -> frozenset[str]:
        """The gateways at the edge of the mesh that it is bound to."""
        return self.gateways - {MESH}

    def fronts(self, host: str) -> bool:
        """Whether sidecars follow it, or would, for requests to a host."""
        return MESH in self.gateways and host in self.hosts

    def acts_in(self, namespace: str) -> bool:
        """Whether callers of a namespace get it."""
        return seen(self.exports, namespace)

    def rank(self, namespace: str) -> tuple[int, str, str, str]:
        """Sorts those first that win in a namespace: its own, those meant for it, the oldest."""
        far = 1 + (EVERYWHERE in self.exports)
        near = 0 if far == 1 and self.meta.namespace == namespace else far
        return near, self.meta.created, self.meta.name, self.meta.namespace


def exports(spec: object, *, namespace: str) -> frozenset[str]:
    """The namespaces that ``exportTo`` names, ``.`` spelt out; `EVERYWHERE` when it names none."""
    names = _texts(fields.dig(spec, "exportTo"))
    if not names or EVERYWHERE in names:
        return frozenset({EVERYWHERE})
    return frozenset(namespace if name == OWN_NAMESPACE else name for name in names)


def seen(exported: frozenset[str], namespace: str) -> bool:
    """Whether something exported so is seen in a namespace."""
    return EVERYWHERE in exported or namespace in exported


def items(value: object) -> Sequence[object]:
    """A list; anything else is an empty one."""
    return value if isinstance(value, list | tuple) else ()


def read(manifest: Manifest) -> Front:
    """Read a VirtualService; what cannot be read of it is not there.

    Neither are weights and version: two readings are equal while nothing else has changed.
    """
    who = replace(fields.meta(manifest, namespace=""), resource_version="")
    spec = manifest.get("spec")
    hosts = _texts(fields.dig(spec, "hosts"))
    gateways = _texts(fields.dig(spec, "gateways")) or [MESH]
    return Front(
        meta=who,
        hosts=frozenset(fqdn(host, namespace=who.namespace) for host in hosts),
        gateways=frozenset(_gateway(name, namespace=who.namespace) for name in gateways),
        exports=exports(spec, namespace=who.namespace),
        paths=tuple(_paths(manifest, namespace=who.namespace)),
    )


def _paths(manifest: Manifest, *, namespace: str) -> Iterator[Path]:
    spec = manifest.get("spec")
    for route in legs.read(manifest, host="", namespace=namespace).routes:
        entry = items(fields.dig(spec, route.protocol))[route.index]
        yield Path(
            title=route.title,
            protocol=route.protocol,
            hosts=frozenset(_destinations(entry, namespace=namespace)),
            delegate=_delegate(entry, namespace=namespace),
            catches_all=not route.conditional and route.elsewhere != "delegate",
            for_every_caller=_for_every_caller(fields.dig(entry, "match")),
        )


def _destinations(entry: object, *, namespace: str) -> Iterator[str]:
    for leg in items(fields.dig(entry, "route")):
        host = fields.text(fields.dig(leg, "destination", "host"))
        if host:
            yield fqdn(host, namespace=namespace)


def _delegate(entry: object, *, namespace: str) -> str:
    name = fields.text(fields.dig(entry, "delegate", "name"))
    where = fields.text(fields.dig(entry, "delegate", "namespace")) or namespace
    return f"{where}/{name}" if name else ""


def _for_every_caller(match: object) -> bool:
    entries = items(match)
    return not entries or any(_leaves_out_nobody(entry) for entry in entries)


def _leaves_out_nobody(entry: object) -> bool:
    if not isinstance(entry, Mapping) or any(entry.get(field) for field in _FOR_SOME):
        return False
    gateways = _texts(entry.get("gateways"))
    return not gateways or MESH in gateways


def _gateway(name: str, *, namespace: str) -> str:
    return name if name == MESH or "/" in name else f"{namespace}/{name}"


def _texts(value: object) -> list[str]:
    return [item for item in items(value) if isinstance(item, str)]
