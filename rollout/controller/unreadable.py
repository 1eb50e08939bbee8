"""What becomes of a Rollout of whose run nobody can read any more what it was to do."""

from __future__ import annotations

import json
from collections.abc import Mapping

from rollout.api.action import ActionOutcome
from rollout.api.phase import Phase
from rollout.engine import commands
from rollout.engine.conclude import Conclusion, conclude
from rollout.engine.decision import Answer, Decision, Happening
from rollout.engine.observation import Observation

REASON = "StatusUnreadable"


def decide(o: Observation, problem: str, lost: Mapping[str, object]) -> Decision:
    """Touch nothing, say so, refuse commands; let a Rollout that is being deleted go.

    Args:
        o: what is known; its status has no run.
        problem: what cannot be read, with the field.
        lost: the fields that a person must mend or remove.
    """
    if o.deleting:
        return _let_go(o, problem)
    message = (
        f"{problem}: somebody else wrote it, and without it nothing is moved; mend it, or see that "
        f"all traffic is where it should be and remove it with `{remedy(o, lost)}`"
    )
    answers = tuple(
        Answer(action=action.name, outcome=ActionOutcome.REFUSED, message=message)
        for action in o.actions
    )
    return conclude(
        o,
        Conclusion(
            status=o.status,
            phase=Phase.INVALID,
            reason=REASON,
            message=message,
            finalizer=o.finalized,
            answers=answers,
        ),
    )


def remedy(o: Observation, lost: Mapping[str, object]) -> str:
    """The command that removes what cannot be read; what has the traffic is then adopted."""
    patch = json.dumps({"status": dict.fromkeys(lost)}, separators=(",", ":"))
    return (
        f"kubectl -n {o.key.namespace} patch rollouts.rollout.dev {o.key.name} "
        f"--subresource=status --type=merge -p '{patch}'"
    )


def _let_go(o: Observation, problem: str) -> Decision:
    message = f"let go, traffic left as it is: {problem}, and without it nobody knows what to undo"
    told = Happening(type="Warning", reason="Deleted", message=message)
    return Decision(
        status=o.status,
        weights=None,
        finalizer=False,
        answers=commands.all_ignored(o, f"Rollout {o.key.name} is being deleted"),
        happenings=(told,) if o.finalized else (),
        because=message,
        look_again_at=None,
    )
