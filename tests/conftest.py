"""What all tests share."""

from __future__ import annotations

import asyncio

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.contracts import summary

TOGETHER = ("mesh", "contracts", "people")
"""Folders whose tests share one control plane."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options are known only when they stand here, whichever folder is run."""
    parser.addoption(
        "--table", action="store_true", help="write the table of the mesh in tests/README.md"
    )


class _Together(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Two processes share the tests of servers; those that share a server stay in one of them."""

    def _split_scope(self, nodeid: str) -> str:
        path, _, _ = nodeid.partition("::")
        folder, _, _ = path.removeprefix("tests/").partition("/")
        return folder if folder in TOGETHER else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """With ``--dist loadscope``: by server; else as xdist has it."""
    return _Together(config, log) if config.getoption("dist") == "loadscope" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Here, since where several processes share tests the first one reads no other conftest."""
    summary.tell(terminalreporter)


def pytest_configure() -> None:
    """Say that there is no event loop.

    A plugin asks for one even in tests without any; until somebody has set one, or none, Python
    3.11 makes one that nobody closes, and a later test is blamed for it.
    """
    asyncio.set_event_loop(None)
