"""What a run will take and find, foretold from what its service usually does; no run is needed.

A step is taken to last its hold, or until its gates have seen enough requests, whichever is longer;
the one that proves also until the proof stands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from rollout.analysis import query
from rollout.analysis.history import History
from rollout.analysis.verdict import GateKind, GateQuestion
from rollout.api.rollout import Plan
from rollout.base.quantity import parse_duration
from rollout.engine import growth, prospects, questions
from rollout.engine import plan as plans
from rollout.engine.foretold import Foresight, GateForesight, GateStep, StepForesight
from rollout.engine.prospects import SCRAPE_SECONDS, Course, Piece, Usual


def foresee(plan: Plan, history: History, *, requests_per_second: float) -> Foresight:
    """What a run will take and find.

    Args:
        plan: the run's.
        history: what is usual.
        requests_per_second: of the service, above 0.
    """
    silent: dict[str, str] = {}
    usuals = [
        usual
        for gate in questions.of_plan(plan)
        if not gate.beside
        if (usual := _usual(gate, history, silent, requests_per_second)) is not None
    ]
    ahead = _Ahead(plan, history, usuals, rps=requests_per_second)
    steps = [ahead.step(number) for number in range(1, len(plan.strategy.steps) + 1)]
    return Foresight(
        plan=plan,
        history=history,
        requests_per_second=requests_per_second,
        steps=steps,
        gates=[
            GateForesight(
                gate=one.gate,
                edge_ms=one.edge_ms,
                bad_ratio=one.bad_ratio,
                dispersion_factor=one.dispersion_factor,
                steps=ahead.gates[one.gate.name],
            )
            for one in usuals
        ],
        silent=silent,
        total_seconds=sum(
            one.dwell_seconds or 0.0 for one in steps if one.number < plans.full_step(plan)
        ),
    )


class _Ahead:
    """Walks through the steps of a run, one after the other.

    Attributes:
        gates: by name, what each gate does in the steps so far.
    """

    def __init__(
        self, plan: Plan, history: History, usuals: Sequence[Usual], *, rps: float
    ) -> None:
        self._plan = plan
        self._history = history
        self._usuals = usuals
        self._rps = rps
        self._before: list[tuple[int, Piece]] = []
        self.gates: dict[str, dict[int, GateStep]] = {one.gate.name: {} for one in usuals}

    def step(self, number: int) -> StepForesight:
        """The next step."""
        share = plans.weight_at(self._plan, number) / 100
        growing = self._growing(number, self._usual_ratio)
        proofs = self._proofs(number, share, growing)
        held = _held_seconds(self._plan, number, rps=self._rps)
        known = [one for one in proofs.values() if one is not None]
        lasts = None if held is None else max([held, *known])
        for usual in self._usuals:
            if _is_judged(usual.gate, self._plan, number):
                course = self._course(number, share, math.inf if lasts is None else lasts)
                self.gates[usual.gate.name][number] = replace(
                    prospects.in_step(usual, course), proof_seconds=proofs.get(usual.gate.name)
                )
        stays = [Piece(share=share, seconds=lasts)] if 0 < share < 1 and lasts else []
        self._before += [(number, piece) for piece in (*growing, *stays)]
        return StepForesight(
            number=number,
            step=self._plan.strategy.steps[number - 1],
            weight_percent=100 * share,
            dwell_seconds=None if lasts is None else lasts + growth.seconds(growing),
            grows_seconds=growth.seconds(growing),
            proves=bool(known),
        )

    @property
    def _usual_ratio(self) -> float:
        """Failed requests: a ramp grows by those, whatever its gates look at."""
        return self._history.bad_ratio or 0.0

    def _course(self, number: int, share: float, seconds: float) -> Course:
        """The shares of a step: what a ramp grows through, then the step's own."""
        return lambda bad_ratio: (
            *self._growing(number, bad_ratio),
            Piece(share=share, seconds=seconds),
        )

    def _growing(self, number: int, bad_ratio: float) -> tuple[Piece, ...]:
        ramp = plans.ramp_at(self._plan, number)
        if ramp is None:
            return ()
        return growth.pieces(
            ramp,
            requests_per_second=self._rps,
            bad_ratio=bad_ratio,
            usual_ratio=self._usual_ratio,
            miss_ratio=self._plan.judge.false_rollback_percent / 100,
            dispersion_factor=self._history.dispersion_factor,
        )

    def _proofs(
        self, number: int, share: float, growing: Sequence[Piece]
    ) -> dict[str, float | None]:
        """How long the proofs take that a step waits for, at its own share."""
        if not share or not plans.proves(self._plan, number):
            return {}
        check = self._plan.strategy.steps[number - 1].check
        return {
            usual.gate.name: prospects.proof_seconds(
                usual,
                share=share,
                before=[
                    *(p for n, p in self._before if _is_judged(usual.gate, self._plan, n)),
                    *growing,
                ],
            )
            for usual in self._usuals
            if _is_judged(usual.gate, self._plan, number)
            and (check is None or usual.gate.name in check.gates)
        }


def edges_ms(plan: Plan) -> tuple[float, ...]:
    """The bucket edges that a history of the run's service must tell of."""
    found = (_edge_ms(gate) for gate in questions.of_plan(plan) if not gate.beside)
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
        is_spotless = history.is_spotless
        lack = "it is not known how many requests usually fail"
    elif edge is not None:
        bad_ratio = history.slow_ratios.get(edge)
        factor = history.slow_dispersion_factors.get(edge, history.dispersion_factor)
        is_spotless = edge in history.spotless_edges_ms
        lack = f"it is not known how many requests are usually slower than {edge:g} ms"
    else:
        bad_ratio, factor, is_spotless = None, 1.0, False
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
        is_spotless=is_spotless,
    )


def _is_judged(gate: GateQuestion, plan: Plan, number: int) -> bool:
    """Whether the gate is judged in a step beside a stable revision that has traffic."""
    is_shared = 0 < plans.weight_at(plan, number) < plans.FULL_PERCENT
    return is_shared and any(one.name == gate.name for one in plans.judged(plan, number))


def _held_seconds(plan: Plan, number: int, *, rps: float) -> float | None:
    """The hold, or until both revisions have the requests that gates want; None: a pause.

    A query that evidence decides waits for its first block.
    """
    step, weight = plan.strategy.steps[number - 1], plans.weight_at(plan, number)
    if step.pause is not None:
        return None if step.pause.for_ is None else parse_duration(step.pause.for_)
    text = step.hold or (step.check and step.check.for_) or (step.ramp and step.ramp.min_hold)
    held = parse_duration(text) if text else 0.0
    asked = {gate.name for gate in plans.asked(plan, number)}
    blocks = [q.block_ms for q in questions.of_plan(plan) if q.name in asked and q.block_ms]
    if blocks:
        held = max(held, max(blocks) / 1000 + 2 * SCRAPE_SECONDS)
    if not weight or not asked:
        return held
    scarce = weight if weight >= plans.FULL_PERCENT else min(weight, plans.FULL_PERCENT - weight)
    return max(held, plan.judge.min_requests / (rps * scarce / 100), SCRAPE_SECONDS)
