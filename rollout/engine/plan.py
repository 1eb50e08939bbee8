"""The plan of a run: the spec as it was at the start, its ladder ending with 100 percent."""

from __future__ import annotations

from rollout.analysis import query
from rollout.analysis.query import Variables
from rollout.api.gate import Gate, Query
from rollout.api.match import Match
from rollout.api.rollout import Plan, RolloutSpec
from rollout.api.step import Ramp, Step
from rollout.api.traffic import ManagedRoutes
from rollout.base.errors import BadManifest
from rollout.base.quantity import parse_duration, print_duration

FULL_PERCENT = 100.0


def resolve(spec: RolloutSpec) -> Plan:
    """What a run that starts now will obey until it is over.

    Where 100 percent is added as a step of its own, gates of the last written step are its gates.
    """
    strategy = spec.strategy
    if not strategy.steps or strategy.steps[-1].weight != FULL_PERCENT:
        # A ladder that reached 100 before its end, and goes on with pauses, needs no second 100.
        reached = any(step.weight == FULL_PERCENT for step in strategy.steps)
        if not reached:
            steps = (*strategy.steps, Step(weight=FULL_PERCENT))
            strategy = strategy.model_copy(update={"steps": steps})
    written, last = len(spec.strategy.steps), len(strategy.steps)
    return Plan(
        host=spec.host,
        traffic=spec.traffic,
        metrics=spec.metrics,
        strategy=strategy,
        gates=tuple(_lasting(gate, written=written, last=last) for gate in spec.gates),
        judge=spec.judge,
        guard=spec.guard,
        windows=spec.windows,
        on_failure=spec.on_failure,
        webhooks=spec.webhooks,
    )


def _lasting(gate: Gate, *, written: int, last: int) -> Gate:
    """A gate of the last step that was written is one of the 100 percent that follow it too."""
    if gate.steps is None or written not in gate.steps or written == last:
        return gate
    return gate.model_copy(update={"steps": (*gate.steps, last)})


def check_queries(spec: RolloutSpec) -> None:
    """Refuse query templates that name what does not exist.

    Raises:
        BadManifest: naming the gate's field and the unknown variable.
    """
    for i, gate in enumerate(spec.gates):
        if gate.query is None:
            continue
        try:
            if gate.query.relative_to is None:
                query.render(gate.query.promql, _sample(spec))
                query.render_itself(gate.query.promql, _sample(spec))
            else:
                query.render_pair(gate.query.promql, _sample(spec))
        except BadManifest as error:
            field = f"spec.gates[{i}].query.promql"
            raise BadManifest(field=field, problem=error.problem, remedy=error.remedy) from error
        _check_block(f"spec.gates[{i}].query.block", gate.query)


def _check_block(field: str, asked: Query) -> None:
    """Blocks that share what they look at would be counted twice."""
    least_seconds = query.lookback_seconds(asked.promql)
    if asked.block is not None and parse_duration(asked.block) < least_seconds:
        raise BadManifest(
            field=field,
            problem=f"is {asked.block}, and the query looks back further",
            remedy=f"use {print_duration(least_seconds)} or more, or {{{{ window }}}} as the range",
        )


def _sample(spec: RolloutSpec) -> Variables:
    """What a query may be told, as far as it is known before any run."""
    return Variables(
        window="1m",
        revision=spec.revision,
        stable="stable" if spec.revision != "stable" else "present",
        canary=spec.revision,
        host=spec.host,
        namespace="namespace",
        weight="1",
        step="1",
        name="name",
    )


def judged(plan: Plan, step: int) -> tuple[Gate, ...]:
    """The gates that are judged in a step, counted from 1; the bake judges them all.

    A check judges the gates it names, whatever steps they name: it would wait for ever otherwise.
    """
    steps = plan.strategy.steps
    if step > len(steps):
        return plan.gates
    check = steps[step - 1].check if step > 0 else None
    named = check.gates if check is not None else ()
    return tuple(g for g in plan.gates if g.steps is None or step in g.steps or g.name in named)


def asked(plan: Plan, step: int) -> tuple[Gate, ...]:
    """The gates that must pass before a step, counted from 1, ends; those that observe need not."""
    return tuple(gate for gate in told(plan, step) if gate.mode == "Enforce")


