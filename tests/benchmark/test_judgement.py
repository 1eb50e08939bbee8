"""The benchmark of judgement: its twin is the product's gate, its figures do not depend on luck."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from rollout.analysis import history
from rollout.analysis.judge import absolute, dispersion, edges, ledger, proof, ratio_gate
from rollout.analysis.judge import ramp as product_ramp
from rollout.analysis.judge.case import Case
from rollout.analysis.judge.ledger import Terms
from rollout.analysis.judge.ratio import Counts
from rollout.analysis.judge.ratio_gate import Promises
from rollout.analysis.verdict import Context, GateKind, GateQuestion
from rollout.api.evidence import ArmCounts, Baseline, Ledger, Verdict
from rollout.engine import ramping
from tests.benchmark.judgement import (
    cells,
    foretold,
    golden,
    kayenta,
    latency,
    picture,
    ramp,
    rivals,
    simulate,
    store,
    twin,
    wilson,
    worlds,
)
from tests.benchmark.judgement.__main__ import main
from tests.benchmark.judgement.arrays import Floats, Ticks, random_of
from tests.benchmark.judgement.cells import Size
from tests.benchmark.judgement.twin import Setting
from tests.benchmark.judgement.worlds import FIVE_MINUTES, FOUR_STEPS, Event, World

SMALL = Size(
    healthy_runs=20,
    bursty_runs=20,
    other_runs=20,
    worse_runs=20,
    least_worse_runs=20,
    plan_runs=20,
)
EXACT = 1e-9


def drawn(world: World, schedule: worlds.Schedule, runs: int = 3) -> Ticks:
    return worlds.draw(world, schedule, runs, random_of("twin", 0))


def counts_of(ticks: Ticks, run: int) -> list[Counts]:
    return [
        Counts(*(int(one) for one in row))
        for row in zip(*(part[run] for part in ticks.parts), strict=True)
    ]


QUESTION = GateQuestion(name="errors", kind=GateKind.ERRORS, max_ratio=1.2, proven_ratio=2)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the product says of a run after each tick, and the tick with which it takes it back."""

    rollbacks: list[float]
    promotes: list[float]
    compared: list[float]
    failed: int | None


def by_the_product(ticks: list[Counts], terms: Terms, begins: tuple[int, ...]) -> Told:
    promises, known = terms.promises, ratio_gate.begin(terms.promises, steps_count=len(begins))
    rollbacks, promotes, compared, failed = [], [], [], None
    for number, tick in enumerate(ticks):
        if number in begins[1:]:
            known = ratio_gate.with_step(known, promises)
        known = ratio_gate.with_tick(known, tick, promises, reference_ratio=terms.reference_ratio)
        finding = ratio_gate.find(known, promises)
        rollbacks.append(finding.rollback_nats)
        compared.append(finding.promote_nats)
        promotes.append(proof._nats(case_of(known, terms), times=1))
        if failed is None and finding.verdict is Verdict.FAIL:
            failed = number
    return Told(rollbacks=rollbacks, promotes=promotes, compared=compared, failed=failed)


def case_of(known: ratio_gate.GateEvidence, terms: Terms) -> Case:
    none = ArmCounts()
    return Case(
        gate=QUESTION,
        canary=none,
        stable=none,
        reference=none,
        lost=0,
        context=Context(elapsed_seconds=60, weight_percent=10),
        canary_bad_ms=0,
        state=known,
        terms=terms,
        ledger=Ledger(),
    )


@pytest.mark.parametrize("schedule", [FOUR_STEPS, FIVE_MINUTES], ids=["four steps", "five steps"])
@pytest.mark.parametrize("reference", [0.001, None], ids=["known before", "unknown before"])
@pytest.mark.parametrize(
    ("tolerance", "level", "phi"), [(1.2, 0.01, 1.7), (1.0, 0.05, 1.0)], ids=["default", "plain"]
)
def test_the_twin_says_after_every_tick_what_the_product_says(
    schedule: worlds.Schedule, reference: float | None, tolerance: float, level: float, phi: float
) -> None:
    world = World(requests_per_second=200, worse_factor=3, event=Event.ADDED)
    ticks = drawn(world, schedule)
    begins = worlds.begins(schedule, world.tick_seconds)
    before = None if reference is None else np.full(3, reference)
    setting = Setting(np.full(3, phi), before, begins)
    promises = Promises(
        tolerance_ratio=tolerance, false_rollback_ratio=level, dispersion_factor=phi
    )
    terms = Terms(
        promises=promises,
        steps_count=len(begins),
        reference_ratio=reference,
        is_spotless=reference is None,
    )

    rollbacks = twin.rollback_nats(ticks, setting, tolerance)
    promotes = twin.promote_nats(ticks, setting, promises.proven_ratio)
    compared = twin.compared_nats(ticks, setting, promises.proven_ratio)
    (verdicts,) = twin.first_rollbacks(ticks, setting, tolerance, [level])

    for run in range(3):
        wanted = by_the_product(counts_of(ticks, run), terms, begins)
        assert rollbacks[run] == pytest.approx(wanted.rollbacks, rel=EXACT, abs=EXACT)
        assert compared[run] == pytest.approx(wanted.compared, rel=EXACT, abs=EXACT)
        assert promotes[run] == pytest.approx(wanted.promotes, rel=EXACT, abs=EXACT)
        assert verdicts[run] == (ticks.bad.shape[1] if wanted.failed is None else wanted.failed)


