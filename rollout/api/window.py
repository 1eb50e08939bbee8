"""Windows: when traffic may move towards a canary, and when it may not."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from rollout.api.gate import Duration
from rollout.api.meta import Model, Time

CRON_PATTERN = r"^[^ ]+( [^ ]+){4}$"
"""Five parts with one space between two of them; what each may say, the calendar knows."""

OPENINGS_MAX = 16
FREEZES_MAX = 32


def _in_ms(moment: datetime) -> datetime:
    """As statuses print times: a plan that was read back is the plan that was written."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


Moment = Annotated[Time, AfterValidator(_in_ms)]

Reason = Annotated[str, Field(min_length=1, max_length=256)]


class Opening(Model):
    """A time in which traffic may move, again and again."""

    cron: Annotated[str, Field(pattern=CRON_PATTERN, max_length=128)]
    """When it begins: minute, hour, day of the month, month and day of the week, such as
    ``0 9 * * mon-fri``. Days of the week have names; where both days are given, both must be met.
    A time that the clock skips in spring comes an hour later, one that it has twice in autumn
    comes twice."""
    for_: Annotated[Duration, Field(alias="for")]
    """How long it lasts, in time that passes: whether the clock is put forward or back meanwhile
    changes nothing."""
    timezone: Annotated[str, Field(min_length=1, max_length=64)] = "UTC"
    """Whose clock ``cron`` goes by, such as Europe/Berlin."""


class Freeze(Model):
    """A time in which traffic may not move."""

    from_: Annotated[Moment | None, Field(alias="from")] = None
    """When it begins, with a zone. Absent: it has begun."""
    until: Moment
    """When it ends, with a zone."""
    reason: Reason
    """Why, for those who wait."""


class Windows(Model):
    """When a run may start, and the canary get more.

    Outside of them gates go on judging, and abort, rollback and the end of a bake are never kept
    from anybody. The time does not count for ``maxDuration``.
    """

    allow: Annotated[tuple[Opening, ...], Field(max_length=OPENINGS_MAX)] = ()
    """Only in these. Absent: at any time."""
    freeze: Annotated[tuple[Freeze, ...], Field(max_length=FREEZES_MAX)] = ()
    """Not in these, whatever ``allow`` says."""


class Closed(Model):
    """Why nothing may start or increase now."""

    reason: Annotated[str, Field(min_length=1, max_length=64)]
    """That in one CamelCase word."""
    because: Annotated[str, Field(min_length=1, max_length=1024)]
    """That in words, with until when."""
    until: Moment | None = None
    """When that is over by itself. Absent: when somebody ends it."""
