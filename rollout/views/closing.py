"""How the demo's releases went: a few lines for people, a document for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from rollout.base.quantity import print_duration
from rollout.views import sentences
from rollout.views.glyphs import Glyphs
from rollout.views.measure import Rung
from rollout.views.screen import Act


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How one release of the demo went.

    Attributes:
        act: what it was.
        outcome: how it ended.
        because: why, as the history has it.
        seconds: how long it took.
        rungs: the weights it had, and what was seen in traffic.
        canary_requests: answers of the canary.
        canary_failures: failed ones among them.
        outside_failures: failed requests that were not the canary's.
        reaction_seconds: from its cause to the canary without traffic; None: there was no need.
    """

    act: Act
    outcome: str
    because: str
    seconds: float
    rungs: Sequence[Rung]
    canary_requests: int
    canary_failures: int
    outside_failures: int
    reaction_seconds: float | None


def closing(ends: Sequence[Ended], *, glyphs: Glyphs) -> RenderableType:
    """The summary after the last act."""
    return Group(*(line for end in ends for line in _ended(end, glyphs=glyphs)))


def _ended(end: Ended, *, glyphs: Glyphs) -> list[Text]:
    right = end.act.state == "done"
    took = print_duration(end.seconds)
    outcome = Text(end.outcome, style="bold green" if right else "bold red")
    head = Text.assemble(
        (f"{end.act.stable} {glyphs.arrow} {end.act.canary}  ", "bold"), outcome, f" after {took}"
    )
    if end.reaction_seconds is not None:
        since = "the sample that failed" if end.outcome == "RolledBack" else "the command"
        head.append(f"; no traffic {end.reaction_seconds:.2f} s after {since}")
    seen = ", ".join(f"{sentences.percent(rung.weight)} ({_seen(rung)})" for rung in end.rungs)
    failed = (
        f"{sentences.plural(end.canary_requests, 'request')} to {end.act.canary}, "
        f"{end.canary_failures:,} failed; {end.outside_failures:,} failed elsewhere"
    )
    return [head, Text(f"  weight (seen in traffic): {seen}"), Text(f"  {failed}")]


def _seen(rung: Rung) -> str:
    return "?" if rung.observed_percent is None else f"{rung.observed_percent:.1f}"


def summary(ends: Sequence[Ended], *, versions: Mapping[str, str]) -> dict[str, Any]:
    """The summary for programs; seconds and percents as they were measured."""
    return {"versions": dict(versions), "runs": [_for_programs(end) for end in ends]}


def _for_programs(end: Ended) -> dict[str, Any]:
    reaction = end.reaction_seconds
    return {
        "revision": end.act.canary,
        "outcome": end.outcome,
        "because": end.because,
        "durationSeconds": round(end.seconds, 3),
        "steps": [
            {
                "weight": rung.weight,
                "observedWeight": None
                if rung.observed_percent is None
                else round(rung.observed_percent, 3),
                "requests": rung.requests,
            }
            for rung in end.rungs
        ],
        "canaryRequests": end.canary_requests,
        "canaryFailures": end.canary_failures,
        "failuresOutsideCanary": end.outside_failures,
        "reactionSeconds": None if reaction is None else round(reaction, 4),
    }
