"""Asks Prometheus, a few questions at a time; whatever goes wrong is an answer too."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from rollout.analysis import sample
from rollout.analysis.query import Question, Shape
from rollout.analysis.sample import NoAnswer, Series
from rollout.base.errors import BadInput, Overloaded, RolloutError, Unreachable
from rollout.controller.record import Record
from rollout.ports import Metrics

QUERY_SECONDS_MAX = 5.0
"""The longest a query may take: a slower Prometheus is as good as none, and the gates say so."""

QUERIES_AT_ONCE_MAX = 4
"""Queries under way at one time; as many as the adapter has workers."""

OWN_QUERIES_AT_ONCE_MAX = 2
"""Of these, queries that users wrote: slow ones must leave room for everybody's."""

Document = Mapping[str, Any]


class Asker:
    """Asks, and counts.

    Args:
        metrics: Prometheus; nothing may be asked of None.
        record: our own metrics.
    """

    def __init__(self, metrics: Metrics | None, record: Record) -> None:
        self._metrics = metrics
        self._record = record
        self._slots = asyncio.Semaphore(QUERIES_AT_ONCE_MAX)
        self._own_slots = asyncio.Semaphore(OWN_QUERIES_AT_ONCE_MAX)

    async def series(
        self, questions: Sequence[Question]
    ) -> dict[Question, tuple[Series, ...] | NoAnswer]:
        """Answers to questions of ours, all asked at once."""
        found: dict[Question, tuple[Series, ...] | NoAnswer] = {}

        async def ask(question: Question) -> None:
            answer = await self._ask(question.promql, shape=str(question.shape))
            found[question] = answer if isinstance(answer, NoAnswer) else sample.parse(answer)

        async with asyncio.TaskGroup() as tasks:
            for question in questions:
                tasks.create_task(ask(question))
        return found

    async def own(self, text: str, *, at_ms: int | None = None) -> Document | NoAnswer:
        """The answer to a query that a user wrote; it may have to wait for others like it."""
        async with self._own_slots:
            at_seconds = None if at_ms is None else at_ms / 1000
            return await self._ask(text, shape="custom", at_seconds=at_seconds)

    async def past(self, text: str) -> Document | NoAnswer:
        """The answer to a question of ours about the hours before a run."""
        return await self._ask(text, shape="past")

    async def _ask(
        self, text: str, *, shape: str, at_seconds: float | None = None
    ) -> Document | NoAnswer:
        assert self._metrics is not None, "without an address nothing is asked"
        async with self._slots:
            try:
                answer = await self._metrics.query(
                    text, time_seconds=at_seconds, timeout_seconds=QUERY_SECONDS_MAX
                )
            except RolloutError as error:
                self._record.asked_prometheus(shape, _outcome(error))
                return NoAnswer(reason=sample.Missing.ERROR, sentence=str(error))
        self._record.asked_prometheus(shape, "ok")
        return answer


def _outcome(error: RolloutError) -> str:
    """What our own metrics call a failed query."""
    if isinstance(error, Overloaded):
        return "overloaded"
    if isinstance(error, Unreachable):
        return "unreachable"
    return "refused" if isinstance(error, BadInput) else "broken"


def by_host(
    found: Mapping[Question, tuple[Series, ...] | NoAnswer],
) -> dict[str, dict[Shape, tuple[Series, ...] | NoAnswer]]:
    """Answers sorted by the service they are about; a bad answer is bad for all it was about."""
    by_host: dict[str, dict[Shape, tuple[Series, ...] | NoAnswer]] = {}
    for question, answer in found.items():
        sorted_ = {} if isinstance(answer, NoAnswer) else sample.by_service(answer)
        for host in question.hosts:
            mine = answer if isinstance(answer, NoAnswer) else tuple(sorted_.get(host, ()))
            by_host.setdefault(host, {})[question.shape] = mine
    return by_host
