"""Policies: what many Rollouts share, and what none of them may change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from rollout.api.meta import Model
from rollout.api.rollout import RolloutSpec
from rollout.api.window import Reason, Windows

OWN_FIELDS = frozenset(
    {"host", "revision", "traffic", "metrics", "notify", "policy_ref", "suspend"}
)
"""Fields of a Rollout that no policy can say: they are about one service."""


def _optional(field: FieldInfo, name: str) -> tuple[Any, Any]:
    described = f"As ``spec.{field.alias or name}`` of a Rollout. Absent: nothing is said of it."
    kept = Field(default=None, description=described, alias=field.alias)
    bounds = tuple(field.metadata)
    annotation: Any = Annotated[(field.annotation, *bounds)] if bounds else field.annotation
    return annotation | None, kept


if TYPE_CHECKING:

    class Part(Model):
        """A part of a Rollout's spec; its fields are made below."""

else:
    Part = create_model(
        "Part",
        __base__=Model,
        __doc__="A part of a Rollout's spec; whatever is absent is left to others.",
        __module__=__name__,
        **{
            name: _optional(field, name)
            for name, field in RolloutSpec.model_fields.items()
            if name not in OWN_FIELDS
        },
    )


class Stop(Model):
    """Nothing starts and nothing increases until this is taken away."""

    reason: Reason
    """Why, for those who wait."""


class Limits(Model):
    """How much may happen at one time."""

    runs_at_once: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Runs in progress at one time. Others wait; who has waited longest starts first. Absent: any
    number."""


class PolicySpec(Model):
    """What a policy says.

    ``windows``, ``stop`` and ``limits`` act at once, and on every Rollout of the namespace or, in a
    ClusterRolloutPolicy, of the cluster. ``defaults`` and ``enforce`` become part of the plan of
    runs that start later.
    """

    description: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """What it is for, in a sentence."""
    applies_to: Literal["Named", "All"] = "Named"
    """Whom ``defaults`` and ``enforce`` are for. ``Named``: Rollouts whose ``policyRef`` names this
    policy. ``All``: every one of the namespace or cluster, whatever it names."""
    defaults: Part = Part()
    """What holds where the Rollout says nothing. Maps are merged field by field, ``gates`` by name;
    ``steps`` and ``windows`` are taken whole."""
    enforce: Part = Part()
    """What holds whatever the Rollout says; merged likewise."""
    windows: Windows = Windows()
    """When any of the Rollouts may start a run or increase. Absent: at any time."""
    stop: Stop | None = None
    """Keeps all of them from starting and increasing. Judging, abort and rollback go on."""
    limits: Limits = Limits()
    """How many of them may have a run at one time."""
