"""A world for the engine alone: routes, endpoints, verdicts and commands; time passes by asking.

Decisions are carried out in the order in which the controller writes: finalizer on, guard on,
routes, guard off, status, answers, finalizer off. A write can be lost, and everything after it, as
when the process dies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from rollout.adapters.calendar import CronCalendar
from rollout.api.action import ActionSpec, Verb
from rollout.api.evidence import ArmCounts, GateEvidence, GateVerdict, RunEvidence, Verdict
from rollout.api.meta import Key
from rollout.api.notify import News, Sink, Thread
from rollout.api.phase import Phase
from rollout.api.rollout import RolloutSpec
from rollout.api.rules import check
from rollout.api.status import RolloutStatus, Run
from rollout.api.traffic import (
    ManagedRoute,
    ManagedRoutes,
    Note,
    Problem,
    Propagation,
    RouteState,
    Routing,
    SubsetPolicy,
    SubsetTable,
)
from rollout.api.webhook import HookResult
from rollout.api.window import Closed
from rollout.engine import plan as plans
from rollout.engine import windows
from rollout.engine.decision import Answer, Decision, Guarding, Happening, HookCall
from rollout.engine.observation import GivenAction, Observation, Post
from rollout.engine.turns import Turn
from rollout.engine.windows import Rule
from tests.world.engine_rules import checked, run_of

MORNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SETTLE_SECONDS = 5.0
LOOKS_MAX = 12
"""Decisions at one and the same moment; a healthy engine needs three or four."""

HOOKS = "https://hooks.example.com/"

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN

Says = Callable[[str, Run, float], Verdict]
"""What a gate says: its name, the run, the seconds since the step began."""

WRITES = ("finalizer", "guard", "routes", "unguard", "status", "answers", "farewell")
"""The writes of one decision, in their order."""


def spec_of(**fields: Any) -> RolloutSpec:
    """A spec as a manifest would give it, checked; 1, 5, 25, 50, 100 by default."""
    document: dict[str, Any] = {
        "host": "reviews",
        "revision": "v2",
        "strategy": {
            "steps": [
                {"weight": 1, "hold": "30s"},
                {"weight": 5, "hold": "30s"},
                {"weight": 25, "hold": "30s"},
                {"weight": 50, "hold": "30s"},
                {"weight": 100},
            ],
            "bake": "1m",
            "maxDuration": "1h",
        },
        "judge": {"maxInterval": "15s"},
    }
    strategy = fields.pop("strategy", {})
    document |= fields
    document["strategy"] = document["strategy"] | strategy
    spec = RolloutSpec.model_validate(document)
    check(spec)
    return spec


def passes_after(seconds: float) -> Says:
    """Gates that know nothing at first, and are content then."""
    return lambda _name, _run, elapsed: PASS if elapsed >= seconds else UNKNOWN


def always(verdict: Verdict) -> Says:
    """Gates that say the same whatever happens."""
    return lambda _name, _run, _elapsed: verdict


class Refused(Exception):
    """A write was refused for the first time: it is decided again, now that this is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One decision that was made."""

    now: datetime
    observation: Observation
    decision: Decision


@dataclass(kw_only=True)
class World:
    """One Rollout and all that surrounds it."""

    spec: RolloutSpec | None = field(default_factory=spec_of)
    spec_problem: str = ""
    revision: str = ""
    suspended: bool = False
    rules: tuple[Rule, ...] = ()
    calendar: CronCalendar = field(default_factory=CronCalendar)
    turn: Turn | None = None
    ruled_by: tuple[str, ...] = ()
    generation: int = 1
    deleting: bool = False
    finalized: bool = False
    now: datetime = MORNING
    status: RolloutStatus = field(default_factory=RolloutStatus)
    shares: dict[str, Fraction] | None = None
    route_problems: tuple[Problem, ...] = ()
    route_notes: tuple[Note, ...] = ()
    managed: ManagedRoutes | None = None
    refusing: bool = False
    subsets: dict[str, dict[str, str]] | None = None
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    rule_problems: tuple[Problem, ...] = ()
    rule_refusing: bool = False
    rule_refused: bool = False
    ready: dict[str, int] = field(default_factory=lambda: {"v1": 2, "v2": 2, "v3": 2})
    says: Says = field(default_factory=lambda: passes_after(15))
    metrics_problem: str = ""
    dataless: bool = False
    unverified: str = ""
    sinks: dict[Sink, tuple[News, ...] | None] = field(default_factory=dict)
    delivered: set[tuple[int, Sink]] = field(default_factory=set)
    thread: Thread | None = None
    lost_at: datetime = MORNING
    arms_problem: Problem | None = None
    unread: str = ""
    hook_prefixes: tuple[str, ...] = (HOOKS,)
    hook_says: dict[str, bool | None] = field(default_factory=dict)
    heard: dict[tuple[str, str], HookResult] = field(default_factory=dict)
    asked: list[HookCall] = field(default_factory=list)
    settle_seconds: float = SETTLE_SECONDS
    propagation: Propagation = field(default_factory=Propagation)
    waiting: list[GivenAction] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    happenings: list[Happening] = field(default_factory=list)
    beats: list[Beat] = field(default_factory=list)
    look_again_at: datetime | None = None
    writes: int = 0
    gone: bool = False

    def __post_init__(self) -> None:
        if not self.revision and self.spec is not None:
            self.revision = self.spec.revision
        if self.shares is None:
            self.shares = {"v1": Fraction(1), "v2": Fraction(0), "v3": Fraction(0)}
        if self.subsets is None:
            self.subsets = {name: {"version": name} for name in ("v1", "v2", "v3")}

    # What is seen

    @property
    def run(self) -> Run:
        """The run, in progress or over."""
        assert self.status.run is not None
        return self.status.run

    @property
    def phase(self) -> str:
        """Where the Rollout is; a plain word, because type checkers take a phase for lasting."""
        return self.status.phase

    @property
    def message(self) -> str:
        """What people read."""
        return self.status.message

    @property
    def percent(self) -> float:
        """What the proxies send to the canary of the present or last run, in percent."""
        assert self.shares is not None
        return float(100 * self.shares.get(self.run.canary_revision, Fraction(0)))

    @property
    def on_stable(self) -> bool:
        """Whether the stable revision has all traffic."""
        assert self.shares is not None
        return self.shares[self.status.stable_revision] == 1

    def observe(self) -> Observation:
        """The world as the engine gets to see it."""
        run = run_of(self.status)
        evidence = self._evidence(run) if run is not None else None
        return Observation(
            now=self.now,
            key=Key("bookinfo", "reviews"),
            generation=self.generation,
            deleting=self.deleting,
            finalized=self.finalized,
            spec=self.spec,
            spec_problem=self.spec_problem,
            revision=self.revision,
            policies=self.ruled_by,
            closed=self.what_closes(),
            turn=self.turn,
            status=self.status,
            routing=self._routing(),
            subsets=self._table(),
            ready=dict(self.ready),
            arms_problem=self.arms_problem,
            unread=self.unread,
            evidence=evidence,
            verdicts=self._verdicts(run) if run is not None else (),
            metrics_problem=self.metrics_problem,
            metrics_out_since=self.lost_at if self.metrics_problem else None,
            actions=tuple(self.waiting),
            unverified=self.unverified,
            post=Post(
                sinks=dict(self.sinks),
                delivered=frozenset(self.delivered),
                thread=self.thread,
            ),
            hooks=tuple(
                result
                for (run_id, _), result in self.heard.items()
                if self.status.run is not None and self.status.run.id == run_id
            ),
            hook_prefixes=self.hook_prefixes,
            settle_seconds=self.settle_seconds,
            propagation=self.propagation,
        )

    def what_closes(self) -> Closed | None:
        """What windows, freezes, a stop and the spec say now."""
        plan = self.run.plan if run_of(self.status) is not None else self.spec
        own = Rule(windows=plan.windows) if plan is not None else Rule()
        return windows.closed(
            (own, *self.rules),
            suspended=self.suspended,
            now=self.now,
            opens_at=self.calendar.opens_at,
        )

    def _routing(self) -> Routing:
        if not self.shares:
            missing = Problem(
                reason="VirtualServiceMissing",
                message="VirtualService bookinfo/reviews does not exist; create it",
            )
            return Routing(routes=(), problems=(missing, *self.route_problems))
        route = RouteState(
            virtual_service="bookinfo/reviews",
            protocol="http",
            route="primary",
            shares=tuple(self.shares.items()),
            foreign_share=Fraction(0),
            total=100,
        )
        return Routing(
            routes=(route,),
            problems=self.route_problems,
            notes=self.route_notes,
            managed=tuple(self._managed_routes()),
        )

    def _managed_routes(self) -> Iterator[ManagedRoute]:
        wanted = self.managed
        if wanted is not None and wanted.match is not None:
            yield ManagedRoute(virtual_service="bookinfo/reviews", route="rollout.dev/match")
        if wanted is not None and wanted.copies:
            yield ManagedRoute(virtual_service="bookinfo/reviews", route="rollout.dev/copy")

    def _table(self) -> SubsetTable:
        if not self.subsets:
            missing = Problem(
                reason="DestinationRuleMissing",
                message="host reviews has no DestinationRule; create one with its subsets",
            )
            return SubsetTable(destination_rule=None, subsets={}, problems=(missing,))
        denied = Problem(reason="WriteDenied", message="DestinationRule bookinfo/reviews: frozen")
        problems = (*self.rule_problems, denied) if self.rule_refused else self.rule_problems
        return SubsetTable(
            destination_rule="bookinfo/reviews",
            subsets=dict(self.subsets),
            problems=problems,
            policies={
                name: SubsetPolicy(
                    destination_rule="bookinfo/reviews", fields=dict(self.policies.get(name, {}))
                )
                for name in self.subsets
            },
        )

    def _verdicts(self, run: Run) -> tuple[GateVerdict, ...]:
        if run.step == 0:
            return ()
        elapsed = (self.now - run.step_started_at).total_seconds()
        found = []
        for gate in plans.judged(run.plan, run.step):
            verdict = self.says(gate.name, run, elapsed)
            if (self.metrics_problem or self.dataless) and verdict is PASS:
                verdict = UNKNOWN
            because = f"{gate.name} says {verdict.lower()} to 12 of 400 requests"
            stamp = int(self.now.timestamp() * 1000) if verdict is FAIL else None
            found.append(
                GateVerdict(
                    name=gate.name,
                    verdict=verdict,
                    because=because,
                    failed_sample_ms=stamp,
                    dataless_since=max(self.lost_at, run.step_started_at)
                    if self.dataless
                    else None,
                )
            )
        return tuple(found)

    def _evidence(self, run: Run) -> RunEvidence:
        """As much traffic as one request in a hundred milliseconds leaves behind."""
        old = run.evidence or RunEvidence()
        if run.step == 0:
            return old
        count = max(0, int((self.now - run.step_started_at).total_seconds() * 10))
        canary = round(count * run.weight / 100)
        seen = GateEvidence(
            canary=ArmCounts(requests=canary), stable=ArmCounts(requests=count - canary)
        )
        return old.model_copy(update={"traffic": seen})

    # What happens

    def reconcile(self, *, lose: str | None = None) -> Decision:
        """One look; with ``lose`` that write and all after it never happen."""
        assert not self.gone
        observation = self.observe()
        decision = checked(observation)
        self.beats.append(Beat(now=self.now, observation=observation, decision=decision))
        self.look_again_at = None
        for name in WRITES:
            if name == lose:
                self.heard.clear()
                return decision
            try:
                getattr(self, f"_write_{name}")(decision)
            except Refused:
                return self.reconcile(lose=lose)
        self.happenings += decision.happenings
        self.look_again_at = decision.look_again_at
        for call in decision.hooks:
            self._ask(call)
        return decision

    def _ask(self, call: HookCall) -> None:
        """A webhook is asked, and answers at once if it ever does; then the engine looks."""
        said = self.hook_says.get(call.webhook.name, True)
        known = self.heard.get((call.run, call.webhook.name))
        if known is not None and (known.step, known.round) == (call.step, call.round):
            return
        self.asked.append(call)
        if said is None:
            return
        self.heard[call.run, call.webhook.name] = HookResult(
            name=call.webhook.name,
            point=call.webhook.point,
            step=call.step,
            round=call.round,
            outcome="Passed" if said else "Failed",
            attempts=1,
            at=self.now,
            because="" if said else "it answered 409",
        )
        self.look_again_at = self.now

    def _write_finalizer(self, decision: Decision) -> None:
        if decision.finalizer and not self.finalized:
            assert not self.deleting, "nobody may put a finalizer on what is being deleted"
            self.finalized, self.writes = True, self.writes + 1

    def _write_guard(self, decision: Decision) -> None:
        if decision.guard is not None and decision.guard.is_on:
            assert self.finalized, "the finalizer is on before a guard is"
            self._apply(decision.guard)

    def _write_unguard(self, decision: Decision) -> None:
        if decision.guard is not None and not decision.guard.is_on:
            self._apply(decision.guard)

    def _apply(self, guard: Guarding) -> None:
        if guard.subset not in (self.subsets or {}):
            return
        before = self.policies.get(guard.subset, {})
        kept = {name: one for name, one in before.items() if name not in guard.policies}
        after = kept | {name: one for name, one in guard.policies.items() if one is not None}
        if after == before:
            return
        if self.rule_refusing:
            if not self.rule_refused:
                self.rule_refused = True
                raise Refused
            return
        self.policies[guard.subset], self.writes = dict(after), self.writes + 1

    def _write_routes(self, decision: Decision) -> None:
        wanted = decision.weights
        if wanted is None or not self.shares or self.refusing:
            return
        if self.route_problems and wanted.percent > 0:
            return
        pair = self.shares.get(wanted.stable, Fraction(0)) + self.shares.get(
            wanted.canary, Fraction(0)
        )
        if not pair or not {wanted.stable, wanted.canary} <= self.shares.keys():
            return
        assert self.finalized or wanted.percent == 0, "the finalizer is on before traffic moves"
        part = Fraction(Decimal(repr(wanted.percent))) / 100
        fresh = self.shares | {wanted.canary: pair * part, wanted.stable: pair * (1 - part)}
        before = tuple(self._managed_routes())
        is_other = self.managed is not None and wanted.managed != self.managed
        self.managed = wanted.managed
        if fresh != self.shares or is_other or before != tuple(self._managed_routes()):
            self.shares, self.writes = fresh, self.writes + 1

    def _write_status(self, decision: Decision) -> None:
        if decision.status == self.status:
            return
        document = decision.status.model_dump(mode="json", by_alias=True, exclude_none=True)
        self.status = RolloutStatus.model_validate(json.loads(json.dumps(document)))
        self.writes += 1

    def _write_answers(self, decision: Decision) -> None:
        for answer in decision.answers:
            self.answers[answer.action] = answer
        told = {answer.action for answer in decision.answers}
        self.waiting = [action for action in self.waiting if action.name not in told]

    def _write_farewell(self, decision: Decision) -> None:
        if not decision.finalizer and self.finalized:
            self.finalized, self.writes = False, self.writes + 1
        if self.deleting and not self.finalized:
            self.gone = True

    def settle(self) -> World:
        """What events and alarms of this moment bring about; more than a few are a hot loop."""
        for _ in range(LOOKS_MAX):
            before = self.status
            self.reconcile()
            if self.gone:
                return self
            due = self.look_again_at is not None and self.look_again_at <= self.now
            if self.status == before and not due:
                return self
        msg = f"no rest at {self.now}: {self.message}"
        raise AssertionError(msg)

    def after(self, seconds: float) -> World:
        """Let time pass; the engine looks when it said it would, and at nothing else."""
        end = self.now + timedelta(seconds=seconds)
        while not self.gone and self.look_again_at is not None and self.look_again_at <= end:
            self.now = max(self.now, self.look_again_at)
            self.settle()
        self.now = max(self.now, end)
        return self

    def until(self, phase: Phase, *, within_seconds: float = 6 * 3600) -> World:
        """Let time pass until a phase is reached."""
        end = self.now + timedelta(seconds=within_seconds)
        while self.status.phase is not phase:
            assert self.look_again_at is not None, f"asleep in {self.phase}: {self.message}"
            assert self.look_again_at <= end, f"still {self.phase}: {self.message}"
            self.now = max(self.now, self.look_again_at)
            self.settle()
        return self

    def until_step(self, step: int) -> World:
        """Let time pass until a step begins."""
        while self.status.run is None or self.run.step != step:
            assert self.look_again_at is not None, f"asleep in {self.phase}: {self.message}"
            self.now = max(self.now, self.look_again_at)
            self.settle()
        return self

    # What people do

    def want(self, revision: str) -> World:
        """Somebody changes ``spec.revision``."""
        assert self.spec is not None
        self.edit(self.spec.model_copy(update={"revision": revision}))
        return self

    def edit(self, spec: RolloutSpec | None, *, problem: str = "") -> World:
        """Somebody applies another spec; a wrong one keeps the revision it names."""
        self.spec, self.spec_problem = spec, problem
        self.revision = spec.revision if spec is not None else self.revision
        self.suspended = spec.suspend if spec is not None else self.suspended
        self.generation += 1
        return self

    def suspend(self, value: bool) -> World:
        """Somebody sets ``spec.suspend``."""
        assert self.spec is not None
        return self.edit(self.spec.model_copy(update={"suspend": value}))

    def give(self, verb: Verb, **fields: Any) -> str:
        """Somebody creates a RolloutAction; its name comes back."""
        name = f"action-{len(self.answers) + len(self.waiting) + 1}"
        known: dict[str, Any] = {"rollout": "reviews", "verb": verb, "actor": "alice@example.com"}
        if self.status.run is not None:
            known |= {"run": self.run.id, "step": self.run.step}
        spec = ActionSpec.model_validate(known | fields)
        self.waiting.append(GivenAction(name=name, spec=spec))
        return name

    def tell(self, verb: Verb, **fields: Any) -> Answer:
        """Somebody commands, and the engine hears it at once."""
        name = self.give(verb, **fields)
        self.settle()
        return self.answers[name]

    def ladder(self) -> list[tuple[int, float]]:
        """Steps and weights of all runs in the order in which they were decided."""
        found: list[tuple[int, float]] = []
        for beat in self.beats:
            run = beat.decision.status.run
            if run is None or run.ended_at is not None:
                continue
            rung = (run.step, run.weight)
            if not found or found[-1] != rung:
                found.append(rung)
        return found

    def phases(self) -> list[Phase]:
        """The phases in their order."""
        found: list[Phase] = []
        for beat in self.beats:
            phase = beat.decision.status.phase
            if not found or found[-1] is not phase:
                found.append(phase)
        return found

    def told(self, reason: str) -> list[Happening]:
        """Events with a reason."""
        return [happening for happening in self.happenings if happening.reason == reason]

    def condition(self, kind: str) -> Mapping[str, str] | None:
        """A condition by its type."""
        for condition in self.status.conditions:
            if condition.type == kind:
                return {
                    "status": condition.status,
                    "reason": condition.reason,
                    "message": condition.message,
                }
        return None


def at_step(step: int, **fields: Any) -> World:
    """A world in whose run a step has just begun."""
    return World(**fields).settle().until_step(step)
