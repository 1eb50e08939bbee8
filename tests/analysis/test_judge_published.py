"""What others have printed, or their packages compute, beside our formulas and our reading of them.

Formulas of rivals and alternatives that the product does not use are written down here, to prove
that we read their sources rightly; they are no part of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist, median

import pytest

from rollout.analysis.judge import absolute, asymptotic, split

PUBLISHED = 1e-6
"""Relative; of what others have printed."""

NORMAL = NormalDist()


def band_radius(count: int, *, miss_ratio: float) -> float:
    """Howard and Ramdas: how far the whole distribution may be from the one that was seen."""
    return 0.85 * math.sqrt(
        (math.log(math.log(math.e * count)) + 0.8 * math.log(1612 / miss_ratio)) / count
    )


def test_the_band_around_a_distribution() -> None:
    assert band_radius(1_000, miss_ratio=0.05) == pytest.approx(0.086569128377, rel=1e-9)


# Lindon and Malek's test of a multinomial; of it our split check is the case of two.


def multinomial(counts: Sequence[int], null: Sequence[float], *, weight: float = 100) -> float:
    """Logarithm of E against just these shares."""

    def log_beta(values: Sequence[float]) -> float:
        return sum(map(math.lgamma, values)) - math.lgamma(sum(values))

    prior = [weight * share for share in null]
    posterior = [a + count for a, count in zip(prior, counts, strict=True)]
    seen = sum(count * math.log(share) for count, share in zip(counts, null, strict=True))
    return log_beta(posterior) - log_beta(prior) - seen


def test_a_multinomial_as_the_savvi_package_has_it() -> None:
    found = math.exp(-multinomial((40, 129, 233), (0.1, 0.4, 0.5)))

    assert found == pytest.approx(0.048455911060, rel=1e-9)
    assert multinomial((148, 62), (0.8, 0.2)) == pytest.approx(
        split.log_evidence(148, 62, share=0.8), rel=1e-12
    )


# Howard, Ramdas, McAuliffe and Sekhon's mixtures, as the confseq package has them: with intrinsic
# time v and sum s, the logarithm of a supermartingale, and the sum at which it reaches 1/α.


def best_weight(best_at: float, *, miss_ratio: float, sides: int) -> float:
    """Of the normal mixture's prior; of one side as of two with twice the risk."""
    twice = 2 * math.log(1 / (miss_ratio if sides == 2 else 2 * miss_ratio))
    return best_at / (twice + math.log1p(twice))


def integral(function: Callable[[float], float], low: float, high: float) -> float:
    """Simpson's, fine enough for smooth functions."""
    count = 4_000
    step = (high - low) / count
    inner = sum((4 if i % 2 else 2) * function(low + i * step) for i in range(1, count))
    return step / 3 * (function(low) + inner + function(high))


def normal(s: float, v: float, *, sides: int) -> float:
    rho = best_weight(100, miss_ratio=0.05, sides=sides)
    two_sided = 0.5 * math.log(rho / (v + rho)) + s * s / (2 * (v + rho))
    if sides == 2:
        return two_sided
    return two_sided + math.log(2) + math.log(NORMAL.cdf(s / math.sqrt(v + rho)))


def beta_binomial(s: float, v: float, *, sides: int, g: float = 0.2, h: float = 0.8) -> float:
    rho = best_weight(100, miss_ratio=0.05, sides=sides)
    r = max(rho - g * h, 1e-3 * g * h)
    end = 1.0 if sides == 2 else h / (g + h)

    def log_beta(a: float, b: float) -> float:
        """Of the Beta function up to ``end``, with p = t² to blunt powers near 0."""
        if sides == 2:
            return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
        powers = (2 * a - 1, b - 1)
        top = math.sqrt(end)
        area = integral(lambda t: 2 * t ** powers[0] * (1 - t * t) ** powers[1], 0, top)
        return math.log(area)

    a, b = r / (g * (g + h)), r / (h * (g + h))
    return (
        v / (g * h) * math.log(g + h)
        - (v + h * s) / (h * (g + h)) * math.log(g)
        - (v - g * s) / (g * (g + h)) * math.log(h)
        + log_beta((r + v - g * s) / (g * (g + h)), (r + v + h * s) / (h * (g + h)))
        - log_beta(a, b)
    )


def gamma_poisson(s: float, v: float, *, c: float = 2) -> float:
    """Mixed by adding up: over factors above 1, with a Gamma prior that is cut off at 1."""
    rho = best_weight(100, miss_ratio=0.05, sides=1)

    def mixed(factor: float, *, sum_: float, time: float) -> float:
        power = (c * sum_ + time + rho) / c**2 - 1
        return math.exp(power * math.log(factor) - (time + rho) / c**2 * (factor - 1))

    seen = integral(lambda one: mixed(one, sum_=s, time=v), 1, 15)
    return math.log(seen / integral(lambda one: mixed(one, sum_=0, time=0), 1, 15))


def bound(log_e: Callable[[float], float], *, miss_ratio: float = 0.05) -> float:
    low, high = 0.0, 400.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if log_e(middle) < math.log(1 / miss_ratio) else (low, middle)
    return high


