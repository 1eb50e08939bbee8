"""How evidence becomes a verdict; statistics enter here."""

from __future__ import annotations

from typing import Protocol

from rollout.analysis.verdict import Context, GateQuestion
from rollout.api.evidence import GateEvidence, GateVerdict


class Judge(Protocol):
    """Judges one gate by its counts; total, repeatable, and without memory of its own."""

    def __call__(
        self, gate: GateQuestion, evidence: GateEvidence, *, context: Context
    ) -> GateVerdict:
        """Pass, Fail or Unknown, with one sentence that has the numbers."""
        ...
