"""What can go wrong at Slack, or between it and us, by method and by how manieth call."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class Fault(StrEnum):
    """What happens instead of an answer."""

    RATELIMITED = "ratelimited"
    """429 with Retry-After and JSON."""
    RATELIMITED_TEXT = "ratelimited_text"
    """429 with plain text, as a proxy on the way says it."""
    STATUS_500 = "status_500"
    """500 with JSON, nothing done."""
    HTML_503 = "html_503"
    """503 with a page, nothing done."""
    HTML_200 = "html_200"
    """200 with a page (a captive portal), nothing done."""
    BROKEN_JSON = "broken_json"
    """200 with half a document, after the effect."""
    HANG_BEFORE = "hang_before"
    """No answer for a long time, nothing done."""
    HANG_AFTER = "hang_after"
    """No answer for a long time, but it was done."""
    SLOW_BODY = "slow_body"
    """The answer comes byte by byte; it was done."""
    DROP_BEFORE = "drop_before"
    """The connection breaks, nothing done."""
    DROP_AFTER = "drop_after"
    """The connection breaks, but it was done."""
    INTERNAL_ERROR = "internal_error"
    """``internal_error``, but it was done."""
    FATAL_ERROR = "fatal_error"
    """``fatal_error``, but it was done."""
    CODE = "code"
    """Any other code of Slack's, nothing done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A fault to come.

    Attributes:
        method: the method, or ``*``.
        fault: what happens.
        first: with the how manieth call from when it was planned it begins.
        count: how many calls it hits; 0: all from then on.
        code: with `Fault.CODE` which.
        seconds: Retry-After, or how long it hangs.
    """

    method: str
    fault: Fault
    first: int = 1
    count: int = 1
    code: str = ""
    seconds: float = 1.0


@dataclass(slots=True)
class Faults:
    """The switches."""

    planned: list[tuple[Planned, int]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)

    def plan(
        self,
        method: str,
        fault: Fault | str,
        *,
        first: int = 1,
        count: int = 1,
        code: str = "",
        seconds: float = 1.0,
    ) -> None:
        one = Planned(
            method=method, fault=Fault(fault), first=first, count=count, code=code, seconds=seconds
        )
        self.planned.append((one, self.calls[method]))

    def clear(self) -> None:
        self.planned.clear()

    def strike(self, method: str) -> Planned | None:
        """Count a call, and say what happens to it."""
        for name in (method, "*"):
            self.calls[name] += 1
        for one, before in self.planned:
            if one.method in {method, "*"}:
                number = self.calls[one.method] - before - one.first
                if number >= 0 and (one.count == 0 or number < one.count):
                    return one
        return None
