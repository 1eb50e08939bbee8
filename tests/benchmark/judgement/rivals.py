"""What other gates decide on the same ticks, written anew from what their documentation says.

All look once a minute. Each function returns the minute, counted from 0, with which a run is taken
back; the number of minutes: never.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tests.benchmark.judgement.arrays import Flags, Floats, Ticks, Whole, first

FLAGGER_FAILURES_COUNT = 5
ARGO_FAILURES_COUNT = 4
ARGO_WINDOW_MINUTES = 5
RELATIVE_LEAST_RATIO = 1e-4
RELATIVE_TIMES_RATIO = 1.2
Z_LIMIT_DEVIATIONS = 1.645
BURN_FACTOR = 14.4
OBJECTIVE_MISS_RATIO = 0.001
BURN_WINDOW_MINUTES = 5


def flagger(minutes: Ticks, *, least_ratio: float) -> Whole:
    """The last minute's success rate; no data is a failure; the fifth failure takes it back."""
    good = 1 - _divided(minutes.canary_failures, minutes.canary_requests)
    return _at_failure(~(good >= least_ratio), FLAGGER_FAILURES_COUNT)


def argo(minutes: Ticks, *, least_ratio: float = 0.99) -> Whole:
    """The last five minutes' success rate; no data is a failure; the fourth takes it back."""
    bad, requests = _windows(minutes.canary_failures), _windows(minutes.canary_requests)
    return _at_failure(~(1 - _divided(bad, requests) >= least_ratio), ARGO_FAILURES_COUNT)


def relative(minutes: Ticks) -> Whole:
    """Five minutes' rate of the canary above 1.2 times that of stable, four times."""
    canary = _divided(_windows(minutes.canary_failures), _windows(minutes.canary_requests))
    stable = _divided(_windows(minutes.stable_failures), _windows(minutes.stable_requests))
    limit = np.fmax(RELATIVE_TIMES_RATIO * stable, RELATIVE_LEAST_RATIO)
    return _at_failure(canary > limit, ARGO_FAILURES_COUNT)


def peeked_z(minutes: Ticks) -> Whole:
    """A pooled z of two proportions over all so far, looked at every minute as if once."""
    canary, stable, canary_bad, stable_bad = (
        np.cumsum(part, axis=1)
        for part in (
            minutes.canary_requests,
            minutes.stable_requests,
            minutes.canary_failures,
            minutes.stable_failures,
        )
    )
    pooled = _divided(canary_bad + stable_bad, canary + stable)
    variance = pooled * (1 - pooled) * (_divided(1, canary) + _divided(1, stable))
    gap = _divided(canary_bad, canary) - _divided(stable_bad, stable)
    return first(gap > Z_LIMIT_DEVIATIONS * np.sqrt(variance))


def burn_of_service(minutes: Ticks) -> Whole:
    """The service burns its budget of 99.9 % more than 14.4 times too fast over five minutes."""
    return _burn(minutes.bad, minutes.requests)


def burn_of_canary(minutes: Ticks) -> Whole:
    """Likewise, of the canary's requests alone."""
    return _burn(minutes.canary_failures, minutes.canary_requests)


def _burn(bad: Floats, requests: Floats) -> Whole:
    share = _divided(_windows(bad, BURN_WINDOW_MINUTES), _windows(requests, BURN_WINDOW_MINUTES))
    return first(share > BURN_FACTOR * OBJECTIVE_MISS_RATIO)


def _windows(counts: Floats, minutes: int = ARGO_WINDOW_MINUTES) -> Floats:
    """Sums of the last so many minutes; fewer at the beginning."""
    sums = np.cumsum(counts, axis=1)
    sums[:, minutes:] -= sums[:, :-minutes].copy()
    return sums


def _divided(one: Floats | int, other: Floats) -> Floats:
    """Not a number where nothing was asked; comparisons with it are false."""
    found: Floats = np.divide(one, other, out=np.full(other.shape, np.nan), where=other > 0)
    return found


def _at_failure(failed: Flags, wanted: int) -> Whole:
    return first(np.cumsum(failed, axis=1) >= wanted)


RIVALS: Mapping[str, Callable[[Ticks], Whole]] = {
    "Flagger 99 %": lambda minutes: flagger(minutes, least_ratio=0.99),
    "Flagger 99.5 %": lambda minutes: flagger(minutes, least_ratio=0.995),
    "Argo 99 %": argo,
    "relative PromQL": relative,
    "peeked z": peeked_z,
    "burn rate, service": burn_of_service,
    "burn rate, canary": burn_of_canary,
}
