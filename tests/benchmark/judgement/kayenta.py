"""Kayenta's judge for one metric: a Mann-Whitney interval of the shift between minutes.

Written from its documentation: 98 % two-sided, order statistics of all differences, tolerance a
quarter of the estimated shift, no size of effect demanded, a growing window, missing values
removed. Too high takes the canary back; so does a side without any value.
"""

from __future__ import annotations

import math

import numpy as np

from tests.benchmark.judgement.arrays import Flags, Floats, Ticks, Whole

DEVIATIONS = 2.326348
TOLERANCE_RATIO = 0.25
EVERY_MINUTES = 5


def lower_and_estimate(canary: Floats, baseline: Floats) -> tuple[Floats, Floats]:
    """The shift's lower limit and estimate in each run; missing values are NaN.

    The limit is minus infinity where the points are too few for one, NaN where a side has none.
    """
    gaps = np.sort((canary[:, :, None] - baseline[:, None, :]).reshape(canary.shape[0], -1), axis=1)
    m, n = (~np.isnan(canary)).sum(axis=1), (~np.isnan(baseline)).sum(axis=1)
    pairs = m * n
    place = np.floor(pairs / 2 + 0.5 - DEVIATIONS * np.sqrt(pairs * (m + n + 1) / 12)).astype(int)
    limit = np.take_along_axis(gaps, np.maximum(place - 1, 0)[:, None], axis=1)[:, 0]
    halves = [
        np.take_along_axis(gaps, np.maximum(middle, 0)[:, None], axis=1)[:, 0]
        for middle in ((pairs - 1) // 2, np.minimum(pairs // 2, gaps.shape[1] - 1))
    ]
    estimate = (halves[0] + halves[1]) / 2
    lower = np.where(place >= 1, limit, -math.inf)
    return np.where(pairs > 0, lower, math.nan), estimate


def is_high(canary: Floats, baseline: Floats) -> Flags:
    """Whether the canary's values are classified as too high, or a side has none."""
    lower, estimate = lower_and_estimate(canary, baseline)
    high: Flags = (lower > TOLERANCE_RATIO * np.abs(estimate)) | np.isnan(lower)
    return high


def judged(minutes: Ticks, *, points_min: int = EVERY_MINUTES) -> Whole:
    """The minute of the judgement that takes each run back; the number of minutes: never."""
    canary = _percents(minutes.canary_failures, minutes.canary_requests)
    stable = _percents(minutes.stable_failures, minutes.stable_requests)
    return series(canary, stable, points_min=points_min)


def series(canary: Floats, stable: Floats, *, points_min: int = EVERY_MINUTES) -> Whole:
    """As `judged`, of values a minute."""
    runs, length = canary.shape
    found = np.full(runs, length, dtype=np.int64)
    for end in range(EVERY_MINUTES, length + 1, EVERY_MINUTES):
        open_rows = np.flatnonzero(found == length)
        if end < points_min or not open_rows.size:
            continue
        high = is_high(canary[open_rows, :end], stable[open_rows, :end])
        found[open_rows[high]] = end - 1
    return found


def _percents(bad: Floats, requests: Floats) -> Floats:
    shares: Floats = np.divide(bad, requests, out=np.full(bad.shape, np.nan), where=requests > 0)
    return 100 * shares
