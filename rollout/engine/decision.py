"""What the engine wants: the next status, the desired weights, one sentence, one time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from rollout.api.action import ActionOutcome
from rollout.api.rollout import Traffic
from rollout.api.status import MESSAGE_LENGTH_MAX, RolloutStatus
from rollout.api.traffic import ManagedRoutes
from rollout.api.webhook import Webhook


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The desired share of the canary in all owned routes.

    Attributes:
        host: the host as the plan spells it.
        traffic: which objects route it.
        stable: subset that gets the rest.
        canary: subset that gets ``percent``.
        percent: 0 to 100.
        managed: what routes of our own do in front of the owned ones; they stand beside the
            weights, and change in the same write.
    """

    host: str
    traffic: Traffic
    stable: str
    canary: str
    percent: float
    managed: ManagedRoutes


Policies = Mapping[str, Mapping[str, Any] | None]
"""Field of a traffic policy to what it is to say; None: it is to be absent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarding:
    """What is to stand in the traffic policy of the canary's subset.

    Attributes:
        host: the host as the plan spells it.
        traffic: which objects route it, and define its subsets.
        subset: the canary's.
        policies: the fields that are the run's own.
    """

    host: str
    traffic: Traffic
    subset: str
    policies: Policies

    @property
    def is_on(self) -> bool:
        """Whether anything is to stand."""
        return any(policy is not None for policy in self.policies.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command is told."""

    action: str
    outcome: ActionOutcome
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something worth an Event."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HookCall:
    """A webhook to ask; the same again is the same question.

    Attributes:
        run: the run's id.
        step: the step before which it is asked; after the run, the last one.
        round: how many times it is asked anew since its no does not end the run, from 1.
        webhook: the webhook.
    """

    run: str
    step: int
    round: int
    webhook: Webhook


def cut(text: str) -> str:
    """A text that fits into a status, an answer or an Event."""
    return text if len(text) <= MESSAGE_LENGTH_MAX else text[: MESSAGE_LENGTH_MAX - 1] + "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the world should be.

    Attributes:
        status: the next status, written last.
        weights: the desired weights; None means that no route may be touched.
        guard: the desired guard, written before weights and taken off after them; None means that
            no DestinationRule may be touched.
        finalizer: whether our finalizer should be on the Rollout; put on before traffic moves,
            taken off after everything else is written.
        answers: what commands are told.
        happenings: what Events say.
        because: why, in a sentence; the same everywhere.
        look_again_at: when to decide again although nothing happened; None: not.
        hooks: webhooks whose answer is wanted.
    """

    status: RolloutStatus
    weights: Weights | None
    guard: Guarding | None = None
    finalizer: bool
    answers: tuple[Answer, ...] = ()
    happenings: tuple[Happening, ...] = ()
    because: str
    look_again_at: datetime | None
    hooks: tuple[HookCall, ...] = ()
