"""The verb that the Deployment runs: controller."""

from __future__ import annotations

from collections.abc import Mapping

from rollout.wiring import controller as wired


def controller(flags: Mapping[str, object]) -> None:
    """``rollout controller``: until SIGTERM."""
    wired.run_with(flags)
