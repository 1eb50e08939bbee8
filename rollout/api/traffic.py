"""What is routed where: the nouns between manifest reading and deciding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRef:
    """Routes that a Rollout names under ``spec.traffic.virtualServices[]``.

    Attributes:
        namespace: the VirtualService's namespace.
        name: the VirtualService's name.
        routes: names of http, tcp or tls routes; a tcp or tls route, which Istio gives no name, is
            called by its place: ``tcp[0]``. Empty means the default selection.
    """

    namespace: str
    name: str
    routes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteState:
    """One owned or candidate route as it stands.

    Attributes:
        virtual_service: ``namespace/name`` of the object that holds the route.
        protocol: ``http``, ``tcp`` or ``tls``.
        route: the route's name, or its place such as ``http[2]`` when it has none.
        shares: subset to share among the destinations of our host that carry a subset, in list
            order; they sum to 1, or are all 0 when none of them has a weight. Repeated subsets are
            added up.
        foreign_share: share of the route's traffic, from 0 to 1, that goes elsewhere: to other
            hosts, or to our host without a subset.
        total: sum of the weights as written, missing ones counted as 0.
    """

    virtual_service: str
    protocol: str
    route: str
    shares: tuple[tuple[str, Fraction], ...]
    foreign_share: Fraction
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something a person must mend before traffic may move.

    Attributes:
        reason: one CamelCase word for programs. Of routes: ``VirtualServiceMissing``,
            ``RouteMissing``, ``DestinationMissing``, ``SubsetMissing``, ``AmbiguousRoutes``,
            ``ForeignOnly``, ``BrokenManifest``. Of subsets: ``DestinationRuleMissing``,
            ``SubsetMissing``, ``SubsetShadowed``, ``HostMismatch``, ``PassthroughBalancing``,
            ``BrokenManifest``.
        message: one sentence without a full stop: object, field, remedy.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something worth knowing that keeps no traffic from moving.

    Attributes:
        reason: one CamelCase word for programs: ``FaultInjected``, ``OnlyNewConnections``,
            ``WeightsNotSticky``, ``SelectiveDestinationRule``.
        message: one sentence without a full stop: object, field, what it means for a run.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """What is routed where.

    Attributes:
        routes: the owned routes; also a candidate that a problem speaks about, so that what it
            does with traffic is seen.
        problems: what a person must mend; empty when traffic may move.
        notes: what is worth knowing about the owned routes.
    """

    routes: tuple[RouteState, ...]
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetTable:
    """The subsets of a host, as callers without a DestinationRule of their own see them.

    Attributes:
        destination_rule: ``namespace/name`` of the DestinationRule that defines the subsets, the
            oldest when there are several; None when there is none.
        subsets: subset to the labels that its endpoints carry.
        problems: what a person must mend; empty when traffic may move.
        notes: what is worth knowing about the rules.
    """

    destination_rule: str | None
    subsets: Mapping[str, Mapping[str, str]]
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...] = ()


class Spread(StrEnum):
    """How far the proxies are with what was written last."""

    UNASKED = "Unasked"
    """No istiod is configured: traffic or time must tell."""
    UNKNOWN = "Unknown"
    """istiod cannot tell, this time: traffic or time must."""
    PENDING = "Pending"
    """Some proxies have yet to take it."""
    DONE = "Done"
    """All proxies that were sent it have taken it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Propagation:
    """What istiod knows of its proxies.

    Attributes:
        spread: how far they are.
        percent: the canary's weight that this speaks of; None: its subset and endpoints.
        message: what is known, in a sentence without a full stop; with the proxies in the way.
        refused: a proxy has rejected what it was sent, and goes on with what it had.
        hindered: some proxy has rejected it, or been silent for long: waiting alone may not help.
    """

    spread: Spread = Spread.UNASKED
    percent: float | None = None
    message: str = ""
    refused: bool = False
    hindered: bool = False