MIXTURES = {
    "normal, two sides": (lambda s: normal(s, 100, sides=2), -0.6510052, 30.35209),
    "normal, one side": (lambda s: normal(s, 100, sides=1), -0.06502391, 27.66071),
    "beta-binomial, two sides": (
        lambda s: beta_binomial(s, 100, sides=2),
        -0.6941012,
        31.43080,
    ),
    "beta-binomial, one side": (
        lambda s: beta_binomial(s, 100, sides=1),
        -0.07134019,
        28.41238,
    ),
    "gamma-Poisson": (lambda s: gamma_poisson(s, 100), -0.06991219, 30.19490),
}


@pytest.mark.parametrize(("log_e", "at_10", "reached_at"), MIXTURES.values(), ids=MIXTURES)
def test_mixtures_as_the_confseq_package_has_them(
    log_e: Callable[[float], float], at_10: float, reached_at: float
) -> None:
    assert log_e(10) == pytest.approx(at_10, rel=PUBLISHED)
    assert bound(log_e) == pytest.approx(reached_at, rel=PUBLISHED)


def test_our_interval_for_unbounded_numbers_is_the_normal_one_with_two_sides() -> None:
    ours = 100 * asymptotic.unit_radius(100, miss_ratio=0.05, best_at=100)

    assert ours == pytest.approx(bound(lambda s: normal(s, 100, sides=2)), rel=1e-9)


# Turner, Ly and Grünwald's plug-in e-value for two streams of 0 and 1 in blocks of one each.


def plug_in(ones: str, others: str, *, prior: float = 0.18) -> float:
    e, seen = 1.0, [0, 0]
    for count, pair in enumerate(zip(ones, others, strict=True)):
        rates = [(known + prior) / (count + 2 * prior) for known in seen]
        for outcome, rate in zip(pair, rates, strict=True):
            both = sum(rates) / 2
            e *= rate / both if outcome == "1" else (1 - rate) / (1 - both)
        seen = [known + (outcome == "1") for known, outcome in zip(seen, pair, strict=True)]
    return e


def test_the_plug_in_e_value_of_a_two_by_two_table() -> None:
    assert plug_in("1111110111", "0010100000") == pytest.approx(11.15029488, rel=PUBLISHED)


# Kayenta's interval for the shift between two series of points, by order statistics.


def shift(
    canary: Sequence[float], baseline: Sequence[float], *, level: float
) -> tuple[float, float, float]:
    """Its lower end, its upper end, and the estimate."""
    gaps = sorted(x - y for x in canary for y in baseline)
    m, n = len(canary), len(baseline)
    z = NORMAL.inv_cdf((1 + level) / 2)
    depth = math.floor(m * n / 2 + 0.5 - z * math.sqrt(m * n * (m + n + 1) / 12))
    return gaps[depth - 1], gaps[m * n - depth], median(gaps)


def test_the_interval_of_a_shift_as_kayenta_has_it() -> None:
    assert shift((10, 20, 30, 40), (1, 2, 3, 4), level=0.95) == (6, 39, 22.5)
    assert shift((100,) * 7 + (1,) * 3, (1,) * 10, level=0.98) == (0, 99, 99)


# The packages themselves, where somebody has installed them.


def test_the_split_check_beside_the_savvi_package() -> None:
    reason = "savvi is no dependency; to compare with it: pip install savvi==0.3.1"
    theirs = pytest.importorskip("savvi.multinomial", reason=reason)
    numpy = pytest.importorskip("numpy", reason=reason)
    for canary, stable, share in ((17, 28, 0.1), (148, 62, 0.8), (5_400, 94_600, 0.05)):
        test = theirs.Multinomial(0.05, numpy.array([share, 1 - share]))
        test.update(numpy.array([canary, stable]))

        ours = split.log_evidence(canary, stable, share=share)

        assert ours == pytest.approx(math.log(float(test.odds)), rel=1e-9, abs=1e-9)


def test_the_interval_for_unbounded_numbers_beside_the_ville_package() -> None:
    reason = "ville is no dependency; to compare with it: pip install ville==0.1.0"
    theirs = pytest.importorskip("ville._boundaries", reason=reason)
    for count, best_at, risk in ((20, 50, 0.05), (100, 100, 0.01), (3_000, 50, 0.05)):
        ours = count * asymptotic.unit_radius(count, miss_ratio=risk, best_at=best_at)

        exact = theirs.normal_mixture(count, risk, theirs.best_rho(best_at, risk))

        assert ours == pytest.approx(float(exact), rel=5e-3)  # they search for the best weight


def test_limits_of_a_fraction_beside_the_ville_package() -> None:
    reason = "ville is no dependency; to compare with it: pip install ville==0.1.0"
    theirs = pytest.importorskip("ville.proportions", reason=reason)
    numpy = pytest.importorskip("numpy", reason=reason)
    answers = numpy.array([1.0] * 5 + [0.0] * 995)
    sequence = theirs.BernoulliCS(alpha=0.05, prior=(0.5, 0.5), intersect=False)
    sequence.update(answers)

    low, high = absolute.limits(requests=1_000, bad=5, miss_ratio=0.05)

    assert (sequence.lower_[-1], sequence.upper_[-1]) == pytest.approx((low, high), rel=1e-6)
