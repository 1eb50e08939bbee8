"""What the controller remembers of the cluster: one cache a kind, indexed by who asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from rollout.api import reading
from rollout.api.meta import (
    CLUSTER_ROLLOUT_POLICY,
    DESTINATION_RULE,
    ENDPOINT_SLICE,
    ENVOY_FILTER,
    POD,
    ROLLOUT,
    ROLLOUT_ACTION,
    ROLLOUT_POLICY,
    SERVICE,
    SERVICE_ENTRY,
    SIDECAR,
    VIRTUAL_SERVICE,
    WORKLOAD_ENTRY,
    Key,
    Kind,
    Manifest,
)
from rollout.api.traffic import Note
from rollout.base.errors import BadManifest
from rollout.base.hosts import fqdn
from rollout.controller import cache
from rollout.controller.cache import Cache
from rollout.controller.standing import acts_on_all, policy_called, policy_named, standing
from rollout.engine.observation import GivenAction

PROTOCOLS = ("http", "tcp", "tls")


def _namespace(manifest: Manifest) -> str:
    return str(manifest["metadata"].get("namespace", ""))


def _host(spec: object, namespace: str) -> Iterator[str]:
    host = spec.get("host") if isinstance(spec, dict) else None
    if isinstance(host, str) and host:
        yield fqdn(host, namespace=namespace)


def rollout_hosts(rollout: Manifest) -> Iterator[str]:
    """The host a Rollout is about, and the one its run in progress is about."""
    namespace = _namespace(rollout)
    yield from _host(rollout.get("spec"), namespace)
    yield from running_hosts(rollout)


def running_hosts(rollout: Manifest) -> Iterator[str]:
    """The host that a Rollout's run in progress is about; nothing without one."""
    namespace, status = _namespace(rollout), rollout.get("status")
    run = status.get("run") if isinstance(status, dict) else None
    if isinstance(run, dict) and "endedAt" not in run:
        yield from _host(run.get("plan"), namespace)


def destination_hosts(virtual_service: Manifest) -> Iterator[str]:
    """The hosts that a VirtualService is for or sends to; broken parts are passed over."""
    namespace = _namespace(virtual_service)
    spec = virtual_service.get("spec")
    if not isinstance(spec, dict):
        return
    yield from served_hosts(virtual_service)
    for protocol in PROTOCOLS:
        routes = spec.get(protocol)
        for route in routes if isinstance(routes, list) else ():
            legs = route.get("route") if isinstance(route, dict) else None
            for leg in legs if isinstance(legs, list) else ():
                if isinstance(leg, dict):
                    yield from _host(leg.get("destination"), namespace)


def served_hosts(item: Manifest) -> Iterator[str]:
    """The hosts that a VirtualService is for, or that a ServiceEntry adds to the mesh."""
    spec = item.get("spec")
    hosts = spec.get("hosts") if isinstance(spec, dict) else None
    for host in hosts if isinstance(hosts, list) else ():
        if isinstance(host, str):
            yield fqdn(host, namespace=_namespace(item))


def delegates(virtual_service: Manifest) -> Iterator[str]:
    """The VirtualServices that routes of one leave the answer to, as ``namespace/name``."""
    spec = virtual_service.get("spec")
    routes = spec.get("http") if isinstance(spec, dict) else None
    for route in routes if isinstance(routes, list) else ():
        found = route.get("delegate") if isinstance(route, dict) else None
        if isinstance(found, dict) and isinstance(found.get("name"), str):
            yield f"{found.get('namespace') or _namespace(virtual_service)}/{found['name']}"


def named_virtual_services(rollout: Manifest) -> Iterator[str]:
    """The VirtualServices that a Rollout names in its spec or its running plan."""
    status = rollout.get("status")
    run = status.get("run") if isinstance(status, dict) else None
    plan = run.get("plan") if isinstance(run, dict) else None
    for spec in (rollout.get("spec"), plan):
        traffic = spec.get("traffic") if isinstance(spec, dict) else None
        refs = traffic.get("virtualServices") if isinstance(traffic, dict) else None
        for ref in refs if isinstance(refs, list) else ():
            if isinstance(ref, dict):
                yield f"{ref.get('namespace') or _namespace(rollout)}/{ref.get('name')}"


def _rule_hosts(rule: Manifest) -> Iterator[str]:
    return _host(rule.get("spec"), _namespace(rule))


def _rollout_of(action: Manifest) -> Iterator[str]:
    spec = action.get("spec")
    name = spec.get("rollout") if isinstance(spec, dict) else None
    if isinstance(name, str):
        yield str(Key(_namespace(action), name))


def service_of(piece: Manifest) -> Iterator[str]:
    """The Service that an EndpointSlice belongs to, as ``namespace/name``."""
    labels = piece["metadata"].get("labels") or {}
    if cache.SERVICE_NAME in labels:
        yield str(Key(_namespace(piece), str(labels[cache.SERVICE_NAME])))


def _pods_of(piece: Manifest) -> Iterator[str]:
    for endpoint in piece.get("endpoints") or ():
        target = (endpoint.get("targetRef") or {}).get("name")
        if target:
            yield str(Key(_namespace(piece), target))


