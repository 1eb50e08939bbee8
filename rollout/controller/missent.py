"""Whether the mesh sends the canary what was asked, where the weights alone say what that is."""

from __future__ import annotations

from rollout.analysis.judge import split
from rollout.api.evidence import RunEvidence
from rollout.api.status import Run
from rollout.api.traffic import Routing
from rollout.engine import plan as plans

ELSEWHERE = frozenset(
    {
        "CallersNotGoverned",
        "IngressNotGoverned",
        "VirtualServiceIgnored",
        "DelegateUnreached",
        "SeveralCatchAlls",
        "EnvoyFilterMissesRoute",
        "OnlyNewConnections",
    }
)
"""Notes that say of some callers that no weight of ours reaches them, or not at once: then another
share than the weight is no wonder, and they were told already."""


def told(run: Run, evidence: RunEvidence, routing: Routing) -> str:
    """That the mesh does not send what was asked, in a sentence; empty: it does, or who knows.

    Only where the weights alone say who gets what, and stay as they are.
    """
    matches = plans.match_at(run.plan, run.step) is not None
    others = routing.has_others or any(note.reason in ELSEWHERE for note in routing.notes)
    if not 0 < run.weight < plans.FULL_PERCENT or run.ramped_at or matches or others:
        return ""
    return split.mismatch(evidence, weight_percent=run.weight)
