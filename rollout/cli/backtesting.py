"""The verb that tries gates on past hours of the same code."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from rollout.analysis import backtest, history, past
from rollout.analysis.backtest import Score
from rollout.analysis.history import History
from rollout.analysis.past import Asked
from rollout.analysis.sample import NoAnswer
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.evidence import Baseline
from rollout.base.errors import BadInput, BadManifest
from rollout.base.quantity import print_duration
from rollout.cli import subjects, terminal
from rollout.cli.place import Place
from rollout.cli.planning import prometheus
from rollout.cli.subjects import Subject
from rollout.engine import questions
from rollout.views import tested

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line says.

    Attributes:
        days: how far to go back.
        release_seconds: how long a release takes, at least a minute.
        flags: where Prometheus is, as the settings take it.
    """

    days: int
    release_seconds: float
    flags: Mapping[str, str | None]

    @property
    def pieces_count(self) -> int:
        """Pieces of the past that are asked for; of the oldest only is learnt what was usual."""
        return self.days * DAY_SECONDS // past.SPAN_SECONDS + 1


def backtest_gates(place: Place, source: str, wanted: Wanted) -> None:
    """``rollout backtest``."""
    subject = subjects.read(place, source)
    gates = _gates(subject)
    score = asyncio.run(_score(place, subject, gates, wanted))
    if not score.trials:
        raise BadInput(_nothing(subject, score, wanted))
    length = wanted.release_seconds
    if place.output is not None:
        document = tested.document(score, host=subject.host, length_seconds=length)
        terminal.dump(document, place.output)
        return
    terminal.show(
        tested.view(
            score,
            host=subject.host,
            span_seconds=wanted.days * DAY_SECONDS,
            length_seconds=length,
            promised_percent=subject.spec.judge.false_rollback_percent,
        )
    )


def _gates(subject: Subject) -> list[GateQuestion]:
    """The gates that can be tried: those of errors.

    Raises:
        BadManifest: there is none.
    """
    gates = [one for one in questions.of_plan(subject.plan()) if one.kind is GateKind.ERRORS]
    if not gates:
        raise BadManifest(
            subject=subject.name,
            field="spec.gates",
            problem="have none of errorRate, and others cannot be tried on the past",
            remedy="add one, with mode: Observe if it is to decide nothing",
        )
    return gates


def _nothing(subject: Subject, score: Score, wanted: Wanted) -> str:
    why = f" ({score.missing})" if score.missing else ""
    return (
        f"{subject.name}: there is nothing to try on: two pods of {subject.host} that both tell of"
        f" {print_duration(wanted.release_seconds)} without a gap (reporter destination) are needed"
        f"{why}; use more --days, or a shorter --release"
    )


async def _score(
    place: Place, subject: Subject, gates: Sequence[GateQuestion], wanted: Wanted
) -> Score:
    from rollout.wiring import hindsight  # noqa: PLC0415 - help must not pay for it

    score, before = Score(), None
    async with prometheus(place, wanted.flags) as metrics:
        if metrics is None:
            sentence = f"{subject.name}: past hours are with Prometheus; use --prometheus URL"
            raise BadInput(sentence)
        count = wanted.pieces_count
        found = hindsight.pieces(metrics, subject.host, subject.arms, count=count)
        async with contextlib.aclosing(found) as pieces:
            done = 0
            async for piece in pieces:
                score = _tried(score, piece, before, gates=gates, wanted=wanted)
                before, done = history.read({Asked.PODS: piece}), done + 1
                _progress(done, count, score)
    _progress(count, count, score, is_over=True)
    return score


def _tried(
    score: Score,
    piece: Mapping[str, Any] | NoAnswer,
    before: History | None,
    *,
    gates: Sequence[GateQuestion],
    wanted: Wanted,
) -> Score:
    """The score with the trials of a piece, judged by what was usual in the piece before."""
    if before is None:
        return score
    pods = history.pods(piece)
    if isinstance(pods, NoAnswer):
        return score.without(pods.sentence)
    usual = before.bad_ratio
    baseline = Baseline(
        dispersion_factor=before.dispersion_factor,
        bad_ratios={} if usual is None else {one.name: min(1.0, usual) for one in gates},
    )
    length = round(wanted.release_seconds / 60)
    return score.with_trials(backtest.trials(pods, gates, baseline, length_minutes=length))


def _progress(done: int, of_count: int, score: Score, *, is_over: bool = False) -> None:
    """One line that is written over again, on a terminal only."""
    if not sys.stderr.isatty():
        return
    hours = past.SPAN_SECONDS // 3600
    told = f"{done * hours} of {of_count * hours} hours read, {len(score.trials):,} trials"
    typer.echo(f"\r{' ' * len(told)}\r" if is_over else f"\r{told}", nl=False, err=True)
