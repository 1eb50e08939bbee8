"""A VirtualService read into routes and legs, without changing it and without raising.

Only what decides about weights is modelled; everything else stays in the manifest, where patches
leave it untouched. A part that cannot be read becomes a fault beside the parts that can. Managed
routes, ours or another Rollout's, are kept apart: nobody owns them, and they move nobody's place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rollout.base.errors import BadManifest
from rollout.base.hosts import fqdn
from rollout.routes import fields, names
from rollout.routes.fields import Finding, Manifest, Meta, Place

PROTOCOLS = ("http", "tcp", "tls")
"""The lists of routes in a VirtualService's spec."""

WEIGHT_MAX = 2**31 - 1
"""Istio's weights are int32, and so is its sum of a route's weights."""

_ELSEWHERE = ("redirect", "directResponse", "delegate")
_ADDRESSING = frozenset({"name", "port", "gateways", "statPrefix"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One destination of a route.

    Attributes:
        subset: the subset, when the destination is our host and carries one; else empty.
        weight: the weight as written; missing is 0.
        written: whether there is a weight field.
    """

    subset: str
    weight: int
    written: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route of a VirtualService that a person wrote.

    Attributes:
        protocol: ``http``, ``tcp`` or ``tls``.
        index: its place in the list, for patches.
        number: its place among the routes that are not managed, for people; from 0.
        name: its name; empty when it has none. Istio names http routes only.
        legs: its destinations, all of them; empty when it cannot be read.
        conditional: whether only some requests reach it. Ports, gateways and SNI names say where a
            service is called, not by whom, so a tcp or tls route is never conditional.
        elsewhere: ``redirect``, ``directResponse`` or ``delegate`` when such a thing answers in
            place of destinations; else empty.
        concerns: whether a destination is our host, with or without subset.
        injects: whether it delays or aborts requests on purpose (Istio's ``fault``).
        retries: whether it has retries of its own. Without any Istio sends again what never
            reached a pod, which hides nothing that pods could tell, and gRPC requests that were
            answered Unavailable or Cancelled.
        fault: why it cannot be read, if so.
        entry: all of it, as written.
    """

    protocol: str
    index: int
    number: int
    name: str = ""
    legs: tuple[Leg, ...] = ()
    conditional: bool = False
    elsewhere: str = ""
    concerns: bool = False
    injects: bool = False
    retries: bool = False
    fault: BadManifest | None = None
    entry: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def label(self) -> str:
        """Its name, or its place in the list."""
        return self.name or self.position

    @property
    def position(self) -> str:
        """Its place, such as ``http[2]``; managed routes do not count."""
        return f"{self.protocol}[{self.number}]"

    @property
    def title(self) -> str:
        """What sentences call it."""
        return f"{self.protocol} route {self.name}" if self.name else f"route {self.position}"

    @property
    def subsets(self) -> tuple[str, ...]:
        """The subsets of our host, each once, in list order; none when it goes elsewhere."""
        if self.elsewhere:
            return ()
        return tuple(dict.fromkeys(leg.subset for leg in self.legs if leg.subset))

    @property
    def total(self) -> int:
        """Sum of the weights as written."""
        return sum(leg.weight for leg in self.legs)

    def weight_of(self, *subsets: str) -> int:
        """Sum of the weights of these subsets' legs."""
        return sum(leg.weight for leg in self.legs if leg.subset and leg.subset in subsets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """One managed route, ours or another Rollout's.

    Attributes:
        index: its place in the list of http routes.
        name: its name.
        owner: the Rollout's ``namespace/name``.
        hosts: full names of the hosts that it sends requests to.
        entry: all of it, as written.
    """

    index: int
    name: str
    owner: str
    hosts: frozenset[str] = frozenset()
    entry: Mapping[str, Any] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One VirtualService.

    Attributes:
        meta: who it is.
        routes: the routes that people wrote, in list order, http before tcp before tls.
        managed: the managed ones, in list order.
        serves: whether ``spec.hosts`` names our host.
        faults: why parts of it, other than single routes, cannot be read.
    """

    meta: Meta
    routes: tuple[Route, ...]
    managed: tuple[Managed, ...]
    serves: bool
    faults: tuple[BadManifest, ...]

    @property
    def subject(self) -> str:
        """What sentences call it."""
        return f"VirtualService {self.meta}"

    @property
    def broken(self) -> bool:
        """Whether any part of it cannot be read."""
        return bool(self.faults) or any(route.fault for route in self.routes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A route and the VirtualService that holds it."""

    service: Service
    route: Route

    def finding(self, reason: str, problem: str, *, remedy: str) -> Finding:
        """Something wrong with the route."""
        fault = BadManifest(
            subject=self.service.subject, field=self.route.title, problem=problem, remedy=remedy
        )
        return Finding(reason=reason, fault=fault)


def read(manifest: Manifest, *, host: str, namespace: str) -> Service:
    """Read a VirtualService with the eyes of ``host``, a full name; never raises for its content.

    ``namespace`` is where an object without a namespace belongs.
    """
    who = fields.meta(manifest, namespace=namespace)
    root = Place(subject=f"VirtualService {who}", path="spec")
    faults: list[BadManifest] = []
    routes: list[Route] = []
    managed: list[Managed] = []
    spec: Mapping[str, Any] = {}
    try:
        spec = root.mapping(manifest.get("spec"))
    except BadManifest as fault:
        faults.append(fault)
    for protocol in PROTOCOLS:
        try:
            entries = root.at(protocol).items(spec.get(protocol))
        except BadManifest as fault:
            faults.append(fault)
            continue
        ours = tuple(_managed(entries, namespace=who.namespace)) if protocol == "http" else ()
        managed += ours
        taken = {each.index for each in ours}
        theirs = (index for index in range(len(entries)) if index not in taken)
        for number, index in enumerate(theirs):
            here = root.at(protocol).at(number)
            route = Route(protocol=protocol, index=index, number=number)
            found = _route(entries[index], route, place=here, host=host, namespace=who.namespace)
            routes.append(found)
    return Service(
        meta=who,
        routes=tuple(routes),
        managed=tuple(managed),
        serves=_serves(spec.get("hosts"), host=host, namespace=who.namespace),
        faults=tuple(faults),
    )


def _managed(entries: Sequence[object], *, namespace: str) -> Iterator[Managed]:
    for index, entry in enumerate(entries):
        data: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {}
        name = fields.text(data.get("name"))
        owner = names.owner_of(name)
        if owner:
            hosts = frozenset(_hosts(entry, namespace=namespace))
            yield Managed(index=index, name=name, owner=owner, hosts=hosts, entry=data)


def _serves(hosts: object, *, host: str, namespace: str) -> bool:
    names = hosts if isinstance(hosts, list | tuple) else ()
    return any(fqdn(name, namespace=namespace) == host for name in names if isinstance(name, str))


def _route(entry: object, route: Route, *, place: Place, host: str, namespace: str) -> Route:
    name = fields.text(entry.get("name")) if isinstance(entry, Mapping) else ""
    concerns = host in set(_hosts(entry, namespace=namespace))
    legs: tuple[Leg, ...] = ()
    fault = None
    try:
        legs = tuple(_legs(place.mapping(entry), place=place, host=host, namespace=namespace))
        _check_total(legs, place=place.at("route"))
    except BadManifest as problem:
        legs, fault = (), problem
    data: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {}
    return replace(
        route,
        name=name,
        legs=legs,
        conditional=route.protocol == "http" and _conditional(data.get("match")),
        elsewhere=next((field for field in _ELSEWHERE if data.get(field) is not None), ""),
        concerns=concerns,
        injects=bool(data.get("fault")),
        retries=_retries(data.get("retries")),
        fault=fault,
        entry=data,
    )


def _hosts(entry: object, *, namespace: str) -> Iterator[str]:
    """The hosts that can be made out, however broken the rest is."""
    found = entry.get("route") if isinstance(entry, Mapping) else None
    for leg in found if isinstance(found, list | tuple) else ():
        destination = leg.get("destination") if isinstance(leg, Mapping) else None
        if isinstance(destination, Mapping):
            yield fqdn(fields.text(destination.get("host")), namespace=namespace)


def _legs(entry: Mapping[str, Any], *, place: Place, host: str, namespace: str) -> Iterator[Leg]:
    for index, found in enumerate(place.at("route").items(entry.get("route"))):
        here = place.at("route").at(index)
        leg = here.mapping(found)
        there = here.at("destination")
        destination = there.mapping(leg.get("destination"))
        name = there.at("host").word(destination.get("host"))
        subset = there.at("subset").optional_word(destination.get("subset"))
        yield Leg(
            subset=subset if fqdn(name, namespace=namespace) == host else "",
            weight=_weight(leg.get("weight"), place=here.at("weight")),
            written="weight" in leg,
        )


def _check_total(legs: tuple[Leg, ...], *, place: Place) -> None:
    total = sum(leg.weight for leg in legs)
    if total > WEIGHT_MAX:
        problem = f"has weights that sum to {total}"
        raise place.fault(problem, remedy="use weights that sum to 100")


def _weight(value: object, *, place: Place) -> int:
    """A missing weight is 0: Go clients leave a 0 out, others write it."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= WEIGHT_MAX:
        problem = f"is {fields.shown(value)}"
        raise place.fault(problem, remedy=f"make it a whole number from 0 to {WEIGHT_MAX}")
    return value


def _retries(wish: object) -> bool:
    """Istio's rule: without ``attempts``, or with 0 of them, nothing is sent again."""
    attempts = wish.get("attempts") if isinstance(wish, Mapping) else None
    return isinstance(attempts, int) and attempts > 0


def _conditional(match: object) -> bool:
    """Entries are alternatives: one that every request fulfils makes the route unconditional."""
    entries = match if isinstance(match, list | tuple) else ()
    return bool(entries) and not any(_everyone(entry) for entry in entries)


def _everyone(entry: object) -> bool:
    if not isinstance(entry, Mapping):
        return False
    asked = {key for key in entry if key not in _ADDRESSING}
    return not asked or (asked == {"uri"} and entry["uri"] == {"prefix": "/"})


def has_others(services: Sequence[Service], owned: Sequence[Route]) -> bool:
    """Whether routes of these VirtualServices that are none of the owned ones go to the host."""
    held = {id(route) for route in owned}
    routes = (route for service in services for route in service.routes)
    return any(route.concerns and id(route) not in held for route in routes)
