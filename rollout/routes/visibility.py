"""What hides our routes from callers, shadows them, or goes round them.

Istio lets several objects speak about one host and follows some of them only. What that does to a
Rollout is looked for here, before traffic moves. A problem is what surely keeps the weights from
being followed, or requests from being answered; whatever may be meant so is a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rollout.api.traffic import Note, Routing
from rollout.base.errors import BadManifest
from rollout.routes import fields
from rollout.routes.fields import Finding
from rollout.routes.fronts import ELSEWHERE, EVERYWHERE, Front, Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The VirtualServices around a Rollout.

    Attributes:
        host: the full name of the service.
        namespace: the Rollout's.
        fronts: all that have to do with the host or with the owned ones.
        owned: those that hold the routes to shift.
        doors: those through which callers come to the owned ones: themselves, or what delegates.
        mine: ``namespace/name`` of those that may hold the routes to shift.
        protocols: of the routes to shift.
        routes: VirtualService and name of those routes.
    """

    host: str
    namespace: str
    fronts: tuple[Front, ...]
    owned: tuple[Front, ...]
    doors: tuple[Front, ...]
    mine: frozenset[str]
    protocols: frozenset[str]
    routes: frozenset[tuple[str, str]]

    @property
    def mesh_doors(self) -> tuple[Front, ...]:
        """The doors for requests of sidecars to the host."""
        return tuple(door for door in self.doors if door.fronts(self.host))

    def spoken(self, host: str) -> str:
        """A host as people write it near the Rollout."""
        return fields.spoken_host(host, namespace=self.namespace)


def scene(
    fronts: Sequence[Front], *, host: str, namespace: str, routing: Routing, mine: frozenset[str]
) -> Scene:
    """Tell the VirtualServices that lead to the routes of a Rollout from the others."""
    held = {state.virtual_service for state in routing.routes}
    owned = tuple(front for front in fronts if str(front) in held)
    doors = [door for front in owned for door in entrances(front, fronts)]
    return Scene(
        host=host,
        namespace=namespace,
        fronts=tuple(fronts),
        owned=owned,
        doors=tuple(dict.fromkeys(doors)),
        mine=mine,
        protocols=frozenset(state.protocol for state in routing.routes),
        routes=frozenset((state.virtual_service, state.route) for state in routing.routes),
    )


def entrances(front: Front, fronts: Sequence[Front]) -> Iterator[Front]:
    """Those through which callers come to a VirtualService: itself, or what delegates to it."""
    if front.hosts:
        yield front
        return
    for root in fronts:
        if root.hosts and front.acts_in(root.meta.namespace) and _names(root, front):
            yield root


def _names(root: Front, delegate: Front) -> bool:
    return any(path.delegate == str(delegate) for path in root.paths)


def rivals(s: Scene) -> Iterator[Finding | Note]:
    """Other VirtualServices for sidecars' requests to the same host; istiod follows one of them."""
    hosts = sorted({host for door in s.doors for host in door.hosts if door.fronts(host)})
    for host in hosts:
        ours = [door for door in s.doors if door.fronts(host)]
        others = [
            front
            for front in s.fronts
            if front not in ours and front.fronts(host) and _speaks(front, s.protocols)
        ]
        if others:
            yield from _rivalry(s, host, ours=ours, others=others)


def _speaks(front: Front, protocols: frozenset[str]) -> bool:
    return any(path.protocol in protocols for path in front.paths)


def _rivalry(
    s: Scene, host: str, *, ours: Sequence[Front], others: Sequence[Front]
) -> Iterator[Finding | Note]:
    """Who wins depends on where the caller is: see `Front.rank`."""
    everyone = [*ours, *others]
    places = {ELSEWHERE, *(front.meta.namespace for front in everyone)}
    places |= {name for front in everyone for name in front.exports - {EVERYWHERE}}
    winners: dict[str, Front] = {}
    beaten: dict[Front, Front] = {}
    for place in sorted(places):
        found = sorted((f for f in everyone if f.acts_in(place)), key=lambda f: f.rank(place))
        if any(front in ours for front in found):
            winners[place] = found[0]
            if found[0] in ours:
                beaten |= {front: found[0] for front in found if front in others}
    lost = {place: front for place, front in winners.items() if front in others}
    spoken = s.spoken(host)
    if lost and len(lost) == len(winners) and all(_takes_all(s, f) for f in lost.values()):
        yield _overruled(lost.get(ELSEWHERE) or next(iter(lost.values())), ours[0], host=spoken)
        return
    for front in dict.fromkeys(lost.values()):
        places_lost = sorted(place for place, winner in lost.items() if winner is front)
        yield Note(
            reason="CallersNotGoverned",
            message=f"{front.subject}: spec.hosts names {spoken} too, and {_callers(places_lost)} "
            f"follow it before {ours[0].subject}, so the weights do not rule all they ask",
        )
    for front, winner in beaten.items():
        if front not in lost.values():
            yield Note(
                reason="VirtualServiceIgnored",
                message=f"{front.subject}: spec.hosts names {spoken} too, and {winner.subject} "
                "comes first, so sidecars ignore it (IST0109)",
            )


def _takes_all(s: Scene, front: Front) -> bool:
    """Whether every sidecar gets a route of it; then it gets none of another for the host.

    Of tls routes only those for one SNI name stand in each other's way.
    """
    protocols, delegates = s.protocols - {"tls"}, {str(one) for one in s.fronts if not one.hosts}
    return any(
        path.protocol in protocols
        and path.for_every_caller
        and (not path.delegate or path.delegate in delegates)
        for path in front.paths
    )