@pytest.mark.parametrize("spotless", [True, False], ids=["spotless before", "one in a million"])
def test_where_nothing_ever_failed_the_twin_proves_less_than_one_percent_as_the_product_does(
    *, spotless: bool
) -> None:
    ticks = drawn(World(requests_per_second=20, bad_ratio=2e-5), FOUR_STEPS, 12)
    setting = Setting(
        np.full(12, 2.0), np.full(12, 1e-6), (0, 40, 80, 120), np.full(12, fill_value=spotless)
    )
    terms = Terms(
        promises=Promises(dispersion_factor=2.0),
        steps_count=4,
        reference_ratio=1e-6,
        is_spotless=spotless,
    )

    promotes = twin.promote_nats(ticks, setting, 2)

    struck = ticks.stable_failures.sum(axis=1) > 0
    assert struck.any()
    assert not struck.all()
    for run in range(12):
        told = by_the_product(counts_of(ticks, run), terms, setting.begins)
        assert promotes[run] == pytest.approx(told.promotes, rel=EXACT, abs=EXACT)
        assert (told.promotes[-1] > math.log(20)) is bool(spotless and not struck[run])


def test_the_twin_of_the_ramp_proves_and_calms_as_that_of_steps() -> None:
    """A ramp that cannot grow is a step: both must say the same of the same ticks."""
    world, runs = World(requests_per_second=200, event=Event.ADDED), 6
    setting = Setting(np.full(runs, 1.5), np.full(runs, 0.001), spotless=np.zeros(runs, np.bool_))
    preset = simulate.PRESETS[simulate.DEFAULT]
    ticks = drawn(world, ((0.05, 2400.0),), runs)
    climb = ramp.Climb(
        worlds.Stream(world, runs, random_of("ramp", 0)), preset, setting, ramp.Budget()
    )
    calm, promotes = twin.calm(ticks, setting), twin.promote_nats(ticks, setting, 2)
    everyone = np.arange(runs)

    assert not calm.all()
    for tick in range(ticks.bad.shape[1]):
        counts = (
            ticks.canary_requests[:, tick],
            ticks.stable_requests[:, tick],
            ticks.canary_failures[:, tick],
            ticks.stable_failures[:, tick],
        )
        climb.remember(counts)
        climb.judged(counts, everyone)
        assert list(climb._is_calm(setting, everyone)) == list(calm[:, tick])
        assert climb._proof_nats(everyone)[:] == pytest.approx(
            promotes[:, tick], rel=EXACT, abs=EXACT
        )


def test_what_pods_count_takes_as_many_times_the_evidence_as_in_the_product() -> None:
    known = [
        simulate.known_before(World(scraping=scraping), 4, random_of("pods", 0)).dispersion
        for scraping in (worlds.Scraping.WHOLE, worlds.Scraping.POD_OFFSETS)
    ]

    assert twin.OFFSET_TICKS == ledger.OFFSET_TICKS
    assert list(known[1]) == pytest.approx(
        [ledger.at_pods(Baseline(dispersion_factor=one)).dispersion_factor for one in known[0]]
    )


def test_what_pods_count_is_judged_when_a_minute_is_over() -> None:
    world = World(requests_per_second=100, worse_factor=10)
    at_pods = replace(world, scraping=worlds.Scraping.POD_OFFSETS)
    preset = simulate.PRESETS[simulate.DEFAULT]

    def seconds(one: World) -> Floats:
        setting = simulate.known_before(one, 40, random_of("minutes", 0))
        setting = replace(setting, begins=worlds.begins(FOUR_STEPS, one.tick_seconds))
        ((_, seen),) = simulate._ours(one, drawn(one, FOUR_STEPS, 40), setting, 0, (preset,))
        return seen.rollback_seconds

    assert set(seconds(at_pods) % 60) == {0}
    assert set(seconds(world) % 60) == {0, 15, 30, 45}
    assert np.median(seconds(at_pods)) > np.median(seconds(world))


