"""Evidence between two decisions, and the verdicts on it.

Evidence newer than the status' is kept in memory: it is derived from Prometheus alone, starts from
the status after a restart, and is thrown away with the step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rollout.analysis import blocks, gauge, query
from rollout.analysis import evidence as evidences
from rollout.analysis.arm import Arms
from rollout.analysis.cursor import SETTLE_MS
from rollout.analysis.evidence import Book
from rollout.analysis.judge import arrived, budget
from rollout.analysis.query import Shape
from rollout.analysis.verdict import Context, GateKind, GateQuestion, Share, may_arrive
from rollout.api.evidence import (
    SENTENCE_LENGTH_MAX,
    GateVerdict,
    RunEvidence,
    Verdict,
)
from rollout.api.meta import Key
from rollout.api.status import Run
from rollout.api.traffic import Routing
from rollout.base.errors import BadManifest
from rollout.base.hosts import fqdn
from rollout.base.quantity import parse_duration
from rollout.controller import missent, texts
from rollout.controller.hindsight import Hindsight
from rollout.controller.lacking import Lacking, Moment
from rollout.controller.sight import Own, Sight, Wish
from rollout.controller.silence import Look, Silence
from rollout.controller.telescope import Telescope
from rollout.engine import plan as plans
from rollout.engine import questions

ARRIVALS_DUE_INTERVALS = 3
"""Scrape intervals, `cursor.SETTLE_MS` aside, after which whoever counts beside a pod has told of
it: one until its next sample, two more for a lag."""


_Step = tuple[str, int, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What is known of a run in its present step.

    Attributes:
        evidence: all that has been counted; None: there is no run.
        verdicts: what the gates say to it; none while preparing.
        problem: why there is no fresh data, in a sentence; empty when there is.
        out_since: since when that is because Prometheus does not answer; None: it does.
    """

    evidence: RunEvidence | None
    verdicts: tuple[GateVerdict, ...]
    problem: str
    out_since: datetime | None = None


NOT_JUDGED = Judged(evidence=None, verdicts=(), problem="")
"""Of a Rollout at rest."""