def told(plan: Plan, step: int) -> tuple[Gate, ...]:
    """The gates that a step, counted from 1, can tell anything of.

    Connections follow the weights alone, and there is no request where nothing is sent. A query
    may look at anything, so it is always asked.
    """
    shifts = weight_at(plan, step) > 0
    sends = shifts or match_at(plan, step) is not None or mirror_at(plan, step) > 0
    return tuple(
        gate
        for gate in judged(plan, step)
        if gate.query is not None or (shifts if gate.tcp_failures is not None else sends)
    )


def weight_at(plan: Plan, step: int) -> float:
    """The canary's percent in a step, counted from 1: the last weight named up to there.

    In the step of a ramp it may have less, see `Run.weight`.
    """
    reached = [s.top_weight for s in plan.strategy.steps[:step] if s.top_weight is not None]
    return reached[-1] if reached else 0.0


def ramp_at(plan: Plan, step: int) -> Ramp | None:
    """What sets the weight in a step, counted from 1, if evidence does."""
    return plan.strategy.steps[step - 1].ramp if 0 < step <= len(plan.strategy.steps) else None


def match_at(plan: Plan, step: int) -> Match | None:
    """What goes to the canary beside the weights in a step, counted from 1; None: nothing."""
    given = [s.match for s in plan.strategy.steps[:step] if s.match is not None]
    return given[-1] if given and given[-1] != Match() else None


def mirror_at(plan: Plan, step: int) -> float:
    """Percent of the requests that are copied to the canary in a step, counted from 1."""
    for known in reversed(plan.strategy.steps[:step]):
        if known.top_weight is not None:
            break
        if known.mirror is not None:
            return known.mirror
    return 0.0


def managed_at(plan: Plan, step: int, *, owner: str) -> ManagedRoutes:
    """What managed routes do in a step, counted from 1; in step 0, before and after a run, nothing.

    ``owner`` is the Rollout's ``namespace/name``.
    """
    if step == 0:
        return ManagedRoutes(owner=owner)
    return ManagedRoutes(
        owner=owner,
        match=match_at(plan, step),
        mirror_percent=mirror_at(plan, step),
        timeout=plan.guard.timeout or "",
        retries=plan.guard.retries,
    )


def managed_ever(plan: Plan | RolloutSpec, *, owner: str) -> tuple[ManagedRoutes, ...]:
    """All that managed routes will do in a run, each once: what routes must be fit for."""
    resolved = resolve(plan) if isinstance(plan, RolloutSpec) else plan
    steps = range(1, len(resolved.strategy.steps) + 1)
    found: list[ManagedRoutes] = []
    for one in (managed_at(resolved, step, owner=owner) for step in steps):
        if one not in found and (one.match is not None or one.copies):
            found.append(one)
    return tuple(found)


def mirror_since(plan: Plan, step: int) -> int:
    """The step, counted from 1, that began or ended mirroring last, up to a step; 0: none did."""
    known = [mirror_at(plan, before) > 0 for before in range(step + 1)]
    return max((s for s in range(1, step + 1) if known[s] != known[s - 1]), default=0)


def proves(plan: Plan, step: int) -> bool:
    """Whether a step, counted from 1, ends only once a regression of ``provenRatio`` is ruled out.

    It is the last one below 100 percent that sends the canary anything and waits for gates, and the
    checks after it: what comes before risks little, and goes on when nothing speaks against the
    canary. A ramp proves in any case.
    """
    if ramp_at(plan, step) is not None:
        return True
    below = range(1, full_step(plan))
    waiting = [s for s in below if plan.strategy.steps[s - 1].pause is None and asked(plan, s)]
    sending = [s for s in waiting if plan.strategy.steps[s - 1].check is None]
    last = sending[-1] if sending else min(waiting, default=0)
    return step in waiting and step >= last


def full_step(plan: Plan) -> int:
    """The step, counted from 1, that goes to 100 percent."""
    return next(i for i, s in enumerate(plan.strategy.steps, 1) if s.weight == FULL_PERCENT)
