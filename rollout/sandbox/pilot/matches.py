"""One entry of a route's ``match`` as Envoy's condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollout.sandbox.pilot.policies import serves_mesh
from rollout.sandbox.pilot.world import Config, Manifest, Proxy, is_subset

_PSEUDO = {"method": ":method", "authority": ":authority", "scheme": ":scheme"}


def concerns(match: Manifest, *, proxy: Proxy, port: int) -> bool:
    """Whether the entry can hold for this caller and port at all; decided here, not in Envoy."""
    return (
        serves_mesh(match)
        and match.get("port") in {None, port}
        and match.get("sourceNamespace") in {None, "", proxy.namespace}
        and is_subset(match.get("sourceLabels") or {}, proxy.labels)
    )


def condition(match: Manifest) -> Config:
    """Envoy's condition; fields are ANDed."""
    found = _path(match.get("uri"))
    if match.get("ignoreUriCase"):
        found["case_sensitive"] = False
    headers = [
        *(_named(real, match[name]) for name, real in _PSEUDO.items() if name in match),
        *(_named(name, wish) for name, wish in sorted((match.get("headers") or {}).items())),
        *(_unwanted(name, w) for name, w in sorted((match.get("withoutHeaders") or {}).items())),
    ]
    if headers:
        found["headers"] = headers
    if match.get("queryParams"):
        pairs = sorted(match["queryParams"].items())
        found["query_parameters"] = [_named(name, wish) for name, wish in pairs]
    return found


def takes_everything(found: Config) -> bool:
    """Whether nothing gets past the condition: Istio ignores the routes behind such a one."""
    return found == {"prefix": "/"}


def text_match(wish: Mapping[str, Any]) -> Config:
    """``exact``, ``prefix`` or ``regex``; regular expressions cover the whole text."""
    if "regex" in wish:
        return {"safe_regex": {"regex": wish["regex"]}}
    if "prefix" in wish:
        return {"prefix": wish["prefix"]}
    return {"exact": wish.get("exact", "")}


def _path(uri: Manifest | None) -> Config:
    if not uri:
        return {"prefix": "/"}
    if "exact" in uri:
        return {"path": uri["exact"]}
    if "regex" in uri:
        return {"safe_regex": {"regex": uri["regex"]}}
    return {"prefix": uri.get("prefix") or "/"}


def _named(name: str, wish: Mapping[str, Any] | None) -> Config:
    if not wish:
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": text_match(wish)}


def _unwanted(name: str, wish: Mapping[str, Any] | None) -> Config:
    found = {**_named(name, wish), "invert_match": True}
    if wish:
        # Else a request without the header would match neither way.
        found["treat_missing_header_as_empty"] = True
    return found
