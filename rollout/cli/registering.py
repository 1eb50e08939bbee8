"""How a function becomes a verb of the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import typer

from rollout.cli.place import EVERYWHERE, verb


class Registrar(Protocol):
    """Registers a function as a verb; its docstring is the help."""

    def __call__(
        self, name: str, *examples: str, short: str, takes: Sequence[str] = EVERYWHERE
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """A decorator for the verb of that name."""
        ...


def registering(app: typer.Typer) -> Registrar:
    """What registers verbs with an app."""

    def of_name(
        name: str, *examples: str, short: str, takes: Sequence[str] = EVERYWHERE
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        title = "Example" if len(examples) == 1 else "Examples"
        epilog = "\b\n" + "\n".join([f"{title}:", *(f"  {example}" for example in examples)])

        def register(function: Callable[..., None]) -> Callable[..., None]:
            return app.command(name=name, epilog=epilog, short_help=short)(
                verb(function, takes=takes)
            )

        return register

    return of_name