class Judging:
    """Keeps the evidence of runs in progress between their decisions."""

    def __init__(self, telescope: Telescope, hindsight: Hindsight) -> None:
        self._telescope = telescope
        self._hindsight = hindsight
        self._evidence: dict[Key, tuple[_Step, RunEvidence]] = {}
        self._silence = Silence()
        self._lacking = Lacking()
        self._asked_since: dict[Key, datetime] = {}
        self._unaskable: dict[Key, dict[str, str]] = {}

    def is_blind(self, key: Key) -> bool:
        """Whether Prometheus has told nothing of a run yet, and soon should: after a start."""
        return self._telescope.is_blind(key)

    def begin(self) -> None:
        """A term as the leader begins: what was seen in an earlier one may be long out of date."""
        for key in tuple(self._evidence):
            self.forget(key)

    def forget(self, key: Key) -> None:
        """The run is over."""
        self._evidence.pop(key, None)
        self._silence.forget(key)
        self._asked_since.pop(key, None)
        self._unaskable.pop(key, None)
        self._lacking.forget(key)
        self._telescope.forget(key)
        self._hindsight.forget(key)

    def judge(
        self, key: Key, run: Run, arms: Arms | None, routing: Routing, *, now: datetime
    ) -> Judged:
        """Count what was seen since the last look, and judge it."""
        sight = self._telescope.seen(key)
        hidden = _hidden(run, routing)
        asked = questions.of_plan(run.plan)
        evidence = self._begun(key, run, arms, asked, now=now)
        if arms is not None and sight.answers and evidence.baseline is not None:
            evidence = evidences.absorb(
                evidence,
                sight.answers,
                arms=arms,
                gates=asked,
                step_ms=self._telescope.step_ms,
                book=hidden.book,
            )
        mine = sight if sight.about == _step_of(run) else Sight()
        if run.step > 0 and not run.retreated:
            evidence = _asked_about(evidence, asked, mine, run, step_ms=self._telescope.step_ms)
        self._evidence[key] = (_step_of(run), evidence)
        out_since = self._lacking.out_since(key, sight, now=now)
        if run.step == 0:
            return Judged(
                evidence=evidence, verdicts=(), problem=sight.problem, out_since=out_since
            )
        context = _context(run, evidence, hidden, now=now, step_ms=self._telescope.step_ms)
        context = replace(context, early=self._is_early(key, hidden, evidence, now=now))
        own = _Own(sight=mine, unaskable=self._unaskable.get(key, {}))
        silence = self._silent(key, run, sight, arms=arms, arrived=hidden.shapes)
        doubt = sight.problem or sight.doubt or silence or missent.told(run, evidence, routing)
        moment = Moment(
            run=run,
            sight=sight,
            evidence=evidence,
            silence=silence,
            step_ms=self._telescope.step_ms,
            now=now,
        )
        told, verdicts = plans.told(run.plan, run.step), []
        by_name = {question.name: question for question in asked}
        for gate in plans.judged(run.plan, run.step):
            question = by_name[gate.name]
            verdict = _verdict(question, evidence, own, context)
            if gate in told:
                verdict = self._lacking.noted(key, moment, question, verdict)
            else:
                verdict = _unasked(verdict, question.kind)
            verdict = verdict.model_copy(update={"advisory": question.advisory})
            verdicts.append(_doubted(verdict, doubt))
        together = budget.together(verdicts, asked)
        return Judged(
            evidence=evidence, verdicts=together, problem=sight.problem, out_since=out_since
        )

    def _begun(
        self,
        key: Key,
        run: Run,
        arms: Arms | None,
        asked: Sequence[GateQuestion],
        *,
        now: datetime,
    ) -> RunEvidence:
        """The newest evidence; it begins when it is known what was usual before the run."""
        evidence = self._newest(key, run)
        if evidence.baseline is not None or arms is None:
            return evidence
        baseline = self._hindsight.baseline(
            key,
            run.id,
            host=fqdn(run.plan.host, namespace=key.namespace),
            arms=arms,
            gates=asked,
            now=now,
        )
        return evidence.model_copy(update={"baseline": baseline})

    def _is_early(self, key: Key, hidden: _Hidden, evidence: RunEvidence, *, now: datetime) -> bool:
        """Whether pods' proxies may yet tell of what was not asked, or counted, for long."""
        if hidden.book is None:
            self._asked_since.pop(key, None)
            return False
        due_ms = ARRIVALS_DUE_INTERVALS * self._telescope.step_ms + SETTLE_MS
        if evidence.arrivals is not None:
            return evidence.newest_ms < evidence.arrivals.origin_ms + due_ms
        asked_since = self._asked_since.setdefault(key, now)
        return now < asked_since + timedelta(milliseconds=due_ms)

    def want(self, key: Key, run: Run, routing: Routing, *, now: datetime) -> None:
        """Have Prometheus asked for what the run needs next."""
        evidence = self._newest(key, run)
        asked = questions.of_plan(run.plan)
        step_ms = self._telescope.step_ms
        hidden = _hidden(run, routing)
        edges_ms = _edges_ms(asked)
        wish = Wish(
            host=fqdn(run.plan.host, namespace=key.namespace),
            edges_ms=edges_ms,
            arrivals=hidden.book is not None and any(may_arrive(q) for q in asked),
            arrival_edges_ms=_edges_ms(filter(may_arrive, asked)) if hidden.mirrors else (),
            tcp=any(q.kind is GateKind.TCP for q in asked),
            queries=self._texts(key, run, evidence, now=now),
            since_ms=evidences.oldest_live_ms(evidence, step_ms=step_ms),
            next_ms=evidences.next_sample_ms(evidence, step_ms=step_ms),
            seen_ms=evidence.newest_ms,
            about=_step_of(run),
        )
        self._telescope.want(key, wish)

    def _texts(self, key: Key, run: Run, evidence: RunEvidence, *, now: datetime) -> dict[str, Own]:
        """The run's own queries filled in; one that cannot be is not asked, and says so."""
        found: dict[str, Own] = {}
        unaskable: dict[str, str] = {}
        for question in questions.of_plan(run.plan) if run.step > 0 else ():
            ends = blocks.due_ms(evidence, question, step_ms=self._telescope.step_ms)
            try:
                found |= texts.fill(question, key, run, now=now, ends_ms=ends)
            except BadManifest as error:
                unaskable[question.name] = str(error)
        self._unaskable[key] = unaskable
        return found

    def _silent(
        self, key: Key, run: Run, sight: Sight, *, arms: Arms | None, arrived: Collection[Shape]
    ) -> str:
        """That the canary is not told of any more while others are; empty: it is.

        Callers that never send it anything, as in a mirror step, need not tell of it.
        """
        if arms is None:
            return ""
        shapes = list(arrived)
        if run.weight > 0 or plans.match_at(run.plan, run.step) is not None:
            shapes += [Shape.REQUESTS, Shape.DURATIONS]
        if run.weight > 0:
            shapes.append(Shape.TCP)
        evidence, step_ms = self._newest(key, run), self._telescope.step_ms
        look = Look(run=run, sight=sight, arms=arms, shapes=shapes, step_ms=step_ms)
        return self._silence.told(key, look, evidence)

    def _newest(self, key: Key, run: Run) -> RunEvidence:
        known = self._evidence.get(key)
        if known is not None and known[0] == _step_of(run):
            return known[1]
        return run.evidence or RunEvidence()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Own:
    """What the gates with queries of their own are judged by.

    Attributes:
        sight: the answers to the present step's queries.
        unaskable: why a gate's query cannot be asked, by its name.
    """

    sight: Sight
    unaskable: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hidden:
    """What callers' proxies do not see of a run in its present step.

    Attributes:
        mirrors: requests are mirrored to the canary.
        retries: failed requests are sent again.
        book: where arrivals are counted; None: nothing is hidden, and nobody asks for them.
    """

    mirrors: bool
    retries: bool
    book: Book | None

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The kinds of series that pods' own proxies tell and verdicts rest on."""
        if self.book is None:
            return ()
        return (Shape.ARRIVALS, *([Shape.ARRIVAL_DURATIONS] if self.mirrors else []))


