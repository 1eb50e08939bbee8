"""What judgement costs and proves with real traffic: ramps, regressions, outages, kills."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rollout.analysis import evidence, query, sample
from rollout.analysis.arm import Arms
from rollout.analysis.sample import NoAnswer, Series
from rollout.api import reading
from rollout.api.evidence import RunEvidence
from rollout.base.hosts import fqdn
from rollout.engine import questions
from rollout.sandbox.processes import Command, Process
from rollout.sandbox.stage import Script, stage
from tests.endtoend.conftest import CRDS
from tests.endtoend.hands import RPS, Diary, Hands, Json, gone, ladder, signal_to

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(400),
    pytest.mark.asyncio(loop_scope="session"),
]

BUDGET_REQUESTS = 30
ERRORS: Json = {"name": "errors", "errorRate": {"maxRatio": 1.2}}
RAMP: Json = {
    "steps": [
        {"ramp": {"maxWeight": 50, "riskBudgetRequests": BUDGET_REQUESTS, "minHold": "5s"}},
        {"weight": 100},
    ],
    "bake": "0s",
}
PROVES: Json = {"minRequests": 100, "provenRatio": 2}

PROMOTED_SECONDS_MAX = 300.0
"""What a healthy release at 300 requests a second with 1 % of errors may take."""

KILLS_COUNT = 20


USUAL_SECONDS = 15.0
"""Traffic before the first run, with the errors that are usual here: it is what the past tells."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def _world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hands]:
    """A world of its own, in which one request of a hundred has always failed."""
    async with stage(Script(rps=RPS, crds=[CRDS])) as up:
        for version in ("v1", "v2"):
            await up.dial(version, errorPercent=1)
        await up.until_scraped()
        await asyncio.sleep(USUAL_SECONDS)
        yield Hands(up, tmp_path_factory.mktemp("home"))


def runs(diary: Diary) -> list[Json]:
    """The run as each status told it."""
    found = [e.object.get("status", {}).get("run") for e in diary.of("Rollout")]
    return [run for run in found if run]


def ramped(diary: Diary) -> list[float]:
    """The weights that a run had, one after the other."""
    weights = [run["weight"] for run in runs(diary)]
    return list(dict.fromkeys(weights))


async def test_a_healthy_version_with_usual_errors_is_promoted_by_a_ramp_with_a_proof(
    world: Hands,
) -> None:
    for version in ("v1", "v2"):
        await world.stage.dial(version, errorPercent=1)
    await world.controller()
    await world.put_on(strategy=RAMP, gates=[ERRORS], judge=PROVES)
    async with world.watching() as diary:
        await world.want("v2")
        status = await world.until_over(seconds=PROMOTED_SECONDS_MAX)

    print(status["history"][0]["because"], ramped(diary))  # noqa: T201 - for the report
    events = await world.told("StepBegan")
    proved = [text for text in events if "2 times" in text and "at 95 % confidence" in text]
    print(*proved)  # noqa: T201 - for the report
    assert status["history"][0]["outcome"] == "Promoted"
    assert proved, events
    assert ramped(diary) == sorted(ramped(diary)), "a ramp never falls"
    assert {0, 50, 100} <= set(ramped(diary))
    assert len(ramped(diary)) > 3


async def test_a_total_outage_costs_no_more_than_half_as_much_again_as_the_budget(
    world: Hands,
) -> None:
    await world.stage.dial("v3", errorPercent=100)
    await world.controller()
    await world.put_on(strategy=RAMP, gates=[ERRORS], judge=PROVES)
    before = await world.traffic()

    await world.want("v3")
    status = await world.until_over()

    await asyncio.sleep(1)
    failures = (await world.traffic() - before).failures
    print(f"an outage cost {failures}: {status['history'][0]['because']}")  # noqa: T201
    assert status["history"][0]["outcome"] == "RolledBack"
    assert failures.keys() == {"v3"}
    assert failures["v3"] <= 1.5 * BUDGET_REQUESTS


