"""How the tests of ownership ask, and what they compare."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from rollout.api.traffic import RouteRef, Routing
from rollout.routes import ownership
from tests.routes.manifests import HOST, NAMESPACE

HALF = Fraction(1, 2)
JASON = [{"headers": {"end-user": {"exact": "jason"}}}]


def select(
    *manifests: dict[str, Any],
    refs: tuple[RouteRef, ...] = (),
    stable: str | None = "v1",
    canary: str | None = "v3",
    host: str = HOST,
) -> Routing:
    return ownership.select(
        manifests, host=host, namespace=NAMESPACE, refs=refs, stable=stable, canary=canary
    )


def named(*routes: str, name: str = "reviews", namespace: str = NAMESPACE) -> tuple[RouteRef, ...]:
    return (RouteRef(namespace=namespace, name=name, routes=routes),)


def labels(routing: Routing) -> list[str]:
    return [f"{each.virtual_service} {each.route}" for each in routing.routes]


def messages(routing: Routing) -> list[str]:
    return [f"{each.reason}: {each.message}" for each in routing.problems]
