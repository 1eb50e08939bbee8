"""The world in a box, with real servers: what Envoy does, what Prometheus counts."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from rollout.sandbox.stage import MERGE_PATCH, Script, Stage, stage

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(90),
    pytest.mark.asyncio(loop_scope="module"),
]

RPS = 300.0
BAND = 3.891
"""Standard deviations on either side that hold 99.99 % of a normal distribution."""

ROUTES = "/apis/networking.istio.io/v1/namespaces/bookinfo/virtualservices/reviews"
RULES = "/apis/networking.istio.io/v1/namespaces/bookinfo/destinationrules/reviews"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[Stage]:
    async with stage(Script(rps=0.0)) as up:
        await up.until_scraped()
        yield up


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def fresh(world: Stage) -> AsyncIterator[None]:
    """Every test begins and ends with all traffic on v1, healthy versions and a silent load."""
    yield
    await world.set_rate(0)
    for version in world.cast.versions:
        await world.dial(version, errorPercent=0, errorCode=500, latencyMs=1, hang=False)
    await subsets(world, *world.cast.versions)
    await split(world, v1=100)
    await settled(world, {"v1": 1.0})


async def patch(world: Stage, path: str, spec: dict[str, Any]) -> None:
    await world.client.call("PATCH", path, body={"spec": spec}, content_type=MERGE_PATCH)


def leg(version: str, weight: int = 0) -> dict[str, Any]:
    return {"destination": {"host": "reviews", "subset": version}, "weight": weight}


async def split(world: Stage, **weights: int) -> None:
    legs = [leg(v, weights.get(v, 0)) for v in world.cast.versions]
    await patch(world, ROUTES, {"http": [{"name": "primary", "route": legs}]})


async def subsets(world: Stage, *names: str) -> None:
    found = [{"name": name, "labels": {"version": name}} for name in names]
    await patch(world, RULES, {"subsets": found})


async def shares(world: Stage) -> dict[str, float]:
    """The weights that Envoy has, as shares, by version."""
    async with world._session.get(
        f"{world.envoy_admin_url}/config_dump?resource=dynamic_route_configs"
    ) as response:
        dump = await response.json()
    action: dict[str, Any] = next(
        config["route_config"]["virtual_hosts"][0]["routes"][-1]["route"]
        for config in dump["configs"]
        if config["route_config"]["name"] == "9080"
    )
    clusters = action.get("weighted_clusters", {}).get("clusters", [])
    total = sum(c["weight"] for c in clusters)
    return {c["name"].split("|")[2]: c["weight"] / total for c in clusters}


async def settled(world: Stage, wanted: dict[str, float]) -> float:
    """Wait until Envoy has these shares; the seconds it took."""
    begun = time.monotonic()
    while await shares(world) != wanted:  # noqa: ASYNC110 - Envoy must be asked
        await asyncio.sleep(0.005)
    return time.monotonic() - begun


async def counted(world: Stage) -> dict[str, Any]:
    """The load's counters when nothing is under way."""
    await world.set_rate(0)
    while (found := await world.counters())["inFlight"]:  # noqa: ASYNC110 - it must be asked
        await asyncio.sleep(0.02)
    return found


def flat(nested: dict[str, dict[str, int]]) -> Counter[tuple[str, str]]:
    return Counter({(outer, i): n for outer, inner in nested.items() for i, n in inner.items()})


async def load_for(
    world: Stage, seconds: float
) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]], Counter[str]]:
    """Answers by version and code, by flag and code, and outcomes, of some seconds of load."""
    before = await counted(world)
    await world.set_rate(RPS)
    await asyncio.sleep(seconds)
    after = await counted(world)
    answers, flags = flat(after["answers"]), flat(after["flags"])
    answers.subtract(flat(before["answers"]))
    flags.subtract(flat(before["flags"]))
    outcomes = Counter(after["outcomes"])
    outcomes.subtract(Counter(before["outcomes"]))
    return +answers, +flags, +outcomes


async def requests_total(world: Stage) -> Counter[tuple[str, str, str]]:
    """What Prometheus knows, by workload, code and flags, after two more scrapes."""
    await asyncio.sleep(2.2)
    query = 'istio_requests_total{reporter="source",destination_service_name="reviews"}'
    found: Counter[tuple[str, str, str]] = Counter()
    for series in await world.ask(query):
        labels = series["metric"]
        key = labels["destination_workload"], labels["response_code"], labels["response_flags"]
        found[key] += int(series["value"][1])
    return found


