"""The help of the program: its verbs in sections, by what one wants."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from typer.core import TyperGroup

SECTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Look": ("list", "get", "why", "history"),
        "Steer a run": (
            "set",
            "promote",
            "approve",
            "reject",
            "abort",
            "pause",
            "resume",
            "retry",
            "undo",
        ),
        "Govern": ("policies", "freeze", "thaw"),
        "Foresee and look back": ("plan", "judge", "backtest"),
        "Try and install": ("demo", "controller", "crds", "version"),
    }
)

OTHERS = "Others"
"""Where verbs stand that no section names."""


class Sections(TyperGroup):
    """A group of verbs whose help shows them in sections."""

    def format_commands(self, ctx: object, formatter: Any) -> None:  # noqa: ANN401 - typer hides it
        """Write all verbs, each with its sentence."""
        del ctx
        named = {verb for verbs in SECTIONS.values() for verb in verbs}
        others = tuple(verb for verb in self.commands if verb not in named)
        width = max(map(len, self.commands))
        for title, verbs in {**SECTIONS, OTHERS: others}.items():
            shown = [self.commands[verb] for verb in verbs if verb in self.commands]
            rows = [
                ((one.name or "").ljust(width), one.get_short_help_str(limit=formatter.width))
                for one in shown
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
