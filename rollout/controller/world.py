"""What the controller remembers of the cluster: one cache a kind, indexed by who asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rollout.api.meta import (
    DESTINATION_RULE,
    ENDPOINT_SLICE,
    POD,
    ROLLOUT,
    ROLLOUT_ACTION,
    VIRTUAL_SERVICE,
    WORKLOAD_ENTRY,
    Key,
    Manifest,
)
from rollout.base.hosts import fqdn
from rollout.controller import cache
from rollout.controller.cache import Cache

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
    hosts = spec.get("hosts")
    for host in hosts if isinstance(hosts, list) else ():
        if isinstance(host, str):
            yield fqdn(host, namespace=namespace)
    for protocol in PROTOCOLS:
        routes = spec.get(protocol)
        for route in routes if isinstance(routes, list) else ():
            legs = route.get("route") if isinstance(route, dict) else None
            for leg in legs if isinstance(legs, list) else ():
                if isinstance(leg, dict):
                    yield from _host(leg.get("destination"), namespace)


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
    """The caches, each kept by a watch."""

    rollouts: Cache = field(
        default_factory=lambda: Cache(
            ROLLOUT,
            indexes={"host": rollout_hosts, "virtual service": named_virtual_services},
        )
    )
    actions: Cache = field(
        default_factory=lambda: Cache(ROLLOUT_ACTION, indexes={"rollout": _rollout_of})
    )
    virtual_services: Cache = field(
        default_factory=lambda: Cache(VIRTUAL_SERVICE, indexes={"host": destination_hosts})
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
    pods: Cache = field(default_factory=lambda: Cache(POD, trim=cache.pod))
    workload_entries: Cache = field(
        default_factory=lambda: Cache(WORKLOAD_ENTRY, indexes={"namespace": _namespaces})
    )

    def caches(self) -> tuple[Cache, ...]:
        """All of them; Rollouts last, so that what they need is known when they are first seen."""
        return (
            self.virtual_services,
            self.destination_rules,
            self.slices,
            self.pods,
            self.workload_entries,
            self.actions,
            self.rollouts,
        )

    def concerned(self, changed: Cache, manifest: Manifest) -> set[Key]:
        """The Rollouts that a changed object may matter to."""
        if changed is self.rollouts:
            # A rival host set free matters to the other Rollout on it.
            return {cache.key_of(manifest), *self._about(rollout_hosts(manifest))}
        if changed is self.actions:
            return {_parsed_key(name) for name in _rollout_of(manifest)}
        if changed is self.virtual_services:
            named = self.rollouts.by("virtual service", str(cache.key_of(manifest)))
            about = self._about(destination_hosts(manifest))
            return about | {cache.key_of(rollout) for rollout in named}
        if changed is self.destination_rules:
            return self._about(_rule_hosts(manifest))
        if changed is self.slices:
            return self._of_services(service_of(manifest))
        if changed is self.pods:
            pieces = self.slices.by("pod", str(cache.key_of(manifest)))
            return self._of_services(s for piece in pieces for s in service_of(piece))
        return {cache.key_of(r) for r in self.rollouts if _namespace(r) == _namespace(manifest)}

    def _about(self, hosts: Iterator[str]) -> set[Key]:
        return {cache.key_of(r) for host in hosts for r in self.rollouts.by("host", host)}

    def _of_services(self, services: Iterator[str]) -> set[Key]:
        keys = (_parsed_key(service) for service in services)
        return self._about(iter([fqdn(key.name, namespace=key.namespace) for key in keys]))


def _parsed_key(text: str) -> Key:
    namespace, _, name = text.partition("/")
    return Key(namespace, name)
