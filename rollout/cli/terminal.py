"""How things are printed: rich for a terminal, plain lines for a pipe, objects for programs."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from rich.console import Console, RenderableType

from rollout.api.meta import Kind, Manifest
from rollout.cli.place import Output
from rollout.views import documents
from rollout.views.glyphs import ASCII, UNICODE, Glyphs


def console() -> Console:
    """A console on standard output; 80 columns where nobody says how many there are."""
    return Console(highlight=False)


def glyphs(terminal: Console) -> Glyphs:
    """What the terminal can show."""
    return UNICODE if terminal.encoding.startswith("utf") else ASCII


def show(view: RenderableType, *, whole_lines: bool = False) -> None:
    """Print a view; in a pipe no line ends with spaces, and ``whole_lines`` folds none."""
    terminal = console()
    with terminal.capture() as captured:
        terminal.print(view, soft_wrap=whole_lines)
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
