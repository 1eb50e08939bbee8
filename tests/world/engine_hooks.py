"""Webhooks for generated worlds: which a spec may have, and what they may have said."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from rollout.api.status import Run
from rollout.api.webhook import HookPoint, HookResult
from tests.world.engine_world import HOOKS

HOOKS_SAY = st.dictionaries(
    st.sampled_from(["hook-0", "hook-1"]), st.sampled_from([True, False, None])
)
"""What webhooks say when they are asked; None: nothing ever."""


@st.composite
def webhooks(draw: st.DrawFn) -> list[dict[str, Any]]:
    count = draw(st.sampled_from([0, 0, 1, 2]))
    return [draw(asking(f"hook-{i}")) for i in range(count)]


@st.composite
def asking(draw: st.DrawFn, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "point": draw(st.sampled_from(HookPoint)).value,
        "url": draw(st.sampled_from([*[HOOKS] * 7, "https://elsewhere/"])),
        "failure": draw(st.sampled_from(["Rollback", "Hold", "Ignore"])),
    }


@st.composite
def results(draw: st.DrawFn, run: Run) -> tuple[HookResult, ...]:
    """What webhooks may have said, of this step or of any other."""
    answered = [hook for hook in run.plan.webhooks if draw(st.booleans())]
    return tuple(
        HookResult(
            name=hook.name,
            point=hook.point,
            step=max(0, run.step + draw(st.sampled_from([-1, 0, 1, 1, 1, 2]))),
            round=draw(st.integers(1, 3)),
            outcome=draw(st.sampled_from(["Passed", "Failed"])),
            attempts=1,
            at=run.step_started_at,
            because="it answered 409",
        )
        for hook in answered
    )
