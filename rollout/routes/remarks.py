"""What Istio's webhook remarks about a VirtualService that it takes, without what is our doing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from rollout.routes import names
from rollout.routes.fields import Manifest

_UNUSED = re.compile(
    r'virtualService rule (?P<rule>"(?:[^"\\]|\\.)*"|#\d+) (?:match .* is )?not used'
)
"""IST0130 and IST0131, as the webhook words them. A route without a name is called by its place."""

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


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
    if any(map(names.owner_of, _QUOTED.findall(sentence))):
        return True
    routes = list(_routes(manifest))
    ours = [place for place, name in enumerate(routes) if names.owner_of(name)]
    if not ours:
        return False
    rule = found["rule"]
    if rule.startswith("#"):
        return int(rule[1:]) > ours[0]
    return rule[1:-1] in routes[ours[0] :]


def _routes(manifest: Manifest) -> Iterator[str]:
    """The names of the http routes, in order."""
    routes: Any = manifest.get("spec", {}).get("http") or ()
    for route in routes:
        yield str(route.get("name", "")) if isinstance(route, dict) else ""
