"""Numbers that two independent implementations of the same formulas agree on."""

from __future__ import annotations

import math

import pytest

from rollout.analysis.judge import absolute, dispersion, planning, ratio, split
from rollout.analysis.judge.interval import Interval, Lattice
from rollout.analysis.judge.ratio import Counts, RatioEvidence

RISING = (
    Counts(750, 14_250, 4, 13),
    Counts(760, 14_240, 3, 15),
    Counts(1_500, 13_500, 9, 12),
)
EVEN = (Counts(7_500, 7_500, 7, 8),) * 4
OUTAGE = (Counts(750, 14_250, 750, 14),)

EXACT = 1e-9
"""Relative; of our own vectors."""

PUBLISHED = 1e-6
"""Relative; of what others have printed."""


def after(evidence: RatioEvidence, ticks: tuple[Counts, ...]) -> RatioEvidence:
    for tick in ticks:
        evidence = evidence.with_tick(tick)
    return evidence


@pytest.mark.parametrize(
    ("tolerance", "phi", "wanted"),
    [
        (1.0, 1, 10.380343029537),
        (1.2, 1, 8.229680058331),
        (1.0, 2, 4.568391457903),
        (1.2, 2, 3.491902959301),
    ],
)
def test_evidence_for_a_rollback(tolerance: float, phi: int, wanted: float) -> None:
    found = after(ratio.against_tolerance(tolerance), RISING).log_evidence(dispersion=phi)

    assert found == pytest.approx(wanted, rel=EXACT)


def test_evidence_of_one_alternative() -> None:
    alone = RatioEvidence(null_ratio=1.0, steps=(math.log(5),))

    assert after(alone, RISING).log_evidence() == pytest.approx(12.263879520822, rel=EXACT)


@pytest.mark.parametrize(
    ("ticks", "proven", "wanted"),
    [(RISING, 2, -3.712352079926), (EVEN, 2, 3.516095341025), (EVEN, 3, 9.425032808718)],
)
def test_evidence_for_a_promotion(ticks: tuple[Counts, ...], proven: int, wanted: float) -> None:
    found = after(ratio.for_proof(proven), ticks).log_evidence()

    assert found == pytest.approx(wanted, rel=EXACT)


def test_an_even_split_of_errors_speaks_against_a_rollback_and_an_outage_for_it() -> None:
    fresh = ratio.against_tolerance(1)

    assert after(fresh, EVEN).log_evidence() == pytest.approx(-3.781686329696, rel=EXACT)
    assert after(fresh, OUTAGE).log_evidence() == pytest.approx(2142.048628534839, rel=EXACT)


def test_the_interval_that_is_shown() -> None:
    lattice = Lattice()
    for tick in RISING:
        lattice = lattice.with_tick(tick)

    assert lattice.interval() == Interval(low_ratio=2 ** (7 / 8), high_ratio=2 ** (31 / 8))


@pytest.mark.parametrize(("bad", "wanted"), [(40, 5.135162367191), (20, -3.550802975681)])
def test_evidence_against_an_absolute_bound(bad: int, wanted: float) -> None:
    found = absolute.log_evidence_above(requests=20_000, bad=bad, bound=0.001)

    assert found == pytest.approx(wanted, rel=EXACT)


def test_the_closed_form_for_a_known_rate() -> None:
    found = absolute.log_evidence_unequal(bad=40, allowed=20)

    assert found == pytest.approx(5.495219768098, rel=EXACT)


@pytest.mark.parametrize(
    ("bad", "requests", "miss", "low", "high"),
    [
        (0, 3_000, 0.05, 0.0, 0.002520592182),
        (5, 1_000, 0.05, 0.000539304166, 0.018003858871),
        (5, 1_000, 0.01, 0.000378566054, 0.020144250049),
        (40, 20_000, 0.05, 0.000978566994, 0.003561641249),
    ],
)
def test_limits_of_a_fraction(
    bad: int, requests: int, miss: float, low: float, high: float
) -> None:
    found = absolute.limits(requests=requests, bad=bad, miss_ratio=miss)

    assert found == pytest.approx((low, high), rel=PUBLISHED)


@pytest.mark.parametrize(
    ("bad", "requests", "near", "low", "high"),
    [
        (700, 1_000, 100, 0.651630, 0.745950),
        (5, 50, 50, 0.013022, 0.269265),
        (15, 50, 50, 0.129557, 0.511896),
        (100, 200, 1, 0.328923, 0.671077),
    ],
)
def test_limits_with_a_tuned_prior_as_the_confseq_package_has_them(
    bad: int, requests: int, near: int, low: float, high: float
) -> None:
    found = absolute.limits(requests=requests, bad=bad, miss_ratio=0.05, best_at=near)

    assert found == pytest.approx((low, high), abs=PUBLISHED)


@pytest.mark.parametrize(
    ("canary", "stable", "wanted"),
    [
        (5_000, 95_000, -3.471049246268),
        (5_100, 94_900, -2.435404257798),
        (5_400, 94_600, 12.909501771086),
    ],
)
def test_evidence_against_the_split(canary: int, stable: int, wanted: float) -> None:
    assert split.log_evidence(canary, stable, share=0.05) == pytest.approx(wanted, rel=EXACT)


def test_the_split_as_the_savvi_package_has_it() -> None:
    assert split.log_evidence(17, 28, share=0.1) == pytest.approx(4.452839816144, rel=EXACT)
    p_value = math.exp(-split.log_evidence(148, 62, share=0.8))
    assert p_value == pytest.approx(0.045579631759, rel=EXACT)


def test_dispersion_of_blocks() -> None:
    bad = [[3, 0, 1], [0, 0, 0], [2, 5, 0], [1, 1, 1]]
    requests = [[100] * 3, [100] * 3, [100, 120, 80], [100] * 3]

    def phi(ticks: int) -> float | None:
        return dispersion.of_blocks(bad, requests, block_ticks=ticks)

    assert phi(1) == pytest.approx(1.190476190476, rel=EXACT)
    assert phi(2) == pytest.approx(1.587878787879, rel=EXACT)
    assert dispersion.estimate(bad, requests) == pytest.approx(1.190476190476, rel=0.2)


@pytest.mark.parametrize(
    ("rps", "share", "times", "asked", "wanted"),
    [
        (1000, 0.01, 2, {"false_rollback": 0.05, "mixture_cost_nats": 2.3}, 3249.6380),
        (1000, 0.01, 2, {"false_rollback": 0.05, "mixture_cost_nats": 1}, 2764.0607),
        (
            1000,
            0.01,
            2,
            {"tolerance": 1.2, "false_rollback": 0.01, "mixture_cost_nats": 1},
            5748.1364,
        ),
        (
            100,
            0.1,
            5,
            {"false_rollback": 0.01, "dispersion": 2, "mixture_cost_nats": 2.3},
            908.3261,
        ),
    ],
)
def test_how_long_a_regression_can_hide(
    rps: int, share: float, times: int, asked: dict[str, float], wanted: float
) -> None:
    found = planning.dwell_seconds(
        times, requests_per_second=rps, share=share, bad_fraction=0.001, **asked
    )

    assert found == pytest.approx(wanted, rel=PUBLISHED)


def test_what_a_share_leaves_of_the_evidence() -> None:
    assert planning.proof_speed(2, share=0.1) == pytest.approx(0.259954617483, rel=EXACT)
    assert planning.efficiency(2, share=0.1) == pytest.approx(0.874675939594, rel=EXACT)