async def test_five_times_the_usual_errors_go_back(world: Hands) -> None:
    await world.stage.dial("v1", errorPercent=1)
    await world.stage.dial("v3", errorPercent=5)
    await world.controller()
    await world.put_on(strategy=RAMP, gates=[ERRORS], judge=PROVES)
    before = await world.traffic()
    async with world.watching() as diary:
        await world.want("v3")
        status = await world.until_over(seconds=PROMOTED_SECONDS_MAX)

    cost = (await world.traffic() - before).failures["v3"]
    print(f"5 times: {cost} failures, {ramped(diary)}")  # noqa: T201 - for the report
    print(status["history"][0]["because"])  # noqa: T201 - for the report
    assert status["history"][0]["outcome"] == "RolledBack"
    assert "exceeded at 99 % confidence" in status["history"][0]["because"]


FAILED_SHARE = (
    'sum(rate(istio_requests_total{{reporter="source",destination_version="{rev}"{code}}}[{w}]))'
)
SHARE: Json = {
    "name": "share",
    "query": {
        "promql": FAILED_SHARE.format(
            rev="{{ revision }}", code=',response_code=~"5.."', w="{{ window }}"
        )
        + " / "
        + FAILED_SHARE.format(rev="{{ revision }}", code="", w="{{ window }}"),
        "max": 0.05,
        "range": {"low": 0, "high": 1},
        "block": "5s",
    },
}


@pytest.mark.parametrize(("percent", "outcome"), [(1, "Promoted"), (30, "RolledBack")])
async def test_a_query_of_ones_own_decides_by_blocks_that_a_real_prometheus_tells(
    world: Hands, percent: int, outcome: str
) -> None:
    await world.stage.dial("v1", errorPercent=1)
    await world.stage.dial("v3", errorPercent=percent)
    await world.controller()
    await world.put_on(strategy=ladder((20, "5s"), (100, "1s")), gates=[SHARE])
    async with world.watching() as diary:
        await world.want("v3")
        status = await world.until_over(seconds=PROMOTED_SECONDS_MAX)

    told = [run["gates"][0]["because"] for run in runs(diary) if run["gates"]]
    print(*dict.fromkeys(told), sep="\n")  # noqa: T201 - for the report
    assert status["history"][0]["outcome"] == outcome
    assert any("the query gave 0.0" in one or "the query gave 0.3" in one for one in told)
    await world.want("v1")
    await world.until(lambda s: s["stableRevision"] == "v1" and s["phase"] == "Stable")


async def test_a_brown_out_of_both_versions_neither_promotes_nor_takes_back(world: Hands) -> None:
    for version in ("v1", "v2"):
        await world.stage.dial(version, errorPercent=1)
    await world.controller()
    strategy = ladder((50, "5s"), (100, "1s"))
    await world.put_on(strategy=strategy, gates=[ERRORS], judge=PROVES)
    await world.want("v2")
    await world.until_step(1)
    await asyncio.sleep(5)

    for version in ("v1", "v2"):
        await world.stage.dial(version, errorPercent=21)
    for _ in range(80):
        await asyncio.sleep(0.5)
        run = (await world.status())["run"]
        assert (run["step"], run["weight"], run.get("ending")) == (1, 50, None)
    during = (await world.status())["run"]["gates"][0]
    for version in ("v1", "v2"):
        await world.stage.dial(version, errorPercent=1)
    status = await world.until_over(seconds=PROMOTED_SECONDS_MAX)

    print(during["because"])  # noqa: T201 - for the report
    assert during["verdict"] == "Unknown"
    assert status["history"][0]["outcome"] == "Promoted"


async def test_a_minute_without_prometheus_loses_no_request_and_counts_none_twice(
    world: Hands,
) -> None:
    await world.controller()
    await world.put_on(strategy={"steps": [{"weight": 25}, {"pause": {}}], "bake": "0s"})
    await world.want("v2")
    await world.until_step(2)
    prometheus = next(p for p in world.stage.processes if p.name.startswith("prometheus"))
    argv = _argv(prometheus)

    signal_to(prometheus, signal.SIGKILL)
    await gone(prometheus)
    held = await world.until(lambda s: conditions(s)["MetricsAvailable"] == "False")
    await asyncio.sleep(60)
    assert (await world.weights()) == {"v1": 75, "v2": 25}
    await _started_again(world, prometheus, argv)
    await world.until(lambda s: conditions(s)["MetricsAvailable"] == "True")
    await asyncio.sleep(5)
    status = await world.status()

    counted = reading.read_status({"status": status}).run
    assert counted is not None
    assert counted.evidence is not None
    series = await _series(world, seconds=600)
    true = replayed(series, [status["run"]], counted.evidence)
    print(held["message"])  # noqa: T201 - for the report
    assert held["run"]["weight"] == 25
    assert counted.evidence.canary_run.requests == true.canary_run.requests
    assert counted.evidence.canary_run.requests > 60 * 50


