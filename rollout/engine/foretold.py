"""What is foretold of a run: its steps, what its gates find in them, what regressions cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rollout.analysis.history import History
from rollout.analysis.verdict import GateQuestion
from rollout.api.rollout import Plan
from rollout.api.step import Step
from rollout.base.quantity import parse_duration


class Size(StrEnum):
    """Regressions whose cost is told."""

    OUTAGE = "outage"
    TENFOLD = "tenfold"
    DOUBLE = "double"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a regression costs in a step.

    Attributes:
        failures_count: failed requests until it is taken back, or until the step is over.
        is_found: the step lasts long enough to find it, on average.
    """

    failures_count: float
    is_found: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GateStep:
    """What a gate does in a step.

    Attributes:
        found_ratio: the smallest regression found in nine of ten runs; None: not even an outage.
        costs: by size, without those beyond an outage.
        proof_seconds: how long the proof takes at the step's full share, after all that came
            before; infinite: it never comes. None: the step does not wait for it.
    """

    found_ratio: float | None
    costs: Mapping[Size, Cost]
    proof_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateForesight:
    """What is foretold of a gate.

    Attributes:
        gate: what it asks.
        edge_ms: of latency the bucket edge that is looked at.
        bad_ratio: what is usual.
        dispersion_factor: φ.
        steps: by number, where it is judged and the canary has a share.
    """

    gate: GateQuestion
    edge_ms: float | None
    bad_ratio: float
    dispersion_factor: float
    steps: Mapping[int, GateStep]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepForesight:
    """What is foretold of a step.

    Attributes:
        number: counted from 1.
        step: as it is written.
        weight_percent: the canary's, at the step's end.
        dwell_seconds: how long it lasts; infinite: its proof never comes. None: until somebody
            ends it.
        grows_seconds: how much of that a ramp takes to its maximum; infinite: for ever.
        proves: whether it waits for the proof.
    """

    number: int
    step: Step
    weight_percent: float
    dwell_seconds: float | None
    grows_seconds: float
    proves: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """What is foretold of a run.

    Attributes:
        plan: the run's.
        history: what all this is told from.
        requests_per_second: of the whole service.
        steps: all of them.
        gates: those that can be foretold.
        silent: names of gates that cannot, with the reason.
        total_seconds: to 100 percent, pauses without end not counted; infinite: it never comes.
    """

    plan: Plan
    history: History
    requests_per_second: float
    steps: Sequence[StepForesight]
    gates: Sequence[GateForesight]
    silent: Mapping[str, str]
    total_seconds: float

    @property
    def deadline_seconds(self) -> float:
        """How long the run may take to 100 percent."""
        return parse_duration(self.plan.strategy.max_duration)
