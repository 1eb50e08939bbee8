"""What all tests share."""

from __future__ import annotations

import asyncio


def pytest_configure() -> None:
    """Say that there is no event loop.

    A plugin asks for one even in tests without any; until somebody has set one, or none, Python
    3.11 makes one that nobody closes, and a later test is blamed for it.
    """
    asyncio.set_event_loop(None)
