"""What holds of every decision, over generated observations and over generated histories.

The rules themselves are in `tests.world.engine_rules`; a world checks them at every look.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollout.api.action import Verb
from rollout.api.evidence import Verdict
from rollout.api.phase import Outcome, Phase
from rollout.api.rollout import RolloutSpec
from rollout.api.status import Command, Ending, PastRun, RolloutStatus, Run
from rollout.api.traffic import Problem, Propagation, Spread
from rollout.api.window import Freeze, Windows
from rollout.engine import approvals
from rollout.engine import plan as plans
from rollout.engine.propagation import RETURN_SECONDS_MAX
from rollout.engine.turns import Limit, Turn
from rollout.engine.windows import Rule
from tests.world.engine_hooks import HOOKS_SAY, results, webhooks
from tests.world.engine_rules import checked, is_sentence, run_of
from tests.world.engine_world import (
    HOOKS,
    MORNING,
    PASS,
    WRITES,
    World,
    always,
    spec_of,
)

pytestmark = pytest.mark.timeout(120)

CALM = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

REVISIONS = ("v1", "v2", "v3")
WEIGHTS = (0.5, 1, 5, 20, 33.3, 50, 90, 100)
VERDICTS = st.sampled_from(Verdict)
EJECTS = {"consecutive5xxErrors": 3}
POOL = {"http": {"http1MaxPendingRequests": 5}}
GUARDS: tuple[dict[str, Any], ...] = (
    {},
    {"outlierDetection": EJECTS},
    {"outlierDetection": EJECTS, "connectionPool": POOL},
)
POLICIES: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"outlierDetection": EJECTS},
    {"outlierDetection": {}},
)
UNREADABLE = Problem(reason="BrokenManifest", message="spec.subsets is 5; make it a list")
TROUBLE = Problem(reason="AmbiguousRoutes", message="route primary is there twice; rename one")
ALIKE = Problem(reason="ArmsAlike", message="v1 and v2 look alike; set metrics.arm")


SPREADS = st.tuples(st.sampled_from(Spread), st.booleans(), st.booleans(), st.booleans())
"""How far proxies are, with the present weight or another, and whether some are in the way."""


def spoken(status: RolloutStatus, spread: Spread, *told: bool) -> Propagation:
    is_present, is_refused, is_hindered = told
    run = run_of(status)
    if spread is Spread.UNASKED or run is None:
        return Propagation()
    prepares = run.ending is None and (run.step == 0 or run.retreated)
    percent = None if prepares == is_present else run.weight
    is_hindered = is_hindered and spread is Spread.PENDING
    return Propagation(
        spread=spread,
        percent=percent,
        message="client-1.shop has rejected RDS: no" if is_hindered else "so say 7 proxies",
        refused=is_refused and is_hindered,
        hindered=is_hindered,
    )


WITHOUT_DATA: list[dict[str, str]] = [
    {},
    {"onNoData": "Rollback", "noDataDeadline": "30s", "onMetricsOutage": "Continue"},
    {"onNoData": "Continue", "onMetricsOutage": "Rollback", "metricsOutageDeadline": "1s"},
]


@st.composite
def specs(draw: st.DrawFn) -> RolloutSpec:
    steps: list[dict[str, Any]] = []
    weights: list[float] = sorted(
        draw(st.sets(st.sampled_from([0.5, 1, 5, 20, 33.3, 50, 90, 100]), max_size=4))
    )
    for weight in weights:
        step: dict[str, Any] = {"weight": weight}
        if draw(st.booleans()):
            step["hold"] = draw(st.sampled_from(["0s", "7s", "1m"]))
        steps.append(step)
    others: list[dict[str, Any]] = [
        {"pause": {}},
        {"pause": {"for": "20s"}},
        {"check": {"gates": ["errors"]}},
        {"approval": {"approvers": {"users": ["alice@example.com"]}, "expiresAfter": "2m"}},
        {"approval": {"approvers": {"groups": ["none"]}, "quorum": 2, "onExpiry": "Hold"}},
    ]
    for other in draw(st.lists(st.sampled_from(others), max_size=2)):
        steps.insert(draw(st.integers(0, len(steps))), other)
    gates: list[dict[str, Any]] = [{"name": "errors", "errorRate": {"maxPercent": 1}}]
    if draw(st.booleans()) and steps:
        gates.append({"name": "slow", "latency": {"max": "1s"}, "steps": [1]})
    return spec_of(
        revision=draw(st.sampled_from(REVISIONS)),
        gates=gates,
        webhooks=draw(webhooks()),
        guard=draw(st.sampled_from(GUARDS)),
        onFailure=draw(st.sampled_from(["Rollback", "Hold"])),
        judge={"maxInterval": "15s", **draw(st.sampled_from(WITHOUT_DATA))},
        strategy={
            "steps": steps,
            "bake": draw(st.sampled_from(["0s", "30s"])),
            "maxDuration": draw(st.sampled_from(["40s", "10m", "6h"])),
            "onDeadline": draw(st.sampled_from(["Rollback", "Hold"])),
        },
    )


# Observations


ALICE = Command(by="alice@example.com", at=MORNING, reason="to see")


def homes_of(run: Run) -> list[Phase]:
    """The phases a run in such a state can be in."""
    if run.ending is not None:
        return [Phase.ROLLING_BACK]
    if run.step == 0 or run.retreated:
        return [Phase.PREPARING, Phase.BLOCKED, Phase.WAITING]
    if run.step > run.step_count:
        return [Phase.BAKING, Phase.BLOCKED, Phase.WAITING]
    step = run.plan.strategy.steps[run.step - 1]
    if step.pause is not None or step.approval is not None:
        return [Phase.WAITING, Phase.BLOCKED]
    here = Phase.PROMOTING if run.weight == 100 else Phase.PROGRESSING
    return [here, Phase.BLOCKED, Phase.WAITING]


@st.composite
def runs(draw: st.DrawFn) -> Run:
    plan = plans.resolve(draw(specs()))
    count = len(plan.strategy.steps)
    step = draw(st.integers(0, count + (plan.strategy.bake != "0s")))
    began = MORNING - timedelta(seconds=draw(st.integers(0, 4000)))
    present = began + timedelta(seconds=draw(st.integers(0, 300)))
    retreated = step > 0 and draw(st.booleans())
    ending = None
    if draw(st.integers(0, 4)) == 0:
        outcome = draw(st.sampled_from([o for o in Outcome if o is not Outcome.PROMOTED]))
        ending = Ending(outcome=outcome, because="errors fails", decided_at=present)
    settled = draw(st.none() | st.just(present))
    run = Run(
        id="4",
        canary_revision="v2",
        stable_revision="v1",
        step=step,
        step_count=count,
        weight=0 if retreated or ending else plans.weight_at(plan, step),
        started_at=began,
        step_started_at=present,
        settled_since=settled,
        guarded=draw(st.sampled_from([(), tuple(plan.guard.policies())])),
        paused=None if ending else draw(st.none() | st.just(ALICE)),
        promoted_full=draw(st.none() | st.just(ALICE)),
        sent_on=draw(st.none() | st.just(ALICE)),
        retreated=retreated and ending is None,
        ending=ending,
        plan=plan,
    )
    return run.model_copy(update={"hooks": draw(results(run))})


@st.composite
def statuses(draw: st.DrawFn) -> RolloutStatus:
    kind = draw(st.sampled_from(["new", "rest", "run", "run", "run"]))
    if kind == "new":
        return RolloutStatus()
    if kind == "run":
        run = draw(runs())
        phase = draw(st.sampled_from(homes_of(run)))
        return RolloutStatus(phase=phase, reason="Because", stable_revision="v1", run=run)
    rest = [Phase.PENDING, Phase.STABLE, Phase.ROLLED_BACK, Phase.BLOCKED, Phase.INVALID]
    ended = draw(runs()).model_copy(
        update={
            "ended_at": MORNING,
            "ending": Ending(outcome=Outcome.ABORTED, because="aborted by bob", decided_at=MORNING),
        }
    )
    past = PastRun(
        id="4",
        revision="v2",
        stable_revision="v1",
        outcome=Outcome.ABORTED,
        because="aborted by bob",
        started_at=MORNING,
        ended_at=MORNING,
    )
    return RolloutStatus(
        phase=draw(st.sampled_from(rest)),
        stable_revision=draw(st.sampled_from(["v1", "v2"])),
        rejected_revision=draw(st.sampled_from(["", "v2", "v3"])),
        run=draw(st.none() | st.just(ended)),
        history=draw(st.sampled_from([(), (past,)])),
    )


LIMIT = Limit(runs_max=1, by="ClusterRolloutPolicy calm")
BEHIND = Turn(is_next=False, running_count=1, ahead_count=2, limit=LIMIT)
NEXT = Turn(is_next=True, running_count=0, ahead_count=0, limit=LIMIT)
FREEZE = Freeze.model_validate({"until": MORNING + timedelta(hours=4), "reason": "year end"})
FROZEN = Rule(by="ClusterRolloutPolicy calm", windows=Windows(freeze=(FREEZE,)))
STOPPED = Rule(by="RolloutPolicy calm", stop="an incident.")


@st.composite
def worlds(draw: st.DrawFn) -> World:
    spec = draw(st.none() | specs())
    canary = draw(st.sampled_from([Fraction(0), Fraction(1, 20), Fraction(1, 3), Fraction(1)]))
    routes = {"v1": 1 - canary, "v2": canary, "v3": Fraction(0)}
    subsets = {name: {"version": name} for name in draw(st.sets(st.sampled_from(REVISIONS)))}
    status = draw(statuses())
    world = World(
        spec=spec,
        spec_problem="" if spec else "spec.host is missing; add it",
        revision=spec.revision if spec else draw(st.sampled_from(["", *REVISIONS])),
        suspended=draw(st.booleans()),
        rules=draw(st.sampled_from([(), (), (FROZEN,), (STOPPED,)])),
        turn=draw(st.sampled_from([None, None, BEHIND, NEXT])),
        ruled_by=draw(st.sampled_from([(), ("RolloutPolicy careful",)])),
        deleting=draw(st.booleans()),
        finalized=run_of(status) is not None or draw(st.booleans()),
        status=status,
        ready={name: draw(st.integers(0, 2)) for name in REVISIONS},
        says=always(draw(VERDICTS)),
        dataless=draw(st.booleans()),
        lost_at=MORNING - timedelta(seconds=draw(st.integers(0, 400))),
        metrics_problem=draw(st.sampled_from(["", "Prometheus cannot be reached: refused"])),
        arms_problem=draw(st.sampled_from([None, None, ALIKE])),
        route_problems=draw(st.sampled_from([(), (), (TROUBLE,)])),
        rule_problems=draw(st.sampled_from([(), (), (UNREADABLE,)])),
        policies={"v2": dict(draw(st.sampled_from(POLICIES)))},
        settle_seconds=draw(st.sampled_from([0.0, 5.0])),
        propagation=spoken(status, *draw(SPREADS)),
        now=MORNING + timedelta(seconds=draw(st.integers(0, 50_000))),
        hook_says=draw(HOOKS_SAY),
    )
    if status.run is not None:
        for result in draw(results(status.run)):
            world.heard[status.run.id, result.name] = result
    world.shares = draw(st.sampled_from([routes, routes, routes, {}]))
    world.subsets = draw(st.sampled_from([subsets, {n: {"version": n} for n in REVISIONS}]))
    for verb in draw(st.lists(st.sampled_from(Verb), max_size=3)):
        fields: dict[str, Any] = {} if status.run else {"run": "1"}
        step = draw(st.none() | st.integers(0, 6)) if draw(st.booleans()) else None
        if step is not None or not status.run:
            fields["step"] = step
        world.give(verb, **fields)
    return world


@CALM
@given(world=worlds())
def test_every_observation_has_a_decision_that_keeps_all_rules(world: World) -> None:
    checked(world.observe())


@CALM
@given(world=worlds())
def test_whatever_was_found_the_world_comes_to_rest_and_then_nothing_new_is_asked(
    world: World,
) -> None:
    world.settle()
    writes, events = world.writes, len(world.happenings)
    gone = world.gone

    if not gone:
        world.reconcile()

    assert world.writes == writes
    assert len(world.happenings) == events
    assert world.waiting == []


# Histories


def command(world: World, verb: Verb, behind: int) -> None:
    """A command, perhaps a late one."""
    if world.status.run is None:
        world.give(verb, run="1", step=1)
    else:
        world.give(verb, step=max(0, world.run.step - behind))


def toggle_routes(world: World) -> None:
    """The VirtualService vanishes; or comes back as somebody had it."""
    if world.shares:
        world.shares = {}
        return
    world.shares = {"v1": Fraction(1), "v2": Fraction(0), "v3": Fraction(0)}


def toggle_subset(world: World, name: str) -> None:
    assert world.subsets is not None
    if name in world.subsets:
        del world.subsets[name]
        world.policies.pop(name, None)
    else:
        world.subsets[name] = {"version": name}


def drift(world: World) -> None:
    run = run_of(world.status)
    if run is not None and world.shares:
        pair = {run.stable_revision: Fraction(3, 10), run.canary_revision: Fraction(7, 10)}
        world.shares = dict.fromkeys(REVISIONS, Fraction(0)) | pair


def tick(world: World) -> None:
    if world.look_again_at is not None:
        world.now = max(world.now, world.look_again_at)


def want(world: World, revision: str) -> None:
    if world.spec is not None:
        world.want(revision)


def switch(field: str, other: object) -> Callable[[World], None]:
    """Sets a field to another value and back."""

    def turn(world: World) -> None:
        usual = getattr(World(), field)
        setattr(world, field, other if getattr(world, field) == usual else usual)

    return turn


def freeze(world: World) -> None:
    """DestinationRules may not be written; or may be again."""
    world.rule_refusing, world.rule_refused = not world.rule_refusing, False


HAPPENS: dict[str, Callable[..., object]] = {
    "wait": World.after,
    "tick": tick,
    "verdict": lambda world, verdict: setattr(world, "says", always(verdict)),
    "ready": lambda world, name, count: world.ready.update({name: count}),
    "subset": toggle_subset,
    "command": command,
    "want": want,
    "crash": lambda world, write: world.reconcile(lose=write),
    "routes": toggle_routes,
    "drift": drift,
    "proxies": lambda world, said: setattr(world, "propagation", spoken(world.status, *said)),
    "refuse": switch("refusing", other=True),
    "trouble": switch("route_problems", (TROUBLE,)),
    "hand": lambda world: world.policies.pop("v2", None),
    "freeze": freeze,
    "unreadable": switch("rule_problems", (UNREADABLE,)),
    "arms": switch("arms_problem", ALIKE),
    "metrics": switch("metrics_problem", "Prometheus cannot be reached: refused"),
    "suspend": switch("suspended", other=True),
    "stop": switch("rules", (STOPPED,)),
    "night": switch("rules", (FROZEN,)),
    "queue": switch("turn", BEHIND),
    "turn": switch("turn", NEXT),
    "break": lambda world: world.edit(None, problem="spec.host is missing; add it"),
    "mend": lambda world: world.edit(spec_of(revision=world.revision or "v2")),
    "hooks": lambda world, says: setattr(world, "hook_says", says),
}


def perform(world: World, event: tuple[Any, ...]) -> None:
    kind, *rest = event
    HAPPENS[kind](world, *rest)


EVENTS = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1.0, 6.0, 31.0, 120.0])),
    st.tuples(st.just("tick")),
    st.tuples(st.just("tick")),
    st.tuples(st.just("verdict"), VERDICTS),
    st.tuples(st.just("ready"), st.sampled_from(REVISIONS), st.integers(0, 2)),
    st.tuples(st.just("subset"), st.sampled_from(REVISIONS)),
    st.tuples(st.just("command"), st.sampled_from(Verb), st.sampled_from([0, 0, 1])),
    st.tuples(st.just("want"), st.sampled_from(REVISIONS)),
    st.tuples(st.just("crash"), st.sampled_from(WRITES)),
    st.tuples(st.just("proxies"), SPREADS),
    *(st.tuples(st.just(kind)) for kind in list(HAPPENS)[8:] if kind not in {"proxies", "hooks"}),
    st.tuples(st.just("hooks"), HOOKS_SAY),
)


def heal(world: World) -> World:
    """Everything outside is as it should be again, and nobody is in the way."""
    world.suspended, world.rules, world.turn = False, (), None
    world.route_problems, world.arms_problem, world.metrics_problem = (), None, ""
    world.ready = dict.fromkeys(REVISIONS, 2)
    world.subsets = {name: {"version": name} for name in REVISIONS}
    world.says = always(PASS)
    allow(world)
    world.propagation = Propagation()
    world.hook_says, world.hook_prefixes = {}, (HOOKS, "https://elsewhere/")
    if not world.shares:
        toggle_routes(world)
    return world


def allow(world: World) -> None:
    """Nothing refuses writes any more, and every rule can be read."""
    world.refusing = world.rule_refusing = world.rule_refused = False
    world.rule_problems = ()


def assert_unguarded(world: World) -> None:
    """No guard stands but that of a run in progress, unless it was told that it may."""
    run = run_of(world.status)
    left = [n for n, p in world.policies.items() if p and (not run or run.canary_revision != n)]
    assert world.told("GuardLeft") or not left, world.policies


HISTORIES = st.lists(EVENTS, max_size=25)


@CALM
@given(spec=specs(), events=HISTORIES)
def test_in_every_history_all_rules_hold_at_every_look_and_no_look_is_repeated_for_nothing(
    spec: RolloutSpec, events: list[tuple[Any, ...]]
) -> None:
    world = World(spec=spec, says=always(PASS)).settle()

    for event in events:
        perform(world, event)
        world.settle()


@CALM
@given(spec=specs(), events=HISTORIES)
def test_from_every_history_an_abort_brings_all_traffic_back_whatever_proxies_say(
    spec: RolloutSpec, events: list[tuple[Any, ...]]
) -> None:
    world = World(spec=spec, says=always(PASS)).settle()
    for event in events:
        perform(world, event)
        world.settle()
    run = run_of(world.status)

    if run is not None and run.ending is None:
        world.tell(Verb.ABORT)
    allow(world)
    if not world.shares:
        toggle_routes(world)
    world.settle()
    if run is not None and world.shares:
        assert world.shares[run.canary_revision] == 0
    world.after(2 * world.settle_seconds + RETURN_SECONDS_MAX)

    assert_unguarded(world)
    if run is not None:
        past = next(known for known in world.status.history if known.id == run.id)
        assert past.outcome is not Outcome.PROMOTED


@CALM
@given(spec=specs(), events=HISTORIES)
def test_from_every_history_a_healthy_world_leads_to_an_end(
    spec: RolloutSpec, events: list[tuple[Any, ...]]
) -> None:
    world = World(spec=spec, says=always(PASS)).settle()
    for event in events:
        perform(world, event)
        world.settle()

    heal(world).settle()
    for _ in range(60):
        run = run_of(world.status)
        if run is None and world.look_again_at is None:
            break
        if run is not None and run.paused is not None:
            world.tell(Verb.RESUME)
        elif run is not None and approvals.ahead(run)[:1] == [run.step]:
            for name in ("alice@example.com", "bob@example.com"):
                world.tell(Verb.APPROVE, actor=name, groups=("none",))
        elif world.status.reason in {"Paused", "DeadlineHold"}:
            waits = run is not None and (run.retreated or run.step == 0)
            everybody = {"actor": "alice@example.com", "groups": ("none",)}
            world.tell(Verb.PROMOTE_FULL if waits else Verb.PROMOTE, **everybody)
        world.after(65)

    assert_unguarded(world)
    assert run_of(world.status) is None
    assert world.look_again_at is None
    assert world.phase in {"Stable", "RolledBack", "Invalid", "Blocked"}


@CALM
@given(spec=specs(), events=HISTORIES)
def test_from_every_history_deletion_lets_go_with_all_traffic_on_one_revision(
    spec: RolloutSpec, events: list[tuple[Any, ...]]
) -> None:
    world = World(spec=spec, says=always(PASS)).settle()
    for event in events:
        perform(world, event)
        world.settle()
    run = run_of(world.status)
    world.deleting = True
    allow(world)

    world.settle().after(2 * world.settle_seconds + RETURN_SECONDS_MAX)

    assert world.gone
    assert_unguarded(world)
    if run is not None and world.shares:
        assert world.shares[run.canary_revision] == 0


def lived(spec: RolloutSpec, crashes: dict[int, str]) -> World:
    """A run of so many looks; after a lost write the same moment is looked at once more."""
    world = World(spec=spec, says=always(PASS))
    for look in range(60):
        if look in crashes:
            world.reconcile(lose=crashes[look])
        world.reconcile()
        if world.look_again_at is not None:
            world.now = max(world.now, world.look_again_at)
    return world


@settings(CALM, max_examples=40, derandomize=True, database=None)
@given(spec=specs(), crashes=st.dictionaries(st.integers(0, 59), st.sampled_from(WRITES)))
def test_lost_writes_at_any_moments_skip_no_step_repeat_none_and_change_no_end_peers_110(
    spec: RolloutSpec, crashes: dict[int, str]
) -> None:
    calm = lived(spec, {})

    rough = lived(spec, crashes)

    assert rough.ladder() == calm.ladder()
    assert rough.shares == calm.shares
    assert rough.policies == calm.policies
    assert rough.status == calm.status
    assert rough.finalized == calm.finalized
    assert rough.told("PutBack") == []


WORDS = st.lists(st.sampled_from(["too", "slow", "\n", " ", "\t", "100 %", "née"]), max_size=9)


@given(words=WORDS, end=st.sampled_from(["", ".", "...", ";", " : ", "!"]))
def test_what_people_write_as_a_reason_never_breaks_a_sentence_or_the_status(
    words: list[str], end: str
) -> None:
    world, text = World().settle(), " ".join(words) + end
    world.give(Verb.PAUSE, reason=text)
    world.give(Verb.ABORT, reason=text)

    world.after(20)

    assert "\n" not in world.message


@pytest.mark.parametrize(
    "text", ["", "a  b", "run  takes", "all is on : why", "waits;; ", "goes to None", "ends.", "()"]
)
def test_the_rule_about_sentences_catches_what_it_is_there_for(text: str) -> None:
    assert not is_sentence(text)
