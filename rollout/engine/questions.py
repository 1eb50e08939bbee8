"""What a run asks of its gates: every default filled in, and each gate's part of the risk."""

from __future__ import annotations

from dataclasses import replace

from rollout.analysis.judge import edges
from rollout.analysis.query import lookback_seconds
from rollout.analysis.verdict import GateKind, GateQuestion, beside
from rollout.api.gate import OFF, Gate, Query
from rollout.api.rollout import Plan
from rollout.base.quantity import parse_duration

LATENCY_DEFAULT = "500ms"
"""The edge of a latency gate that only compares."""


SHOWN_COUNT_MAX = 2
"""Gates that count and show their interval; with more of them latency is judged at one edge."""


def of_plan(plan: Plan) -> tuple[GateQuestion, ...]:
    """The questions of all gates of a run, and those that add to one of them.

    The first latency gate that compares does so at several bucket edges: a body that moves is found
    long before its tail shows it. One only, and beside one other gate, since each edge takes room
    in the status; for the same reason only the first gates show the interval of possible ratios.
    """
    found = [of_gate(gate, plan) for gate in plan.gates]
    counting = [q for q in found if q.kind is not GateKind.QUERY]
    shown = {q.name for q in counting[:SHOWN_COUNT_MAX]}
    found = [replace(q, is_shown=q.name in shown) for q in found]
    first = next((q for q in found if q.edge_ms is not None and q.max_ratio is not None), None)
    if len(counting) > SHOWN_COUNT_MAX:
        return tuple(found)
    if first is not None and first.edge_ms is not None:
        found += [beside(first, edge) for edge in edges.kept(first.edge_ms)[1:]]
    return tuple(found)


def of_gate(gate: Gate, plan: Plan) -> GateQuestion:
    """A gate with every default filled in."""
    if gate.query is not None:
        return GateQuestion(
            name=gate.name,
            kind=GateKind.QUERY,
            promql=gate.query.promql,
            min=gate.query.min,
            max=gate.query.max,
            relative_to_stable=gate.query.relative_to is not None,
            block_ms=_block_ms(gate.query),
            span=gate.query.range,
            advisory=gate.mode == "Observe",
            risk_ratio=_risk_ratio(gate, plan),
            false_rollback_ratio=plan.judge.false_rollback_percent / 100,
            steps_count=len(plan.strategy.steps) + 1,
        )
    kind, max_percent, max_ratio, edge_ms = _bounds(gate)
    judge, proven = plan.judge, plan.judge.proven_ratio
    return GateQuestion(
        name=gate.name,
        kind=kind,
        max_percent=max_percent,
        max_ratio=max_ratio,
        edge_ms=edge_ms,
        min_requests=judge.min_requests,
        advisory=gate.mode == "Observe",
        risk_ratio=_risk_ratio(gate, plan),
        false_rollback_ratio=judge.false_rollback_percent / 100,
        proven_ratio=None if proven == OFF else _provable(float(proven), max_ratio),
        false_promote_ratio=judge.false_promote_percent / 100,
        steps_count=len(plan.strategy.steps) + 1,
    )


PROVABLE_FACTOR = 1.5
"""How much more than its tolerance a gate proves at least: between the two nothing is decided."""


def _provable(proven: float, max_ratio: float | None) -> float:
    """What is ruled out: a canary within the tolerance must have a way to prove it."""
    return max(proven, PROVABLE_FACTOR * (max_ratio or 1.0))


def _bounds(gate: Gate) -> tuple[GateKind, float | None, float | None, float | None]:
    """What is counted; the bounds in percent and as a ratio, and the edge in milliseconds."""
    if gate.error_rate is not None:
        return GateKind.ERRORS, gate.error_rate.max_percent, gate.error_rate.max_ratio, None
    if gate.latency is not None:
        slow = gate.latency
        percent = None if slow.max is None else round(100 - slow.quantile_percent, 9)
        return (
            GateKind.LATENCY,
            percent,
            slow.max_ratio,
            1000 * parse_duration(slow.max or LATENCY_DEFAULT),
        )
    assert gate.tcp_failures is not None, "a gate has exactly one kind: api.rules"
    return GateKind.TCP, gate.tcp_failures.max_percent, None, None


def _risk_ratio(gate: Gate, plan: Plan) -> float:
    """A gate's part of the false-rollback risk, which all that decide by counts share.

    One that only observes is shown as if it were alone.
    """
    if gate.mode == "Observe":
        return 1.0
    sharing = [g.weight for g in plan.gates if g.mode == "Enforce" and _shares(g)]
    return gate.weight / sum(sharing) if _shares(gate) else 1.0


def _shares(gate: Gate) -> bool:
    """Whether a gate may fail by evidence: a query may not whose numbers may be any."""
    return gate.query is None or gate.query.range is not None


BLOCK_SECONDS = 60.0
"""The length of a block where nobody says it, if the query looks back no further."""


def _block_ms(query: Query) -> int | None:
    if query.decide == "Threshold":
        return None
    if query.block is not None:
        return round(1000 * parse_duration(query.block))
    return round(1000 * max(BLOCK_SECONDS, lookback_seconds(query.promql)))
