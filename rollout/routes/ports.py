"""What istiod takes the ports of a host for, and whether our routes act there.

A port is told by its ``appProtocol`` or the first word of its name. Of one that says nothing the
first bytes of each connection are looked at, except where that would break what runs there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rollout.api.traffic import Note
from rollout.base.errors import BadManifest
from rollout.routes import fields
from rollout.routes.fields import Finding, Manifest
from rollout.routes.fronts import items


class Traffic(StrEnum):
    """What a port carries, as far as routes go."""

    HTTP = "HTTP"
    TCP = "TCP"
    GUESSED = "guessed"


_HTTP = frozenset({"http", "http2", "grpc", "grpc-web", "http_proxy"})
_TCP = frozenset({"tcp", "tls", "https", "mongo", "redis", "mysql"})

_SPELT_OUT = {"kubernetes.io/h2c": "http2", "kubernetes.io/ws": "http", "kubernetes.io/wss": "tls"}
"""Kubernetes' own words for an ``appProtocol``."""

_NEVER_GUESSED = frozenset({25, 53, 3306, 27017})
"""Ports of servers that speak first; istiod takes them for TCP unless they say otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port of a host.

    Attributes:
        owner: the object that has it.
        label: its name, or its number.
        traffic: what istiod takes it for.
    """

    owner: str
    label: str
    traffic: Traffic


def of_service(manifest: Manifest) -> Iterator[Port]:
    """The ports of a Kubernetes Service."""
    owner = f"Service {fields.meta(manifest, namespace='')}"
    for port in items(fields.dig(manifest, "spec", "ports")):
        if fields.dig(port, "protocol") in {None, "TCP"}:
            said = fields.text(fields.dig(port, "appProtocol"))
            name = fields.text(fields.dig(port, "name"))
            number = fields.dig(port, "port")
            word = _SPELT_OUT.get(said, said) or name
            yield Port(owner=owner, label=name or str(number), traffic=_traffic(word, number))


def of_entry(manifest: Manifest) -> Iterator[Port]:
    """The ports of a ServiceEntry."""
    owner = f"ServiceEntry {fields.meta(manifest, namespace='')}"
    for port in items(fields.dig(manifest, "spec", "ports")):
        word = fields.text(fields.dig(port, "protocol"))
        number = fields.dig(port, "number")
        label = fields.text(fields.dig(port, "name")) or str(number)
        if word.lower() != "udp":
            yield Port(owner=owner, label=label, traffic=_traffic(word, number))


def _traffic(word: str, number: object) -> Traffic:
    word = word.lower()
    first = "grpc-web" if word.startswith("grpc-web") else word.partition("-")[0]
    if first in _HTTP:
        return Traffic.HTTP
    return Traffic.TCP if first in _TCP or number in _NEVER_GUESSED else Traffic.GUESSED


def look(ports: Sequence[Port], *, protocols: frozenset[str]) -> Iterator[Finding | Note]:
    """Whether routes of these protocols act for sidecars at the ports."""
    kinds = {port.traffic for port in ports}
    if "http" in protocols and kinds == {Traffic.TCP}:
        yield _inert(ports, "http", wanted=Traffic.HTTP)
    elif "tcp" in protocols and kinds == {Traffic.HTTP}:
        yield _inert(ports, "tcp", wanted=Traffic.TCP)
    elif "http" in protocols and Traffic.GUESSED in kinds and Traffic.HTTP not in kinds:
        port = next(port for port in ports if port.traffic is Traffic.GUESSED)
        yield Note(
            reason="PortProtocolGuessed",
            message=f"{port.owner}: port {port.label} does not say that it is HTTP, so the first "
            "bytes of each connection decide, and what is not plain HTTP does not follow the "
            "weights (IST0118); begin its name with http, or set its appProtocol",
        )


def _inert(ports: Sequence[Port], protocol: str, *, wanted: Traffic) -> Finding:
    labels = fields.listed(port.label for port in ports)
    word = wanted.lower()
    fault = BadManifest(
        subject=ports[0].owner,
        field=f"spec.ports {labels}",
        problem=f"carry {ports[0].traffic} as Istio takes it, so {protocol} routes do nothing",
        remedy=f"begin the name of the port with {word}, or set its appProtocol to {word}",
    )
    return Finding(reason="PortProtocol", fault=fault)
