"""Asks Prometheus, once per run, what was usual in the hours before it.

The answer is the run's baseline: fixed before its first request is counted, written into its
evidence, and never asked for again. Where four hours are too much to add up, one has to do. Nobody
waits for long: a Prometheus that does not tell in `PATIENCE_SECONDS` leaves the stated fallback,
and the verdicts say so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from rollout.analysis import history, past, query
from rollout.analysis.arm import Arms
from rollout.analysis.history import History
from rollout.analysis.past import Asked
from rollout.analysis.sample import Missing, NoAnswer
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.evidence import SENTENCE_LENGTH_MAX, Baseline
from rollout.api.meta import Key
from rollout.controller.asking import Asker, Document
from rollout.controller.record import Record
from rollout.ports import Metrics

PATIENCE_SECONDS = 10.0
"""How long a run waits for its past; what it asks takes a healthy Prometheus milliseconds."""

WORDS_LENGTH_MAX = 200
"""Characters of the reason why there is no answer that are repeated."""

RUNS_AT_ONCE_MAX = 2
"""Runs whose past is asked for at one time: each asks a few questions over hours."""

RUNS_MAX = 20_000
"""Runs that wait for it; as many as the queue has keys."""


_UNASKED = NoAnswer(reason=Missing.ERROR, sentence="it was not asked")


@dataclass(slots=True, kw_only=True)
class _Case:
    """A run whose past is wanted."""

    run: str
    host: str
    arms: Arms
    gates: Sequence[GateQuestion]
    since: datetime
    baseline: Baseline | None = None


class Hindsight:
    """Knows, of each run in progress, what was usual before it.

    Args:
        metrics: Prometheus; None when no address is configured.
        ring: has a key looked at again.
        record: our own metrics.
    """

    def __init__(
        self, metrics: Metrics | None, ring: Callable[[Key], object], record: Record
    ) -> None:
        self._metrics = metrics
        self._ring = ring
        self._asker = Asker(metrics, record)
        self._cases: dict[Key, _Case] = {}
        self._waiting: deque[Key] = deque()
        self._stirred = asyncio.Event()

    def baseline(
        self,
        key: Key,
        run: str,
        *,
        host: str,
        arms: Arms,
        gates: Sequence[GateQuestion],
        now: datetime,
    ) -> Baseline | None:
        """What was usual before a run; None: it is being asked for.

        Args:
            key: the Rollout.
            run: the run's id.
            host: the service, its full name.
            arms: how its revisions are told apart.
            gates: what will be judged.
            now: the moment.
        """
        if self._metrics is None:
            return Baseline(because="no Prometheus address is configured")
        if all(gate.kind is GateKind.QUERY for gate in gates):
            return Baseline(because="no gate counts requests, so nothing was asked of the past")
        case = self._cases.get(key)
        if case is None or case.run != run:
            case = _Case(run=run, host=host, arms=arms, gates=gates, since=now)
            self._cases[key] = case
            if len(self._waiting) < RUNS_MAX:
                self._waiting.append(key)
                self._stirred.set()
        if case.baseline is None and (now - case.since).total_seconds() >= PATIENCE_SECONDS:
            told = f"Prometheus has not told of the past within {PATIENCE_SECONDS:g} s"
            case.baseline = Baseline(because=f"{told}: 2 times the evidence is asked for")
        return case.baseline

    def forget(self, key: Key) -> None:
        """The run is over."""
        self._cases.pop(key, None)

    async def run(self) -> None:
        """Ask, for ever; without runs that begin nothing is asked at all."""
        slots = asyncio.Semaphore(RUNS_AT_ONCE_MAX)
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._stirred.clear()
                while self._waiting:
                    await slots.acquire()
                    tasks.create_task(self._ask(self._waiting.popleft(), slots))
                await self._stirred.wait()

    async def _ask(self, key: Key, slots: asyncio.Semaphore) -> None:
        try:
            case = self._cases.get(key)
            if case is None:
                return
            edges = {query.edge_below(g.edge_ms) for g in case.gates if g.edge_ms is not None}
            found: dict[Asked, Document | NoAnswer] = {}
            for span_seconds in (past.SPAN_SECONDS, past.SHORT_SPAN_SECONDS):
                texts = past.questions(
                    case.host, case.arms, edges_ms=edges, span_seconds=span_seconds
                )
                for asked, text in texts.items():
                    if isinstance(found.get(asked, _UNASKED), NoAnswer):
                        found[asked] = _short(await self._asker.past(text))
            if case.baseline is None:
                case.baseline = _read(found, case.gates)
                self._ring(key)
        finally:
            slots.release()


def _short(answer: Document | NoAnswer) -> Document | NoAnswer:
    """An answer whose reason for being none leaves room for what follows from it."""
    if not isinstance(answer, NoAnswer):
        return answer
    return replace(answer, sentence=answer.sentence[:WORDS_LENGTH_MAX])


def _read(found: Mapping[Asked, Document | NoAnswer], gates: Sequence[GateQuestion]) -> Baseline:
    """The baseline in answers; what a back end of its own kind answers may be anything."""
    try:
        return of_history(history.read(found), gates)
    except (ValueError, ArithmeticError, LookupError):
        told = "what Prometheus told of the past cannot be read"
        return Baseline(because=f"{told}: 2 times the evidence is asked for")


def of_history(known: History, gates: Sequence[GateQuestion]) -> Baseline:
    """What a run keeps of the past, gate by gate; connections have none, and take what errors have.

    A gate of which nothing is known has no entry.
    """
    factors: dict[str, float] = {}
    ratios: dict[str, float] = {}
    spotless: list[str] = []
    for gate in gates:
        if gate.kind is GateKind.ERRORS and known.bad_ratio is not None:
            ratios[gate.name] = known.bad_ratio
            if known.is_spotless:
                spotless.append(gate.name)
        if gate.kind is GateKind.LATENCY and gate.edge_ms is not None:
            edge = query.edge_below(gate.edge_ms)
            if edge in known.slow_dispersion_factors:
                factors[gate.name] = known.slow_dispersion_factors[edge]
            if edge in known.slow_ratios:
                ratios[gate.name] = min(1.0, known.slow_ratios[edge])
            if edge in known.spotless_edges_ms:
                spotless.append(gate.name)
    return Baseline(
        dispersion_factor=known.dispersion_factor,
        dispersion_factors=factors,
        bad_ratios=ratios,
        spotless=tuple(spotless),
        requests_per_second=known.requests_per_second,
        because=known.why[:SENTENCE_LENGTH_MAX],
    )
