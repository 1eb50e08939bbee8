"""The subsets of a host, as Istio merges them from DestinationRules.

Istio looks for rules in the caller's namespace, then in the service's, then in its root namespace.
Here it is the service's namespace, the one that acts for every caller without a rule of its own.
Rules for one host in one namespace are merged, the oldest first: of a subset defined twice the
first definition wins, and only the first top-level policy counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollout.api.traffic import Note, SubsetPolicy, SubsetTable
from rollout.base.errors import BadManifest
from rollout.base.hosts import fqdn
from rollout.routes import fields
from rollout.routes.fields import Finding, Manifest, Meta, Place

Policy = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset:
    """One subset as one rule defines it.

    Attributes:
        name: its name.
        labels: the labels of its endpoints.
        policy: its own traffic policy; empty when it has none.
        place: where it stands.
    """

    name: str
    labels: Mapping[str, str]
    policy: Policy
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One DestinationRule.

    Attributes:
        meta: who it is.
        host: the full name of its host; empty when it cannot be made out.
        subsets: its subsets in list order; empty when it cannot be read.
        policy: its top-level traffic policy; empty when it has none.
        exports: what its ``exportTo`` says, word for word; empty when it says nothing.
        selective: whether a workloadSelector limits it to some callers.
        fault: why it cannot be read, if so.
    """

    meta: Meta
    host: str
    subsets: tuple[Subset, ...] = ()
    policy: Policy
    exports: frozenset[str]
    selective: bool
    fault: BadManifest | None

    @property
    def age(self) -> tuple[str, str]:
        """Sorts the oldest first; Istio breaks ties by name."""
        return self.meta.created, self.meta.name

    @property
    def subject(self) -> str:
        """What sentences call it."""
        return f"DestinationRule {self.meta}"


def subsets(
    rules: Sequence[Manifest],
    *,
    host: str,
    namespace: str,
    service_namespace: str,
    ref: tuple[str, str] | None,
) -> SubsetTable:
    """The subsets of ``host``, a full name, and the problems on the way; never raises.

    ``namespace`` is the Rollout's, ``service_namespace`` the one whose rules act for every caller.
    ``ref`` names a rule by namespace and name: it must exist and be for the host, its namespace
    takes the place of the service's, and none of its subsets may be hidden by an older rule.
    Rules with a workloadSelector act for some callers only: they are left out, with a note.
    """
    full = fqdn(host, namespace=namespace)
    known = [read(each, namespace=namespace) for each in rules]
    where = ref[0] if ref else service_namespace
    near = [rule for rule in known if rule.meta.namespace == where]
    fitting = sorted((rule for rule in near if rule.host == full), key=lambda rule: rule.age)
    merged = [rule for rule in fitting if not rule.selective]
    winners = _merge(merged)
    # A rule whose host cannot be made out may be the one that is missing.
    suspects = [rule for rule in near if not rule.host and (not merged or _is(rule, ref))]
    findings = [*_broken([*merged, *suspects]), *_empty(merged)]
    if ref:
        findings += _unfit(near, host=full, ref=ref)
        findings += _shadowed(merged, winners=winners, ref=ref)
    elif not merged:
        findings.append(_missing(known, host=full, where=where))
    findings += _passthrough(merged, winners=winners)
    ranked = sorted(merged, key=lambda rule: (not _is(rule, ref), not rule.subsets))
    return SubsetTable(
        destination_rule=str(ranked[0].meta) if ranked else None,
        subsets={name: dict(subset.labels) for name, (_, subset) in winners.items()},
        policies={
            name: SubsetPolicy(destination_rule=str(rule.meta), fields=subset.policy)
            for name, (rule, subset) in winners.items()
        },
        problems=tuple(dict.fromkeys(finding.problem for finding in findings)),
        notes=(
            *(_note(rule) for rule in fitting if rule.selective),
            *dict.fromkeys(_hashing(merged, winners=winners)),
        ),
    )