def _namespaces(manifest: Manifest) -> Iterator[str]:
    yield _namespace(manifest)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The caches, each kept by a watch.

    Attributes:
        namespace: the only one whose objects are known; empty: all are.
    """

    namespace: str = ""
    rollouts: Cache = field(
        default_factory=lambda: Cache(
            ROLLOUT,
            indexes={
                "host": rollout_hosts,
                "virtual service": named_virtual_services,
                "namespace": _namespaces,
                "policy": policy_named,
                "standing": standing,
            },
        )
    )
    actions: Cache = field(
        default_factory=lambda: Cache(ROLLOUT_ACTION, indexes={"rollout": _rollout_of})
    )
    policies: Cache = field(
        default_factory=lambda: Cache(ROLLOUT_POLICY, indexes={"namespace": _namespaces})
    )
    cluster_policies: Cache = field(default_factory=lambda: Cache(CLUSTER_ROLLOUT_POLICY))
    virtual_services: Cache = field(
        default_factory=lambda: Cache(
            VIRTUAL_SERVICE, indexes={"host": destination_hosts, "delegate": delegates}
        )
    )
    destination_rules: Cache = field(
        default_factory=lambda: Cache(DESTINATION_RULE, indexes={"host": _rule_hosts})
    )
    slices: Cache = field(
        default_factory=lambda: Cache(
            ENDPOINT_SLICE,
            trim=cache.endpoint_slice,
            indexes={"service": service_of, "pod": _pods_of},
        )
    )
    pods: Cache = field(
        default_factory=lambda: Cache(POD, trim=cache.pod, indexes={"namespace": _namespaces})
    )
    workload_entries: Cache = field(
        default_factory=lambda: Cache(WORKLOAD_ENTRY, indexes={"namespace": _namespaces})
    )

    services: Cache = field(default_factory=lambda: Cache(SERVICE, trim=cache.service))
    service_entries: Cache = field(
        default_factory=lambda: Cache(
            SERVICE_ENTRY, indexes={"host": served_hosts, "namespace": _namespaces}
        )
    )

    sidecars: Cache = field(
        default_factory=lambda: Cache(
            SIDECAR, trim=cache.sidecar, indexes={"namespace": _namespaces}
        )
    )
    envoy_filters: Cache = field(
        default_factory=lambda: Cache(ENVOY_FILTER, trim=cache.envoy_filter)
    )

    def caches(self) -> tuple[Cache, ...]:
        """All of them; Rollouts last, so that what they need is known when they are first seen."""
        return (
            self.virtual_services,
            self.destination_rules,
            self.services,
            self.service_entries,
            self.slices,
            self.pods,
            self.workload_entries,
            self.sidecars,
            self.envoy_filters,
            self.policies,
            self.cluster_policies,
            self.actions,
            self.rollouts,
        )

    def rival_on(self, host: str, rollout: Manifest) -> Key | None:
        """The other Rollout on its host that goes on in its place; None: it goes on itself.

        The one in the middle of a run there does, else the older one.
        """
        mine, key = _rank(rollout, host), cache.key_of(rollout)
        others = (other for other in self.rollouts.by("host", host) if cache.key_of(other) != key)
        return next((cache.key_of(other) for other in others if _rank(other, host) < mine), None)

    def notes(self) -> tuple[Note, ...]:
        """That kinds may not be read, which every run should be told."""
        # What belongs to the whole cluster is out of reach where one namespace is looked after.
        within = [c for c in self.caches() if c.kind.namespaced or not self.namespace]
        told = denied(within)
        return (Note(reason="KindsNotRead", message=told),) if told else ()

    def given(self, key: Key) -> tuple[GivenAction, ...]:
        """The commands for a Rollout that nobody has answered, the oldest first."""
        found = [
            action
            for action in self.actions.by("rollout", str(key))
            if not (action.get("status") or {}).get("outcome")
        ]
        found.sort(
            key=lambda a: (a["metadata"].get("creationTimestamp", ""), a["metadata"]["name"])
        )
        return tuple(_given(action) for action in found)

    def concerned(self, changed: Cache, manifest: Manifest) -> set[Key]:
        """The Rollouts that a changed object may matter to."""
        listeners: tuple[tuple[Cache, Callable[[Manifest], set[Key]]], ...] = (
            (self.rollouts, self._of_rollout),
            (self.actions, lambda action: {parsed_key(name) for name in _rollout_of(action)}),
            (self.policies, lambda policy: self._of_policy(ROLLOUT_POLICY, policy)),
            (self.cluster_policies, lambda p: self._of_policy(CLUSTER_ROLLOUT_POLICY, p)),
            (self.virtual_services, self._of_virtual_service),
            (self.destination_rules, self._of_rule),
            (self.services, lambda item: self._of_services(iter([str(cache.key_of(item))]))),
            (self.service_entries, lambda entry: self._about(served_hosts(entry))),
            (self.slices, self._of_slice),
            (self.pods, self._of_pod),
            (self.workload_entries, lambda entry: self._near(_namespace(entry))),
            # What these do is told in notes, which a run in progress looks at by itself.
            (self.sidecars, lambda _: set()),
            (self.envoy_filters, lambda _: set()),
        )
        return next(listen(manifest) for known, listen in listeners if known is changed)

    def _of_rollout(self, rollout: Manifest) -> set[Key]:
        # A rival host set free matters to the other Rollout on it.
        return {cache.key_of(rollout), *self._about(rollout_hosts(rollout))}

    def _of_policy(self, kind: Kind, policy: Manifest) -> set[Key]:
        """Those that name it; where it says something to all, all that it can reach."""
        namespace = _namespace(policy)
        if not acts_on_all(policy):
            name = policy_called(kind.kind, namespace, policy["metadata"]["name"])
            return {cache.key_of(rollout) for rollout in self.rollouts.by("policy", name)}
        if not namespace:
            return set(self.rollouts.keys())
        return {cache.key_of(rollout) for rollout in self.rollouts.by("namespace", namespace)}

    def _of_virtual_service(self, manifest: Manifest) -> set[Key]:
        named = self.rollouts.by("virtual service", str(cache.key_of(manifest)))
        about = self._about(destination_hosts(manifest))
        about |= {cache.key_of(rollout) for rollout in named}
        # Whether a route is reached, and whether one leads anywhere, is seen from the other end.
        roots = self.virtual_services.by("delegate", str(cache.key_of(manifest)))
        about |= self._about(host for root in roots for host in served_hosts(root))
        targets = (self.virtual_services.get(parsed_key(name)) for name in delegates(manifest))
        return about | self._about(
            host for target in targets if target is not None for host in destination_hosts(target)
        )

    def _of_rule(self, rule: Manifest) -> set[Key]:
        host = next(_rule_hosts(rule), "")
        if not host.startswith("*"):
            return self._about(iter((host,)))
        # One for all hosts of a domain is rare enough to look through all Rollouts.
        ends = host.removeprefix("*")
        return {
            cache.key_of(rollout)
            for rollout in self.rollouts
            if any(each.endswith(ends) for each in rollout_hosts(rollout))
        }

    def _of_pod(self, pod: Manifest) -> set[Key]:
        pieces = self.slices.by("pod", str(cache.key_of(pod)))
        found = self._of_services(s for piece in pieces for s in service_of(piece))
        return found | self._selecting(pod)

    def _of_slice(self, piece: Manifest) -> set[Key]:
        pods = (self.pods.get(parsed_key(name)) for name in _pods_of(piece))
        selecting = (self._selecting(pod) for pod in pods if pod is not None)
        return self._of_services(service_of(piece)).union(*selecting)

    def _selecting(self, pod: Manifest) -> set[Key]:
        """Those whose ServiceEntry selects a pod."""
        near = self.service_entries.by("namespace", _namespace(pod))
        selecting = [entry for entry in near if cache.selects(entry, pod)]
        return self._about(host for entry in selecting for host in served_hosts(entry))

    def _near(self, namespace: str) -> set[Key]:
        """Those to whom a WorkloadEntry of a namespace may matter."""
        near = {
            cache.key_of(r)
            for r in self.rollouts
            if _namespace(r) == namespace
            or any(host.split(".")[1:3] == [namespace, "svc"] for host in rollout_hosts(r))
        }
        entries = self.service_entries.by("namespace", namespace)
        return near | self._about(host for entry in entries for host in served_hosts(entry))

    def _about(self, hosts: Iterator[str]) -> set[Key]:
        return {cache.key_of(r) for host in hosts for r in self.rollouts.by("host", host)}

    def _of_services(self, services: Iterator[str]) -> set[Key]:
        keys = (parsed_key(service) for service in services)
        return self._about(iter([fqdn(key.name, namespace=key.namespace) for key in keys]))


def _rank(rollout: Manifest, host: str) -> tuple[bool, str, str]:
    """Who of two Rollouts on one host goes on: the smaller one."""
    is_idle = host not in running_hosts(rollout)
    return is_idle, rollout["metadata"].get("creationTimestamp", ""), str(cache.key_of(rollout))


def _given(action: Manifest) -> GivenAction:
    name, born = action["metadata"]["name"], action["metadata"].get("creationTimestamp")
    given_at = None if born is None else datetime.fromisoformat(born)
    try:
        return GivenAction(name=name, spec=reading.read_action(action), given_at=given_at)
    except BadManifest as error:
        return GivenAction(name=name, spec=None, problem=str(error))


def denied(caches: Iterable[Cache]) -> str:
    """Which kinds may not be read, and what to do about it, in a sentence; empty when all may."""
    kinds = [known.kind for known in caches if known.denied]
    if not kinds:
        return ""
    names, plurals = (
        ", ".join(names) for names in zip(*((k.kind, k.plural) for k in kinds), strict=True)
    )
    return (
        f"the controller may not read {names}, and does as if there were none; grant its role to "
        f"list and watch {plurals}"
    )


def parsed_key(text: str) -> Key:
    """A key that was printed as ``namespace/name``."""
    namespace, _, name = text.partition("/")
    return Key(namespace, name)