def _hidden(run: Run, routing: Routing) -> _Hidden:
    tries = run.plan.guard.retries
    guarded = tries is not None and tries.attempts > 0
    retries = guarded or any(route.retries for route in routing.routes)
    mirrors = plans.mirror_at(run.plan, run.step) > 0 and not run.retreated
    if not mirrors and not retries:
        return _Hidden(mirrors=False, retries=False, book=None)
    book = Book(since_step=plans.mirror_since(run.plan, run.step), copies=mirrors)
    return _Hidden(mirrors=mirrors, retries=retries, book=book)


def _context(
    run: Run, evidence: RunEvidence, hidden: _Hidden, *, now: datetime, step_ms: int
) -> Context:
    elapsed_seconds = max(0.0, (now - run.step_started_at).total_seconds())
    traffic, book = evidence.traffic, evidence.arrivals
    matches = plans.match_at(run.plan, run.step) is not None
    share = Share(
        canary_count=traffic.canary.requests,
        stable_count=traffic.stable.requests,
        lost_before_count=evidence.unattributed_before,
        before_count=traffic.stable_before.requests
        + evidence.canary_run.requests
        - traffic.canary.requests,
        blur_ratio=min(1.0, 2 * step_ms / 1000 / max(elapsed_seconds, 0.001)),
    )
    return Context(
        elapsed_seconds=elapsed_seconds,
        weight_percent=run.weight,
        unattributed=evidence.unattributed,
        newest_ms=evidence.newest_ms,
        share=None if matches or run.ramped_at is not None else share,
        matches=matches,
        mirrors=hidden.mirrors,
        retries=hidden.retries,
        proves=plans.proves(run.plan, run.step),
        watched_ticks=1000 * _watched_seconds(run) / max(1, evidence.tick_ms),
        baseline=evidence.baseline,
        silent=book is not None
        and evidence.newest_ms - book.newest_ms > evidences.LAG_INTERVALS_MAX * step_ms,
    )


