"""The verbs that run or print programs: crds, version."""

from __future__ import annotations

import platform
from importlib import metadata

import typer

from rollout.api.crd import crds as generated
from rollout.cli.place import Output, Place
from rollout.views import documents

DISTRIBUTION = "rollout-controller"


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
