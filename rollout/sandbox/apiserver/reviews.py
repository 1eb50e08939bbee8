"""Reviews: in the sandbox everybody may do everything, and is called sandbox."""

from __future__ import annotations

from rollout.sandbox.apiserver.discovery import REVIEWS
from rollout.sandbox.apiserver.trees import Json, dig

USER_NAME = "sandbox"
GROUPS = ["system:masters", "system:authenticated"]


def answer(group: str, plural: str, sent: Json) -> Json | None:
    """Return the answer to a review; None when there is no such review.

    Args:
        group: API group.
        plural: such as ``selfsubjectaccessreviews``.
        sent: the body; empty when it came as protobuf, which is not read: the answer is the same.
    """
    kind = dict(REVIEWS.get(group, ())).get(plural)
    if kind is None:
        return None
    return {
        "kind": kind,
        "apiVersion": f"{group}/v1",
        "metadata": {},
        "spec": sent.get("spec") or {},
        "status": _status(kind, sent),
    }


def _status(kind: str, sent: Json) -> Json:
    match kind:
        case "SelfSubjectRulesReview":
            anything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            return {"resourceRules": [anything], "nonResourceRules": [], "incomplete": False}
        case "SelfSubjectReview":
            return {"userInfo": {"username": USER_NAME, "groups": GROUPS}}
        case "TokenReview":
            if not dig(sent, "spec", "token"):
                return {"user": {}, "error": "invalid bearer token"}
            return {"authenticated": True, "user": {"username": USER_NAME, "groups": GROUPS}}
        case _:
            return {"allowed": True, "reason": "the sandbox allows everything"}
