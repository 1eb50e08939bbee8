"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rollout.base import errors
from rollout.base.quantity import parse_duration


def _complete(ctx: typer.Context, incomplete: str) -> list[str]:
    from rollout.cli import completion  # noqa: PLC0415 - only the Tab key pays for it

    return completion.rollout_names(ctx, incomplete)


def seconds(text: str) -> float:
    """The value of an option that is a duration."""
    try:
        return parse_duration(text)
    except errors.BadQuantity as error:
        raise typer.BadParameter(str(error)) from None


Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The Rollout.", autocompletion=_complete, show_default=False
    ),
]
Revision = Annotated[
    str,
    typer.Argument(metavar="REVISION", help="The DestinationRule subset that should be live."),
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Stay and follow it; Ctrl-C ends.")]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.")]
Full = Annotated[bool, typer.Option("--full", help="Go to 100 % at once; the bake is kept.")]
Reason = Annotated[
    str,
    typer.Option(metavar="TEXT", help="Why, in your words; it is kept in the record."),
]
RunId = Annotated[
    str,
    typer.Option("--run", metavar="ID", help="The run that is meant. Default: the present one."),
]
StepNumber = Annotated[
    int | None,
    typer.Option(
        "--step", min=0, metavar="N", help="The step that is meant. Default: the present one."
    ),
]
Timeout = Annotated[
    str,
    typer.Option(
        metavar="DURATION",
        callback=lambda text: str(seconds(text)) and text,
        help="How long to wait for the answer.",
    ),
]

# The demo's.

Svg = Annotated[
    Path | None,
    typer.Option(metavar="FILE", dir_okay=False, help="Save a picture of the screen."),
]
Keep = Annotated[bool, typer.Option("--keep", help="Leave the world up afterwards, until Ctrl-C.")]
Rps = Annotated[float, typer.Option(min=50, max=1000, metavar="N", help="Requests a second.")]

# The controller's; what each means and is by default stands in the settings.

Setting = Annotated[str | None, typer.Option(metavar="VALUE", show_default=False)]
WatchedNamespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NAME", help="Only this namespace. Default: all."),
]
Prometheus = Annotated[str | None, typer.Option(metavar="URL", help="Where Prometheus answers.")]
LeaderElection = Annotated[
    bool | None,
    typer.Option(
        "--leader-election/--no-leader-election",
        help="Whether a Lease decides which replica works.",
    ),
]
