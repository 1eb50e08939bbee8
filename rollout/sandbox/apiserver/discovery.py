"""Discovery: which groups, versions and resources are served, aggregated or one by one."""

from __future__ import annotations

import hashlib

import orjson

from rollout.sandbox.apiserver.kinds import (
    ALL_VERBS,
    SUBRESOURCE_VERBS,
    Registry,
    Resource,
    Version,
)
from rollout.sandbox.apiserver.trees import Json

AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
PLAIN_TYPE = "application/json"
SCALE_KIND = {"group": "autoscaling", "version": "v1", "kind": "Scale"}

# Resources that are not kept but answered at once, by group: (plural, kind).
REVIEWS: dict[str, tuple[tuple[str, str], ...]] = {
    "authorization.k8s.io": (
        ("localsubjectaccessreviews", "LocalSubjectAccessReview"),
        ("selfsubjectaccessreviews", "SelfSubjectAccessReview"),
        ("selfsubjectrulesreviews", "SelfSubjectRulesReview"),
        ("subjectaccessreviews", "SubjectAccessReview"),
    ),
    "authentication.k8s.io": (
        ("selfsubjectreviews", "SelfSubjectReview"),
        ("tokenreviews", "TokenReview"),
    ),
}


def _response_kind(resource: Resource, version: Version) -> Json:
    return {"group": resource.group, "version": version.name, "kind": resource.kind}


def _aggregated_resource(resource: Resource, version: Version) -> Json:
    found: Json = {
        "resource": resource.plural,
        "responseKind": _response_kind(resource, version),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(ALL_VERBS),
        "subresources": [
            {
                "subresource": name,
                "responseKind": SCALE_KIND
                if name == "scale"
                else _response_kind(resource, version),
                "verbs": list(SUBRESOURCE_VERBS),
            }
            for name in resource.subresources(version)
        ],
    }
    if resource.short_names:
        found["shortNames"] = list(resource.short_names)
    if resource.categories:
        found["categories"] = list(resource.categories)
    return found


def _legacy_resources(resource: Resource, version: Version) -> list[Json]:
    main: Json = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(ALL_VERBS),
    }
    if resource.short_names:
        main["shortNames"] = list(resource.short_names)
    if resource.categories:
        main["categories"] = list(resource.categories)
    below: list[Json] = [
        _legacy_subresource(resource, name) for name in resource.subresources(version)
    ]
    return [main, *below]


def _legacy_subresource(resource: Resource, name: str) -> Json:
    found: Json = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(SUBRESOURCE_VERBS),
    }
    return {**found, **SCALE_KIND} if name == "scale" else found


class Discovery:
    """Discovery documents, built anew when the registry changed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._built_for = -1
        self._documents: dict[tuple[str, bool], tuple[bytes, str]] = {}

    def document(self, path: str, *, aggregated: bool) -> tuple[bytes, str, str] | None:
        """Return (body, ETag, content type) of a discovery path; None when there is none such."""
        if self._built_for != self._registry.changes_count:
            self._build()
        form = aggregated and path in {"/api", "/apis"}
        found = self._documents.get((path, form))
        if found is None:
            return None
        return (*found, AGGREGATED_TYPE if form else PLAIN_TYPE)

    def _build(self) -> None:
        self._built_for = self._registry.changes_count
        self._documents.clear()
        served = self._registry.group_versions()
        groups: dict[str, list[str]] = {group: ["v1"] for group in REVIEWS}
        for group, version in served:
            known = groups.setdefault(group, [])
            if version not in known:
                known.append(version)
        self._keep("/api", {"kind": "APIVersions", "versions": ["v1"]})
        named = [_group(name, versions) for name, versions in sorted(groups.items()) if name]
        self._keep("/apis", {"kind": "APIGroupList", "apiVersion": "v1", "groups": named})
        for one in named:
            self._keep(f"/apis/{one['name']}", {"kind": "APIGroup", "apiVersion": "v1", **one})
        core = [self._aggregated("", ["v1"], served)]
        others = [
            self._aggregated(name, versions, served)
            for name, versions in sorted(groups.items())
            if name
        ]
        self._keep("/api", _aggregate(core), aggregated=True)
        self._keep("/apis", _aggregate(others), aggregated=True)
        for name, versions in groups.items():
            for version in versions:
                self._keep_group_version(name, version, served.get((name, version), []))

    def _keep(self, path: str, document: Json, *, aggregated: bool = False) -> None:
        body = orjson.dumps(document)
        tag = f'"{hashlib.sha256(body).hexdigest()[:32].upper()}"'
        self._documents[path, aggregated] = (body, tag)

    def _keep_group_version(
        self, group: str, version: str, resources: list[tuple[Resource, Version]]
    ) -> None:
        listed = [one for pair in resources for one in _legacy_resources(*pair)]
        for plural, kind in REVIEWS.get(group, ()):
            listed.append(
                {
                    "name": plural,
                    "singularName": kind.lower(),
                    "namespaced": _is_local(plural),
                    "kind": kind,
                    "verbs": ["create"],
                }
            )
        document = {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version,
            "resources": listed,
        }
        self._keep(f"/apis/{group}/{version}" if group else f"/api/{version}", document)

    def _aggregated(
        self,
        group: str,
        versions: list[str],
        served: dict[tuple[str, str], list[tuple[Resource, Version]]],
    ) -> Json:
        described = [
            {
                "version": version,
                "freshness": "Current",
                "resources": [
                    *(_aggregated_resource(*pair) for pair in served.get((group, version), [])),
                    *(_aggregated_review(group, *review) for review in REVIEWS.get(group, ())),
                ],
            }
            for version in versions
        ]
        return {"metadata": {"name": group} if group else {}, "versions": described}


def _is_local(review: str) -> bool:
    """Whether a review is asked in the one namespace that it is about."""
    return review.startswith("local")


def _aggregated_review(group: str, plural: str, kind: str) -> Json:
    return {
        "resource": plural,
        "responseKind": {"group": group, "version": "v1", "kind": kind},
        "scope": "Namespaced" if _is_local(plural) else "Cluster",
        "singularResource": kind.lower(),
        "verbs": ["create"],
    }


def _aggregate(items: list[Json]) -> Json:
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _group(name: str, versions: list[str]) -> Json:
    described = [{"groupVersion": f"{name}/{one}", "version": one} for one in versions]
    return {"name": name, "versions": described, "preferredVersion": described[0]}
