"""Flags into a running controller."""

from __future__ import annotations

from collections.abc import Mapping

from rollout import settings
from rollout.wiring import controller


def serve(flags: Mapping[str, object]) -> None:
    """Run the controller until a signal ends it.

    Args:
        flags: names of `Settings` fields to what was given; None where nothing was.

    Raises:
        BadManifest: a flag or variable cannot be read.
    """
    controller.run(settings.read(flags))
