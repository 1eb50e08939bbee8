"""The verbs that run programs or print what belongs to them: demo, controller, crds, version."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import typer

from rollout.api.crd import crds as generated
from rollout.base import errors
from rollout.cli.place import FAILED, Output, Place
from rollout.views import documents

DISTRIBUTION = "rollout-controller"


def demo(place: Place, *, svg: Path | None, keep: bool, rps: float) -> None:
    """``rollout demo``."""
    try:
        from rollout.wiring import demo as demos  # noqa: PLC0415 - only the demo needs the extra
    except ModuleNotFoundError as error:
        sentence = (
            f"the demo needs {error.name}, which is not installed; "
            "use: pip install 'rollout-controller[sandbox]'"
        )
        raise errors.BadInput(sentence) from error
    if place.output is Output.YAML:
        why = "the demo's summary is JSON; use -o json"
        raise typer.BadParameter(why)
    wishes = demos.Wishes(svg=svg, keep=keep, rps=rps, summary_only=place.output is Output.JSON)
    if not demos.run(wishes):
        raise typer.Exit(FAILED)


def controller(flags: Mapping[str, object]) -> None:
    """``rollout controller``."""
    from rollout.wiring import serve  # noqa: PLC0415 - printing CRDs needs no controller

    serve.serve(flags)


def crds(place: Place) -> None:
    """``rollout crds``."""
    documents_wanted = generated()
    if place.output is Output.JSON:
        listing = {"apiVersion": "v1", "kind": "List", "items": list(documents_wanted)}
        typer.echo(documents.as_json(listing), nl=False)
    else:
        typer.echo(documents.as_yaml(*documents_wanted), nl=False)


def version(place: Place) -> None:
    """``rollout version``."""
    told = {"rollout": metadata.version(DISTRIBUTION), "python": platform.python_version()}
    match place.output:
        case Output.JSON:
            typer.echo(documents.as_json(told), nl=False)
        case Output.YAML:
            typer.echo(documents.as_yaml(told), nl=False)
        case None:
            typer.echo(f"rollout {told['rollout']} (Python {told['python']})")
