"""What must hold of the evidence whatever the numbers are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.analysis.judge import absolute, ratio, ratio_gate
from rollout.analysis.judge.ratio import Counts
from rollout.analysis.judge.ratio_gate import GateEvidence, Promises
from rollout.analysis.judge.replay import replay
from rollout.api.evidence import Verdict

REQUESTS_COUNT_MAX = 10_000


@st.composite
def ticks(draw: st.DrawFn) -> Counts:
    canary, stable = (draw(st.integers(0, REQUESTS_COUNT_MAX)) for _ in range(2))
    return Counts(
        canary, stable, draw(st.integers(0, min(canary, 99))), draw(st.integers(0, min(stable, 99)))
    )


def binomial(count: int, p: float) -> list[float]:
    return [math.comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(count + 1)]


def mean_evidence(
    fresh: ratio.RatioEvidence, *, canary: int, stable: int, p_canary: float, p_stable: float
) -> float:
    """The mean of E after one tick, by adding up all that can happen."""
    chances = itertools.product(
        enumerate(binomial(canary, p_canary)), enumerate(binomial(stable, p_stable))
    )
    return sum(
        likely * rarely * math.exp(fresh.with_tick(Counts(canary, stable, y, z)).log_evidence())
        for (y, likely), (z, rarely) in chances
    )


@pytest.mark.parametrize("p", [0.001, 0.05, 0.3])
@pytest.mark.parametrize(("canary", "stable"), [(1, 1), (3, 17), (12, 4), (5, 0)])
@pytest.mark.parametrize("true_ratio", [0.5, 1.0, 1.2])
def test_within_the_tolerance_evidence_for_a_rollback_is_at_most_1_on_average(
    p: float, canary: int, stable: int, true_ratio: float
) -> None:
    found = mean_evidence(
        ratio.against_tolerance(1.2),
        canary=canary,
        stable=stable,
        p_canary=true_ratio * p,
        p_stable=p,
    )

    assert found <= 1 + 1e-12


@pytest.mark.parametrize("p", [0.001, 0.05, 0.3])
@pytest.mark.parametrize(("canary", "stable"), [(1, 1), (3, 17), (12, 4)])
@pytest.mark.parametrize("true_ratio", [2.0, 3.0])
def test_at_the_proven_ratio_or_beyond_evidence_for_a_promotion_is_at_most_1_on_average(
    p: float, canary: int, stable: int, true_ratio: float
) -> None:
    found = mean_evidence(
        ratio.for_proof(2), canary=canary, stable=stable, p_canary=true_ratio * p, p_stable=p
    )

    assert found <= 1 + 1e-12


@pytest.mark.parametrize("p", [0.0005, 0.001])
def test_within_a_bound_the_absolute_evidence_is_at_most_1_on_average(p: float) -> None:
    chances = enumerate(binomial(60, p))
    log_e = (
        (chance, absolute.log_evidence_above(requests=60, bad=bad, bound=0.001))
        for bad, chance in chances
    )

    assert sum(chance * math.exp(one) for chance, one in log_e) <= 1 + 1e-12


def gone_through(known: GateEvidence, seen: Iterable[Counts]) -> GateEvidence:
    for tick in seen:
        known = ratio_gate.with_tick(known, tick, Promises())
    return known


@given(st.lists(ticks(), max_size=12), st.integers(0, 12))
def test_evidence_kept_and_taken_up_again_is_bit_for_bit_that_of_one_go(
    seen: list[Counts], cut: int
) -> None:
    fresh = ratio_gate.begin(Promises(), steps_count=3)

    halves = gone_through(gone_through(fresh, seen[:cut]), seen[cut:])

    assert halves == gone_through(fresh, seen)


@given(st.lists(ticks(), min_size=1, max_size=8), st.integers(0, 7))
def test_one_more_bad_canary_request_never_speaks_against_a_rollback(
    seen: list[Counts], place: int
) -> None:
    place %= len(seen)
    one = seen[place]
    if one.canary_failures >= one.canary_requests or not one.stable_requests:
        return
    worse = Counts(
        one.canary_requests, one.stable_requests, one.canary_failures + 1, one.stable_failures
    )

    def log_e(all_of_them: list[Counts]) -> float:
        known = ratio.against_tolerance(1.2)
        for tick in all_of_them:
            known = known.with_tick(tick)
        return known.log_evidence()

    assert log_e([*seen[:place], worse, *seen[place + 1 :]]) >= log_e(seen) - 1e-9


@given(st.permutations([Counts(100, 900, 3, 2), Counts(50, 950, 0, 9), Counts(500, 500, 7, 1)]))
def test_the_order_of_ticks_says_nothing(seen: list[Counts]) -> None:
    known = ratio.against_tolerance(1.2)
    for tick in seen:
        known = known.with_tick(tick)

    assert known.log_evidence() == pytest.approx(4.2, abs=2.5)
    straight = ratio.against_tolerance(1.2)
    for tick in sorted(seen, key=lambda one: one.canary_requests):
        straight = straight.with_tick(tick)
    assert known.log_evidence() == pytest.approx(straight.log_evidence(), rel=1e-12)


def test_a_brown_out_of_both_arms_proves_nothing_and_takes_nobody_back() -> None:
    calm, brown = Counts(1_500, 13_500, 2, 14), Counts(1_500, 13_500, 75, 675)
    seen = [calm, calm, *[brown] * 12, calm]

    found = replay(seen, Promises(), reference_ratio=0.001)

    assert found.finding.verdict is Verdict.UNKNOWN
    assert found.promote_nats > math.log(20), "by the ratio alone it would be a proof"


def test_a_regression_that_begins_with_a_late_step_is_found_sooner_by_evidence_of_that_step() -> (
    None
):
    calm, late = Counts(1_500, 13_500, 1, 14), Counts(7_500, 7_500, 15, 7)
    seen = [*[calm] * 120, *[late] * 40]

    mixed = replay(seen, Promises(tolerance_ratio=1), steps_at=[121])
    plain = replay(seen, Promises(tolerance_ratio=1))

    assert mixed.first_fail_number is not None
    assert plain.first_fail_number is not None
    assert mixed.first_fail_number < plain.first_fail_number


def test_without_anything_bad_nothing_is_known_and_it_is_said() -> None:
    found = replay([Counts(1_000, 9_000, 0, 0)] * 100, Promises())

    assert found.finding.verdict is Verdict.UNKNOWN
    told = ratio_gate.because(found.evidence, Promises(), found.finding.verdict)
    assert told.endswith("none of stable's: there is nothing to compare yet")
