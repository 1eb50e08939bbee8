"""What all tests share."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

TOGETHER = ("mesh", "contracts")
"""Folders whose tests share one control plane."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options are known only when they stand here, whichever folder is run."""
    parser.addoption(
        "--table", action="store_true", help="write the table of the mesh in tests/README.md"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes share the tests of servers, what shares a server stays together."""
    root = Path(__file__).parent
    for item in items:
        path = item.path.relative_to(root)
        group = path.parts[0] if path.parts[0] in TOGETHER else str(path)
        if item.get_closest_marker("servers"):
            item.add_marker(pytest.mark.xdist_group(group))


def pytest_configure() -> None:
    """Say that there is no event loop.

    A plugin asks for one even in tests without any; until somebody has set one, or none, Python
    3.11 makes one that nobody closes, and a later test is blamed for it.
    """
    asyncio.set_event_loop(None)
