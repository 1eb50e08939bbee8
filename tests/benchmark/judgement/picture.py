"""The picture: canary requests that fail until a regression is taken back, by gate."""

from __future__ import annotations

from pathlib import Path

from tests.benchmark.judgement.targets import Known


def draw(known: Known, path: Path) -> None:
    """Draws it."""
    raise NotImplementedError(known, path)