async def test_twenty_kills_leave_the_evidence_that_one_go_would_bit_for_bit(world: Hands) -> None:
    for version in ("v1", "v2"):
        await world.stage.dial(version, errorPercent=1)
    chance = random.Random(20)
    process = await world.controller(identity="pod-0")
    steps = [{"weight": w, "hold": "12s"} for w in (5, 20, 50)]
    await world.put_on(
        strategy={"steps": [*steps, {"pause": {}}], "bake": "0s"},
        gates=[ERRORS],
        judge={"minRequests": 10, "provenRatio": "Off"},
    )
    async with world.watching() as diary:
        await world.want("v2")
        for _ in range(KILLS_COUNT):
            await asyncio.sleep(chance.uniform(0.1, 3))
            signal_to(process, signal.SIGKILL)
            await gone(process)
            process = await world.controller(identity="pod-0")
        await world.until_step(4, seconds=120)
        await asyncio.sleep(8)
        series = await _series(world, seconds=600)

    found = [reading.read_status({"status": {"run": run}}).run for run in runs(diary)]
    last = found[-1]
    assert last is not None
    assert last.evidence is not None
    assert last.step == 4
    assert last.evidence.gates["errors"].ledger is not None
    assert last.evidence.gates["errors"].ledger.every != "", "there is evidence to compare"
    assert replayed(series, runs(diary), last.evidence) == last.evidence


def conditions(status: Json) -> dict[str, str]:
    return {c["type"]: c["status"] for c in status.get("conditions", ())}


def replayed(series: tuple[Series, ...], told_runs: list[Json], end: RunEvidence) -> RunEvidence:
    """The evidence of a run as one look at a time with its steps would have it."""
    run = reading.read_status({"status": {"run": told_runs[0]}}).run
    assert run is not None
    begins: dict[int, int] = {}
    for one in told_runs:
        if one["step"] and "evidence" in one:
            begins.setdefault(one["step"], one["evidence"]["newestMs"])
    gates = questions.of_plan(run.plan)
    arms = Arms(
        label="destination_workload",
        stable=f"reviews-{run.stable_revision}",
        canary=f"reviews-{run.canary_revision}",
    )
    known = RunEvidence()
    moments = [(end.origin_ms, False), *((at, True) for at in begins.values())]
    for until_ms, begins_step in [*moments, (end.newest_ms, False)]:
        seen = tuple(
            Series(metric=one.metric, samples=kept)
            for one in series
            if (kept := tuple(s for s in one.samples if s[0] <= until_ms))
        )
        answers = {query.Shape.REQUESTS: seen}
        known = evidence.absorb(known, answers, arms=arms, gates=gates, step_ms=end.tick_ms)
        if known.baseline is None and end.baseline is not None:
            known = known.model_copy(update={"baseline": end.baseline})
        if begins_step:
            known = evidence.begin_step(known, gates)
    return known


async def _series(world: Hands, *, seconds: int) -> tuple[Series, ...]:
    """The raw samples of the service's requests, as the controller asks for them."""
    host = fqdn("reviews", namespace="bookinfo")
    asked = query.requests([host], window_seconds=seconds)
    result: list[Any] = await world.stage.ask(asked[0].promql)
    document = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    found = sample.parse(document)
    assert not isinstance(found, NoAnswer)
    return found


def _argv(process: Process) -> list[str]:
    """The words with which it was started."""
    return Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")[:-1]


async def _started_again(world: Hands, prometheus: Process, argv: list[str]) -> None:
    url = f"{world.stage.prometheus_url}/-/ready"
    await world.stage.start(
        Command(
            name=f"prometheus-{os.urandom(2).hex()}",
            argv=argv,
            is_ready=lambda: world.stage.probe(url),
            port=prometheus.port,
        )
    )