def test_the_twin_estimates_dispersion_as_the_product_does() -> None:
    world = World(requests_per_second=3, bad_ratio=0.005, cluster_size_factor=5)
    bad, requests = worlds.history(world, 2, random_of("history", 0))

    phis = twin.dispersion(bad, requests)

    assert (twin.BLOCK_MINUTES, twin.ASSUMED_FACTOR, twin.BAD_COUNT_MIN) == (
        history.BLOCK_MINUTES,
        history.ASSUMED_FACTOR,
        history.BAD_COUNT_MIN,
    )
    for run in range(2):
        rows = [[[int(one) for one in pods] for pods in all_[run]] for all_ in (bad, requests)]
        found = [dispersion.of_blocks(*rows, block_ticks=n) or 1.0 for n in history.BLOCK_MINUTES]
        assert phis[run] == pytest.approx(max(1.0, *found), rel=EXACT)


def test_too_few_bad_requests_before_ask_for_twice_the_evidence() -> None:
    bad, requests = np.zeros((2, 240, 10)), np.full((2, 240, 10), 6.0)
    bad[1, 7, 3] = 9

    phis = twin.dispersion(bad, requests)

    assert phis[0] == 2
    assert phis[1] == pytest.approx(9)


@pytest.mark.parametrize("phi", [1.0, 2.5])
def test_the_twin_compares_with_a_bound_as_the_product_does(phi: float) -> None:
    ticks = drawn(World(requests_per_second=60, worse_factor=8), FOUR_STEPS, 1)
    setting = Setting(np.full(1, phi), None)

    above = twin.bound_nats(ticks, setting, np.array([[0.002]]))[0, -1]
    below = twin.bound_nats(ticks, setting, np.array([[0.01]]), twin.BETTER)[0, -1]

    for found, bound, product in (
        (above, 0.002, absolute.log_evidence_above),
        (below, 0.01, absolute.log_evidence_below),
    ):
        wanted = product(
            requests=int(ticks.canary_requests.sum()),
            bad=int(ticks.canary_failures.sum()),
            bound=bound,
            dispersion=phi,
        )
        assert found == pytest.approx(wanted, rel=EXACT)


def test_the_products_back_test_takes_the_same_pods_back_as_the_twin() -> None:
    cell = foretold.BACK_TESTS["back-test plain .05 clusters of 5 100 rps"]
    bad, requests = worlds.history(cell.world, 30, random_of("pods", 0), seconds=2400)
    one, others = (slice(0, 1), slice(1, None))
    ticks = Ticks(
        *(all_[..., pods].sum(axis=2) for all_ in (requests, bad) for pods in (one, others))
    )

    (verdicts,) = twin.first_rollbacks(ticks, Setting(np.ones(30), np.full(30, 0.001)), 1.0, [0.05])
    trials = [foretold._trial(cell, bad[run], requests[run], 1.0, 0.001) for run in range(30)]

    found = [40 if one.failed_minutes is None else one.failed_minutes - 1 for one in trials]
    assert found == list(verdicts)
    assert 5 < sum(minute < 40 for minute in found) < 25


def test_the_twin_finds_the_golden_numbers() -> None:
    assert [one for one in golden.found() if not one.is_met] == []


@pytest.mark.parametrize("phi", [1.0, 8.8])
@pytest.mark.parametrize(("requests", "bad"), [(15, 0), (5000, 2), (90_000, 700), (3, 3)])
def test_the_twin_of_the_ramp_allows_what_the_product_allows(
    requests: int, bad: int, phi: float
) -> None:
    seen = product_ramp.Seen(
        canary_requests=requests, canary_failures=bad, stable_requests=57_000, stable_failures=58
    )
    budget = {"budget_requests": 30.0, "reaction_requests": 30_000.0}
    excess = product_ramp.excess_ratio(seen, miss_ratio=0.01, dispersion=phi)
    wanted = product_ramp.allowed_ratio(**budget, excess=excess)

    upper = ramp.upper_limit(np.array([requests / phi]), np.array([bad / phi]), 0.01)
    usual = ramp.stable_ratio(np.array([57_000.0]), np.array([58.0]))
    found = ramp.allowed_shares(ramp.Budget(), 1000.0, upper - usual)

    assert found[0] == pytest.approx(wanted, rel=EXACT)
    assert ramp.first_share(ramp.Budget(), 1000.0) == product_ramp.allowed_ratio(**budget)


