"""Reads: lists with selectors, pages that keep one version, and versions of the past."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from rollout.sandbox.apiserver import refusals, selectors
from rollout.sandbox.apiserver.calls import Call
from rollout.sandbox.apiserver.store import Entry, Store
from rollout.sandbox.apiserver.trees import Json

_OLD_LIST = "The resourceVersion for the provided list is too old."
_OLD_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You must start a new list without the continue parameter."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which objects of a kind a list or watch is about.

    Attributes:
        namespace: empty for all.
        name: the name that a field selector demands; None for any.
        predicate: what the selectors say; None for everything.
    """

    namespace: str
    name: str | None
    predicate: selectors.Predicate | None

    def place_fits(self, entry: Entry) -> bool:
        """Tell whether an object's name and namespace, which never change, fit."""
        if self.namespace and entry.namespace != self.namespace:
            return False
        return self.name is None or entry.name == self.name

    def fits(self, entry: Entry) -> bool:
        """Tell whether an object is selected."""
        return self.place_fits(entry) and (self.predicate is None or self.predicate(entry.body))


def selection(call: Call) -> Selection:
    """Read the selectors of a call.

    Raises:
        Refusal: 400, a selector cannot be parsed.
    """
    by_label = selectors.labels(call.query.get("labelSelector", ""))
    text = call.query.get("fieldSelector", "")
    by_field = selectors.fields(text, call.version.selectable)
    name = call.name or selectors.exact_field(text, "metadata.name")
    predicate = by_label or by_field
    if by_label is not None and by_field is not None:
        first, second = by_label, by_field
        predicate = lambda body: first(body) and second(body)  # noqa: E731  a def needs more lines
    return Selection(namespace=call.namespace, name=name, predicate=predicate)


def version_of(query: Mapping[str, str]) -> int | None:
    """Read ``resourceVersion``; None when it is not given.

    Raises:
        Refusal: 400, it is not a number.
    """
    text = query.get("resourceVersion", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        why = f'strconv.ParseUint: parsing "{text}": invalid syntax'
        message = f'resourceVersion: Invalid value: "{text}": {why}'
        raise refusals.bad_request(message)
    return int(text)


def listed(store: Store, call: Call) -> tuple[list[Entry], Json]:
    """Return the entries of a list, and the list's metadata.

    Raises:
        Refusal: 400, 410 or 422.
    """
    chosen = selection(call)
    topic = store.topic(call.resource.storage)
    start, version = _start(call)
    entries: list[Entry] | None
    if version is None:
        version = store.version
        entries = store.entries(call.resource.storage, call.namespace)
    else:
        entries = topic.at(version)
        if entries is None:
            raise refusals.expired(_OLD_CONTINUE if start else _OLD_LIST)
    found = [entry for entry in entries if chosen.fits(entry)]
    if start:
        found = [entry for entry in found if _place(entry) > start]
    return _page(call, found, version=version, selective=chosen.predicate is not None)


def _page(
    call: Call, found: list[Entry], *, version: int, selective: bool
) -> tuple[list[Entry], Json]:
    metadata: Json = {"continue": "", "resourceVersion": str(version)}
    limit = _limit(call.query)
    if limit and len(found) > limit:
        metadata["continue"] = _token(version, found[limit - 1])
        if not selective:
            metadata["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    if not call.resource.custom and not metadata["continue"]:
        del metadata["continue"]
    return found, metadata


def _limit(query: Mapping[str, str]) -> int:
    """Read ``limit``; 0 is none. With resourceVersion=0 kube-apiserver's cache ignores it."""
    text = query.get("limit", "")
    if not text or (query.get("resourceVersion") == "0" and "continue" not in query):
        return 0
    if not (text.isascii() and text.isdigit()):
        message = f'strconv.ParseInt: parsing "{text}": invalid syntax'
        raise refusals.bad_request(message)
    return int(text)


def _start(call: Call) -> tuple[tuple[str, str] | None, int | None]:
    """Return after which object the page begins, and which version of the past is wanted."""
    query = call.query
    version = version_of(query)
    match = query.get("resourceVersionMatch")
    token = query.get("continue")
    if token:
        if version:
            message = "specifying resource version is not allowed when using continue"
            raise refusals.bad_request(message)
        return _read_token(token)
    if match and (version is None or match not in {"Exact", "NotOlderThan"}):
        raise _bad_match(
            match, "resourceVersionMatch is forbidden unless resourceVersion is provided"
        )
    if match == "Exact":
        if version == 0:
            raise _bad_match(
                match, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            )
        return None, version
    return None, None


def _bad_match(match: str, why: str) -> refusals.Refusal:
    cause = refusals.forbidden_value("resourceVersionMatch", why)
    label = refusals.Label(group="meta.k8s.io", plural="", kind="ListOptions")
    assert match, "there is something to refuse"
    return refusals.invalid(label, "", [cause])


def _place(entry: Entry) -> tuple[str, str]:
    return (entry.namespace, entry.name)


def _token(version: int, last: Entry) -> str:
    start = f"{last.namespace}/{last.name}\0"
    text = orjson.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": start})
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _read_token(token: str) -> tuple[tuple[str, str], int]:
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        content = orjson.loads(text)
        namespace, _, name = str(content["start"]).rstrip("\0").partition("/")
        return (namespace, name), int(content["rv"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        message = "continue key is not valid: the token cannot be decoded"
        raise refusals.bad_request(message) from None
