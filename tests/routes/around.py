"""What the tests of a Rollout's surroundings are made of, and what they compare."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from rollout.api.traffic import Note, RouteState, Routing
from rollout.routes import fronts, visibility
from rollout.routes.fields import Finding
from rollout.routes.fronts import Front
from rollout.routes.visibility import Scene
from tests.routes.manifests import HOST, NAMESPACE, leg, route

OLD, NEW = "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"
PAIR = route(leg("v1", 100), leg("v2", 0), name="primary")


def manifest(
    name: str = "reviews", *, namespace: str = NAMESPACE, created: str = OLD, **spec: Any
) -> dict[str, Any]:
    """A VirtualService of any namespace and age."""
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
    return {"metadata": metadata, "spec": spec}


def front(name: str = "reviews", **spec: Any) -> Front:
    """A VirtualService as callers meet it; with a pair of ours unless told otherwise."""
    hosts = spec.pop("hosts", ["reviews"])
    routes = spec.pop("http", [PAIR])
    return fronts.read(manifest(name, **{"hosts": hosts} if hosts else {}, http=routes, **spec))


def scene(*all_of_them: Front, owned: Iterable[str] = (f"{NAMESPACE}/reviews",)) -> Scene:
    """The surroundings of a Rollout that owns the http routes of some."""
    states = tuple(
        RouteState(
            virtual_service=name,
            protocol="http",
            route="primary",
            shares=(("v1", Fraction(1)), ("v2", Fraction(0))),
            foreign_share=Fraction(0),
            total=100,
        )
        for name in owned
    )
    return visibility.scene(
        all_of_them,
        host=HOST,
        namespace=NAMESPACE,
        routing=Routing(routes=states, problems=()),
        mine=frozenset(owned),
    )


def told(said: Iterable[Finding | Note]) -> list[str]:
    """What is said, problems marked as such."""
    return [
        f"! {one.reason}: {one.problem.message}"
        if isinstance(one, Finding)
        else f"{one.reason}: {one.message}"
        for one in said
    ]