def _edges_ms(asked: Iterable[GateQuestion]) -> tuple[float, ...]:
    """The bucket edges of latency gates, rising."""
    return tuple(sorted({query.edge_below(q.edge_ms) for q in asked if q.edge_ms is not None}))


def _watched_seconds(run: Run) -> float:
    """How long the canary is watched with all traffic, if nothing keeps it."""
    steps = run.plan.strategy.steps[plans.full_step(run.plan) - 1 :]
    holds = [step.hold or (step.pause and step.pause.for_) or "0s" for step in steps]
    return sum(parse_duration(text) for text in [*holds, run.plan.strategy.bake])


def _step_of(run: Run) -> _Step:
    """What evidence belongs to: a step that is entered again, after a retreat, counts anew."""
    return run.id, run.step, run.step_started_at


def _verdict(
    question: GateQuestion, evidence: RunEvidence, own: _Own, context: Context
) -> GateVerdict:
    if question.kind is not GateKind.QUERY:
        return arrived.judge(question, evidence, context=context)
    why_not = own.unaskable.get(question.name, "")
    if not why_not and question.block_ms is not None:
        return blocks.judge(question, evidence)
    told = texts.told(question, own.sight.documents, end_ms=None)
    if told is None and not why_not:
        why_not = "Prometheus has not answered the query yet"
    if told is None or why_not:
        because = f"{question.name}: {why_not}"[:SENTENCE_LENGTH_MAX]
        return GateVerdict(name=question.name, verdict=Verdict.UNKNOWN, because=because)
    return _doubted(gauge.judge(question, told), own.sight.age)


def _asked_about(
    evidence: RunEvidence, asked: Sequence[GateQuestion], sight: Sight, run: Run, *, step_ms: int
) -> RunEvidence:
    """The evidence with what was answered about blocks of time, one after the other."""
    evidence = blocks.missing(evidence, asked)
    is_full = run.weight >= plans.FULL_PERCENT
    for question in asked:
        for end_ms in blocks.due_ms(evidence, question, step_ms=step_ms):
            told = texts.told(question, sight.documents, end_ms=end_ms)
            if told is None:
                break
            evidence = blocks.absorbed(evidence, question, told, end_ms=end_ms, is_full=is_full)
    return evidence


def _unasked(verdict: GateVerdict, kind: GateKind) -> GateVerdict:
    """A gate that its step can tell nothing of; what was seen to fail all the same is a fail."""
    if verdict.verdict is Verdict.FAIL:
        return verdict
    what, when = "nothing is sent to the canary", "sends the canary requests"
    if kind is GateKind.TCP:
        what, when = "no weight sends the canary connections", "gives the canary a weight"
    told = f"{what} in this step; asked again in the next step that {when}"
    because = f"{verdict.name}: {told}"
    return GateVerdict(name=verdict.name, verdict=Verdict.UNKNOWN, because=because)


def _doubted(verdict: GateVerdict, problem: str) -> GateVerdict:
    """Without fresh data a pass is no pass any more, nor anything excused; a fail stays one."""
    if not problem or verdict.verdict is Verdict.FAIL:
        return verdict
    if verdict.verdict is Verdict.UNKNOWN:
        return verdict.model_copy(update={"incomparable": False, "growing": False})
    told = f"{verdict.name}: {problem}"[:SENTENCE_LENGTH_MAX]
    return verdict.model_copy(update={"verdict": Verdict.UNKNOWN, "because": told})
