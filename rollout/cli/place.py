"""What every verb takes: where the cluster is, how to print; and how errors leave the program.

A verb is a function whose first parameter is a `Place`. `verb` puts the options that make one in
its stead, so that no verb repeats them.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollout.base import errors

if TYPE_CHECKING:
    # Only the verbs that speak to a cluster pay for importing this.
    from rollout.ports import Metrics
    from rollout.wiring.client import Client

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


class Output(StrEnum):
    """How objects are printed."""

    JSON = "json"
    YAML = "yaml"


Opener = Callable[..., "AbstractAsyncContextManager[Client]"]

OPENER = "rollout.opener"
"""The key in typer's ``obj`` under which a test hands in another way to connect."""

METRICS = "rollout.metrics"
"""Likewise for another Prometheus."""

ASK = "rollout.ask"
"""Likewise for somebody who answers questions."""

Ask = Callable[[str], str]
"""Asks a person a question, until there is an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a verb works and how it prints.

    Attributes:
        namespace: empty for the context's own.
        context: empty for the current one.
        kubeconfig: empty for where kubectl looks.
        output: None prints for people.
        opener: how to connect instead; None: over the network.
        metrics: whom to ask instead of the Prometheus that options name.
        ask: asks the person; None: nobody sits there.
    """

    namespace: str
    context: str
    kubeconfig: str
    output: Output | None
    opener: Opener | None = None
    metrics: Metrics | None = None
    ask: Ask | None = None

    def open(self) -> AbstractAsyncContextManager[Client]:
        """A connected client, to be used in ``async with``."""
        opener = self.opener
        if opener is None:
            from rollout.wiring import connect  # noqa: PLC0415 - half a second that help must not pay

            opener = connect.client
        return opener(kubeconfig=self.kubeconfig, context=self.context, namespace=self.namespace)


_OPTIONS: dict[str, Any] = {
    "namespace": Annotated[
        str,
        typer.Option(
            "--namespace", "-n", metavar="NAME", help="Namespace. Default: the context's own."
        ),
    ],
    "context": Annotated[
        str,
        typer.Option(metavar="NAME", help="Context in the kubeconfig. Default: the current one."),
    ],
    "kubeconfig": Annotated[
        str,
        typer.Option(
            metavar="FILE",
            envvar="KUBECONFIG",
            show_envvar=False,
            help="Kubeconfig. Default: $KUBECONFIG, else ~/.kube/config.",
        ),
    ],
    "output": Annotated[
        Output | None,
        typer.Option("--output", "-o", help="Print objects for programs instead."),
    ],
}

GLOBAL_OPTIONS = ("-n", "--namespace", "--context", "--kubeconfig", "-o", "--output")
"""Options with a value that may also stand before the verb, as with kubectl."""


EVERYWHERE = tuple(_OPTIONS)
"""The options of a verb that speaks to a cluster."""


def verb(
    function: Callable[..., None], *, takes: Sequence[str] = EVERYWHERE
) -> Callable[..., None]:
    """A function whose first parameter is a `Place`, as typer wants it; errors become sentences.

    Args:
        function: the verb.
        takes: which of the options that make a `Place` it has; the others are as if not given.
    """

    @functools.wraps(function)
    def run(ctx: typer.Context, **given: Any) -> None:  # noqa: ANN401 - typer checks the values
        options: dict[str, Any] = {
            name: given.pop(name) if name in takes else _absent(name) for name in _OPTIONS
        }
        known = ctx.obj if isinstance(ctx.obj, dict) else {}
        place = Place(
            **options,
            opener=known.get(OPENER),
            metrics=known.get(METRICS),
            ask=known.get(ASK) or _somebody(),
        )
        speak(lambda: function(place, **given))

    del run.__wrapped__  # its signature is not ours
    run.__signature__ = inspect.Signature(list(_parameters(function, takes)))  # type: ignore[attr-defined]
    run.__annotations__ = {}
    return run


def _somebody() -> Ask | None:
    """How to ask, if somebody sits at a terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    return lambda question: str(typer.prompt(question)).strip()


def _absent(name: str) -> str | None:
    return None if name == "output" else ""


def _parameters(function: Callable[..., None], takes: Sequence[str]) -> Iterator[inspect.Parameter]:
    """The function's own parameters after the first, then the options that make a `Place`."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    yield inspect.Parameter("ctx", keyword, annotation=typer.Context)
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    for parameter in own:
        yield parameter.replace(kind=keyword)
    for name in takes:
        yield inspect.Parameter(name, keyword, default=_absent(name), annotation=_OPTIONS[name])


def arranged(arguments: Sequence[str]) -> list[str]:
    """Arguments with the options that stand before the verb moved behind it."""
    moved: list[str] = []
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        name, _, value = rest[0].partition("=")
        if name not in GLOBAL_OPTIONS:
            break
        count = 1 if value or len(rest) == 1 else 2
        moved, rest = moved + rest[:count], rest[count:]
    if not moved or not rest:
        return list(arguments)
    return [rest[0], *moved, *rest[1:]]


def speak(act: Callable[[], None]) -> None:
    """Do something; what goes wrong and was foreseen becomes one sentence and exit status 1."""
    try:
        act()
    except errors.RolloutError as error:
        fail(_sentence(error))
    except BaseExceptionGroup as group:
        if (known := _first_known(group)) is None:
            raise
        fail(_sentence(known))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _sentence(error: errors.RolloutError) -> str:
    """What a person is told: of a server's refusal and absence also what helps."""
    if isinstance(error, errors.Denied):
        from rollout.views import refusals  # noqa: PLC0415 - nobody else needs it

        return refusals.sentence(error)
    if isinstance(error, errors.Unreachable) and error.server.startswith("the API server"):
        return f"{error}; if another cluster is meant name it with --context or --kubeconfig"
    return str(error)


def fail(sentence: str) -> None:
    """Say what went wrong and end with exit status 1."""
    typer.echo(f"rollout: {sentence}", err=True)
    raise typer.Exit(FAILED)


def _first_known(group: BaseExceptionGroup[BaseException]) -> errors.RolloutError | None:
    """The first foreseen error in a group, if there is nothing else in it."""
    known, unknown = group.split(errors.RolloutError)
    if known is None or unknown is not None:
        return None
    first: BaseException = known
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, errors.RolloutError)
    return first
