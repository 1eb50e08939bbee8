"""Whether commands come from whom they name: a policy sees to it, and this sees to the policy.

What a RolloutAction says of its author is a claim. The API server holds it against the user whom it
has authenticated only while the policy of ``manifests/identity.yaml`` and its binding are there as
they were shipped, so both are looked at, not merely for: one that lets errors pass, only warns, or
leaves something out is as good as none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog

from rollout.api.meta import (
    ADMISSION_POLICY,
    ADMISSION_POLICY_BINDING,
    ROLLOUT,
    ROLLOUT_ACTION,
    Key,
    Manifest,
)
from rollout.base.errors import Denied, NotFound, RolloutError
from rollout.ports import Clock, Cluster

LOOK_SECONDS = 60.0
"""How often it is looked while anything may be commanded: an administrator may take a policy away,
and that is seen by then."""

GLANCE_SECONDS = 5.0
"""How soon after a long rest, in which nobody asks, it is looked again."""

SETTLE_SECONDS = 5.0
"""A policy, or a change of one, is in force a second or two later; what was given by then is not
surely checked."""

WATCHED: Sequence[tuple[str, str]] = (
    ("CREATE", ROLLOUT_ACTION.plural),
    ("UPDATE", ROLLOUT_ACTION.plural),
    ("DELETE", ROLLOUT_ACTION.plural),
    ("UPDATE", f"{ROLLOUT_ACTION.plural}/status"),
    ("UPDATE", f"{ROLLOUT.plural}/status"),
)
"""What a policy must look at: who says it, that it stays, and that nobody else writes answers."""

EXPRESSED = ("spec.actor", "spec.groups", "authorizer.")
"""What its expressions must be about; one without has been hollowed out."""

REMEDY = (
    "apply manifests/identity.yaml (identity.enabled of the chart), or believe every name with "
    "--trust-actors"
)

_log = structlog.get_logger(__name__)


class Authorship:
    """Looks at the policy now and then, and remembers what it has seen.

    Args:
        cluster: the API server.
        clock: time.
        policy: the name of the policy, and of its binding.
        namespace: the only one that is looked after; empty: all are.
        trusting: every name is believed, and nothing looked at.
        needed: whether anything may be commanded now; while not, nobody asks the API server.
    """

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        *,
        policy: str,
        namespace: str,
        trusting: bool,
        needed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._key = Key("", policy)
        self._namespace = namespace
        self._trusting = trusting
        self._needed = needed
        self._looked_seconds = -math.inf
        self._fault = f"nobody has looked yet at {ADMISSION_POLICY} {policy}"
        self._since: datetime | None = None

    @property
    def checked(self) -> bool:
        """Whether the API server checks who commands."""
        return not self._trusting and not self._fault

    def unverified(self, given_at: datetime | None) -> str:
        """Why commands may come from somebody else than they name; empty when they do not.

        Args:
            given_at: when the oldest was given, by the API server's clock; None: there is none.
        """
        if self._trusting:
            return ""
        if self._fault:
            return f"nobody checks whom a command comes from: {self._fault}; {REMEDY}"
        if given_at is not None and self._since is not None and given_at < self._since:
            return (
                f"a command was given before {ADMISSION_POLICY} {self._key} was surely in force, "
                "so nobody has checked whom it comes from; say it again"
            )
        return ""

    async def run(self) -> None:
        """Look for ever."""
        while not self._trusting:
            await self._clock.sleep(GLANCE_SECONDS)
            waited = self._clock.monotonic_seconds() - self._looked_seconds
            if waited >= LOOK_SECONDS - GLANCE_SECONDS / 2 and self._needed():
                await self.look()

    async def look(self) -> None:
        """Look now. What was seen before counts while the API server does not answer."""
        if self._trusting:
            return
        self._looked_seconds = self._clock.monotonic_seconds()
        try:
            policy = await self._cluster.get(ADMISSION_POLICY, self._key)
            binding = await self._cluster.get(ADMISSION_POLICY_BINDING, self._key)
        except (NotFound, Denied) as error:
            self._note(self._absence(error))
        except RolloutError as error:
            _log.info("the policy on commands was not looked at", error=str(error))
        else:
            self._note(fault(policy, binding, namespace=self._namespace))
            changed = [*_changes(policy), *_changes(binding)]
            settled = timedelta(seconds=SETTLE_SECONDS)
            self._since = max(changed) + settled if changed else None

    def _note(self, fault: str) -> None:
        if fault and fault != self._fault:
            _log.warning("nobody checks whom commands come from", because=fault)
        self._fault = fault

    def _absence(self, error: NotFound | Denied) -> str:
        if isinstance(error, NotFound):
            return (
                f"there is no {ADMISSION_POLICY} {self._key} with a binding of that name "
                "(Kubernetes has had them since 1.30)"
            )
        return f"the controller may not get {error.what}"


def fault(policy: Manifest, binding: Manifest, *, namespace: str) -> str:
    """What makes the two less than they were shipped as, in a sentence; empty: nothing."""
    found = (*_of_policy(policy), *_of_binding(binding, policy, namespace=namespace))
    return found[0] if found else ""


def _of_policy(policy: Manifest) -> Iterator[str]:
    name = f"{ADMISSION_POLICY} {policy['metadata']['name']}"
    spec = _mapping(policy.get("spec"))
    constraints = _mapping(spec.get("matchConstraints"))
    if spec.get("failurePolicy", "Fail") != "Fail":
        yield f"{name} has failurePolicy {spec['failurePolicy']} and not Fail"
    if spec.get("matchConditions"):
        yield f"{name} has matchConditions, and looks only at some commands"
    if _is_narrowed(constraints):
        yield f"{name} has matchConstraints that leave some commands out"
    rules = [_mapping(rule) for rule in constraints.get("resourceRules") or ()]
    for operation, resource in WATCHED:
        if not any(_covers(rule, operation, resource) for rule in rules):
            yield f"{name} does not look at {operation} of {resource}"
    parts = [*(spec.get("variables") or ()), *(spec.get("validations") or ())]
    said = " ".join(str(_mapping(part).get("expression")) for part in parts)
    for words in EXPRESSED:
        if words not in said:
            yield f"{name} says nothing about {words.rstrip('.')}"


def _of_binding(binding: Manifest, policy: Manifest, *, namespace: str) -> Iterator[str]:
    name = f"{ADMISSION_POLICY_BINDING} {binding['metadata']['name']}"
    spec = _mapping(binding.get("spec"))
    actions = [str(action) for action in spec.get("validationActions") or ()]
    if spec.get("policyName") != policy["metadata"]["name"]:
        yield f"{name} binds the policy {spec.get('policyName')}"
    if "Deny" not in actions:
        yield f"{name} has validationActions {', '.join(actions)} and not Deny"
    if spec.get("paramRef"):
        yield f"{name} has a paramRef, which our policy has no use for"
    resources = _mapping(spec.get("matchResources"))
    ours = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    is_ours = bool(namespace) and resources.get("namespaceSelector") == ours
    rest = {k: v for k, v in resources.items() if not (is_ours and k == "namespaceSelector")}
    if rest.get("resourceRules") or _is_narrowed(rest):
        yield f"{name} has matchResources that leave some commands out"


def _is_narrowed(constraints: Mapping[str, Any]) -> bool:
    narrowing = ("namespaceSelector", "objectSelector", "excludeResourceRules")
    return any(constraints.get(name) for name in narrowing)


def _covers(rule: Mapping[str, Any], operation: str, resource: str) -> bool:
    """Whether a rule of a policy matches one kind of request to one kind of ours."""
    wanted = {
        "apiGroups": {ROLLOUT.group, "*"},
        "apiVersions": {ROLLOUT.version, "*"},
        "operations": {operation, "*"},
        "resources": {resource, "*/*"},
    }
    matches = all(any(one in found for one in rule.get(k) or ()) for k, found in wanted.items())
    return matches and not rule.get("resourceNames") and rule.get("scope", "*") != "Cluster"


def _changes(manifest: Manifest) -> Iterator[datetime]:
    """When an object was made, and when each of its writers last changed it, status aside."""
    metadata = manifest["metadata"]
    managed = [_mapping(entry) for entry in metadata.get("managedFields") or ()]
    stamps = [entry.get("time") for entry in managed if entry.get("subresource") != "status"]
    for stamp in (metadata.get("creationTimestamp"), *stamps):
        if isinstance(stamp, str):
            yield datetime.fromisoformat(stamp)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
