"""How things are printed: rich for a terminal, plain lines for a pipe, objects for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from rich.console import Console, RenderableType

from rollout.api.meta import Kind, Manifest
from rollout.cli.place import Output
from rollout.views import documents
from rollout.views.glyphs import ASCII, UNICODE, Glyphs

LINE_WIDTH = 2_000
"""Columns of a table in a pipe: one line per object whatever its message, so that grep works."""


def console(*, width: int | None = None) -> Console:
    """A console on standard output; 80 columns where nobody says how many there are."""
    return Console(width=width, highlight=False, soft_wrap=False)


def glyphs(terminal: Console) -> Glyphs:
    """What the terminal can show."""
    return UNICODE if terminal.encoding.startswith("utf") else ASCII


def show(view: RenderableType, *, lines: bool = False) -> None:
    """Print a view; ``lines`` keeps a row of a table on one line where no screen is to fit."""
    terminal = console(width=LINE_WIDTH if lines and not sys.stdout.isatty() else None)
    with terminal.capture() as captured:
        terminal.print(view)
    text = captured.get()
    if not terminal.is_terminal:
        text = "\n".join(line.rstrip() for line in text.splitlines())
    typer.echo(text.rstrip("\n"))


def objects(manifests: Sequence[Manifest], kind: Kind, output: Output) -> None:
    """Print objects as one List."""
    dump(documents.listing(manifests, kind), output)


def an_object(manifest: Manifest, kind: Kind, output: Output) -> None:
    """Print one object."""
    dump(documents.presented(manifest, kind), output)


def dump(document: object, output: Output) -> None:
    """Print a document."""
    text = documents.as_json(document) if output is Output.JSON else documents.as_yaml(document)
    typer.echo(text, nl=False)


def stream(document: object, output: Output) -> None:
    """Print one of many documents: JSON one to a line, YAML with ``---`` between."""
    if output is Output.JSON:
        typer.echo(documents.as_json_line(document), nl=False)
    else:
        typer.echo("---\n" + documents.as_yaml(document), nl=False)
