"""What a back-test came to: for people, and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from rollout.analysis import backtest
from rollout.analysis.backtest import Score, Trial
from rollout.base.quantity import print_duration, print_percent
from rollout.views import sentences, tables

RULE = (
    f"{100 * backtest.RULE_SUCCESS_RATIO_MIN:g} % each minute,"
    f" {backtest.RULE_FAILED_COUNT_MAX} times not"
)


def document(score: Score, *, host: str, length_seconds: float) -> dict[str, Any]:
    """For programs: counts, and each trial that the gates took back."""
    return {
        "host": host,
        "trials": len(score.trials),
        "trialSeconds": length_seconds,
        "pods": score.pods_count,
        "gates": {
            "takenBack": len(score.failed),
            "proved": len(score.passed_minutes),
            "provedMinutesMedian": _median(score),
        },
        "thresholds": {"takenBack": score.ruled_out_count},
        "wrong": [
            {
                "pod": one.pod,
                "begin": _moment(one).isoformat(),
                "afterMinutes": one.failed_minutes,
                "because": one.because,
            }
            for one in score.failed
        ],
        "notTried": {"pieces": score.missing_count, "because": score.missing},
    }


def view(
    score: Score, *, host: str, span_seconds: float, length_seconds: float, promised_percent: float
) -> RenderableType:
    """For people: how often who would have taken back what was no regression.

    Args:
        score: what trials came to.
        host: the service.
        span_seconds: how far back they go.
        length_seconds: how long each takes.
        promised_percent: how many of 100 the gates may take back.
    """
    count = len(score.trials)
    trials, pods = sentences.plural(count, "trial"), sentences.plural(score.pods_count, "pod")
    told = (
        f"{host}: {trials} of {print_duration(length_seconds)} in the last"
        f" {print_duration(span_seconds)}, each with one of {pods} as the canary of the others. All"
        " run the same code, so what was taken back was taken back wrongly."
    )
    rows = [
        ("gates of this Rollout", _part(len(score.failed), count)),
        (RULE, _part(score.ruled_out_count, count)),
    ]
    table = tables.aligned(
        ["RULE", ">TAKEN BACK"], [[Text(name), Text(part)] for name, part in rows]
    )
    return Group(
        Text(told), Text(), *table, Text(), *(Text(line) for line in _rest(score, promised_percent))
    )


def _rest(score: Score, promised_percent: float) -> Iterator[str]:
    yield (
        f"Promised of the gates is at most {print_percent(promised_percent)} %. Trials of one hour"
        " share pods and troubles, so count hours rather than trials."
    )
    median = _median(score)
    if median is not None:
        proved = sentences.plural(len(score.passed_minutes), "trial")
        yield f"All proofs stood in {proved}, in half of them within {print_duration(60 * median)}."
    if score.failed:
        first = score.failed[0]
        after = print_duration(60 * (first.failed_minutes or 0))
        yield (
            f"First: {first.pod}, {after} after {_moment(first):%Y-%m-%d %H:%M} UTC:"
            f" {sentences.sentence(first.because)}"
        )
    if score.missing_count:
        pieces = sentences.plural(score.missing_count, "piece")
        yield f"{pieces} of that time could not be tried: {sentences.sentence(score.missing)}"


def _part(count: int, of_count: int) -> str:
    percent = f" ({print_percent(round(100 * count / of_count, 1))} %)" if of_count else ""
    return f"{count:,} of {of_count:,}{percent}"


def _median(score: Score) -> int | None:
    known = score.passed_minutes
    return known[len(known) // 2] if known else None


def _moment(trial: Trial) -> datetime:
    return datetime.fromtimestamp(trial.begin_seconds, tz=UTC)