async def test_a_version_with_weight_zero_gets_nothing(world: Stage) -> None:
    answers, _, outcomes = await load_for(world, 1)

    assert {version for version, _ in answers} == {"v1"}
    assert not outcomes


async def test_ninety_to_ten_is_ninety_to_ten_within_chance(world: Stage) -> None:
    await split(world, v1=90, v2=10)
    await settled(world, {"v1": 0.9, "v2": 0.1})

    answers, _, _ = await load_for(world, 4)

    total = answers.total()
    share = answers["v2", "200"] / total
    assert abs(share - 0.1) <= BAND * math.sqrt(0.1 * 0.9 / total)


async def test_a_missing_subset_costs_exactly_its_share_with_flag_nc(world: Stage) -> None:
    await subsets(world, "v1")
    await split(world, v1=1, v4=1)
    await settled(world, {"v1": 0.5, "v4": 0.5})
    before = await requests_total(world)

    answers, flags, _ = await load_for(world, 2)

    assert flags == {("NC", "503"): answers["unknown", "503"]}
    assert answers["v1", "200"] > 0
    grown = await requests_total(world) - before
    assert grown["unknown", "503", "NC"] == answers["unknown", "503"]


async def test_a_subset_without_ready_endpoints_answers_503_uh_counted_once(world: Stage) -> None:
    await world.set_ready("v3", is_ready=False)
    await split(world, v1=1, v3=1)
    await settled(world, {"v1": 0.5, "v3": 0.5})
    before = await requests_total(world)

    answers, flags, _ = await load_for(world, 2)
    await world.set_ready("v3", is_ready=True)

    assert flags == {("UH", "503"): answers["unknown", "503"]}
    grown = await requests_total(world) - before
    assert grown == {
        ("reviews-v1", "200", "-"): answers["v1", "200"],
        ("unknown", "503", "UH"): answers["unknown", "503"],
    }


async def test_endpoints_that_come_and_go_lose_neither_requests_nor_counts(world: Stage) -> None:
    await split(world, v1=50, v2=50)
    await settled(world, {"v1": 0.5, "v2": 0.5})
    counts_before = await requests_total(world)
    before = await counted(world)

    await world.set_rate(RPS)
    for _ in range(5):
        for is_ready in (False, True):
            await world.set_ready("v3", is_ready=is_ready)
            await asyncio.sleep(0.1)
    await split(world, v1=100)
    await settled(world, {"v1": 1.0})
    for is_ready in (False, True):  # the endpoint of a version that has been counted
        await world.set_ready("v2", is_ready=is_ready)
        await asyncio.sleep(0.1)

    after = await counted(world)
    answers = flat(after["answers"]) - flat(before["answers"])
    assert {code for _, code in answers} == {"200"}
    grown = await requests_total(world) - counts_before
    assert grown == {(f"reviews-{v}", code, "-"): count for (v, code), count in answers.items()}


async def test_a_new_subset_used_at_once_costs_at_most_a_moment(world: Stage) -> None:
    await subsets(world, "v1")
    await world.set_rate(RPS)
    await asyncio.sleep(0.3)
    before = await world.counters()

    await subsets(world, "v1", "v2")
    await split(world, v1=50, v2=50)
    await settled(world, {"v1": 0.5, "v2": 0.5})
    await asyncio.sleep(0.3)

    after = await counted(world)
    lost = flat(after["flags"]) - flat(before["flags"])
    assert lost.total() == 0
    assert after["answers"].get("v2")


async def test_the_first_route_that_matches_wins(world: Stage) -> None:
    insiders = {"match": [{"headers": {"user-agent": {"prefix": "rollout"}}}], "route": [leg("v4")]}
    await patch(world, ROUTES, {"http": [insiders, {"name": "primary", "route": [leg("v1")]}]})
    await asyncio.sleep(0.5)

    answers, _, _ = await load_for(world, 1)

    assert {version for version, _ in answers} == {"v4"}


async def test_shifting_between_healthy_subsets_fails_no_request(world: Stage) -> None:
    before = await counted(world)
    await world.set_rate(RPS)
    took_seconds = []

    for weight in (1, 25, 50, 75, 99, 40, 5):
        await split(world, v1=100 - weight, v2=weight)
        took_seconds.append(await settled(world, {"v1": (100 - weight) / 100, "v2": weight / 100}))
        await asyncio.sleep(0.3)

    after = await counted(world)
    codes = {code for _, code in flat(after["answers"]) - flat(before["answers"])}
    assert codes == {"200"}
    assert after["outcomes"] == before["outcomes"]
    assert max(took_seconds) < 5  # on a machine that has other things to do; 0.03 s on a quiet one
    print("seconds from patch to Envoy:", [round(s, 3) for s in took_seconds])  # noqa: T201 - a figure


