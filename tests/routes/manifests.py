"""Manifests for the tests of routes: built by hand, and generated."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import jsonpatch
from hypothesis import strategies as st

HOST = "reviews.bookinfo.svc.cluster.local"
NAMESPACE = "bookinfo"


def leg(subset: str = "", weight: int | None = None, **more: Any) -> dict[str, Any]:
    """One destination; a ``host`` among the other fields replaces our own."""
    destination = {"host": more.pop("host", "reviews")}
    if subset:
        destination["subset"] = subset
    found = {"destination": destination, **more}
    if weight is not None:
        found["weight"] = weight
    return found


def route(*legs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One route; no two routes share a destination object, or patching one would patch both."""
    return {**more, "route": copy.deepcopy(list(legs))}


def virtual_service(name: str = "reviews", **spec: Any) -> dict[str, Any]:
    """A VirtualService as the API server sends it."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": NAMESPACE, "resourceVersion": "41"},
        "spec": {"hosts": ["reviews"], **spec},
    }


def destination_rule(name: str = "reviews", created: str = "", **spec: Any) -> dict[str, Any]:
    """A DestinationRule as the API server sends it."""
    metadata = {"name": name, "namespace": NAMESPACE}
    if created:
        metadata["creationTimestamp"] = created
    return {"metadata": metadata, "spec": {"host": "reviews", **spec}}


def subset(name: str, version: str = "", **more: Any) -> dict[str, Any]:
    """A subset that selects a version, its own name unless told otherwise."""
    return {"name": name, "labels": {"version": version or name}, **more}


def patched(manifest: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """A manifest after a patch, as an API server applies it."""
    result: dict[str, Any] = jsonpatch.apply_patch(manifest, operations)
    return result


def weights(manifest: dict[str, Any], at: int = 0, protocol: str = "http") -> list[int]:
    """The weights of one route; missing ones count as 0."""
    return [each.get("weight", 0) for each in manifest["spec"][protocol][at]["route"]]


def without_weights(manifest: dict[str, Any]) -> dict[str, Any]:
    """Everything that a patch must leave alone."""
    rest = copy.deepcopy(manifest)
    rest.get("metadata", {}).pop("resourceVersion", None)
    for entry in entries(rest):
        for each in entry.get("route") or ():
            each.pop("weight", None)
    return rest


def entries(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All routes of a well-formed VirtualService."""
    for protocol in ("http", "tcp", "tls"):
        yield from (manifest.get("spec") or {}).get(protocol) or ()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
"""Any JSON."""

percents = st.decimals(min_value=0, max_value=100, places=1) | st.sampled_from(
    [
        Decimal(0),
        Decimal("0.01"),
        Decimal("0.5"),
        Decimal(5),
        Decimal("33.33"),
        Decimal(50),
        Decimal(100),
    ]
)
"""Percents as people write them into steps."""

_unknown = st.dictionaries(st.sampled_from(["headers", "x-new", "timeout"]), anything, max_size=2)
_hosts = st.sampled_from(["reviews", HOST, "reviews.other", "ratings"])
_weights = st.none() | st.sampled_from([0, 0, 1, 5, 50, 100]) | st.integers(0, 1000)


@st.composite
def legs(draw: st.DrawFn, wanted: str | None = None) -> dict[str, Any]:
    """One destination: ours or foreign, with port and fields nobody knows."""
    more = draw(_unknown)
    host = "reviews" if wanted else draw(_hosts)
    found = leg(
        wanted or draw(st.sampled_from(["", "v1", "v2", "v3"])), draw(_weights), host=host, **more
    )
    if draw(st.booleans()):
        found["destination"]["port"] = {"number": draw(st.integers(1, 9999))}
    return found


@st.composite
def routes(draw: st.DrawFn) -> dict[str, Any]:
    """One route, most often with a pair of ours in it."""
    found = draw(st.lists(legs(), max_size=3))
    if draw(st.integers(0, 3)):
        found += [draw(legs("v1")), draw(legs("v3"))]
    more = draw(_unknown)
    if draw(st.booleans()):
        more["match"] = [{"uri": {"prefix": "/x"}}]
    if not draw(st.integers(0, 9)):
        more["redirect"] = {"uri": "/"}
    return route(*draw(st.permutations(found)), **more)


@st.composite
def virtual_services(draw: st.DrawFn) -> dict[str, Any]:
    """A VirtualService with any mixture of routes, some of them named r0, r1 …"""
    spec: dict[str, Any] = draw(_unknown)
    for protocol in ("http", "tcp", "tls"):
        if draw(st.booleans()) or protocol == "http":
            spec[protocol] = draw(st.lists(routes(), max_size=3))
    for index, entry in enumerate(spec["http"]):
        if draw(st.booleans()):
            entry["name"] = f"r{index}"
    found = virtual_service(**spec)
    found["status"] = draw(anything)
    return found


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every container and key within a document."""
    inner: list[tuple[Any, Any]] = []
    keys = list(document) if isinstance(document, dict) else range(len(document))
    for key in keys:
        inner.append((document, key))
        if isinstance(document[key], dict | list):
            inner += places(document[key])
    return inner


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    """A manifest in which some fields were replaced by anything."""
    found = copy.deepcopy(draw(whole))
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(places(found)))
        container[key] = draw(anything)
    return found
