"""Kinds the server serves: what a resource is, and the registry that finds one by its URL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from rollout.sandbox.apiserver.judge import Judge
from rollout.sandbox.apiserver.refusals import Label
from rollout.sandbox.apiserver.schema import Shaper
from rollout.sandbox.apiserver.trees import Json, Tree

KIND_LIMIT_COUNT = 500  # resources in all; a runaway script of CRDs ends here

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
SUBRESOURCE_VERBS = ("get", "patch", "update")
COMMON_FIELDS = frozenset({"metadata.name", "metadata.namespace"})

StorageKey = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table.

    Attributes:
        name: the heading, before kubectl puts it in capitals.
        cell: the object without its envelope, and now → a JSON value.
        type: boolean, date, integer, number or string.
        format: ``name`` for the first column.
        priority: above 0 is shown by ``-o wide`` only.
    """

    name: str
    cell: Callable[[Json, datetime], Tree]
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Where the scale subresource finds its numbers, as dotted paths."""

    spec_replicas: str
    status_replicas: str
    selector: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Version:
    """One served version of a resource.

    Attributes:
        name: such as ``v1alpha1``.
        schema: OpenAPI schema as it is published.
        shaper: prunes and defaults; None lets everything be.
        judge: validates; None accepts everything.
        columns: printer columns after the name; None means the age alone.
        status: it has a status subresource.
        scale: it has a scale subresource.
        selectable: dotted paths a field selector may name.
    """

    name: str
    schema: Json
    shaper: Shaper | None = None
    judge: Judge | None = None
    columns: tuple[Column, ...] | None = None
    status: bool = False
    scale: Scale | None = None
    selectable: frozenset[str] = COMMON_FIELDS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resource:
    """One resource, in all its served versions.

    Attributes:
        label: how messages name it.
        singular: for kubectl.
        list_kind: kind of its lists.
        short_names: for kubectl.
        categories: for ``kubectl get CATEGORY``.
        namespaced: objects live in namespaces.
        versions: the served ones by name, the preferred one first.
        storage: where the objects are kept; two API groups may share one store.
        custom: defined by a CustomResourceDefinition.
        counts_generations: metadata.generation is kept.
        extra_subresources: subresources beside status and scale.
    """

    label: Label
    singular: str
    list_kind: str
    namespaced: bool
    versions: dict[str, Version]
    storage: StorageKey
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    custom: bool = False
    counts_generations: bool = False
    extra_subresources: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """API group."""
        return self.label.group

    @property
    def plural(self) -> str:
        """Name in URLs."""
        return self.label.plural

    @property
    def kind(self) -> str:
        """Name in manifests."""
        return self.label.kind

    def api_version(self, version: Version) -> str:
        """Such as ``apps/v1``."""
        return f"{self.group}/{version.name}" if self.group else version.name

    def subresources(self, version: Version) -> tuple[str, ...]:
        """Return the names of the subresources of one version."""
        found = (*(("status",) if version.status else ()), *(("scale",) if version.scale else ()))
        return (*found, *self.extra_subresources)


@dataclass(slots=True)
class Registry:
    """Every resource that is served, by group and plural.

    Attributes:
        resources: by (group, plural).
        changes_count: rises with every change, so that what was built from it can be built anew.
    """

    resources: dict[StorageKey, Resource] = field(default_factory=dict)
    changes_count: int = 0

    def put(self, resource: Resource) -> None:
        """Serve a resource, or serve it in its new shape.

        Raises:
            ValueError: there are too many resources.
        """
        key = (resource.group, resource.plural)
        if key not in self.resources and len(self.resources) >= KIND_LIMIT_COUNT:
            problem = f"more than {KIND_LIMIT_COUNT} resources"
            raise ValueError(problem)
        self.resources[key] = resource
        self.changes_count += 1

    def drop(self, group: str, plural: str) -> None:
        """Serve a resource no more."""
        if self.resources.pop((group, plural), None) is not None:
            self.changes_count += 1

    def find(self, group: str, version: str, plural: str) -> tuple[Resource, Version] | None:
        """Return the resource a URL names."""
        resource = self.resources.get((group, plural))
        if resource is None:
            return None
        found = resource.versions.get(version)
        return None if found is None else (resource, found)

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource that a reference (apiVersion and kind) means."""
        group, _, version = api_version.rpartition("/")
        for resource in self.resources.values():
            if resource.kind == kind and resource.group == group and version in resource.versions:
                return resource
        return None

    def group_versions(self) -> dict[tuple[str, str], list[tuple[Resource, Version]]]:
        """Return what each group and version serves, groups and versions in a steady order."""
        found: dict[tuple[str, str], list[tuple[Resource, Version]]] = {}
        for resource in sorted(self.resources.values(), key=lambda one: (one.group, one.plural)):
            for version in resource.versions.values():
                found.setdefault((resource.group, version.name), []).append((resource, version))
        return found


def in_order_of_age(names: Iterable[str]) -> list[str]:
    """Order version names as Kubernetes prefers them: v2, v1, v1beta1, v1alpha3, others."""

    def rank(name: str) -> tuple[int, int, int, str]:
        stage = 3
        for word, value in (("alpha", 1), ("beta", 2)):
            if word in name:
                stage = value
        digits = "".join(char if char.isdigit() else " " for char in name).split()
        if not name.startswith("v") or not digits:
            return (0, 0, 0, name)
        minor = int(digits[1]) if len(digits) > 1 else 0
        return (stage, int(digits[0]), minor, "")

    return sorted(names, key=rank, reverse=True)
