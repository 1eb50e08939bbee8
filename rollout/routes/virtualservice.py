"""Moving weights in a VirtualService, and managed routes with them, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction

from rollout.api.traffic import ManagedRoutes, RouteRef, RouteState
from rollout.base.errors import BadManifest
from rollout.base.hosts import fqdn
from rollout.routes import legs, ownership, split
from rollout.routes import managed as managed_routes
from rollout.routes.fields import Manifest
from rollout.routes.legs import Holding, Route
from rollout.routes.managed import Operation
from rollout.routes.ownership import Aim, Claims


def canary_percent(route: RouteState, *, stable: str, canary: str) -> Fraction:
    """The canary's share of what stable and canary have together, in percent, from 0 to 100.

    0 when the two have nothing.
    """
    shares = dict(route.shares)
    ours = shares.get(canary, Fraction(0))
    pair = ours + shares.get(stable, Fraction(0))
    return 100 * ours / pair if pair else Fraction(0)


def weight_patch(
    manifest: Manifest,
    *,
    host: str,
    namespace: str,
    refs: tuple[RouteRef, ...],
    stable: str,
    canary: str,
    canary_percent: Decimal,
    managed: ManagedRoutes | None = None,
) -> list[Operation]:
    """The JSON patch that gives the canary its percent of the pair on every owned route.

    It holds only ``replace`` and ``add`` of weight fields, then what makes managed routes the
    wanted ones, after a ``replace`` of the resource version the manifest was read at, so that a
    write decided on an old version is a conflict (a manifest from a file has none, and gets no such
    operation). It is empty when every owned route already divides that way, whatever its total, and
    the managed ones are right. Of an object in which nothing is owned, or that ``refs`` do not
    name, it removes at most the owner's managed routes. Shares of other destinations stay exactly
    as they are.

    Args:
        manifest: the VirtualService; it is not changed.
        host: the full name of the service.
        namespace: the Rollout's namespace.
        refs: the routes that the Rollout names; empty for the default selection.
        stable: the stable subset.
        canary: the canary subset, another one.
        canary_percent: from 0 to 100.
        managed: what managed routes are to do; None leaves them alone.

    Raises:
        BadManifest: when a named route cannot be shifted, when a route of the host cannot be read,
            when the pair has no weight to share, when the percent needs too large a total, or when
            something is in the way of a managed route. Never at 0 percent and without managed
            routes: taking traffic away from the canary does whatever can be done, and what cannot
            is to be seen in `rollout.routes.ownership.select`.
    """
    assert stable != canary
    full = fqdn(host, namespace=namespace)
    service = legs.read(manifest, host=full, namespace=namespace)
    called = (service.meta.namespace, service.meta.name)
    mine = tuple(ref for ref in refs if (ref.namespace, ref.name) == called)
    aim = Aim(host=full, namespace=namespace, refs=mine, stable=stable, canary=canary)
    claims = ownership.claim([service], aim) if mine or not refs else Claims()
    owned = tuple(dict.fromkeys(claims.owned))
    wanted = managed or ManagedRoutes(owner="")
    if (owned or mine) and (canary_percent > 0 or wanted.match is not None or wanted.copies):
        hindering = (each for held in owned for each in managed_routes.in_the_way_of(held, wanted))
        for finding in (*claims.findings, *hindering):
            raise finding.fault
    operations: list[Operation] = []
    desired: dict[int, Sequence[managed_routes.Entry]] = {}
    for holding in owned:
        route = holding.route
        weights = _weights(holding, aim=aim, percent=canary_percent)
        operations += _shift(route, weights)
        if route.protocol == "http":
            entry = _weighted(route, weights)
            desired[route.index] = managed_routes.before(
                holding, entry, canary=canary, wanted=wanted
            )
    if managed is not None:
        operations += managed_routes.operations(service, desired, owner=managed.owner)
    version = service.meta.resource_version
    if not operations or not version:
        return operations
    return [_replace("/metadata/resourceVersion", version), *operations]


def _weights(holding: Holding, *, aim: Aim, percent: Decimal) -> tuple[int, ...]:
    """The weights that a route's destinations are to have, in list order."""
    route = holding.route
    stable, canary = aim.needed
    pair = route.weight_of(stable, canary)
    as_it_is = tuple(leg.weight for leg in route.legs)
    if not pair and route.total:
        return as_it_is  # Only at 0 percent, and nothing goes to the canary here.
    if pair and route.weight_of(canary) * 100 == Fraction(percent) * pair:
        return as_it_is
    weights = split.reweigh(
        [leg.weight for leg in route.legs],
        stable=_places(route, stable),
        canary=_places(route, canary),
        percent=percent,
    )
    if weights is None:
        raise BadManifest(
            subject=holding.service.subject,
            field=route.title,
            problem=f"cannot give {percent} percent to subset {canary} with weights that sum to "
            f"{route.total}, or to a multiple up to {split.TOTAL_MAX}",
            remedy="use weights that sum to 100 or 1000, or a percent with fewer digits",
        )
    return weights


def _weighted(route: Route, weights: tuple[int, ...]) -> managed_routes.Entry:
    """The route as it is to be."""
    entry: managed_routes.Entry = copy.deepcopy(dict(route.entry))
    for leg, known, weight in zip(entry["route"], route.legs, weights, strict=True):
        if known.weight != weight:
            leg["weight"] = weight
    return entry


def _shift(route: Route, weights: tuple[int, ...]) -> Iterator[Operation]:
    for place, (leg, weight) in enumerate(zip(route.legs, weights, strict=True)):
        path = f"/spec/{route.protocol}/{route.index}/route/{place}/weight"
        if leg.weight != weight:
            yield _replace(path, weight) if leg.written else _add(path, weight)


def _places(route: Route, subset: str) -> list[int]:
    return [place for place, leg in enumerate(route.legs) if leg.subset == subset]


def _replace(path: str, value: object) -> Operation:
    return {"op": "replace", "path": path, "value": value}


def _add(path: str, value: object) -> Operation:
    return {"op": "add", "path": path, "value": value}
