"""Careful access to manifests that somebody else wrote: no surprise in them raises."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollout.api.traffic import Problem
from rollout.base.errors import BadManifest
from rollout.base.hosts import CLUSTER_DOMAIN

Manifest = Mapping[str, Any]
"""An object as decoded JSON; read, never changed."""

LISTED_NAMES_MAX = 8
"""Names a sentence may list: it must fit a condition and a Slack line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A problem together with the error that refuses to write because of it."""

    reason: str
    fault: BadManifest

    @property
    def problem(self) -> Problem:
        """The same as a noun of the API."""
        return Problem(reason=self.reason, message=str(self.fault))


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """Who an object is.

    Attributes:
        namespace: its namespace.
        name: its name; empty when it has none.
        created: creation time as written; empty when absent, which sorts as oldest.
        resource_version: the version it was read at; empty in files.
    """

    namespace: str
    name: str
    created: str
    resource_version: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def meta(manifest: Manifest, *, namespace: str) -> Meta:
    """Who an object is; one without a namespace, as in files, is in ``namespace``."""
    return Meta(
        namespace=text(dig(manifest, "metadata", "namespace")) or namespace,
        name=text(dig(manifest, "metadata", "name")),
        created=text(dig(manifest, "metadata", "creationTimestamp")),
        resource_version=text(dig(manifest, "metadata", "resourceVersion")),
    )


def text(value: object) -> str:
    """A string, or the empty one when the value is anything else."""
    return value if isinstance(value, str) else ""


def dig(value: object, *path: str) -> object:
    """What stands at a path; None when there is no such field."""
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A field of an object, for sentences about it.

    Attributes:
        subject: kind, namespace and name of the object.
        path: the field, such as ``spec.http[0].route``.
    """

    subject: str
    path: str

    def at(self, field: str | int) -> Place:
        """A field or an item within this one."""
        step = f"[{field}]" if isinstance(field, int) else f".{field}"
        return Place(subject=self.subject, path=self.path + step)

    def fault(self, problem: str, *, remedy: str) -> BadManifest:
        """An error about this field."""
        return BadManifest(subject=self.subject, field=self.path, problem=problem, remedy=remedy)

    def mapping(self, value: object) -> Mapping[str, Any]:
        """The value as an object.

        Raises:
            BadManifest: when it is something else, or absent.
        """
        if not isinstance(value, Mapping):
            raise self._wrong(value, wanted="an object")
        return value

    def optional_mapping(self, value: object) -> Mapping[str, Any]:
        """The value as an object; absent counts as empty.

        Raises:
            BadManifest: when it is something else.
        """
        return {} if value is None else self.mapping(value)

    def items(self, value: object) -> Sequence[object]:
        """The value as a list; absent counts as empty.

        Raises:
            BadManifest: when it is something else.
        """
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            raise self._wrong(value, wanted="a list")
        return value

    def word(self, value: object) -> str:
        """The value as a non-empty string.

        Raises:
            BadManifest: when it is empty, something else, or absent.
        """
        if not isinstance(value, str) or not value:
            raise self._wrong(value, wanted="a non-empty string")
        return value

    def optional_word(self, value: object) -> str:
        """The value as a string; absent counts as empty.

        Raises:
            BadManifest: when it is something else.
        """
        if value is not None and not isinstance(value, str):
            raise self._wrong(value, wanted="a string")
        return value or ""

    def _wrong(self, value: object, *, wanted: str) -> BadManifest:
        problem = "is missing" if value is None else f"is {shown(value)}"
        return self.fault(problem, remedy=f"make it {wanted}")


def shown(value: object) -> str:
    """A value for a sentence, cut to a bounded length."""
    return reprlib.repr(value)


def spoken_host(host: str, *, namespace: str) -> str:
    """A full host name as people write it in ``namespace``: short when it is a service there."""
    return host.removesuffix(f".{namespace}.svc.{CLUSTER_DOMAIN}")


def listed(names: Iterable[str]) -> str:
    """Names for a sentence, the first few and how many more there are."""
    every = list(names)
    more = len(every) - LISTED_NAMES_MAX
    head = ", ".join(every[:LISTED_NAMES_MAX])
    return f"{head} and {more} more" if more > 0 else head
