"""What a run will take and find, foretold from what its service usually does; none need run.

A step is taken to last its hold, or until its gates have seen enough requests, whichever is longer;
the one that proves also until the proof stands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from rollout.analysis import query
from rollout.analysis.history import History
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.rollout import Plan
from rollout.base.quantity import parse_duration
from rollout.engine import plan as plans
from rollout.engine import prospects, questions
from rollout.engine.foretold import Foresight, GateForesight, StepForesight
from rollout.engine.prospects import SCRAPE_SECONDS, Usual


def foresee(plan: Plan, history: History, *, requests_per_second: float) -> Foresight:
    """What a run will take and find.

    Args:
        plan: the run's.
        history: what is usual.
        requests_per_second: of the service, above 0.
    """
    silent: dict[str, str] = {}
    gates = questions.of_plan(plan)
    usuals = [
        usual
        for gate in gates
        if (usual := _usual(gate, history, silent, requests_per_second)) is not None
    ]
    numbers = range(1, len(plan.strategy.steps) + 1)
    held = {number: _held_seconds(plan, number, rps=requests_per_second) for number in numbers}
    proving = next((number for number in numbers if _proves(plan, number)), 0)
    proofs = {one.gate.name: _proof_seconds(one, plan, held, step=proving) for one in usuals}
    steps = tuple(_steps(plan, held, proofs, proving=proving))
    return Foresight(
        plan=plan,
        history=history,
        requests_per_second=requests_per_second,
        steps=steps,
        gates=[_gate(one, plan, steps, proofs[one.gate.name]) for one in usuals],
        silent=silent,
        total_seconds=sum(
            one.dwell_seconds or 0.0 for one in steps if one.number < plans.full_step(plan)
        ),
    )


def _steps(
    plan: Plan,
    held: Mapping[int, float | None],
    proofs: Mapping[str, float | None],
    *,
    proving: int,
) -> Iterator[StepForesight]:
    known = [one for one in proofs.values() if one is not None]
    for number, seconds in held.items():
        waits = number == proving and seconds is not None
        yield StepForesight(
            number=number,
            step=plan.strategy.steps[number - 1],
            weight_percent=plans.weight_at(plan, number),
            dwell_seconds=max([seconds, *known]) if waits and seconds is not None else seconds,
            proves=waits and bool(known),
        )


def _gate(
    usual: Usual, plan: Plan, steps: Sequence[StepForesight], proof_seconds: float | None
) -> GateForesight:
    judged = [step for step in steps if _is_judged(usual.gate, plan, step.number)]
    return GateForesight(
        gate=usual.gate,
        edge_ms=usual.edge_ms,
        bad_ratio=usual.bad_ratio,
        dispersion_factor=usual.dispersion_factor,
        proof_seconds=proof_seconds,
        steps={
            step.number: prospects.in_step(
                usual,
                share=step.weight_percent / 100,
                lasts_seconds=math.inf if step.dwell_seconds is None else step.dwell_seconds,
            )
            for step in judged
        },
    )


def edges_ms(plan: Plan) -> tuple[float, ...]:
    """The bucket edges that a history of the run's service must tell of."""
    found = (_edge_ms(gate) for gate in questions.of_plan(plan))
    return tuple(edge for edge in found if edge is not None)


def _edge_ms(gate: GateQuestion) -> float | None:
    return None if gate.edge_ms is None else query.edge_below(gate.edge_ms)


def _usual(
    gate: GateQuestion, history: History, silent: dict[str, str], rps: float
) -> Usual | None:
    """A gate with what is usual for it; None, and the reason, where nothing can be foretold."""
    edge = _edge_ms(gate)
    if gate.kind is GateKind.ERRORS:
        bad_ratio, factor = history.bad_ratio, history.dispersion_factor
        lack = "it is not known how many requests usually fail"
    elif edge is not None:
        bad_ratio = history.slow_ratios.get(edge)
        factor = history.slow_dispersion_factors.get(edge, history.dispersion_factor)
        lack = f"it is not known how many requests are usually slower than {edge:g} ms"
    else:
        bad_ratio, factor = None, 1.0
        what = "connections" if gate.kind is GateKind.TCP else "queries of your own"
        lack = f"past hours are not asked about {what}"
    if bad_ratio is None:
        silent[gate.name] = lack
        return None
    return Usual(
        gate=gate,
        edge_ms=edge,
        bad_ratio=min(1.0, bad_ratio),
        dispersion_factor=factor,
        requests_per_second=rps,
    )


def _is_judged(gate: GateQuestion, plan: Plan, number: int) -> bool:
    """Whether the gate is judged in a step beside a stable revision that has traffic."""
    is_shared = 0 < plans.weight_at(plan, number) < plans.FULL_PERCENT
    return is_shared and any(one.name == gate.name for one in plans.judged(plan, number))


def _proves(plan: Plan, number: int) -> bool:
    return plans.proves(plan, number) and plans.weight_at(plan, number) > 0


def _held_seconds(plan: Plan, number: int, *, rps: float) -> float | None:
    """The hold, or until both revisions have the requests that gates want; None: a pause."""
    step, weight = plan.strategy.steps[number - 1], plans.weight_at(plan, number)
    if step.pause is not None:
        return None if step.pause.for_ is None else parse_duration(step.pause.for_)
    text = step.hold or (step.check and step.check.for_)
    held = parse_duration(text) if text else 0.0
    if not weight or not plans.asked(plan, number):
        return held
    scarce = weight if weight >= plans.FULL_PERCENT else min(weight, plans.FULL_PERCENT - weight)
    return max(held, plan.judge.min_requests / (rps * scarce / 100), SCRAPE_SECONDS)


def _proof_seconds(
    usual: Usual, plan: Plan, held: Mapping[int, float | None], *, step: int
) -> float | None:
    """How long the proof of a gate takes in the step that waits for it; None: it need not pass."""
    if not step or not _is_judged(usual.gate, plan, step):
        return None
    check = plan.strategy.steps[step - 1].check
    if check is not None and usual.gate.name not in check.gates:
        return None
    before = [
        (plans.weight_at(plan, number) / 100, seconds)
        for number, seconds in held.items()
        if number < step and seconds and _is_judged(usual.gate, plan, number)
    ]
    return prospects.proof_seconds(usual, share=plans.weight_at(plan, step) / 100, before=before)
