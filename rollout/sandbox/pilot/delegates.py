"""Routes that a VirtualService leaves to another one, put in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rollout.sandbox.pilot.world import Manifest, World, namespace_of, spec_of

_FROM_ROOT = (
    "rewrite",
    "timeout",
    "retries",
    "fault",
    "mirror",
    "mirrors",
    "corsPolicy",
    "headers",
)
"""What a delegate's route takes from the root's where it has none of its own."""


def http_routes(item: Manifest, *, world: World) -> Iterator[Manifest]:
    """The routes of ``item`` in order; a delegate that is missing leaves nothing in its place."""
    for route in spec_of(item).get("http") or ():
        if "delegate" in route:
            yield from _delegated(route, item, world=world)
        else:
            yield route


def _delegated(root: Manifest, item: Manifest, *, world: World) -> Iterator[Manifest]:
    wanted = root["delegate"]
    namespace = wanted.get("namespace") or namespace_of(item)
    for child in world.all("VirtualService"):
        spec = spec_of(child)
        is_it = (namespace_of(child), child["metadata"]["name"]) == (namespace, wanted["name"])
        if is_it and not spec.get("hosts"):
            for route in spec.get("http") or ():
                merged = _merge(root, route)
                if merged is not None and "delegate" not in route:
                    yield merged


def _merge(root: Manifest, child: Manifest) -> Manifest | None:
    merged: dict[str, Any] = {name: root[name] for name in _FROM_ROOT if name in root}
    merged.update(child)
    roots: Sequence[Manifest] = root.get("match") or ()
    children: Sequence[Manifest] = child.get("match") or ()
    if not roots or not children:
        matches = [*roots, *children]
    else:
        pairs = (_meet(outer, inner) for outer in roots for inner in children)
        matches = [met for met in pairs if met is not None]
        if not matches:
            return None
    if matches:
        merged["match"] = matches
    return merged


def _meet(outer: Manifest, inner: Manifest) -> Manifest | None:
    """Both conditions as one; None when the inner is no part of the outer."""
    met: dict[str, Any] = {**outer, **inner}
    for name in outer.keys() & inner.keys():
        left, right = outer[name], inner[name]
        if name in {"headers", "withoutHeaders", "queryParams", "sourceLabels"}:
            if any(left[key] != right[key] for key in left.keys() & right.keys()):
                return None
            met[name] = {**left, **right}
        elif name != "name" and left != right and not _refines(left, right):
            return None
    return met


def _refines(outer: object, inner: object) -> bool:
    if not isinstance(outer, dict) or not isinstance(inner, dict) or "prefix" not in outer:
        return False
    text = inner.get("exact") or inner.get("prefix") or ""
    return bool(str(text).startswith(outer["prefix"]))
