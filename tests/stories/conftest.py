"""Stories are read when they fail: short log lines, no locals."""

from __future__ import annotations

import pytest
import structlog


@pytest.fixture(autouse=True)
def plain_log() -> None:
    structlog.configure(
        processors=[
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        ]
    )
