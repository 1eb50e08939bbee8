"""Colours of phases, verdicts and outcomes; every one of them only repeats what the words say."""

from __future__ import annotations

from rich.text import Text

from rollout.api.evidence import Verdict
from rollout.api.phase import Outcome, Phase

PHASES = {
    Phase.PENDING: "yellow",
    Phase.STABLE: "green",
    Phase.PREPARING: "cyan",
    Phase.PROGRESSING: "cyan",
    Phase.WAITING: "yellow",
    Phase.PROMOTING: "cyan",
    Phase.BAKING: "cyan",
    Phase.ROLLING_BACK: "red",
    Phase.ROLLED_BACK: "red",
    Phase.BLOCKED: "yellow",
    Phase.INVALID: "red",
}

VERDICTS = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.UNKNOWN: "yellow"}

OUTCOMES = {
    Outcome.PROMOTED: "green",
    Outcome.ROLLED_BACK: "red",
    Outcome.ABORTED: "yellow",
    Outcome.SUPERSEDED: "dim",
    Outcome.DELETED: "dim",
}

STABLE_COLOUR = "blue"
CANARY_COLOUR = "magenta"


def phase(value: Phase) -> Text:
    """A phase."""
    return Text(value, style=f"bold {PHASES[value]}")


def verdict(value: Verdict) -> Text:
    """A verdict."""
    return Text(value, style=VERDICTS[value])


def outcome(value: Outcome) -> Text:
    """How a run ended."""
    return Text(value, style=OUTCOMES[value])