def _overruled(front: Front, ours: Front, *, host: str) -> Finding:
    fault = BadManifest(
        subject=front.subject,
        field="spec.hosts",
        problem=f"names {host} too, and it comes before {ours.subject}, so sidecars follow it "
        "alone (IST0109)",
        remedy="merge the two into one, or delete one of them",
    )
    return Finding(reason="VirtualServiceOverruled", fault=fault)


def _callers(places: Sequence[str]) -> str:
    if ELSEWHERE in places:
        return "callers"
    return f"callers in namespace {fields.listed(places)}"


def delegation(s: Scene, *, watched: str) -> Iterator[Finding | Note]:
    """Routes that delegate to nothing, and delegates that nothing leads to.

    ``watched`` is the only namespace whose objects are known; empty: all are.
    """
    known = {str(front): front for front in s.fronts}
    owned = {str(front) for front in s.owned}
    for root in s.fronts:
        leads = root in s.doors or (not s.owned and str(root) in s.mine)
        for path in root.paths:
            target = known.get(path.delegate)
            if not path.delegate or not root.hosts:
                continue
            if not (path.delegate in owned or (leads and s.host in root.hosts)):
                continue
            if target is None and watched not in {"", path.delegate.partition("/")[0]}:
                continue
            yield from _undelegated(root, path, target)
    for front in s.owned:
        if not front.hosts and not watched and not any(_names(root, front) for root in s.fronts):
            yield Note(
                reason="DelegateUnreached",
                message=f"{front.subject}: spec.hosts is empty and no VirtualService delegates to "
                "it, so nobody follows its weights",
            )


def _undelegated(root: Front, path: Path, target: Front | None) -> Iterator[Finding]:
    where = root.meta.namespace
    if target is None:
        why, remedy = "does not exist", "create it, or remove the route"
    elif target.hosts:
        why, remedy = "has spec.hosts and so is no delegate", "remove its spec.hosts"
    elif not target.acts_in(where):
        why = f"spec.exportTo keeps from namespace {where}"
        remedy = f"add {where} to its spec.exportTo"
    else:
        return
    problem = f"delegates to VirtualService {path.delegate}, which {why}, so Istio drops it"
    fault = BadManifest(subject=root.subject, field=path.title, problem=problem, remedy=remedy)
    yield Finding(reason="DelegateMissing", fault=fault)


def edges(s: Scene) -> Iterator[Note]:
    """Requests that come in by a gateway: those that other weights rule, and doubtful orders."""
    for front in s.fronts if s.owned else ():
        through = [path for path in front.paths if s.host in path.hosts]
        if front in s.owned or not through:
            continue
        gateways = {name for door in entrances(front, s.fronts) for name in door.edges}
        if gateways:
            yield Note(
                reason="IngressNotGoverned",
                message=f"{front.subject}: {through[0].title} sends what comes in by gateway "
                f"{fields.listed(sorted(gateways))} to host {s.spoken(s.host)}, and its weights do "
                "not move with this Rollout (IST0140); to have them moved, name it under "
                "spec.traffic.virtualServices",
            )
    meetings = {(name, host) for door in s.doors for name in door.edges for host in door.hosts}
    for name, host in sorted(meetings):
        yield from _catching_all(s, gateway=name, host=host)


def _catching_all(s: Scene, *, gateway: str, host: str) -> Iterator[Note]:
    """At a gateway the parts of a host are joined, the oldest first, what catches all last."""
    parts = [front for front in s.fronts if gateway in front.gateways and host in front.hosts]
    parts.sort(key=lambda front: front.rank(ELSEWHERE)[1:])
    greedy = [front for front in parts if any(_is_greedy(path) for path in front.paths)]
    if len(greedy) > 1:
        others = fields.listed(str(front) for front in greedy[1:])
        yield Note(
            reason="SeveralCatchAlls",
            message=f"{greedy[0].subject}: at gateway {gateway} its route for all other requests "
            f"to {host} is followed, and those of {others} are not",
        )


def _is_greedy(path: Path) -> bool:
    return path.protocol == "http" and path.catches_all


def unseen(s: Scene, *, service_exports: frozenset[str]) -> Iterator[Note]:
    """Callers that may see the service and do not see what weighs its revisions."""
    doors = s.mesh_doors
    reach = frozenset(name for door in doors for name in door.exports)
    if not doors or EVERYWHERE in reach:
        return
    left_out = sorted(service_exports - reach)
    if left_out:
        who = fields.listed(left_out)
        callers = "callers in other namespaces" if EVERYWHERE in left_out else f"callers in {who}"
        yield Note(
            reason="CallersNotGoverned",
            message=f"{doors[0].subject}: spec.exportTo is {fields.listed(sorted(reach))}, so "
            f"{callers} do not follow its weights but reach all revisions alike",
        )


def filtered(s: Scene, filters: Sequence[tuple[str, frozenset[str]]]) -> Iterator[Note]:
    """EnvoyFilters, each with the routes it names, that miss what managed routes will take."""
    for owner, route in sorted(s.routes):
        for name, routes in filters:
            if route in routes:
                yield Note(
                    reason="EnvoyFilterMissesRoute",
                    message=f"EnvoyFilter {name} names route {route}; the managed routes that a "
                    f"run puts before it in VirtualService {owner} have names of their own, so "
                    "the filter does not act on the requests that they take",
                )