def read(manifest: Manifest, *, namespace: str) -> Rule:
    """Read a DestinationRule; one without a namespace is in ``namespace``."""
    who = fields.meta(manifest, namespace=namespace)
    root = Place(subject=f"DestinationRule {who}", path="spec")
    host = fields.text(fields.dig(manifest, "spec", "host"))
    found: tuple[Subset, ...] = ()
    policy: Policy = {}
    fault = None
    try:
        spec = root.mapping(manifest.get("spec"))
        root.at("host").word(spec.get("host"))
        policy = root.at("trafficPolicy").optional_mapping(spec.get("trafficPolicy"))
        found = tuple(_subsets(spec, place=root.at("subsets")))
    except BadManifest as problem:
        fault = problem
    return Rule(
        meta=who,
        host=fqdn(host, namespace=who.namespace) if host else "",
        subsets=found,
        policy=policy,
        exports=_exports(manifest),
        selective=fields.dig(manifest, "spec", "workloadSelector") is not None,
        fault=fault,
    )


def _exports(manifest: Manifest) -> frozenset[str]:
    found = fields.dig(manifest, "spec", "exportTo")
    names = found if isinstance(found, list | tuple) else ()
    return frozenset(name for name in names if isinstance(name, str))


def _subsets(spec: Mapping[str, Any], *, place: Place) -> Iterator[Subset]:
    for index, found in enumerate(place.items(spec.get("subsets"))):
        here = place.at(index)
        data = here.mapping(found)
        labels = here.at("labels").optional_mapping(data.get("labels"))
        yield Subset(
            name=here.at("name").word(data.get("name")),
            labels={
                label: here.at("labels").at(label).optional_word(value)
                for label, value in labels.items()
            },
            policy=here.at("trafficPolicy").optional_mapping(data.get("trafficPolicy")),
            place=here,
        )


def _merge(merged: Sequence[Rule]) -> dict[str, tuple[Rule, Subset]]:
    winners: dict[str, tuple[Rule, Subset]] = {}
    for rule in merged:
        for subset in rule.subsets:
            winners.setdefault(subset.name, (rule, subset))
    return winners


def _broken(rules: Sequence[Rule]) -> Iterator[Finding]:
    return (Finding(reason="BrokenManifest", fault=rule.fault) for rule in rules if rule.fault)


def _is(rule: Rule, ref: tuple[str, str] | None) -> bool:
    return (rule.meta.namespace, rule.meta.name) == ref


def _missing(known: Sequence[Rule], *, host: str, where: str) -> Finding:
    spoken = fields.spoken_host(host, namespace=where)
    afar = [str(rule.meta) for rule in known if rule.host == host and rule.meta.namespace != where]
    but = f"; elsewhere, for callers there only, is {fields.listed(afar)}" if afar else ""
    fault = BadManifest(
        field=f"namespace {where}",
        problem=f"has no DestinationRule for host {spoken}",
        remedy=f"create one with a subset for each revision{but}",
    )
    return Finding(reason="DestinationRuleMissing", fault=fault)


def _unfit(near: Sequence[Rule], *, host: str, ref: tuple[str, str]) -> Iterator[Finding]:
    """Why a rule that the Rollout names is not one for its host and all callers."""
    named = next((rule for rule in near if _is(rule, ref)), None)
    spoken = fields.spoken_host(host, namespace=ref[0])
    if named is None:
        there = [rule.meta.name for rule in near if rule.host == host and not rule.selective]
        fault = BadManifest(
            field=f"DestinationRule {ref[0]}/{ref[1]}",
            problem="does not exist",
            remedy=f"name one of {fields.listed(there)}"
            if there
            else f"create it for host {spoken}",
        )
        yield Finding(reason="DestinationRuleMissing", fault=fault)
    elif named.host and named.host != host:
        fault = BadManifest(
            subject=named.subject,
            field="spec.host",
            problem=f"is {fields.spoken_host(named.host, namespace=ref[0])}",
            remedy=f"name a rule for host {spoken}",
        )
        yield Finding(reason="HostMismatch", fault=fault)
    elif named.selective:
        fault = BadManifest(
            subject=named.subject,
            field="spec.workloadSelector",
            problem="makes the rule act for some callers only",
            remedy="name a rule without it",
        )
        yield Finding(reason="DestinationRuleMissing", fault=fault)


