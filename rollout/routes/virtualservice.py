"""Moving weights in a VirtualService, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

from rollout.api.traffic import RouteRef, RouteState
from rollout.base.errors import BadManifest
from rollout.base.hosts import fqdn
from rollout.routes import legs, ownership, split
from rollout.routes.fields import Manifest
from rollout.routes.legs import Route
from rollout.routes.ownership import Aim, Holding

Operation = dict[str, Any]
"""One operation of a JSON patch (RFC 6902)."""


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
) -> list[Operation]:
    """The JSON patch that gives the canary its percent of the pair on every owned route.

    It holds only ``replace`` and ``add`` of weight fields, after a ``replace`` of the resource
    version the manifest was read at, so that a write decided on an old version is a conflict (a
    manifest from a file has none, and gets no such operation). It is empty when every owned route
    already divides that way, whatever its total, when nothing of the object is owned, and when
    ``refs`` name other objects only. Shares of other destinations stay exactly as they are.

    Args:
        manifest: the VirtualService; it is not changed.
        host: the full name of the service.
        namespace: the Rollout's namespace.
        refs: the routes that the Rollout names; empty for the default selection.
        stable: the stable subset.
        canary: the canary subset, another one.
        canary_percent: from 0 to 100.

    Raises:
        BadManifest: when a named route cannot be shifted, when a route of the host cannot be read,
            when the pair has no weight to share, or when the percent needs too large a total. Never
            at 0 percent: taking traffic away from the canary does whatever can be done, and what
            cannot is to be seen in `rollout.routes.ownership.select`.
    """
    assert stable != canary
    full = fqdn(host, namespace=namespace)
    service = legs.read(manifest, host=full, namespace=namespace)
    mine = tuple(
        ref
        for ref in refs
        if (ref.namespace, ref.name) == (service.meta.namespace, service.meta.name)
    )
    if refs and not mine:
        return []
    aim = Aim(host=full, namespace=namespace, refs=mine, stable=stable, canary=canary)
    claims = ownership.claim([service], aim)
    if not claims.owned and not mine:
        return []
    if claims.findings and canary_percent > 0:
        raise claims.findings[0].fault
    operations = [
        operation
        for holding in dict.fromkeys(claims.owned)
        for operation in _shift(holding, aim=aim, percent=canary_percent)
    ]
    version = service.meta.resource_version
    if not operations or not version:
        return operations
    return [_replace("/metadata/resourceVersion", version), *operations]


def _shift(holding: Holding, *, aim: Aim, percent: Decimal) -> Iterator[Operation]:
    route = holding.route
    stable, canary = aim.needed
    pair = route.weight_of(stable, canary)
    if not pair and route.total:
        return  # Only at 0 percent, and nothing goes to the canary here.
    if pair and route.weight_of(canary) * 100 == Fraction(percent) * pair:
        return
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
