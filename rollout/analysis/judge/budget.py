"""Several gates share one false-rollback risk: weighted averages of e-values are one (exact)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rollout.analysis.judge.mixture import log_mix
from rollout.analysis.verdict import GateQuestion
from rollout.api.evidence import SENTENCE_LENGTH_MAX, GateVerdict, Verdict


def together(
    verdicts: Sequence[GateVerdict], gates: Sequence[GateQuestion]
) -> tuple[GateVerdict, ...]:
    """The verdicts, one of them a fail where what all gates say together decides.

    E = Σ_m v_m·E_m with the gates' parts v of the risk, valid under any dependence and never weaker
    than a threshold for each. The one that says most is named.
    """
    parts = {g.name: g for g in gates if g.shares_risk}
    sharing = [v for v in verdicts if v.name in parts]
    if not sharing or any(v.verdict is Verdict.FAIL for v in sharing):
        return tuple(verdicts)
    weighed = {v.name: (parts[v.name].risk_ratio, v.nats) for v in sharing}
    rest = 1 - sum(part for part, _ in weighed.values())
    nats = log_mix([*weighed.values(), (rest, 0.0)])
    needed = -math.log(parts[sharing[0].name].false_rollback_ratio)
    if nats < needed:
        return tuple(verdicts)
    worst = max(weighed, key=lambda name: math.log(weighed[name][0]) + weighed[name][1])
    return tuple(_failed(v) if v.name == worst else v for v in verdicts)


def _failed(verdict: GateVerdict) -> GateVerdict:
    told = f"{verdict.because}; together with the other gates that is enough to be sure"
    return verdict.model_copy(
        update={"verdict": Verdict.FAIL, "because": told[:SENTENCE_LENGTH_MAX]}
    )