def _empty(merged: Sequence[Rule]) -> Iterator[Finding]:
    if merged and not any(rule.subsets or rule.fault for rule in merged):
        place = Place(subject=merged[0].subject, path="spec.subsets")
        fault = place.fault("is empty", remedy="define a subset for each revision")
        yield Finding(reason="SubsetMissing", fault=fault)


def _shadowed(
    merged: Sequence[Rule], *, winners: Mapping[str, tuple[Rule, Subset]], ref: tuple[str, str]
) -> Iterator[Finding]:
    for subset in (each for rule in merged if _is(rule, ref) for each in rule.subsets):
        winner, winning = winners[subset.name]
        if winning.labels != subset.labels:
            fault = subset.place.fault(
                f"defines subset {subset.name}, which the older {winner.subject} defines otherwise",
                remedy="remove one of the two",
            )
            yield Finding(reason="SubsetShadowed", fault=fault)


def _passthrough(
    merged: Sequence[Rule], *, winners: Mapping[str, tuple[Rule, Subset]]
) -> Iterator[Finding]:
    """Balancing by original destination makes a subset's labels choose nothing.

    A subset's own load balancer stands in place of the top-level one.
    """
    top = next((rule for rule in merged if rule.policy), None)
    for _, subset in winners.values():
        policies = [(subset.policy, subset.place.at("trafficPolicy"))]
        if top:
            inherited = subset.policy.get("loadBalancer") is None
            policy = top.policy if inherited else {**top.policy, "loadBalancer": None}
            policies.append((policy, Place(subject=top.subject, path="spec.trafficPolicy")))
        for policy, place in policies:
            for where in _original_destination(policy, place=place):
                fault = where.fault(
                    "is PASSTHROUGH, so the labels of subsets do not steer",
                    remedy="choose another balancing such as LEAST_REQUEST",
                )
                yield Finding(reason="PassthroughBalancing", fault=fault)


def _original_destination(policy: Policy, *, place: Place) -> Iterator[Place]:
    ports = policy.get("portLevelSettings")
    levels = [(policy, place)]
    for index, port in enumerate(ports if isinstance(ports, list | tuple) else ()):
        levels.append((port, place.at("portLevelSettings").at(index)))
    for level, where in levels:
        if fields.dig(level, "loadBalancer", "simple") == "PASSTHROUGH":
            yield where.at("loadBalancer").at("simple")


def _note(rule: Rule) -> Note:
    return Note(
        reason="SelectiveDestinationRule",
        message=f"{rule.subject} has a workloadSelector and acts for some callers only; it is "
        "left out",
    )


def _hashing(
    merged: Sequence[Rule], *, winners: Mapping[str, tuple[Rule, Subset]]
) -> Iterator[Note]:
    """Envoy draws the revision for each request before a hash picks a host within it."""
    rules = dict.fromkeys(rule.subject for rule in merged if _hashes(rule.policy))
    subsets = (rule.subject for rule, subset in winners.values() if _hashes(subset.policy))
    for subject in dict.fromkeys((*rules, *subsets)):
        yield Note(
            reason="WeightsNotSticky",
            message=f"{subject}: consistentHash keeps a caller on one host of a revision, but the "
            "revision is drawn anew for each request, so one caller sees both",
        )


def _hashes(policy: Policy) -> bool:
    ports = policy.get("portLevelSettings")
    levels = [policy, *(ports if isinstance(ports, list | tuple) else ())]
    return any(fields.dig(one, "loadBalancer", "consistentHash") is not None for one in levels)
