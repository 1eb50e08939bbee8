"""Whether anything may start or increase now, and if not, because of what and until when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rollout.api.window import Closed, Opening, Windows

OpensAt = Callable[[Sequence[Opening], datetime], datetime | None]
"""The first moment from one on at which one of some openings is open; None: none comes."""

SUSPENDED, STOPPED, FROZEN = "Suspended", "Stopped", "Frozen"
OUTSIDE, UNREADABLE = "OutsideWindow", "WindowUnreadable"

TURNS_MAX = 100
"""How often a moment at which one thing opens is found closed by another, before it is left to that
moment to see what is closed then."""

TOLD_LENGTH_MAX = 600
"""Characters of why nothing moves: beside the rest of a sentence it fits into a status."""

NEAR = timedelta(days=6)
"""Within this a day of the week says which day is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What one party says of when traffic may move.

    Attributes:
        by: the policy that says it; empty: the Rollout itself.
        windows: when.
        stop: why never; empty: it does not say that.
        problem: why what it says cannot be read, with the remedy; empty: it can.
    """

    by: str = ""
    windows: Windows = field(default_factory=Windows)
    stop: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shut:
    """One thing that is closed at a moment.

    Attributes:
        until: until when; None: for ever.
        reason: see `Closed`.
        because: why, in a few words.
    """

    until: datetime | None
    reason: str
    because: str


def closed(
    rules: Sequence[Rule], *, suspended: bool, now: datetime, opens_at: OpensAt
) -> Closed | None:
    """What keeps everything where it is; None: nothing does.

    What a person must end is told before what time ends, and a freeze before a window.
    """
    if suspended:
        told = "spec.suspend is true: nothing starts or increases until it is false"
        return _closed(SUSPENDED, told)
    for rule in rules:
        if rule.stop:
            told = f"stopped{_by(rule)} ({_in_line(rule.stop)}): nothing starts or increases"
            return _closed(STOPPED, told)
    for rule in rules:
        if rule.problem:
            told = f"nothing starts or increases until this is mended: {rule.problem}"
            return _closed(UNREADABLE, told)
    shut = list(_shut(rules, now, opens_at))
    if not shut:
        return None
    first = min(shut, key=lambda one: one.reason != FROZEN)
    opens, is_sure = _open_again(rules, now, opens_at)
    at_least = "" if is_sure else "at least "
    until = f"{at_least}until {_told(opens, now=now)}" if opens is not None else "for good"
    return _closed(first.reason, f"closed {until} ({first.because})", until=opens)


def _closed(reason: str, because: str, *, until: datetime | None = None) -> Closed:
    """Names and problems may be long; what is told of them is cut."""
    told = because if len(because) <= TOLD_LENGTH_MAX else because[: TOLD_LENGTH_MAX - 1] + "…"
    return Closed(reason=reason, because=told, until=until)


def _shut(rules: Sequence[Rule], at: datetime, opens_at: OpensAt) -> Iterator[_Shut]:
    """All that is closed at a moment."""
    for rule in rules:
        for freeze in rule.windows.freeze:
            if (freeze.from_ is None or freeze.from_ <= at) and at < freeze.until:
                because = f"freeze{_by(rule)}: {_in_line(freeze.reason)}"
                yield _Shut(until=freeze.until, reason=FROZEN, because=because)
        if rule.windows.allow:
            opens = opens_at(rule.windows.allow, at)
            if opens is None or opens > at:
                whose = f"the windows of {rule.by}" if rule.by else "spec.windows"
                yield _Shut(until=opens, reason=OUTSIDE, because=f"outside of {whose}")


def _open_again(
    rules: Sequence[Rule], now: datetime, opens_at: OpensAt
) -> tuple[datetime | None, bool]:
    """When nothing is closed any more (None: never), and whether that is sure.

    Windows that seldom or never meet are looked at again where the search was given up.
    """
    at = now
    for _ in range(TURNS_MAX):
        ends = [one.until for one in _shut(rules, at, opens_at)]
        if not ends:
            return at, True
        last = max((end for end in ends if end is not None), default=None)
        if last is None or None in ends:
            return None, True
        at = last
    return at, False


def _by(rule: Rule) -> str:
    return f" by {rule.by}" if rule.by else ""


def _told(moment: datetime, *, now: datetime) -> str:
    """A moment by the clock that it is told by."""
    here = now.astimezone(moment.tzinfo)
    day = f"{moment:%a %Y-%m-%d} " if moment - now > NEAR else f"{moment:%a} "
    if moment.date() == here.date():
        day = ""
    return f"{day}{moment:%H:%M} {moment.tzinfo}"


def _in_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".,;: ")
