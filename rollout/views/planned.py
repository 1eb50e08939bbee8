"""What is foretold of a run: for people, and for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from rollout.analysis.verdict import GateKind
from rollout.base.quantity import print_duration, print_percent
from rollout.engine.foretold import Cost, Foresight, GateForesight, Size, StepForesight
from rollout.views import sentences, tables

WHOLE_RATIO_MIN = 9.95
"""From here on ratios are shown as whole numbers."""

COLUMNS = {Size.OUTAGE: ">OUTAGE", Size.TENFOLD: ">10×", Size.DOUBLE: ">2×"}

LEGEND = (
    "FINDS is the smallest regression that nine of ten releases are taken back for while the step"
    " lasts. OUTAGE, 10× and 2× are failed requests of the canary until it is taken back; > means"
    " that the step is over before. Prometheus is taken to scrape every 15 s."
)


def document(found: Foresight) -> dict[str, Any]:
    """For programs; null where a number is infinite or not there."""
    history = found.history
    return {
        "host": found.plan.host,
        "requestsPerSecond": found.requests_per_second,
        "dispersionFactor": history.dispersion_factor,
        "why": history.why,
        "podsCount": history.pods_count,
        "spanSeconds": history.span_seconds,
        "steps": [
            {
                "number": one.number,
                "step": sentences.rung_text(one.step),
                "weightPercent": one.weight_percent,
                "lastsSeconds": _finite(one.dwell_seconds),
                "proves": one.proves,
            }
            for one in found.steps
        ],
        "gates": [_gate_document(gate) for gate in found.gates],
        "notForetold": dict(found.silent),
        "totalSeconds": _finite(found.total_seconds),
    }


def _gate_document(one: GateForesight) -> dict[str, Any]:
    return {
        "name": one.gate.name,
        "kind": str(one.gate.kind),
        "edgeMs": one.edge_ms,
        "badRatio": one.bad_ratio,
        "dispersionFactor": one.dispersion_factor,
        "steps": [
            {
                "number": number,
                "foundRatio": step.found_ratio,
                "proofSeconds": _finite(step.proof_seconds),
                "failures": {
                    str(size): {"count": _finite(cost.failures_count), "found": cost.is_found}
                    for size, cost in step.costs.items()
                },
            }
            for number, step in one.steps.items()
        ],
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else round(value, 3)


def view(found: Foresight) -> RenderableType:
    """For people: what is usual, a table for each gate, and how long it all takes."""
    parts: list[RenderableType] = [Text(_usual(found)), Text(_told(found.history.why))]
    for gate in found.gates:
        parts += [Text(), Text(_title(gate, found), style="bold"), *_table(gate, found)]
    parts += [Text(), Text(LEGEND)] if found.gates else []
    parts += [Text(), *(Text(line) for line in _outlook(found))]
    return Group(*parts)


def _usual(found: Foresight) -> str:
    told = f"{found.plan.host}: {_number(found.requests_per_second)} requests/s"
    if found.history.earlier_requests_per_second:
        told += " in the coming hour, as on earlier days"
    if found.history.bad_ratio is not None:
        told += f", {_percent(100 * found.history.bad_ratio)} % of which fail"
    if found.history.span_seconds:
        pods = sentences.plural(found.history.pods_count, "pod")
        told += f" by the last {print_duration(found.history.span_seconds)} of {pods}"
    return f"{told}."


def _told(why: str) -> str:
    """A reason as a sentence of its own."""
    return sentences.sentence(f"{why[:1].upper()}{why[1:]}")


def _title(one: GateForesight, found: Foresight) -> str:
    gate, bounds = one.gate, []
    if gate.max_ratio is not None:
        bounds.append(f"at most {gate.max_ratio:g} times stable's")
    if gate.max_percent is not None:
        bounds.append(f"at most {print_percent(gate.max_percent)} %")
    if gate.kind is GateKind.ERRORS:
        told = f"{gate.name}: failed requests, {' and '.join(bounds)}"
    else:
        usual = f"{_percent(100 * one.bad_ratio)} % are usual"
        slow = f"requests slower than {one.edge_ms:g} ms"
        told = f"{gate.name}: {slow}, {' and '.join(bounds)}; {usual}"
    if one.dispersion_factor != found.history.dispersion_factor:
        told += f", bursty by {one.dispersion_factor:.3g}"
    return f"{told}; only observes" if gate.advisory else told


def _table(one: GateForesight, found: Foresight) -> list[Text]:
    titles = [">STEP", "DOES", ">LASTS", ">FINDS", *COLUMNS.values()]
    return tables.aligned(titles, [_row(one, step) for step in found.steps])


def _row(one: GateForesight, step: StepForesight) -> list[Text]:
    known = one.steps.get(step.number)
    cells = ["-"] * (1 + len(COLUMNS))
    if known is not None:
        found = "nothing" if known.found_ratio is None else f"{_ratio(known.found_ratio)}×"
        cells = [found, *(_cost(known.costs.get(size)) for size in COLUMNS)]
    does = sentences.rung_text(step.step)
    return [Text(cell) for cell in (str(step.number), does, _lasts(step), *cells)]


def _lasts(step: StepForesight) -> str:
    if step.dwell_seconds is None:
        return "until promoted"
    if math.isinf(step.dwell_seconds):
        return "for ever"
    return print_duration(math.ceil(step.dwell_seconds))


def _cost(cost: Cost | None) -> str:
    if cost is None:
        return "-"
    if math.isinf(cost.failures_count):
        return "no end"
    count = math.ceil(cost.failures_count) if cost.is_found else math.floor(cost.failures_count)
    return f"{'' if cost.is_found else '>'}{count:,}"


def _outlook(found: Foresight) -> Iterator[str]:
    """How long it takes, what the proof needs, and what to do if that is too long."""
    for step in found.steps:
        yield from _growth(step)
        waiting = [gate for gate in found.gates if _proof_of(gate, step) is not None]
        if waiting:
            yield from _proof(step, max(waiting, key=lambda gate: _proof_of(gate, step) or 0.0))
    yield from _length(found)
    for name, lack in found.silent.items():
        yield f"{name} is not foretold: {lack}."


def _length(found: Foresight) -> Iterator[str]:
    if math.isinf(found.total_seconds):
        return
    total = print_duration(math.ceil(found.total_seconds))
    bake = found.plan.strategy.bake
    yield f"100 % comes after about {total} if all is well, and is watched for {bake}."
    if any(one.dwell_seconds is None for one in found.steps):
        yield "The time until somebody promotes a pause is not counted."
    if found.total_seconds > found.deadline_seconds:
        limit, ending = found.plan.strategy.max_duration, found.plan.strategy.on_deadline
        yield (
            f"That is more than strategy.maxDuration allows ({limit}, then {ending}): raise it, or"
            f" need less: a proof {_sooner().removeprefix('it ')}."
        )


def _growth(step: StepForesight) -> Iterator[str]:
    if step.step.ramp is None:
        return
    top = sentences.percent(step.weight_percent)
    if math.isinf(step.grows_seconds):
        budget = step.step.ramp.risk_budget_requests
        yield f"Step {step.number} never comes to {top} with a budget of {budget:g} requests."
    else:
        takes = print_duration(math.ceil(step.grows_seconds))
        yield f"Step {step.number} grows to {top} in about {takes}."


def _proof_of(gate: GateForesight, step: StepForesight) -> float | None:
    known = gate.steps.get(step.number)
    return None if known is None else known.proof_seconds


def _proof(step: StepForesight, slowest: GateForesight) -> Iterator[str]:
    seconds = _proof_of(slowest, step)
    if seconds is None or step.dwell_seconds is None:
        return
    gate = slowest.gate
    sure = print_percent(100 * (1 - gate.false_promote_ratio))
    wanted = (
        f"Step {step.number} also waits for the proof that {gate.name} are less than"
        f" {gate.proven_ratio:g} times stable's ({sure} % confidence)"
    )
    if math.isinf(seconds):
        yield f"{wanted}, which never comes; {_sooner()}."
    elif seconds < step.dwell_seconds - step.grows_seconds:
        yield f"{wanted}, which stands before the hold is over."
    else:
        needs = print_duration(math.ceil(seconds))
        yield f"{wanted}: about {needs} in that step, in half of all runs less."


def _sooner() -> str:
    return (
        "it comes sooner with a larger weight before 100 % or a larger judge.provenRatio, and is"
        " not waited for with judge.provenRatio: Off"
    )


def _ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= WHOLE_RATIO_MIN else f"{value:.2g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= WHOLE_RATIO_MIN else f"{value:.2g}"


def _percent(value: float) -> str:
    """Two digits that count, whatever the size."""
    return f"{float(f'{value:.2g}'):.10f}".rstrip("0").rstrip(".")
