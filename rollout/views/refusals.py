"""What a server's refusal means: who lacks which right, and which role has it, in one sentence."""

from __future__ import annotations

import re

from rollout.api.meta import ROLLOUT, ROLLOUT_ACTION
from rollout.base import errors

UNAUTHORIZED_CODE = 401

_RBAC = re.compile(
    r'User "(?P<who>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)"'
    r'(?: in API group "(?P<group>[^"]*)")?(?: in the namespace "(?P<space>[^"]*)")?'
)
"""How the API server says that no role allows something."""

_READS = frozenset({"get", "list", "watch"})


def sentence(denied: errors.Denied) -> str:
    """The refusal as a person is told it, with what helps."""
    if denied.status_code == UNAUTHORIZED_CODE:
        return "the API server does not know you; log in again, or name another --context"
    said = of_policy(denied)
    if said:
        return said
    found = _RBAC.search(denied.message)
    return _lacking(found) if found else str(denied)


def of_policy(denied: errors.Denied) -> str:
    """The sentence of an admission policy, without what the server puts before it; else empty."""
    return denied.message.partition(" denied request: ")[2]


def _lacking(found: re.Match[str]) -> str:
    who, verb, resource = found["who"], found["verb"], found["resource"]
    space = found["space"]
    where = f"in namespace {space}" if space else "in all namespaces"
    kind = f"{resource}.{found['group']}" if found["group"] else resource
    role = _role(verb, resource) if found["group"] == ROLLOUT.group else ""
    has = f", which the ClusterRole {role} has" if role else ""
    other = "" if space else "; with -n one namespace may do"
    return (
        f"{who} may not {verb} {resource} {where}; it takes the verb {verb} on {kind}{has}{other}"
    )


def _role(verb: str, resource: str) -> str:
    if verb in _READS:
        return "rollout-viewer"
    if resource == ROLLOUT_ACTION.plural:
        return "rollout-operator"
    return "rollout-editor" if resource == ROLLOUT.plural else ""
