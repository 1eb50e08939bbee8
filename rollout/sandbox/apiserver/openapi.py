"""OpenAPI v3: the little that kubectl reads before it creates, applies or explains."""

from __future__ import annotations

import hashlib

import orjson

from rollout.sandbox.apiserver.kinds import Registry, Resource, Version
from rollout.sandbox.apiserver.trees import Json, mapping

_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string"}}
    for name in ("dryRun", "fieldManager", "fieldValidation", "force")
]
_META: Json = {
    "type": "object",
    "description": "Standard object metadata.",
    "properties": {
        "name": {"type": "string", "description": "Unique within a namespace."},
        "generateName": {"type": "string", "description": "A base for a name to be made up."},
        "namespace": {"type": "string", "description": "The space within which names are unique."},
        "uid": {"type": "string", "description": "Unique in time and space."},
        "resourceVersion": {"type": "string", "description": "Changes with every change."},
        "generation": {"type": "integer", "description": "Changes with the desired state."},
        "creationTimestamp": {"type": "string", "format": "date-time"},
        "deletionTimestamp": {"type": "string", "format": "date-time"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
        "finalizers": {"type": "array", "items": {"type": "string"}},
        "ownerReferences": {"type": "array", "items": {"type": "object"}},
    },
}


def _path(resource: Resource, version: Version) -> str:
    api = f"/apis/{resource.group}/{version.name}" if resource.group else f"/api/{version.name}"
    space = "/namespaces/{namespace}" if resource.namespaced else ""
    return f"{api}{space}/{resource.plural}"


def _operations(resource: Resource, version: Version, verbs: tuple[str, ...]) -> Json:
    named = {"group": resource.group, "version": version.name, "kind": resource.kind}
    return {
        verb: {
            "parameters": _PARAMETERS if verb != "get" else [],
            "responses": {},
            "x-kubernetes-group-version-kind": named,
            "x-kubernetes-action": verb,
        }
        for verb in verbs
    }


def _schema(resource: Resource, version: Version) -> Json:
    described = dict(version.schema)
    properties = dict(mapping(described.get("properties")))
    properties["apiVersion"] = {"type": "string", "description": "Group and version of the kind."}
    properties["kind"] = {"type": "string", "description": "Which kind of object this is."}
    properties["metadata"] = _META
    described["properties"] = properties
    described["x-kubernetes-group-version-kind"] = [
        {"group": resource.group, "version": version.name, "kind": resource.kind}
    ]
    return described


def document(pairs: list[tuple[Resource, Version]]) -> Json:
    """Return the OpenAPI document of one group and version."""
    paths: Json = {}
    schemas: Json = {}
    for resource, version in pairs:
        path = _path(resource, version)
        paths[path] = _operations(resource, version, ("get", "post"))
        paths[path + "/{name}"] = _operations(resource, version, ("get", "put", "patch", "delete"))
        reversed_group = ".".join(reversed(resource.group.split("."))) or "io.k8s.api.core"
        schemas[f"{reversed_group}.{version.name}.{resource.kind}"] = _schema(resource, version)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Sandbox", "version": "v1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


class OpenApi:
    """OpenAPI documents, built anew when the registry changed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._built_for = -1
        self._documents: dict[str, bytes] = {}
        self._index = b""

    def _build(self) -> None:
        if self._built_for == self._registry.changes_count:
            return
        self._built_for = self._registry.changes_count
        self._documents.clear()
        index: Json = {}
        for (group, version), pairs in self._registry.group_versions().items():
            name = f"apis/{group}/{version}" if group else f"api/{version}"
            body = orjson.dumps(document(pairs))
            digest = hashlib.sha256(body).hexdigest()[:32].upper()
            self._documents[name] = body
            index[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest}"}
        self._index = orjson.dumps({"paths": index})

    def index(self) -> bytes:
        """Return the index; clients put their own path prefix before links to /openapi/v3."""
        self._build()
        return self._index

    def document(self, name: str) -> bytes | None:
        """Return one document, such as ``apis/apps/v1``."""
        self._build()
        return self._documents.get(name)
