"""Since when gates have had no data of a canary that gets requests, or Prometheus has not answered.

It is remembered and written down nowhere: after a restart the time begins anew, so that nobody is
taken back, or let go on, for a time in which nobody looked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rollout.analysis.cursor import SETTLE_MS
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.evidence import GateVerdict, RunEvidence, Verdict
from rollout.api.meta import Key
from rollout.api.status import Run
from rollout.controller.sight import Sight
from rollout.engine import plan as plans

FIRST_DATA_INTERVALS = 3
"""Scrape intervals, `cursor.SETTLE_MS` aside, in which a step's first requests become known."""


@dataclass(slots=True, kw_only=True)
class _Known:
    """What is remembered of a run.

    Attributes:
        step: the step that it is of.
        since: by gate, since when it has had no data.
        out_since: since when Prometheus has not answered; None: it answers.
    """

    step: tuple[object, ...] = ()
    since: dict[str, datetime] = field(default_factory=dict)
    out_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A look at a run.

    Attributes:
        run: the run.
        sight: what Prometheus has told.
        evidence: what has been counted.
        silence: that series of the canary have stopped, in a sentence; empty: they have not.
        step_ms: the scrape interval in milliseconds.
        now: the time.
    """

    run: Run
    sight: Sight
    evidence: RunEvidence
    silence: str
    step_ms: int
    now: datetime

    @property
    def step(self) -> tuple[object, ...]:
        """What the memory belongs to: a step that is entered again begins anew."""
        return self.run.id, self.run.step, self.run.step_started_at

    @property
    def sends(self) -> bool:
        """Whether the canary gets anything that Prometheus could have data of."""
        run = self.run
        if run.retreated or run.unrouted_since is not None:
            return False
        copies = plans.mirror_at(run.plan, run.step) > 0
        return run.weight > 0 or copies or plans.match_at(run.plan, run.step) is not None

    @property
    def is_dumb(self) -> bool:
        """Whether Prometheus answers, and has no new sample to tell."""
        return bool(self.silence or (self.sight.problem and not self.sight.is_out))

    @property
    def is_early(self) -> bool:
        """Whether the step's first requests may not be known yet."""
        known_ms = FIRST_DATA_INTERVALS * self.step_ms + SETTLE_MS
        return self.now < self.run.step_started_at + timedelta(milliseconds=known_ms)


class Lacking:
    """Remembers, by Rollout, what is missing since when."""

    def __init__(self) -> None:
        self._known: dict[Key, _Known] = {}

    def forget(self, key: Key) -> None:
        """The run is over."""
        self._known.pop(key, None)

    def out_since(self, key: Key, sight: Sight, *, now: datetime) -> datetime | None:
        """Since when Prometheus has not answered; None: it does."""
        known = self._known.setdefault(key, _Known())
        known.out_since = (known.out_since or now) if sight.is_out else None
        return known.out_since

    def noted(
        self,
        key: Key,
        moment: Moment,
        question: GateQuestion,
        verdict: GateVerdict,
    ) -> GateVerdict:
        """The verdict, with since when its gate has had no data."""
        known = self._known.setdefault(key, _Known())
        if known.step != moment.step:
            known.step, known.since = moment.step, {}
        if not _lacks(moment, question, verdict):
            known.since.pop(question.name, None)
            return verdict.model_copy(update={"dataless": False})
        unseen = question.kind is not GateKind.QUERY and not moment.is_dumb
        began = moment.run.step_started_at if unseen else moment.now
        since = known.since.setdefault(question.name, began)
        return verdict.model_copy(update={"dataless": True, "dataless_since": since})


def _lacks(moment: Moment, question: GateQuestion, verdict: GateVerdict) -> bool:
    """Whether it is for want of data alone that a gate does not decide.

    What speaks against the canary is not forgotten because no more comes.
    """
    sight = moment.sight
    is_blind = sight.is_out or bool(sight.doubt) or not sight.answers
    if not moment.sends or is_blind or verdict.verdict is Verdict.FAIL:
        return False
    if question.is_suspicious(verdict.nats):
        return False
    if moment.is_dumb:
        return True
    if question.kind is GateKind.QUERY:
        return verdict.dataless
    evidence = moment.evidence
    books = (evidence.gates, evidence.arrivals.gates if evidence.arrivals is not None else {})
    pages = [book[question.name] for book in books if question.name in book]
    return not moment.is_early and not any(page.canary.requests for page in pages)
