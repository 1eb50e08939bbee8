"""Notices that what is told of a canary has stopped while the same of others goes on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from rollout.analysis import arm
from rollout.analysis import evidence as evidences
from rollout.analysis.arm import Arms, Side
from rollout.analysis.query import ARRIVED, Shape
from rollout.api.evidence import RunEvidence
from rollout.api.meta import Key
from rollout.api.status import Run
from rollout.controller.sight import Sight
from rollout.engine import plan as plans


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is seen of a run at one moment.

    Attributes:
        run: the run.
        sight: the newest answers.
        arms: how series are told apart.
        shapes: the kinds of series that the gates of the present step rest on.
        step_ms: the scrape interval in milliseconds.
    """

    run: Run
    sight: Sight
    arms: Arms
    shapes: Collection[Shape]
    step_ms: int


class Silence:
    """Remembers, per run and kind of series, the newest sample of the canary."""

    def __init__(self) -> None:
        self._stamps: dict[Key, dict[Shape, int]] = {}

    def forget(self, key: Key) -> None:
        """The run is over."""
        self._stamps.pop(key, None)

    def told(self, key: Key, look: Look, evidence: RunEvidence) -> str:
        """That series of the canary stopped while others go on; empty: they did not.

        A counter that stands still is a sample all the same; only one that is not told any more is
        silent. Kinds that the present step does not ask for say nothing of it.

        Args:
            key: the Rollout.
            look: what is seen now.
            evidence: what the canary was seen to have had.
        """
        shapes, answers, run = look.shapes, look.sight.answers, look.run
        known = self._stamps.get(key, {})
        seen = self._stamps[key] = {shape: known[shape] for shape in known if shape in shapes}
        newest_ms = 0
        for shape in shapes:
            for one in answers.get(shape, ()):
                stamp = one.samples[-1][0]
                newest_ms = max(newest_ms, stamp)
                if arm.side_of(one.metric, look.arms) is Side.CANARY:
                    seen[shape] = max(stamp, seen.get(shape, 0))
        if not _gets_any(run):
            return ""
        lost = [s for s in shapes if s not in seen and answers.get(s) and _had(evidence, s)]
        lag_ms = max((newest_ms - stamp for stamp in seen.values()), default=0)
        if lost or lag_ms > evidences.LAG_INTERVALS_MAX * look.step_ms:
            since = f" for {lag_ms / 1000:.0f} s" if not lost else ""
            about = f"about {run.canary_revision}{since}"
            return f"Prometheus has had no new sample {about}, though it has of others"
        return ""


def _gets_any(run: Run) -> bool:
    """Whether the step sends the canary anything, be it copies or what matches."""
    if run.retreated:
        return False
    has_match = plans.match_at(run.plan, run.step) is not None
    return run.weight > 0 or has_match or plans.mirror_at(run.plan, run.step) > 0


def _had(evidence: RunEvidence, shape: Shape) -> bool:
    """Whether the canary was counted by this kind of series before: after a restart we know."""
    if shape in ARRIVED:
        book = evidence.arrivals
        return book is not None and any(g.canary.requests for g in book.gates.values())
    return shape is Shape.REQUESTS and evidence.canary_run.requests > 0
