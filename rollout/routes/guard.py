"""The guard of a run on one subset of a DestinationRule, and nothing else of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rollout.routes import fields
from rollout.routes.fields import Manifest, Place
from rollout.routes.managed import Operation

Policies = Mapping[str, Mapping[str, Any] | None]


def guard_patch(manifest: Manifest, *, subset: str, policies: Policies) -> list[Operation]:
    """The JSON patch that makes a subset's traffic policy say what a guard says.

    It holds only operations on the named fields of that policy, or on the whole of it where nothing
    else is in it, after a ``replace`` of the resource version the manifest was read at, so that a
    write decided on an old version is a conflict. It is empty when all is so already. Of a subset
    that is there twice the first counts, as it does for Istio.

    Args:
        manifest: the DestinationRule; it is not changed.
        subset: the subset's name.
        policies: field of the traffic policy to what it is to say; None: it is to be absent.

    Raises:
        BadManifest: when the subsets cannot be read, or the one to be guarded is not there. That
            there is nothing to take a guard off from is none.
    """
    who = fields.meta(manifest, namespace="")
    place = Place(subject=f"DestinationRule {who}", path="spec.subsets")
    found = place.items(fields.dig(manifest, "spec", "subsets"))
    names = [place.at(i).mapping(one).get("name") for i, one in enumerate(found)]
    if subset not in names:
        if any(policy is not None for policy in policies.values()):
            problem = f"has no subset {subset}"
            raise place.fault(problem, remedy="add it there")
        return []
    index = names.index(subset)
    here = place.at(index).at("trafficPolicy")
    policy = here.optional_mapping(fields.dig(found[index], "trafficPolicy"))
    operations = list(_changes(policy, policies, path=f"/spec/subsets/{index}/trafficPolicy"))
    if operations and who.resource_version:
        path = "/metadata/resourceVersion"
        operations.insert(0, {"op": "replace", "path": path, "value": who.resource_version})
    return operations


def _changes(policy: Mapping[str, Any], wanted: Policies, *, path: str) -> Iterator[Operation]:
    """Istio refuses a policy with nothing in it, so such a one goes, and comes, as a whole."""
    differing = {name: value for name, value in wanted.items() if policy.get(name) != value}
    left = {name for name in policy if name not in differing or differing[name] is not None}
    if not differing:
        return
    if not policy:
        added = {name: value for name, value in differing.items() if value is not None}
        yield {"op": "add", "path": path, "value": added}
    elif not left and all(value is None for value in differing.values()):
        yield {"op": "remove", "path": path}
    else:
        yield from (_change(name, value, policy, path) for name, value in differing.items())


def _change(
    name: str, value: Mapping[str, Any] | None, policy: Mapping[str, Any], path: str
) -> Operation:
    if value is None:
        return {"op": "remove", "path": f"{path}/{name}"}
    return {"op": "replace" if name in policy else "add", "path": f"{path}/{name}", "value": value}
