"""Numbers as a status keeps them: every bit, in two thirds of the room that digits take."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence


def pack(numbers: Sequence[float]) -> str:
    """Little-endian IEEE 754 doubles in base64; all zeros are the empty text."""
    if not any(numbers):
        return ""
    return base64.b64encode(struct.pack(f"<{len(numbers)}d", *numbers)).decode()


def unpack(text: str, *, count: int) -> tuple[float, ...]:
    """What `pack` was given.

    Anything that is not so many finite numbers is nothing known: all 0. A status that somebody has
    edited then costs evidence, and stops no run.
    """
    nothing = (0.0,) * count
    if not text:
        return nothing
    try:
        found = struct.unpack(f"<{count}d", base64.b64decode(text, validate=True))
    except (ValueError, struct.error):
        return nothing
    return found if all(abs(one) < float("inf") for one in found) else nothing
