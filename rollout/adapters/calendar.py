"""When openings come, over APScheduler's cron trigger and the time zones of Python.

The trigger is asked about the hands of the clock alone, as if there were no time zones; which
moments those are is found here. So a time that the clock skips in spring comes an hour later and no
day is left out, and a time that it shows twice in autumn comes twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from rollout.api.window import Opening
from rollout.base.errors import BadManifest
from rollout.base.quantity import parse_duration

HORIZON = timedelta(days=9 * 366)
"""How far ahead is looked: what does not come in nine years, leap days included, never comes."""

SHIFT = timedelta(hours=3)
"""Longer than a clock is put forward or back by."""

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
"""From when on an opening must come at least once; nine years from there have two leap days."""

ANSWERS_MAX = 1024
"""Answers that are remembered, one for each set of openings; then all are forgotten."""

INSTANT = timedelta(microseconds=1)

_NAMES = r"[a-z]{3}(-[a-z]{3})?"
_NUMBERS = r"[0-9]+(-[0-9]+)?(/[0-9]+)?"
_ANY = r"\*(/[0-9]+)?"
_FORMS: Sequence[tuple[str, str, str]] = (
    ("minute", f"{_ANY}|{_NUMBERS}", "use minutes such as 0, 0,30 or */15"),
    ("hour", f"{_ANY}|{_NUMBERS}", "use hours such as 9, 9-17 or */2"),
    ("day", f"{_ANY}|{_NUMBERS}|last", "use days of the month such as 1, 1-7 or last"),
    ("month", f"{_ANY}|{_NUMBERS}|{_NAMES}", "use months such as 1-11 or jan-nov"),
    (
        "day_of_week",
        rf"\*|{_NAMES}",
        "use names of days from mon to sun, such as mon-fri; numbers mean other days elsewhere",
    ),
)
"""The parts of a cron text, what each may look like between commas, and what to write instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """When a set of openings is open.

    Attributes:
        since: from when on that is the answer.
        until: until when; None: for ever.
        is_open: whether one of them is open then.
        next: when one is, if none is; None: never again.
    """

    since: datetime
    until: datetime | None
    is_open: bool
    next: datetime | None = None


class CronCalendar:
    """A ports.Calendar."""

    def __init__(self) -> None:
        self._triggers: dict[Opening, CronTrigger] = {}
        self._answers: dict[tuple[Opening, ...], _Answer] = {}

    def check(self, opening: Opening, *, at: str) -> None:
        """Refuse an opening that never comes, or whose clock nobody knows."""
        zone, cron = f"{at}.timezone", f"{at}.cron"
        try:
            ZoneInfo(opening.timezone)
        except (ValueError, OSError, KeyError) as error:
            remedy = "use a name of the time zone database, such as Europe/Berlin or UTC"
            raise _bad(field=zone, given=opening.timezone, remedy=remedy) from error
        for part, (_, form, remedy) in zip(opening.cron.lower().split(), _FORMS, strict=True):
            if not all(re.fullmatch(form, one) for one in part.split(",")):
                raise _bad(field=cron, given=opening.cron, remedy=remedy)
        try:
            comes = self._next(opening, LONG_AGO)
        except ValueError as error:
            remedy = f"mend this: {' '.join(str(error).split())}"
            raise _bad(field=cron, given=opening.cron, remedy=remedy) from error
        if comes is None:
            raise _bad(field=cron, given=opening.cron, remedy="name a day that there is")

    def opens_at(self, openings: Sequence[Opening], at: datetime) -> datetime | None:
        """When one of them is open next, by the clock of that one; ``at`` when one is now."""
        key = tuple(openings)
        answer = self._answers.get(key)
        if answer is None or not _holds(answer, at):
            if len(self._answers) >= ANSWERS_MAX:
                self._answers.clear()
                self._triggers.clear()
            answer = self._answers[key] = self._answer(key, at)
        return at if answer.is_open else answer.next

    def _answer(self, openings: tuple[Opening, ...], at: datetime) -> _Answer:
        """Whether one has begun so lately that it is not over, else when the first one begins."""
        coming: list[datetime] = []
        at = at.astimezone(UTC)  # what lasts, lasts by no clock with summer time
        for opening in openings:
            lasts = timedelta(seconds=parse_duration(opening.for_))
            begins = self._next(opening, at - lasts + INSTANT)
            if begins is None:
                continue
            if begins <= at:
                until = begins.astimezone(UTC) + lasts
                return _Answer(since=at, until=until, is_open=True)
            coming.append(begins)
        first = min(coming, default=None)
        return _Answer(since=at, until=first, is_open=False, next=first)

    def _next(self, opening: Opening, at: datetime) -> datetime | None:
        """The first moment from one on at which an opening begins, by its own clock."""
        zone, found = ZoneInfo(opening.timezone), None
        # Near a change of the clock what its hands show is no guide to what comes first.
        is_near = (at - SHIFT).astimezone(zone).utcoffset() != (at + SHIFT).astimezone(
            zone
        ).utcoffset()
        hands = _hands(at.astimezone(zone))
        for shown in self._shown(opening, hands - SHIFT if is_near else hands):
            for moment in _moments(shown, zone):
                if moment >= at and (found is None or moment < found):
                    found = moment
            if found is not None and shown >= hands:
                break
        return None if found is None else found.astimezone(zone)

    def _shown(self, opening: Opening, hands: datetime) -> Iterator[datetime]:
        """What the hands of the clock show when an opening begins, from one time on."""
        trigger = self._triggers.get(opening)
        if trigger is None:
            trigger = CronTrigger.from_crontab(opening.cron.lower(), timezone=UTC)
            self._triggers[opening] = trigger
        trigger.end_date = hands + HORIZON
        while (found := trigger.get_next_fire_time(None, hands)) is not None:
            yield found
            hands = found + INSTANT


def _holds(answer: _Answer, at: datetime) -> bool:
    return answer.since <= at and (answer.until is None or at < answer.until)


def _hands(local: datetime) -> datetime:
    """What the hands of a clock show, as a time in UTC that is compared with such times alone."""
    return local.replace(tzinfo=UTC, fold=0)


def _moments(hands: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The moments at which a clock shows a time: one twice over, or the two of an autumn night.

    Of a time that it skips both count as one: the hands as they would stand had the clock not been
    put forward yet.
    """
    first = hands.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = hands.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return first, max(first, second)


def _bad(*, field: str, given: str, remedy: str) -> BadManifest:
    return BadManifest(field=field, problem=f"is {given!r}", remedy=remedy)
