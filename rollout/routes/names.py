"""Names of managed routes: what tells ours from a person's, and whose they are.

``rollout.dev/<namespace>/<rollout>/<kind>/<label>``, where the label says before which route of a
person it stands. Istio takes any text as a route's name, of any length; EnvoyFilters may match it.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

MATCH = "match"
"""The kind that takes the requests of a match."""

COPY = "copy"
"""The kind that stands for the owned route, and mirrors or guards."""

LABEL_CHARACTERS_MAX = 63
"""A longer name of a person's route is cut and told by a hash, for access logs that print it."""

_PREFIX = "rollout.dev"
_HASH_CHARACTERS = 8
_BY_PLACE = re.compile(r"http-\d+")


def named(owner: str, *, kind: str, label: str) -> str:
    """The name of a managed route; ``owner`` is the Rollout's ``namespace/name``."""
    return f"{_PREFIX}/{owner}/{kind}/{label}"


def owner_of(name: str) -> str:
    """``namespace/name`` of the Rollout whose managed route this is; empty when a person's."""
    prefix, *parts = name.split("/", 4)
    if prefix != _PREFIX or len(parts) != 4 or not all(parts) or parts[2] not in {MATCH, COPY}:
        return ""
    return "/".join(parts[:2])


def labels(routes: Sequence[str]) -> tuple[str, ...]:
    """A label for each http route of a person, no two alike, by their names in list order.

    It is the route's name, or its place among them when it has none of its own.
    """
    counts = Counter(routes)
    return tuple(
        f"http-{place}" if not name or counts[name] > 1 or _BY_PLACE.fullmatch(name) else _cut(name)
        for place, name in enumerate(routes)
    )


def _cut(name: str) -> str:
    if len(name) <= LABEL_CHARACTERS_MAX:
        return name
    told = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_HASH_CHARACTERS]
    return f"{name[: LABEL_CHARACTERS_MAX - _HASH_CHARACTERS - 1]}-{told}"
