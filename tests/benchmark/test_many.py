"""The benchmark itself works: a small run of it, all processes included, gives every figure."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.benchmark import figures, many
from tests.benchmark.exporter import Mesh, host_of, name_of
from tests.benchmark.many import Size
from tests.benchmark.watching import Arrival, Weights

PROMISED = (
    *("rollouts", "stepP50Seconds", "stepP99Seconds", "abortP50Seconds", "abortP99Seconds"),
    *("reactionP50Seconds", "reactionP99Seconds", "callsPerStep", "writesPerStep"),
    *("queriesPerStep", "cpuSecondsPer1000Steps", "rssMiB", "idleCallsPerMinute"),
)


@pytest.mark.servers
@pytest.mark.timeout(90)
async def test_a_small_run_measures_everything() -> None:
    size = Size(rollouts_count=10, steps_count=2, hold_seconds=2.0, rest_seconds=3.0)

    report = await many.measure(size)

    assert set(PROMISED) <= report.keys()
    assert report["stepCount"] == 20
    assert report["stepP50Seconds"] >= 1.9
    assert (report["abortCount"], report["reactionCount"]) == (2, 3)
    assert report["reactionP50Seconds"] > 0
    assert report["writesPerStep"] > 0
    assert report["idleCallsPerMinute"] == 0


def test_every_service_is_aborted_fails_or_goes_on_and_none_does_two_of_them() -> None:
    size = Size()

    parts = [size.aborted, size.failing, size.others]

    assert [len(part) for part in parts] == [40, 60, 100]
    assert sorted(name for part in parts for name in part) == size.names


def test_a_promise_is_kept_up_to_its_limit() -> None:
    report = dict.fromkeys(many.LIMITS, 0.0) | {"abortP99Seconds": 0.5, "writesPerStep": 2.001}

    judged = many.judged(report)

    assert judged["abortP99Seconds"]["met"] is True
    assert judged["writesPerStep"]["met"] is False


def test_counters_of_the_exporter_never_fall_when_a_canary_begins_to_fail() -> None:
    service = Mesh(3, "bench").services[host_of(1, "bench")]
    service.bad_from_count = service.canary_count(5.0)
    service.bad_ratio = 0.2

    pages = [service.values(5.0 + i / 50) for i in range(1000)]

    assert all(a <= b for old, new in pairwise(pages) for a, b in zip(old, new, strict=True))
    assert pages[-1][3] == 20


def test_a_page_has_four_series_for_each_service() -> None:
    page = Mesh(3, "bench").page().decode()

    assert page.count("\nistio_requests_total{") == 12
    assert f'destination_service="{name_of(2)}.bench.svc.cluster.local"' in page


def test_a_step_lasts_from_its_weight_to_the_next_greater_one() -> None:
    weights = Weights()
    course = [(0.0, 0.0), (1.0, 1.0), (11.0, 2.0), (21.5, 5.0), (22.0, 0.0)]
    weights.of["a"] = [Arrival(at=at, weight=weight) for at, weight in course]

    steps = weights.steps(count_max=5)

    assert steps == [(11.0, 10.0), (21.5, 10.5)]
    assert weights.increases(1.0, 21.5) == 2
    assert weights.returned_at("a", after=5.0) == 22.0


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 201)]

    assert figures.percentile(values, 50) == 100.0
    assert figures.percentile(values, 99) == 198.0
    assert figures.percentile([], 99) == 0.0


def test_only_the_controllers_requests_are_counted_and_its_lease_apart() -> None:
    def row(agent: str, verb: str, resource: str, n: int) -> dict[str, object]:
        told = {"agent": agent, "verb": verb, "resource": resource, "requests": n}
        return told | {"refused": 0, "bytesIn": 10 * n, "bytesOut": 100 * n}

    before = {"requests": [row("rollout", "patch", figures.ROUTES, 3)], "watches": []}
    rows = [
        row("rollout", "patch", figures.ROUTES, 5),
        row("rollout", "patch", f"{figures.ROLLOUTS}/status", 2),
        row("rollout", "create", figures.EVENTS, 4),
        row("rollout", "update", figures.LEASES, 9),
        row("Python", "patch", figures.ROUTES, 7),
    ]

    asked = figures.asked(before, {"requests": rows, "watches": []})

    assert (asked.calls, asked.route_writes, asked.status_writes, asked.events) == (4, 2, 2, 4)
    assert asked.out_bytes == 800


def test_a_counter_is_summed_over_its_series() -> None:
    page = 'a_total{x="1"} 2.0\na_total{x="2"} 3.0\na_total_more 9.0\n'

    assert figures.counter(page, "a_total") == 5.0
    assert figures.counter(page, "a_total", x="2") == 3.0
