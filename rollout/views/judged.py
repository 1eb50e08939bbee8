"""What a gate says to recorded ticks: for people, and for programs."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rollout.analysis.judge import ratio_gate
from rollout.analysis.judge.interval import Interval
from rollout.analysis.judge.ratio_gate import Promises
from rollout.analysis.judge.replay import Replay


def document(found: Replay, promises: Promises) -> dict[str, Any]:
    """For programs: evidence in natural logarithms, ticks counted from 1, None where never."""
    possible = ratio_gate.possible_ratios(found.evidence, promises)
    return {
        "ratio": {
            "logEvidenceRollback": found.rollback_nats,
            "logEvidencePromote": found.promote_nats,
            "interval": _ends(possible),
        },
        "combined": {
            "logEvidenceRollback": found.finding.rollback_nats,
            "logEvidencePromote": found.finding.promote_nats,
            "rollbackAt": math.log(1 / promises.false_rollback_ratio),
            "promoteAt": math.log(1 / promises.false_promote_ratio),
        },
        "verdict": str(found.finding.verdict),
        "because": ratio_gate.because(found.evidence, promises, found.finding.verdict),
        "firstFailTick": found.first_fail_number,
        "firstPassTick": found.first_pass_number,
    }


def view(found: Replay, promises: Promises) -> RenderableType:
    """For people: the verdict in a sentence, and how far either side of the evidence has come."""
    verdict = found.finding.verdict
    sentence = ratio_gate.because(found.evidence, promises, verdict)
    table = Table(box=None, pad_edge=False, show_header=True)
    for title in ("evidence", "now", "decides at", "first reached"):
        table.add_column(title, justify="left" if title == "evidence" else "right")
    for title, log_e, risk, tick in (
        ("for a rollback", found.finding.rollback_nats, promises.false_rollback_ratio, "fail"),
        ("for a promotion", found.finding.promote_nats, promises.false_promote_ratio, "pass"),
    ):
        first = found.first_fail_number if tick == "fail" else found.first_pass_number
        reached = "never" if first is None else f"tick {first:,}"
        table.add_row(title, _odds(log_e), _odds(math.log(1 / risk)), reached)
    return Group(Text(f"{verdict}: {sentence}"), Text(), table)


def _odds(log_e: float) -> str:
    """An e-value as people bet: so many to one."""
    if log_e > math.log(1e6):
        return f"10^{log_e / math.log(10):.0f} to 1"
    value = math.exp(log_e)
    return f"{value:,.0f} to 1" if value >= ratio_gate.WHOLE_RATIO_MIN else f"{value:.2g} to 1"


def _ends(possible: Interval) -> list[float | None]:
    """JSON has no infinity: None stands for it."""
    return [possible.low_ratio, None if math.isinf(possible.high_ratio) else possible.high_ratio]
