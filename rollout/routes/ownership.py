"""Which routes are a Rollout's own, and what a person must mend before they can be shifted.

Named routes are owned as named. Without names a Rollout owns every route that has a destination for
its stable and one for its canary subset; before the stable subset is known (adoption) every route
that splits between subsets of the host, or failing that every unconditional route to one subset.
Routes that redirect, answer by themselves, delegate or lead to other hosts are nobody's. Without
names all of it must be in one VirtualService: which of several is meant, only a person knows.

A VirtualService of somebody else may be as broken as it likes: only what concerns the host, or is
named, or may be what is missing, is a problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from rollout.api.traffic import (
    ManagedRoute,
    ManagedRoutes,
    Note,
    RouteRef,
    RouteState,
    Routing,
)
from rollout.base.errors import BadManifest
from rollout.base.hosts import CLUSTER_DOMAIN, fqdn
from rollout.routes import fields, legs
from rollout.routes import managed as managed_routes
from rollout.routes.fields import Finding, Manifest
from rollout.routes.legs import Holding, Route, Service

_NAME_THEM = "name the routes to shift under spec.traffic.virtualServices[].routes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Whose routes are sought.

    Attributes:
        host: the full name of the service.
        namespace: the Rollout's namespace, in which unnamed routes are sought.
        refs: the routes that the Rollout names; empty for the default selection.
        stable: the stable subset; None before the first adoption.
        canary: the canary subset; None or the stable one when no run is on.
    """

    host: str
    namespace: str
    refs: tuple[RouteRef, ...]
    stable: str | None
    canary: str | None

    @property
    def needed(self) -> tuple[str, ...]:
        """The subsets that an owned route must have."""
        if self.stable is None:
            return ()
        if self.canary is None or self.canary == self.stable:
            return (self.stable,)
        return (self.stable, self.canary)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a Rollout owns.

    Attributes:
        owned: the routes to shift; they have every subset that is needed.
        candidates: routes that lack something, which a finding tells.
        findings: what is wrong.
    """

    owned: tuple[Holding, ...] = ()
    candidates: tuple[Holding, ...] = ()
    findings: tuple[Finding, ...] = ()

    def __add__(self, other: Claims) -> Claims:
        return Claims(
            owned=self.owned + other.owned,
            candidates=self.candidates + other.candidates,
            findings=self.findings + other.findings,
        )


def select(
    virtual_services: Sequence[Manifest],
    *,
    host: str,
    namespace: str,
    refs: tuple[RouteRef, ...],
    stable: str | None,
    canary: str | None,
    owner: str = "",
    managed: Sequence[ManagedRoutes] = (),
) -> Routing:
    """The routes that a Rollout in ``namespace`` owns, and the problems on the way; never raises.

    ``host`` is the full name of the service; ``stable`` is None before the first adoption, and
    ``canary`` is None while no run is on. ``owner`` is the Rollout's ``namespace/name``, and
    ``managed`` all that a run will want of managed routes: what is in their way is a problem too.
    """
    full = fqdn(host, namespace=namespace)
    aim = Aim(host=full, namespace=namespace, refs=refs, stable=stable, canary=canary)
    services = [legs.read(each, host=full, namespace=namespace) for each in virtual_services]
    claims = claim(services, aim)
    held = dict.fromkeys((*claims.owned, *claims.candidates))
    problems = dict.fromkeys(finding.problem for finding in claims.findings)
    notes = [note for holding in held for note in _notes(holding)]
    for wanted in managed:
        problems |= dict.fromkeys(
            finding.problem for finding in managed_routes.in_the_way(claims.owned, wanted)
        )
        notes += managed_routes.notes(claims.owned, wanted)
    for holding in claims.owned:
        problems |= dict.fromkeys(f.problem for f in _in_front(holding, full, owner=owner))
    return Routing(
        routes=tuple(_state(holding) for holding in held),
        problems=tuple(problems),
        notes=tuple(dict.fromkeys(notes)),
        managed=tuple(
            ManagedRoute(virtual_service=str(service.meta), route=one.name)
            for service in services
            for one in service.managed
            if one.owner == owner
        ),
        has_others=legs.has_others(services, [h.route for h in claims.owned]),
    )


def _in_front(holding: Holding, host: str, *, owner: str) -> Iterator[Finding]:
    """Managed routes of other Rollouts, long gone perhaps, that take what an owned route should."""
    service, route = holding.service, holding.route
    if route.protocol != "http" or not owner:
        return
    before = [r.index for r in service.routes if r.protocol == "http" and r.index < route.index]
    for one in service.managed:
        is_here = max(before, default=-1) < one.index < route.index
        if is_here and one.owner != owner and host in one.hosts:
            fault = BadManifest(
                subject=service.subject,
                field=f"route {one.name}",
                problem=f"belongs to Rollout {one.owner} and takes requests before {route.title}",
                remedy="remove it",
            )
            yield Finding(reason="ManagedRouteInFront", fault=fault)


def _notes(holding: Holding) -> Iterator[Note]:
    route, where = holding.route, f"{holding.service.subject}: {holding.route.title}"
    if route.injects:
        yield Note(
            reason="FaultInjected",
            message=f"{where} injects faults, which gates count against both revisions; "
            "its timeout and retries do not act meanwhile",
        )
    if route.protocol != "http":
        yield Note(
            reason="OnlyNewConnections",
            message=f"{where} weighs connections as they are opened; open ones stay where they "
            "are, and callers' proxies close them a while after each change of weights "
            "(drainDuration, 45s by default)",
        )


def claim(services: Sequence[Service], aim: Aim) -> Claims:
    """What the Rollout owns of these VirtualServices; routes named twice may come twice."""
    if not aim.refs:
        own = [each for each in services if each.meta.namespace == aim.namespace]
        claims = _by_default(own, aim)
    else:
        claims = Claims()
        for ref in aim.refs:
            claims += _by_ref(services, ref, aim)
    return claims + Claims(findings=tuple(_foreign_only(claims.owned, aim)))


def _foreign_only(owned: Sequence[Holding], aim: Aim) -> Iterator[Finding]:
    for holding in owned:
        route, needed = holding.route, aim.needed
        if len(needed) == 2 and route.total and not route.weight_of(*needed):
            yield holding.finding(
                "ForeignOnly",
                f"sends nothing to subset {needed[0]} or {needed[1]}, so there is nothing to share",
                remedy=f"give the destination of subset {needed[0]} a weight",
            )


def _by_ref(services: Sequence[Service], ref: RouteRef, aim: Aim) -> Claims:
    named = (ref.namespace, ref.name)
    service = next((s for s in services if (s.meta.namespace, s.meta.name) == named), None)
    if service is None:
        there = [s.meta.name for s in services if s.meta.namespace == ref.namespace]
        remedy = f"name one of {fields.listed(there)}" if there else "create it"
        fault = BadManifest(
            field=f"VirtualService {ref.namespace}/{ref.name}",
            problem="does not exist",
            remedy=remedy,
        )
        return Claims(findings=(Finding(reason="VirtualServiceMissing", fault=fault),))
    if not ref.routes:
        return _by_default([service], aim)
    claims = Claims()
    for name in ref.routes:
        claims += _by_name(service, name, aim)
    return claims


def _by_name(service: Service, name: str, aim: Aim) -> Claims:
    found = [route for route in service.routes if _called(route, name)]
    if not found and service.faults:
        return Claims(findings=tuple(_broken(service.faults)))
    if not found:
        there = [_nameable(route) for route in service.routes]
        remedy = f"name one of {fields.listed(there)}" if there else "add it"
        return _refusal(
            service, f"route {name}", "does not exist", reason="RouteMissing", remedy=remedy
        )
    claims = Claims()
    for route in found:
        holding = Holding(service=service, route=route)
        lacking = tuple(_lacking(holding, aim))
        held = Claims(candidates=(holding,)) if lacking else Claims(owned=(holding,))
        claims += held + Claims(findings=lacking)
    if len(found) > 1:
        # All of them are held, so that an abort reaches whichever was meant.
        claims += _refusal(
            service,
            f"route {name}",
            f"is the name of {fields.listed(route.position for route in found)}",
            reason="AmbiguousRoutes",
            remedy="give each its own name",
        )
    return claims


def _called(route: Route, name: str) -> bool:
    """Http routes are told by name alone: places move when routes are put before them."""
    return name == (route.label if route.protocol != "http" else route.name)


def _nameable(route: Route) -> str:
    unnamed = route.protocol == "http" and not route.name
    return f"{route.position} (which needs a name)" if unnamed else route.label


def _refusal(service: Service, field: str, problem: str, *, reason: str, remedy: str) -> Claims:
    fault = BadManifest(subject=service.subject, field=field, problem=problem, remedy=remedy)
    return Claims(findings=(Finding(reason=reason, fault=fault),))


def _by_default(services: Sequence[Service], aim: Aim) -> Claims:
    every = [Holding(service=each, route=route) for each in services for route in each.routes]
    owned = _picked(every, aim.needed)
    ours = [h.route.fault for h in every if h.route.fault and h.route.concerns]
    if owned:
        findings = (*_broken(ours), *_ambiguous(owned, aim))
        return Claims(owned=owned, findings=findings)
    # What cannot be read may be the very thing that is missing.
    unclear = [h.route.fault for h in every if h.route.fault and not h.route.concerns]
    faults = [fault for each in services for fault in each.faults]
    broken = Claims(findings=tuple(_broken([*ours, *unclear, *faults])))
    return broken + _nothing(services, every, aim)


def _ambiguous(owned: Sequence[Holding], aim: Aim) -> Iterator[Finding]:
    """Refuse to choose between VirtualServices; all stay owned, so that an abort reaches them."""
    names = dict.fromkeys(holding.service.meta.name for holding in owned)
    if len(names) > 1:
        host = fields.spoken_host(aim.host, namespace=aim.namespace)
        fault = BadManifest(
            field="spec.traffic.virtualServices",
            problem=f"names none, and host {host} is routed by {fields.listed(names)}",
            remedy="name there which of them to shift",
        )
        yield Finding(reason="AmbiguousRoutes", fault=fault)


def _picked(every: Sequence[Holding], needed: tuple[str, ...]) -> tuple[Holding, ...]:
    fit = [h for h in every if h.route.subsets and set(needed) <= set(h.route.subsets)]
    split = tuple(h for h in fit if len(h.route.subsets) > 1)
    if split or len(needed) > 1:
        return split
    return tuple(h for h in fit if not h.route.conditional)


def _broken(faults: Sequence[BadManifest]) -> Iterator[Finding]:
    return (Finding(reason="BrokenManifest", fault=fault) for fault in faults)


def _nothing(services: Sequence[Service], every: Sequence[Holding], aim: Aim) -> Claims:
    """Why nothing is owned, told about the route that comes nearest."""
    with_subset = [h for h in every if h.route.subsets]
    if with_subset:
        # The first of the best wins: earlier routes match first.
        best = max(with_subset, key=lambda h: _nearness(h.route, aim))
        return Claims(candidates=(best,), findings=tuple(_lacking(best, aim)) or (_unsure(best),))
    near = [h for h in every if h.route.concerns]
    if near:
        return Claims(findings=tuple(_lacking(near[0], aim)))
    host = fields.spoken_host(aim.host, namespace=aim.namespace)
    serving = next((each for each in services if each.serves or aim.refs), None)
    if serving and serving.broken:
        return Claims()
    if serving:
        return _refusal(
            serving,
            "spec",
            f"has no route with a destination of host {host}",
            reason="RouteMissing",
            remedy="name the VirtualService that has under spec.traffic.virtualServices[].name",
        )
    fault = BadManifest(
        field=f"namespace {aim.namespace}",
        problem=f"has no VirtualService that routes host {host}",
        remedy="create one whose route has a destination for each subset" + _full_name(host),
    )
    return Claims(findings=(Finding(reason="VirtualServiceMissing", fault=fault),))


def _full_name(host: str) -> str:
    """A hint for who wrote ``reviews.bookinfo``: with a dot in it Istio takes a name as written."""
    if host.count(".") != 1:
        return ""
    return f", or name the service in full: {host}.svc.{CLUSTER_DOMAIN}"


def _nearness(route: Route, aim: Aim) -> tuple[int, bool]:
    wanted = {subset for subset in (aim.stable, aim.canary) if subset}
    return len(wanted & set(route.subsets)), not route.conditional


def _unsure(holding: Holding) -> Finding:
    return holding.finding(
        "AmbiguousRoutes", "gets only some of the host's requests", remedy=_NAME_THEM
    )


def _lacking(holding: Holding, aim: Aim) -> Iterator[Finding]:
    """What keeps a route from being owned by name."""
    route = holding.route
    host = fields.spoken_host(aim.host, namespace=holding.service.meta.namespace)
    if route.fault:
        yield Finding(reason="BrokenManifest", fault=route.fault)
    elif route.elsewhere:
        yield holding.finding(
            "DestinationMissing",
            f"has a {route.elsewhere} in place of destinations",
            remedy="name a route with destinations",
        )
    elif not route.subsets and route.concerns:
        yield holding.finding(
            "SubsetMissing",
            f"names host {host} without a subset",
            remedy="name a subset in its destination",
        )
    elif not route.subsets:
        yield holding.finding(
            "DestinationMissing",
            f"has no destination for host {host}",
            remedy="name a route of that host",
        )
    for subset in aim.needed if route.subsets else ():
        if subset not in route.subsets:
            yield holding.finding(
                "DestinationMissing",
                f"has no destination for host {host} subset {subset}",
                remedy=_addition(route),
            )


def _addition(route: Route) -> str:
    """A destination that stands alone needs no weight; beside another one it does."""
    also = "" if route.total else ", and give the present one weight 100"
    return f"add one with weight 0{also}"


def _state(holding: Holding) -> RouteState:
    route = holding.route
    # A single destination gets everything, whatever its weight (Istio's rule).
    weights = [1] if len(route.legs) == 1 else [leg.weight for leg in route.legs]
    by_subset = dict.fromkeys(route.subsets, 0)
    for leg, weight in zip(route.legs, weights, strict=True):
        if leg.subset in by_subset:
            by_subset[leg.subset] += weight
    ours, total = sum(by_subset.values()), sum(weights)
    return RouteState(
        virtual_service=str(holding.service.meta),
        protocol=route.protocol,
        route=route.label,
        shares=tuple((subset, _part(weight, ours)) for subset, weight in by_subset.items()),
        foreign_share=Fraction(1) if route.elsewhere else _part(total - ours, total),
        total=route.total,
        retries=route.retries,
    )


def _part(weight: int, total: int) -> Fraction:
    return Fraction(weight, total) if total else Fraction(0)
