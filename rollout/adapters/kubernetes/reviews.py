"""How RBAC is asked who may do what: a review is created, and its answer comes back in it."""

from __future__ import annotations

from collections.abc import Sequence

from rollout.api.meta import ROLLOUT, Key, Manifest
from rollout.base import errors


def question(*, user: str, groups: Sequence[str], verb: str, key: Key) -> Manifest:
    """A LocalSubjectAccessReview, which takes a right in the Rollout's namespace alone."""
    attributes = {
        "group": ROLLOUT.group,
        "resource": ROLLOUT.plural,
        "verb": verb,
        "namespace": key.namespace,
        "name": key.name,
    }
    return {
        "metadata": {"namespace": key.namespace},
        "spec": {"user": user, "groups": [*groups], "resourceAttributes": attributes},
    }


def is_yes(answer: Manifest, *, server: str) -> bool:
    """What the review says.

    Raises:
        BrokenAnswer: nothing.
    """
    status = answer.get("status")
    allowed = status.get("allowed") if isinstance(status, dict) else None
    if not isinstance(allowed, bool):
        raise errors.BrokenAnswer(server, why="a review without an answer")
    return allowed
