"""Seconds and percents: reading what people write, bounding it, printing it back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from rollout.base.errors import BadQuantity

DURATION_PATTERN = r"^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?([0-9]{1,6}ms)?$"
"""RE2 and Python: ``1h30m``, ``90s``, ``500ms``; anchored, so ``1mfoo`` is refused. The empty
string matches too; `parse_duration`, and ``minLength`` in the schema, refuse it."""

DURATION_SECONDS_MAX = 366 * 86_400.0
"""A year: longer is surely a typing error."""

_WHOLE = re.compile(DURATION_PATTERN.removesuffix("$"))  # Python's $ would pass a line break
_PARTS = re.compile(r"(\d+)(ms|h|m|s)")
_SECONDS: Mapping[str, float] = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def parse_duration(text: str) -> float:
    """Seconds of a Kubernetes style duration such as ``90s``, ``1h30m`` or ``500ms``.

    Raises:
        BadQuantity: when it is empty, has no unit, has units out of order, or exceeds a year.
    """
    if not text or not _WHOLE.fullmatch(text):
        raise BadQuantity(text, wanted="a duration such as 90s, 10m or 1h30m")
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in _PARTS.findall(text))
    if seconds > DURATION_SECONDS_MAX:
        raise BadQuantity(text, wanted="a duration of at most a year (8784h)")
    return seconds


def print_duration(seconds: float) -> str:
    """A short text for a time span: ``450ms``, ``8.3s``, ``2m05s``, ``1h30m``, ``3d04h``."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 0:
        return "-" + print_duration(-seconds)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    if seconds < 10 and round(seconds, 1) != round(seconds):
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return _two(f"{whole // 60}m", whole % 60, "s")
    if whole < 86_400:
        return _two(f"{whole // 3600}h", whole % 3600 // 60, "m")
    return _two(f"{whole // 86_400}d", whole % 86_400 // 3600, "h")


def _two(large: str, small: int, unit: str) -> str:
    return f"{large}{small:02d}{unit}" if small else large


def print_percent(percent: float) -> str:
    """A percent without needless digits: ``5``, ``0.5``, ``33.3``; the sign is the caller's.

    Never rounded up to all: 99.97 is ``99.9``, because some still goes elsewhere. Below 1 it keeps
    three digits that count: ``0.0123``.
    """
    if percent == round(percent):
        return str(round(percent))
    if 99.9 < percent < 100:
        return "99.9"
    if abs(percent) >= 1:
        return _plain(f"{percent:.1f}")
    return _plain(f"{Decimal(f'{percent:.2e}'):f}")


def _plain(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def decimal_of(percent: float) -> Decimal:
    """The decimal number a person wrote, not the binary one nearest to it (0.1 is a tenth)."""
    return Decimal(repr(percent))
