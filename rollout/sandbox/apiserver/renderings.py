"""Renderings: an object as bytes in the form a client asked for (full, metadata only, table)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import orjson

from rollout.sandbox.apiserver import refusals, rules, tables
from rollout.sandbox.apiserver.kinds import Resource, Version
from rollout.sandbox.apiserver.store import Entry
from rollout.sandbox.apiserver.trees import Json

FULL, PARTIAL, PARTIAL_LIST, TABLE = "full", "partial", "partial list", "table"

ACCEPT_LIMIT_COUNT = 256  # remembered Accept headers; clients send a handful


_PARTIAL_FORMS = {"PartialObjectMetadata": PARTIAL, "PartialObjectMetadataList": PARTIAL_LIST}


def fitting(form: str, *, is_list: bool) -> str:
    """The form, one object's or a list's as it may be, in which to show an answer.

    Raises:
        Refusal: 406, the metadata of a list was asked of one object, or the other way round.
    """
    if is_list and form == PARTIAL:
        message = "you requested PartialObjectMetadata, but the requested object is a list"
        raise refusals.Refusal(406, "NotAcceptable", message)
    if not is_list and form == PARTIAL_LIST:
        message = "you requested PartialObjectMetadataList, but the requested object is not a list"
        raise refusals.Refusal(406, "NotAcceptable", message)
    return PARTIAL if form == PARTIAL_LIST else form


@functools.lru_cache(maxsize=ACCEPT_LIMIT_COUNT)
def wanted_form(accept: str) -> str:
    """Tell which form an Accept header wants most.

    Raises:
        Refusal: 406, none that this server has.
    """
    for choice in accept.split(",") if accept else ():
        media, *parameters = [part.strip() for part in choice.split(";")]
        given = dict(part.partition("=")[::2] for part in parameters)
        if media not in {"application/json", "*/*", "application/*"}:
            continue
        form = given.get("as", "")
        if not form:
            return FULL
        if given.get("g") == "meta.k8s.io" and given.get("v") == "v1":
            if form == "Table":
                return TABLE
            if form in _PARTIAL_FORMS:
                return _PARTIAL_FORMS[form]
    if accept and not any(word in accept for word in ("json", "*/*", "yaml", "protobuf")):
        message = (
            "only the following media types are accepted: application/json, application/yaml, "
            "application/vnd.kubernetes.protobuf"
        )
        raise refusals.Refusal(406, "NotAcceptable", message)
    return FULL


class Rendering(Protocol):
    """One form of one resource.

    Attributes:
        key: renderings with the same key give the same bytes; None is never shared.
    """

    key: object

    def one(self, entry: Entry) -> bytes:
        """Encode one object."""

    def many(self, entries: Sequence[Entry], metadata: Json) -> bytes:
        """Encode a list."""


class Full:
    """The whole object."""

    def __init__(self, resource: Resource, version: Version) -> None:
        self.key: object = (FULL, resource.group, version.name)
        self._resource = resource
        self._api_version = resource.api_version(version)
        head = {"apiVersion": self._api_version, "kind": resource.kind}
        self._head = orjson.dumps(head)[:-1] + b","
        self._translated = resource.group == "events.k8s.io"

    def _tail(self, entry: Entry) -> bytes:
        if self._translated:
            return orjson.dumps(rules.presented(self._resource, entry.body))[1:]
        return entry.tail

    def one(self, entry: Entry) -> bytes:
        """Encode one object."""
        return self._head + self._tail(entry)

    def many(self, entries: Sequence[Entry], metadata: Json) -> bytes:
        """Encode a list; items of built-in kinds carry no envelope, as in kube-apiserver."""
        head = self._head if self._resource.custom else b"{"
        items = b",".join([head + self._tail(entry) for entry in entries])
        return _list(self._api_version, self._resource.list_kind, metadata, items=items)


class Partial:
    """The metadata alone."""

    def __init__(self) -> None:
        self.key: object = PARTIAL

    def one(self, entry: Entry) -> bytes:
        """Encode one object."""
        return orjson.dumps(tables.partial_metadata(entry.body))

    def many(self, entries: Sequence[Entry], metadata: Json) -> bytes:
        """Encode a list."""
        items = b",".join([self.one(entry) for entry in entries])
        return _list("meta.k8s.io/v1", "PartialObjectMetadataList", metadata, items=items)


class AsTable:
    """A table; ages depend on the moment, so nothing is shared.

    `one` names the columns the first time only, as a watch wants it.
    """

    def __init__(
        self,
        resource: Resource,
        version: Version,
        *,
        include: str,
        now: Callable[[], datetime],
    ) -> None:
        self.key: object = None
        self._columns = tables.columns_of(version)
        self._whole = include == "Object"
        self._bare = include == "None"
        self._full = {"apiVersion": resource.api_version(version), "kind": resource.kind}
        self._resource = resource
        self._now = now
        self._said_columns = False

    def _row(self, entry: Entry, now: datetime) -> Json:
        seen: Json | None = tables.partial_metadata(entry.body)
        if self._whole:
            seen = {**self._full, **rules.presented(self._resource, entry.body)}
        elif self._bare:
            seen = None
        return tables.row(self._columns, entry.body, seen, now=now)

    def one(self, entry: Entry) -> bytes:
        """Encode one object."""
        with_columns, self._said_columns = not self._said_columns, True
        metadata = {"resourceVersion": str(entry.version)}
        rows = [self._row(entry, self._now())]
        return orjson.dumps(tables.table(self._columns, rows, metadata, with_columns=with_columns))

    def many(self, entries: Sequence[Entry], metadata: Json) -> bytes:
        """Encode a list."""
        now = self._now()
        rows = [self._row(entry, now) for entry in entries]
        return orjson.dumps(tables.table(self._columns, rows, metadata, with_columns=True))


def _list(api_version: str, kind: str, metadata: Json, *, items: bytes) -> bytes:
    head = {"apiVersion": api_version, "kind": kind, "metadata": metadata}
    return orjson.dumps(head)[:-1] + b',"items":[' + items + b"]}"


def rendering(
    resource: Resource, version: Version, *, form: str, include: str, now: Callable[[], datetime]
) -> Rendering:
    """Return the rendering of a form."""
    if form == TABLE:
        return AsTable(resource, version, include=include, now=now)
    return Partial() if form == PARTIAL else Full(resource, version)
