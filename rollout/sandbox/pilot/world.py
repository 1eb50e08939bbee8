"""What the pilot knows: the objects, sorted by kind, and small ways to read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Manifest = Mapping[str, Any]
"""A Kubernetes object, or part of one, as it came from the API server."""

Config = dict[str, Any]
"""Part of Envoy's configuration, as JSON."""

DOMAIN = "svc.cluster.local"
"""Istio appends this to short names."""

ROOT_NAMESPACE = "istio-system"
"""Where a rule for everybody may stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """The caller whose sidecar our Envoy is.

    Attributes:
        namespace: decides what it sees (``exportTo``) and what short names mean to it.
        labels: compared with ``sourceLabels``.
        folder: where the files go that refer to one another.
        listen_port: of the one listener on 127.0.0.1 for all HTTP hosts; 0 for none.
    """

    namespace: str = "bookinfo"
    labels: Mapping[str, str] = field(default_factory=lambda: {"app": "load"})
    folder: str = "/xds"
    listen_port: int = 0


@dataclass(frozen=True, slots=True)
class World:
    """All objects, by kind, oldest first: Istio prefers the elder where two collide."""

    by_kind: Mapping[str, tuple[Manifest, ...]]

    @classmethod
    def of(cls, objects: Iterable[Manifest]) -> World:
        """Sort ``objects``; kinds that mean nothing to the pilot do no harm."""
        by_kind: dict[str, list[Manifest]] = {}
        for item in objects:
            by_kind.setdefault(item["kind"], []).append(item)
        return cls({kind: tuple(sorted(found, key=_age)) for kind, found in by_kind.items()})

    def all(self, kind: str) -> tuple[Manifest, ...]:
        """The objects of ``kind``, oldest first."""
        return self.by_kind.get(kind, ())


def _age(item: Manifest) -> tuple[str, str, str]:
    meta = item["metadata"]
    return meta.get("creationTimestamp") or "", namespace_of(item), meta["name"]


def namespace_of(item: Manifest) -> str:
    """The namespace of an object; ``default`` when a hand-written one has none."""
    namespace: str = item["metadata"].get("namespace") or "default"
    return namespace


def labels_of(item: Manifest) -> Mapping[str, str]:
    """The labels of an object."""
    labels: Mapping[str, str] = item["metadata"].get("labels") or {}
    return labels


def spec_of(item: Manifest) -> Manifest:
    """The spec of an object."""
    spec: Manifest = item.get("spec") or {}
    return spec


def long_name(host: str, *, namespace: str) -> str:
    """Istio's rule: a name without a dot belongs to the object's namespace, others stay."""
    if "." in host or host.startswith("*"):
        return host
    return f"{host}.{namespace}.{DOMAIN}"


def host_covers(pattern: str, host: str) -> bool:
    """Whether ``pattern``, a full name or one beginning with ``*``, stands for ``host``."""
    if pattern.startswith("*"):
        return host.endswith(pattern[1:])
    return pattern == host


def is_visible(item: Manifest, *, proxy: Proxy) -> bool:
    """Whether ``exportTo`` shows the object to the caller; absent means everybody."""
    targets = spec_of(item).get("exportTo") or ["*"]
    own = namespace_of(item) == proxy.namespace
    return any(t in {"*", proxy.namespace} or (t == "." and own) for t in targets)


def is_subset(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether every wanted label is there; no wish is always met."""
    return all(labels.get(name) == value for name, value in wanted.items())


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|ns|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def duration(text: str) -> str:
    """A Go duration (``1m30s``, ``500ms``) as Envoy's JSON wants it: seconds, ``0.5s``."""
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def fraction(percent: Manifest | None) -> Config:
    """Istio's ``{value: 12.5}`` as Envoy's parts of a million; absent means all."""
    value = 100.0 if percent is None else float(percent.get("value") or 0.0)
    return {"numerator": round(value * 10_000), "denominator": "MILLION"}