async def test_prometheus_counts_what_the_load_counted_by_version_and_code(world: Stage) -> None:
    await world.dial("v2", errorPercent=20)
    await split(world, v1=60, v2=40)
    await settled(world, {"v1": 0.6, "v2": 0.4})
    before = await requests_total(world)

    answers, _, outcomes = await load_for(world, 3)

    grown = await requests_total(world) - before
    expected = {(f"reviews-{v}", code, "-"): count for (v, code), count in answers.items()}
    assert grown == expected
    assert answers["v2", "500"] > 0
    assert not outcomes


async def arrivals_total(world: Stage) -> Counter[tuple[str, str, str]]:
    """As `requests_total`, for what arrived: by workload, code, and how it came there."""
    await asyncio.sleep(2.2)
    query = 'istio_requests_total{reporter="destination",destination_service_name="reviews"}'
    found: Counter[tuple[str, str, str]] = Counter()
    for series in await world.ask(query):
        labels = series["metric"]
        key = labels["destination_workload"], labels["response_code"], labels["source_app"]
        found[key] += int(series["value"][1])
    return found


async def test_attempts_and_copies_are_told_to_have_arrived_and_not_to_callers(
    world: Stage,
) -> None:
    await world.dial("v2", errorPercent=40)
    legs = [{"destination": {"host": "reviews", "subset": "v2"}, "weight": 100}]
    mirror = {"destination": {"host": "reviews", "subset": "v1"}, "percentage": {"value": 100}}
    retries = {"attempts": 5, "retryOn": "5xx"}
    http = [{"name": "primary", "route": legs, "mirrors": [mirror], "retries": retries}]
    await patch(world, ROUTES, {"http": http})
    await settled(world, {})
    sent_before, before = await requests_total(world), await arrivals_total(world)

    answers, _, _ = await load_for(world, 3)

    sent = await requests_total(world) - sent_before
    grown = await arrivals_total(world) - before
    copies = grown.pop(("reviews-v1", "200", "mirror"))
    again = grown.pop(("reviews-v2", "500", "retry"))
    assert copies == answers.total()
    assert 0.4 * answers.total() < again < answers.total()
    assert grown == {(who, code, "load"): count for (who, code, _), count in sent.items()}
    assert {who for who, _, _ in sent} == {"reviews-v2"}


async def test_durations_are_a_histogram_with_istios_buckets(world: Stage) -> None:
    await world.dial("v1", latencyMs=60, latencySpreadMs=5)
    await load_for(world, 2)
    await asyncio.sleep(2.2)
    name = "istio_request_duration_milliseconds"
    where = '{reporter="source",destination_workload="reviews-v1"}'

    buckets = await world.ask(f"sum by (le) ({name}_bucket{where})")
    count = await world.ask(f"sum({name}_count{where})")

    by_edge = {float(b["metric"]["le"]): int(b["value"][1]) for b in buckets}
    assert {0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000} <= by_edge.keys()
    assert by_edge[math.inf] == int(count[0]["value"][1])
    assert by_edge[100] > by_edge[50]


async def test_the_dials_change_what_a_version_answers(world: Stage) -> None:
    await world.dial("v1", errorPercent=100, errorCode=418)

    answers, _, _ = await load_for(world, 1)

    assert set(answers) == {("v1", "418")}


async def test_a_crashed_version_is_refused_until_it_is_revived(world: Stage) -> None:
    await world.crash("v1")
    down, flags, _ = await load_for(world, 1)
    await world.revive("v1")
    up, _, _ = await load_for(world, 1)

    assert set(down) == {("unknown", "503")}
    assert {flag for flag, _ in flags} <= {"UF", "UF,URX", "URX,UF", "UC"}
    assert ("v1", "200") in up


async def test_the_objects_are_those_of_a_cluster(world: Stage) -> None:
    pods, _ = await world.client.list("/api/v1/namespaces/bookinfo/pods")
    sets, _ = await world.client.list("/apis/apps/v1/namespaces/bookinfo/replicasets")

    owners = {pod["metadata"]["ownerReferences"][0]["uid"] for pod in pods}
    assert owners == {item["metadata"]["uid"] for item in sets}
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    assert {item["status"]["readyReplicas"] for item in sets} == {1}
