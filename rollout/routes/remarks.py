"""What Istio's webhook remarks about a VirtualService that it takes, without what is our doing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from rollout.routes.fields import Manifest

MANAGED = "rollout.dev/"
"""How the names of our managed routes begin."""

_UNUSED = re.compile(
    r'virtualService rule (?P<rule>"(?:[^"\\]|\\.)*"|#\d+) (?:match .* is )?not used'
)
"""IST0130 and IST0131, as the webhook words them. A route without a name is called by its place."""


def worth_telling(manifest: Manifest, sentences: Iterable[str]) -> tuple[str, ...]:
    """The warnings that would have been given without our managed routes.

    A managed route may be a copy that stands in front of its original, which then gets no request;
    Istio warns of that, and that is what we want. So of routes that are never reached nothing is
    told when the route is ours, or stands behind one of ours. What else is wrong behind them was
    told before they came.

    Args:
        manifest: the VirtualService as it was written.
        sentences: the warnings that came with the answer.
    """
    return tuple(one for one in sentences if not _is_our_doing(manifest, one))


def _is_our_doing(manifest: Manifest, sentence: str) -> bool:
    found = _UNUSED.search(sentence)
    if found is None:
        return False
    if f'"{MANAGED}' in sentence:
        return True
    names = list(_names(manifest))
    ours = [place for place, name in enumerate(names) if name.startswith(MANAGED)]
    rule = found["rule"]
    if not ours:
        return False
    if rule.startswith("#"):
        return int(rule[1:]) > ours[0]
    return rule[1:-1] in names[ours[0] :]


def _names(manifest: Manifest) -> Iterator[str]:
    routes: Any = manifest.get("spec", {}).get("http") or ()
    for route in routes:
        yield str(route.get("name", "")) if isinstance(route, dict) else ""
