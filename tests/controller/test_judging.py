"""Evidence between two decisions: counted once, kept with its step, doubted without fresh data."""

from __future__ import annotations

import asyncio

import pytest

from rollout.analysis.verdict import GateKind
from rollout.api.evidence import Verdict
from rollout.api.gate import ErrorRate, Gate, Latency, Query, TcpFailures
from rollout.api.meta import DESTINATION_RULE, VIRTUAL_SERVICE, Manifest
from rollout.controller.judging import LATENCY_DEFAULT, question_of
from rollout.engine import plan as plans
from tests.stories import gray
from tests.stories.gray import Story
from tests.world.engine_world import spec_of

pytestmark = pytest.mark.looptime(noop_cycles=1)

PLAN = plans.resolve(spec_of(judge={"minRequests": 25}))


async def at_step(story: Story, step: int) -> None:
    await story.stable()
    story.want("v2")
    await story.until_step(step, within_seconds=60)


async def test_error_rates_keep_both_bounds_and_the_least_requests() -> None:
    gate = Gate(name="e", error_rate=ErrorRate(max_percent=1.5, max_ratio=2))

    question = question_of(gate, PLAN)

    assert question.kind is GateKind.ERRORS
    assert (question.max_percent, question.max_ratio) == (1.5, 2)
    assert question.min_requests == 25


async def test_a_latency_gate_bounds_the_share_that_is_slower() -> None:
    gate = Gate(name="l", latency=Latency(quantile_percent=99.9, max="250ms"))

    question = question_of(gate, PLAN)

    assert question.max_percent == 0.1
    assert question.edge_ms == 250


async def test_a_latency_gate_of_one_millisecond_is_not_cut_to_none_peers_52() -> None:
    gate = Gate(name="l", latency=Latency(quantile_percent=50, max="1ms"))

    assert question_of(gate, PLAN).edge_ms == 1


async def test_a_latency_gate_that_only_compares_has_an_edge_of_its_own() -> None:
    gate = Gate(name="l", latency=Latency(quantile_percent=99, max_ratio=1.5))

    question = question_of(gate, PLAN)

    assert question.max_percent is None
    assert question.edge_ms == 500
    assert LATENCY_DEFAULT == "500ms"


async def test_tcp_and_query_gates_ask_for_what_they_name() -> None:
    tcp = Gate(name="t", tcp_failures=TcpFailures(max_percent=1))
    own = Gate(name="q", query=Query(promql="x", min=1, relative_to="stable"))

    assert question_of(tcp, PLAN).kind is GateKind.TCP
    assert question_of(own, PLAN).relative_to_stable


async def test_every_request_counts_once_however_often_somebody_looks() -> None:
    async with gray.told() as story:
        await at_step(story, 2)
        began = story.requests_of("v2")
        for number in range(30):
            await asyncio.sleep(0.2)
            story.edit(suspend=number % 2 == 0)
        story.edit(suspend=False)
        await story.until_step(3, within_seconds=30)
        counted = story.status().run
        assert counted is not None
        assert counted.evidence is not None

        true = story.requests_of("v2")
        assert true - began - 300 <= counted.evidence.canary_run.requests <= true


async def test_a_pass_without_fresh_data_is_doubted_and_a_failure_is_not() -> None:
    async with gray.told() as story:
        await at_step(story, 1)
        await asyncio.sleep(5)
        story.metrics.down = True
        await asyncio.sleep(70)

        gates = story.run().gates

        assert [gate.verdict for gate in gates] == [Verdict.UNKNOWN]
        assert "Prometheus" in gates[0].because


async def test_a_query_that_cannot_be_filled_in_holds_its_gate_and_says_why() -> None:
    """A stable revision's name that a spec cannot know: bare in a query it would be code."""
    promql = 'orders{rev="{{ canary }}"} / on() orders_{{ stable }}'
    gates = [{"name": "orders", "query": {"promql": promql, "max": 2}}]
    story = gray.furnished(gray.rollout(gates=gates))

    def rename(manifest: Manifest) -> None:
        for part in manifest["spec"].get("subsets", ()):
            part["name"] = part["name"].replace("v1", "v1-b")
        for leg in [leg for r in manifest["spec"].get("http", ()) for leg in r["route"]]:
            leg["destination"]["subset"] = leg["destination"]["subset"].replace("v1", "v1-b")

    for kind in (DESTINATION_RULE, VIRTUAL_SERVICE):
        story.cluster.edit(kind, gray.KEY, rename)
    story.edit(revision="v2")
    async with gray.running(gray.controller(story).run):
        await story.until_step(1, within_seconds=30)
        await asyncio.sleep(60)

        assert story.run().step == 1
        assert "uses {{ stable }} outside quotes" in story.status().message
