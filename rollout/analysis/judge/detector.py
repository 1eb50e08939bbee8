"""Watches a revision that has no other to be compared with: after 100 percent, while it bakes.

A bound p0 on its bad fraction is all there is to go by, and a regression may begin at any time, so
the evidence begins anew all the time. Per alternative r, after tick t with N requests and Y bad:

    M_t(r) = (M_{t-1}(r) + v_t)·exp((Y·ln r - p0·N(r-1))/φ),    v_t = min(1, p0·N),    M_0 = 0

and the alarm is that the average over r reaches c (a detector of Shiryaev and Roberts' kind from
e-values; Shin, Ramdas and Rinaldo, arXiv 2203.03532). With weights v_t = 1 an idle service would
gather M_t = t, an alarm out of nothing; weights that depend on the tick's requests alone keep the
guarantee, and make c a number of allowed bad requests as well as one of ticks.

Guarantee, exact for φ = 1, independent requests and any fractions up to p0: the mean time between
false alarms is at least c ticks, and at least the time in which c bad requests would be allowed,
since M_t - Σv has no upward drift. For φ > 1 as in `mixture.log_mean`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from rollout.analysis.judge.mixture import log_mean, log_sum
from rollout.analysis.judge.ratio import WORSE


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """What ticks have said since the watch began; immutable.

    Attributes:
        bound_ratio: p0, the bad fraction that is allowed, above 0 and below 1.
        dispersion_factor: φ ≥ 1.
        logs: ln M(r) of each alternative.
    """

    bound_ratio: float
    dispersion_factor: float = 1.0
    logs: tuple[float, ...] = (-math.inf,) * len(WORSE)

    def with_tick(self, *, requests: int, bad: int) -> Detector:
        """The watch with one more tick; one without requests says nothing."""
        if not requests:
            return self
        allowed = self.bound_ratio * requests
        begun = math.log(min(1.0, allowed))
        logs = tuple(
            log_sum((known, begun))
            + (bad * step - allowed * math.expm1(step)) / self.dispersion_factor
            for known, step in zip(self.logs, WORSE, strict=True)
        )
        return replace(self, logs=logs)

    def log_evidence(self) -> float:
        """Logarithm of the average of M(r); minus infinity before the first request."""
        return log_mean(self.logs)

    def is_alarmed(self, *, ticks_between_false_alarms: float) -> bool:
        """Whether it is time to go back; c is the mean number of ticks between false alarms."""
        return self.log_evidence() >= math.log(ticks_between_false_alarms)
