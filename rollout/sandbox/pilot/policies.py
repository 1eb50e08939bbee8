"""Which VirtualService and which DestinationRule speak for a host, seen from the caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rollout.sandbox.pilot.registry import Service
from rollout.sandbox.pilot.world import (
    ROOT_NAMESPACE,
    Manifest,
    Proxy,
    World,
    host_covers,
    is_visible,
    long_name,
    namespace_of,
    spec_of,
)


@dataclass(frozen=True, slots=True)
class Policy:
    """The DestinationRules of one host, merged.

    Attributes:
        traffic: the policy for all; the first rule that has one wins.
        subsets: by name, in order of appearance; the first of a name wins.
    """

    traffic: Manifest = field(default_factory=dict)
    subsets: Mapping[str, Manifest] = field(default_factory=dict)

    def traffic_of(self, subset: str) -> Manifest:
        """The subset's policy laid over that for all, field by field."""
        own = self.subsets.get(subset, {}).get("trafficPolicy") or {}
        return {**self.traffic, **own}


def policy_of(service: Service, *, world: World, proxy: Proxy) -> Policy:
    """Istio's lookup: the caller's namespace, then the service's, then the root's.

    A rule in the caller's namespace hides those of the service, subsets and all.
    """
    rules = [r for r in world.all("DestinationRule") if is_visible(r, proxy=proxy)]
    for namespace in (proxy.namespace, service.namespace, ROOT_NAMESPACE):
        there = [r for r in rules if namespace_of(r) == namespace and _selects_all(r)]
        hosts = [long_name(spec_of(r)["host"], namespace=namespace) for r in there]
        best = _most_specific(hosts, service.host)
        if best:
            return _merged([r for r, host in zip(there, hosts, strict=True) if host == best])
    return Policy()


def _selects_all(rule: Manifest) -> bool:
    return not spec_of(rule).get("workloadSelector")


def _most_specific(patterns: Sequence[str], host: str) -> str:
    matching = [p for p in patterns if host_covers(p, host)]
    return max(matching, key=lambda p: (not p.startswith("*"), len(p)), default="")


def _merged(rules: Sequence[Manifest]) -> Policy:
    subsets: dict[str, Manifest] = {}
    traffic: Manifest = {}
    for rule in rules:
        traffic = traffic or spec_of(rule).get("trafficPolicy") or {}
        for subset in spec_of(rule).get("subsets") or ():
            subsets.setdefault(subset["name"], subset)
    return Policy(traffic, subsets)


def virtual_service_of(host: str, *, world: World, proxy: Proxy) -> Manifest | None:
    """The one VirtualService that governs ``host`` in sidecars: the most specific, then the eldest.

    Two for one host are not merged; the younger is ignored.
    """
    candidates = [
        (long_name(name, namespace=namespace_of(item)), item)
        for item in world.all("VirtualService")
        if is_visible(item, proxy=proxy) and serves_mesh(spec_of(item))
        for name in spec_of(item).get("hosts") or ()
    ]
    best = _most_specific([name for name, _ in candidates], host)
    return next((item for name, item in candidates if best and name == best), None)


def serves_mesh(part: Manifest) -> bool:
    """Whether sidecars obey a VirtualService, or a match of it: no gateways named, or ``mesh``."""
    gateways = part.get("gateways")
    return not gateways or "mesh" in gateways
