"""Which subsets callers of each namespace have, and whether that is all they are sent to.

istiod looks for DestinationRules in the caller's namespace, then in the service's, then in its root
namespace, and takes the first place that has any. Rules of one place are merged only where their
``exportTo`` agree; of what is left apart, the last one counts alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rollout.api.traffic import Note
from rollout.base.errors import BadManifest
from rollout.routes.destinationrule import Rule
from rollout.routes.fields import Finding
from rollout.routes.fronts import ELSEWHERE, EVERYWHERE, OWN_NAMESPACE, Front

ROOT_NAMESPACE = "istio-system"
"""Istio's root namespace unless the mesh is told otherwise. Its rules are looked up last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Who calls a service, and what they are sent to.

    Attributes:
        host: the full name of the service.
        where: the namespace whose rules act for callers without rules of their own.
        rules: those that are for the host, or for names that include it.
        doors: the VirtualServices that send callers to subsets.
        needed: the subsets they are sent to, or will be: the canary's last.
    """

    host: str
    where: str
    rules: tuple[Rule, ...]
    doors: tuple[Front, ...]
    needed: tuple[str, ...]

    @property
    def place(self) -> tuple[Rule, ...]:
        """The rules that act for callers without rules of their own, the oldest first."""
        return _nearest([rule for rule in self.rules if rule.meta.namespace == self.where])

    @property
    def defined(self) -> dict[str, Rule]:
        """Those needed subsets that are defined there, each by the oldest rule that has it."""
        return {
            name: rule
            for name in self.needed
            for rule in reversed(self.place)
            if any(subset.name == name for subset in rule.subsets)
        }


def wildcards(host: str) -> tuple[str, ...]:
    """The names with an asterisk that a rule for a host may have."""
    labels = host.split(".")
    return ("*", *(f"*.{'.'.join(labels[place:])}" for place in range(1, len(labels))))


def look(calls: Calls) -> Iterator[Finding | Note]:
    """Callers who would be sent to a subset that they do not have, which answers 503."""
    if not calls.doors or not calls.defined:
        return
    own = {rule.meta.namespace for rule in calls.rules} - {calls.where}
    for namespace in sorted(own):
        yield from _with_own_rules(calls, namespace)
    named = {name for door in calls.doors for name in door.exports}
    named |= {name for rule in calls.rules for name in rule.exports}
    others = named - {EVERYWHERE, OWN_NAMESPACE} - own
    for namespace in sorted({calls.where, ELSEWHERE, *others}):
        yield from _without_own_rules(calls, namespace)


def _with_own_rules(calls: Calls, namespace: str) -> Iterator[Finding | Note]:
    mine = [rule for rule in calls.rules if rule.meta.namespace == namespace and _is_local(rule)]
    if namespace == ROOT_NAMESPACE:
        mine = [rule for rule in mine if _is_private(rule)]
    if not mine or not any(door.acts_in(namespace) for door in calls.doors):
        return
    rules = _nearest(mine)
    selective = not rules
    if selective:
        rules = tuple(rule for rule in mine if rule.host == calls.host)
    found = {subset.name for rule in _last(rules) for subset in rule.subsets}
    lacking = [name for name in calls.defined if name not in found]
    if not rules or not lacking or any(rule.fault for rule in rules):
        return
    rule, about_us = rules[0], rules[0].host == calls.host
    hides = f"hides DestinationRule {next(iter(calls.defined.values())).meta}"
    lacks = f"lacks {' and '.join(lacking)}, and it {hides} from callers in namespace {namespace}"
    only_canary = lacking == [calls.needed[-1]]
    if selective or not (about_us or only_canary):
        some = " that it selects" if selective else ""
        message = f"{rule.subject}: spec.subsets {lacks}{some}, who are answered 503 for it"
        yield Note(reason="CallersWithoutSubset", message=message)
        return
    fault = BadManifest(
        subject=rule.subject,
        field="spec.subsets",
        problem=f"{lacks}, who would be answered 503",
        remedy="add the subset to it, or remove the rule",
    )
    yield Finding(reason="CallersWithoutSubset", fault=fault)


def _without_own_rules(calls: Calls, namespace: str) -> Iterator[Finding | Note]:
    doors = [door for door in calls.doors if door.acts_in(namespace)]
    if not doors:
        return
    rules = _seen_from(calls.place, where=calls.where, namespace=namespace)
    found = {subset.name for rule in rules for subset in rule.subsets}
    lacking = [name for name in calls.defined if name not in found]
    if not lacking:
        return
    rule = calls.defined[lacking[-1]]
    callers = f"callers in namespace {namespace}" if namespace else "callers in other namespaces"
    keeps = f"keeps subset {' and '.join(lacking)} from {callers}, whom {doors[0].subject} sends"
    meant = namespace == calls.where or any(namespace in door.exports for door in doors)
    if not meant and len(lacking) == len(calls.defined):
        # They get no answer today either, so it may well be that nobody is there.
        message = f"{rule.subject}: spec.exportTo {keeps} there and who are answered 503"
        yield Note(reason="CallersWithoutSubset", message=message)
        return
    fault = BadManifest(
        subject=rule.subject,
        field="spec.exportTo",
        problem=f"{keeps} there and who would be answered 503",
        remedy="write one exportTo in all DestinationRules of the host, that of the VirtualService",
    )
    yield Finding(reason="CallersWithoutSubset", fault=fault)


def _nearest(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Those without a selector whose host is the longest, the oldest first."""
    plain = [rule for rule in rules if not rule.selective]
    longest = max((_length(rule) for rule in plain), default=(False, 0))
    return tuple(sorted((r for r in plain if _length(r) == longest), key=lambda rule: rule.age))


def _length(rule: Rule) -> tuple[bool, int]:
    return not rule.host.startswith("*"), len(rule.host)


def _is_local(rule: Rule) -> bool:
    """Whether callers of its own namespace have it."""
    near = {EVERYWHERE, OWN_NAMESPACE, rule.meta.namespace}
    return not rule.exports or bool(near & rule.exports)


def _is_private(rule: Rule) -> bool:
    return rule.exports in ({OWN_NAMESPACE}, {rule.meta.namespace})


def _seen_from(rules: Sequence[Rule], *, where: str, namespace: str) -> Sequence[Rule]:
    """What callers of a namespace have of the rules of another, or of their own."""
    if namespace == where:
        return _last([rule for rule in rules if _is_local(rule)])
    exported = _apart([rule for rule in rules if not _is_private(rule)])
    seen = [group for group in exported if _reaches(group[0], namespace)]
    return seen[-1] if seen else ()


def _reaches(rule: Rule, namespace: str) -> bool:
    return not rule.exports or EVERYWHERE in rule.exports or namespace in rule.exports


def _last(rules: Sequence[Rule]) -> Sequence[Rule]:
    groups = _apart(rules)
    return groups[-1] if groups else ()


def _apart(rules: Sequence[Rule]) -> list[list[Rule]]:
    """The rules as they are merged: each group counts as one rule exported like its first."""
    groups: list[list[Rule]] = []
    for rule in rules:
        apart = True
        for group in groups:
            first = group[0].exports
            apart = not (rule.exports == first or (first and rule.exports > first))
            if not apart:
                group.append(rule)
        if apart:
            groups.append([rule])
    return groups
