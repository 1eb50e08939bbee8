"""Managed routes: what of our own stands in front of an owned http route, and how it gets there.

Up to two, directly before the owned route, so that a person's earlier routes keep winning: one
that takes the requests of a match to the canary, then a copy of the owned route that mirrors
requests or guards them. Both are the owned route with all that it does, and differ only where they
must.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rollout.api.match import Match, TextMatch
from rollout.api.traffic import ManagedRoutes, Note
from rollout.base.errors import BadManifest
from rollout.routes import names
from rollout.routes.fields import Finding, Place
from rollout.routes.legs import Holding, Managed, Route, Service

Entry = dict[str, Any]
"""An http route as decoded JSON."""

Operation = dict[str, Any]
"""One operation of a JSON patch (RFC 6902)."""

_MIRROR = "mirror"
_MIRROR_PERCENTAGE = "mirrorPercentage"
_MIRROR_PERCENTS = ("mirrorPercent", "mirror_percent")
"""How Istio spells the percent of a single mirror; the last two are deprecated."""

_NAME_OTHERS = "name other routes under spec.traffic.virtualServices[].routes"


# --- what is to stand there ---


def before(
    holding: Holding, entry: Entry, *, canary: str, wanted: ManagedRoutes
) -> tuple[Entry, ...]:
    """The managed routes that are to stand directly before an owned http route.

    ``entry`` is that route with the weights that it is to have; it is not changed. Nothing may be
    `in_the_way` of it.
    """
    label = _label(holding)
    found = []
    if _is_some(wanted.match):
        name = names.named(wanted.owner, kind=names.MATCH, label=label)
        found.append(_matching(holding.route, entry, name=name, canary=canary, wanted=wanted))
    name = names.named(wanted.owner, kind=names.COPY, label=label)
    doubled = _guarded(entry, wanted)
    if wanted.mirror_percent > 0:
        _mirror(doubled, to=_legs(holding.route, entry, canary)[0], percent=wanted.mirror_percent)
    if doubled != entry:
        found.append(_called(name, doubled))
    return tuple(found)


def _label(holding: Holding) -> str:
    theirs = [route for route in holding.service.routes if route.protocol == "http"]
    return names.labels([route.name for route in theirs])[holding.route.number]


def _called(name: str, entry: Entry) -> Entry:
    return {**entry, "name": name}


def _guarded(entry: Entry, wanted: ManagedRoutes) -> Entry:
    """A copy of a route that lacks no timeout or retries; its own ones stay."""
    found = copy.deepcopy(entry)
    if wanted.timeout and found.get("timeout") is None:
        found["timeout"] = wanted.timeout
    if wanted.retries is not None and found.get("retries") is None:
        found["retries"] = wanted.retries.model_dump(by_alias=True, exclude_none=True)
    return found


def _matching(
    route: Route, entry: Entry, *, name: str, canary: str, wanted: ManagedRoutes
) -> Entry:
    assert wanted.match is not None
    found = _called(name, _guarded(entry, wanted))
    asked = _conditions(wanted.match)
    found["match"] = [_both(each or {}, asked) for each in found.get("match") or [{}]]
    found["route"] = copy.deepcopy(_legs(route, entry, canary))
    weights = [leg.pop("weight", None) or 0 for leg in found["route"]]
    # In lowest terms, or every step of the ladder would write this route anew.
    common = math.gcd(*weights)
    if len(weights) > 1:
        for leg, weight in zip(found["route"], weights, strict=True):
            leg["weight"] = weight // common if common else 1
    return found


def _legs(route: Route, entry: Entry, subset: str) -> list[Entry]:
    legs = zip(route.legs, entry["route"], strict=True)
    return [found for leg, found in legs if leg.subset == subset]


def _mirror(entry: Entry, *, to: Entry, percent: float) -> None:
    """Istio refuses ``mirror`` beside ``mirrors``, so that a single mirror joins the list."""
    mirrors = list(entry.pop("mirrors", None) or ())
    single, share = entry.pop(_MIRROR, None), entry.pop(_MIRROR_PERCENTAGE, None)
    for spelling in _MIRROR_PERCENTS:
        deprecated = entry.pop(spelling, None)
        if share is None and deprecated is not None:
            share = {"value": deprecated}
    if single is not None:
        mirrors.append(
            {"destination": single}
            if share is None
            else {"destination": single, "percentage": share}
        )
    value = int(percent) if percent == int(percent) else percent
    mirrors.append(
        {"destination": copy.deepcopy(to["destination"]), "percentage": {"value": value}}
    )
    entry["mirrors"] = mirrors


# --- which requests ---


def _is_some(match: Match | None) -> bool:
    """Whether it asks anything: a route that asks nothing would take every request."""
    return match is not None and bool(match.headers or match.cookies)


def _conditions(match: Match) -> dict[str, Entry]:
    """What headers must say, as Istio spells it."""
    found = {
        name: text.model_dump(by_alias=True, exclude_none=True)
        for name, text in match.headers.items()
    }
    for name, text in match.cookies.items():
        found["cookie"] = {"regex": cookie_pattern(name, text)}
    return found


def cookie_pattern(name: str, text: TextMatch) -> str:
    """An expression of RE2 for a whole Cookie header that holds this cookie, wherever in it.

    A regular expression is taken as written, so that one like ``.*`` may run into other cookies.
    """
    if text.exact is not None:
        value = re.escape(text.exact)
    elif text.prefix is not None:
        value = re.escape(text.prefix) + "[^;]*"
    else:
        value = f"(?:{text.regex})"
    return rf"(?:.*;\s*)?{re.escape(name)}={value}\s*(?:;.*)?"


def _both(entry: Entry, asked: Mapping[str, Entry]) -> Entry:
    """An entry of the owned route's match that asks ours too.

    Header names have no case, and one of theirs without a text asks only that the header be there.
    """
    theirs: Mapping[str, Any] = entry.get("headers") or {}
    there = {name.lower() for name, text in theirs.items() if text}
    lowered = {name.lower() for name in asked}
    kept = {name: text for name, text in theirs.items() if text or name.lower() not in lowered}
    ours = {name: text for name, text in asked.items() if name.lower() not in there}
    return {**entry, "headers": {**kept, **ours}}


# --- what keeps it from standing there ---


def in_the_way(holdings: Sequence[Holding], wanted: ManagedRoutes) -> Iterator[Finding]:
    """What a person must mend in owned routes before these managed ones can stand there.

    ``holdings`` are all routes that the Rollout owns: those with connections are in nobody's way
    as long as another one has requests.
    """
    for holding in holdings:
        yield from in_the_way_of(holding, wanted)
    yield from _without_http(holdings, wanted)


def in_the_way_of(holding: Holding, wanted: ManagedRoutes) -> Iterator[Finding]:
    """What a person must mend in one owned route; in a tcp or tls route nothing.

    Of ``withoutHeaders`` none is in the way: Istio asks both.
    """
    route = holding.route
    if route.protocol != "http":
        return
    place = Place(subject=holding.service.subject, path=f"spec.{route.position}")
    try:
        if wanted.mirror_percent > 0:
            place.at("mirrors").items(route.entry.get("mirrors"))
        if wanted.match is not None and _is_some(wanted.match):
            yield from _conflicts(holding, _conditions(wanted.match), place=place.at("match"))
    except BadManifest as fault:
        yield Finding(reason="BrokenManifest", fault=fault)


def _conflicts(holding: Holding, asked: Mapping[str, Entry], *, place: Place) -> Iterator[Finding]:
    """Istio takes one condition for each header, so that two different ones cannot be asked."""
    ours = {name.lower(): text for name, text in asked.items()}
    for index, found in enumerate(place.items(holding.route.entry.get("match"))):
        entry = place.at(index).optional_mapping(found)
        theirs = place.at(index).at("headers").optional_mapping(entry.get("headers"))
        for name, text in theirs.items():
            if text and text != ours.get(name.lower(), text):
                yield holding.finding(
                    "MatchConflict",
                    f"asks for header {name} itself, and otherwise than the match of the steps",
                    remedy=f"match by another header or cookie, or {_NAME_OTHERS}",
                )


def _without_http(holdings: Sequence[Holding], wanted: ManagedRoutes) -> Iterator[Finding]:
    """A match or mirror that would do nothing, since every owned route carries connections."""
    does_something = _is_some(wanted.match) or wanted.mirror_percent > 0
    if does_something and not _has_http(holdings):
        for holding in holdings[:1]:
            yield holding.finding(
                "OnlyHttp",
                "carries connections, and a step with match or mirror is about requests",
                remedy=f"use steps with a weight, or {_NAME_OTHERS}",
            )


def notes(holdings: Sequence[Holding], wanted: ManagedRoutes) -> Iterator[Note]:
    """A guard that does nothing, since every owned route carries connections."""
    if (wanted.timeout or wanted.retries is not None) and not _has_http(holdings):
        for holding in holdings[:1]:
            yield Note(
                reason="GuardOnlyHttp",
                message=f"{holding.service.subject}: {holding.route.title} carries connections, "
                "on which the guard's timeout and retries do not act",
            )


def _has_http(holdings: Sequence[Holding]) -> bool:
    return any(holding.route.protocol == "http" for holding in holdings)


# --- how it gets there ---


def operations(
    service: Service, desired: Mapping[int, Sequence[Entry]], *, owner: str
) -> list[Operation]:
    """The operations that make a Rollout's managed routes the desired ones, each in its place.

    First removes, the last route first; then what is added or replaced, in list order. One that
    stands right is left alone, and so are those of other Rollouts, whose order to ours does not
    matter.

    Args:
        service: the VirtualService as it stands.
        desired: what is to stand before the route at this index.
        owner: whose managed routes these are.
    """
    used: list[Managed] = []
    inserted: dict[int, Sequence[Entry]] = {}
    found: list[Operation] = []
    for index, wanted in desired.items():
        standing = _directly_before(service, index, owner=owner)
        if [one.name for one in standing] != [entry["name"] for entry in wanted]:
            inserted[index] = wanted
            continue
        used += standing
        for one, entry in zip(standing, wanted, strict=True):
            if not _same(one.entry, entry):
                found.append({"op": "replace", "path": f"/spec/http/{one.index}", "value": entry})
    gone = [one.index for one in service.managed if one.owner == owner and one not in used]
    found += [{"op": "remove", "path": f"/spec/http/{at}"} for at in sorted(gone, reverse=True)]
    added_count = 0
    for index in sorted(inserted):
        for entry in inserted[index]:
            at = index - sum(one < index for one in gone) + added_count
            found.append({"op": "add", "path": f"/spec/http/{at}", "value": entry})
            added_count += 1
    return found


def _directly_before(service: Service, index: int, *, owner: str) -> list[Managed]:
    """A Rollout's managed routes between a person's route and the one before it, in list order."""
    by_index = {one.index: one for one in service.managed}
    found: list[Managed] = []
    while (index := index - 1) in by_index:
        if by_index[index].owner == owner:
            found.insert(0, by_index[index])
    return found


def _same(there: Mapping[str, Any], wanted: Entry) -> bool:
    """Whether two routes do the same: a missing weight is 0."""
    return _without_zeros(there) == _without_zeros(wanted)


def _without_zeros(entry: Mapping[str, Any]) -> Entry:
    legs = entry.get("route")
    if not isinstance(legs, list) or not all(isinstance(leg, dict) for leg in legs):
        return dict(entry)
    bare = [{k: v for k, v in leg.items() if (k, v) != ("weight", 0)} for leg in legs]
    return {**entry, "route": bare}
