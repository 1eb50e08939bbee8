"""Latency without quantiles: how often is the canary slow, at several edges of the histogram?

"At most 500 ms for 99 %" is "at most 1 % slower than 500 ms", and a fraction of slow requests is
judged as one of failed ones. A tail that is judged alone misses a body that moves: with the edges
below the bound a canary that is slower by half is found in a fraction of the time, with the one
above it one that is much slower for few requests.
"""

from __future__ import annotations

from collections.abc import Mapping

from rollout.analysis.judge import absolute
from rollout.analysis.judge.mixture import log_mix
from rollout.analysis.query import EDGES_MS, edge_below

EDGES_COUNT_MAX = 4
"""Edges of which counts are kept: a status has 32 KiB."""


def kept(max_ms: float) -> tuple[float, ...]:
    """The edges to keep for a bound in milliseconds: its own, the next above, and those below.

    The one above finds few requests that are much slower, those below a body that moves.

    Raises:
        BadManifest: see `query.edge_below`.
    """
    own = edge_below(max_ms)
    above = [edge for edge in EDGES_MS if edge > own][:1]
    below = [edge for edge in EDGES_MS if edge < own][::-1]
    return (own, *above, *below)[:EDGES_COUNT_MAX]


def log_rollback(log_evidence: Mapping[float, float]) -> float:
    """Logarithm of E against H0: at every edge the canary is slow no more often than stable.

    The average over edges, with weights fixed at the start: an e-value under any dependence (exact
    where each edge's is), for any slow fractions up to 1.

    Args:
        log_evidence: by edge, the logarithm of E against the tolerance at it; not empty.
    """
    return log_mix((1 / len(log_evidence), log_e) for log_e in log_evidence.values())


def quantile_interval_ms(
    counts: Mapping[float, tuple[int, int]], *, quantile_ratio: float, miss_ratio: float = 0.05
) -> tuple[float, float | None]:
    """Edges, in milliseconds, between which a quantile lies, valid at any time.

    The upper end is the lowest edge at which at most 1 - q can be slow, the lower end the highest
    at which more than 1 - q must be; each edge has a confidence sequence (`absolute.limits`) at its
    part of ``miss_ratio``. Exact for a constant distribution, approximate under drift.

    Args:
        counts: by edge in milliseconds, requests and slow ones among them; not empty.
        quantile_ratio: q, such as 0.99.
        miss_ratio: how often the interval may ever miss.

    Returns:
        0 and None stand for an end that no edge tells.
    """
    limits = {
        edge: absolute.limits(requests=requests, bad=slow, miss_ratio=miss_ratio / len(counts))
        for edge, (requests, slow) in counts.items()
    }
    tail = 1 - quantile_ratio
    above = (edge for edge, (low, _) in limits.items() if low > tail)
    below = (edge for edge, (_, high) in limits.items() if high <= tail)
    return max(above, default=0.0), min(below, default=None)
