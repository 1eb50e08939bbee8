"""What is routed where: the nouns between manifest reading and deciding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any

from rollout.api.guard import Retries
from rollout.api.match import Match


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
        retries: whether it says itself that failed requests are sent again.
    """

    virtual_service: str
    protocol: str
    route: str
    shares: tuple[tuple[str, Fraction], ...]
    foreign_share: Fraction
    total: int
    retries: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedRoutes:
    """What routes of our own do for the time being, in front of every owned http route.

    Attributes:
        owner: the Rollout's ``namespace/name``; it stands in the names of its managed routes.
        match: the requests that go to the canary whatever the weights; None: no such route.
        mirror_percent: how many requests are copied to the canary, in percent; 0: none.
        timeout: how long a request may take; empty: as the owned route says.
        retries: how often a failed request is sent again; None: as the owned route says.
    """

    owner: str
    match: Match | None = None
    mirror_percent: float = 0
    timeout: str = ""
    retries: Retries | None = None

    @property
    def copies(self) -> bool:
        """Whether a copy of the owned route, weights and all, is to stand in front of it."""
        return self.mirror_percent > 0 or bool(self.timeout) or self.retries is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedRoute:
    """A route of ours as it stands, whatever has been made of it.

    Attributes:
        virtual_service: ``namespace/name`` of the object that holds the route.
        route: its name.
    """

    virtual_service: str
    route: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something a person must mend before traffic may move.

    Attributes:
        reason: one CamelCase word for programs. Of routes: ``VirtualServiceMissing``,
            ``RouteMissing``, ``DestinationMissing``, ``SubsetMissing``, ``AmbiguousRoutes``,
            ``ForeignOnly``, ``ManagedRouteInFront``, ``BrokenManifest``. Of subsets:
            ``DestinationRuleMissing``, ``SubsetMissing``, ``SubsetShadowed``, ``HostMismatch``,
            ``PassthroughBalancing``, ``BrokenManifest``, ``WriteDenied``. Of what is around them:
            ``VirtualServiceOverruled``, ``DelegateMissing``, ``CallersWithoutSubset``,
            ``PortProtocol``.
        message: one sentence without a full stop: object, field, remedy.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something worth knowing that keeps no traffic from moving.

    Attributes:
        reason: one CamelCase word for programs: ``FaultInjected``, ``OnlyNewConnections``,
            ``WeightsNotSticky``, ``SelectiveDestinationRule``, ``GuardNotNeeded``,
            ``GuardPassedBy``; of what is around routes and rules: ``VirtualServiceIgnored``,
            ``CallersNotGoverned``, ``CallersWithoutSubset``, ``IngressNotGoverned``,
            ``DelegateUnreached``, ``SeveralCatchAlls``, ``PortProtocolGuessed``,
            ``EnvoyFilterMissesRoute``; of our own role: ``KindsNotRead``.
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
        managed: the routes of our own that stand there for this Rollout.
        has_others: whether these objects send the host's requests by further routes too, which no
            weight of ours reaches.
    """

    routes: tuple[RouteState, ...]
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...] = ()
    managed: tuple[ManagedRoute, ...] = ()
    has_others: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What other objects do to the routes and subsets of a Rollout.

    Attributes:
        problems: what a person must mend; empty when traffic may move.
        notes: what is worth knowing.
    """

    problems: tuple[Problem, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetPolicy:
    """A subset's own traffic policy.

    Attributes:
        destination_rule: ``namespace/name`` of the DestinationRule that really defines the subset.
        fields: the policy as it stands; empty when there is none.
    """

    destination_rule: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetTable:
    """The subsets of a host, as callers without a DestinationRule of their own see them.

    Attributes:
        destination_rule: ``namespace/name`` of the DestinationRule that defines the subsets, the
            oldest when there are several; None when there is none.
        subsets: subset to the labels that its endpoints carry.
        problems: what a person must mend; empty when traffic may move.
        notes: what is worth knowing about the rules.
        policies: subset to the traffic policy of its own.
    """

    destination_rule: str | None
    subsets: Mapping[str, Mapping[str, str]]
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...] = ()
    policies: Mapping[str, SubsetPolicy] = field(default_factory=dict)


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
