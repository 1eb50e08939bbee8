"""How a Rollout stands to the others that want to run, by what its manifest says."""

from __future__ import annotations

from collections.abc import Iterator

from rollout.api.meta import Manifest

RUNNING, IN_LINE = "running", "in line"


def standing(rollout: Manifest) -> Iterator[str]:
    """Whether it has a run in progress, or stands in the line for one; neither: nothing."""
    status = rollout.get("status")
    if not isinstance(status, dict):
        return
    run, waiting = status.get("run"), status.get("waiting")
    if isinstance(run, dict) and "endedAt" not in run:
        yield RUNNING
    elif (
        isinstance(waiting, dict)
        and waiting.get("inLineSince")
        and "deletionTimestamp" not in rollout["metadata"]
    ):
        yield IN_LINE


def place(rollout: Manifest) -> tuple[str, str, str]:
    """What the line is ordered by: who has waited longest comes first, of equals by name.

    Times are compared as text: all of them are written in the same form.
    """
    waiting, metadata = rollout["status"]["waiting"], rollout["metadata"]
    return str(waiting.get("since", "")), metadata.get("namespace", ""), metadata["name"]


def policy_named(rollout: Manifest) -> Iterator[str]:
    """The policy that it names, as ``kind namespace/name``."""
    spec = rollout.get("spec")
    ref = spec.get("policyRef") if isinstance(spec, dict) else None
    if isinstance(ref, dict):
        near = (
            rollout["metadata"].get("namespace", "") if ref.get("kind") == "RolloutPolicy" else ""
        )
        yield policy_called(ref.get("kind"), near, ref.get("name"))


def policy_called(kind: object, namespace: str, name: object) -> str:
    """A policy's name in an index."""
    return f"{kind} {namespace}/{name}"


def acts_on_all(policy: Manifest) -> bool:
    """Whether a policy says anything to those that do not name it."""
    spec = policy.get("spec")
    if not isinstance(spec, dict):
        return False
    return spec.get("appliesTo") == "All" or any(spec.get(f) for f in ("windows", "stop", "limits"))
