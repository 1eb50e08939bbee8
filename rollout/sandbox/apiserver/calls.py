"""Calls: what a request asks, read from its URL, headers and body once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn

import orjson
import yaml

from rollout.sandbox.apiserver import refusals
from rollout.sandbox.apiserver.kinds import Registry, Resource, Version
from rollout.sandbox.apiserver.trees import Json, Tree

STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to a resource.

    Attributes:
        resource: which.
        version: the version of the URL.
        namespace: empty for all namespaces and for cluster-scoped resources.
        name: empty for the collection.
        subresource: empty for the object itself.
        query: the query parameters.
        agent: the client's user agent up to the first slash.
        method: the HTTP method.
        warnings: receives what the ``Warning`` headers shall say.
    """

    resource: Resource
    version: Version
    namespace: str
    name: str
    subresource: str
    query: Mapping[str, str]
    agent: str
    method: str = "GET"
    warnings: list[str] = field(default_factory=list)

    @property
    def manager(self) -> str:
        """The field manager."""
        return self.query.get("fieldManager") or self.agent

    @property
    def validation(self) -> str:
        """How strict unknown fields are taken."""
        return self.query.get("fieldValidation") or WARN

    @property
    def dry_run(self) -> bool:
        """Nothing shall be kept."""
        return bool(self.query.get("dryRun"))

    @property
    def api_version(self) -> str:
        """Such as ``apps/v1``."""
        return self.resource.api_version(self.version)

    def named(self, name: str) -> Call:
        """Return the same call for one object."""
        return replace(self, name=name)

    def check_options(self) -> None:
        """Refuse options that no server knows.

        Raises:
            Refusal: 422.
        """
        for key, allowed in (("dryRun", {"All"}), ("fieldValidation", {STRICT, WARN, IGNORE})):
            value = self.query.get(key)
            if value and value not in allowed:
                supported = ", ".join(f'"{one}"' for one in sorted(allowed))
                message = f'Unsupported value: "{value}": supported values: {supported}'
                cause = refusals.Cause(reason="FieldValueNotSupported", field=key, message=message)
                label = refusals.Label(group="meta.k8s.io", plural="", kind="WriteOptions")
                raise refusals.invalid(label, "", [cause])


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a path names, before any resource is looked up."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_DEEPEST_PARTS = 3  # plural, name, subresource


def route(path: str) -> Route | None:
    """Read the path of a resource, such as ``/apis/apps/v1/namespaces/a/deployments/b/scale``.

    None when the path is not of that form.
    """
    parts = path.split("/")[1:]
    if parts[:2] == ["api", "v1"]:
        group, version, rest = "", "v1", parts[2:]
    elif parts[0] == "apis" and len(parts) > 2:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    in_namespace = len(rest) > 2 and rest[0] == "namespaces"
    if in_namespace and rest[2] not in _NAMESPACE_SUBRESOURCES:
        namespace, rest = rest[1], rest[2:]
    if not 1 <= len(rest) <= _DEEPEST_PARTS or not all(rest):
        return None
    plural, name, subresource = (*rest, "", "")[:3]
    return Route(
        group=group,
        version=version,
        plural=plural,
        namespace=namespace,
        name=name,
        subresource=subresource,
    )


def call_of(
    registry: Registry, found: Route, *, query: Mapping[str, str], agent: str, method: str
) -> Call | None:
    """Return the call a route means; None when nothing like it is served."""
    served = registry.find(found.group, found.version, found.plural)
    if served is None:
        return None
    resource, version = served
    if found.subresource and found.subresource not in resource.subresources(version):
        return None
    if found.namespace and not resource.namespaced:
        return None
    if found.name and resource.namespaced and not found.namespace:
        return None
    return Call(
        resource=resource,
        version=version,
        namespace=found.namespace,
        name=found.name,
        subresource=found.subresource,
        query=query,
        agent=agent,
        method=method,
    )


def decoded(raw: bytes, *, yaml_allowed: bool = False) -> Tree:
    """Decode a body, JSON or (where the content type says so) YAML.

    Raises:
        Refusal: 400, it is broken.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as problem:
        if not yaml_allowed:
            _broken(str(problem))
    try:
        return json.loads(json.dumps(yaml.safe_load(raw), default=str))
    except (yaml.YAMLError, TypeError, ValueError) as problem:
        _broken(str(problem))


def _broken(why: str) -> NoReturn:
    message = f"the object provided is unrecognized (must be of type *unstructured): {why}"
    raise refusals.bad_request(message)


def decoded_object(raw: bytes, *, yaml_allowed: bool = False) -> Json:
    """Decode a body that must be an object.

    Raises:
        Refusal: 400, it is broken or something else.
    """
    value = decoded(raw, yaml_allowed=yaml_allowed)
    if not isinstance(value, dict):
        _broken("json: cannot unmarshal into Go value of type map[string]interface {}")
    return value


class _Pairs(dict[str, Tree]):
    """A JSON object that remembers which of its keys were written twice."""

    repeated: tuple[str, ...] = ()


def _pairs(pairs: list[tuple[str, Tree]]) -> _Pairs:
    found = _Pairs(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        found.repeated = tuple(sorted({key for key in keys if keys.count(key) > 1}))
    return found


def duplicate_fields(raw: bytes) -> list[str]:
    """Return the paths of keys that a JSON body writes twice; empty for what is not JSON."""
    try:
        tree = json.loads(raw, object_pairs_hook=_pairs)
    except ValueError:
        return []
    return _repeated(tree, "")


def _repeated(tree: Tree, path: str) -> list[str]:
    found: list[str] = []
    if isinstance(tree, _Pairs):
        found.extend(f"{path}{key}" for key in tree.repeated)
        for key, value in tree.items():
            found.extend(_repeated(value, f"{path}{key}."))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            found.extend(_repeated(value, f"{path.rstrip('.')}[{index}]."))
    return found