@pytest.mark.parametrize("percent", [0.04, 0.1, 0.299, 0.3, 8.1, 9.99, 10.7, 49.95])
def test_the_twin_of_the_ramp_rounds_weights_as_the_product_does(percent: float) -> None:
    found = 100 * float(ramp.rounded(np.array(percent / 100)))

    assert max(0.1, found) == pytest.approx(ramping._rounded(percent))


def test_a_ramp_never_falls_grows_three_times_at_most_and_ends_at_its_top() -> None:
    budget = ramp.Budget()
    now = np.array([0.01, 0.2, 0.5])

    free = ramp.next_shares(now, budget, 1000.0, np.array([0.0, 0.0, 0.0]))
    failing = ramp.next_shares(now, budget, 1000.0, np.array([0.9, 0.9, 0.9]))

    assert list(free) == pytest.approx([0.03, 0.5, 0.5])
    assert list(failing) == list(now)


def test_an_outage_costs_a_ramp_two_ticks_of_its_first_share() -> None:
    world = World(worse_ratio=1.0)
    stream = worlds.Stream(world, 50, random_of("outage", 0))
    setting = Setting(np.ones(50), np.full(50, 0.001))

    preset = simulate.PRESETS[simulate.DEFAULT]
    found = ramp.Climb(stream, preset, setting, ramp.Budget()).run(160)

    assert set(found.rollback_ticks) == {0}
    assert found.failures.mean() == pytest.approx(15, abs=2)
    assert found.failures_with_lag.mean() == pytest.approx(30, abs=3)


def minutes_of(*shares: float, requests: float = 100.0) -> Ticks:
    bad = requests * np.array([shares])
    many = np.full_like(bad, requests)
    return Ticks(many, many * 19, bad, np.zeros_like(bad))


def test_flagger_counts_bad_minutes_and_takes_the_canary_back_at_the_fifth() -> None:
    minutes = minutes_of(0.02, 0.02, 0, 0.02, 0.02, 0.005, 0.02, 0)

    assert list(rivals.flagger(minutes, least_ratio=0.99)) == [6]


def test_argo_looks_at_five_minutes_and_fails_without_data_too() -> None:
    assert list(rivals.argo(minutes_of(0.2, 0, 0, 0, 0, 0, 0, 0))) == [3]
    assert list(rivals.argo(minutes_of(0, 0, 0, 0, 0, 0, requests=0.0))) == [3]


def test_kayenta_finds_the_published_limit_and_estimate() -> None:
    lower, estimate = kayenta.lower_and_estimate(
        np.array([[100.0] * 7 + [1.0] * 3]), np.array([[1.0] * 10])
    )

    assert (lower[0], estimate[0]) == (0.0, 99.0)
    assert not kayenta.is_high(np.array([[100.0] * 7 + [1.0] * 3]), np.array([[1.0] * 10]))[0]


def test_kayenta_leaves_missing_minutes_out() -> None:
    nothing = math.nan
    with_gaps = kayenta.lower_and_estimate(
        np.array([[10, nothing, 30, 20, 40.0]]), np.array([[4, 1, nothing, 2, 3.0]])
    )
    without = kayenta.lower_and_estimate(np.array([[10, 20, 30, 40.0]]), np.array([[1, 2, 3, 4.0]]))

    assert with_gaps == without
    assert without[1][0] == 22.5


def test_a_burn_of_the_canary_alone_shows_where_that_of_the_service_does_not() -> None:
    minutes = minutes_of(0.05, 0.05)

    assert list(rivals.burn_of_canary(minutes)) == [0]
    assert list(rivals.burn_of_service(minutes)) == [2]


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(0, 100, 0.0, 0.036994), (5, 100, 0.0215437, 0.1117505), (100, 100, 0.963006, 1.0)],
)
def test_wilsons_interval_of_counted_shares(
    hits: int, trials: int, low: float, high: float
) -> None:
    assert wilson.interval(hits, trials) == pytest.approx((low, high), abs=1e-6)


def test_one_percent_is_excluded_by_no_false_rollback_in_six_hundred_runs() -> None:
    assert wilson.upper_99(0, 500) > 0.01
    assert wilson.upper_99(0, 600) < 0.01


def test_latency_is_judged_at_the_edges_of_the_product() -> None:
    assert edges.kept(latency.BOUND_MS) == latency.JUDGED_MS


