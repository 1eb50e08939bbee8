"""The verbs of those who govern: policies, freeze, thaw; with their help."""

from __future__ import annotations

import typer

from rollout.cli import options
from rollout.cli.place import Place
from rollout.cli.registering import registering

# As in `rollout.cli.main`, imports inside of the verbs are on purpose.
# ruff: noqa: PLC0415

app = typer.Typer()

_verb = registering(app)


@_verb(
    "policies",
    "rollout policies",
    "rollout policies -A",
    "rollout policies careful",
    "rollout policies -o json",
    short="Show policies: what each is for, and who uses it.",
)
def _policies(
    place: Place, *, name: options.PolicyName = "", everywhere: options.Everywhere = False
) -> None:
    """Show policies: what each is for, who uses it, and what it keeps from moving now.

    Those of the namespace and those of the cluster; with NAME all that one of them says.
    """
    from rollout.cli import policies

    policies.show(place, name, everywhere=everywhere)


@_verb(
    "freeze",
    'rollout freeze --until 2027-01-02T00:00:00Z --reason "year end"',
    'rollout freeze -n shop --until 8h --reason "audit" --dry-run',
    'rollout freeze --cluster --reason "incident 4711"',
    short="Keep runs from starting and increasing.",
)
def _freeze(
    place: Place,
    *,
    reason: options.FreezeReason,
    until: options.Until = "",
    cluster: options.ClusterWide = False,
    dry_run: options.DryRun = False,
) -> None:
    """Keep every run of the namespace, or of the cluster, from starting and increasing.

    Gates go on judging, and abort and rollback are never kept from anybody. Without --until it
    lasts until somebody says thaw. Writes the RolloutPolicy, or ClusterRolloutPolicy, freeze; the
    ClusterRole rollout-policy-editor allows that.
    """
    from rollout.cli import freezing

    asked = freezing.Asked(cluster=cluster, dry_run=dry_run)
    freezing.freeze(place, asked, reason=reason, until=until)


@_verb(
    "thaw",
    "rollout thaw",
    "rollout thaw --cluster --dry-run",
    short="End what freeze began.",
)
def _thaw(
    place: Place, *, cluster: options.ClusterWide = False, dry_run: options.DryRun = False
) -> None:
    """End what `rollout freeze` began: runs go on where they stopped. Freezes to come stay."""
    from rollout.cli import freezing

    freezing.thaw(place, freezing.Asked(cluster=cluster, dry_run=dry_run))
