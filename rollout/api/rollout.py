"""The Rollout: what a team declares."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rollout.api.gate import GATES_MAX, NAME_PATTERN, ErrorRate, Gate, Judge, Name
from rollout.api.guard import Guard
from rollout.api.meta import Model
from rollout.api.notify import Notify
from rollout.api.step import Strategy
from rollout.api.webhook import WEBHOOKS_MAX, Webhook
from rollout.api.window import Windows

ObjectName = Annotated[str, Field(min_length=1, max_length=253)]
Subset = Annotated[str, Field(min_length=1, max_length=63, pattern=NAME_PATTERN)]

HOST_PATTERN = r"^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$"
"""A host name without a wildcard: a Rollout is for one service."""

Host = Annotated[str, Field(min_length=1, max_length=253, pattern=HOST_PATTERN)]

LABEL_PATTERN = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
"""A label name of Prometheus' data model."""


class VirtualServiceRef(Model):
    """A VirtualService whose routes this Rollout may shift."""

    name: ObjectName
    """The VirtualService's name."""
    namespace: ObjectName | None = None
    """Its namespace. Absent: the Rollout's own."""
    routes: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=253)], ...], Field(max_length=64)
    ] = ()
    """Names of http, tcp or tls routes. Absent: every route that has a destination for the stable
    and one for the canary subset of the host."""


class DestinationRuleRef(Model):
    """The DestinationRule that defines the subsets."""

    name: ObjectName
    """The DestinationRule's name."""
    namespace: ObjectName | None = None
    """Its namespace. Absent: the Rollout's own."""


class Traffic(Model):
    """Which Istio objects route the host's traffic; discovered when absent and unambiguous."""

    virtual_services: Annotated[tuple[VirtualServiceRef, ...], Field(max_length=16)] = ()
    """The VirtualServices to shift. Absent: the one of the namespace that routes the host."""
    destination_rule: DestinationRuleRef | None = None
    """The DestinationRule with the subsets. Absent: the one for the host in its namespace."""


class ArmLabels(Model):
    """How a Prometheus series is told to belong to the stable or the canary revision."""

    label: Annotated[str, Field(pattern=LABEL_PATTERN, max_length=128)]
    """The label to look at, such as ``destination_workload``."""
    stable: Annotated[str, Field(min_length=1, max_length=253)]
    """The label's value for the stable revision."""
    canary: Annotated[str, Field(min_length=1, max_length=253)]
    """The label's value for the canary revision."""


class Metrics(Model):
    """Where the numbers come from, when the defaults do not fit."""

    arm: ArmLabels | None = None
    """How series are told apart. Absent: ``destination_workload`` when the revisions' pods have
    different owners, else ``destination_canonical_revision``."""


class PolicyRef(Model):
    """A policy that says what a Rollout leaves open, and what it may not change."""

    kind: Literal["RolloutPolicy", "ClusterRolloutPolicy"]
    """``RolloutPolicy``: one of the Rollout's own namespace. ``ClusterRolloutPolicy``: one for the
    whole cluster."""
    name: ObjectName
    """The policy's name."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class RolloutSpec(Model):
    """What a team wants: which revision of a host is live, and how carefully to get there."""

    host: Host
    """The service in the mesh. A short name is a service of the Rollout's own namespace."""
    revision: Subset
    """The DestinationRule subset that should be live. Changing it starts a run."""
    traffic: Traffic = Traffic()
    """Which Istio objects route the host's traffic. Absent: discovered."""
    metrics: Metrics = Metrics()
    """Where the numbers come from. Absent: Istio's standard metrics."""
    policy_ref: PolicyRef | None = None
    """A policy: what this Rollout says wins over its ``defaults``, nothing over its ``enforce``.
    What follows here may come from it."""
    strategy: Strategy = Strategy()
    """The ladder of steps."""
    gates: Annotated[tuple[Gate, ...], Field(max_length=GATES_MAX)] = (
        Gate(name="errors", error_rate=ErrorRate(max_ratio=1.2)),
    )
    """What the canary is judged by. Absent: it may fail at most 1.2 times as often as stable. An
    empty list judges nothing: then time alone decides."""
    judge: Judge = Judge()
    """How much evidence a verdict needs."""
    guard: Guard = Guard()
    """What protects users during a run. Absent: nothing but what is there already."""
    windows: Windows = Windows()
    """When a run may start, and the canary get more. Absent: at any time."""
    on_failure: Literal["Rollback", "Hold"] = "Rollback"
    """What to do when a gate fails."""
    webhooks: Annotated[tuple[Webhook, ...], Field(max_length=WEBHOOKS_MAX)] = ()
    """Addresses that are asked before the run goes on."""
    notify: Notify = Notify()
    """Whom to tell what happens."""
    suspend: bool = False
    """True stops starts and increases; judging, abort and rollback go on."""


class Plan(Model):
    """What a run obeys: the spec as it was when the run started."""

    host: Host
    """The service in the mesh."""
    traffic: Traffic = Traffic()
    """Which Istio objects route the host's traffic."""
    metrics: Metrics = Metrics()
    """Where the numbers come from."""
    strategy: Strategy
    """The ladder of steps; it ends with 100 percent."""
    gates: Annotated[tuple[Gate, ...], Field(max_length=GATES_MAX)]
    """What the canary is judged by."""
    judge: Judge
    """How much evidence a verdict needs."""
    guard: Guard = Guard()
    """What protects users during the run."""
    windows: Windows = Windows()
    """When the canary may get more."""
    on_failure: Literal["Rollback", "Hold"] = "Rollback"
    """What to do when a gate fails."""
    webhooks: Annotated[tuple[Webhook, ...], Field(max_length=WEBHOOKS_MAX)] = ()
    """Addresses that are asked before the run goes on."""


__all__ = [
    "ArmLabels",
    "DestinationRuleRef",
    "Metrics",
    "Name",
    "Plan",
    "PolicyRef",
    "RolloutSpec",
    "Traffic",
    "VirtualServiceRef",
]