def test_p99_is_interpolated_as_prometheus_does() -> None:
    edge = latency.EDGES_MS.index(500)
    slow: Floats = np.zeros((1, 4, len(latency.EDGES_MS)))
    slow[..., :edge] = 5.0
    slow[..., edge - 3 : edge] = (5.0, 5.0, 5.0)

    found = latency.quantile(slow, np.full((1, 4), 100.0))

    assert found[0, 0] == pytest.approx(250 + 250 * 0.8)


def test_bad_requests_in_clusters_are_as_many_as_single_ones() -> None:
    random = random_of("clusters", 0)
    mean = np.full(20_000, 5000.0)

    _, alone = worlds.counted(random, mean, np.full(20_000, 0.001), 1)
    _, bursts = worlds.counted(random, mean, np.full(20_000, 0.001), 5)

    assert alone.mean() == pytest.approx(5, rel=0.05)
    assert bursts.mean() == pytest.approx(5, rel=0.05)
    assert bursts.var() / bursts.mean() == pytest.approx(9, rel=0.1)


@pytest.mark.parametrize("scraping", list(worlds.Scraping), ids=lambda one: one.value)
def test_no_way_of_scraping_makes_up_requests(scraping: worlds.Scraping) -> None:
    world = World(requests_per_second=50, scraping=scraping)

    ticks = drawn(world, FOUR_STEPS, 20)

    assert ticks.requests.sum(axis=1).mean() == pytest.approx(50 * 2400, rel=0.03)
    assert (ticks.bad <= ticks.requests).all()


def test_a_cells_figures_depend_on_its_name_alone() -> None:
    cell = cells.CELLS["5× 1000 rps 0.1 %"]

    once = simulate.simulate(cell, SMALL)
    simulate.simulate(cells.CELLS["2× 1000 rps 0.1 %"], SMALL)

    assert simulate.simulate(cell, SMALL) == once
    assert simulate.simulate(replace(cell, name="another"), SMALL)["gates"] != once["gates"]


def test_shards_divide_all_cells_and_share_none() -> None:
    parts = [store.shard(store.WORK, number, 3) for number in (1, 2, 3)]

    assert sorted(name for part in parts for name in part) == sorted(store.WORK)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_finished_cells_are_skipped_until_the_size_changes(tmp_path: Path) -> None:
    kept = store.Store(SMALL, tmp_path)
    kept.keep("85 % fail", {"name": "85 % fail"})

    assert store.Store(SMALL, tmp_path).known("85 % fail") == {"name": "85 % fail"}
    assert store.Store(SMALL, tmp_path).known("80 % fail") is None
    assert store.Store(cells.FULL, tmp_path).known("85 % fail") is None


def test_no_two_cells_share_a_file(tmp_path: Path) -> None:
    kept = store.Store(SMALL, tmp_path)

    assert len({kept._path(name) for name in store.WORK}) == len(store.WORK)


def test_every_regression_with_a_name_has_a_healthy_world_beside_it() -> None:
    worse = [cell for cell in cells.CELLS.values() if not cell.world.is_healthy]
    healthy = {(cell.world, cell.way) for cell in cells.CELLS.values() if cell.world.is_healthy}

    assert [one.name for one in worse if (cells.healthy(one.world), one.way) not in healthy] == []


@pytest.mark.timeout(60)
def test_a_tiny_run_reports_on_all_targets_and_draws_the_same_picture_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["--runs", "2", "--processes", "1"]

    halves = [main([*asked, "--shard", f"{number}/2"]) for number in (1, 2)]
    told = capsys.readouterr()
    status = main([*asked, "--picture", "first.svg"])

    report = json.loads((tmp_path / ".bench/judge.json").read_text(encoding="utf-8"))
    picture.draw({one["name"]: one for one in report["cells"]}, tmp_path / "second.svg")
    assert "cells are missing" in told.out
    assert f"[1/{len(store.WORK) - len(store.WORK) // 2}]" in told.err
    assert capsys.readouterr().err == ""
    assert halves[0] == 0
    assert status == 1
    assert {one["name"][0] for one in report["targets"]} == set("12345678")
    assert {one["name"] for one in report["cells"]} == set(store.WORK)
    first, second = (tmp_path / f"{name}.svg" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("asked", ["0/2", "3/2", "1", "a/b"])
def test_a_shard_that_does_not_exist_is_refused(
    asked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--shard", asked])

    assert "ask for 1/4 to 4/4" in capsys.readouterr().err
